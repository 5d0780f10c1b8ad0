"""Reports on the business, against a running deployment: they say what the trial balance says."""

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest
import pytest_asyncio

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from tests.conftest import Keys, cloned
from tests.invoicing.books import CREDIT, Books, day_of
from tests.invoicing.test_changes import change
from tests.invoicing.test_coupons import ONCE, apply, coupon
from tests.invoicing.test_fixed_charges import fixed, set_units
from tests.invoicing.test_pauses import pause, resume
from tests.invoicing.world import World, deployed, new_request_id
from weir.invoicing.v1 import analytics_pb2 as pb
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import addons_pb2
from weir.pricing.v1.pricing_pb2 import PlanVersion

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIGURES = ("gross", "discounts", "credited", "voided", "net")
BUCKETS = ("not_due", "days_1_to_30", "days_31_to_60", "days_61_to_90", "over_90_days", "overdue", "total")
MOVEMENTS = ("mrr", "new", "reactivation", "expansion", "contraction", "churn")
NET_ACCOUNTS = ("deferred_revenue", "unbilled_revenue", "revenue", "rounding")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


@pytest.fixture
def books(shared: World) -> Books:
    """A tenant for each test."""
    return Books(shared)


async def revenue(books: Books, first: str, last: str) -> dict[str, tuple[int, ...]]:
    """FIGURES by month, which come to what the trial balance says."""
    request = pb.GetRevenueRequest(start_date=day_of(first), end_date=day_of(last))
    months = (await books.tenant.analytics.GetRevenue(request)).months
    for each in months:
        taken = each.discounts.minor_units + each.credited.minor_units + each.voided.minor_units
        assert each.gross.minor_units - taken == each.net.minor_units
    before = await books.balances((date.fromisoformat(first) - timedelta(days=1)).isoformat())
    after = await books.balances(last)
    added = sum(before.get(each, 0) - after.get(each, 0) for each in NET_ACCOUNTS)
    assert sum(each.net.minor_units for each in months) == added
    return {
        f"{each.month.year}-{each.month.month:02}": tuple(getattr(each, name).minor_units for name in FIGURES)
        for each in months
    }


def figures(ageing: pb.Ageing) -> tuple[int, ...]:
    return tuple(getattr(ageing, name).minor_units for name in BUCKETS)


async def ageing(books: Books, day: str) -> tuple[int, ...]:
    """BUCKETS of all customers, which come to the balance of receivables."""
    answer = await books.tenant.analytics.GetOverdueAgeing(pb.GetOverdueAgeingRequest(date=day_of(day)))
    [total] = [figures(each) for each in answer.totals] or [(0,) * len(BUCKETS)]
    assert sum(total[:5]) == total[6] == (await books.balances(day)).get("receivable", 0)
    assert sum(total[1:5]) == total[5]
    return total


async def test_revenue_is_without_taxes_what_was_invoiced_less_what_was_given_back(books: Books) -> None:
    first = await books.subscribed(fee=3000)
    await books.until("2023-12-02")
    await books.note(first, CREDIT, 1000)
    note_id = await books.note(first, CREDIT, 500)
    await books.until("2024-01-02")
    third = (await books.tenant.invoices())[-1]
    await books.void(third)
    assert await revenue(books, "2023-10-01", "2024-01-31") == {
        "2023-11": (3000, 0, 0, 0, 3000),
        "2023-12": (3000, 0, 1500, 0, 1500),
        "2024-01": (3000, 0, 0, 3000, 0),
    }
    await books.void_note(note_id)  # credits it gave to the voided invoice are there again: none of it is used
    assert (await revenue(books, "2024-01-01", "2024-01-31"))["2024-01"] == (3000, 0, -500, 3000, 500)
    assert await revenue(books, "2023-11-02", "2023-11-30") == {}


