"""What the ledger comes to on a day, as it was known at a time."""

from collections.abc import Sequence
from datetime import date, datetime

from libs.common.postgres import Conn
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.trial_balance import Balance, Earned


async def posted(
    conn: Conn, tenant_id: str, day: date, known_time: datetime | None, legal_entity: str | None
) -> Sequence[Balance]:
    """At the end of `day`."""
    rows = await conn.fetch(
        "SELECT legal_entity, currency, account, sum(amount_minor)::bigint AS amount FROM ledger_posting"
        " WHERE tenant_id = $1 AND effective_date <= $2 AND recorded_time <= coalesce($3::timestamptz, 'infinity')"
        " AND ($4::text IS NULL OR legal_entity = $4) GROUP BY 1, 2, 3",
        tenant_id,
        day,
        known_time,
        legal_entity,
    )
    return [Balance(row["legal_entity"], row["currency"], Account(row["account"]), row["amount"]) for row in rows]


async def earned(
    conn: Conn, tenant_id: str, day: date, known_time: datetime | None, legal_entity: str | None
) -> Sequence[Earned]:
    """At the end of `day`."""
    rows = await conn.fetch(
        "SELECT legal_entity, currency, coalesce(sum(earned) FILTER (WHERE booked_date <= $2), 0)::bigint AS invoiced,"
        " coalesce(sum(earned) FILTER (WHERE booked_date > $2), 0)::bigint AS unbilled"
        " FROM (SELECT legal_entity, currency, booked_date,"
        "  earned_by($2, amount_minor, first_day, days, skipped_days, from_date) AS earned FROM ledger_earning"
        "  WHERE tenant_id = $1 AND first_day <= $2 AND recorded_time <= coalesce($3::timestamptz, 'infinity')"
        "  AND ($4::text IS NULL OR legal_entity = $4)) e GROUP BY 1, 2",
        tenant_id,
        day,
        known_time,
        legal_entity,
    )
    return [Earned(row["legal_entity"], row["currency"], row["invoiced"], row["unbilled"]) for row in rows]
