"""Following the log: which subscriptions its newest events belong to."""

from collections.abc import Collection

from libs.common.postgres import Conn


async def touched_subscriptions(
    conn: Conn, subscriptions: Collection[tuple[str, str]], since: int, until: int
) -> set[tuple[str, str]]:
    """Those of `subscriptions`, by tenant_id and subscription_id, whose usage changed in (since, until]: by events,
    found by sequence, or by corrections.
    """
    names = list(subscriptions)
    async with conn.transaction(readonly=True):
        await conn.execute("SET LOCAL enable_seqscan = off; SET LOCAL jit = off")
        rows = await conn.fetch(
            """
            WITH touched AS MATERIALIZED (
                SELECT series_no FROM event WHERE sequence > $3 AND sequence <= $4
                UNION
                SELECT series_no FROM correction JOIN corrected_series USING (correction_no)
                WHERE sequence > $3 AND sequence <= $4
            )
            SELECT DISTINCT tenant_id, subscription_id
            FROM touched JOIN series USING (series_no)
            JOIN unnest($1::text[], $2::text[]) AS asked (tenant_id, subscription_id)
                USING (tenant_id, subscription_id)
            """,
            [tenant_id for tenant_id, _ in names], [each for _, each in names], since, until,
        )  # fmt: skip
    return {(row[0], row[1]) for row in rows}
