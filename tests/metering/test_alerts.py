"""Alerts: usage that crosses a threshold triggers exactly once, whoever evaluates it and however often."""

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import BillingError
from libs.common.postgres import Pool
from services.metering.alerting import Alerter
from tests.metering.alerts import alert, create_alert, triggered, triggers
from tests.metering.conftest import Alerts, Client, Connect, Corrections, Hands
from tests.metering.requests import (
    NOW,
    amend,
    change,
    close_backfill,
    event,
    ingest,
    make_meters,
    open_backfill,
    revert_backfill,
    sum_meter,
    usage_of,
)
from tests.metering.test_meter_versions import definition, make_version
from weir.metering.v1.alerts_pb2 import (
    Alert,
    AlertThreshold,
    DeleteAlertRequest,
    GetAlertRequest,
    ListAlertsRequest,
    UpdateAlertRequest,
)
from weir.metering.v1.metering_pb2 import DimensionFilter, Event, Meter

if TYPE_CHECKING:
    from weir.metering.v1.alerts_pb2_grpc import AlertServiceAsyncStub
    from weir.metering.v1.meters_pb2_grpc import MeterServiceAsyncStub

_ids = itertools.count()


def use(tokens: str, at: datetime = NOW - timedelta(hours=1), subscription_id: str = "sub-0", **more: str) -> Event:
    return event(f"a-{next(_ids)}", subscription_id, at=at, tokens=tokens, **more)


@pytest.fixture
def alerter(pool: Pool) -> Alerter:
    return Alerter(pool, lambda: NOW)


async def evaluate(*alerters: Alerter) -> None:
    """Until none of them finds anything left."""
    while any(await asyncio.gather(*(each.alert() for each in alerters))):
        pass


async def spend(metering: Client, alerter: Alerter, *tokens: str) -> None:
    """One event at a time, each evaluated before the next."""
    for each in tokens:
        await ingest(metering, [use(each)])
        await evaluate(alerter)


async def test_usage_that_reaches_a_threshold_triggers_once(metering: Client, alerts: Alerts, alerter: Alerter) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("quota", "100", "200")))
    await spend(metering, alerter, "99")
    assert await triggers(alerts) == []
    await spend(metering, alerter, "1", "1", "1")
    [first] = await triggers(alerts, "quota")
    assert (first.threshold.value, first.previous_quantity, first.quantity) == ("100", "99", "100")
    assert (first.alert_code, first.subscription_id, first.meter_code, first.recurring) == (
        "quota", "sub-0", "tokens", False,
    )  # fmt: skip
    assert first.period.start_time.ToDatetime(UTC) == datetime(2023, 11, 1, tzinfo=UTC)
    assert first.period.end_time.ToDatetime(UTC) == datetime(2023, 12, 1, tzinfo=UTC)
    answer = await metering.GetUsage(usage_of("tokens", watermark=first.watermark))
    assert answer.usages[0].quantity == first.quantity


async def test_every_threshold_that_is_jumped_over_triggers_in_order(
    metering: Client, alerts: Alerts, alerter: Alerter
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("quota", "30", "10", step="20")))
    await ingest(metering, [use("1") for _ in range(75)])
    await evaluate(alerter)
    found = await triggers(alerts)
    assert [(each.threshold.value, each.threshold.code, each.recurring) for each in found] == [
        ("10", "", False), ("30", "", False), ("50", "step", True), ("70", "step", True),
    ]  # fmt: skip


async def test_what_falls_and_rises_again_triggers_steps_again_and_thresholds_only_once(
    metering: Client, alerts: Alerts, alerter: Alerter
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("up", "10", step="10")))
    await alerts.CreateAlert(create_alert(alert("down", "10", step="5", direction=Alert.DIRECTION_DECREASING)))
    await spend(metering, alerter, "25", "-20", "20", "-25")
    assert await triggered(alerts, "up") == ["10", "20", "20"]
    assert await triggered(alerts, "down") == ["10", "5", "5", "0"]


