"""The RPC that says what a billing run would bill."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import text_in, timestamp_out
from services.invoicing import convert, store
from services.invoicing.domain.preview import Totals, added
from services.invoicing.peers import Peers
from services.invoicing.previewing import RunPreview
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import billing_previews_pb2 as pb
from weir.invoicing.v1.billing_previews_pb2_grpc import BillingPreviewServiceServicer

FURTHEST = timedelta(days=366)


class BillingPreviewServicer(BillingPreviewServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._clock = clock

    async def PreviewBillingRun(
        self, request: pb.PreviewBillingRunRequest, context: Context
    ) -> AsyncIterator[pb.PreviewBillingRunResponse]:
        tenant_id = caller().tenant_id
        customer_id = text_in(request.customer_id, "customer_id", required=False) or None
        async with self._pool.acquire() as conn:
            now = (await store.clocks.get(conn, tenant_id)).now(self._clock())
        as_of = _as_of(request, now)
        preview = RunPreview(self._pool, self._peers, tenant_id, now, as_of, customer_id)
        totals: dict[str, Totals] = {}
        failure_count = 0
        async with aclosing(preview.parts()) as parts:
            async for drafts, refused in parts:
                totals = added(totals, drafts)
                failure_count += len(refused)
                yield pb.PreviewBillingRunResponse(
                    invoices=map(convert.previewed_out, drafts),
                    failures=[
                        pb.PreviewedFailure(
                            subscription_id=each.due.id,
                            due_time=timestamp_out(each.due.due_time),
                            reason=each.reason,
                            message=each.message,
                        )
                        for each in refused
                    ],
                )
        yield pb.PreviewBillingRunResponse(
            totals=[convert.totals_out(totals[currency]) for currency in sorted(totals)],
            failure_count=failure_count,
            as_of_time=timestamp_out(as_of),
        )


def _as_of(request: pb.PreviewBillingRunRequest, now: datetime) -> datetime:
    if not request.HasField("as_of_time"):
        return now
    as_of = convert.instant_in(request.as_of_time, True, "as_of_time")
    if as_of > now + FURTHEST:
        raise InvalidArgument(
            "TIME_OUT_OF_RANGE",
            f"as_of_time is {as_of.isoformat()}; at most {FURTHEST.days} days after {now.isoformat()} can be foreseen",
            field="as_of_time",
        )
    return as_of
