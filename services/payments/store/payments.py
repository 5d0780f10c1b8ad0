"""payment, and payment_retry: the requests to try one again."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.dunning import CampaignState
from services.payments.domain.payment import Asked, Payment, PaymentState
from services.payments.domain.routing import Failover
from services.payments.store import dunning

_COLUMNS = (
    "tenant_id, id, invoice_id, invoice_number, customer_id, minor_units, currency, state, revision, create_time,"
    " version, charged_minor, manual_minor, refunded_minor, country_code, segment, failover,"
    " disputed_minor"
)


_DUNNING_ENDS = {
    PaymentState.SUCCEEDED: CampaignState.RECOVERED,
    PaymentState.CANCELED: CampaignState.STOPPED,
}


@dataclass(frozen=True, slots=True)
class Report:
    """A payment that invoicing has not heard the latest of; `tries` counts how often it was told in vain."""

    payment: Payment
    tries: int


def _payment(row: asyncpg.Record) -> Payment:
    return Payment(
        tenant_id=row["tenant_id"],
        id=row["id"],
        invoice_id=row["invoice_id"],
        invoice_number=row["invoice_number"],
        customer_id=row["customer_id"],
        amount=Money(row["minor_units"], row["currency"]),
        state=PaymentState(row["state"]),
        revision=row["revision"],
        create_time=row["create_time"],
        version=row["version"],
        charged_minor=row["charged_minor"],
        manual_minor=row["manual_minor"],
        refunded_minor=row["refunded_minor"],
        country_code=row["country_code"],
        segment=row["segment"],
        failover=Failover(row["failover"]) if row["failover"] else None,
        disputed_minor=row["disputed_minor"],
    )


async def insert(conn: Conn, asked: Sequence[Asked]) -> set[str]:
    """All of one tenant; those that are pending are due at once. Ids of the payments that are new."""
    if not asked:
        return set()
    rows = await conn.fetch(
        """
        INSERT INTO payment (tenant_id, id, invoice_id, invoice_number, customer_id, minor_units, currency, state,
                             due_time, report_due_time, create_time, request_id, request_hash, version, country_code,
                             segment)
        SELECT $1, id, invoice_id, invoice_number, customer_id, minor_units, currency, state,
               CASE WHEN state = 'PENDING' THEN create_time END, create_time, create_time,
               request_id, request_hash, version, country_code, segment
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
                    $9::timestamptz[], $10::uuid[], $11::bytea[], $12::bigint[], $13::text[], $14::text[])
             AS t (id, invoice_id, invoice_number, customer_id, minor_units, currency, state, create_time,
                   request_id, request_hash, version, country_code, segment)
        ON CONFLICT DO NOTHING RETURNING id
        """,
        asked[0].payment.tenant_id,
        *zip(
            *(
                (
                    each.payment.id, each.payment.invoice_id, each.payment.invoice_number, each.payment.customer_id,
                    each.payment.amount.minor_units, each.payment.amount.currency, each.payment.state,
                    each.payment.create_time, each.request_id, each.request_hash, each.payment.version,
                    each.payment.country_code, each.payment.segment,
                )
                for each in asked
            ),
            strict=True,
        ),
    )  # fmt: skip
    return {row["id"] for row in rows}


async def insert_canceled(conn: Conn, payment: Payment) -> bool:
    """Of an invoice that was taken back before it was asked for."""
    made = await conn.fetchval(
        """
        INSERT INTO payment (tenant_id, id, invoice_id, invoice_number, customer_id, minor_units, currency, state,
                             report_due_time, create_time, version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        payment.tenant_id, payment.id, payment.invoice_id, payment.invoice_number, payment.customer_id,
        payment.amount.minor_units, payment.amount.currency, payment.state, payment.create_time, payment.version,
    )  # fmt: skip
    return made is True


async def request_hashes(conn: Conn, tenant_id: str, request_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """Of the requests among these that made a payment, by id."""
    if not request_ids:
        return {}
    rows = await conn.fetch(
        "SELECT request_id, request_hash FROM payment WHERE tenant_id = $1 AND request_id = ANY($2::uuid[])",
        tenant_id, request_ids,
    )  # fmt: skip
    return {row["request_id"]: row["request_hash"] for row in rows}


async def find_of_invoice(conn: Conn, tenant_id: str, invoice_id: str) -> Payment | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM payment WHERE tenant_id = $1 AND invoice_id = $2", tenant_id, invoice_id
    )
    return None if row is None else _payment(row)


async def find(conn: Conn, tenant_id: str, payment_id: str) -> Payment | None:
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM payment WHERE tenant_id = $1 AND id = $2", tenant_id, payment_id)
    return None if row is None else _payment(row)


