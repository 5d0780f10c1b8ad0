"""Requesting: overdue invoices gathered for one sum. What is done about it is done to its payments, all at once."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.errors import FailedPrecondition, InvalidArgument, NotFound
from libs.common.idempotency import require_same
from libs.common.ids import new_id
from libs.common.postgres import Conn
from services.payments.domain.payment import RETRIABLE, PaymentState
from services.payments.domain.payment_request import (
    MOST_ITEMS,
    PaymentRequest,
    RequestItem,
    RequestState,
    allocated,
)
from services.payments.receiving import Received, Receiving, taken, under_way
from services.payments.store import payment_requests, payments

_PARTS = uuid.UUID("3f1f0c7e-6a55-4f0b-9a5e-2b8f4f1d7c11")


async def created(
    conn: Conn,
    tenant_id: str,
    customer_id: str,
    currency: str,
    invoice_ids: Sequence[str],
    request_id: UUID,
    request_hash: bytes,
    now: datetime,
) -> PaymentRequest:
    """Raises FailedPrecondition NOTHING_OVERDUE or INVOICE_NOT_OVERDUE."""
    if (recorded := await payment_requests.find_request(conn, tenant_id, request_id)) is not None:
        require_same(recorded[1], request_hash, str(request_id))
        return recorded[0]
    found = await payment_requests.overdue(conn, tenant_id, customer_id, currency, invoice_ids, MOST_ITEMS)
    if missing := set(invoice_ids) - {payment.invoice_id for payment in found}:
        invoice_id = min(missing)
        raise FailedPrecondition(
            "INVOICE_NOT_OVERDUE",
            f"invoice {invoice_id} is no overdue one of {customer_id} in {currency}",
            invoice_id=invoice_id,
        )
    if not found:
        raise FailedPrecondition("NOTHING_OVERDUE", f"{customer_id} has no overdue invoice in {currency}")
    items = tuple(RequestItem(payment, payment.due.minor_units) for payment in found)
    request = PaymentRequest(tenant_id, new_id("preq", now), customer_id, currency, False, now, items)
    if not await payment_requests.insert(conn, request, request_id, request_hash):
        return await created(
            conn, tenant_id, customer_id, currency, invoice_ids, request_id, request_hash, now
        )  # the same request, at the same time
    return request


async def collected(
    conn: Conn, tenant_id: str, payment_request_id: str, request_id: UUID, request_hash: bytes, now: datetime
) -> PaymentRequest:
    """Has every payment tried that can be. Raises NotFound, and FailedPrecondition PAYMENT_REQUEST_CLOSED."""
    request = await _locked(conn, tenant_id, payment_request_id)
    if (recorded := await payment_requests.record_call(conn, request, request_id, request_hash, now)) is not None:
        require_same(recorded, request_hash, str(request_id))
        return request
    _require_open(request)
    for item in request.items:
        if item.payment.state in RETRIABLE:
            await payments.set_state(conn, item.payment, PaymentState.PENDING, now, due_time=now)
    return await _locked(conn, tenant_id, payment_request_id)


async def canceled(
    conn: Conn, tenant_id: str, payment_request_id: str, request_id: UUID, request_hash: bytes, now: datetime
) -> PaymentRequest:
    """Raises NotFound PAYMENT_REQUEST_NOT_FOUND."""
    request = await _locked(conn, tenant_id, payment_request_id)
    if (recorded := await payment_requests.record_call(conn, request, request_id, request_hash, now)) is not None:
        require_same(recorded, request_hash, str(request_id))
    else:
        await payment_requests.cancel(conn, request)
    return await _locked(conn, tenant_id, payment_request_id)


@dataclass(frozen=True, slots=True)
class Requesting:
    receiving: Receiving

    async def record(self, payment_request_id: str, received: Received) -> PaymentRequest:
        """Open charges are canceled at the processor before, as for one invoice; the money counts for all or none.

        Raises NotFound PAYMENT_REQUEST_NOT_FOUND, FailedPrecondition PAYMENT_REQUEST_CLOSED, PAYMENT_EXCEEDS_DUE or
        PAYMENT_UNDER_WAY, and InvalidArgument CURRENCY_MISMATCH.
        """
        collection, tenant_id = self.receiving.collection, received.tenant_id
        async with collection.pool.acquire() as conn:
            request = await find(conn, tenant_id, payment_request_id)
            recorded = await payment_requests.find_call(conn, tenant_id, received.request_id)
        if recorded is not None:
            require_same(recorded, received.request_hash, str(received.request_id))
            return request
        _require_due(request, received)
        for payment, _ in allocated(received.amount, request.items):
            if payment.state is PaymentState.PROCESSING or not await collection.close_last(payment):
                raise under_way(payment)
        async with collection.pool.acquire() as conn, conn.transaction():
            return await self._record(conn, payment_request_id, received)

    async def _record(self, conn: Conn, payment_request_id: str, received: Received) -> PaymentRequest:
        request = await _locked(conn, received.tenant_id, payment_request_id)
        now = self.receiving.collection.clock()
        recorded = await payment_requests.record_call(conn, request, received.request_id, received.request_hash, now)
        if recorded is not None:
            require_same(recorded, received.request_hash, str(received.request_id))
            return request
        _require_due(request, received)
        for payment, amount in allocated(received.amount, request.items):
            part_id = uuid.uuid5(_PARTS, f"{received.request_id}/{payment.id}")
            await taken(conn, payment, received.part(payment.invoice_id, amount, part_id), now)
        return await _locked(conn, received.tenant_id, payment_request_id)


async def find(conn: Conn, tenant_id: str, payment_request_id: str) -> PaymentRequest:
    """Raises NotFound PAYMENT_REQUEST_NOT_FOUND."""
    return _found(await payment_requests.find(conn, tenant_id, payment_request_id), payment_request_id)


async def _locked(conn: Conn, tenant_id: str, payment_request_id: str) -> PaymentRequest:
    return _found(await payment_requests.lock(conn, tenant_id, payment_request_id), payment_request_id)


def _found(request: PaymentRequest | None, payment_request_id: str) -> PaymentRequest:
    if request is None:
        raise NotFound(
            "PAYMENT_REQUEST_NOT_FOUND",
            f"there is no payment request {payment_request_id}",
            payment_request_id=payment_request_id,
        )
    return request


def _require_open(request: PaymentRequest) -> None:
    if request.state is not RequestState.OPEN:
        raise FailedPrecondition(
            "PAYMENT_REQUEST_CLOSED", f"the payment request is {request.state}", state=request.state
        )


def _require_due(request: PaymentRequest, received: Received) -> None:
    if received.amount.currency != request.currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"amount is in {received.amount.currency}, the request in {request.currency}",
            field="amount.currency_code",
        )
    _require_open(request)
    if received.amount.minor_units > request.due.minor_units:
        raise FailedPrecondition(
            "PAYMENT_EXCEEDS_DUE",
            f"{request.due} are due of the payment request",
            due_minor_units=str(request.due.minor_units),
        )
