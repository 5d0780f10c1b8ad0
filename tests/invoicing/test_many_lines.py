"""Invoices with more lines than an answer has, through gRPC."""

import pytest

from libs.common.errors import InvalidArgument, NotFound
from tests.invoicing.test_drafts import walk
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import invoicing_pb2, lines_pb2, one_offs_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice, InvoiceLine


async def read(acme: Tenant, invoice_id: str, page_size: int = 500) -> list[InvoiceLine]:
    request = lines_pb2.ListInvoiceLinesRequest(invoice_id=invoice_id, page_size=page_size)
    found: list[InvoiceLine] = []
    while True:
        answer = await acme.lines.ListInvoiceLines(request)
        assert len(answer.lines) <= page_size
        found += answer.lines
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def test_lines_beyond_what_an_answer_has_are_told_by_their_count_and_read_by_pages(
    world: World, acme: Tenant
) -> None:
    await acme.tax("vat", "10")
    await acme.plan("basic", taxes=["vat"])
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", grace_period_days=3)
    await acme.subscribe("globex-0", "globex", "basic", "2023-11-01", alone=False)
    await walk(world, acme, "2023-12-01")
    [draft] = await acme.invoices()
    assert (draft.state, draft.line_count, draft.settlement_count) == (Invoice.STATE_DRAFT, 1, 1)
    async with world.database() as conn:  # as if there were 1,204 subscriptions
        await conn.execute(
            "INSERT INTO invoice_line (tenant_id, invoice_id, position, kind, code, description, subscription_id,"
            " phase_number, plan_code, plan_version, period_start, period_end, amount_minor, unrounded_amount,"
            " tax_codes, fee_minor, days, period_days) SELECT tenant_id, invoice_id, n, kind, code, 'Fee ' || n,"
            " subscription_id, phase_number, plan_code, plan_version, period_start, period_end, amount_minor,"
            " unrounded_amount, tax_codes, fee_minor, days, period_days"
            " FROM invoice_line, generate_series(1, 1203) AS n"
        )
    answer = (await acme.invoicing.GetInvoice(invoicing_pb2.GetInvoiceRequest(id=draft.id))).invoice
    assert (len(answer.lines), answer.line_count) == (1000, 1204)
    assert (answer.subtotal.minor_units, answer.tax.minor_units) == (1204 * 2000, 1204 * 200)
    [listed] = (await acme.invoicing.ListInvoices(invoicing_pb2.ListInvoicesRequest())).invoices
    assert (len(listed.lines), listed.line_count) == (1000, 1204)
    lines = await read(acme, draft.id)
    assert [line.number for line in lines] == list(range(1, 1205))
    assert lines[:1000] == list(answer.lines)


async def test_lines_in_pages_are_those_of_the_invoice_with_the_taxes_that_they_bear(acme: Tenant) -> None:
    await acme.tax("vat", "10")
    await acme.customer("globex", tax_codes=["vat"])
    items = [one_offs_pb2.OneOffItem(description=f"Item {i}", unit_amount=str(i)) for i in range(7)]
    request = one_offs_pb2.CreateOneOffInvoiceRequest(
        request_id=new_request_id(), customer_id="globex", currency_code="USD", items=items
    )
    invoice = (await acme.one_offs.CreateOneOffInvoice(request)).invoice
    lines = await read(acme, invoice.id, 3)
    assert lines == list(invoice.lines)
    assert {tuple(line.tax_codes) for line in lines} == {("vat",)}


async def test_a_wrong_page_or_invoice_is_refused(world: World, acme: Tenant) -> None:
    await acme.customer("globex")
    with pytest.raises(NotFound) as missing:
        await read(acme, "inv_nothing")
    assert missing.value.reason == "INVOICE_NOT_FOUND"
    for token in ("WyJ4Il0", "WyItMSJd", "WyI5OTk5OTk5OTk5OTk5Il0"):
        request = lines_pb2.ListInvoiceLinesRequest(invoice_id="inv_1", page_token=token)
        with pytest.raises(InvalidArgument) as refused:
            await acme.lines.ListInvoiceLines(request)
        assert refused.value.reason == "PAGE_TOKEN_INVALID"
