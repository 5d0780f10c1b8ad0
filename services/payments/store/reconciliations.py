"""reconciliation, reconciliation_difference, payout_item, and our side of what is compared."""

# ruff: noqa: S608 what is interpolated is a list of columns or a query of this module

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

import asyncpg

from libs.common.money import Money
from libs.common.postgres import Conn
from services.payments.domain.method import ProcessorAccount
from services.payments.domain.reconciliation import (
    Difference,
    DifferenceKind,
    Entry,
    EntryKind,
    EntryState,
    Item,
    ItemKind,
    Payout,
    Reconciliation,
    ReconciliationState,
)

_COLUMNS = (
    "tenant_id, processor_account_id, day, state, charge_count, refund_count, payout_count, difference_count, end_time,"
    " tries, error"
)
_CHARGES = """
    SELECT a.reference, a.payment_id || '/' || a.number AS name, a.minor_units, p.currency, a.state,
           d.state = 'LOST' AS is_disputed, 'CHARGE' AS kind
    FROM payment_attempt a
    JOIN payment p ON p.tenant_id = a.tenant_id AND p.id = a.payment_id
    LEFT JOIN dispute d ON d.tenant_id = a.tenant_id AND d.payment_id = a.payment_id AND d.attempt_number = a.number
    WHERE a.tenant_id = $1 AND a.processor_account_id = $2
"""
_REFUNDS = """
    SELECT r.reference, r.id || '-' || r.key_generation AS name, r.minor_units, r.currency, r.state,
           false AS is_disputed, 'REFUND' AS kind
    FROM refund r
    JOIN payment_attempt a ON a.tenant_id = r.tenant_id AND a.payment_id = r.payment_id AND a.number = r.attempt_number
    WHERE r.tenant_id = $1 AND a.processor_account_id = $2
"""
_STATES = {"SUCCEEDED": EntryState.SUCCEEDED, "DECLINED": EntryState.FAILED, "FAILED": EntryState.FAILED}


def _reconciliation(row: asyncpg.Record) -> Reconciliation:
    return Reconciliation(**{**row, "state": ReconciliationState(row["state"])})


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(
        kind=EntryKind(row["kind"]),
        reference=row["reference"],
        name=row["name"],
        amount=Money(row["minor_units"], row["currency"]).amount,
        currency=row["currency"],
        state=_STATES.get(row["state"], EntryState.OPEN),
        disputed=bool(row["is_disputed"]),
    )


async def claim_accounts(conn: Conn, now: datetime, next_time: datetime, limit: int) -> Sequence[ProcessorAccount]:
    """Accounts whose last day has not been asked for; they are due again at `next_time`."""
    rows = await conn.fetch(
        """
        UPDATE processor_account SET reconcile_due_time = $2
        WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM processor_account WHERE reconcile_due_time <= $1
            ORDER BY reconcile_due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING tenant_id, id, processor, create_time, refused_webhook_count, refused_webhook_time, caught_up_time
        """,
        now, next_time, limit,
    )  # fmt: skip
    return [ProcessorAccount(*row) for row in rows]


async def ask(conn: Conn, tenant_id: str, account_id: str, day: date, now: datetime) -> Reconciliation:
    """Have the day looked at, again if it was; due at once."""
    row = await conn.fetchrow(
        f"""
        INSERT INTO reconciliation (tenant_id, processor_account_id, day, state, due_time)
        VALUES ($1, $2, $3, 'PENDING', $4)
        ON CONFLICT (tenant_id, processor_account_id, day)
        DO UPDATE SET state = 'PENDING', due_time = $4, tries = 0, error = ''
        RETURNING {_COLUMNS}
        """,
        tenant_id, account_id, day, now,
    )  # fmt: skip
    assert row is not None, "it is there now"
    return _reconciliation(row)


