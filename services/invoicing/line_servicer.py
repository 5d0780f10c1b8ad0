"""The RPC on the lines of invoices."""

from libs.common.errors import InvalidArgument
from libs.common.paging import Page, page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import text_in
from services.invoicing import convert, store
from services.invoicing.domain.invoice import State
from services.invoicing.domain.line import bearing
from services.invoicing.peers import Peers
from services.invoicing.reading import invoice_not_found
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import lines_pb2 as pb
from weir.invoicing.v1.lines_pb2_grpc import InvoiceLineServiceServicer


class InvoiceLineServicer(InvoiceLineServiceServicer):
    def __init__(self, pool: Pool, peers: Peers) -> None:
        self._pool = pool
        self._peers = peers

    async def ListInvoiceLines(
        self, request: pb.ListInvoiceLinesRequest, context: Context
    ) -> pb.ListInvoiceLinesResponse:
        """Lines of a draft bear the taxes that they would now."""
        tenant_id, invoice_id = caller().tenant_id, text_in(request.invoice_id, "invoice_id")
        page = page_in(request.page_size, request.page_token)
        after = _number_in(page)
        async with self._pool.acquire() as conn:
            head = await store.invoices.head(conn, tenant_id, invoice_id)
            if head is None:
                raise invoice_not_found(invoice_id)
            found = await store.lines.page(conn, tenant_id, invoice_id, head.currency, after, page.size + 1)
            discounts = (await store.discounts.of_invoices(conn, tenant_id, {invoice_id: head.currency}))[invoice_id]
            customers = await store.customers.tax_codes(conn, tenant_id, {head.customer_id})
        codes = head.tax_codes
        if head.state is State.DRAFT:
            its_codes = customers[head.customer_id]
            codes = (await self._peers.pricing.taxes(tenant_id, its_codes)).of_customer(its_codes)
        lines, token = page.cut(found, lambda each: str(each[0]))
        bear = bearing((line for _, line in lines), codes)
        return pb.ListInvoiceLinesResponse(
            lines=[convert.line_out(number, line, discounts) for (number, _), line in zip(lines, bear, strict=True)],
            next_page_token=token,
        )


def _number_in(page: Page) -> int:
    """The number of the last line of the page before; 0 for the first page."""
    if page.after is None:
        return 0
    if not (page.after.isascii() and page.after.isdigit() and len(page.after) < 10):
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "page_token is not one that an answer contained", field="page_token"
        )
    return int(page.after)
