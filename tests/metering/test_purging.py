"""What is over leaves the database after a while, and nothing that is told changes by it."""

import itertools
from datetime import datetime, timedelta

import pytest

from libs.common.postgres import Pool
from services.metering.alerting import Alerter
from services.metering.purging import Purger
from tests.metering.alerts import alert, create_alert, triggered
from tests.metering.conftest import Alerts, Client
from tests.metering.requests import NOW, event, ingest, make_meters
from weir.metering.v1.alerts_pb2 import Alert, GetAlertRequest

KEEP_DAYS = 30
_ids = itertools.count()


async def spend(metering: Client, pool: Pool, at: datetime, tokens: str, now: datetime = NOW) -> None:
    """An event, and the evaluation of what it changes."""
    await ingest(metering, [event(f"p-{next(_ids)}", "sub-0", at=at, tokens=tokens)])
    while await Alerter(pool, lambda: now).alert():
        pass


async def purge(pool: Pool, now: datetime) -> None:
    purger = Purger(pool, lambda: now, KEEP_DAYS)
    while await purger.purge():
        pass


async def windows(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM alert_window"))


@pytest.mark.parametrize("is_purged", [False, True])
async def test_a_late_event_triggers_the_same_whether_its_window_was_purged_or_not(
    metering: Client, alerts: Alerts, pool: Pool, *, is_purged: bool
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("up", "10", step="10", window=Alert.WINDOW_DAY)))
    falls = alert("down", "15", step="5", direction=Alert.DIRECTION_DECREASING, window=Alert.WINDOW_DAY)
    await alerts.CreateAlert(create_alert(falls))
    old = NOW - timedelta(days=3)
    for at, tokens in ((old, "25"), (NOW - timedelta(days=2), "8"), (NOW, "1")):
        await spend(metering, pool, at, tokens)
    before = await windows(pool)
    later = NOW + timedelta(days=KEEP_DAYS + 5)
    if is_purged:
        await purge(pool, later)
        assert before == 6
        assert await windows(pool) == 2
    await spend(metering, pool, old, "4", later)
    assert await triggered(alerts, "up") == ["10", "20"]
    await spend(metering, pool, old, "-10", later)
    await spend(metering, pool, NOW - timedelta(days=2), "3", later)
    await spend(metering, pool, NOW - timedelta(days=4), "12", later)
    assert await triggered(alerts, "up") == ["10", "20", "10", "10"]
    assert await triggered(alerts, "down") == []
    await spend(metering, pool, old, "-9", later)
    assert await triggered(alerts, "down") == ["15", "10"]
    if is_purged:
        assert await windows(pool) == 2 + 6
        await purge(pool, later + timedelta(days=KEEP_DAYS + 1))
        assert await windows(pool) == 2
    await spend(metering, pool, old, "20", later)
    assert await triggered(alerts, "up") == ["10", "20", "10", "10", "20", "30"]
    found = (await alerts.GetAlert(GetAlertRequest(code="up"))).alert
    assert found.evaluation.quantity == "1"


async def test_windows_that_are_not_over_or_wait_to_be_evaluated_stay(
    metering: Client, alerts: Alerts, pool: Pool
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("up", "10", window=Alert.WINDOW_DAY)))
    for days in (2, 1, 0):
        await spend(metering, pool, NOW - timedelta(days=days), "1")
    await purge(pool, NOW + timedelta(days=KEEP_DAYS))
    assert await windows(pool) == 3
    await pool.execute(
        "INSERT INTO alert_due SELECT tenant_id, alert_code, start_time, end_time, watermark FROM alert_window LIMIT 1"
    )
    await purge(pool, NOW + timedelta(days=300))
    assert await windows(pool) == 3
    await pool.execute("DELETE FROM alert_due")
    await purge(pool, NOW + timedelta(days=300))
    assert await windows(pool) == 1


async def test_messages_that_were_delivered_a_while_ago_go_and_others_stay(
    metering: Client, alerts: Alerts, pool: Pool
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("up", step="1")))
    await spend(metering, pool, NOW, "3")
    await pool.execute("UPDATE outbox SET delivered_time = $1 WHERE id = (SELECT min(id) FROM outbox)", NOW)
    await purge(pool, NOW + timedelta(days=KEEP_DAYS))
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 3
    await purge(pool, NOW + timedelta(days=KEEP_DAYS + 1))
    assert await pool.fetchval("SELECT count(*) FROM outbox WHERE delivered_time IS NULL") == 2
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 2
    assert Purger(pool, lambda: NOW, 0).sweeps() == {}
