"""Coupons and the hierarchy of taxes, from the catalog to finalized invoices."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from libs.common.errors import BillingError
from libs.common.money import Money
from libs.common.wire import money_out
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from tests.conftest import Keys, cloned
from tests.invoicing.world import REQUESTS, TOKENS, Tenant, World, deployed, new_request_id, utc
from weir.invoicing.v1 import coupons_pb2, credit_notes_pb2, invoicing_pb2
from weir.pricing.v1 import coupons_pb2 as catalog
from weir.pricing.v1 import pricing_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONCE = catalog.Coupon.FREQUENCY_ONCE
RECURRING = catalog.Coupon.FREQUENCY_RECURRING
_TENANTS = count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


@pytest.fixture
def acme(shared: World) -> Tenant:
    """A tenant for each test."""
    return shared.tenant(f"acme-{next(_TENANTS)}")


def usd(minor_units: int) -> Money:
    return Money(minor_units, "USD")


async def coupon(acme: Tenant, code: str, **fields: object) -> None:
    made = catalog.Coupon(code=code, name=code.title(), **fields)  # type: ignore[arg-type]
    if made.HasField("fixed_amount"):
        made.currency_code = made.fixed_amount.currency_code
    await acme.coupons.CreateCoupon(catalog.CreateCouponRequest(request_id=new_request_id(), coupon=made))


async def apply(acme: Tenant, code: str, customer: str = "globex", **agreed: object) -> coupons_pb2.AppliedCoupon:
    request = coupons_pb2.ApplyCouponRequest(
        request_id=new_request_id(),
        customer_id=customer,
        coupon_code=code,
        **agreed,  # type: ignore[arg-type]
    )
    return (await acme.applied_coupons.ApplyCoupon(request)).applied_coupon


async def has(acme: Tenant) -> dict[str, coupons_pb2.AppliedCoupon]:
    answer = await acme.applied_coupons.ListAppliedCoupons(coupons_pb2.ListAppliedCouponsRequest(customer_id="globex"))
    return {each.coupon_code: each for each in answer.applied_coupons}


async def subscribed(acme: Tenant, base_fee: int = 2000, subscriptions: int = 1) -> None:
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.plan("basic", base_fee=base_fee)
    for i in range(subscriptions):
        await acme.subscribe(f"globex-{i}", "globex", "basic", "2023-11-01")


async def billed(shared: World, acme: Tenant, until: str) -> list[invoicing_pb2.Invoice]:
    await acme.advance(until)
    await shared.bill()
    invoices = await acme.invoices()
    for each in invoices:
        assert each.state == invoicing_pb2.Invoice.STATE_FINALIZED
        assert each.total.minor_units == (each.subtotal.minor_units - each.discount.minor_units + each.tax.minor_units)
        replayed = await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=each.id))
        assert (replayed.reproduced, replayed.recomputed_total) == (True, each.total)
    return invoices


def figures(invoice: invoicing_pb2.Invoice) -> tuple[int, ...]:
    return tuple(amount.minor_units for amount in (invoice.subtotal, invoice.discount, invoice.tax, invoice.total))


async def test_a_charge_bears_its_taxes_else_the_plans_and_a_coupon_is_spread_over_all(
    shared: World, acme: Tenant
) -> None:
    """Reference case sc-tax-01: fees 100 + 50 + 30 + 20, a coupon of 10 and taxes of 10 %, 0 % and 20 %."""
    for code, rate in {"banking": "10", "fr": "0", "sales": "20"}.items():
        await acme.tax(code, rate)
    await acme.meter("requests")
    await acme.meter("tokens", "tokens")
    fx = pricing_pb2.Charge(
        code="fx",
        name="FX",
        meter_code="tokens",
        standard=pricing_pb2.StandardPrice(unit_price="1"),
        tax_codes=["fr"],
    )
    cards = pricing_pb2.Charge(
        code="cards",
        name="Cards",
        meter_code="requests",
        standard=pricing_pb2.StandardPrice(unit_price="30"),
        minimum_amount="50",
        tax_codes=["sales"],
    )
    await acme.plan("p1", fx, cards, base_fee=10000, taxes=["banking"])
    await coupon(acme, "c1", fixed_amount=money_out(usd(1000)), frequency=ONCE)
    await acme.start_clock("2023-01-01")
    await acme.customer("globex")
    await acme.subscribe("s", "globex", "p1", "2023-01-01")
    await apply(acme, "c1")
    await acme.events("s", 1, at="2023-01-05", tokens="50")
    preview = await acme.invoicing.PreviewInvoice(invoicing_pb2.PreviewInvoiceRequest(subscription_id="s"))
    [invoice] = await billed(shared, acme, "2023-02-01")
    assert [line.amount.minor_units for line in invoice.lines] == [10000, 5000, 3000, 2000]
    assert [[each.amount for each in line.discounts] for line in invoice.lines] == [["5"], ["2.5"], ["1.5"], ["1"]]
    assert {tax.code: tax.amount.minor_units for tax in invoice.taxes} == {"banking": 950, "fr": 0, "sales": 950}
    assert figures(invoice) == figures(preview.invoice) == (20000, 1000, 1900, 20900)
    assert preview.invoice.discounts == invoice.discounts
    request = invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_number=1)
    explained = await acme.invoicing.ExplainLine(request)
    assert "Coupon C1 takes 10.00 USD off 200 USD of lines it applies to, of which this is one: 5 USD in" in " ".join(
        explained.sentences
    )


async def test_lines_without_taxes_bear_the_customers_or_else_the_tenants(shared: World, acme: Tenant) -> None:
    await acme.tax("plan", "10")
    await acme.tax("customer", "5")
    default = pricing_pb2.Tax(code="default", name="Default", rate_percent="1", tenant_default=True)
    await acme.pricing.CreateTax(pricing_pb2.CreateTaxRequest(request_id=new_request_id(), tax=default))
    await acme.plan("taxed", taxes=["plan"])
    await acme.plan("plain")
    await acme.start_clock("2023-11-01")
    for customer, codes in {"globex": ["customer"], "initech": []}.items():
        made = invoicing_pb2.Customer(id=customer, name=customer, tax_codes=codes)
        request = invoicing_pb2.CreateCustomerRequest(request_id=new_request_id(), customer=made)
        assert list((await acme.invoicing.CreateCustomer(request)).customer.tax_codes) == codes
        for plan in ("taxed", "plain"):
            await acme.subscribe(f"{customer}-{plan}", customer, plan, "2023-11-01")
    preview = await acme.invoicing.PreviewInvoice(invoicing_pb2.PreviewInvoiceRequest(subscription_id="initech-plain"))
    assert [tax.code for tax in preview.invoice.taxes] == ["default"]
    invoices = await billed(shared, acme, "2023-12-01")
    assert {each.subscription_id: [*each.lines[0].tax_codes] for each in invoices} == {
        "globex-taxed": ["plan"],
        "globex-plain": ["customer"],
        "initech-taxed": ["plan"],
        "initech-plain": ["default"],
    }
    assert sorted(each.tax.minor_units for each in invoices) == [20, 100, 200, 200]


async def test_a_customer_with_a_tax_that_is_not_there_is_refused(acme: Tenant) -> None:
    made = invoicing_pb2.Customer(id="globex", name="Globex", tax_codes=["nowhere"])
    with pytest.raises(BillingError) as refused:
        await acme.invoicing.CreateCustomer(
            invoicing_pb2.CreateCustomerRequest(request_id=new_request_id(), customer=made)
        )
    assert refused.value.reason == "TAX_NOT_FOUND"


async def test_a_plan_whose_prices_contain_their_taxes(shared: World, acme: Tenant) -> None:
    await acme.tax("vat", "20")
    version = pricing_pb2.PlanVersion(
        currency_code="USD",
        billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY,
        base_fee=money_out(usd(1000)),
        tax_codes=["vat"],
        tax_inclusive=True,
    )
    request = pricing_pb2.CreatePlanRequest(
        request_id=new_request_id(), plan=pricing_pb2.Plan(code="gross", name="Gross"), version=version
    )
    await acme.pricing.CreatePlan(request)
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.subscribe("s", "globex", "gross", "2023-11-01")
    [invoice] = await billed(shared, acme, "2023-12-01")
    [tax] = invoice.taxes
    assert (tax.included, tax.taxable.minor_units, tax.amount.minor_units) == (True, 833, 167)
    assert figures(invoice) == (1000, 0, 0, 1000)
    assert invoice.included_tax.minor_units == 167
    asked = credit_notes_pb2.CreditNote(invoice_id=invoice.id, kind=credit_notes_pb2.CreditNote.KIND_CREDIT)
    made = credit_notes_pb2.CreateCreditNoteRequest(request_id=new_request_id(), credit_note=asked)
    note = (await acme.credit_notes.CreateCreditNote(made)).credit_note
    assert (note.total.minor_units, [each.included for each in note.taxes]) == (1000, [True])


async def test_what_is_left_of_an_amount_goes_on_with_the_next_invoice(shared: World, acme: Tenant) -> None:
    await subscribed(acme)
    await coupon(acme, "welcome", fixed_amount=money_out(usd(5000)), frequency=ONCE)
    await coupon(acme, "loyal", rate_percent="10", frequency=RECURRING, periods=2)
    await apply(acme, "welcome")
    await apply(acme, "loyal", rate_percent="50")
    invoices = await billed(shared, acme, "2024-03-01")
    assert [each.discount.minor_units for each in invoices] == [2000, 2000, 1500, 1000]
    assert [[used.coupon_code for used in each.discounts] for each in invoices] == [
        ["welcome"],
        ["welcome"],
        ["welcome", "loyal"],
        ["loyal"],
    ]
    assert [each.total.minor_units for each in invoices] == [0, 0, 500, 1000]
    assert {each.state for each in (await has(acme)).values()} == {coupons_pb2.AppliedCoupon.STATE_USED_UP}


async def test_a_void_gives_a_coupon_back_and_a_note_only_what_was_paid(shared: World, acme: Tenant) -> None:
    await subscribed(acme)
    await coupon(acme, "welcome", fixed_amount=money_out(usd(3000)), frequency=ONCE)
    await coupon(acme, "gone", rate_percent="50", frequency=ONCE)
    await apply(acme, "welcome")
    await apply(acme, "gone")
    first, second = await billed(shared, acme, "2024-01-01")
    assert (first.discount.minor_units, second.discount.minor_units) == (2000, 1500)
    gone = (await has(acme))["gone"]
    removal = coupons_pb2.RemoveAppliedCouponRequest(request_id=new_request_id(), id=gone.id)
    for _ in range(2):
        removed = (await acme.applied_coupons.RemoveAppliedCoupon(removal)).applied_coupon
    assert removed.state == coupons_pb2.AppliedCoupon.STATE_REMOVED
    await acme.invoicing.VoidInvoice(invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=first.id))
    welcome = (await has(acme))["welcome"]
    assert (welcome.remaining_amount.minor_units, welcome.state) == (2000, coupons_pb2.AppliedCoupon.STATE_ACTIVE)
    asked = credit_notes_pb2.CreditNote(
        invoice_id=second.id,
        kind=credit_notes_pb2.CreditNote.KIND_CREDIT,
        items=[credit_notes_pb2.CreditNoteItem(line_number=1, amount=money_out(usd(1000)))],
    )
    request = credit_notes_pb2.CreateCreditNoteRequest(request_id=new_request_id(), credit_note=asked)
    note = (await acme.credit_notes.CreateCreditNote(request)).credit_note
    assert (note.subtotal.minor_units, note.discount.minor_units, note.total.minor_units) == (1000, 750, 250)


async def test_racing_finalizations_use_a_balance_once(shared: World, acme: Tenant) -> None:
    """Twelve invoices of one customer are finalized by three workers in small chunks: two roads, the same money."""
    await subscribed(acme, base_fee=700, subscriptions=4)
    await coupon(acme, "welcome", fixed_amount=money_out(usd(5000)), frequency=ONCE)
    await coupon(acme, "thrice", rate_percent="100", frequency=RECURRING, periods=2)
    await apply(acme, "welcome")
    await apply(acme, "thrice")
    await acme.advance("2024-02-01")
    await asyncio.gather(*(shared.bill(chunk_size=1) for _ in range(3)))
    invoices = await acme.invoices()
    assert len(invoices) == 12
    welcome = [each for invoice in invoices for each in invoice.discounts if each.coupon_code == "welcome"]
    assert sum(each.amount.minor_units for each in welcome) == 5000
    assert sum(each.total.minor_units for each in invoices) == 12 * 700 - 5000 - 600 - 700
    assert {each.state for each in (await has(acme)).values()} == {coupons_pb2.AppliedCoupon.STATE_USED_UP}


async def test_a_coupon_for_a_meter_or_a_plan_takes_off_their_lines_only(shared: World, acme: Tenant) -> None:
    await acme.meter("requests")
    await acme.meter("tokens", "tokens")
    await acme.plan("metered", REQUESTS, TOKENS)
    await acme.plan("other")
    await coupon(acme, "meters", rate_percent="50", frequency=ONCE, meter_codes=["requests"])
    await coupon(acme, "plans", rate_percent="10", frequency=ONCE, plan_codes=["other"])
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.subscribe("a", "globex", "metered", "2023-11-01", alone=False)
    await acme.subscribe("b", "globex", "other", "2023-11-01", alone=False)
    await acme.events("a", 1501)
    await apply(acme, "plans")
    await apply(acme, "meters")
    [invoice] = await billed(shared, acme, "2023-12-01")
    assert [[(d.coupon_code, d.amount) for d in line.discounts] for line in invoice.lines if line.discounts] == [
        [("meters", "1")],
        [("plans", "2")],
    ]
    assert [each.coupon_code for each in invoice.discounts] == ["meters", "plans"]


async def test_applying_again_answers_again_and_other_contents_are_refused(acme: Tenant) -> None:
    await subscribed(acme)
    await coupon(acme, "welcome", fixed_amount=money_out(usd(1)), frequency=ONCE)
    request = coupons_pb2.ApplyCouponRequest(
        request_id=str(uuid4()), customer_id="globex", coupon_code="welcome", frequency=RECURRING, periods=2
    )
    answers = await asyncio.gather(*(acme.applied_coupons.ApplyCoupon(request) for _ in range(4)))
    assert len({answer.applied_coupon.id for answer in answers}) == 1
    assert answers[0].applied_coupon.remaining_periods == 2
    assert utc("2023-11-01").timestamp() == answers[0].applied_coupon.create_time.seconds
    for change, reason in (
        ({"periods": 3}, "REQUEST_ID_REUSED"),
        ({"request_id": new_request_id()}, "COUPON_NOT_REUSABLE"),
        ({"request_id": new_request_id(), "rate_percent": "5"}, "COUPON_DISCOUNT_MISMATCHED"),
        ({"request_id": new_request_id(), "periods": 0}, "COUPON_PERIODS_MALFORMED"),
        ({"request_id": new_request_id(), "customer_id": "nobody"}, "CUSTOMER_NOT_FOUND"),
        ({"request_id": new_request_id(), "coupon_code": "none"}, "COUPON_NOT_FOUND"),
    ):
        other = coupons_pb2.ApplyCouponRequest()
        other.CopyFrom(request)
        for name, value in change.items():
            setattr(other, name, value)
        with pytest.raises(BillingError) as refused:
            await acme.applied_coupons.ApplyCoupon(other)
        assert refused.value.reason == reason


async def test_a_finalized_discount_and_the_terms_of_a_coupon_never_change(shared: World, acme: Tenant) -> None:
    await subscribed(acme)
    await coupon(acme, "welcome", fixed_amount=money_out(usd(500)), frequency=ONCE)
    await apply(acme, "welcome")
    [invoice] = await billed(shared, acme, "2023-12-01")
    async with shared.database() as conn:
        for statement in (
            "UPDATE invoice_discount SET amount_minor = 1 WHERE invoice_id = $1",
            "DELETE FROM invoice_discount WHERE invoice_id = $1",
            "UPDATE invoice_line_discount SET amount = 1 WHERE invoice_id = $1",
            "INSERT INTO invoice_line_discount SELECT tenant_id, invoice_id, 9, applied_coupon_id, 1"
            " FROM invoice_discount WHERE invoice_id = $1",
            "UPDATE applied_coupon c SET amount_minor = 9 FROM invoice i WHERE i.tenant_id = c.tenant_id AND i.id = $1",
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await conn.execute(statement, invoice.id)