async def select(conn: Conn, condition: str, *arguments: object) -> Sequence[Payment]:
    """Those that a WHERE of another module of the store finds; it names the tenant."""
    return [_payment(row) for row in await conn.fetch(f"SELECT {_COLUMNS} FROM payment {condition}", *arguments)]


async def lock_of_invoices(conn: Conn, tenant_id: str, invoice_ids: Sequence[str]) -> dict[str, Payment]:
    """Payments by invoice, for this transaction alone to change."""
    if not invoice_ids:
        return {}
    rows = await conn.fetch(
        f"""
        SELECT {_COLUMNS} FROM payment WHERE tenant_id = $1 AND invoice_id = ANY($2::text[])
        ORDER BY invoice_id FOR UPDATE
        """,
        tenant_id, invoice_ids,
    )  # fmt: skip
    return {row["invoice_id"]: _payment(row) for row in rows}


async def lock_of_invoice(conn: Conn, tenant_id: str, invoice_id: str) -> Payment | None:
    """The invoice's payment, for this transaction alone to change."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM payment WHERE tenant_id = $1 AND invoice_id = $2 FOR UPDATE", tenant_id, invoice_id
    )
    return None if row is None else _payment(row)


async def set_asked(conn: Conn, payment: Payment) -> None:
    """What is asked for of a locked payment: its amount and version."""
    await conn.execute(
        "UPDATE payment SET minor_units = $3, version = $4 WHERE tenant_id = $1 AND id = $2",
        payment.tenant_id, payment.id, payment.amount.minor_units, payment.version,
    )  # fmt: skip


async def lock(conn: Conn, tenant_id: str, payment_id: str) -> Payment | None:
    """The payment, for this transaction alone to change."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM payment WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant_id, payment_id
    )
    return None if row is None else _payment(row)


async def list_page(conn: Conn, tenant_id: str, page: Page, invoice_id: str, customer_id: str) -> Sequence[Payment]:
    """Up to one more than the page, newest first; of one invoice and one customer unless these are empty."""
    rows = await conn.fetch(
        f"""
        SELECT {_COLUMNS} FROM payment
        WHERE tenant_id = $1 AND ($2::text IS NULL OR id < $2)
          AND ($3 = '' OR invoice_id = $3) AND ($4 = '' OR customer_id = $4)
        ORDER BY id DESC LIMIT $5
        """,
        tenant_id, page.after, invoice_id, customer_id, page.size + 1,
    )  # fmt: skip
    return [_payment(row) for row in rows]


async def set_state(
    conn: Conn,
    payment: Payment,
    state: PaymentState,
    now: datetime,
    due_time: datetime | None = None,
    failover: Failover | None = None,
) -> None:
    """Move a locked payment, and have it reported; `due_time` and `failover` are of the next attempt, for a pending
    one. Dunning ends at once when it is paid or canceled.
    """
    await conn.execute(
        """
        UPDATE payment SET state = $4, due_time = $6, failover = $7, revision = revision + 1, report_due_time = $5,
               report_tries = 0
        WHERE tenant_id = $1 AND id = $2 AND state = $3
        """,
        payment.tenant_id, payment.id, payment.state, state, now, due_time, failover,
    )  # fmt: skip
    if (ended := _DUNNING_ENDS.get(state)) is not None:
        await dunning.end(conn, payment, ended, now)


async def set_due_time(conn: Conn, payment: Payment, due_time: datetime) -> None:
    """Of the next attempt of a locked payment that is pending."""
    await conn.execute(
        "UPDATE payment SET due_time = $3 WHERE tenant_id = $1 AND id = $2 AND state = 'PENDING'",
        payment.tenant_id, payment.id, due_time,
    )  # fmt: skip


async def add_charged(conn: Conn, payment: Payment, minor_units: int, now: datetime) -> None:
    """An attempt of the locked payment has succeeded."""
    await conn.execute(
        """
        UPDATE payment SET charged_minor = charged_minor + $3,
               revision = revision + 1, report_due_time = $4, report_tries = 0
        WHERE tenant_id = $1 AND id = $2
        """,
        payment.tenant_id, payment.id, minor_units, now,
    )  # fmt: skip


async def add_manual(conn: Conn, payment: Payment, minor_units: int, now: datetime) -> None:
    """Money has come past the processors for the locked payment."""
    await conn.execute(
        """
        UPDATE payment SET manual_minor = manual_minor + $3,
               revision = revision + 1, report_due_time = $4, report_tries = 0
        WHERE tenant_id = $1 AND id = $2
        """,
        payment.tenant_id, payment.id, minor_units, now,
    )  # fmt: skip


