"""Alerts and their triggers, as callers see them."""

import json
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from libs.common.money import plain
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.metering.domain.alerts import (
    Alert,
    AlertWindow,
    Crossing,
    Direction,
    Evaluation,
    Period,
    Threshold,
    Trigger,
)
from services.metering.domain.meters import DimensionFilter
from services.metering.store.usage import read_head

_COLUMNS = """
    code, name, subscription_id, meter_code, filters, direction, thresholds, recurring_step, window_kind, time_zone,
    alert.create_time, delete_time
"""
_LAST = """
    LEFT JOIN LATERAL (
        SELECT start_time, end_time, quantity, watermark FROM alert_window
        WHERE alert_window.tenant_id = alert.tenant_id AND alert_code = alert.code
        ORDER BY start_time DESC LIMIT 1
    ) AS last ON true
"""


async def insert_alert(
    conn: Conn, tenant_id: str, alert: Alert, window: Period, request_id: UUID, request_hash: bytes
) -> bool:
    """Also has `window` evaluated. False when the code or the request_id is taken.

    From its first statement on, no event's alerts are looked for until the caller's transaction ends.
    """
    await conn.execute("SELECT FROM alert_progress FOR UPDATE")
    head = await read_head(conn)
    tag = await conn.execute(
        """
        INSERT INTO alert (tenant_id, code, name, subscription_id, meter_code, filters, direction, thresholds,
            recurring_step, window_kind, time_zone, since, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, alert.code, alert.name, alert.subscription_id, alert.meter_code, _filters(alert), alert.direction,
        _thresholds(alert.thresholds), _step(alert.recurring_step), alert.window, alert.zone.key, head,
        alert.create_time, request_id, request_hash,
    )  # fmt: skip
    if tag != "INSERT 0 1":
        return False
    await conn.execute(
        "INSERT INTO alert_due (tenant_id, alert_code, start_time, end_time, due) VALUES ($1, $2, $3, $4, $5)",
        tenant_id, alert.code, *window, head,
    )  # fmt: skip
    return True


async def find_alert_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[bytes, str] | None:
    """Hash of the request that made an alert, and the alert's code."""
    row = await conn.fetchrow(
        "SELECT request_hash, code FROM alert WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return (row[0], row[1]) if row else None


async def find_alert(conn: Conn, tenant_id: str, code: str) -> Alert | None:
    """Deleted ones too."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS}, last.* FROM alert {_LAST} WHERE alert.tenant_id = $1 AND code = $2",  # noqa: S608
        tenant_id, code,
    )  # fmt: skip
    return alert_in(row) if row else None


async def list_alerts(conn: Conn, tenant_id: str, subscription_id: str, page: Page) -> list[Alert]:
    """Active ones by code; one more than the page's size, if there are as many. "" is every subscription."""
    rows = await conn.fetch(
        f"""
        SELECT {_COLUMNS}, last.* FROM alert {_LAST}
        WHERE alert.tenant_id = $1 AND delete_time IS NULL AND ($2 = '' OR subscription_id = $2)
            AND ($3::text IS NULL OR code > $3)
        ORDER BY code LIMIT $4
        """,  # noqa: S608 constants only
        tenant_id, subscription_id, page.after, page.size + 1,
    )  # fmt: skip
    return [alert_in(row) for row in rows]


async def update_alert(conn: Conn, tenant_id: str, alert: Alert) -> bool:
    """Write name, thresholds and step; False when there is no such active alert."""
    tag = await conn.execute(
        """
        UPDATE alert SET name = $3, thresholds = $4, recurring_step = $5
        WHERE tenant_id = $1 AND code = $2 AND delete_time IS NULL
        """,
        tenant_id, alert.code, alert.name, _thresholds(alert.thresholds), _step(alert.recurring_step),
    )  # fmt: skip
    return tag == "UPDATE 1"


async def lock_alert(conn: Conn, tenant_id: str, code: str) -> None:
    """Until the transaction ends, nobody changes or evaluates it."""
    await conn.execute("SELECT FROM alert WHERE tenant_id = $1 AND code = $2 FOR NO KEY UPDATE", tenant_id, code)


async def delete_alert(conn: Conn, tenant_id: str, code: str, now: datetime) -> None:
    """From now on it does not trigger."""
    await conn.execute(
        "UPDATE alert SET delete_time = $3 WHERE tenant_id = $1 AND code = $2 AND delete_time IS NULL",
        tenant_id, code, now,
    )  # fmt: skip


async def list_triggers(conn: Conn, tenant_id: str, alert_code: str, subscription_id: str, page: Page) -> list[Trigger]:
    """In the order of recording; one more than the page's size, if there are as many. "" is every one."""
    rows = await conn.fetch(
        """
        SELECT trigger_id, alert_code, subscription_id, meter_code, threshold_code, threshold, recurring,
            start_time, end_time, previous_quantity, quantity, watermark, alert_trigger.create_time
        FROM alert_trigger JOIN alert ON alert.tenant_id = alert_trigger.tenant_id AND alert.code = alert_code
        WHERE alert_trigger.tenant_id = $1 AND ($2 = '' OR alert_code = $2) AND ($3 = '' OR subscription_id = $3)
            AND ($4::text IS NULL OR trigger_no > (
                SELECT trigger_no FROM alert_trigger WHERE tenant_id = $1 AND trigger_id = $4
            ))
        ORDER BY trigger_no LIMIT $5
        """,
        tenant_id, alert_code, subscription_id, page.after, page.size + 1,
    )  # fmt: skip
    return [_trigger(row) for row in rows]


def alert_in(row: asyncpg.Record) -> Alert:
    """A row with the columns of an alert, and those of its last window, which may be NULL."""
    step = row["recurring_step"]
    return Alert(
        code=row["code"],
        name=row["name"],
        subscription_id=row["subscription_id"],
        meter_code=row["meter_code"],
        filters=tuple(DimensionFilter(each["property"], tuple(each["values"])) for each in json.loads(row["filters"])),
        direction=Direction(row["direction"]),
        thresholds=tuple(map(_threshold, json.loads(row["thresholds"]))),
        recurring_step=_threshold(json.loads(step)) if step else None,
        window=AlertWindow(row["window_kind"]),
        zone=ZoneInfo(row["time_zone"]),
        create_time=row["create_time"],
        delete_time=row["delete_time"],
        evaluation=_evaluation(row) if row["watermark"] is not None else None,
    )


def _evaluation(row: asyncpg.Record) -> Evaluation:
    return Evaluation((row["start_time"], row["end_time"]), row["quantity"], row["watermark"])


def _trigger(row: asyncpg.Record) -> Trigger:
    return Trigger(
        id=row["trigger_id"],
        alert_code=row["alert_code"],
        subscription_id=row["subscription_id"],
        meter_code=row["meter_code"],
        crossing=Crossing(Threshold(row["threshold_code"], row["threshold"]), row["recurring"]),
        previous=row["previous_quantity"],
        evaluation=_evaluation(row),
        create_time=row["create_time"],
    )


def _filters(alert: Alert) -> str:
    return json.dumps([{"property": each.property, "values": each.values} for each in alert.filters])


def _thresholds(thresholds: tuple[Threshold, ...]) -> str:
    return json.dumps([{"code": each.code, "value": plain(each.value)} for each in thresholds])


def _step(step: Threshold | None) -> str | None:
    return json.dumps({"code": step.code, "value": plain(step.value)}) if step else None


def _threshold(each: dict[str, str]) -> Threshold:
    return Threshold(each["code"], Decimal(each["value"]))
