"""payment_method, and processor_customer: whom a processor keeps the methods for."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.method import MethodKind, MethodState, PaymentMethod

_COLUMNS = (
    "tenant_id, id, customer_id, processor_account_id, processor_token, state, reference, label, refusal_code,"
    " refusal_message, key_generation, tries, create_time, kind"
)

MOST_ACTIVE = 50
"""Methods of a customer that are looked at; those before are old."""


@dataclass(frozen=True, slots=True)
class ProcessorCustomer:
    """`reference` is the processor's id of the customer, empty until it is known."""

    reference: str
    key_generation: int


def _method(row: asyncpg.Record) -> PaymentMethod:
    return PaymentMethod(**{**row, "state": MethodState(row["state"]), "kind": MethodKind(row["kind"])})


async def lock_customer(conn: Conn, tenant_id: str, customer_id: str) -> None:
    """Until the transaction ends, nobody else decides whether this customer has a method to charge."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))", tenant_id, customer_id)


async def lock_customers(conn: Conn, tenant_id: str, customer_ids: Collection[str]) -> None:
    """As `lock_customer` for each: nobody who locks several gets in another's way, whatever their order is here."""
    await conn.execute(
        """
        SELECT pg_advisory_xact_lock(key) FROM (
            SELECT DISTINCT hashtextextended($1 || ' ' || id, 0) AS key FROM unnest($2::text[]) AS t (id) ORDER BY key
        ) AS keys
        """,
        tenant_id, list(customer_ids),
    )  # fmt: skip


