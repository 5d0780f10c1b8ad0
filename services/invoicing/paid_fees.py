"""A sweep puts fees in advance that wait to be paid on invoices, when they are paid and their period is over."""

from datetime import datetime

import structlog

from libs.common.clock import Clock
from libs.common.ids import new_id
from libs.common.postgres import Conn, Pool
from services.invoicing import store
from services.invoicing.booking import book_payment
from services.invoicing.domain.invoice import InvoiceKind, PaymentStatus

log = structlog.get_logger()

CHUNK = 1000
PAYMENT = "advance_fees"
"""What stands for the payments of fees, which nobody told of one by one."""


async def regroup(pool: Pool, clock: Clock) -> bool:
    """Put paid fees on invoices. True if there were any."""
    async with pool.acquire() as conn:
        tenants = await store.paid_fees.tenants(conn, clock())
    for tenant_id in tenants:
        async with pool.acquire() as conn, conn.transaction():
            now = (await store.clocks.hold(conn, tenant_id)).now(clock())
            taken = await store.paid_fees.take(conn, tenant_id, now, CHUNK)
            owners = await store.subscriptions.by_ids(conn, tenant_id, taken)
            for subscription_id, lines in taken.items():
                for currency in dict.fromkeys(each.amount.currency for each in lines):
                    its = [each for each in lines if each.amount.currency == currency]
                    kind, owner = InvoiceKind.ADVANCE_FEES, owners[subscription_id]
                    await store.immediate.insert(conn, tenant_id, new_id("inv", clock()), kind, owner, its, now)
        log.info("put paid fees on invoices", tenant=tenant_id, subscriptions=len(taken))
    return bool(tenants)


async def record_paid_fees(conn: Conn, tenant_id: str, invoice_id: str, now: datetime) -> None:
    """An invoice of them is paid as soon as it is final."""
    invoice = await store.invoices.lock(conn, tenant_id, invoice_id)
    assert invoice is not None, "it was finalized"
    paid, status = invoice.amount_due, PaymentStatus.SUCCEEDED
    await store.invoices.record_payment(conn, tenant_id, invoice_id, PAYMENT, 1, status, paid)
    await book_payment(conn, tenant_id, invoice_id, PAYMENT, 1, paid.minor_units, now)
