"""A finalized invoice: numbered without gaps, never changed, explained, and told how its payment goes."""

import asyncio
import re

import asyncpg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import FailedPrecondition, InvalidArgument, NotFound
from libs.common.money import Money
from libs.common.wire import money_out
from tests.invoicing.world import REQUESTS, TOKENS, Tenant, World, new_request_id
from weir.invoicing.v1 import customers_pb2, invoicing_pb2

Invoice = invoicing_pb2.Invoice
SKIP = invoicing_pb2.Customer.ZERO_AMOUNT_INVOICES_SKIP

_MORE = (
    "INSERT INTO invoice_line (tenant_id, invoice_id, position, kind, code, description, period_start, period_end,"
    " amount_minor, unrounded_amount, tax_codes, rating, watermark) SELECT tenant_id, $1, 9, 'usage', 'more',"
    " description, period_start, period_end, amount_minor, unrounded_amount, tax_codes, ''::bytea, 1"
    " FROM invoice_line LIMIT 1"
)
FORBIDDEN = [
    "UPDATE invoice SET total_minor = 1, subtotal_minor = 1, tax_minor = 0",
    "UPDATE invoice SET state = 'draft', number = NULL, sequence = NULL, finalize_time = NULL",
    "UPDATE invoice SET number = 'INV-0'",
    "UPDATE invoice SET customer_id = customer_id || 'x'",
    "UPDATE invoice SET due_time = due_time + interval '1 day'",
    "UPDATE invoice_settlement SET period_end = period_end + interval '1 day'",
    "DELETE FROM invoice_settlement",
    "INSERT INTO invoice_settlement SELECT tenant_id, invoice_id, subscription_id, 2, plan_code, plan_version,"
    " period_start, period_end, due_time, is_opening FROM invoice_settlement",
    "UPDATE invoice SET issue_date = issue_date + 1, payment_status = 'succeeded'",
    "DELETE FROM invoice",
    "TRUNCATE invoice CASCADE",
    "UPDATE invoice_line SET amount_minor = 0",
    "UPDATE invoice_line SET watermark = watermark + 1 WHERE code = 'requests'",
    "UPDATE invoice_line SET invoice_id = 'inv_draft' WHERE code = 'base'",
    "DELETE FROM invoice_line WHERE code = 'requests'",
    _MORE.replace("$1", "invoice_id"),
    _MORE.replace("$1", "'inv_nowhere'"),
    "TRUNCATE invoice_line CASCADE",
    "UPDATE invoice_tax SET amount_minor = 0",
    "DELETE FROM invoice_tax",
    "INSERT INTO invoice_tax SELECT tenant_id, invoice_id, 9, 'more', name, rate_percent, 0, 0, 0 FROM invoice_tax",
    "TRUNCATE invoice_tax CASCADE",
]
"""What would change a finalized invoice."""


async def billed(world: World, acme: Tenant) -> invoicing_pb2.Invoice:
    """One finalized invoice over 31.25 USD."""
    await acme.tax("sales", "8.875")
    await acme.meter("requests")
    await acme.meter("tokens", "tokens")
    await acme.plan("llm-api", REQUESTS, TOKENS, taxes=["sales"])
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.subscribe("globex-1", "globex", "llm-api", "2023-11-01")
    await acme.events("globex-1", 2600, tokens="1000.5")
    await acme.advance("2023-12-01")
    await world.bill()
    [invoice] = await acme.invoices()
    return invoice


async def draft(world: World, acme: Tenant) -> str:
    """A draft's id, made by taking a finalized invoice's place in the books."""
    async with world.database() as conn:
        draft_id: str = await conn.fetchval(
            "INSERT INTO invoice (tenant_id, id, customer_id, due_time, billing_run_id, currency, subtotal_minor,"
            " tax_minor, total_minor, issue_date, create_time, draft_until)"
            " SELECT tenant_id, 'inv_draft', customer_id, due_time + interval '30 days', billing_run_id, currency, 0,"
            " 0, 0, issue_date, create_time, due_time FROM invoice LIMIT 1 RETURNING id"
        )
    return draft_id


def report(
    invoice_id: str, revision: int, status: int, paid: int, currency: str = "USD"
) -> invoicing_pb2.RecordPaymentRequest:
    return invoicing_pb2.RecordPaymentRequest(
        invoice_id=invoice_id,
        payment_id="pay_1",
        revision=revision,
        payment_status=status,  # type: ignore[arg-type]
        amount_paid=money_out(Money(paid, currency)),
    )


