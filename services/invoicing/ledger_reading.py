"""What the ledger tells: balances, statements and journals, each of one moment."""

from collections.abc import Sequence
from datetime import date, datetime

from libs.common.postgres import Conn
from services.invoicing import store
from services.invoicing.domain.ledger.journal import ONE_DAY, Asked, Entry, earned_entries, month_ends
from services.invoicing.domain.ledger.trial_balance import Balance, trial_balance


async def balances(
    conn: Conn, tenant_id: str, day: date, known_time: datetime | None, legal_entity: str | None
) -> list[Balance]:
    """At the end of `day`."""
    posted = await store.ledger_balances.posted(conn, tenant_id, day, known_time, legal_entity)
    earned = await store.ledger_balances.earned(conn, tenant_id, day, known_time, legal_entity)
    return trial_balance(posted, earned)


async def balance(conn: Conn, tenant_id: str, day: date, asked: Asked) -> int:
    """Minor units of the account that is asked for, at the end of `day`."""
    found = await balances(conn, tenant_id, day, asked.known_time, asked.legal_entity)
    return sum(each.amount for each in found if asked.has(each))


async def earned(conn: Conn, tenant_id: str, asked: Asked) -> Sequence[Entry]:
    """Month by month."""
    found: list[Entry] = []
    before = await store.ledger_balances.earned(
        conn, tenant_id, asked.first - ONE_DAY, asked.known_time, asked.legal_entity
    )
    for day in month_ends(asked.first, asked.last):
        after = await store.ledger_balances.earned(conn, tenant_id, day, asked.known_time, asked.legal_entity)
        found += earned_entries(day, before, after, asked)
        before = after
    return found
