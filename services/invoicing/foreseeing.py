"""What a change of a subscription bills and gives back, before it is made: by the code that makes it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from libs.common.postgres import Conn, Pool
from services.invoicing import crediting, store
from services.invoicing.billing import preview
from services.invoicing.domain.credit_note import CreditNote
from services.invoicing.domain.drafted_note import NothingToCredit
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.subscription import Subscription
from services.invoicing.giving_back import unused_balances, unused_fees
from services.invoicing.late_billing import History
from services.invoicing.peers import Peers


@dataclass(frozen=True, slots=True)
class Foreseen:
    invoices: Sequence[Invoice]
    notes: Sequence[CreditNote]


async def foreseen(
    pool: Pool, peers: Peers, tenant_id: str, found: Subscription, made: Subscription, at: datetime, now: datetime
) -> Foreseen:
    """What falls due from a change of what was `found`, at `at`, up to now; of one that is still to come, at it."""
    due, begun = [], made
    while not made.is_closed and made.due_time <= max(at, now):
        if made.due_time >= at:
            due.append(made)
        made = made.billed()
    steps = [(found, begun), *((each, each.billed()) for each in due)]
    async with pool.acquire() as conn, conn.transaction():
        notes = [note for before, after in steps for note in await _notes(conn, tenant_id, before, after)]
        standing = await store.standings.of_customer(conn, tenant_id, made.customer_id)
        standing = standing.with_balances(await unused_balances(conn, tenant_id, steps))
    return Foreseen(await preview(peers, tenant_id, due, History(pool, tenant_id), standing, now), notes)


async def _notes(conn: Conn, tenant_id: str, before: Subscription, after: Subscription) -> list[CreditNote]:
    made = []
    for asked in await unused_fees(conn, tenant_id, before, after):
        with suppress(NothingToCredit):
            made.append(await crediting.estimated(conn, tenant_id, asked))
    return made
