"""What is over leaves the database: delivered messages, and the windows of alerts that nothing touches any more."""

from datetime import datetime

from libs.common.postgres import Conn

STATEMENT_SECONDS = 280


async def purge_outbox(conn: Conn, before: datetime, most: int) -> int:
    """Messages of all tenants that were delivered before; how many there were, `most` at a time."""
    tag = await conn.execute(
        """
        DELETE FROM outbox WHERE id IN (
            SELECT id FROM outbox WHERE delivered_time < $1 ORDER BY delivered_time LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        before, most, timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    return int(tag.rpartition(" ")[2])


async def purge_windows(conn: Conn, before: datetime, most: int) -> int:
    """Windows that ended before, and were evaluated last before, of `most` alerts; of how many alerts there were any.
    In a transaction.

    The last window of an alert stays. So do those of an alert that has windows to be evaluated: at the sequence it is
    settled at, each of its windows has come to what was known of it. Windows of recurring meters stay, since an event
    changes all that come after it.
    """
    sought = await conn.fetchval("SELECT sought FROM alert_progress FOR SHARE")
    rows = await conn.fetch(
        """
        WITH over AS MATERIALIZED (
            SELECT alert.tenant_id, alert.code FROM alert
            JOIN meter ON meter.tenant_id = alert.tenant_id AND meter.code = meter_code AND NOT recurring
            WHERE NOT EXISTS (
                SELECT FROM alert_due WHERE alert_due.tenant_id = alert.tenant_id AND alert_code = alert.code
            ) AND EXISTS (
                SELECT FROM alert_window AS old
                WHERE old.tenant_id = alert.tenant_id AND old.alert_code = alert.code
                    AND old.end_time < $1 AND old.evaluate_time < $1 AND EXISTS (
                        SELECT FROM alert_window AS later
                        WHERE later.tenant_id = old.tenant_id AND later.alert_code = old.alert_code
                            AND later.start_time > old.start_time
                    )
            )
            LIMIT $2 FOR UPDATE OF alert SKIP LOCKED
        ), gone AS (
            DELETE FROM alert_window AS old USING over
            WHERE old.tenant_id = over.tenant_id AND old.alert_code = over.code
                AND old.end_time < $1 AND old.evaluate_time < $1 AND EXISTS (
                    SELECT FROM alert_window AS later
                    WHERE later.tenant_id = old.tenant_id AND later.alert_code = old.alert_code
                        AND later.start_time > old.start_time
                )
            RETURNING old.tenant_id, old.alert_code, old.end_time
        )
        UPDATE alert SET settled = $3, settled_end_time = greatest(settled_end_time, last.end_time)
        FROM (SELECT tenant_id, alert_code, max(end_time) AS end_time FROM gone GROUP BY 1, 2) AS last
        WHERE alert.tenant_id = last.tenant_id AND alert.code = last.alert_code
        RETURNING alert.code
        """,
        before, most, sought, timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    return len(rows)
