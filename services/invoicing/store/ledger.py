"""Bookings of the ledger, and its periods."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from libs.common.postgres import Conn
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.booked import Booked
from services.invoicing.domain.ledger.booking import DEFAULT_ENTITY, Booking
from services.invoicing.domain.ledger.earning import Earning
from services.invoicing.domain.period import local_date, zone


async def open_from(conn: Conn, tenant_id: str, legal_entity: str) -> date:
    """The first day that is not closed. It stays so until the transaction ends; others may book meanwhile."""
    closed: date | None = await _closed_through(conn, tenant_id, legal_entity)
    if closed is None:
        await conn.execute(
            "INSERT INTO ledger_book (tenant_id, legal_entity) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            tenant_id,
            legal_entity,
        )
        closed = await _closed_through(conn, tenant_id, legal_entity)
        assert closed is not None, "books are never deleted"
    return closed + timedelta(days=1)


async def _closed_through(conn: Conn, tenant_id: str, legal_entity: str) -> date | None:
    found: date | None = await conn.fetchval(
        "SELECT closed_through FROM ledger_book WHERE tenant_id = $1 AND legal_entity = $2 FOR SHARE",
        tenant_id,
        legal_entity,
    )
    return found


async def insert(conn: Conn, tenant_id: str, bookings: Sequence[Booking], recorded_time: datetime) -> None:
    """One statement for all legs, one for what is earned of them. What was booked before is left as it is."""
    legs = [
        (booking, leg, account, amount)
        for booking in bookings
        for leg, (account, amount) in enumerate((account, amount) for account, amount in booking.legs.items() if amount)
    ]
    await conn.execute(
        "INSERT INTO ledger_posting (tenant_id, recorded_time, invoice_id, source, leg, legal_entity, currency,"
        " account, amount_minor, effective_date) SELECT $1, $2, p.* FROM unnest($3::text[], $4::text[], $5::smallint[],"
        "  $6::text[], $7::text[], $8::text[], $9::bigint[], $10::date[]) AS p ON CONFLICT DO NOTHING",
        tenant_id,
        recorded_time,
        [each.invoice_id for each, *_ in legs],
        [each.source for each, *_ in legs],
        [leg for _, leg, *_ in legs],
        [each.legal_entity for each, *_ in legs],
        [each.currency for each, *_ in legs],
        [account for *_, account, _ in legs],
        [amount for *_, amount in legs],
        [each.effective for each, *_ in legs],
    )
    earnings = [(booking, i, each) for booking in bookings for i, each in enumerate(booking.earnings)]
    await conn.execute(
        "INSERT INTO ledger_earning (tenant_id, recorded_time, invoice_id, source, position, part, legal_entity,"
        " currency, amount_minor, first_day, days, skipped_days, from_date, booked_date)"
        " SELECT $1, $2, e.* FROM unnest($3::text[], $4::text[], $5::smallint[], $6::smallint[], $7::text[],"
        "  $8::text[], $9::bigint[], $10::date[], $11::integer[], $12::integer[], $13::date[], $14::date[]) AS e"
        " ON CONFLICT DO NOTHING",
        tenant_id,
        recorded_time,
        [of.invoice_id for of, *_ in earnings],
        [of.source for of, *_ in earnings],
        [position for _, position, _ in earnings],
        [each.part for *_, each in earnings],
        [of.legal_entity for of, *_ in earnings],
        [of.currency for of, *_ in earnings],
        [each.amount for *_, each in earnings],
        [each.first_day for *_, each in earnings],
        [each.days for *_, each in earnings],
        [each.skipped for *_, each in earnings],
        [each.from_date for *_, each in earnings],
        [each.booked for *_, each in earnings],
    )


async def booked(conn: Conn, tenant_id: str, invoice_id: str, tenant_now: datetime) -> Booked:
    """Of a locked invoice. Its next booking is on the customer's day at `tenant_now`, never before the invoice's, nor
    in a closed period.
    """
    head = await conn.fetchrow(
        "SELECT i.currency, i.legal_entity_code, i.issue_date, c.time_zone FROM invoice i"
        " JOIN customer c ON c.tenant_id = i.tenant_id AND c.id = i.customer_id WHERE i.tenant_id = $1 AND i.id = $2",
        tenant_id,
        invoice_id,
    )
    assert head is not None, "the invoice is locked"
    legal_entity = head["legal_entity_code"] or DEFAULT_ENTITY
    first = await open_from(conn, tenant_id, legal_entity)
    legs: dict[str, dict[Account, int]] = {}
    for source, account, amount in await conn.fetch(
        "SELECT source, account, amount_minor FROM ledger_posting WHERE tenant_id = $1 AND invoice_id = $2",
        tenant_id,
        invoice_id,
    ):
        legs.setdefault(source, {})[Account(account)] = amount
    earnings: dict[str, list[Earning]] = {}
    for source, *values in await conn.fetch(
        "SELECT source, part, amount_minor, first_day, days, booked_date, from_date, skipped_days FROM ledger_earning"
        " WHERE tenant_id = $1 AND invoice_id = $2 ORDER BY recorded_time, source, position",
        tenant_id,
        invoice_id,
    ):
        earnings.setdefault(source, []).append(Earning(*values))
    day = max(local_date(tenant_now, zone(head["time_zone"])), head["issue_date"], first)
    return Booked(invoice_id, legal_entity, head["currency"], legs, earnings, day, first)
