"""What numbers of invoices are made of."""

from collections import Counter
from collections.abc import Mapping, Sequence

from libs.common.postgres import Conn


async def take_sequences(conn: Conn, tenant_id: str, count: int) -> range:
    """The next `count` sequences of the tenant. Nobody else gets any until the transaction ends; if it fails, the next
    one gets these: there are no gaps.
    """
    last: int = await conn.fetchval(
        "INSERT INTO invoice_counter (tenant_id, last_sequence) VALUES ($1, $2) ON CONFLICT (tenant_id)"
        " DO UPDATE SET last_sequence = invoice_counter.last_sequence + $2 RETURNING last_sequence",
        tenant_id,
        count,
    )
    return range(last - count + 1, last + 1)


async def take_entity_sequences(conn: Conn, tenant_id: str, codes: Sequence[str]) -> Mapping[str, range]:
    """By legal entity: the next sequences of its invoices, as many as it is named. The caller has taken sequences
    of the tenant before, so nobody else takes any until the transaction ends.
    """
    counts = Counter(codes)
    rows = await conn.fetch(
        "INSERT INTO legal_entity_counter (tenant_id, code, last_sequence)"
        " SELECT $1, a.* FROM unnest($2::text[], $3::bigint[]) AS a ON CONFLICT (tenant_id, code)"
        "  DO UPDATE SET last_sequence = legal_entity_counter.last_sequence + excluded.last_sequence"
        " RETURNING code, last_sequence",
        tenant_id,
        list(counts),
        list(counts.values()),
    )
    return {
        row["code"]: range(row["last_sequence"] - counts[row["code"]] + 1, row["last_sequence"] + 1) for row in rows
    }


async def take_customer_sequences(
    conn: Conn, tenant_id: str, customer_ids: Sequence[str]
) -> Mapping[str, tuple[int, range]]:
    """By customer: its own sequence, which a new one gets, and the next sequences of its invoices, as many as it is
    named. The caller has taken sequences of the tenant before, so nobody else takes any until the transaction ends.
    """
    counts = Counter(customer_ids)
    rows = await conn.fetch(
        "WITH asked AS (SELECT a.id, a.count, n.customer_sequence,"
        "  row_number() OVER (PARTITION BY n.customer_sequence IS NULL ORDER BY a.place) AS place"
        "  FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS a (id, count, place)"
        "  LEFT JOIN customer_counter n ON n.tenant_id = $1 AND n.customer_id = a.id)"
        " INSERT INTO customer_counter (tenant_id, customer_id, customer_sequence, last_sequence)"
        " SELECT $1, id, coalesce(customer_sequence, place"
        "  + (SELECT coalesce(max(customer_sequence), 0) FROM customer_counter WHERE tenant_id = $1)), count FROM asked"
        " ON CONFLICT (tenant_id, customer_id)"
        "  DO UPDATE SET last_sequence = customer_counter.last_sequence + excluded.last_sequence"
        " RETURNING customer_id, customer_sequence, last_sequence",
        tenant_id,
        list(counts),
        list(counts.values()),
    )
    return {
        row["customer_id"]: (
            row["customer_sequence"],
            range(row["last_sequence"] - counts[row["customer_id"]] + 1, row["last_sequence"] + 1),
        )
        for row in rows
    }
