"""The RPCs on the ledger."""

from dataclasses import dataclass
from datetime import datetime

from libs.common.clock import Clock
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import text_in, timestamp_in
from services.invoicing import store
from services.invoicing.convert.ledger import balance_out, date_in
from services.invoicing.convert.times import date_out
from services.invoicing.domain.ledger.trial_balance import trial_balance
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import ledger_pb2 as pb
from weir.invoicing.v1.ledger_pb2_grpc import LedgerServiceServicer


@dataclass(frozen=True, slots=True)
class LedgerServicer(LedgerServiceServicer):
    pool: Pool
    clock: Clock

    async def GetTrialBalance(self, request: pb.GetTrialBalanceRequest, context: Context) -> pb.GetTrialBalanceResponse:
        tenant_id = caller().tenant_id
        legal_entity = text_in(request.legal_entity, "legal_entity", required=False) or None
        known: datetime | None = None
        if request.HasField("known_time"):
            known = timestamp_in(request.known_time, True, "known_time")
        async with self.pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            if request.HasField("date"):
                day = date_in(request.date, "date")
            else:
                day = (await store.clocks.get(conn, tenant_id)).now(self.clock()).date()
            posted = await store.ledger_balances.posted(conn, tenant_id, day, known, legal_entity)
            earned = await store.ledger_balances.earned(conn, tenant_id, day, known, legal_entity)
        balances = trial_balance(posted, earned)
        return pb.GetTrialBalanceResponse(balances=map(balance_out, balances), date=date_out(day))
