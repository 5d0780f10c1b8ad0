"""The inbox: what processors tell, by webhook or listed when a webhook may have been lost, is a row, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Pool
from services.payments.accounts import Accounts
from services.payments.domain.method import ProcessorAccount
from services.payments.domain.webhook import WebhookEvent
from services.payments.pace import Pace
from services.payments.providers import Event, ProcessorUnavailable
from services.payments.store import accounts as account_rows
from services.payments.store import events

log = structlog.get_logger()

CHUNK = 200


def received(tenant_id: str, account_id: str, told: Sequence[Event], now: datetime) -> Sequence[WebhookEvent]:
    return [
        WebhookEvent(
            tenant_id=tenant_id,
            processor_account_id=account_id,
            id=each.id,
            type=each.type,
            subject=each.subject,
            reference=each.reference,
            tries=0,
            receive_time=now,
            customer_reference=each.customer_reference,
            body=each.body,
            error=each.error,
        )
        for each in told
    ]


@dataclass(frozen=True, slots=True)
class CatchingUp:
    """Listing what happened since the last time, for webhooks that never arrived."""

    pool: Pool
    accounts: Accounts
    clock: Clock
    pace: Pace

    async def catch_up(self, account: ProcessorAccount) -> None:
        """An account that is due. What is listed again is known already; without an answer it is due again soon."""
        begin = self.clock()
        processor = await self.accounts.get(account.tenant_id, account.id)
        since = (account.caught_up_time or account.create_time) - self.pace.catch_up_overlap
        count, page = 0, list[Event]()
        try:
            async for event in processor.list_events(since):
                page.append(event)
                if len(page) == CHUNK:
                    count += await self._keep(account, page, begin)
                    page = []
        except ProcessorUnavailable as error:
            log.warning("events not listed", tenant=account.tenant_id, account=account.id, cause=str(error))
            return
        count += await self._keep(account, page, begin)
        async with self.pool.acquire() as conn:
            await account_rows.set_caught_up(conn, account, begin, begin + self.pace.catch_up)
        if count:
            log.info("caught up", tenant=account.tenant_id, account=account.id, events=count)

    async def _keep(self, account: ProcessorAccount, page: Sequence[Event], now: datetime) -> int:
        async with self.pool.acquire() as conn:
            return await events.insert(conn, received(account.tenant_id, account.id, page, now))
