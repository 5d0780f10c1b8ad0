"""Customers and subscriptions as invoicing would have recorded them, made in its database."""

from datetime import datetime

import asyncpg


async def subscribe(
    dsn: str, subscriptions: int, customers: int | None = None, *, test_now: datetime | None = None
) -> None:
    """`subscriptions` named sub_0 and so on, on version 1 of the plan "classic" since October 2023, whose November is
    to be billed next; dealt out to as many customers, or to `customers`. The clock is real, or stands at `test_now`.
    """
    conn = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    await conn.execute(
        "INSERT INTO billing_clock (tenant_id, mode, now) VALUES ('bench', $1, $2)",
        "real" if test_now is None else "test",
        test_now,
    )
    await conn.execute(
        """
        INSERT INTO customer (tenant_id, id, name, email, time_zone, create_time, request_id, request_hash)
        SELECT 'bench', 'customer_' || n, 'Customer', '', 'UTC', now(), gen_random_uuid(), ''
        FROM generate_series(0, $1::int - 1) AS n
        """,
        customers or subscriptions,
    )
    await conn.execute(
        """
        INSERT INTO subscription (tenant_id, id, customer_id, billing_time, start_time, period_start, period_end,
            create_time, request_id, request_hash, turn)
        SELECT 'bench', 'sub_' || n, 'customer_' || n % $2::int, 'calendar', '2023-10-01', '2023-11-01', '2023-12-01',
            now(), gen_random_uuid(), '', floor(log(2, n / $2::int + 1))
        FROM generate_series(0, $1::int - 1) AS n
        """,
        subscriptions,
        customers or subscriptions,
    )
    await conn.execute(
        """
        INSERT INTO subscription_phase (tenant_id, subscription_id, number, start_time, plan_code, plan_version,
            billing_interval, billing_time, anchor_time, fee_start_time, in_advance)
        SELECT 'bench', 'sub_' || n, 1, '2023-10-01', 'classic', 1, 'monthly', 'calendar', '2023-10-01', '2023-10-01',
            false
        FROM generate_series(0, $1::int - 1) AS n
        """,
        subscriptions,
    )
    await conn.execute("VACUUM (ANALYZE) customer, subscription, subscription_phase")
    await conn.close()
