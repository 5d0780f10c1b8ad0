"""processor_account."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.method import ProcessorAccount

_COLUMNS = "tenant_id, id, processor, create_time, refused_webhook_count, refused_webhook_time, caught_up_time"


async def check(conn: Conn) -> None:
    """Raises unless the schema is there and can be read."""
    await conn.execute("SELECT FROM processor_account LIMIT 1")


async def insert(
    conn: Conn, account: ProcessorAccount, credentials: bytes, request_id: UUID, request_hash: bytes
) -> bool:
    made = await conn.fetchval(
        """
        INSERT INTO processor_account (tenant_id, id, processor, credentials, create_time, request_id, request_hash,
                                       catch_up_due_time, reconcile_due_time)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $5, $5)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        account.tenant_id, account.id, account.processor, credentials, account.create_time, request_id, request_hash,
    )  # fmt: skip
    return made is True


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[ProcessorAccount, bytes] | None:
    """The account made by the request, and the request's hash."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS}, request_hash FROM processor_account WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return None if row is None else (ProcessorAccount(*row[:-1]), row["request_hash"])


async def find(conn: Conn, tenant_id: str, account_id: str) -> ProcessorAccount | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM processor_account WHERE tenant_id = $1 AND id = $2", tenant_id, account_id
    )
    return None if row is None else ProcessorAccount(*row)


async def find_credentials(conn: Conn, tenant_id: str, account_id: str) -> tuple[str, bytes] | None:
    """The processor's name and the encrypted credentials."""
    row = await conn.fetchrow(
        "SELECT processor, credentials FROM processor_account WHERE tenant_id = $1 AND id = $2", tenant_id, account_id
    )
    return None if row is None else (row["processor"], row["credentials"])


async def claim_behind(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[ProcessorAccount]:
    """Accounts whose events are to be listed; nobody else gets them before the lease ends."""
    rows = await conn.fetch(
        f"""
        UPDATE processor_account SET catch_up_due_time = $1 + $2::interval
        WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM processor_account WHERE catch_up_due_time <= $1
            ORDER BY catch_up_due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}
        """,
        now, lease, limit,
    )  # fmt: skip
    return [ProcessorAccount(*row) for row in rows]


async def set_caught_up(conn: Conn, account: ProcessorAccount, until: datetime, due_time: datetime) -> None:
    """Whoever has caught up later has seen more."""
    await conn.execute(
        """
        UPDATE processor_account SET caught_up_time = $3, catch_up_due_time = $4
        WHERE tenant_id = $1 AND id = $2 AND (caught_up_time IS NULL OR caught_up_time <= $3)
        """,
        account.tenant_id, account.id, until, due_time,
    )  # fmt: skip


async def count_refused(conn: Conn, tenant_id: str, account_id: str, now: datetime) -> None:
    """One more webhook came that nothing proves to be the processor's."""
    await conn.execute(
        """
        UPDATE processor_account SET refused_webhook_count = refused_webhook_count + 1, refused_webhook_time = $3
        WHERE tenant_id = $1 AND id = $2
        """,
        tenant_id, account_id, now,
    )  # fmt: skip


async def insert_update(
    conn: Conn, account: ProcessorAccount, now: datetime, request_id: UUID, request_hash: bytes
) -> bool:
    made = await conn.fetchval(
        """
        INSERT INTO processor_account_update (tenant_id, request_id, request_hash, processor_account_id, create_time)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        account.tenant_id, request_id, request_hash, account.id, now,
    )  # fmt: skip
    return made is True


async def find_update(conn: Conn, tenant_id: str, request_id: UUID) -> bytes:
    """The hash of a request that was made."""
    recorded: bytes = await conn.fetchval(
        "SELECT request_hash FROM processor_account_update WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return recorded


async def set_credentials(conn: Conn, account: ProcessorAccount, credentials: bytes) -> None:
    await conn.execute(
        "UPDATE processor_account SET credentials = $3 WHERE tenant_id = $1 AND id = $2",
        account.tenant_id,
        account.id,
        credentials,
    )


async def list_page(conn: Conn, tenant_id: str, page: Page) -> Sequence[ProcessorAccount]:
    """Up to one more than the page, by id."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM processor_account WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        tenant_id,
        page.after or "",
        page.size + 1,
    )
    return [ProcessorAccount(*row) for row in rows]


async def sealed_after(conn: Conn, tenant_id: str, account_id: str, limit: int) -> Sequence[tuple[str, str, bytes]]:
    """Tenant, id and encrypted credentials of every tenant's accounts, in order, after that one."""
    rows = await conn.fetch(
        """
        SELECT tenant_id, id, credentials FROM processor_account
        WHERE (tenant_id, id) > ($1, $2) ORDER BY tenant_id, id LIMIT $3
        """,
        tenant_id, account_id, limit,
    )  # fmt: skip
    return [(row["tenant_id"], row["id"], row["credentials"]) for row in rows]


async def rewrap(conn: Conn, tenant_id: str, account_id: str, before: bytes, after: bytes) -> bool:
    """Unless the credentials were replaced meanwhile."""
    done = await conn.fetchval(
        """
        UPDATE processor_account SET credentials = $4
        WHERE tenant_id = $1 AND id = $2 AND credentials = $3 RETURNING true
        """,
        tenant_id, account_id, before, after,
    )  # fmt: skip
    return done is True