async def insert(conn: Conn, method: PaymentMethod, due_time: datetime, request_id: UUID, request_hash: bytes) -> bool:
    """Also makes the processor's customer row where the customer has none."""
    await insert_customer(conn, method.tenant_id, method.processor_account_id, method.customer_id, method.create_time)
    made = await conn.fetchval(
        """
        INSERT INTO payment_method (tenant_id, id, customer_id, processor_account_id, processor_token, state, due_time,
                                    create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        method.tenant_id, method.id, method.customer_id, method.processor_account_id, method.processor_token,
        method.state, due_time, method.create_time, request_id, request_hash,
    )  # fmt: skip
    return made is True


async def insert_customer(conn: Conn, tenant_id: str, account_id: str, customer_id: str, now: datetime) -> None:
    """Where the customer has no row with the account."""
    await conn.execute(
        """
        INSERT INTO processor_customer (tenant_id, processor_account_id, customer_id, create_time)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, account_id, customer_id, now,
    )  # fmt: skip


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[PaymentMethod, bytes] | None:
    """The method made by the request, and the request's hash."""
    row = await conn.fetchrow(
        "SELECT id, request_hash FROM payment_method WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return None if row is None else (await find(conn, tenant_id, row["id"]), row["request_hash"])


async def find(conn: Conn, tenant_id: str, method_id: str) -> PaymentMethod:
    """For ids that are known to exist."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM payment_method WHERE tenant_id = $1 AND id = $2", tenant_id, method_id
    )
    assert row is not None, "payment methods are never deleted"
    return _method(row)


async def list_page(conn: Conn, tenant_id: str, customer_id: str, page: Page) -> Sequence[PaymentMethod]:
    """Up to one more than the page, newest first."""
    rows = await conn.fetch(
        f"""
        SELECT {_COLUMNS} FROM payment_method
        WHERE tenant_id = $1 AND customer_id = $2 AND ($3::text IS NULL OR id < $3)
        ORDER BY id DESC LIMIT $4
        """,
        tenant_id, customer_id, page.after, page.size + 1,
    )  # fmt: skip
    return [_method(row) for row in rows]


async def list_active(conn: Conn, tenant_id: str, customer_id: str) -> Sequence[PaymentMethod]:
    """The methods that can be charged, newest first: the first is the customer's default."""
    rows = await conn.fetch(
        f"""
        SELECT {_COLUMNS} FROM payment_method
        WHERE tenant_id = $1 AND customer_id = $2 AND state = 'ACTIVE'
        ORDER BY id DESC LIMIT {MOST_ACTIVE}
        """,
        tenant_id, customer_id,
    )  # fmt: skip
    return [_method(row) for row in rows]


async def chargeable(conn: Conn, tenant_id: str, customer_ids: Collection[str]) -> set[str]:
    """Which of the customers have a method that can be charged."""
    rows = await conn.fetch(
        """
        SELECT DISTINCT customer_id FROM payment_method
        WHERE tenant_id = $1 AND customer_id = ANY($2::text[]) AND state = 'ACTIVE'
        """,
        tenant_id, list(customer_ids),
    )  # fmt: skip
    return {row["customer_id"] for row in rows}


async def claim_saving(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[PaymentMethod]:
    """Methods whose saving was interrupted; nobody else gets them before the lease ends."""
    rows = await conn.fetch(
        f"""
        UPDATE payment_method SET due_time = $1 + $2::interval, tries = tries + 1
        WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM payment_method
            WHERE state = 'SAVING' AND due_time <= $1
            ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}
        """,
        now, lease, limit,
    )  # fmt: skip
    return [_method(row) for row in rows]


async def postpone(conn: Conn, method: PaymentMethod, due_time: datetime, *, next_key: bool) -> None:
    await conn.execute(
        """
        UPDATE payment_method SET due_time = $3, key_generation = CASE WHEN $4 THEN $5 + 1 ELSE key_generation END
        WHERE tenant_id = $1 AND id = $2 AND state = 'SAVING'
        """,
        method.tenant_id, method.id, due_time, next_key, method.key_generation,
    )  # fmt: skip


async def activate(conn: Conn, method: PaymentMethod, reference: str, label: str, kind: MethodKind) -> None:
    await conn.execute(
        """
        UPDATE payment_method SET state = 'ACTIVE', reference = $3, label = $4, kind = $5, due_time = NULL
        WHERE tenant_id = $1 AND id = $2 AND state = 'SAVING'
        """,
        method.tenant_id, method.id, reference, label, kind,
    )  # fmt: skip


async def refuse(conn: Conn, method: PaymentMethod, code: str, message: str) -> None:
    await conn.execute(
        """
        UPDATE payment_method SET state = 'REFUSED', refusal_code = $3, refusal_message = $4, due_time = NULL
        WHERE tenant_id = $1 AND id = $2 AND state = 'SAVING'
        """,
        method.tenant_id, method.id, code, message,
    )  # fmt: skip


async def find_customer(conn: Conn, tenant_id: str, account_id: str, customer_id: str) -> ProcessorCustomer:
    """For customers that have a method with the account."""
    row = await conn.fetchrow(
        """
        SELECT reference, key_generation FROM processor_customer
        WHERE tenant_id = $1 AND processor_account_id = $2 AND customer_id = $3
        """,
        tenant_id, account_id, customer_id,
    )  # fmt: skip
    assert row is not None, "every payment method has its processor customer"
    return ProcessorCustomer(*row)


async def has_token(conn: Conn, tenant_id: str, account_id: str, token: str) -> bool:
    """Whether somebody has asked for this very method to be saved."""
    found: bool = await conn.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM payment_method WHERE tenant_id = $1 AND processor_account_id = $2 AND processor_token = $3
        )
        """,
        tenant_id, account_id, token,
    )  # fmt: skip
    return found


async def find_customer_of(conn: Conn, tenant_id: str, account_id: str, reference: str) -> str | None:
    """Whom a processor knows by `reference`."""
    customer_id: str | None = await conn.fetchval(
        """
        SELECT customer_id FROM processor_customer
        WHERE tenant_id = $1 AND processor_account_id = $2 AND reference = $3 AND reference <> ''
        """,
        tenant_id, account_id, reference,
    )  # fmt: skip
    return customer_id


async def set_customer_reference(conn: Conn, tenant_id: str, account_id: str, customer_id: str, reference: str) -> str:
    """The customer's reference from now on: the first that was set."""
    known: str = await conn.fetchval(
        """
        UPDATE processor_customer SET reference = CASE WHEN reference = '' THEN $4 ELSE reference END
        WHERE tenant_id = $1 AND processor_account_id = $2 AND customer_id = $3
        RETURNING reference
        """,
        tenant_id, account_id, customer_id, reference,
    )  # fmt: skip
    return known


async def next_customer_key(conn: Conn, tenant_id: str, account_id: str, customer_id: str, generation: int) -> None:
    await conn.execute(
        """
        UPDATE processor_customer SET key_generation = key_generation + 1
        WHERE tenant_id = $1 AND processor_account_id = $2 AND customer_id = $3 AND key_generation = $4
        """,
        tenant_id, account_id, customer_id, generation,
    )  # fmt: skip
