"""setup_page: pages on which customers save methods."""

from datetime import datetime
from uuid import UUID

from libs.common.postgres import Conn
from services.payments.domain.method import ProcessorAccount
from services.payments.store import methods


async def insert(
    conn: Conn, account: ProcessorAccount, customer_id: str, now: datetime, request_id: UUID, request_hash: bytes
) -> bool:
    """Also makes the processor's customer row where the customer has none."""
    await methods.insert_customer(conn, account.tenant_id, account.id, customer_id, now)
    made = await conn.fetchval(
        """
        INSERT INTO setup_page (tenant_id, request_id, request_hash, processor_account_id, customer_id, create_time)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        account.tenant_id, request_id, request_hash, account.id, customer_id, now,
    )  # fmt: skip
    return made is True


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> bytes:
    """The hash of a request that was made."""
    recorded: bytes = await conn.fetchval(
        "SELECT request_hash FROM setup_page WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return recorded
