"""A month is billed for real and under other plans; what the simulation says before is what invoices say."""

import pytest
from google.type.date_pb2 import Date

from libs.common.errors import InvalidArgument, NotFound
from libs.common.wire import timestamp_out
from tests.invoicing.world import REQUESTS, TOKENS, Tenant, World, new_request_id, utc
from tests.simulation.asking import simulate
from weir.common.v1.money_pb2 import Money
from weir.invoicing.v1.invoicing_pb2 import TerminateSubscriptionRequest
from weir.metering.v1.metering_pb2 import CreateMeterRequest, Event, IngestEventsRequest, Meter
from weir.pricing.v1.pricing_pb2 import (
    Charge,
    CreatePlanRequest,
    GraduatedPrice,
    PackagePrice,
    Plan,
    PlanVersion,
    PriceTier,
    StandardPrice,
    VolumePrice,
)


async def two_plans(acme: Tenant) -> None:
    await acme.meter("requests")
    await acme.meter("tokens", "tokens")
    await acme.plan("classic", REQUESTS, TOKENS)
    tiers = [PriceTier(up_to="1000000", unit_price="0.000005"), PriceTier(unit_price="0.000001")]
    await acme.plan(
        "modern",
        Charge(code="requests", meter_code="requests", standard=StandardPrice(unit_price="0.01")),
        Charge(code="words", meter_code="tokens", graduated=GraduatedPrice(tiers=tiers)),
        base_fee=1500,
    )


async def test_what_is_paid_before_is_what_invoices_come_to(world: World, acme: Tenant) -> None:
    await two_plans(acme)
    await acme.start_clock("2023-10-01")
    for number, (zone, start) in enumerate(
        [("", "2023-10-01"), ("Europe/Berlin", "2023-11-15T12:00"), ("America/New_York", "2023-11-01T01:00")]
    ):
        await acme.customer(f"c{number}", zone)
        await acme.subscribe(f"s{number}", f"c{number}", "classic", start)
        await acme.events(f"s{number}", 3000 * (number + 1), at="2023-11-20", prefix=f"e{number}")
    await acme.customer("later")
    await acme.subscribe("later", "later", "classic", "2023-12-01")

    found = await simulate(acme, "classic", "modern")

    run = await acme.advance("2023-12-02")
    await world.bill()
    assert not (await acme.run(run)).failures
    billed = {
        invoice.subscription_id: invoice.subtotal.minor_units
        for invoice in await acme.invoices()
        if invoice.period.end_time.ToJsonString() >= "2023-11-30"
    }
    assert {each.subscription_id: each.before.amount.minor_units for each in found.changes} == billed
    assert all(each.before == each.after[0] for each in found.changes)
    assert found.cost("s0") == [2000 + 300 + 250 + 400, 2000 + 300 + 250 + 400, 1500 + 3000 + 500 + 200]


async def test_sums_are_those_of_the_subscriptions(acme: Tenant) -> None:
    await two_plans(acme)
    await acme.customer("c")
    for number in range(4):
        await acme.subscribe(f"s{number}", "c", "classic", "2023-10-01")
        await acme.events(f"s{number}", 10 + 700 * number, prefix=f"e{number}")

    found = await simulate(acme, "modern")

    pairs = [found.cost(f"s{number}") for number in range(4)]
    [before], [after] = found.sums.before, found.sums.after
    assert (before.plan_code, before.plan_version, before.subscription_count) == ("classic", 1, 4)
    assert before.amount.minor_units == after.amount_before.minor_units == sum(pair[0] for pair in pairs)
    assert after.amount.minor_units == after.amount_after.minor_units == sum(pair[1] for pair in pairs)
    assert after.less_count == sum(new < old for old, new in pairs) > 0
    assert after.more_count == sum(new > old for old, new in pairs) > 0
    assert after.added.minor_units - after.saved.minor_units == sum(new - old for old, new in pairs)
    assert [(each.charge_code, each.tier, each.subscription_count) for each in after.tiers] == [
        ("words", 1, 2),
        ("words", 2, 2),
    ]
    assert [each.tier for change in found.changes for each in change.after[0].reached_tiers] == [2, 2]


