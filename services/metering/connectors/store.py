"""Every statement of the connectors. Functions take a connection; the caller owns the transaction."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.metering.connectors.records import Record, Refusal

MAX_SHOWN_BYTES = 8 * 1024
"""Of a record in a list; what is stored is whole."""


class State(StrEnum):
    WAITING = "WAITING"
    REQUESTED = "REQUESTED"
    REPLAYED = "REPLAYED"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that waits, and why; `record` is its beginning, broken characters replaced."""

    id: str
    connector: str
    position: str
    record: str
    refusal: Refusal
    state: State
    create_time: datetime
    request_time: datetime | None
    replay_time: datetime | None


@dataclass(frozen=True, slots=True)
class Requested:
    """A dead letter that somebody has asked to replay."""

    tenant_id: str
    id: str
    record: Record


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an object has been read: `records` of `version`."""

    version: str
    records: int
    is_complete: bool


async def insert_dead_letters(
    conn: Conn, tenant_id: str, connector: str, letters: Iterable[tuple[str, Record, Refusal]], now: datetime
) -> int:
    """Keep records under the ids given, those that are kept already as they are; how many are new."""
    rows = [
        (
            id_,
            _storable(record.position),
            _identity(record),
            json.dumps(dict(record.metadata)),
            _body(record),
            _storable(refusal.field),
            refusal.reason,
            _storable(refusal.message),
        )
        for id_, record, refusal in letters
    ]
    tag = await conn.execute(
        """
        INSERT INTO dead_letter (tenant_id, connector, create_time, id, position, identity, metadata, record, field,
            reason, message)
        SELECT $1, $2, $3, * FROM unnest($4::text[], $5::text[], $6::bytea[], $7::json[], $8::bytea[], $9::text[],
            $10::text[], $11::text[])
        ON CONFLICT DO NOTHING
        """,
        tenant_id, connector, now, *(list(column) for column in zip(*rows, strict=True)),
    )  # fmt: skip
    return _count(tag)


async def list_dead_letters(
    conn: Conn, tenant_id: str, connector: str, state: State | None, page: Page
) -> list[DeadLetter]:
    """By id, hence by time of making; one more than the page's size, if there are as many. Empty names are any."""
    rows = await conn.fetch(
        """
        SELECT id, connector, position, substring(record FOR $6) AS record, field, reason, message, state, create_time,
            request_time, replay_time
        FROM dead_letter
        WHERE tenant_id = $1 AND ($2 = '' OR connector = $2) AND ($3::text IS NULL OR state = $3)
            AND ($4::text IS NULL OR id > $4)
        ORDER BY id LIMIT $5
        """,
        tenant_id, connector, state, page.after, page.size + 1, MAX_SHOWN_BYTES,
    )  # fmt: skip
    return [
        DeadLetter(
            id=row["id"],
            connector=row["connector"],
            position=row["position"],
            record=row["record"].decode(errors="replace"),
            refusal=Refusal(row["field"], row["reason"], row["message"]),
            state=State(row["state"]),
            create_time=row["create_time"],
            request_time=row["request_time"],
            replay_time=row["replay_time"],
        )
        for row in rows
    ]


async def request_replays(
    conn: Conn, tenant_id: str, ids: Sequence[str], connector: str, reason: str, now: datetime
) -> int:
    """Ask for a replay of those that wait, by ids, connector and reason, where empty is any; how many there are."""
    tag = await conn.execute(
        """
        UPDATE dead_letter SET state = 'REQUESTED', request_time = $5
        WHERE tenant_id = $1 AND state = 'WAITING'
            AND ($2::text[] = '{}' OR id = ANY($2)) AND ($3 = '' OR connector = $3) AND ($4 = '' OR reason = $4)
        """,
        tenant_id, list(ids), connector, reason, now,
    )  # fmt: skip
    return _count(tag)


async def requested_replays(conn: Conn, connector: str, tenant_id: str, limit: int) -> list[Requested]:
    """Of one tenant, the oldest first; an empty tenant_id is any, for a connector that serves all."""
    rows = await conn.fetch(
        """
        SELECT tenant_id, id, position, metadata, record FROM dead_letter
        WHERE connector = $1 AND ($2 = '' OR tenant_id = $2) AND state = 'REQUESTED'
        ORDER BY tenant_id, id LIMIT $3
        """,
        connector, tenant_id, limit,
    )  # fmt: skip
    return [
        Requested(
            row["tenant_id"], row["id"], Record(row["position"], row["record"], metadata=json.loads(row["metadata"]))
        )
        for row in rows
    ]


async def end_replays(
    conn: Conn, tenant_id: str, replayed: Sequence[str], refused: Mapping[str, Refusal], now: datetime
) -> None:
    """Those `replayed` are done; those `refused` wait again, for the reason that they have now."""
    await conn.execute(
        """
        UPDATE dead_letter SET state = 'REPLAYED', replay_time = $3
        WHERE tenant_id = $1 AND id = ANY($2) AND state = 'REQUESTED'
        """,
        tenant_id, list(replayed), now,
    )  # fmt: skip
    await conn.execute(
        """
        UPDATE dead_letter
        SET state = 'WAITING', replay_time = $6, field = now.field, reason = now.reason, message = now.message
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS now (id, field, reason, message)
        WHERE tenant_id = $1 AND dead_letter.id = now.id AND state = 'REQUESTED'
        """,
        tenant_id,
        list(refused),
        [_storable(refusal.field) for refusal in refused.values()],
        [refusal.reason for refusal in refused.values()],
        [_storable(refusal.message) for refusal in refused.values()],
        now,
    )


async def read_progress(conn: Conn, tenant_id: str, connector: str, names: Sequence[str]) -> dict[str, Progress]:
    rows: list[asyncpg.Record] = await conn.fetch(
        """
        SELECT name, version, records, is_complete FROM source_object
        WHERE tenant_id = $1 AND connector = $2 AND name = ANY($3)
        """,
        tenant_id, connector, list(names),
    )  # fmt: skip
    return {row["name"]: Progress(row["version"], row["records"], row["is_complete"]) for row in rows}


async def save_progress(
    conn: Conn, tenant_id: str, connector: str, name: str, progress: Progress, now: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO source_object (tenant_id, connector, name, version, records, is_complete, update_time)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tenant_id, connector, name) DO UPDATE
        SET version = $4, records = $5, is_complete = $6, update_time = $7
        """,
        tenant_id, connector, name, progress.version, progress.records, progress.is_complete, now,
    )  # fmt: skip


def _identity(record: Record) -> bytes:
    framed = f"{len(record.position)}:{record.position}".encode(errors="surrogatepass")
    return hashlib.sha256(framed + _body(record)).digest()


def _body(record: Record) -> bytes:
    return record.body if isinstance(record.body, bytes) else json.dumps(record.body).encode()


def _storable(text: str) -> str:
    """Without what Postgres refuses in a text: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
