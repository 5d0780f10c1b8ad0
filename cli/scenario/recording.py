"""A customer's history as a scenario that expects the invoices they have.

Ids become "customer" and "subscription-1", "subscription-2", ...; of a customer stays what prices, taxes and periods
depend on, of an event the properties that its meters read. Events are sent when they happened; how fees that were not
used were given back at a change is not known, and left to what changes do by themselves.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from cli.catalog.applying import read_existing
from cli.catalog.exporting import Dumper
from cli.catalog.kinds import ADD_ON, COUPON, METER, PLAN, TAX
from cli.catalog.messages import Bare, Table, table_of
from cli.connection import Connection, pages
from cli.errors import CliError
from cli.scenario.comparing import rendered
from cli.scenario.expectations import listed
from weir.invoicing.v1.invoicing_pb2 import (
    GetClockRequest,
    GetCustomerRequest,
    Invoice,
    ListSubscriptionsRequest,
    Subscription,
    SubscriptionPhase,
)
from weir.metering.v1.metering_pb2 import Event, ListEventsRequest, Meter
from weir.pricing.v1.pricing_pb2 import GetPlanVersionRequest

CUSTOMER = "customer"
KEPT_OF_CUSTOMER = ("time_zone", "tax_codes", "currency_code", "net_payment_term_days", "grace_period_days")
KEPT_OF_COUPON = ("coupon_code", "fixed_amount", "rate_percent", "frequency", "periods")
MAX_EVENTS = 10_000
READ_BY_ALL = ("operation_type",)

_NAME = re.compile(r"\w+")


async def recorded(services: Connection, customer: str) -> str:
    """YAML. Raises CliError where there is nothing to record, or too much."""
    found = (await services.invoicing.GetCustomer(GetCustomerRequest(id=customer))).customer
    subscriptions = await pages(
        lambda token: services.invoicing.ListSubscriptions(
            ListSubscriptionsRequest(customer_id=customer, page_token=token)
        ),
        "subscriptions",
    )
    if not subscriptions:
        raise CliError(f"{customer} has no subscription: there is no history to record")
    names = {each.id: f"subscription-{number}" for number, each in enumerate(subscriptions, 1)}
    now = (await services.invoicing.GetClock(GetClockRequest())).clock.now.ToDatetime(UTC)
    meters: list[Any] = [messages[0] for messages in (await read_existing(services))[METER].values()]
    timeline = [step for each in subscriptions for step in _steps(each, names[each.id], now)]
    for each in subscriptions:
        timeline += await _events(services, each.id, names[each.id], meters, now)
    timeline += await _coupons(services, customer)
    start = min(each.start_time.ToDatetime(UTC) for each in subscriptions)
    kept = {name: value for name, value in table_of(found).items() if name in KEPT_OF_CUSTOMER}
    scenario = {
        "name": f"Recorded from {len(subscriptions)} subscriptions",
        "start": _text(start),
        "currency_code": await _currency(services, subscriptions[0]),
        "timeline": [
            *await _catalogs(services, subscriptions),
            {"customer": {"id": CUSTOMER, "name": "Customer", **kept}},
            *(_placed(step, start) for _, step in sorted(timeline, key=lambda each: each[0])),
            {"advance": _text(now)},
            {"expect": {"invoices": [_invoice(each) for each in await listed(services, "invoices", customer)]}},
        ],
    }
    return yaml.dump(scenario, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def _placed(step: Table, start: datetime) -> Table:
    """Nothing is before the start of the first subscription."""
    return step if step["at"] > _text(start) else {key: value for key, value in step.items() if key != "at"}


def _steps(subscription: Subscription, name: str, now: datetime) -> Iterator[tuple[datetime, Table]]:
    first, *later = subscription.phases
    start = first.start_time.ToDatetime(UTC)
    made: Table = {"id": name, "customer_id": CUSTOMER, "plan_code": first.plan_code}
    if subscription.billing_time == Subscription.BILLING_TIME_ANNIVERSARY:
        made["billing_time"] = "anniversary"
    if subscription.invoiced_alone:
        made["invoiced_alone"] = Bare("true")
    yield start, {"at": _text(start), "subscribe": made}
    before = first
    for phase in later:
        at = phase.start_time.ToDatetime(UTC)
        if at <= now:
            yield at, {"at": _text(at), **_change(before, phase, name)}
        before = phase
    if subscription.HasField("end_time") and subscription.end_time.ToDatetime(UTC) <= now:
        end = subscription.end_time.ToDatetime(UTC)
        yield end, {"at": _text(end), "terminate": {"id": name}}


def _change(before: SubscriptionPhase, phase: SubscriptionPhase, name: str) -> Table:
    if phase.is_paused != before.is_paused:
        return {"pause" if phase.is_paused else "resume": {"id": name}}
    first_fee = "prorate"
    if phase.fee_start_time.ToDatetime() > phase.start_time.ToDatetime():
        first_fee = "none"
    elif phase.anchor_time == phase.start_time and phase.billing_time == Subscription.BILLING_TIME_ANNIVERSARY:
        first_fee = "full_new_anchor"
    change: Table = {
        "plan_code": phase.plan_code,
        "plan_version": Bare(phase.plan_version),
        "effective": "now",
        "proration": first_fee,
    }
    return {"change_plan": {"id": name, "change": change}}


async def _events(
    services: Connection, subscription: str, name: str, meters: Sequence[Meter], now: datetime
) -> list[tuple[datetime, Table]]:
    steps: list[tuple[datetime, Table]] = []
    request = ListEventsRequest(subscription_id=subscription, page_size=500)
    while True:
        answer = await services.metering.ListEvents(request)
        for each in answer.events:
            at = each.event.timestamp.ToDatetime(UTC)
            if at <= now:
                steps.append((at, {"at": _text(at), "events": _event(each.event, name, meters)}))
        if len(steps) > MAX_EVENTS:
            raise CliError(f"{subscription} has more than {MAX_EVENTS:,} events, too many for a scenario")
        if not answer.next_page_token:
            return steps
        request.page_token, request.watermark = answer.next_page_token, answer.watermark


def _event(event: Event, name: str, meters: Sequence[Meter]) -> Table:
    read = set(READ_BY_ALL)
    for meter in meters:
        if meter.event_code == event.code:
            read |= {meter.value_property, *meter.dimensions, *(each.property for each in meter.filters)}
            read |= set(_NAME.findall(meter.expression))
    table: Table = {"subscription_id": name, "code": event.code, "timestamp": event.timestamp.ToJsonString()}
    if kept := {key: event.properties[key] for key in sorted(event.properties) if key in read}:
        table["properties"] = kept
    return table | ({"amount": Bare(event.amount)} if event.amount else {})


async def _coupons(services: Connection, customer: str) -> list[tuple[datetime, Table]]:
    steps = []
    for each in await listed(services, "applied_coupons", customer):
        at = each.create_time.ToDatetime(UTC)
        kept = {name: value for name, value in table_of(each).items() if name in KEPT_OF_COUPON}
        steps.append((at, {"at": _text(at), "apply_coupon": {"customer_id": CUSTOMER, **kept}}))
    return steps


async def _catalogs(services: Connection, subscriptions: Sequence[Subscription]) -> list[Table]:
    """Everything that plans name, then those plans, version after version up to the newest that was billed."""
    newest: dict[str, int] = {}
    for each in (phase for subscription in subscriptions for phase in subscription.phases):
        newest[each.plan_code] = max(newest.get(each.plan_code, 0), each.plan_version)
    existing = await read_existing(services)
    named = {
        kind.key: [_element(messages) for _, messages in sorted(existing[kind].items())]
        for kind in (METER, TAX, ADD_ON, COUPON)
        if existing[kind]
    }
    steps: list[Table] = [{"catalog": named}] if named else []
    for code, last in sorted(newest.items()):
        (plan, *_) = existing[PLAN][code]
        for version in range(1, last + 1):
            request = GetPlanVersionRequest(plan_code=code, version=version)
            answer = await services.pricing.GetPlanVersion(request)
            steps.append({"catalog": {"plans": [_element((plan, answer.version))]}})
    return steps


async def _currency(services: Connection, subscription: Subscription) -> str:
    phase = subscription.phases[0]
    request = GetPlanVersionRequest(plan_code=phase.plan_code, version=phase.plan_version)
    version = (await services.pricing.GetPlanVersion(request)).version
    return version.currency_code


def _element(messages: Any) -> Table:
    return {name: value for message in messages for name, value in table_of(message).items()}


def _invoice(invoice: Invoice) -> Mapping[str, Any]:
    lines = [{"code": each.code, "amount": Bare(rendered(None, each.amount))} for each in invoice.lines]
    state = Invoice.State.Name(invoice.state).removeprefix("STATE_").lower()
    return {"state": state, "total": Bare(rendered(None, invoice.total)), "lines": lines}


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
