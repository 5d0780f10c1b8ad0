"""A voided invoice is made again."""

from datetime import datetime

from libs.common.errors import FailedPrecondition
from libs.common.ids import new_id
from libs.common.postgres import Conn
from services.invoicing import store
from services.invoicing.domain.invoice import InvoiceKind, State, issue_date
from services.invoicing.domain.line import Line, LineReference
from services.invoicing.domain.period import LATEST, zone
from services.invoicing.reading import found_invoice


async def regenerated(conn: Conn, tenant_id: str, voided_id: str, real_now: datetime, *, as_draft: bool) -> str:
    """The id of the draft that takes the place of a voided invoice. Raises NotFound INVOICE_NOT_FOUND, and
    FailedPrecondition INVOICE_NOT_VOIDED, INVOICE_REGENERATED or INVOICE_CREDITED, of what it deducts.
    """
    voided = await found_invoice(conn, tenant_id, voided_id, lock=True)
    if voided.state is not State.VOIDED or voided.kind is not InvoiceKind.SUBSCRIPTION:
        raise FailedPrecondition(
            "INVOICE_NOT_VOIDED",
            f"invoice {voided.number or voided_id} is no voided one of subscriptions",
            invoice_id=voided_id,
        )
    if (made := await store.regenerations.made_from(conn, tenant_id, voided_id)) is not None:
        raise FailedPrecondition(
            "INVOICE_REGENERATED", f"invoice {voided.number} was made again as {made}", invoice_id=made
        )
    customer = await store.customers.get(conn, tenant_id, voided.customer_id)
    assert customer is not None, "customers are kept"
    for line in voided.bill.lines:
        if line.deducts is not None:
            await _require_left(conn, tenant_id, line, line.deducts)
    now = (await store.clocks.hold(conn, tenant_id)).now(real_now)
    made = new_id("inv", real_now)
    await store.regenerations.insert(
        conn,
        tenant_id,
        made,
        voided_id,
        voided.bill.currency,
        LATEST if as_draft else now,
        issue_date(now, zone(customer.time_zone)),
        now,
    )
    return made


async def _require_left(conn: Conn, tenant_id: str, line: Line, of: LineReference) -> None:
    await store.invoices.lock(conn, tenant_id, of.invoice_id)
    paid = await store.paid_units.of_line(conn, tenant_id, of)
    if paid is None or paid.left.minor_units < -line.amount.minor_units:
        raise FailedPrecondition(
            "INVOICE_CREDITED",
            f"what line {line.description} deducts was given back of invoice {of.invoice_id}",
            invoice_id=of.invoice_id,
        )