async def test_the_same_inputs_have_the_same_digest_and_others_another(acme: Tenant) -> None:
    await two_plans(acme)
    await acme.customer("c")
    await acme.subscribe("s", "c", "classic", "2023-10-01")
    await acme.events("s", 100)
    first = await simulate(acme, "modern")
    await acme.events("s", 5000, prefix="late")
    at_watermark = await simulate(acme, "modern", watermark=first.sums.watermark)
    now = await simulate(acme, "modern", summary_only=True)
    assert at_watermark == first
    assert now.changes == []
    assert len({first.sums.digest, now.sums.digest, (await simulate(acme, "classic")).sums.digest}) == 3


async def test_only_the_asked_plan_and_version_are_simulated(acme: Tenant, world: World) -> None:
    await two_plans(acme)
    await acme.customer("c")
    await acme.subscribe("a", "c", "classic", "2023-10-01")
    await acme.subscribe("b", "c", "modern", "2023-10-01")
    assert [each.subscription_id for each in (await simulate(acme, "modern", plan_code="modern")).changes] == ["b"]
    nothing = await simulate(acme, "modern", plan_code="modern", plan_version=2)
    assert (nothing.changes, nothing.sums.subscription_count, nothing.sums.watermark) == ([], 0, 0)
    other = world.tenant("umbrella")
    await other.plan("modern")
    assert (await simulate(other, "modern")).sums.subscription_count == 0


async def test_another_currency_is_not_compared(acme: Tenant) -> None:
    await two_plans(acme)
    await acme.plan("euro", currency="EUR", base_fee=100)
    await acme.customer("c")
    await acme.subscribe("s", "c", "classic", "2023-10-01")
    [outcome] = (await simulate(acme, "euro")).sums.after
    assert (outcome.incomparable_count, outcome.amount.minor_units, outcome.amount.currency_code) == (1, 100, "EUR")
    assert (outcome.same_count, outcome.amount_before.minor_units, outcome.amount_after.minor_units) == (0, 0, 0)


async def test_what_a_price_refuses_to_rate_fails_alone(acme: Tenant) -> None:
    await acme.meter("tokens", "tokens")
    await acme.plan("free")
    huge = Charge(code="t", meter_code="tokens", standard=StandardPrice(unit_price="9" * 26))
    await acme.plan("mad", huge)
    await acme.customer("c")
    await acme.subscribe("s", "c", "free", "2023-10-01")
    await acme.subscribe("t", "c", "free", "2023-10-01")
    await acme.events("s", 1)
    found = await simulate(acme, "mad")
    failed, fine = found.changes
    assert (failed.subscription_id, failed.failure_reason) == ("s", "AMOUNT_TOO_LARGE")
    assert not failed.HasField("before")
    assert not failed.after
    assert not fine.failure_reason
    assert (found.sums.subscription_count, found.sums.failed_count) == (1, 1)


@pytest.mark.parametrize(
    ("candidates", "fields", "error"),
    [
        (["nothing"], {}, NotFound("PLAN_NOT_FOUND", "")),
        (["classic@7"], {}, NotFound("PLAN_VERSION_NOT_FOUND", "")),
        (["classic", "classic@1"], {}, InvalidArgument("CANDIDATE_DUPLICATE", "")),
        (["classic"] * 2, {}, InvalidArgument("CANDIDATE_DUPLICATE", "")),
        (["classic"] * 11, {}, InvalidArgument("CANDIDATES_TOO_MANY", "")),
        ([], {}, InvalidArgument("FIELD_MISSING", "")),
        (["classic"], {"plan_version": 1}, InvalidArgument("FIELD_MISSING", "")),
        (["classic"], {"watermark": -1}, InvalidArgument("AMOUNT_NEGATIVE", "")),
    ],
)
async def test_wrong_requests_are_named(
    acme: Tenant, candidates: list[str], fields: dict[str, object], error: InvalidArgument | NotFound
) -> None:
    await two_plans(acme)
    with pytest.raises(type(error)) as raised:
        await simulate(acme, *candidates, **fields)
    assert raised.value.reason == error.reason