async def test_corrections_cross_thresholds_as_events_do(
    metering: Client, alerts: Alerts, corrections: Corrections, alerter: Alerter
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("up", "10", step="10")))
    await alerts.CreateAlert(create_alert(alert("down", "10", step="5", direction=Alert.DIRECTION_DECREASING)))
    await alerts.CreateAlert(create_alert(alert("daily", "5", window=Alert.WINDOW_DAY)))
    early, late = NOW - timedelta(days=12), NOW - timedelta(hours=1)
    backfill_id = await open_backfill(corrections)
    await ingest(metering, [use("9", early), use("9", late)], backfill_id)
    await evaluate(alerter)
    assert await triggers(alerts) == []
    await close_backfill(corrections, backfill_id)
    await evaluate(alerter)
    assert (await triggered(alerts, "up"), await triggered(alerts, "daily")) == (["10"], ["5", "5"])
    await revert_backfill(corrections, backfill_id)
    await evaluate(alerter)
    assert await triggered(alerts, "down") == ["10", "5", "0"]
    sent = use("15")
    await ingest(metering, [sent])
    await evaluate(alerter)
    await amend(corrections, change(sent))
    await evaluate(alerter)
    assert await triggered(alerts, "down") == ["10", "5", "0", "5", "0"]


async def test_a_window_begins_at_0_where_its_time_zone_says(
    metering: Client, alerts: Alerts, alerter: Alerter
) -> None:
    """Midnight in Kathmandu is at 18:15 in UTC."""
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("daily", "10", window=Alert.WINDOW_DAY, time_zone="Asia/Kathmandu")))
    midnight = datetime(2023, 11, 19, 18, 15, tzinfo=UTC)
    await ingest(metering, [use("9", midnight - timedelta(microseconds=1)), use("9", midnight)])
    await evaluate(alerter)
    assert await triggers(alerts) == []
    await ingest(metering, [use("1", midnight - timedelta(microseconds=1)), use("1", midnight)])
    await evaluate(alerter)
    starts = {each.period.start_time.ToDatetime(UTC) for each in await triggers(alerts)}
    assert starts == {midnight - timedelta(days=1), midnight}


async def test_an_alert_finds_the_usage_of_now_and_only_what_is_new_of_windows_that_are_over(
    metering: Client, alerts: Alerts, alerter: Alerter
) -> None:
    await make_meters(metering)
    october = datetime(2023, 10, 5, tzinfo=UTC)
    await ingest(metering, [use("500"), use("150", october)])
    await alerts.CreateAlert(create_alert(alert("quota", "100", "200")))
    await evaluate(alerter)
    assert await triggered(alerts) == ["100", "200"]
    await ingest(metering, [use("60", october)])
    await evaluate(alerter)
    late = (await triggers(alerts))[-1]
    assert (late.threshold.value, late.previous_quantity, late.quantity) == ("200", "150", "210")
    assert late.period.start_time.ToDatetime(UTC) == datetime(2023, 10, 1, tzinfo=UTC)


async def test_late_events_of_a_recurring_meter_are_seen_in_the_windows_after_them(
    metering: Client, alerts: Alerts, alerter: Alerter
) -> None:
    seats = Meter(
        code="seats", event_code="llm", aggregation=Meter.AGGREGATION_SUM, value_property="tokens", recurring=True
    )
    await make_meters(metering, seats)
    await alerts.CreateAlert(create_alert(alert("seats", "10", meter_code="seats")))
    await spend(metering, alerter, "8")
    await ingest(metering, [use("5", datetime(2023, 10, 5, tzinfo=UTC))])
    await evaluate(alerter)
    [found] = await triggers(alerts)
    assert (found.period.start_time.ToDatetime(UTC), found.quantity) == (datetime(2023, 11, 1, tzinfo=UTC), "13")


