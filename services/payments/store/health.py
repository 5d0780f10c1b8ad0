"""processor_health: no row where nothing is wrong."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from libs.common.postgres import Conn
from services.payments.domain.breaker import Health


def _health(row: asyncpg.Record) -> Health:
    return Health(row["failures"], row["failure_time"], row["times_opened"], row["open_until"])


async def of_accounts(conn: Conn, tenant_id: str, account_ids: Sequence[str]) -> Mapping[str, Health]:
    rows = await conn.fetch(
        """
        SELECT processor_account_id, failures, failure_time, times_opened, open_until FROM processor_health
        WHERE tenant_id = $1 AND processor_account_id = ANY($2::text[])
        """,
        tenant_id, account_ids,
    )  # fmt: skip
    return {row["processor_account_id"]: _health(row) for row in rows}


async def lock(conn: Conn, tenant_id: str, account_id: str) -> Health | None:
    """For this transaction alone to change, also where there is none yet."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('health ' || $1 || ' ' || $2, 0))", tenant_id, account_id
    )
    return (await of_accounts(conn, tenant_id, [account_id])).get(account_id)


async def save(conn: Conn, tenant_id: str, account_id: str, health: Health | None) -> None:
    """Of a locked account."""
    if health is None:
        await conn.execute(
            "DELETE FROM processor_health WHERE tenant_id = $1 AND processor_account_id = $2", tenant_id, account_id
        )
        return
    await conn.execute(
        """
        INSERT INTO processor_health (tenant_id, processor_account_id, failures, failure_time, times_opened, open_until)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (tenant_id, processor_account_id)
        DO UPDATE SET failures = $3, failure_time = $4, times_opened = $5, open_until = $6
        """,
        tenant_id, account_id, health.failures, health.failure_time, health.times_opened, health.open_until,
    )  # fmt: skip


async def claim_probe(conn: Conn, tenant_id: str, account_id: str, seen: datetime, open_until: datetime) -> bool:
    """False when somebody else probes a circuit that was open until `seen`, or has done so."""
    claimed = await conn.fetchval(
        """
        UPDATE processor_health SET open_until = $4
        WHERE tenant_id = $1 AND processor_account_id = $2 AND open_until = $3 RETURNING true
        """,
        tenant_id, account_id, seen, open_until,
    )  # fmt: skip
    return claimed is True
