"""What invoicing asks to have collected: one payment for an invoice, however often and in whatever order it asks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from libs.common.errors import Conflict
from libs.common.idempotency import require_same
from libs.common.postgres import Conn
from services.payments.domain.payment import Asked, Payment, PaymentState
from services.payments.store import methods, payments


async def ask(conn: Conn, tenant_id: str, asked: Sequence[Asked], now: datetime) -> list[Payment | Conflict]:
    """The payment of each, all of different invoices, in their order; or why it is refused: REQUEST_ID_REUSED or
    PAYMENT_DIFFERS. What is not refused is recorded.
    """
    customers = {each.payment.customer_id for each in asked}
    await methods.lock_customers(conn, tenant_id, customers)
    chargeable = await methods.chargeable(conn, tenant_id, customers)
    asked = [_waiting(each, chargeable) for each in asked]
    made = await payments.insert(conn, asked)
    again = [each for each in asked if each.payment.id not in made]
    hashes = await payments.request_hashes(conn, tenant_id, [each.request_id for each in again])
    standing = await payments.lock_of_invoices(conn, tenant_id, [each.payment.invoice_id for each in again])
    found: list[Payment | Conflict] = []
    for each in asked:
        try:
            found.append(each.payment if each.payment.id in made else await _again(conn, each, hashes, standing, now))
        except Conflict as refused:
            found.append(refused)
    return found


def _waiting(asked: Asked, chargeable: set[str]) -> Asked:
    if asked.payment.customer_id in chargeable:
        return asked
    return replace(asked, payment=replace(asked.payment, state=PaymentState.AWAITING_METHOD))


async def _again(
    conn: Conn, asked: Asked, hashes: Mapping[UUID, bytes], standing: Mapping[str, Payment], now: datetime
) -> Payment:
    """The invoice's payment; a canceled one goes on as asked, unless that was asked before it was canceled."""
    if (recorded := hashes.get(asked.request_id)) is not None:
        require_same(recorded, asked.request_hash, str(asked.request_id))
    payment, wanted = standing[asked.payment.invoice_id], asked.payment
    if wanted.version < payment.version:
        return payment
    if payment.state is PaymentState.CANCELED:
        going_on = replace(payment, amount=wanted.amount, version=wanted.version, state=wanted.state)
        if not going_on.due.minor_units:
            going_on = replace(going_on, state=PaymentState.SUCCEEDED)
        await payments.set_asked(conn, going_on)
        due_time = now if going_on.state is PaymentState.PENDING else None
        await payments.set_state(conn, payment, going_on.state, now, due_time)
        return going_on
    if (payment.amount, payment.customer_id) != (wanted.amount, wanted.customer_id):
        raise Conflict(
            "PAYMENT_DIFFERS",
            f"invoice {wanted.invoice_id} has a payment of {payment.amount} by {payment.customer_id}",
            payment_id=payment.id,
        )
    if wanted.version > payment.version:
        await payments.set_asked(conn, replace(payment, version=wanted.version))
    return payment
