"""Base fees by the year, and charges by the month."""

from datetime import date

import pytest
from google.type.date_pb2 import Date

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out, timestamp_out
from tests.invoicing.test_changes import (
    DOLLAR_EACH,
    QUARTERLY,
    YEARLY,
    asked_preview,
    bill_until,
    change,
    change_to,
    event,
    summary,
    terminate,
)
from tests.invoicing.test_kinds_of_charges import require_replayed
from tests.invoicing.test_lines import require_reproduced
from tests.invoicing.test_unused_fees import notes
from tests.invoicing.world import Tenant, World, new_request_id, utc
from tests.simulation.asking import simulate
from weir.invoicing.v1 import invoicing_pb2, pauses_pb2
from weir.invoicing.v1.subscription_previews_pb2 import PreviewSubscriptionRequest
from weir.pricing.v1 import addons_pb2, pricing_pb2

ANNUAL = 36600


async def begin(acme: Tenant, *, in_advance: bool = False, grace_period_days: int = 0, **terms: object) -> None:
    """Subscription "s" from the beginning of 2024, to a dollar a token by the month and 366.00 a year."""
    await acme.meter("tokens", "tokens")
    await acme.start_clock("2024-01-01")
    await acme.customer("globex", grace_period_days=grace_period_days)
    interval = terms.pop("interval", YEARLY)
    await acme.plan(
        "annual",
        DOLLAR_EACH,
        base_fee=ANNUAL,
        interval=interval,  # type: ignore[arg-type]
        in_advance=in_advance,
        charges_monthly=True,
        **terms,  # type: ignore[arg-type]
    )
    await acme.subscribe("s", "globex", "annual", "2024-01-01")


def bills(invoices: list[invoicing_pb2.Invoice]) -> list[tuple[str, dict[str, int]]]:
    """When each was due, and its lines, of those that have any."""
    found = [(date_of(each.issue_date), dict(summary(each)[2])) for each in invoices if each.lines]
    return sorted(found, key=lambda each: each[0])


def date_of(day: Date) -> str:
    return date(day.year, day.month, day.day).isoformat()


async def explained(acme: Tenant, invoices: list[invoicing_pb2.Invoice]) -> list[str]:
    """What is said of base fees; every line is reproduced, and every invoice."""
    await require_replayed(acme, invoices)
    said = [await require_reproduced(acme, each) for each in invoices]
    return [each["Base fee"][2] for each in said if "Base fee" in each]


@pytest.mark.parametrize("in_advance", [False, True])
async def test_the_fee_is_billed_once_a_year_and_usage_every_month(
    world: World, acme: Tenant, in_advance: bool
) -> None:
    await begin(acme, in_advance=in_advance, grace_period_days=3)
    for at, tokens in (("2024-01-10", "2"), ("2024-01-31T23:59:59", "1"), ("2024-03-05", "3"), ("2024-12-31", "4")):
        await event(acme, utc(at), at, tokens)
    await bill_until(world, acme, "2025-01-02")
    await event(acme, utc("2024-12-30"), "late", "5")  # while its invoice is a draft
    invoices = await bill_until(world, acme, "2025-01-10")
    usage = [("2024-02-01", {"tokens": 300}), ("2024-04-01", {"tokens": 300})]
    last = ("2025-01-01", {"base": ANNUAL, "tokens": 900})
    assert bills(invoices) == [*([("2024-01-01", {"base": ANNUAL})] if in_advance else []), *usage, last]
    assert len(invoices) == 12 + in_advance
    whole = "The base fee of a whole year is 366.00 USD, and all {} days of the year are billed."
    assert await explained(acme, invoices) == [whole.format(days) for days in ((366, 365) if in_advance else (366,))]


async def test_where_the_plan_changes_days_of_the_year_are_billed_with_the_month_that_is_cut(
    world: World, acme: Tenant
) -> None:
    await begin(acme)
    await acme.plan("basic", DOLLAR_EACH, base_fee=3100)
    await bill_until(world, acme, "2024-03-12T06:00")
    foreseen = (await acme.changes.PreviewChange(asked_preview(change_to("basic")))).invoices
    await change(acme, "basic")
    invoices = await bill_until(world, acme, "2024-04-01")
    assert bills(invoices) == [("2024-03-12", {"base": 7100}), ("2024-04-01", {"base": 2000})]
    assert summary(foreseen[0])[2] == [("base", 7100)]
    assert "71 of the year's 366 days" in (await explained(acme, invoices))[0]


async def test_to_a_cheaper_plan_when_the_year_is_over(world: World, acme: Tenant) -> None:
    await begin(acme)
    await acme.plan("basic", DOLLAR_EACH, base_fee=3000)
    await bill_until(world, acme, "2024-03-12T06:00")
    await change(acme, "basic")
    invoices = await bill_until(world, acme, "2025-02-01")
    assert bills(invoices) == [("2025-01-01", {"base": ANNUAL}), ("2025-02-01", {"base": 3000})]


