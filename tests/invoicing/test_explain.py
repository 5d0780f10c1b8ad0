"""The sentences that a support agent reads aloud."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from libs.common.money import Money
from services.invoicing.domain.bill import Bill
from services.invoicing.domain.explain import sentences
from services.invoicing.domain.invoice import Invoice, PaymentStatus, State
from services.invoicing.domain.line import Line, LineKind, Source
from services.invoicing.domain.period import Period, zone
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.rating import RatedTier, Rating, StepKind
from services.invoicing.domain.schedule import BillingInterval, BillingTime, schedule
from services.invoicing.domain.settlement import Settlement
from services.invoicing.domain.tax import InvoiceTax

BERLIN = zone("Europe/Berlin")
BEGAN = datetime(2023, 10, 16, tzinfo=UTC)
MONTHS = schedule(BillingInterval.MONTHLY, BillingTime.CALENDAR, BEGAN, BERLIN)
PERIOD = Period(datetime(2023, 10, 16, 10, 30, tzinfo=UTC), datetime(2023, 10, 31, 23, tzinfo=UTC))
ZERO = Decimal(0)
SOURCE = Source("acme-1", 1, "llm-api", 3)


def line(code: str, description: str, unrounded: str, *, part: Proration | None = None, taxed: bool = True) -> Line:
    amount = Money.rounded(Decimal(unrounded), "EUR")
    taxes = ("vat",) if taxed else ()
    kind = LineKind.BASE_FEE if part else LineKind.USAGE
    made = Line(kind, code, description, SOURCE, PERIOD, amount, Decimal(unrounded), taxes, proration=part)
    return made if part else replace(made, rating=b"", watermark=8819)


def explained(each: Line, rating: Rating | None = None) -> list[str]:
    vat = InvoiceTax("vat", "VAT", Decimal("19.000000"), Money(2000, "EUR"), Money(380, "EUR"), Decimal("3.8"))
    invoice = Invoice(
        id="inv_1",
        number="INV-202311-000001",
        customer_id="acme",
        settlements=(Settlement(SOURCE, PERIOD, PERIOD.end, False),),
        bill=Bill("EUR", (each,), (vat,)),
        state=State.FINALIZED,
        payment_status=PaymentStatus.PENDING,
        amount_paid=Money(0, "EUR"),
        due_time=PERIOD.end,
        issue_date=date(2023, 11, 1),
        create_time=PERIOD.end,
        offset=Money(0, "USD"),
        finalize_time=PERIOD.end,
    )
    return sentences(invoice, 0, rating, MONTHS)


def rating(model: str, quantity: str, amount: str, *tiers: RatedTier) -> Rating:
    return Rating("tokens", model, Decimal(quantity), Money.rounded(Decimal(amount), "EUR"), Decimal(amount), tiers)


def test_a_prorated_base_fee() -> None:
    part = Proration(Money(2000, "EUR"), 16, 31)
    assert explained(line("base", "Base fee", "10.322580645161", part=part)) == [
        "Base fee is billed to customer acme for subscription acme-1, by version 3 of plan llm-api.",
        "The period runs from 16 October 2023, 12:30 to just before 1 November 2023, 00:00 (Europe/Berlin time).",
        "The base fee of a whole month is 20.00 EUR; 16 of the month's 31 days are billed, so 20.00 times 16 divided"
        " by 31.",
        "10.322580645161 EUR is rounded once, to the nearest amount that EUR has and halves away from zero: the line"
        " is 10.32 EUR.",
        "VAT of 19 % is computed once for the invoice, on the 20.00 EUR of lines it applies to, of which this is one:"
        " 3.8 EUR, rounded to 3.80 EUR.",
    ]


def test_a_whole_base_fee_that_no_tax_applies_to() -> None:
    part = Proration(Money(2000, "EUR"), 31, 31)
    assert explained(line("base", "Base fee", "20", part=part, taxed=False))[2:] == [
        "The base fee of a whole month is 20.00 EUR, and all 31 days of the month are billed.",
        "The line is 20.00 EUR; nothing had to be rounded.",
        "No tax applies to it.",
    ]


def test_graduated_tiers_and_what_they_come_to() -> None:
    tiers = (
        RatedTier(ZERO, Decimal(1_000_000), Decimal(1_000_000), Decimal("0.0000025"), ZERO, Decimal("2.5"), ZERO),
        RatedTier(
            Decimal(1_000_000),
            Decimal(5_000_000),
            Decimal(4_000_000),
            Decimal("0.000002"),
            Decimal("0.3"),
            Decimal("8.3"),
            ZERO,
        ),
        RatedTier(Decimal(5_000_000), None, Decimal(10), Decimal("0.0000015"), ZERO, Decimal("0.000015"), ZERO),
    )
    said = explained(line("tokens", "Tokens", "10.800015"), rating("graduated", "5000010", "10.800015", *tiers))
    assert said[2:7] == [
        "In that period meter tokens measured 5,000,010 units, counting the events that were recorded up to position"
        " 8819 of the log.",
        "The first 1,000,000 units at 0.0000025 EUR each: 2.5 EUR.",
        "The next 4,000,000 units, up to 5,000,000, at 0.000002 EUR each and a flat fee of 0.3 EUR: 8.3 EUR.",
        "The next 10 units at 0.0000015 EUR each: 0.000015 EUR.",
        "Together that is 10.800015 EUR.",
    ]


def test_packages_and_the_units_that_are_free() -> None:
    tier = RatedTier(ZERO, None, Decimal(3), Decimal(1), ZERO, Decimal(3), Decimal(500), StepKind.PACKAGES)
    said = explained(line("requests", "Requests", "3"), rating("package", "2939", "3", tier))
    assert said[3] == (
        "The first 500 units cost nothing; the rest makes 3 packages, a package begun counting as a whole one, at 1 EUR"
        " each: 3 EUR."
    )


def test_a_standard_price() -> None:
    tier = RatedTier(ZERO, None, Decimal("82060.5"), Decimal("0.00001"), ZERO, Decimal("0.820605"), ZERO)
    said = explained(line("out", "Out", "0.820605"), rating("standard", "82060.5", "0.820605", tier))
    assert said[3] == "82,060.5 units at 0.00001 EUR each: 0.820605 EUR."


def test_corrections_that_outweigh_usage() -> None:
    said = explained(line("out", "Out", "0"), rating("standard", "-3", "0"))
    assert said[2:4] == [
        "In that period meter tokens measured -3 units, counting the events that were recorded up to position"
        " 8819 of the log.",
        "Corrections outweigh usage, which costs nothing.",
    ]
