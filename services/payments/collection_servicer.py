"""The RPC of CollectionService."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import BillingError, InvalidArgument
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.worker import Alarm
from services.payments.asking import ask
from services.payments.convert.collections import asked_in, result_out
from services.payments.domain.payment import Asked, Payment, PaymentState
from weir.payments.v1 import collections_pb2 as pb
from weir.payments.v1.collections_pb2_grpc import CollectionServiceServicer
from weir.payments.v1.payments_pb2 import CreatePaymentRequest

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

MAX_PAYMENTS = 1_000


@dataclass(frozen=True, slots=True)
class CollectionServicer(CollectionServiceServicer):
    pool: Pool
    alarm: Alarm
    clock: Clock

    async def BatchCreatePayments(
        self, request: pb.BatchCreatePaymentsRequest, context: Context
    ) -> pb.BatchCreatePaymentsResponse:
        _require_each_once(request)
        tenant_id, now = caller().tenant_id, self.clock()
        read = [_read(each, tenant_id, now) for each in request.payments]
        asked = [each for each in read if isinstance(each, Asked)]
        async with self.pool.acquire() as conn, conn.transaction():
            answers = iter(await ask(conn, tenant_id, asked, now))
        found: Sequence[Payment | BillingError] = [next(answers) if isinstance(each, Asked) else each for each in read]
        if any(isinstance(each, Payment) and each.state is PaymentState.PENDING for each in found):
            await self.alarm.ring("charge")
        return pb.BatchCreatePaymentsResponse(results=map(result_out, found))


def _read(message: CreatePaymentRequest, tenant_id: str, now: datetime) -> Asked | InvalidArgument:
    try:
        return asked_in(message, tenant_id, now)
    except InvalidArgument as refused:
        return refused


def _require_each_once(request: pb.BatchCreatePaymentsRequest) -> None:
    if len(request.payments) > MAX_PAYMENTS:
        raise InvalidArgument(
            "PAYMENTS_TOO_MANY", f"{len(request.payments)} payments; at most {MAX_PAYMENTS} in a call", field="payments"
        )
    seen: set[str] = set()
    for number, each in enumerate(request.payments):
        if each.invoice_id in seen:
            field = f"payments[{number}].invoice_id"
            raise InvalidArgument("INVOICE_REPEATED", f"{field}: {each.invoice_id} stands before", field=field)
        seen.add(each.invoice_id)