async def test_an_alert_counts_what_its_filters_admit(metering: Client, alerts: Alerts, alerter: Alerter) -> None:
    meter = sum_meter()
    meter.dimensions.append("model")
    await make_meters(metering, meter)
    made = alert("small", "10", window=Alert.WINDOW_LIFETIME)
    made.filters.append(DimensionFilter(property="model", values=["small"]))
    await alerts.CreateAlert(create_alert(made))
    await ingest(metering, [use("9", model="small"), use("100", model="large")])
    await evaluate(alerter)
    assert await triggers(alerts) == []
    await ingest(metering, [use("1", at=datetime(2001, 1, 1, tzinfo=UTC), model="small")])
    await evaluate(alerter)
    assert await triggered(alerts) == ["10"]


async def test_an_alert_counts_events_by_every_version_of_its_meter(
    metering: Client, meters: "MeterServiceAsyncStub", alerts: Alerts, clock: Hands, pool: Pool
) -> None:
    """Also those that come with another code from some time on."""
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("quota", "10")))
    await make_version(meters, definition("chat", "words"))
    clock.now = NOW + timedelta(hours=1)
    alerter = Alerter(pool, clock)
    await ingest(metering, [use("9"), event("new", code="chat", at=clock.now, words="1")])
    await evaluate(alerter)
    assert await triggered(alerts) == ["10"]
    await alerts.CreateAlert(create_alert(alert("later", "11")))
    await evaluate(alerter)
    await ingest(metering, [event("newer", code="chat", at=clock.now, words="1")])
    await evaluate(alerter)
    assert await triggered(alerts, "later") == ["11"]


async def test_a_trigger_and_the_message_about_it_are_one(
    metering: Client, alerts: Alerts, alerter: Alerter, pool: Pool
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("quota", "1", "2")))
    await spend(metering, alerter, "5")
    rows = await pool.fetch("SELECT * FROM outbox")
    found = await triggers(alerts)
    assert {row["id"] for row in rows} == {each.id for each in found}
    [payload] = [json.loads(row["payload"]) for row in rows if row["id"] == found[0].id]
    assert {row["type"] for row in rows} == {"alert.triggered"}
    assert {row["tenant_id"] for row in rows} == {"acme"}
    assert all(row["delivered_time"] is None for row in rows)
    assert (payload["id"], payload["threshold"], payload["quantity"]) == (found[0].id, {"value": "1"}, "5")


REFUSED = [
    ("METER_NOT_FOUND", {"meter_code": "none"}),
    ("FIELD_MISSING", {"thresholds": []}),
    ("FIELD_MISSING", {"direction": 0}),
    ("FIELD_MISSING", {"window": 0}),
    ("TIME_ZONE_UNKNOWN", {"time_zone": "Mars/Olympus"}),
    ("THRESHOLD_REPEATED", {"thresholds": [AlertThreshold(value="1"), AlertThreshold(value="1.0")]}),
    ("THRESHOLDS_TOO_MANY", {"thresholds": [AlertThreshold(value=str(n)) for n in range(101)]}),
    ("DECIMAL_MALFORMED", {"thresholds": [AlertThreshold(value="1e5")]}),
    ("STEP_NOT_POSITIVE", {"recurring_step": AlertThreshold(value="0")}),
    ("DIMENSION_UNKNOWN", {"filters": [DimensionFilter(property="model", values=["x"])]}),
]


@pytest.mark.parametrize(("reason", "wrong"), REFUSED, ids=[f"{reason}-{'-'.join(wrong)}" for reason, wrong in REFUSED])
async def test_an_alert_that_makes_no_sense_is_refused(
    metering: Client, alerts: Alerts, reason: str, wrong: dict[str, object]
) -> None:
    await make_meters(metering)
    made = alert("quota", "1")
    for name in wrong:
        made.ClearField(name)  # type: ignore[arg-type]
    made.MergeFrom(Alert(**wrong))  # type: ignore[arg-type]
    with pytest.raises(BillingError) as refused:
        await alerts.CreateAlert(create_alert(made))
    assert refused.value.reason == reason
    assert list((await alerts.ListAlerts(ListAlertsRequest())).alerts) == []


