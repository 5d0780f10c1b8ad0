"""What a scenario can expect: lists of what the services have, and usage."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from google.protobuf.message import Message

from cli.catalog.messages import Table
from cli.catalog.schema import enum_names
from cli.connection import Connection, pages
from cli.events.instant import parse_time_or_date, timestamp
from cli.scenario.comparing import NOTHING, Difference, differences, of_list
from libs.common.errors import NotFound
from weir.invoicing.v1.coupons_pb2 import AppliedCoupon, ListAppliedCouponsRequest
from weir.invoicing.v1.credit_notes_pb2 import CreditNote, ListCreditNotesRequest
from weir.invoicing.v1.invoicing_pb2 import (
    Customer,
    Invoice,
    ListCustomersRequest,
    ListInvoicesRequest,
    ListSubscriptionsRequest,
    Subscription,
)
from weir.invoicing.v1.ledger_pb2 import AccountBalance, GetTrialBalanceRequest, LedgerAccount
from weir.metering.v1.metering_pb2 import GetUsageRequest, Usage
from weir.payments.v1.payments_pb2 import ListPaymentsRequest, Payment


@dataclass(frozen=True, slots=True)
class Listed:
    """How a list is read: all of it, or a customer's; `is_newest_first` where it must be turned around."""

    message: type[Message]
    fetch: Callable[[Connection, str, str], Awaitable[Any]]
    """From the services, a customer's id or "", and a page token."""
    is_newest_first: bool = False


ACCOUNTS = enum_names(LedgerAccount.DESCRIPTOR)

LISTS = {
    "customers": Listed(
        Customer, lambda services, _, token: services.invoicing.ListCustomers(ListCustomersRequest(page_token=token))
    ),
    "subscriptions": Listed(
        Subscription,
        lambda services, customer, token: services.invoicing.ListSubscriptions(
            ListSubscriptionsRequest(customer_id=customer, page_token=token)
        ),
    ),
    "invoices": Listed(
        Invoice,
        lambda services, customer, token: services.invoicing.ListInvoices(
            ListInvoicesRequest(customer_id=customer, page_token=token)
        ),
        is_newest_first=True,
    ),
    "credit_notes": Listed(
        CreditNote,
        lambda services, customer, token: services.credit_notes.ListCreditNotes(
            ListCreditNotesRequest(customer_id=customer, page_token=token)
        ),
        is_newest_first=True,
    ),
    "applied_coupons": Listed(
        AppliedCoupon,
        lambda services, customer, token: services.applied_coupons.ListAppliedCoupons(
            ListAppliedCouponsRequest(customer_id=customer, page_token=token)
        ),
    ),
    "payments": Listed(
        Payment,
        lambda services, customer, token: services.payments.ListPayments(
            ListPaymentsRequest(customer_id=customer, page_token=token)
        ),
        is_newest_first=True,
    ),
}


async def unmet(services: Connection, expectation: Table, path: str) -> list[Difference]:
    """Every difference between what is expected and what there is."""
    customer = expectation.get("customer_id", "")
    found: list[Difference] = []
    for name in LISTS:
        if name in expectation:
            items = await listed(services, name, customer)
            found += of_list(None, items, expectation[name] or [], f"{path}.{name}")
    for index, each in enumerate(expectation.get("usage") or ()):
        found += await _of_usage(services, each, f"{path}.usage[{index}]")
    if "ledger" in expectation:
        found += await _of_ledger(services, expectation["ledger"] or {}, f"{path}.ledger")
    return found


async def listed(services: Connection, name: str, customer: str) -> Sequence[Any]:
    """In the order in which they were made."""
    of = LISTS[name]
    items = await pages(lambda token: of.fetch(services, customer, token), name)
    return items[::-1] if of.is_newest_first else items


async def _of_usage(services: Connection, expected: Mapping[str, Any], path: str) -> list[Difference]:
    request = GetUsageRequest(
        subscription_id=expected["subscription_id"], meter_codes=sorted(expected["quantities"] or ())
    )
    request.period.start_time.CopyFrom(timestamp(parse_time_or_date(expected["start_time"])))
    request.period.end_time.CopyFrom(timestamp(parse_time_or_date(expected["end_time"])))
    try:
        usages = (await services.metering.GetUsage(request)).usages
    except NotFound as error:
        return [Difference(path, "usage", error.message)]
    quantities = {each.meter_code: each for each in usages}
    return list(_quantities(quantities, expected["quantities"] or {}, f"{path}.quantities"))


def _quantities(found: Mapping[str, Usage], expected: Mapping[str, str], path: str) -> Iterator[Difference]:
    for meter, quantity in expected.items():
        if meter in found:
            for each in differences(found[meter], {"quantity": quantity}, f"{path}.{meter}"):
                yield Difference(f"{path}.{meter}", each.expected, each.found)
        else:
            yield Difference(f"{path}.{meter}", quantity, NOTHING)


async def _of_ledger(services: Connection, expected: Mapping[str, str], path: str) -> list[Difference]:
    """A scenario's tenant has the one currency of its invoices, unless it says otherwise of none."""
    answer = await services.ledger.GetTrialBalance(GetTrialBalanceRequest())
    balances: dict[int, AccountBalance] = {each.account: each for each in answer.balances}
    found = []
    for account, balance in expected.items():
        held = balances.get(ACCOUNTS[account], AccountBalance())
        for each in differences(held, {"balance": balance}, path) if held.account else _of_nothing(balance):
            found.append(Difference(f"{path}.{account}", each.expected, each.found))
    return found


def _of_nothing(balance: str) -> Iterator[Difference]:
    if Decimal(balance):
        yield Difference("", balance, NOTHING)
