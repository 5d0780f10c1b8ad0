"""What dunning ends with is done to the subscriptions of the invoice, once to each: what was done is known by a
request_id made of campaign and subscription, so whoever goes on after a crash does the rest.
"""

import uuid
from datetime import timedelta

import grpc
import structlog

from libs.common.clock import Clock
from libs.common.errors import BillingError, FailedPrecondition, NotFound
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.changing import change_plan
from services.invoicing.domain.change import Effective, FirstFee, PlanChange
from services.invoicing.domain.final_action import Action, Change, FinalAction, canceled, suspended
from services.invoicing.domain.phase import UnusedFee
from services.invoicing.giving_back import give_back_unused
from services.invoicing.peers import Peers
from services.invoicing.reading import found_invoice
from services.invoicing.selling import latest_version
from services.invoicing.subscribing import found_subscription

log = structlog.get_logger()

CHUNK = 50
RETRY_DELAY = timedelta(seconds=30)
PAID = "the invoice has been paid"
_REQUESTS = uuid.UUID("8a1d7d0c-54b5-4f0e-9b7e-0c6b8a2f9d43")
_CHANGES: dict[Action, Change] = {Action.CANCEL: canceled, Action.SUSPEND: suspended}


async def conclude(pool: Pool, peers: Peers, clock: Clock, lease: timedelta) -> bool:
    """Do a chunk of what is due. True if there may be more."""
    now = clock()
    async with pool.acquire() as conn:
        due = await store.final_actions.claim(conn, now, now + lease, CHUNK)
    return any([await _concluded(pool, peers, clock, each) for each in due])


async def _concluded(pool: Pool, peers: Peers, clock: Clock, action: FinalAction) -> bool:
    try:
        note = await _done(pool, peers, clock, action)
    except (BillingError, grpc.aio.AioRpcError) as error:
        log.warning("final action waits", tenant=action.tenant_id, invoice=action.invoice_id, cause=str(error))
        async with pool.acquire() as conn:
            await store.final_actions.postpone(conn, action, clock() + RETRY_DELAY)
        return False
    async with pool.acquire() as conn:
        await store.final_actions.conclude(conn, action, clock(), note)
    log.warning("invoice not collected", tenant=action.tenant_id, invoice=action.invoice_id, action=action, note=note)
    return True


async def _done(pool: Pool, peers: Peers, clock: Clock, action: FinalAction) -> str:
    """What of it was not done, and why. Raises BillingError where it may be done later."""
    async with pool.acquire() as conn:
        invoice = await found_invoice(conn, action.tenant_id, action.invoice_id)
        subscription_ids = await store.final_actions.subscriptions(conn, action.tenant_id, action.invoice_id)
    if not invoice.unpaid.minor_units:
        return PAID
    notes = [] if subscription_ids else ["the invoice bills no subscription"]
    for subscription_id in subscription_ids:
        try:
            await _change(pool, peers, clock, action, subscription_id)
        except (FailedPrecondition, NotFound) as error:
            notes.append(f"{subscription_id}: {error}")
    return "; ".join(notes)


async def _change(pool: Pool, peers: Peers, clock: Clock, action: FinalAction, subscription_id: str) -> None:
    tenant_id = action.tenant_id
    request_id = uuid.uuid5(_REQUESTS, f"{tenant_id}/{action.campaign_id}/{subscription_id}")
    if action.action is Action.DOWNGRADE:
        plan = await latest_version(peers, tenant_id, action.plan_code)
        change = PlanChange(plan, Effective.NOW, FirstFee.PRORATE, UnusedFee.KEEP)
        await change_plan(pool, peers, clock, tenant_id, subscription_id, change, request_id, request_id.bytes)
        return
    async with pool.acquire() as conn, conn.transaction():
        await store.clocks.hold(conn, tenant_id)
        found = await found_subscription(conn, tenant_id, subscription_id, store.subscriptions.lock)
        is_done = await store.subscriptions.record_change(
            conn, tenant_id, subscription_id, request_id, request_id.bytes, clock()
        )
        if is_done is None:
            now = (await store.clocks.get(conn, tenant_id)).now(clock())
            made = _CHANGES[action.action](found, now)
            await store.subscriptions.save(conn, tenant_id, made)
            if made.is_closed or action.action is Action.SUSPEND:
                await give_back_unused(conn, tenant_id, found, made, clock())