async def test_a_subscription_is_billed_until_it_ends(acme: Tenant, world: World) -> None:
    """For the days that it has, and for usage until that instant."""
    await two_plans(acme)
    await acme.start_clock("2023-11-01")
    await acme.customer("c")
    await acme.subscribe("s", "c", "classic", "2023-11-05T18:00")
    await acme.events("s", 3000, at="2023-11-19", prefix="before")
    await acme.events("s", 9000, at="2023-11-20T09:00", prefix="after")
    await acme.advance("2023-11-20T07:00")
    request = TerminateSubscriptionRequest(request_id=new_request_id(), id="s")
    await acme.invoicing.TerminateSubscription(request)
    await acme.advance("2023-12-02")
    await world.bill()
    [invoice] = await acme.invoices()
    assert (await simulate(acme, "classic")).cost("s") == [invoice.subtotal.minor_units] * 2
    assert invoice.subtotal.minor_units == 1067 + 300 + 250 + 400


async def sell(acme: Tenant, code: str, interval: int, **terms: object) -> None:
    version = PlanVersion(currency_code="USD", charges=[REQUESTS, TOKENS], **terms)  # type: ignore[arg-type]
    version.billing_interval = interval  # type: ignore[assignment]
    version.base_fee.CopyFrom(Money(currency_code="USD", minor_units=3000))
    request = CreatePlanRequest(request_id=new_request_id(), plan=Plan(code=code, name=code), version=version)
    await acme.pricing.CreatePlan(request)


async def billed(acme: Tenant, world: World, to: str) -> dict[str, int]:
    """What the last invoice of each subscription comes to."""
    await acme.advance(to)
    await world.bill()
    invoices = sorted(await acme.invoices(), key=lambda each: each.period.end_time.seconds)
    return {invoice.subscription_id: invoice.subtotal.minor_units for invoice in invoices}


