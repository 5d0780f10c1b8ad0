"""Objects of the catalog that are a code and a document: one table for each kind, with the same columns."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import asyncpg

from libs.common.errors import Conflict, NotFound
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.pricing.store.recorded import changed, find_request, repeated

Json = dict[str, Any]


class Coded(Protocol):
    @property
    def code(self) -> str: ...
    @property
    def create_time(self) -> datetime: ...


T = TypeVar("T", bound=Coded)


@dataclass(frozen=True, slots=True)
class Objects(Generic[T]):
    """One kind. `noun` is what people call it, `exists` and `missing` the reasons of its errors."""

    table: str
    noun: str
    exists: str
    missing: str
    contents: Callable[[T], Json]
    """All but the code and the time, as JSON with decimals as strings."""
    read: Callable[[str, datetime, Json], T]

    async def create(
        self, conn: Conn, tenant_id: str, made: T, request_id: UUID, request_hash: bytes
    ) -> datetime | None:
        """None, or when the same request was first done.

        Raises Conflict REQUEST_ID_REUSED, or with the reason `exists`.
        """
        if await changed(
            conn,
            f"""
            INSERT INTO {self.table} (tenant_id, code, contents, create_time, request_id, request_hash)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT DO NOTHING
            """,  # noqa: S608 our own table names
            tenant_id, made.code, json.dumps(self.contents(made)), made.create_time, request_id, request_hash,
        ):  # fmt: skip
            return None
        taken = Conflict(self.exists, f"there is a {self.noun} {made.code} already", code=made.code)
        return repeated(await find_request(conn, self.table, tenant_id, request_id), request_hash, request_id, taken)

    async def find(self, conn: Conn, tenant_id: str, codes: Collection[str]) -> dict[str, T]:
        """Those of `codes` that there are."""
        rows = await conn.fetch(
            f"SELECT code, create_time, contents FROM {self.table} WHERE tenant_id = $1 AND code = ANY ($2)",  # noqa: S608
            tenant_id, list(codes),
        )  # fmt: skip
        return {row["code"]: self._object(row) for row in rows}

    async def get(self, conn: Conn, tenant_id: str, code: str, field: str = "code") -> T:
        """Raises NotFound with the reason `missing`; `field` is where the request has the code."""
        found = await self.find(conn, tenant_id, [code])
        if code not in found:
            raise self.not_found(code, field)
        return found[code]

    async def list(self, conn: Conn, tenant_id: str, page: Page) -> list[T]:
        """By code; one more than the page's size, if there are as many."""
        rows = await conn.fetch(
            f"""
            SELECT code, create_time, contents FROM {self.table}
            WHERE tenant_id = $1 AND ($2::text IS NULL OR code > $2)
            ORDER BY code LIMIT $3
            """,  # noqa: S608
            tenant_id, page.after, page.size + 1,
        )  # fmt: skip
        return [self._object(row) for row in rows]

    async def change(self, conn: Conn, tenant_id: str, code: str, field: str, change: Callable[[T], T]) -> T:
        """The object as it is now; others wait for the transaction. Raises NotFound, and what `change` raises."""
        await conn.execute(
            f"SELECT FROM {self.table} WHERE tenant_id = $1 AND code = $2 FOR UPDATE",
            tenant_id, code,
        )  # fmt: skip
        made = change(await self.get(conn, tenant_id, code, field))
        await conn.execute(
            f"UPDATE {self.table} SET contents = $3 WHERE tenant_id = $1 AND code = $2",  # noqa: S608
            tenant_id, code, json.dumps(self.contents(made)),
        )  # fmt: skip
        return made

    def not_found(self, code: str, field: str) -> NotFound:
        return NotFound(self.missing, f"there is no {self.noun} {code}", code=code, field=field)

    def _object(self, row: asyncpg.Record) -> T:
        return self.read(row["code"], row["create_time"], json.loads(row["contents"]))
