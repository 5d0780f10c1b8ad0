"""Reconciling: a day of an account's records at the processor is listed and compared with ours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Pool
from services.payments.accounts import Accounts
from services.payments.domain.attempt import Declined, NotMade, Outcome, Succeeded
from services.payments.domain.payment import delay
from services.payments.domain.reconciliation import (
    Difference,
    Entry,
    EntryKind,
    EntryState,
    ItemKind,
    Payout,
    Reconciliation,
    compare,
    compare_payout,
    not_paid_out,
)
from services.payments.pace import Pace
from services.payments.providers import (
    REPORTS,
    Capability,
    Processor,
    ProcessorUnavailable,
    RefundSighting,
    Sighting,
)
from services.payments.store import reconciliations as rows

log = structlog.get_logger()

DAY = timedelta(days=1)
AFTER = timedelta(hours=3)
"""When a day is looked at, after its end: webhooks have come by then."""
UNPAID_AFTER = timedelta(days=21)
"""Debits are paid out within a week or two."""
AT_A_TIME = 16


@dataclass(frozen=True, slots=True)
class Reconciling:
    pool: Pool
    accounts: Accounts
    clock: Clock
    pace: Pace

    async def ask(self) -> bool:
        """Have yesterday looked at, of each account for which that is due. True if there may be more."""
        now = self.clock()
        today = midnight(now.date())
        next_time = today + AFTER if now < today + AFTER else today + DAY + AFTER
        async with self.pool.acquire() as conn, conn.transaction():
            found = await rows.claim_accounts(conn, now, next_time, AT_A_TIME)
            for account in found:
                yesterday = (next_time - 2 * DAY).date()
                if account.create_time < midnight(yesterday) + DAY:
                    await rows.ask(conn, account.tenant_id, account.id, yesterday, now)
        return len(found) == AT_A_TIME

    async def reconcile(self, of: Reconciliation) -> None:
        """A claimed day."""
        processor = await self.accounts.get(of.tenant_id, of.processor_account_id)
        since = midnight(of.day)
        try:
            theirs = [_entry(each) async for each in processor.list_records(since, since + DAY)]
            missing = await self._not_listed(processor, of, theirs)
            payouts = await self._payouts(processor, of)
        except ProcessorUnavailable as error:
            log.warning("not reconciled yet", tenant=of.tenant_id, account=of.processor_account_id, cause=str(error))
            async with self.pool.acquire() as conn:
                await rows.postpone(conn, of, self.clock() + delay(self.pace.reconcile, of.tries - 1), str(error))
            return
        theirs += missing
        found = await self._compared(processor, of, theirs, payouts)
        counts = {kind: sum(entry.kind is kind for entry in theirs) for kind in EntryKind}
        done = replace(
            of,
            charge_count=counts[EntryKind.CHARGE],
            refund_count=counts[EntryKind.REFUND],
            payout_count=len(payouts),
            end_time=self.clock(),
        )
        async with self.pool.acquire() as conn, conn.transaction():
            for payout in payouts:
                await rows.keep_payout(conn, of, payout)
            await rows.conclude(conn, done, found)
        told = log.warning if found else log.info
        told("reconciled", tenant=of.tenant_id, account=of.processor_account_id, day=of.day, differences=len(found))

    async def _not_listed(self, processor: Processor, of: Reconciliation, theirs: Sequence[Entry]) -> list[Entry]:
        """Theirs of ours of the day that were not listed for it: midnight may be between the two."""
        if Capability.RECORD_LIST not in processor.capabilities:
            return []
        listed = {(entry.kind, entry.reference) for entry in theirs}
        found = []
        for entry in await self._made(of):
            if (entry.kind, entry.reference) not in listed:
                is_charge = entry.kind is EntryKind.CHARGE
                ask = processor.fetch if is_charge else processor.fetch_refund
                if (seen := await ask(entry.reference)) is not None:
                    found.append(_entry(seen))
        return found

    async def _made(self, of: Reconciliation) -> Sequence[Entry]:
        async with self.pool.acquire() as conn:
            begin = midnight(of.day)
            return await rows.entries_made(conn, of.tenant_id, of.processor_account_id, begin, begin + DAY)

    async def _payouts(self, processor: Processor, of: Reconciliation) -> list[Payout]:
        since = midnight(of.day)
        async with self.pool.acquire() as conn:
            reports = await rows.reports(
                conn, of.tenant_id, of.processor_account_id, sorted(REPORTS), since, since + DAY
            )
        return [payout async for payout in processor.list_payouts(since, since + DAY, reports)]

    async def _compared(
        self, processor: Processor, of: Reconciliation, theirs: Sequence[Entry], payouts: Sequence[Payout]
    ) -> list[Difference]:
        found = []
        if Capability.RECORD_LIST in processor.capabilities:
            known = await self._known(of, ((entry.kind, entry.reference) for entry in theirs))
            found = compare({*known, *await self._made(of)}, theirs)
        for payout in payouts:
            found += await self._compared_payout(of, payout)
        begin = midnight(of.day) - UNPAID_AFTER
        async with self.pool.acquire() as conn:
            unpaid = await rows.unpaid(conn, of.tenant_id, of.processor_account_id, begin, begin + DAY)
        return found + [not_paid_out(entry) for entry in unpaid]

    async def _compared_payout(self, of: Reconciliation, payout: Payout) -> list[Difference]:
        kinds = {ItemKind.CHARGE: EntryKind.CHARGE, ItemKind.REFUND: EntryKind.REFUND}
        moved = [(kinds[item.kind], item.reference) for item in payout.items if item.kind in kinds]
        known = await self._known(of, moved)
        account = of.tenant_id, of.processor_account_id
        references = [item.reference for item in payout.items if item.reference]
        async with self.pool.acquire() as conn:
            disputed = await rows.disputed(conn, *account, references)
            before = await rows.items_elsewhere(conn, *account, payout.reference, references)
        return compare_payout(payout, {(entry.kind, entry.reference): entry for entry in known}, disputed, before)

    async def _known(self, of: Reconciliation, keys: Iterable[tuple[EntryKind, str]]) -> list[Entry]:
        """Ours among these."""
        wanted = list(keys)
        found: list[Entry] = []
        async with self.pool.acquire() as conn:
            for kind in EntryKind:
                references = [reference for each, reference in wanted if each is kind]
                found += await rows.entries_known_by(conn, of.tenant_id, of.processor_account_id, kind, references)
        return found


def midnight(day: date) -> datetime:
    """Days are those of UTC."""
    return datetime.combine(day, time(), UTC)


def _entry(seen: Sighting | RefundSighting) -> Entry:
    if isinstance(seen, RefundSighting):
        return Entry(EntryKind.REFUND, seen.reference, seen.refund_id, seen.amount, seen.currency, _state(seen.outcome))
    name = f"{seen.payment_id}/{seen.number}" if seen.payment_id else ""
    return Entry(EntryKind.CHARGE, seen.reference, name, seen.amount, seen.currency, _state(seen.outcome))


def _state(outcome: Outcome) -> EntryState:
    match outcome:
        case Succeeded():
            return EntryState.SUCCEEDED
        case Declined() | NotMade():
            return EntryState.FAILED
    return EntryState.OPEN