async def test_coupons_are_taken_off_gross_revenue_without_the_taxes_in_them(books: Books) -> None:
    """59.50 off a fee of 119.00 with 19 % in it are 50.00; a month that a coupon pays altogether is there, too."""
    await books.tenant.tax("vat", "19")
    await books.tenant.plan("basic", base_fee=11900, in_advance=True, taxes=["vat"], tax_inclusive=True)
    for code, percent in (("half", "50"), ("free", "100")):
        await coupon(books.tenant, code, rate_percent=percent, frequency=ONCE)
    await books.tenant.start_clock("2023-11-01")
    await books.tenant.customer("globex")
    await apply(books.tenant, "half")
    await books.tenant.subscribe("s", "globex", "basic", "2023-11-01")
    await books.world.bill()
    await apply(books.tenant, "free")
    await books.until("2023-12-01")
    assert await revenue(books, "2023-11-01", "2023-12-31") == {
        "2023-11": (10000, 5000, 0, 0, 5000),
        "2023-12": (10000, 10000, 0, 0, 0),
    }


async def test_what_is_owed_grows_old_until_it_is_paid_or_given_up(books: Books) -> None:
    first = await books.subscribed(fee=3000)
    assert await ageing(books, "2023-10-31") == (0, 0, 0, 0, 0, 0, 0)
    days = {0: 0, 1: 1, 30: 1, 31: 2, 60: 2, 61: 3, 90: 3, 91: 4}
    due = date(first.due_date.year, first.due_date.month, first.due_date.day)
    for age, bucket in days.items():
        found = await ageing(books, (due + timedelta(days=age)).isoformat())
        assert found[bucket] == 3600 == found[6]
    await books.until("2023-12-02")
    assert await ageing(books, "2023-12-02") == (0, 3600, 3600, 0, 0, 7200, 7200)
    await books.pay(first, 600)
    assert await ageing(books, "2023-12-02") == (0, 3600, 3000, 0, 0, 6600, 6600)
    assert await ageing(books, "2023-12-01") == (3600, 3600, 0, 0, 0, 3600, 7200)  # as it was before
    await books.write_off(first)
    assert await ageing(books, "2023-12-02") == (0, 3600, 0, 0, 0, 3600, 3600)
    today = await books.tenant.analytics.GetOverdueAgeing(pb.GetOverdueAgeingRequest())
    assert (today.date.month, today.date.day) == (12, 2)
    assert [(each.customer_id, figures(each.ageing)[5]) for each in today.customers] == [("globex", 3600)]


async def test_the_customers_who_owe_most_are_named_first(books: Books) -> None:
    await books.tenant.start_clock("2023-11-01")
    for name, fee in (("small", 1000), ("large", 3000), ("middle", 2000)):
        await books.tenant.plan(name, base_fee=fee, in_advance=True)
        await books.tenant.customer(name)
        await books.tenant.subscribe(name, name, name, "2023-11-01")
    await books.world.bill()
    request = pb.GetOverdueAgeingRequest(date=day_of("2023-11-02"), customer_count=2)
    answer = await books.tenant.analytics.GetOverdueAgeing(request)
    assert [(each.customer_id, figures(each.ageing)[1]) for each in answer.customers] == [
        ("large", 3000),
        ("middle", 2000),
    ]
    assert [figures(each)[5] for each in answer.totals] == [6000]
    with pytest.raises(InvalidArgument, match="CUSTOMER_COUNT_OUT_OF_RANGE"):
        await books.tenant.analytics.GetOverdueAgeing(pb.GetOverdueAgeingRequest(customer_count=501))


async def recurring(books: Books, first: str, last: str) -> dict[str, tuple[int, ...]]:
    """Minor units by month: mrr, new, reactivation, expansion, contraction and churn."""
    request = pb.GetMonthlyRecurringRevenueRequest(start_date=day_of(first), end_date=day_of(last))
    months = (await books.tenant.analytics.GetMonthlyRecurringRevenue(request)).months
    return {
        f"{each.month.year}-{each.month.month:02}": tuple(getattr(each, name).minor_units for name in MOVEMENTS)
        for each in months
    }


