"""The RPC of ReconciliationService: decode, read in one snapshot, encode."""

from typing import Any, TypeAlias

import grpc

from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from services.metering.convert.reconciliation import days_in, reconciliation_out
from services.metering.store.reconciliation import reconcile
from weir.metering.v1 import reconciliation_pb2
from weir.metering.v1.reconciliation_pb2_grpc import ReconciliationServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ReconciliationServicer(ReconciliationServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def GetReconciliation(
        self, request: reconciliation_pb2.GetReconciliationRequest, context: Context
    ) -> reconciliation_pb2.GetReconciliationResponse:
        period = days_in(request)
        async with self._pool.acquire() as conn:
            found = await reconcile(conn, caller().tenant_id, *period, check_keys=request.check_keys)
        return reconciliation_pb2.GetReconciliationResponse(reconciliation=reconciliation_out(found, *period))