async def test_a_weighted_sum_has_no_lifetime(metering: Client, alerts: Alerts) -> None:
    await make_meters(
        metering, Meter(code="gb", aggregation=Meter.AGGREGATION_WEIGHTED_SUM, value_property="gb", recurring=True)
    )
    with pytest.raises(BillingError, match="WINDOW_UNSUPPORTED"):
        await alerts.CreateAlert(create_alert(alert("gb", "1", meter_code="gb", window=Alert.WINDOW_LIFETIME)))


async def test_an_alert_asked_for_twice_is_made_once(metering: Client, alerts: Alerts) -> None:
    await make_meters(metering)
    asked = create_alert(alert("quota", "1"))
    first = await alerts.CreateAlert(asked)
    assert await alerts.CreateAlert(asked) == first
    with pytest.raises(BillingError, match="REQUEST_ID_REUSED"):
        await alerts.CreateAlert(create_alert(alert("quota", "2"), asked.request_id))
    with pytest.raises(BillingError, match="ALERT_EXISTS"):
        await alerts.CreateAlert(create_alert(alert("quota", "1")))
    assert list((await alerts.ListAlerts(ListAlertsRequest())).alerts) == [first.alert]


async def test_new_thresholds_count_from_where_usage_stands(metering: Client, alerts: Alerts, alerter: Alerter) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("quota", "1000", step="1000")))
    await spend(metering, alerter, "50")
    changed = UpdateAlertRequest(alert=alert("quota", "10", "60"), update_mask=FieldMask(paths=["thresholds"]))
    answer = await alerts.UpdateAlert(changed)
    assert [each.value for each in answer.alert.thresholds] == ["10", "60"]
    assert answer.alert.recurring_step.value == "1000"
    await spend(metering, alerter, "20")
    assert await triggered(alerts) == ["60"]
    with pytest.raises(BillingError, match="ALERT_DEFINITION_FIXED"):
        await alerts.UpdateAlert(UpdateAlertRequest(alert=changed.alert, update_mask=FieldMask(paths=["window"])))
    with pytest.raises(BillingError, match="FIELD_MISSING"):
        await alerts.UpdateAlert(
            UpdateAlertRequest(alert=alert("quota"), update_mask=FieldMask(paths=["thresholds", "recurring_step"]))
        )


async def test_a_deleted_alert_is_silent_and_keeps_its_history(
    metering: Client, alerts: Alerts, alerter: Alerter
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("quota", "10", "20")))
    await spend(metering, alerter, "10")
    await ingest(metering, [use("10")])
    deleted = (await alerts.DeleteAlert(DeleteAlertRequest(code="quota"))).alert
    assert (await alerts.DeleteAlert(DeleteAlertRequest(code="quota"))).alert == deleted
    await evaluate(alerter)
    assert await triggered(alerts) == ["10"]
    assert list((await alerts.ListAlerts(ListAlertsRequest())).alerts) == []
    assert (await alerts.GetAlert(GetAlertRequest(code="quota"))).alert == deleted
    with pytest.raises(BillingError, match="ALERT_NOT_FOUND"):
        await alerts.UpdateAlert(
            UpdateAlertRequest(alert=Alert(code="quota", name="x"), update_mask=FieldMask(paths=["name"]))
        )


async def test_tenants_do_not_see_or_trigger_each_others_alerts(
    connect: Connect, connect_alerts: "Callable[..., AlertServiceAsyncStub]", alerter: Alerter
) -> None:
    for tenant in ("acme", "other"):
        await make_meters(connect(tenant))
    await connect_alerts("acme").CreateAlert(create_alert(alert("quota", "10")))
    await ingest(connect("other"), [use("50")])
    await evaluate(alerter)
    assert await triggers(connect_alerts("acme")) == []
    with pytest.raises(BillingError, match="ALERT_NOT_FOUND"):
        await connect_alerts("other").GetAlert(GetAlertRequest(code="quota"))
    with pytest.raises(BillingError, match="SCOPE_MISSING"):
        await connect_alerts("acme", "usage:read").DeleteAlert(DeleteAlertRequest(code="quota"))
