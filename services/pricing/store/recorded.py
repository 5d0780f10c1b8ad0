"""The request that made a row. Inserts answer False when their key or their request_id is taken: this says which."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from libs.common.errors import BillingError
from libs.common.idempotency import require_same
from libs.common.postgres import Conn


@dataclass(frozen=True, slots=True)
class Recorded:
    """The request that made a row, and when it did."""

    request_hash: bytes
    create_time: datetime


async def find_request(conn: Conn, table: str, tenant_id: str, request_id: UUID) -> Recorded | None:
    """Of the rows of `table`, a name of ours."""
    row: asyncpg.Record | None = await conn.fetchrow(
        f"SELECT request_hash, create_time FROM {table} WHERE tenant_id = $1 AND request_id = $2",  # noqa: S608
        tenant_id, request_id,
    )  # fmt: skip
    return Recorded(**row) if row else None


def repeated(recorded: Recorded | None, request_hash: bytes, request_id: UUID, otherwise: BillingError) -> datetime:
    """When the same request was first done. Raises `otherwise` if it never was, Conflict if with other contents."""
    if recorded is None:
        raise otherwise
    require_same(recorded.request_hash, request_hash, str(request_id))
    return recorded.create_time


async def changed(conn: Conn, statement: str, *values: object) -> bool:
    """Whether the INSERT or UPDATE touched a row; Postgres answers "INSERT 0 1", "UPDATE 1"."""
    return not (await conn.execute(statement, *values)).endswith(" 0")
