"""Changes of plan through the API: what each phase bills, previews, races, and kills."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from libs.common.wire import timestamp_out
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import changes_pb2, invoicing_pb2
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import pricing_pb2

PlanChange = changes_pb2.PlanChange
QUARTERLY = pricing_pb2.PlanVersion.BILLING_INTERVAL_QUARTERLY
YEARLY = pricing_pb2.PlanVersion.BILLING_INTERVAL_YEARLY
MICROSECOND = timedelta(microseconds=1)
DOLLAR_EACH = pricing_pb2.Charge(
    code="tokens", name="Tokens", meter_code="tokens", standard=pricing_pb2.StandardPrice(unit_price="1")
)


async def begin(acme: Tenant, start: str = "2024-01-01", anniversary: bool = False, time_zone: str = "") -> None:
    """Subscription "s" to the plan "basic" of 31.00 a month; "pro" costs 310.00; both a dollar a token."""
    await acme.meter("tokens", "tokens")
    await acme.start_clock(start)
    await acme.plan("basic", DOLLAR_EACH, base_fee=3100)
    await acme.plan("pro", DOLLAR_EACH, base_fee=31000)
    await acme.customer("globex", time_zone)
    kind = invoicing_pb2.Subscription.BILLING_TIME_ANNIVERSARY if anniversary else 0
    made = invoicing_pb2.Subscription(
        id="s", customer_id="globex", plan_code="basic", start_time=timestamp_out(utc(start)), billing_time=kind
    )
    request = invoicing_pb2.CreateSubscriptionRequest(request_id=new_request_id(), subscription=made)
    await acme.invoicing.CreateSubscription(request)


def change_to(plan_code: str, at: str = "", **more: int) -> PlanChange:
    made = PlanChange(plan_code=plan_code, **more)
    if at:
        made.effective = PlanChange.EFFECTIVE_AT
        made.effective_time.CopyFrom(timestamp_out(utc(at)))
    return made


async def change(acme: Tenant, plan_code: str, at: str = "", **more: int) -> invoicing_pb2.Subscription:
    request = changes_pb2.ChangePlanRequest(
        request_id=new_request_id(), id="s", change=change_to(plan_code, at, **more)
    )
    return (await acme.changes.ChangePlan(request)).subscription


async def cancel(acme: Tenant) -> invoicing_pb2.Subscription:
    request = changes_pb2.CancelChangeRequest(request_id=new_request_id(), id="s")
    return (await acme.changes.CancelChange(request)).subscription


async def terminate(acme: Tenant, at: str) -> None:
    request = invoicing_pb2.TerminateSubscriptionRequest(request_id=new_request_id(), id="s")
    request.end_time.CopyFrom(timestamp_out(utc(at)))
    await acme.invoicing.TerminateSubscription(request)


async def event(acme: Tenant, at: datetime, name: str, tokens: str = "1") -> None:
    made = metering_pb2.Event(
        transaction_id=name,
        subscription_id="s",
        code="request",
        timestamp=timestamp_out(at),
        properties={"tokens": tokens},
    )
    answer = await acme.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[made]))
    assert answer.accepted_count == 1, answer


async def bill_until(world: World, acme: Tenant, to: str) -> list[invoicing_pb2.Invoice]:
    """Every invoice, by its period."""
    await acme.advance(to)
    await world.bill()
    return sorted(await acme.invoices(), key=lambda each: each.period.start_time.ToNanoseconds())


def summary(invoice: invoicing_pb2.Invoice) -> tuple[str, str, list[tuple[str, int]]]:
    lines = [(line.code, line.amount.minor_units) for line in invoice.lines]
    return invoice.plan_code, invoice.period.end_time.ToJsonString(), lines


async def test_an_upgrade_now_bills_the_old_plan_up_to_it_and_the_new_one_from_its_day_on(
    world: World, acme: Tenant
) -> None:
    await begin(acme)
    await acme.advance("2024-01-12T06:00:00")
    found = await change(acme, "pro")
    assert [(each.number, each.plan_code) for each in found.phases] == [(1, "basic"), (2, "pro")]
    invoices = await bill_until(world, acme, "2024-02-01")
    assert list(map(summary, invoices)) == [
        ("basic", "2024-01-12T06:00:00Z", [("base", 1100)]),
        ("pro", "2024-02-01T00:00:00Z", [("base", 20000)]),
    ]
    found = (await acme.invoicing.GetSubscription(invoicing_pb2.GetSubscriptionRequest(id="s"))).subscription
    assert found.plan_code == "pro"


async def test_every_event_around_changes_is_billed_once_under_the_plan_of_its_instant(
    world: World, acme: Tenant
) -> None:
    """Events at each boundary, and a microsecond before and after it. Each has an amount of its own."""
    await begin(acme, time_zone="America/New_York")
    boundaries = [utc("2024-01-12T06:00:00.000001"), utc("2024-01-12T23:30:00"), utc("2024-03-05T05:00:00")]
    end = utc("2024-03-20T12:00:00")
    plans = ["basic", "pro", "basic", "pro", ""]
    owed: Counter[str] = Counter()
    for i, (at, step) in enumerate((at, step) for at in (*boundaries, end) for step in (-1, 0, 1)):
        await event(acme, at + step * MICROSECOND, f"e{i}", str(2**i))
        owed[plans[i // 3 + (step >= 0)]] += 2**i
    for at, plan_code in zip(boundaries, plans[1:], strict=False):
        await acme.advance(at.isoformat())
        await world.bill()
        await change(acme, plan_code, effective=PlanChange.EFFECTIVE_NOW)
    await terminate(acme, end.isoformat())
    invoices = await bill_until(world, acme, "2024-06-01")
    billed: Counter[str] = Counter()
    for invoice in invoices:
        billed[invoice.plan_code] += sum(int(line.rating.quantity) for line in invoice.lines if line.code == "tokens")
        replayed = await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=invoice.id))
        assert replayed.reproduced
    del owed[""]
    assert billed == owed
    ends = [each.period.end_time for each in invoices]
    assert [each.period.start_time for each in invoices[1:]] == ends[:-1]
    days = [line.proration.days for each in invoices for line in each.lines if line.code == "base"]
    assert sum(days) == 81


async def test_a_downgrade_waits_for_the_end_of_the_period_and_may_be_cancelled(world: World, acme: Tenant) -> None:
    await begin(acme)
    await change(acme, "pro")
    await world.bill()
    found = await change(acme, "basic")
    assert found.phases[-1].start_time == timestamp_out(utc("2024-02-01"))
    found = await cancel(acme)
    assert [each.plan_code for each in found.phases] == ["pro"]
    await change(acme, "basic")
    invoices = await bill_until(world, acme, "2024-03-01")
    assert list(map(summary, invoices)) == [
        ("pro", "2024-02-01T00:00:00Z", [("base", 31000)]),
        ("basic", "2024-03-01T00:00:00Z", [("base", 3100)]),
    ]
    with pytest.raises(FailedPrecondition) as refused:
        await cancel(acme)
    assert refused.value.reason == "CHANGE_NOT_SCHEDULED"


async def test_no_first_fee_and_a_full_one_that_begins_a_period(world: World, acme: Tenant) -> None:
    await begin(acme)
    await change(acme, "pro", "2024-01-12", proration=PlanChange.FIRST_FEE_NONE)
    await bill_until(world, acme, "2024-02-05")
    await change(acme, "basic", "2024-02-10T12:00:00", proration=PlanChange.FIRST_FEE_FULL_NEW_ANCHOR)
    invoices = await bill_until(world, acme, "2024-03-10")
    assert list(map(summary, invoices)) == [
        ("basic", "2024-01-12T00:00:00Z", [("base", 1100)]),
        ("pro", "2024-02-01T00:00:00Z", []),
        ("pro", "2024-02-10T12:00:00Z", [("base", 9621)]),
        ("basic", "2024-03-10T00:00:00Z", [("base", 3100)]),
    ]


async def test_the_new_plan_may_have_another_interval(world: World, acme: Tenant) -> None:
    await begin(acme)
    await acme.plan("year", DOLLAR_EACH, base_fee=366000, interval=YEARLY)
    await change(acme, "year", "2024-02-12")
    invoices = await bill_until(world, acme, "2025-01-01")
    assert list(map(summary, invoices)) == [
        ("basic", "2024-02-01T00:00:00Z", [("base", 3100)]),
        ("basic", "2024-02-12T00:00:00Z", [("base", 1176)]),
        ("year", "2025-01-01T00:00:00Z", [("base", 324000)]),
    ]
    explained = await acme.invoicing.ExplainLine(
        invoicing_pb2.ExplainLineRequest(invoice_id=invoices[-1].id, line_number=1)
    )
    assert explained.reproduced
    assert "324 of the year's 366 days" in explained.sentences[2]


async def test_the_anniversary_is_inherited_and_its_whole_quarter_divides_the_fee(world: World, acme: Tenant) -> None:
    """Case sc-prorate-01."""
    await acme.start_clock("2024-01-15T10:00:00")
    await acme.customer("globex")
    await acme.plan("cheap", base_fee=45500, interval=QUARTERLY)
    await acme.plan("big", base_fee=91000, interval=QUARTERLY)
    made = invoicing_pb2.Subscription(
        id="s",
        customer_id="globex",
        plan_code="cheap",
        start_time=timestamp_out(utc("2024-01-15T10:00:00")),
        billing_time=invoicing_pb2.Subscription.BILLING_TIME_ANNIVERSARY,
    )
    await acme.invoicing.CreateSubscription(
        invoicing_pb2.CreateSubscriptionRequest(request_id=new_request_id(), subscription=made)
    )
    await bill_until(world, acme, "2024-05-20T10:00:00")
    await change(acme, "big")
    await bill_until(world, acme, "2024-06-20T10:00:00")
    await terminate(acme, "2024-06-20T10:00:00")
    await world.bill()
    last = max(await acme.invoices(), key=lambda each: each.period.start_time.ToNanoseconds())
    assert (last.plan_code, last.lines[0].amount.minor_units) == ("big", 32000)


async def test_only_what_is_sold_to_the_subscription_can_be_changed_to(acme: Tenant) -> None:
    await begin(acme)
    request = pricing_pb2.ArchivePlanVersionRequest(request_id=new_request_id(), plan_code="pro", version=1)
    await acme.pricing.ArchivePlanVersion(request)
    for version in (0, 1):
        with pytest.raises(FailedPrecondition) as refused:
            await change(acme, "pro", plan_version=version)
        assert refused.value.reason == "PLAN_NOT_ACTIVE"


async def test_a_change_on_the_first_day_and_an_end_two_days_later(world: World, acme: Tenant) -> None:
    """Case sc-inv-07: 3 of 30 days of 20.00 and 20 % tax are 2.40."""
    await acme.tax("vat", "20")
    await acme.start_clock("2024-04-24T10:00:00")
    await acme.customer("globex")
    await acme.plan("free", base_fee=0, currency="EUR", taxes=["vat"])
    await acme.plan("new", base_fee=2000, currency="EUR", taxes=["vat"])
    await acme.subscribe("s", "globex", "free", "2024-04-24T10:00:00")
    await bill_until(world, acme, "2024-04-24T11:00:00")
    await change(acme, "new")
    await bill_until(world, acme, "2024-04-26T11:00:00")
    await terminate(acme, "2024-04-26T11:00:00")
    await world.bill()
    first, last = sorted(await acme.invoices(), key=lambda each: each.period.start_time.ToNanoseconds())
    assert (summary(first), first.total.minor_units) == (("free", "2024-04-24T11:00:00Z", []), 0)
    assert (last.total.minor_units, last.period.start_time) == (240, first.period.end_time)


async def test_a_minimum_is_owed_for_the_days_of_each_phase(world: World, acme: Tenant) -> None:
    """11 of 31 days of 31.00 under the old plan, 20 under the new one; none for a phase that has no day."""
    await begin(acme)
    for code in ("low", "high"):
        charge = pricing_pb2.Charge()
        charge.CopyFrom(DOLLAR_EACH)
        charge.minimum_amount = "31"
        await acme.plan(code, charge, base_fee=None)
    await change(acme, "low", "2024-01-01", effective=PlanChange.EFFECTIVE_AT)
    await change(acme, "high", "2024-01-12T06:00:00")
    await acme.advance("2024-01-12T06:00:00")
    await world.bill()
    await acme.advance("2024-01-12T08:00:00")
    await change(acme, "low", effective=PlanChange.EFFECTIVE_NOW)
    invoices = await bill_until(world, acme, "2024-02-01")
    assert [(each.plan_code, each.total.minor_units) for each in invoices] == [
        ("low", 1100),
        ("high", 0),
        ("low", 2000),
    ]
    for each in invoices:
        assert (await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=each.id))).reproduced


async def test_a_preview_is_what_the_change_will_bill_and_writes_nothing(world: World, acme: Tenant) -> None:
    await begin(acme)
    await event(acme, utc("2024-01-05"), "e1", "7")
    await acme.advance("2024-01-12T06:00:00")
    before = (await acme.invoicing.GetSubscription(invoicing_pb2.GetSubscriptionRequest(id="s"))).subscription
    foreseen = await acme.changes.PreviewChange(changes_pb2.PreviewChangeRequest(id="s", change=change_to("pro")))
    after = (await acme.invoicing.GetSubscription(invoicing_pb2.GetSubscriptionRequest(id="s"))).subscription
    assert (before, await acme.invoices()) == (after, [])
    [draft] = foreseen.invoices
    assert draft.state == invoicing_pb2.Invoice.STATE_DRAFT
    await change(acme, "pro")
    await world.bill()
    [invoice] = await acme.invoices()
    assert (list(draft.lines), draft.total, draft.period) == (list(invoice.lines), invoice.total, invoice.period)
    later = changes_pb2.PreviewChangeRequest(id="s", change=change_to("basic"))
    [draft] = (await acme.changes.PreviewChange(later)).invoices
    assert summary(draft) == ("pro", "2024-02-01T00:00:00Z", [("base", 20000)])


async def test_a_change_is_made_once_however_often_it_is_asked(world: World, acme: Tenant) -> None:
    await begin(acme)
    request = changes_pb2.ChangePlanRequest(request_id=new_request_id(), id="s", change=change_to("pro"))
    await acme.advance("2024-01-12")
    answers = await asyncio.gather(*(acme.changes.ChangePlan(request) for _ in range(5)))
    assert {len(each.subscription.phases) for each in answers} == {2}
    await bill_until(world, acme, "2024-03-01")
    assert len((await acme.changes.ChangePlan(request)).subscription.phases) == 2
    request.change.plan_code = "basic"
    with pytest.raises(Conflict) as reused:
        await acme.changes.ChangePlan(request)
    assert reused.value.reason == "REQUEST_ID_REUSED"
    cancelling = changes_pb2.CancelChangeRequest(request_id=new_request_id(), id="s")
    await change(acme, "basic")
    for _ in range(2):
        assert len((await acme.changes.CancelChange(cancelling)).subscription.phases) == 2


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (change_to("pro", effective=9), "ENUM_VALUE_UNKNOWN"),
        (change_to("pro", proration=9), "ENUM_VALUE_UNKNOWN"),
        (change_to("pro", effective=PlanChange.EFFECTIVE_AT), "FIELD_MISSING"),
        (change_to("pro", plan_version=-1), "VERSION_NOT_POSITIVE"),
        (change_to(""), "FIELD_MISSING"),
        (change_to("pro", "1999-01-01"), "TIME_OUT_OF_RANGE"),
        (PlanChange(plan_code="pro", effective_time=timestamp_out(utc("2024-02-01"))), "FIELD_UNUSED"),
        (change_to("nothing"), "PLAN_NOT_FOUND"),
        (change_to("pro", plan_version=2), "PLAN_VERSION_NOT_FOUND"),
        (change_to("euro"), "PLAN_CURRENCY_DIFFERS"),
        (change_to("basic"), "PLAN_UNCHANGED"),
    ],
)
async def test_what_is_not_a_change_is_refused_by_name(acme: Tenant, made: PlanChange, reason: str) -> None:
    await begin(acme)
    await acme.plan("euro", base_fee=100, currency="EUR")
    asked = changes_pb2.ChangePlanRequest(request_id=new_request_id(), id="s", change=made)
    for call in (acme.changes.ChangePlan(asked), acme.changes.PreviewChange(asked_preview(made))):
        with pytest.raises((FailedPrecondition, InvalidArgument, NotFound)) as refused:
            await call
        assert refused.value.reason == reason


def asked_preview(made: PlanChange) -> changes_pb2.PreviewChangeRequest:
    return changes_pb2.PreviewChangeRequest(id="s", change=made)


async def test_reading_keys_preview_and_do_not_change(world: World, acme: Tenant) -> None:
    await begin(acme)
    reader = world.tenant("acme", "billing:read")
    assert (await reader.changes.PreviewChange(asked_preview(change_to("pro")))).subscription.id == "s"
    with pytest.raises(PermissionDenied):
        await change(reader, "pro")
    stranger = world.tenant("other")
    for call in (change(stranger, "pro"), cancel(stranger)):
        with pytest.raises(NotFound) as refused:
            await call
        assert refused.value.reason == "SUBSCRIPTION_NOT_FOUND"


@pytest.mark.parametrize("prorated", [False, True])
async def test_seats_that_both_plans_bill_are_billed_once_in_the_period_of_a_change(
    world: World, acme: Tenant, prorated: bool
) -> None:
    """Whole seats by the phase at the period's end; seats by the day by each phase for its days."""
    made = metering_pb2.Meter(
        code="seats", aggregation=metering_pb2.Meter.AGGREGATION_SUM, value_property="n", recurring=True
    )
    await acme.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=new_request_id(), meter=made))
    await acme.start_clock("2024-04-01")
    await acme.customer("globex")
    for code, price in (("old", "3"), ("new", "30")):
        charge = pricing_pb2.Charge(code="seats", name="Seats", meter_code="seats", prorated=prorated)
        charge.standard.unit_price = price
        await acme.plan(code, charge, base_fee=None)
    await acme.plan("none", base_fee=None)
    await acme.subscribe("s", "globex", "old", "2024-04-01")
    seats = metering_pb2.Event(transaction_id="s", subscription_id="s", code="seats", properties={"n": "10"})
    seats.timestamp.CopyFrom(timestamp_out(utc("2024-04-01")))
    await acme.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[seats]))
    await bill_until(world, acme, "2024-04-16")
    await change(acme, "new", effective=PlanChange.EFFECTIVE_NOW)
    invoices = await bill_until(world, acme, "2024-05-11")
    await change(acme, "none", effective=PlanChange.EFFECTIVE_NOW)
    invoices = await bill_until(world, acme, "2024-06-01")
    amounts = [[line.amount.minor_units for line in each.lines] for each in invoices]
    assert amounts == ([[1500], [15000], [9677], []] if prorated else [[], [30000], [30000], []])
    for each in invoices:
        assert (await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=each.id))).reproduced
