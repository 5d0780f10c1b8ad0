"""Alerts of the tests: making them, and what they have triggered."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from weir.metering.v1.alerts_pb2 import (
    Alert,
    AlertThreshold,
    AlertTrigger,
    CreateAlertRequest,
    ListAlertTriggersRequest,
)

if TYPE_CHECKING:
    from weir.metering.v1.alerts_pb2_grpc import AlertServiceAsyncStub


def alert(
    code: str = "quota",
    *thresholds: str,
    step: str = "",
    subscription_id: str = "sub-0",
    meter_code: str = "tokens",
    direction: Alert.Direction = Alert.DIRECTION_INCREASING,
    window: Alert.Window = Alert.WINDOW_MONTH,
    time_zone: str = "",
) -> Alert:
    return Alert(
        code=code,
        subscription_id=subscription_id,
        meter_code=meter_code,
        direction=direction,
        thresholds=[AlertThreshold(value=each) for each in thresholds],
        recurring_step=AlertThreshold(code="step", value=step) if step else None,
        window=window,
        time_zone=time_zone,
    )


def create_alert(made: Alert, request_id: str | None = None) -> CreateAlertRequest:
    return CreateAlertRequest(request_id=request_id or str(uuid.uuid4()), alert=made)


async def triggers(alerts: "AlertServiceAsyncStub", alert_code: str = "") -> Sequence[AlertTrigger]:
    """All of them, page by page."""
    found: list[AlertTrigger] = []
    request = ListAlertTriggersRequest(alert_code=alert_code, page_size=500)
    while True:
        page = await alerts.ListAlertTriggers(request)
        found += page.triggers
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def triggered(alerts: "AlertServiceAsyncStub", alert_code: str = "") -> list[str]:
    """The thresholds, in order."""
    return [each.threshold.value for each in await triggers(alerts, alert_code)]