async def is_reported(conn: Conn, payment: Payment) -> bool:
    """Whether invoicing has heard the latest."""
    reported: bool = await conn.fetchval(
        "SELECT reported_revision = revision FROM payment WHERE tenant_id = $1 AND id = $2",
        payment.tenant_id,
        payment.id,
    )
    return reported


async def add_refunded(conn: Conn, payment: Payment, number: int | None, minor_units: int) -> None:
    """What is given back of the locked payment, and of its charge `number`; negative when that has failed."""
    await conn.execute(
        "UPDATE payment SET refunded_minor = refunded_minor + $3 WHERE tenant_id = $1 AND id = $2",
        payment.tenant_id, payment.id, minor_units,
    )  # fmt: skip
    await conn.execute(
        """
        UPDATE payment_attempt SET refunded_minor = refunded_minor + $4
        WHERE tenant_id = $1 AND payment_id = $2 AND number = $3
        """,
        payment.tenant_id, payment.id, number, minor_units,
    )  # fmt: skip


async def add_disputed(conn: Conn, payment: Payment, minor_units: int) -> None:
    """Banks have taken so much more of the locked payment; negative when they gave it back."""
    await conn.execute(
        "UPDATE payment SET disputed_minor = disputed_minor + $3 WHERE tenant_id = $1 AND id = $2",
        payment.tenant_id, payment.id, minor_units,
    )  # fmt: skip


async def wake(conn: Conn, tenant_id: str, customer_id: str, now: datetime) -> int:
    """The customer, who is locked, has a new method: go on with the payments that wait for one, are dunned for, or
    wait for a card to be free, but not with what is written off. How many.
    """
    woken = await conn.fetch(
        """
        UPDATE payment p SET state = 'PENDING', due_time = $3, failover = NULL, revision = revision + 1,
               report_due_time = $3
        WHERE tenant_id = $1 AND customer_id = $2 AND (
            (state = 'AWAITING_METHOD' AND NOT EXISTS (
                SELECT FROM dunning_campaign c WHERE c.tenant_id = p.tenant_id AND c.payment_id = p.id
                  AND c.state = 'EXHAUSTED' AND c.final_action = 'WRITE_OFF'
            )) OR (state = 'PENDING' AND due_time > $3)
            OR (state IN ('FAILED', 'REQUIRES_ACTION') AND EXISTS (
                SELECT FROM dunning_campaign c
                WHERE c.tenant_id = p.tenant_id AND c.payment_id = p.id AND c.state = 'ACTIVE'
            ))
        )
        RETURNING id
        """,
        tenant_id, customer_id, now,
    )  # fmt: skip
    return len(woken)


async def claim_due(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[Payment]:
    """Payments to be charged; nobody else gets them before the lease ends."""
    rows = await conn.fetch(
        f"""
        UPDATE payment SET due_time = $1 + $2::interval
        WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM payment
            WHERE state = 'PENDING' AND due_time <= $1
            ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}
        """,
        now, lease, limit,
    )  # fmt: skip
    return [_payment(row) for row in rows]


async def claim_reports(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[Report]:
    rows = await conn.fetch(
        f"""
        UPDATE payment SET report_due_time = $1 + $2::interval, report_tries = report_tries + 1
        WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM payment
            WHERE reported_revision < revision AND report_due_time <= $1
            ORDER BY report_due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}, report_tries - 1 AS tries
        """,
        now, lease, limit,
    )  # fmt: skip
    return [Report(_payment(row), row["tries"]) for row in rows]


async def mark_reported(conn: Conn, payment: Payment) -> None:
    await conn.execute(
        """
        UPDATE payment SET reported_revision = greatest(reported_revision, $3), report_tries = 0
        WHERE tenant_id = $1 AND id = $2
        """,
        payment.tenant_id, payment.id, payment.revision,
    )  # fmt: skip


async def postpone_report(conn: Conn, payment: Payment, due_time: datetime) -> None:
    """Unless the payment has changed since: then there is something new to tell, at once."""
    await conn.execute(
        "UPDATE payment SET report_due_time = $4 WHERE tenant_id = $1 AND id = $2 AND revision = $3",
        payment.tenant_id, payment.id, payment.revision, due_time,
    )  # fmt: skip


async def insert_retry(
    conn: Conn, tenant_id: str, payment_id: str, now: datetime, request_id: UUID, request_hash: bytes
) -> bool:
    made = await conn.fetchval(
        """
        INSERT INTO payment_retry (tenant_id, request_id, request_hash, payment_id, create_time)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        tenant_id, request_id, request_hash, payment_id, now,
    )  # fmt: skip
    return made is True


async def find_retry(conn: Conn, tenant_id: str, request_id: UUID) -> bytes:
    """The hash of a retry request that is known to have been recorded."""
    request_hash: bytes = await conn.fetchval(
        "SELECT request_hash FROM payment_retry WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return request_hash