async def test_what_recurs_is_brought_to_a_month_and_rounded_once_for_a_customer(books: Books) -> None:
    """A third of 100.00 and a sixth of it, 52 twelfths of 1.00, and 3 units at 2.50: 33.333 + 16.667 + 4.333 + 7.50."""
    await books.tenant.start_clock("2023-11-01")
    await books.tenant.customer("globex")
    add_on = addons_pb2.AddOn(code="seat", name="Seat", currency_code="USD", amount=money_out(Money(0, "USD")))
    await books.tenant.add_ons.CreateAddOn(addons_pb2.CreateAddOnRequest(request_id=new_request_id(), add_on=add_on))
    intervals = {
        "quarter": (10000, PlanVersion.BILLING_INTERVAL_QUARTERLY, ()),
        "half": (10000, PlanVersion.BILLING_INTERVAL_SEMIANNUAL, ()),
        "week": (100, PlanVersion.BILLING_INTERVAL_WEEKLY, ()),
        "seats": (None, PlanVersion.BILLING_INTERVAL_MONTHLY, (fixed("a", "3", "2.50"),)),
    }
    for code, (fee, interval, charges) in intervals.items():
        await books.tenant.plan(code, base_fee=fee, interval=interval, fixed_charges=charges)
        await books.tenant.subscribe("s" if code == "seats" else code, "globex", code, "2023-11-15")
    await books.world.bill()
    november = {"2023-11": (6183, 6183, 0, 0, 0, 0)}
    assert await recurring(books, "2023-10-01", "2024-12-31") == november
    await books.until("2023-12-10")
    await set_units(books.tenant, "a", "5")
    assert await recurring(books, "2023-10-01", "2024-12-31") == november | {"2023-12": (6683, 0, 0, 500, 0, 0)}


async def test_trials_pauses_changes_and_ends_move_what_recurs(books: Books) -> None:
    await books.tenant.start_clock("2023-11-01")
    for code, fee, trial in (("basic", 1000, 40), ("large", 3000, 0)):
        await books.tenant.plan(code, base_fee=fee, trial_days=trial)
    await books.tenant.customer("globex", "Asia/Tokyo")
    await books.tenant.subscribe("s", "globex", "basic", "2023-11-01")  # a trial until 11 December
    await books.until("2024-01-10")
    await change(books.tenant, "large")
    await books.until("2024-02-10")
    await pause(books.tenant)
    await books.until("2024-03-10")
    await resume(books.tenant)
    await books.until("2024-03-31T15:00")  # 1 April in Tokyo
    await books.tenant.invoicing.TerminateSubscription(
        invoicing_pb2.TerminateSubscriptionRequest(request_id=new_request_id(), id="s")
    )
    await books.until("2024-05-01")
    expected = {
        "2023-12": (1000, 1000, 0, 0, 0, 0),
        "2024-01": (3000, 0, 0, 2000, 0, 0),
        "2024-02": (0, 0, 0, 0, 0, 3000),
        "2024-03": (3000, 0, 3000, 0, 0, 0),
        "2024-04": (0, 0, 0, 0, 0, 3000),
    }
    assert await recurring(books, "2023-01-01", "2030-12-31") == expected
    assert await recurring(books, "2024-03-15", "2024-03-16") == {"2024-03": expected["2024-03"]}


async def test_what_begins_later_or_in_another_currency_is_kept_apart(books: Books) -> None:
    await books.tenant.start_clock("2023-11-01")
    await books.tenant.customer("globex")
    for code, currency, start in (
        ("now", "USD", "2023-11-01"),
        ("euro", "EUR", "2023-11-30"),
        ("later", "USD", "2024-06-01"),
    ):
        await books.tenant.plan(code, base_fee=1000, currency=currency)
        await books.tenant.subscribe(code, "globex", code, start)
    request = pb.GetMonthlyRecurringRevenueRequest(start_date=day_of("2023-11-01"), end_date=day_of("2024-12-31"))
    months = (await books.tenant.analytics.GetMonthlyRecurringRevenue(request)).months
    assert [(each.month.month, each.mrr.currency_code, each.new.minor_units) for each in months] == [
        (11, "EUR", 1000),
        (11, "USD", 1000),
    ]