async def insert_request(conn: Conn, tenant_id: str, request_id: UUID, request_hash: bytes, now: datetime) -> bool:
    made = await conn.fetchval(
        """
        INSERT INTO reconciliation_request (tenant_id, request_id, request_hash, create_time) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        tenant_id, request_id, request_hash, now,
    )  # fmt: skip
    return made is True


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> bytes:
    """The hash of a request that was made."""
    recorded: bytes = await conn.fetchval(
        "SELECT request_hash FROM reconciliation_request WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return recorded


async def find(conn: Conn, tenant_id: str, account_id: str, day: date) -> Reconciliation | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM reconciliation WHERE tenant_id = $1 AND processor_account_id = $2 AND day = $3",
        tenant_id,
        account_id,
        day,
    )
    return None if row is None else _reconciliation(row)


async def list_page(
    conn: Conn, tenant_id: str, account_id: str, before: date | None, limit: int
) -> Sequence[Reconciliation]:
    """The account's, newest day first."""
    rows = await conn.fetch(
        f"""
        SELECT {_COLUMNS} FROM reconciliation
        WHERE tenant_id = $1 AND processor_account_id = $2 AND ($3::date IS NULL OR day < $3)
        ORDER BY day DESC LIMIT $4
        """,
        tenant_id, account_id, before, limit,
    )  # fmt: skip
    return [_reconciliation(row) for row in rows]


async def differences(
    conn: Conn, tenant_id: str, account_id: str, day: date, after: int, limit: int
) -> Sequence[tuple[int, Difference]]:
    """With their numbers, in order."""
    rows = await conn.fetch(
        """
        SELECT number, kind, reference, name, here, there FROM reconciliation_difference
        WHERE tenant_id = $1 AND processor_account_id = $2 AND day = $3 AND number > $4 ORDER BY number LIMIT $5
        """,
        tenant_id, account_id, day, after, limit,
    )  # fmt: skip
    return [(row[0], Difference(DifferenceKind(row[1]), *row[2:])) for row in map(tuple, rows)]


async def claim(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[Reconciliation]:
    rows = await conn.fetch(
        f"""
        UPDATE reconciliation SET due_time = $1 + $2::interval, tries = tries + 1
        WHERE (tenant_id, processor_account_id, day) IN (
            SELECT tenant_id, processor_account_id, day FROM reconciliation
            WHERE state = 'PENDING' AND due_time <= $1
            ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}
        """,
        now, lease, limit,
    )  # fmt: skip
    return [_reconciliation(row) for row in rows]


async def postpone(conn: Conn, of: Reconciliation, due_time: datetime, error: str) -> None:
    await conn.execute(
        """
        UPDATE reconciliation SET due_time = $4, error = $5
        WHERE tenant_id = $1 AND processor_account_id = $2 AND day = $3 AND state = 'PENDING'
        """,
        of.tenant_id, of.processor_account_id, of.day, due_time, error,
    )  # fmt: skip


async def conclude(conn: Conn, done: Reconciliation, found: Sequence[Difference]) -> None:
    """In place of what was found before. In a transaction."""
    key = done.tenant_id, done.processor_account_id, done.day
    await conn.execute(
        """
        UPDATE reconciliation SET state = 'DONE', due_time = NULL, error = '', charge_count = $4, refund_count = $5,
               payout_count = $6, difference_count = $7, end_time = $8
        WHERE tenant_id = $1 AND processor_account_id = $2 AND day = $3
        """,
        *key, done.charge_count, done.refund_count, done.payout_count, len(found), done.end_time,
    )  # fmt: skip
    await conn.execute(
        "DELETE FROM reconciliation_difference WHERE tenant_id = $1 AND processor_account_id = $2 AND day = $3", *key
    )
    await conn.executemany(
        """
        INSERT INTO reconciliation_difference (tenant_id, processor_account_id, day, number, kind, reference, name,
                                               here, there)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        [
            (*key, number, each.kind, each.reference, each.name, each.here, each.there)
            for number, each in enumerate(found, 1)
        ],
    )


async def entries_known_by(
    conn: Conn, tenant_id: str, account_id: str, kind: EntryKind, references: Sequence[str]
) -> Sequence[Entry]:
    """Ours with these ids of the processor's."""
    query = f"{_CHARGES} AND a.reference" if kind is EntryKind.CHARGE else f"{_REFUNDS} AND r.reference"
    rows = await conn.fetch(f"{query} = ANY($3::text[])", tenant_id, account_id, references)
    return [_entry(row) for row in rows]


async def entries_made(
    conn: Conn, tenant_id: str, account_id: str, since: datetime, until: datetime
) -> Sequence[Entry]:
    """Ours that were begun then and that the processor knows, by what was recorded."""
    rows = await conn.fetch(
        f"""
        {_CHARGES} AND a.create_time >= $3 AND a.create_time < $4 AND a.reference <> ''
        UNION ALL {_REFUNDS} AND r.create_time >= $3 AND r.create_time < $4 AND r.reference <> ''
        """,
        tenant_id, account_id, since, until,
    )  # fmt: skip
    return [_entry(row) for row in rows]


async def unpaid(conn: Conn, tenant_id: str, account_id: str, since: datetime, until: datetime) -> Sequence[Entry]:
    """Charges that were begun then, have succeeded and are in no payout; none where no payout is known at all."""
    rows = await conn.fetch(
        f"""
        {_CHARGES} AND a.create_time >= $3 AND a.create_time < $4 AND a.state = 'SUCCEEDED'
            AND EXISTS (SELECT FROM payout_item i WHERE i.tenant_id = $1 AND i.processor_account_id = $2)
            AND NOT EXISTS (
                SELECT FROM payout_item i
                WHERE i.tenant_id = $1 AND i.processor_account_id = $2 AND i.kind = 'CHARGE'
                    AND i.reference = a.reference
            )
        """,
        tenant_id, account_id, since, until,
    )  # fmt: skip
    return [_entry(row) for row in rows]


async def disputed(conn: Conn, tenant_id: str, account_id: str, references: Sequence[str]) -> frozenset[str]:
    """Which of these charges we know to have been disputed."""
    rows = await conn.fetch(
        """
        SELECT a.reference FROM payment_attempt a
        JOIN dispute d ON d.tenant_id = a.tenant_id AND d.payment_id = a.payment_id AND d.attempt_number = a.number
        WHERE a.tenant_id = $1 AND a.processor_account_id = $2 AND a.reference = ANY($3::text[])
        """,
        tenant_id, account_id, references,
    )  # fmt: skip
    return frozenset(row["reference"] for row in rows)


async def items_elsewhere(
    conn: Conn, tenant_id: str, account_id: str, payout_reference: str, references: Sequence[str]
) -> Sequence[Item]:
    """Items about these in other payouts than that one."""
    rows = await conn.fetch(
        """
        SELECT kind, reference, gross, fee, net FROM payout_item
        WHERE tenant_id = $1 AND processor_account_id = $2 AND kind IN ('CHARGE', 'REFUND')
            AND reference = ANY($4::text[]) AND payout_reference <> $3
        """,
        tenant_id, account_id, payout_reference, references,
    )  # fmt: skip
    return [Item(ItemKind(row["kind"]), row["reference"], row["gross"], row["fee"], row["net"]) for row in rows]


async def keep_payout(conn: Conn, of: Reconciliation, payout: Payout) -> None:
    """What it is made of, in place of what was known of it. In a transaction."""
    key = of.tenant_id, of.processor_account_id, payout.reference
    await conn.execute(
        "DELETE FROM payout_item WHERE tenant_id = $1 AND processor_account_id = $2 AND payout_reference = $3", *key
    )
    await conn.executemany(
        """
        INSERT INTO payout_item (tenant_id, processor_account_id, payout_reference, number, day, kind, reference,
                                 currency, gross, fee, net)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        [
            (*key, number, of.day, item.kind, item.reference, payout.currency, item.gross, item.fee, item.net)
            for number, item in enumerate(payout.items, 1)
        ],
    )


async def reports(
    conn: Conn, tenant_id: str, account_id: str, types: Sequence[str], since: datetime, until: datetime
) -> Sequence[bytes]:
    """Events that told of reports then."""
    rows = await conn.fetch(
        """
        SELECT body FROM webhook_event
        WHERE tenant_id = $1 AND processor_account_id = $2 AND type = ANY($3::text[])
            AND receive_time >= $4 AND receive_time < $5 AND state <> 'PARKED'
        """,
        tenant_id, account_id, types, since, until,
    )  # fmt: skip
    return [row["body"] for row in rows]
