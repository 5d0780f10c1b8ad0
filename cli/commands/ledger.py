"""`weir ledger`, but for its journal."""

from datetime import date
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from cli.commands.times import typed_time
from cli.connection import connected_to, new_request_id, pages
from cli.errors import WrongUsage
from cli.output import amount, as_dict, console, instant, print_json, print_list, print_table, state
from libs.common.wire import timestamp_out
from weir.common.v1.money_pb2 import Money
from weir.invoicing.v1.ledger_pb2 import (
    CloseLedgerPeriodRequest,
    GetAccountStatementRequest,
    GetAccountStatementResponse,
    GetTrialBalanceRequest,
    LedgerAccount,
    LedgerProof,
    ListLedgerClosingsRequest,
    ListLedgerProofsRequest,
)


async def show_balances(data: Path, day: str, entity: str, known: str, *, as_json: bool) -> None:
    request = GetTrialBalanceRequest(
        date=typed_day(day, "DAY") if day else None, known_time=known_time(known), legal_entity=entity
    )
    async with connected_to(data) as services:
        found = await services.ledger.GetTrialBalance(request)
    if as_json:
        print_json(as_dict(found))
        return
    rows = [
        (each.legal_entity, state(LedgerAccount, each.account), *debit_and_credit(each.balance))
        for each in found.balances
    ]
    print_table(("entity", f"{iso(found.date)}", ">debit", ">credit"), rows, nothing="Nothing is booked.")


async def show_statement(
    data: Path, account: str, first: str, last: str, currency: str, entity: str, known: str, *, as_json: bool
) -> None:
    pages_read: list[GetAccountStatementResponse] = []
    async with connected_to(data) as services:
        while not pages_read or pages_read[-1].next_page_token:
            request = GetAccountStatementRequest(
                account=LedgerAccount.Value(f"LEDGER_ACCOUNT_{account}"),
                currency_code=currency,
                legal_entity=entity,
                start_date=typed_day(first, "FIRST_DAY"),
                end_date=typed_day(last, "LAST_DAY"),
                known_time=known_time(known),
                page_size=500,
                page_token=pages_read[-1].next_page_token if pages_read else "",
            )
            pages_read.append(await services.ledger.GetAccountStatement(request))
    whole = pages_read[0]
    for each in pages_read[1:]:
        whole.entries.extend(each.entries)
    whole.next_page_token = ""
    if as_json:
        print_json(as_dict(whole))
        return
    rows = [("", "balance before", "", "", amount(whole.opening_balance))]
    for entry in whole.entries:
        rows.append((iso(entry.date), entry.source, entry.invoice_number, entry.customer_id, amount(entry.amount)))
    rows.append(("", "balance after", "", "", amount(whole.closing_balance)))
    print_table(("date", "booked", "invoice", "customer", ">amount"), rows, nothing="")


async def close_period(data: Path, day: str, entity: str, *, as_json: bool) -> None:
    request = CloseLedgerPeriodRequest(
        request_id=new_request_id(), legal_entity=entity, closed_through_date=typed_day(day, "DAY")
    )
    async with connected_to(data) as services:
        closing = (await services.ledger.CloseLedgerPeriod(request)).closing
    if as_json:
        print_json({"closing": as_dict(closing)})
    else:
        console.print(f"The books of {closing.legal_entity} are closed up to {iso(closing.closed_through_date)}.")


async def list_closings(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.ledger.ListLedgerClosings(ListLedgerClosingsRequest(page_token=token)), "closings"
        )
    if as_json:
        print_list("closings", found)
        return
    rows = [(each.legal_entity, iso(each.closed_through_date), instant(each.create_time)) for each in found]
    print_table(("entity", "closed through", "closed at"), rows, nothing="Nothing is closed.")


async def list_proofs(data: Path, *, as_json: bool) -> int:
    """Exit code 1 where something differs."""
    async with connected_to(data) as services:
        found: list[LedgerProof] = await pages(
            lambda token: services.ledger.ListLedgerProofs(ListLedgerProofsRequest(page_token=token)), "proofs"
        )
    if as_json:
        print_list("proofs", found)
    else:
        rows = [(iso(each.day), instant(each.complete_time), f"{each.difference_count:,}") for each in found]
        print_table(("day", "complete", ">differences"), rows, nothing="Nothing was compared yet.")
        for day in found:
            for each in day.differences:
                said, booked = amount(each.documents_amount), amount(each.ledger_amount)
                where = f"{iso(day.day)} {each.invoice_id} {each.account}"
                console.print(f"{where}: {said} by the documents, {booked} in the ledger", markup=False)
    return 1 if any(each.difference_count for each in found) else 0


def debit_and_credit(value: Money) -> tuple[str, str]:
    return ("", amount(value, -1)) if value.minor_units < 0 else (amount(value), "")


def iso(day: Date) -> str:
    return f"{day.year}-{day.month:02}-{day.day:02}"


def typed_day(text: str, argument: str) -> Date:
    """Raises WrongUsage naming the argument."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise WrongUsage(f"{argument}: {text!r} is no day such as 2023-11-30") from None
    return Date(year=day.year, month=day.month, day=day.day)


def known_time(text: str) -> Timestamp | None:
    return timestamp_out(typed_time(text, "--known")) if text else None
