"""Invoices as they are shown."""

from collections.abc import Sequence
from dataclasses import replace

from libs.common.errors import NotFound
from libs.common.postgres import Conn, Pool
from services.invoicing import store
from services.invoicing.domain.bill import Bill, totalled
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.line import bearing
from services.invoicing.domain.tax import Taxes
from services.invoicing.peers import Peers


async def found_invoice(conn: Conn, tenant_id: str, invoice_id: str, *, lock: bool = False) -> Invoice:
    """Raises NotFound INVOICE_NOT_FOUND."""
    read = store.invoices.lock if lock else store.invoices.get
    if (invoice := await read(conn, tenant_id, invoice_id)) is None:
        raise invoice_not_found(invoice_id)
    return invoice


def invoice_not_found(invoice_id: str) -> NotFound:
    return NotFound("INVOICE_NOT_FOUND", f"there is no invoice {invoice_id}", invoice_id=invoice_id)


async def shown(pool: Pool, peers: Peers, tenant_id: str, invoices: Sequence[Invoice]) -> list[Invoice]:
    """Drafts with their taxes as they would be now; what is final has them."""
    drafts = [each for each in invoices if each.state is State.DRAFT]
    if not drafts:
        return list(invoices)
    async with pool.acquire() as conn:
        codes_of = await store.customers.tax_codes(conn, tenant_id, {each.customer_id for each in drafts})
    named = {code for draft in drafts for line in draft.bill.lines for code in line.tax_codes}
    taxes = await peers.pricing.taxes(tenant_id, named.union(*codes_of.values()))
    return [
        replace(each, bill=_taxed(each.bill, taxes, taxes.of_customer(codes_of[each.customer_id])))
        if each.state is State.DRAFT
        else each
        for each in invoices
    ]


def _taxed(bill: Bill, taxes: Taxes, default_codes: tuple[str, ...]) -> Bill:
    lines = tuple(bearing(bill.lines, default_codes))
    return replace(bill, lines=lines, taxes=totalled(lines, taxes.by_code, bill.currency).taxes)