async def test_a_trial_waives_the_days_that_invoices_leave_out(acme: Tenant, world: World) -> None:
    await two_plans(acme)
    await sell(acme, "trial", PlanVersion.BILLING_INTERVAL_MONTHLY, trial_days=14)
    await acme.start_clock("2023-10-01")
    for number, (zone, start) in enumerate(
        [("", "2023-11-05"), ("Asia/Tokyo", "2023-10-25T09:30"), ("America/New_York", "2023-11-20T03:00")]
    ):
        await acme.customer(f"c{number}", zone)
        await acme.subscribe(f"s{number}", f"c{number}", "trial", start)
        await acme.events(f"s{number}", 3000, at="2023-11-25", prefix=f"e{number}")
    found = await simulate(acme, "trial")
    invoiced = await billed(acme, world, "2023-12-02")
    assert {each.subscription_id: each.before.amount.minor_units for each in found.changes} == invoiced
    assert found.cost("s0") == [3000 * 12 // 30 + 300 + 250 + 400] * 2


async def test_units_that_are_held_cost_the_days_that_invoices_bill(acme: Tenant, world: World) -> None:
    seats = Meter(code="seats", event_code="seats", aggregation=Meter.AGGREGATION_SUM, value_property="n")
    seats.recurring = True
    await acme.metering.CreateMeter(CreateMeterRequest(request_id=new_request_id(), meter=seats))
    tiers = [PriceTier(up_to="40", unit_price="2"), PriceTier(unit_price="1")]
    walked = Charge(code="walked", meter_code="seats", graduated=GraduatedPrice(tiers=tiers), prorated=True)
    whole = Charge(code="whole", meter_code="seats", volume=VolumePrice(tiers=tiers), prorated=True)
    await acme.plan("held", walked, whole)
    await acme.start_clock("2023-10-01")
    await acme.customer("c", "Asia/Tokyo")
    for name, start in (("s", "2023-10-05"), ("t", "2023-11-11T05:00")):
        await acme.subscribe(name, "c", "held", start)
        for at, count in ((start, "30"), ("2023-11-16", "20")):
            event = Event(transaction_id=f"{name}{at}", subscription_id=name, code="seats", properties={"n": count})
            event.timestamp.CopyFrom(timestamp_out(utc(at)))
            assert (await acme.metering.IngestEvents(IngestEventsRequest(events=[event]))).accepted_count == 1
    found = await simulate(acme, "held")
    invoiced = await billed(acme, world, "2023-12-02")
    assert {each.subscription_id: each.before.amount.minor_units for each in found.changes} == invoiced
    assert found.cost("s")[0] > 2000 + 2 * 4500


@pytest.mark.parametrize(
    ("interval", "first", "end"),
    [
        (PlanVersion.BILLING_INTERVAL_WEEKLY, Date(year=2023, month=11, day=20), "2023-11-28"),
        (PlanVersion.BILLING_INTERVAL_QUARTERLY, Date(year=2023, month=10, day=1), "2024-01-02"),
        (PlanVersion.BILLING_INTERVAL_YEARLY, Date(year=2023, month=1, day=1), "2024-01-02"),
    ],
)
async def test_a_whole_interval_costs_what_is_invoiced_for_it(
    acme: Tenant, world: World, interval: int, first: Date, end: str
) -> None:
    await two_plans(acme)
    await sell(acme, "long", interval)
    await acme.start_clock("2023-10-01")
    await acme.customer("c", "Europe/Berlin")
    for name, start in (("s", "2023-10-10"), ("t", "2023-11-22T12:00")):
        await acme.subscribe(name, "c", "long", start)
        await acme.events(name, 2000, at="2023-11-23", prefix=name)
    found = await simulate(acme, "long", month=None, start_date=first)
    invoiced = await billed(acme, world, end)
    assert {each.subscription_id: each.before.amount.minor_units for each in found.changes} == {
        name: invoiced[name] for name in ("s", "t")
    }


FEBRUARY: dict[str, object] = {"month": None, "start_date": Date(year=2023, month=2, day=1)}


@pytest.mark.parametrize(
    ("candidates", "fields", "reason"),
    [
        (["yearly"], FEBRUARY, "PERIOD_NOT_WHOLE"),
        (["classic"], FEBRUARY | {"interval": 3}, "PERIOD_NOT_WHOLE"),
        (["classic"], FEBRUARY | {"interval": 9}, "BILLING_INTERVAL_UNKNOWN"),
        (["classic"], {"interval": 5}, "FIELD_UNUSED"),
        (["classic"], {"start_date": Date(year=2023, month=1, day=1)}, "FIELD_MISSING"),
        (["classic"], {"month": None, "start_date": Date(year=2023, month=2, day=30)}, "MONTH_MALFORMED"),
        (["early"], {}, "PLAN_UNSUPPORTED"),
    ],
)
async def test_a_period_that_is_not_whole_and_what_it_does_not_tell_are_refused(
    acme: Tenant, candidates: list[str], fields: dict[str, object], reason: str
) -> None:
    await two_plans(acme)
    await sell(acme, "yearly", PlanVersion.BILLING_INTERVAL_YEARLY)
    held = Meter(code="seats", aggregation=Meter.AGGREGATION_SUM, value_property="n", recurring=True)
    await acme.metering.CreateMeter(CreateMeterRequest(request_id=new_request_id(), meter=held))
    early = Charge(
        code="early", meter_code="seats", package=PackagePrice(package_size="2", package_price="1"), in_advance=True
    )
    await acme.plan("early", early)
    with pytest.raises(InvalidArgument, match=reason):
        await simulate(acme, *candidates, **fields)