async def test_postgres_itself_refuses_to_change_a_finalized_invoice(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    await draft(world, acme)
    async with world.database() as conn:
        for statement in FORBIDDEN:
            with pytest.raises(asyncpg.RestrictViolationError):
                await conn.execute(statement)
    read = await acme.invoicing.GetInvoice(invoicing_pb2.GetInvoiceRequest(id=invoice.id))
    assert read.invoice == invoice


async def test_a_line_can_not_slip_in_while_its_invoice_is_being_finalized(world: World, acme: Tenant) -> None:
    await billed(world, acme)
    draft_id = await draft(world, acme)
    async with world.database() as finalizer, world.database() as other:
        finalizing = finalizer.transaction()
        await finalizing.start()
        await finalizer.execute(
            "UPDATE invoice SET state = 'finalized', number = 'INV-X', sequence = 99, finalize_time = now()"
            " WHERE id = $1",
            draft_id,
        )
        slipping = asyncio.create_task(other.execute(_MORE, draft_id))
        await asyncio.sleep(0.1)
        assert not slipping.done()
        await finalizing.commit()
        with pytest.raises(asyncpg.RestrictViolationError):
            await slipping


async def fail_sometimes(world: World) -> None:
    """When an invoice is frozen."""
    async with world.database() as conn:
        await conn.execute(
            "CREATE FUNCTION fail_sometimes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF random() < 0.05 AND NEW.state = 'finalized' THEN RAISE EXCEPTION 'chance'; END IF; RETURN NEW; END $$;"
            " CREATE TRIGGER chance BEFORE UPDATE ON invoice FOR EACH ROW EXECUTE FUNCTION fail_sometimes()"
        )


async def bill_stubbornly(world: World) -> None:
    """With three workers that go on whatever happens."""

    async def stubborn_worker() -> None:
        async with world.worker(chunk_size=3) as biller:
            while True:
                try:
                    if not await biller.bill():
                        return
                except asyncpg.RaiseError:
                    continue

    await asyncio.gather(*(stubborn_worker() for _ in range(3)))


async def test_numbers_have_no_gaps_though_finalizers_race_and_fail(world: World, acme: Tenant) -> None:
    await acme.plan("basic")
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    for i in range(8):
        await acme.subscribe(f"globex-{i}", "globex", "basic", "2023-11-01")
    await acme.advance("2024-06-01")
    await fail_sometimes(world)
    await bill_stubbornly(world)
    numbers = sorted(each.number[-6:] for each in await acme.invoices())
    assert numbers == [f"{i:06}" for i in range(1, 57)]


async def test_customers_have_numbers_of_their_own_without_gaps_though_finalizers_race_and_fail(
    world: World, acme: Tenant
) -> None:
    """The tenant's sequence goes through all of them. A prefix may change: the sequences go on."""
    await acme.plan("basic")
    await acme.start_clock("2023-11-01")
    for customer_id, prefix in (("globex", "GLX"), ("initech", "I-2"), ("hooli", ""), ("umbrella", "GLX")):
        await acme.customer(customer_id, number_prefix=prefix)
        for i in range(2):
            await acme.subscribe(f"{customer_id}-{i}", customer_id, "basic", "2023-11-01")
    await fail_sometimes(world)
    await acme.advance("2024-03-01")
    await bill_stubbornly(world)
    renamed = invoicing_pb2.Customer(id="globex", number_prefix="NEW")
    request = customers_pb2.UpdateCustomerRequest(
        request_id=new_request_id(), customer=renamed, update_mask=FieldMask(paths=["number_prefix"])
    )
    await acme.customers.UpdateCustomer(request)
    for customer_id in ("vandelay", "wonka"):
        await acme.customer(customer_id, number_prefix="GLX")
        await acme.subscribe(customer_id, customer_id, "basic", "2024-03-01")
    await acme.advance("2024-04-01")
    await bill_stubbornly(world)
    numbers: dict[str, list[str]] = {}
    for each in await acme.invoices():
        numbers.setdefault(each.customer_id, []).append(each.number)
    own = {customer_id: sorted(found, key=lambda it: it[-3:]) for customer_id, found in numbers.items()}
    hooli = own.pop("hooli")
    assert len(set(hooli)) == 10
    assert all(re.fullmatch(r"INV-20\d{4}-\d{6}", each) for each in hooli)
    by_customer = {customer_id: {each.split("-")[-2] for each in found} for customer_id, found in own.items()}
    assert sorted(by_customer.values(), key=min) == [{"001"}, {"002"}, {"003"}, {"004"}, {"005"}]
    assert {*own.pop("vandelay"), *own.pop("wonka")} == {"GLX-004-001", "GLX-005-001"}
    for customer_id, first, last in (("globex", "GLX", "NEW"), ("initech", "I-2", "I-2"), ("umbrella", "GLX", "GLX")):
        [sequence] = by_customer[customer_id]
        assert own[customer_id] == [f"{first if i < 9 else last}-{sequence}-{i:03}" for i in range(1, 11)]
    async with world.database() as conn:
        sequences = await conn.fetch("SELECT sequence FROM invoice ORDER BY sequence")
    assert [row["sequence"] for row in sequences] == list(range(1, 43))


async def test_a_draft_takes_no_number_from_its_customer(world: World, acme: Tenant) -> None:
    await acme.plan("basic")
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", number_prefix="GLX", grace_period_days=3, zero_amount_invoices=SKIP)
    await acme.plan("free", base_fee=0)
    await acme.subscribe("free", "globex", "free", "2023-11-01")
    await acme.subscribe("s", "globex", "basic", "2023-11-01")
    await acme.advance("2023-12-01")
    await world.bill()
    assert [each.number for each in await acme.invoices()] == ["", ""]
    async with world.database() as conn:
        assert await conn.fetchval("SELECT count(*) FROM customer_counter") == 0
    await acme.advance("2023-12-04")
    await world.bill()
    assert sorted(each.number for each in await acme.invoices()) == ["", "GLX-001-001"]


@pytest.mark.parametrize("prefix", ["INV", "glx", "GLX-", "-G", "G--X", "A" * 21, "G X"])
async def test_a_prefix_that_makes_no_good_number_is_refused(acme: Tenant, prefix: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await acme.customer("globex", number_prefix=prefix)
    assert refused.value.reason == "NUMBER_PREFIX_MALFORMED"


async def test_every_line_is_explained_and_reproduced(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    await acme.events("globex-1", 50, prefix="late")
    for line in invoice.lines:
        request = invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_code=line.code)
        answer = await acme.invoicing.ExplainLine(request)
        assert answer.reproduced
        assert answer.recomputed_amount == line.amount
        assert answer.line == line
    assert "In that period meter tokens measured 2,601,300 units" in answer.sentences[2]
    assert answer.sentences[3:6] == [
        "The first 1,000,000 units at 0.0000025 USD each: 2.5 USD.",
        "The next 1,601,300 units at 0.000002 USD each: 3.2026 USD.",
        "Together that is 5.7026 USD.",
    ]


async def test_explaining_needs_an_invoice_and_a_line(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    with pytest.raises(NotFound) as no_line:
        await acme.invoicing.ExplainLine(invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_code="gpu"))
    assert no_line.value.reason == "LINE_NOT_FOUND"
    other = world.tenant("initech").invoicing
    for call in (
        other.ExplainLine(invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_code="base")),
        other.GetInvoice(invoicing_pb2.GetInvoiceRequest(id=invoice.id)),
    ):
        with pytest.raises(NotFound) as no_invoice:
            await call
        assert no_invoice.value.reason == "INVOICE_NOT_FOUND"


async def test_reports_of_payment_may_repeat_and_overtake_each_other(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    payments = world.tenant("acme", "internal").invoicing
    failed, paid = Invoice.PAYMENT_STATUS_FAILED, Invoice.PAYMENT_STATUS_SUCCEEDED
    for revision, status, amount, expected in (
        (2, failed, 0, failed),
        (1, Invoice.PAYMENT_STATUS_REQUIRES_ACTION, 0, failed),
        (3, paid, 3125, paid),
        (3, failed, 0, paid),
        (2, failed, 0, paid),
    ):
        answer = (await payments.RecordPayment(report(invoice.id, revision, status, amount))).invoice
        assert answer.payment_status == expected
    assert answer.amount_paid.minor_units == 3125
    answer.payment_status, answer.amount_paid.minor_units = invoice.payment_status, 0
    assert answer == invoice


async def test_a_wrong_report_of_payment_is_refused(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    payments = world.tenant("acme", "internal").invoicing
    paid = Invoice.PAYMENT_STATUS_SUCCEEDED
    for request, reason in (
        (report(invoice.id, 1, paid, 3125, "EUR"), "CURRENCY_MISMATCH"),
        (report(invoice.id, 1, paid, -1), "AMOUNT_NEGATIVE"),
        (report(invoice.id, 0, paid, 3125), "REVISION_NOT_POSITIVE"),
        (report(invoice.id, 1, 0, 3125), "FIELD_MISSING"),
        (report(invoice.id, 1, 99, 3125), "ENUM_VALUE_UNKNOWN"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await payments.RecordPayment(request)
        assert refused.value.reason == reason
    with pytest.raises(NotFound):
        await world.tenant("initech", "internal").invoicing.RecordPayment(report(invoice.id, 1, paid, 3125))
    with pytest.raises(FailedPrecondition) as not_finalized:
        await payments.RecordPayment(report(await draft(world, acme), 1, paid, 0))
    assert not_finalized.value.reason == "INVOICE_NOT_FINALIZED"


async def test_an_invoice_waits_for_payments_while_it_is_away(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    async with world.worker() as biller, world.database() as conn:
        assert not await biller.hand_over()
        waits = await conn.fetchval("SELECT due_time > now() FROM hand_over WHERE invoice_id = $1", invoice.id)
        assert waits
    read = await acme.invoicing.GetInvoice(invoicing_pb2.GetInvoiceRequest(id=invoice.id))
    assert read.invoice == invoice