@pytest.mark.parametrize("verb", ["end", "change", "pause"])
async def test_a_fee_is_not_lost_where_its_phase_ends_with_a_month_that_is_billed(
    world: World, acme: Tenant, verb: str
) -> None:
    await begin(acme)
    await acme.plan("free", base_fee=None)
    await bill_until(world, acme, "2024-03-01")
    if verb == "end":
        end = invoicing_pb2.TerminateSubscriptionRequest(id="s", end_time=timestamp_out(utc("2024-03-01")))
        foreseen = (await acme.previews.PreviewSubscription(PreviewSubscriptionRequest(end=end))).invoices
        await terminate(acme, "2024-03-01")
    elif verb == "change":
        foreseen = (await acme.changes.PreviewChange(asked_preview(change_to("free", "2024-03-01")))).invoices
        await change(acme, "free", "2024-03-01")
    else:
        pause = pauses_pb2.PauseSubscriptionRequest(id="s")
        foreseen = (await acme.previews.PreviewSubscription(PreviewSubscriptionRequest(pause=pause))).invoices
        pause.request_id = new_request_id()
        await acme.pauses.PauseSubscription(pause)
    assert [summary(each)[2] for each in foreseen] == [[("base", 6000)]]
    invoices = await bill_until(world, acme, "2025-03-01")
    assert bills(invoices) == [("2024-03-01", {"base": 6000})]
    assert "60 of the year's 366 days" in (await explained(acme, invoices))[0]


async def test_in_advance_an_end_gives_the_rest_of_the_year_back(world: World, acme: Tenant) -> None:
    await begin(acme, in_advance=True)
    await event(acme, utc("2024-03-02"), "one", "1")
    await bill_until(world, acme, "2024-03-12T06:00")
    await terminate(acme, "2024-03-12T06:00")
    invoices = await bill_until(world, acme, "2024-03-13")
    assert bills(invoices) == [("2024-01-01", {"base": ANNUAL}), ("2024-03-12", {"tokens": 100})]
    [note] = await notes(acme)
    assert note.total.minor_units == ANNUAL - 7200


@pytest.mark.parametrize("in_advance", [False, True])
async def test_a_trial_that_ends_within_the_year_takes_its_days_off_the_fee(
    world: World, acme: Tenant, in_advance: bool
) -> None:
    await begin(acme, in_advance=in_advance, trial_days=45)
    invoices = await bill_until(world, acme, "2025-01-01")
    first = ("2024-02-15" if in_advance else "2025-01-01", {"base": 32100})
    assert bills(invoices) == [first, *([("2025-01-01", {"base": ANNUAL})] if in_advance else [])]
    await explained(acme, invoices)


async def test_on_a_ramp_fees_have_the_price_of_the_quarter_and_usage_that_of_the_month(
    world: World, acme: Tenant
) -> None:
    half = pricing_pb2.Phase(
        to_month=4, base_fee_percent="-50", prices=[pricing_pb2.PriceChange(charge_code="tokens", percent="-50")]
    )
    await begin(acme, interval=QUARTERLY, phases=[half])
    for month in range(1, 8):
        await event(acme, utc(f"2024-0{month}-02"), f"e{month}", "2")
    invoices = await bill_until(world, acme, "2024-10-01")
    assert [each["tokens"] for _, each in bills(invoices) if "tokens" in each] == [100] * 4 + [200] * 3
    assert [each["base"] for _, each in bills(invoices) if "base" in each] == [ANNUAL // 2, ANNUAL // 2, ANNUAL]
    assert "a whole quarter" in (await explained(acme, invoices))[0]


async def test_fixed_charges_are_billed_by_the_month(world: World, acme: Tenant) -> None:
    add_on = addons_pb2.AddOn(code="seat", name="Seat", currency_code="USD", amount=money_out(Money(0, "USD")))
    await acme.add_ons.CreateAddOn(addons_pb2.CreateAddOnRequest(request_id=new_request_id(), add_on=add_on))
    price = pricing_pb2.StandardPrice(unit_price="10")
    seats = pricing_pb2.FixedCharge(code="seats", add_on_code="seat", units="2", standard=price)
    await begin(acme, interval=QUARTERLY, fixed_charges=[seats])
    invoices = await bill_until(world, acme, "2024-04-01")
    assert bills(invoices) == [
        ("2024-02-01", {"seats": 2000}),
        ("2024-03-01", {"seats": 2000}),
        ("2024-04-01", {"base": ANNUAL, "seats": 2000}),
    ]
    await explained(acme, invoices)


async def test_it_is_not_simulated(acme: Tenant) -> None:
    await begin(acme)
    with pytest.raises(InvalidArgument) as refused:
        await simulate(acme, "annual")
    assert (refused.value.reason, refused.value.metadata["fields"]) == ("PLAN_UNSUPPORTED", "charges_monthly")
    await acme.plan("month", DOLLAR_EACH, base_fee=3100)
    assert (
        await simulate(acme, "month", month=None, start_date={"year": 2024, "month": 1, "day": 1})
    ).sums.failed_count
