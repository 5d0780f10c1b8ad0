"""The RPC that previews changes of subscriptions other than those of plan."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import amount_in, code_in, text_in
from services.invoicing import convert, store
from services.invoicing.convert.activations import payment_timeout_in
from services.invoicing.domain.fixed_charge import find_charge, unit_change
from services.invoicing.domain.lifecycle import activating, begun, closed, ended
from services.invoicing.domain.pausing import paused, resumed
from services.invoicing.domain.subscription import Subscription
from services.invoicing.foreseeing import foreseen
from services.invoicing.peers import Peers
from services.invoicing.subscribing import Context, customer_not_found, found_subscription, sold_plan
from weir.invoicing.v1 import fixed_charges_pb2, invoicing_pb2, pauses_pb2
from weir.invoicing.v1 import subscription_previews_pb2 as pb
from weir.invoicing.v1.subscription_previews_pb2_grpc import SubscriptionPreviewServiceServicer

Changed: TypeAlias = tuple[Subscription, Subscription, datetime]
"""(the subscription as it was found, as it would be, when it changes)."""


class SubscriptionPreviewServicer(SubscriptionPreviewServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._clock = clock

    async def PreviewSubscription(
        self, request: pb.PreviewSubscriptionRequest, context: Context
    ) -> pb.PreviewSubscriptionResponse:
        tenant_id = caller().tenant_id
        if (asked := request.WhichOneof("change")) is None:
            raise InvalidArgument("FIELD_MISSING", "change is required", field="change")
        changes: Mapping[str, Callable[[str, datetime], Awaitable[Changed]]] = {
            "begin": lambda tenant_id, now: self._begun(tenant_id, request.begin, now),
            "end": lambda tenant_id, now: self._ended(tenant_id, request.end, now),
            "pause": lambda tenant_id, now: self._paused(tenant_id, request.pause, now),
            "resume": lambda tenant_id, now: self._resumed(tenant_id, request.resume, now),
            "set_units": lambda tenant_id, now: self._with_units(tenant_id, request.set_units, now),
        }
        async with self._pool.acquire() as conn:
            now = (await store.clocks.get(conn, tenant_id)).now(self._clock())
        found, made, at = await changes[asked](tenant_id, now)
        what = await foreseen(self._pool, self._peers, tenant_id, found, made, at, now)
        return pb.PreviewSubscriptionResponse(
            subscription=convert.subscription_out(made),
            invoices=map(convert.invoice_out, what.invoices),
            credit_notes=map(convert.note_out, what.notes),
        )

    async def _begun(self, tenant_id: str, asked: invoicing_pb2.CreateSubscriptionRequest, now: datetime) -> Changed:
        name, customer_id, plan_asked, billing_time, start_time = convert.subscription_in(asked.subscription)
        async with self._pool.acquire() as conn:
            customer = await store.customers.get(conn, tenant_id, customer_id)
        if customer is None:
            raise customer_not_found(customer_id)
        plan = await sold_plan(self._peers, tenant_id, *plan_asked, name)
        made = begun(name, customer, plan, billing_time, start_time, now)
        made = replace(made, invoiced_alone=asked.subscription.invoiced_alone)
        if asked.subscription.HasField("activation"):
            made = activating(made, payment_timeout_in(asked.subscription.activation), now)
        return made, made, start_time

    async def _ended(self, tenant_id: str, asked: invoicing_pb2.TerminateSubscriptionRequest, now: datetime) -> Changed:
        found = await self._found(tenant_id, asked.id)
        end_time = _time_in(asked.end_time, asked.HasField("end_time"), "end_time") or now
        fee = convert.unused_fee_in(asked.on_unused_fee, "on_unused_fee")
        has_last_invoice = asked.last_invoice != asked.LAST_INVOICE_SKIP
        made = ended(found, end_time, fee, has_last_invoice=has_last_invoice)
        return found, made, found.after_billed(end_time)

    async def _paused(self, tenant_id: str, asked: pauses_pb2.PauseSubscriptionRequest, now: datetime) -> Changed:
        found = await self._found(tenant_id, asked.id)
        at = _time_in(asked.pause_time, asked.HasField("pause_time"), "pause_time") or max(now, found.start_time)
        resume_at = _time_in(asked.resume_time, asked.HasField("resume_time"), "resume_time")
        fee = convert.unused_fee_in(asked.on_unused_fee, "on_unused_fee")
        return found, paused(found, at, resume_at, fee, now), found.after_billed(at)

    async def _resumed(self, tenant_id: str, asked: pauses_pb2.ResumeSubscriptionRequest, now: datetime) -> Changed:
        found = await self._found(tenant_id, asked.id)
        at = _time_in(asked.resume_time, asked.HasField("resume_time"), "resume_time") or max(now, found.start_time)
        return found, resumed(found, at, now), at

    async def _with_units(
        self, tenant_id: str, asked: fixed_charges_pb2.SetFixedChargeUnitsRequest, now: datetime
    ) -> Changed:
        found = await self._found(tenant_id, asked.subscription_id)
        if found.is_closed:
            raise closed(found)
        phase = found.phase_at(now)
        plan = await self._peers.pricing.plan_version(tenant_id, phase.plan_code, phase.plan_version)
        charge = find_charge(plan, code_in(asked.code, "code"))
        units, next_period = amount_in(asked.units, "units"), convert.is_next_period_in(asked.effective)
        made, change = unit_change(found, charge, units, now, next_period=next_period)
        return found, made, change.effective_time

    async def _found(self, tenant_id: str, name: str) -> Subscription:
        async with self._pool.acquire() as conn:
            return await found_subscription(conn, tenant_id, text_in(name, "id"))


def _time_in(message: Timestamp, present: bool, field: str) -> datetime | None:
    return convert.instant_in(message, present, field) if present else None
