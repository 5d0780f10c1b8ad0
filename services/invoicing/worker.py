"""The worker's sweeps: what falls due is billed, finalized, and handed to payments. The row is the job.

A lease is a row's `available_time` or `due_time` set a little ahead: whoever is killed meanwhile loses nothing
but that little. Two workers on one row do no harm either: only one of them finds the period still to be billed, and
payments knows the request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import grpc
import structlog

from libs.common.clock import Clock
from libs.common.errors import BillingError, FailedPrecondition, ResourceExhausted, Unavailable
from libs.common.ids import new_id
from libs.common.postgres import Conn, Pool
from libs.common.worker import Alarm, Sweep
from services.invoicing import store
from services.invoicing.activating import decide
from services.invoicing.billing import Billed, Refused, bill_all
from services.invoicing.charging import charge_all
from services.invoicing.concluding import conclude
from services.invoicing.correcting import are_final, give_back
from services.invoicing.crediting import Till
from services.invoicing.domain.credit_note import RefundRequest
from services.invoicing.domain.run import (
    BILL,
    CONCLUDE,
    HAND_OVER,
    PROVE,
    REFUND,
    REPLAY,
    TELL_METERING,
    BillingFailure,
    OpenRun,
    retry_delay,
)
from services.invoicing.finalizing import finalize, finalize_sealed
from services.invoicing.giving_back import give_back_unused, is_fee_final
from services.invoicing.handing_over import hand_over
from services.invoicing.late_billing import History
from services.invoicing.offsetting import offset_waiting
from services.invoicing.paid_fees import regroup
from services.invoicing.peers import Peers
from services.invoicing.prepaid import PrepaidCredit
from services.invoicing.prepaid import give_back as give_back_prepaid
from services.invoicing.progressive_billing import bill_passed
from services.invoicing.proving import begin_proofs, prove_some
from services.invoicing.replaying import begin_replays, replay_some
from services.invoicing.telling import tell_billed, tell_clocks
from services.invoicing.walking import step

log = structlog.get_logger()

REFUND_CHUNK = 50
CHUNKS_OF_RUN = 2
AT_ONCE = 3
"""Chunks under way in a process: while one of a run waits for a peer, another is saved, and one is finalized."""

PEER_AWAY_DELAY = timedelta(seconds=2)
PAYMENT_REFUSED_DELAY = timedelta(minutes=1)
TELL_AGAIN_DELAY = timedelta(minutes=1)


class Biller:
    """`lease` must outlast the billing of one chunk of `chunk_size` subscriptions. `replay_sample` invoices of each
    tenant are replayed every day.
    """

    def __init__(
        self,
        pool: Pool,
        peers: Peers,
        alarm: Alarm,
        clock: Clock,
        *,
        lease: timedelta,
        chunk_size: int,
        replay_sample: int,
        prepaid: PrepaidCredit | None = None,
    ) -> None:
        self._pool = pool
        self._peers = peers
        self._till = Till(pool, peers, clock)
        self._alarm = alarm
        self._clock = clock
        self._lease = lease
        self._chunk_size = chunk_size
        self._replay_sample = replay_sample
        self._prepaid = prepaid

    def sweeps(self) -> Mapping[str, Sweep]:
        return {
            BILL: self.bill,
            HAND_OVER: self.hand_over,
            REFUND: self.refund,
            TELL_METERING: self.tell_metering,
            REPLAY: self.replay,
            CONCLUDE: self.conclude,
            PROVE: self.prove,
        }

    async def bill(self) -> bool:
        """A little of every open run and of every tenant's drafts, so that nobody big keeps the others waiting."""
        activating = await decide(self._pool, self._till, self._clock)
        offsetting = await offset_waiting(self._pool, self._till, self._clock)
        charged = await charge_all(self._pool, self._peers, self._clock)
        passed = await bill_passed(self._pool, self._peers, self._clock)
        await self._start_runs()
        async with self._pool.acquire() as conn:
            runs = await store.runs.open_runs(conn)
            tenants = await store.drafts.tenants(conn, self._clock())
        progress = await _some_at_once(
            [partial(self._bill_chunk, run) for run in runs for _ in range(CHUNKS_OF_RUN)]
            + [partial(self._finalize, tenant_id) for tenant_id in tenants]
        )
        progress.append(await regroup(self._pool, self._clock))
        async with self._pool.acquire() as conn:
            progress.append(await store.overdue.mark(conn, self._clock()))
        progress += [await self._step(tenant_id) for tenant_id in await self._tenants_walking()]
        async with self._pool.acquire() as conn:
            await store.runs.complete(conn, self._clock())
        return charged or passed or activating or offsetting or any(progress)

    async def _start_runs(self) -> None:
        async with self._pool.acquire() as conn:
            tenants = await store.runs.tenants_to_run(conn, self._clock())
        for tenant_id in tenants:
            async with self._pool.acquire() as conn, conn.transaction():
                now = self._clock()
                clock = await store.clocks.lock(conn, tenant_id)
                await store.runs.start(conn, tenant_id, new_id("run", now), clock.now(now), now)

    async def _bill_chunk(self, run: OpenRun) -> bool:
        """Lease a chunk, bill it while no transaction is open, save the bills. True if there may be more."""
        now = self._clock()
        leased_until = now + self._lease
        async with self._pool.acquire() as conn:
            due = await store.subscriptions.claim_due(conn, run, now, leased_until, self._chunk_size)
        if not due:
            return False
        try:
            billed, refused = await bill_all(self._peers, run.tenant_id, due, History(self._pool, run.tenant_id))
        except (Unavailable, ResourceExhausted) as error:
            log.warning("billing waits for a peer", tenant=run.tenant_id, run=run.id, cause=str(error))
            retry_time = self._clock() + PEER_AWAY_DELAY
            async with self._pool.acquire() as conn:
                await store.subscriptions.release(
                    conn, run.tenant_id, [each.id for each in due], leased_until, retry_time
                )
            return False
        await self._save(run, billed, refused, leased_until)
        return True

    async def _save(
        self, run: OpenRun, billed: Sequence[Billed], refused: Sequence[Refused], leased_until: datetime
    ) -> None:
        now = self._clock()
        failures = [
            BillingFailure(each.due.id, each.reason, each.message, now + retry_delay(each.due.failures + 1))
            for each in refused
        ]
        async with self._pool.acquire() as conn, conn.transaction():
            clock = await store.clocks.hold(conn, run.tenant_id)
            drafts = await self._collect(conn, run, clock.now(now), billed, leased_until)
            await store.subscriptions.record_failures(conn, run.tenant_id, failures, leased_until)
            new_failures = sum(each.due.failures == 0 for each in refused)
            if clock.test_now is not None and (drafts or new_failures):
                await store.runs.count_billed(conn, run.tenant_id, run.id, clock.test_now, drafts, new_failures)
        for failure in failures:
            log.warning("subscription not billed", tenant=run.tenant_id, run=run.id, failure=failure)
        log.info("billed", tenant=run.tenant_id, run=run.id, drafts=drafts, failures=len(failures))

    async def _collect(
        self, conn: Conn, run: OpenRun, create_time: datetime, billed: Sequence[Billed], leased_until: datetime
    ) -> int:
        """Move the subscriptions on, and put what they owe on drafts. How many drafts were made."""
        now = self._clock()
        waiting = [each for each in billed if not await self._may_be_saved(conn, run.tenant_id, each)]
        await store.subscriptions.release(
            conn, run.tenant_id, [each.due.id for each in waiting], leased_until, now + PEER_AWAY_DELAY
        )
        ready = [each for each in billed if each not in waiting] if waiting else billed
        advanced = await store.subscriptions.advance(
            conn, run.tenant_id, [each.due for each in ready], [each.watermark for each in ready]
        )
        saved = [each for each in ready if each.due.id in advanced]
        for each in saved:
            await give_back(conn, run.tenant_id, each.corrections, each.due.due_time, now)
            await give_back_unused(conn, run.tenant_id, each.due, each.due.billed(), now)
        renewed = [fee for each in saved for fee in each.renewed]
        await store.advance_fees.insert_renewals(conn, run.tenant_id, renewed, now)
        portions = [each.portion for each in saved if each.makes_invoice]
        portions = await store.advance_fees.put_on(conn, run.tenant_id, portions)
        new_ids = [new_id("inv", now) for _ in portions]
        return await store.drafts.collect(conn, run.tenant_id, run.id, portions, new_ids, create_time)

    async def _may_be_saved(self, conn: Conn, tenant_id: str, billed: Billed) -> bool:
        """Not while something is given back of a draft, or when one was finalized that was to be refreshed."""
        return (
            not billed.waits
            and await are_final(conn, tenant_id, billed.corrections)
            and await is_fee_final(conn, tenant_id, billed.due, billed.due.billed())
            and await store.paid_units.are_as_read(conn, tenant_id, billed.portion.lines)
            and await store.refreshes.require(conn, tenant_id, billed.to_refresh)
        )

    async def _finalize(self, tenant_id: str) -> bool:
        """A chunk of the tenant's drafts. True if there may be more."""
        try:
            progress = await finalize(self._pool, self._peers, self._clock, tenant_id, prepaid=self._prepaid)
            if self._prepaid is not None:
                progress |= await finalize_sealed(self._pool, self._prepaid, self._clock, tenant_id)
        except (BillingError, grpc.aio.AioRpcError) as error:
            log.warning("finalizing waits for a peer", tenant=tenant_id, cause=str(error))
            return False
        if progress:
            await self._alarm.ring(HAND_OVER)
        return progress

    async def _tenants_walking(self) -> Sequence[str]:
        async with self._pool.acquire() as conn:
            return await store.clocks.walking(conn)

    async def _step(self, tenant_id: str) -> bool:
        async with self._pool.acquire() as conn, conn.transaction():
            return await step(conn, tenant_id)

    async def hand_over(self) -> bool:
        """Ask payments to collect what is finalized, and give back the prepaid credit of what is void."""
        now = self._clock()
        more = self._prepaid is not None and await give_back_prepaid(self._pool, self._prepaid, now, self._lease)
        return await hand_over(self._pool, self._peers.payments, self._clock, self._lease) or more

    async def refund(self) -> bool:
        """Ask payments for the refunds of credit notes."""
        now = self._clock()
        async with self._pool.acquire() as conn:
            due = await store.refunds.claim(conn, now, now + self._lease, REFUND_CHUNK)
        await asyncio.gather(*(self._ask_for(each) for each in due))
        return len(due) == REFUND_CHUNK

    async def _ask_for(self, refund: RefundRequest) -> None:
        """Once payments has it, or never will, it is not asked again."""
        try:
            await self._peers.payments.create_refund(refund)
        except FailedPrecondition as error:
            log.error("refund refused", tenant=refund.tenant_id, note=refund.credit_note_id, cause=str(error))
            async with self._pool.acquire() as conn:
                await store.refunds.refuse(conn, refund, error.reason)
        except (BillingError, grpc.aio.AioRpcError) as error:
            log.warning("refund waits", tenant=refund.tenant_id, note=refund.credit_note_id, cause=str(error))
            is_away = isinstance(error, Unavailable | ResourceExhausted)
            wait = PEER_AWAY_DELAY if is_away else PAYMENT_REFUSED_DELAY
            async with self._pool.acquire() as conn:
                await store.refunds.postpone(conn, refund, self._clock() + wait)
        else:
            async with self._pool.acquire() as conn:
                await store.refunds.hand_over(conn, refund)

    async def tell_metering(self) -> bool:
        """Until when usage is billed, and where test clocks are going."""
        now = self._clock()
        for tell in (tell_clocks, tell_billed):
            await tell(self._pool, self._peers, now, now + TELL_AGAIN_DELAY)
        return False

    async def conclude(self) -> bool:
        """Do what dunning ends with."""
        concluded = await conclude(self._pool, self._peers, self._clock, self._lease)
        if concluded:
            await self._alarm.ring(BILL)
        return concluded

    async def replay(self) -> bool:
        """Compute some invoices again, as a proof."""
        if self._replay_sample > 0:
            await begin_replays(self._pool, self._clock(), self._replay_sample)
        return await replay_some(self._pool, self._peers, self._clock, self._lease)

    async def prove(self) -> bool:
        """Compare some documents with the ledger."""
        now = self._clock()
        await begin_proofs(self._pool, now)
        return await prove_some(self._pool, now, self._lease)


async def _some_at_once(work: Sequence[Callable[[], Awaitable[bool]]]) -> list[bool]:
    """Their answers. The first error is raised when the others are done."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(each: Callable[[], Awaitable[bool]]) -> bool:
        async with turn:
            return await each()

    found = await asyncio.gather(*map(one, work), return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return [each for each in found if not isinstance(each, BaseException)]
