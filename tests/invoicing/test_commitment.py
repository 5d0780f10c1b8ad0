"""What is missing to a plan's minimum commitment."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from itertools import count

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from libs.common.wire import money_out
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from services.invoicing.domain.commitment import commitment_line
from services.invoicing.domain.lifecycle import begun
from services.invoicing.domain.line import Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.plan import Commitment
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.schedule import BillingTime
from services.invoicing.domain.settlement import settled
from tests.conftest import Keys, cloned
from tests.invoicing.test_coupons import apply, billed, coupon, figures, usd
from tests.invoicing.test_invoice import CUSTOMER, owed, plan, used
from tests.invoicing.world import TOKENS, Tenant, World, deployed, new_request_id, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import coupons_pb2, pricing_pb2

_TENANTS = count()


def missing(base_fee: int | None, committed: int, usage: int, start: str = "2023-11-01", *, trial_days: int = 0) -> int:
    """In cents, of a first month in arrears."""
    of = replace(plan(base_fee, currency="EUR"), commitment=Commitment(Money(committed, "EUR"), "", ()))
    due = begun("s", CUSTOMER, of, BillingTime.CALENDAR, utc(start), utc(start))
    due = replace(due, phases=(replace(due.phase, fee_start_time=utc(start).replace(day=utc(start).day + trial_days)),))
    lines = owed(of, settled(due), used("requests", str(Decimal(usage) / 100), currency="EUR"))
    found = commitment_line(
        due, due.phase, due.current_period, of, Source("s", 1, of.plan_code, of.version), lines, Money(0, "EUR")
    )
    return found.amount.minor_units if found else 0


@pytest.mark.parametrize(
    ("base_fee", "committed", "usage", "start", "amount"),
    [
        (2000, 10000, 3000, "2023-11-01", 5000),
        (2000, 10000, 8000, "2023-11-01", 0),
        (2000, 10000, 9000, "2023-11-01", 0),
        (None, 10000, 0, "2023-11-16", 5000),
        (2000, 10000, 1000, "2023-11-16", 3000),
    ],
)
def test_the_fees_of_a_period_are_led_to_the_commitment_for_its_days(
    base_fee: int | None, committed: int, usage: int, start: str, amount: int
) -> None:
    assert missing(base_fee, committed, usage, start) == amount


def test_a_trial_waives_the_base_fee_and_not_the_commitment() -> None:
    assert missing(3000, 10000, 0, trial_days=15) == 10000 - 1500


@given(
    st.none() | st.integers(0, 10**6),
    st.integers(1, 10**7),
    st.integers(0, 10**7),
    st.integers(1, 30),
    st.integers(0, 9),
)
def test_a_period_comes_to_its_commitment_or_to_its_fees(
    base_fee: int | None, committed: int, usage: int, day: int, trial_days: int
) -> None:
    trial_days = min(trial_days, 30 - day)
    days = 31 - day
    fee = Proration(Money(base_fee or 0, "EUR"), days - trial_days, 30).amount.minor_units
    least = Proration(Money(committed, "EUR"), days, 30).amount.minor_units
    found = missing(base_fee, committed, usage, f"2023-11-{day:02}", trial_days=trial_days)
    assert fee + usage + found == max(fee + usage, least)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


@pytest.fixture
def acme(shared: World) -> Tenant:
    return shared.tenant(f"acme-{next(_TENANTS)}")


async def committed(acme: Tenant, *, in_advance: bool) -> None:
    """20.00 a month, tokens and at least 100.00; VAT of 10 %, and 20 % on what is missing."""
    await acme.meter("tokens", "tokens")
    await acme.tax("vat", "10")
    await acme.tax("more", "20")
    commitment = pricing_pb2.MinimumCommitment(amount=money_out(usd(10000)), name="Commitment", tax_codes=["more"])
    version = pricing_pb2.PlanVersion(
        currency_code="USD",
        billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY,
        base_fee=money_out(usd(2000)),
        base_fee_in_advance=in_advance,
        charges=[TOKENS],
        tax_codes=["vat"],
        minimum_commitment=commitment,
    )
    plan_made = pricing_pb2.Plan(code="enterprise", name="Enterprise")
    request = pricing_pb2.CreatePlanRequest(request_id=new_request_id(), plan=plan_made, version=version)
    await acme.pricing.CreatePlan(request)
    await acme.start_clock("2023-11-16")
    await acme.customer("globex")


def commitments(invoice: invoicing_pb2.Invoice) -> list[int]:
    kind = invoicing_pb2.InvoiceLine.KIND_COMMITMENT
    return [line.amount.minor_units for line in invoice.lines if line.kind == kind]


@pytest.mark.asyncio(loop_scope="module")
async def test_each_subscription_on_an_invoice_has_a_commitment_of_its_own(shared: World, acme: Tenant) -> None:
    """Half of November: 50.00 each. One used 20.00 and pays 10.00 of base fee; the other nothing but that."""
    await committed(acme, in_advance=False)
    for name in ("busy", "idle"):
        await acme.subscribe(name, "globex", "enterprise", "2023-11-16", alone=False)
    await acme.events("busy", 10, at="2023-11-20", tokens="800000")
    await coupon(acme, "half", rate_percent="50", frequency=coupons_pb2.Coupon.FREQUENCY_ONCE)
    await apply(acme, "half")
    preview = await acme.invoicing.PreviewInvoice(invoicing_pb2.PreviewInvoiceRequest(subscription_id="busy"))
    [invoice] = await billed(shared, acme, "2023-12-01")
    usage = next(line.amount.minor_units for line in invoice.lines if line.code == "tokens")
    assert commitments(invoice) == [4000 - usage, 4000]
    assert figures(preview.invoice) == figures(invoice)
    assert (invoice.subtotal.minor_units, invoice.discount.minor_units) == (10000, 5000)
    assert {tax.code: tax.taxable.minor_units for tax in invoice.taxes} == {
        "vat": (2000 + usage) // 2,
        "more": (8000 - usage) // 2,
    }
    for number, line in enumerate(invoice.lines, 1):
        request = invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_number=number)
        explained = await acme.invoicing.ExplainLine(request)
        assert explained.reproduced
        if line.kind == invoicing_pb2.InvoiceLine.KIND_COMMITMENT:
            assert explained.sentences[2] == (
                "The plan commits to 100.00 USD a month at least; 15 of its 30 days count, for which that is 50 USD."
            )


@pytest.mark.asyncio(loop_scope="module")
async def test_in_advance_the_next_invoice_has_what_was_missing(shared: World, acme: Tenant) -> None:
    """November's half: 50.00 less the 10.00 that its first invoice charged; December is cut on the 10th, inclusive."""
    await committed(acme, in_advance=True)
    await acme.subscribe("s", "globex", "enterprise", "2023-11-16")
    first, second = await billed(shared, acme, "2023-12-01")
    assert (commitments(first), commitments(second)) == ([], [4000])
    assert second.lines[0].period.start_time.ToDatetime() == Period(utc("2023-12-01"), utc("2024-01-01")).start.replace(
        tzinfo=None
    )
    end = invoicing_pb2.TerminateSubscriptionRequest(request_id=new_request_id(), id="s")
    end.end_time.FromDatetime(utc("2023-12-11"))
    await acme.invoicing.TerminateSubscription(end)
    *_, last = await billed(shared, acme, "2024-01-01")
    assert commitments(last) == [round(10000 * 10 / 31) - round(2000 * 10 / 31)]


@pytest.mark.asyncio(loop_scope="module")
async def test_usage_that_comes_in_the_grace_period_counts(shared: World, acme: Tenant) -> None:
    await committed(acme, in_advance=False)
    made = invoicing_pb2.Customer(id="patient", name="patient", grace_period_days=3)
    request = invoicing_pb2.CreateCustomerRequest(request_id=new_request_id(), customer=made)
    await acme.invoicing.CreateCustomer(request)
    await acme.subscribe("s", "patient", "enterprise", "2023-11-16")
    await acme.advance("2023-12-01")
    await shared.bill()
    [draft] = await acme.invoices()
    assert commitments(draft) == [4000]
    await acme.events("s", 10, at="2023-11-20", tokens="800000")
    [invoice] = await billed(shared, acme, "2023-12-05")
    usage = next(line.amount.minor_units for line in invoice.lines if line.code == "tokens")
    assert (usage > 0, commitments(invoice)) == (True, [4000 - usage])
