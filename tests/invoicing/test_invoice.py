"""What a period comes to."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.domain.bill import MAX_SUBTOTAL, Bill, totalled
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.invoice import issue_date, number
from services.invoicing.domain.lifecycle import begun
from services.invoicing.domain.line import Line, RatedUsage, Source
from services.invoicing.domain.period import Period, zone
from services.invoicing.domain.plan import Charge, PlanVersion
from services.invoicing.domain.schedule import BillingInterval, BillingTime, schedule
from services.invoicing.domain.settlement import Settled, lines_of, settled
from services.invoicing.domain.subscription import Subscription
from services.invoicing.domain.tax import Tax

NOVEMBER = Period(datetime(2023, 11, 1, tzinfo=UTC), datetime(2023, 12, 1, tzinfo=UTC))
HALF = Period(datetime(2023, 11, 16, tzinfo=UTC), NOVEMBER.end)
UTC_ZONE = zone("UTC")
MONTHS = schedule(BillingInterval.MONTHLY, BillingTime.CALENDAR, NOVEMBER.start, UTC_ZONE)
CUSTOMER = Customer("acme", "Acme", "", "UTC", NOVEMBER.start)
SALES_TAX = Tax("sales", "Sales tax", Decimal("8.875"))
CITY_TAX = Tax("city", "City tax", Decimal("0.5"))


def plan(
    base_fee: int | None = 2000, taxes: tuple[str, ...] = ("sales",), currency: str = "USD", *, in_advance: bool = False
) -> PlanVersion:
    fee = None if base_fee is None else Money(base_fee, currency)
    charges = (Charge("requests", "requests"),)
    return PlanVersion("llm-api", 1, currency, BillingInterval.MONTHLY, fee, in_advance, charges, taxes)


def used(code: str, amount: str, quantity: str = "1", currency: str = "USD") -> RatedUsage:
    unrounded = Decimal(amount)
    return RatedUsage(code, code.title(), Decimal(quantity), Money.rounded(unrounded, currency), unrounded, b"\n\x01x")


def billed_next(of: PlanVersion, period: Period) -> Subscription:
    """A subscription in a period whose base fee in advance is charged already."""
    found = begun("s", CUSTOMER, of, BillingTime.CALENDAR, period.start, period.start)
    return found.billed() if found.is_opening else found


def november(*usage: RatedUsage, of: PlanVersion | None = None, period: Period = NOVEMBER) -> Bill:
    chosen = of or plan()
    lines = owed(chosen, settled(billed_next(chosen, period)), *usage)
    taxes = totalled(lines, {"sales": SALES_TAX, "city": CITY_TAX}, chosen.currency).taxes
    return Bill(chosen.currency, lines, taxes)


def owed(of: PlanVersion, settles: Settled, *usage: RatedUsage) -> tuple[Line, ...]:
    return lines_of(Source("s", 1, of.plan_code, of.version), of, settles, MONTHS, usage, 42)


def test_the_demo_customer_owes_38_98() -> None:
    whole = november(used("requests", "3"), used("input_tokens", "11.98"), used("output_tokens", "0.8206"))
    assert [(line.code, line.amount.minor_units) for line in whole.lines] == [
        ("base", 2000),
        ("requests", 300),
        ("input_tokens", 1198),
        ("output_tokens", 82),
    ]
    assert (whole.subtotal, whole.tax, whole.total) == (Money(3580, "USD"), Money(318, "USD"), Money(3898, "USD"))
    assert whole.taxes[0].unrounded_amount == Decimal("3.177250")


def test_usage_keeps_its_rating_and_watermark_and_the_base_fee_its_proration() -> None:
    base, requests = november(used("requests", "3"), period=HALF).lines
    assert base.proration is not None
    assert (base.proration.days, base.proration.period_days, base.amount.minor_units) == (15, 30, 1000)
    assert (base.rating, base.watermark) == (None, None)
    assert (requests.rating, requests.watermark, requests.proration) == (b"\n\x01x", 42, None)
    assert requests.period == HALF


def test_a_base_fee_in_advance_is_that_of_the_next_period_beside_the_usage_of_this_one() -> None:
    base, requests = november(used("requests", "3"), of=plan(in_advance=True), period=HALF).lines
    assert base.period == Period(NOVEMBER.end, datetime(2024, 1, 1, tzinfo=UTC))
    assert (base.amount.minor_units, requests.period) == (2000, HALF)


def test_the_first_base_fee_in_advance_is_due_when_the_period_begins_and_comes_alone() -> None:
    advance = plan(in_advance=True)
    opening = begun("s", CUSTOMER, advance, BillingTime.CALENDAR, HALF.start, HALF.start)
    [base] = owed(advance, settled(opening), used("requests", "3"))
    assert (base.code, base.period, base.amount.minor_units) == ("base", HALF, 1000)


def test_a_plan_without_a_base_fee_has_no_base_line_and_one_of_nothing_has() -> None:
    assert november(used("requests", "3"), of=plan(None)).lines[0].code == "requests"
    assert [line.code for line in november(of=plan(0)).lines] == ["base"]


def test_usage_of_nothing_that_costs_nothing_has_no_line() -> None:
    whole = november(used("a", "0", "0"), used("b", "5", "0"), used("c", "0", "7"), used("d", "0", "-3"))
    assert [line.code for line in whole.lines] == ["base", "b", "c", "d"]


def test_a_bill_without_lines_is_nothing_and_names_no_tax() -> None:
    whole = november(of=plan(None))
    assert (whole.lines, whole.taxes, whole.total) == ((), (), Money(0, "USD"))


def test_a_tax_is_rounded_once_on_the_sum_of_the_lines() -> None:
    """Rounded line by line, three times 0.44375 would come to 132."""
    lines = [used(code, "5") for code in "abc"]
    assert november(*lines, of=plan(None)).tax == Money(133, "USD")


def test_each_tax_is_rounded_for_itself() -> None:
    whole = november(of=plan(1000, ("sales", "city")))
    assert [(tax.code, tax.amount.minor_units) for tax in whole.taxes] == [("sales", 89), ("city", 5)]
    assert whole.total == Money(1094, "USD")


def test_a_currency_without_minor_units_is_taxed_in_whole_units() -> None:
    whole = november(of=plan(1000, currency="JPY"))
    assert (whole.tax, whole.total) == (Money(89, "JPY"), Money(1089, "JPY"))


@settings(deadline=None)
@given(st.lists(st.decimals(0, 10**9, places=6), max_size=6), st.integers(0, 10**9))
def test_the_total_is_the_lines_and_the_taxes(amounts: list[Decimal], fee: int) -> None:
    whole = november(*(used(f"c{i}", str(amount)) for i, amount in enumerate(amounts)), of=plan(fee))
    lines = sum(line.amount.minor_units for line in whole.lines)
    assert whole.subtotal.minor_units == lines == fee + sum(Money.rounded(a, "USD").minor_units for a in amounts)
    assert whole.total.minor_units == lines + sum(tax.amount.minor_units for tax in whole.taxes)
    assert all(Money.rounded(line.unrounded_amount, "USD") == line.amount for line in whole.lines)


def test_more_than_an_amount_can_state_is_refused() -> None:
    assert november(of=plan(MAX_SUBTOTAL)).subtotal.minor_units == MAX_SUBTOTAL
    with pytest.raises(FailedPrecondition) as refused:
        november(used("requests", "0.01"), of=plan(MAX_SUBTOTAL))
    assert refused.value.reason == "AMOUNT_TOO_LARGE"


def test_an_invoice_is_dated_on_the_first_day_after_its_period_where_the_customer_lives() -> None:
    assert issue_date(NOVEMBER.end, UTC_ZONE) == date(2023, 12, 1)
    berlin = Period(datetime(2023, 10, 31, 23, tzinfo=UTC), datetime(2023, 11, 30, 23, tzinfo=UTC))
    assert issue_date(berlin.end, zone("Europe/Berlin")) == date(2023, 12, 1)


def test_a_number_names_the_month_of_issue_and_grows_beyond_six_digits() -> None:
    assert number(date(2023, 12, 1), 42) == "INV-202312-000042"
    assert number(date(2024, 1, 1), 1234567) == "INV-202401-1234567"
