"""processor_account."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from uuid import UUID

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.method import ProcessorAccount

_COLUMNS = "tenant_id, id, processor, create_time"


async def check(conn: Conn) -> None:
    """Raises unless the schema is there and can be read."""
    await conn.execute("SELECT FROM processor_account LIMIT 1")


async def insert(
    conn: Conn, account: ProcessorAccount, credentials: bytes, request_id: UUID, request_hash: bytes
) -> bool:
    made = await conn.fetchval(
        """
        INSERT INTO processor_account (tenant_id, id, processor, credentials, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
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
    return None if row is None else (ProcessorAccount(*row[:4]), row["request_hash"])


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


async def list_page(conn: Conn, tenant_id: str, page: Page) -> Sequence[ProcessorAccount]:
    """Up to one more than the page, by id."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM processor_account WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        tenant_id,
        page.after or "",
        page.size + 1,
    )
    return [ProcessorAccount(*row) for row in rows]
