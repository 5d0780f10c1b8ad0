"""The RPCs of AlertService."""

from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import Conflict, NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in, text_in
from services.metering import convert, store
from services.metering.domain.alerts import Alert, window_at
from services.metering.store import alerts
from weir.metering.v1 import alerts_pb2
from weir.metering.v1.alerts_pb2_grpc import AlertServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AlertServicer(AlertServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def CreateAlert(
        self, request: alerts_pb2.CreateAlertRequest, context: Context
    ) -> alerts_pb2.CreateAlertResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        now = self._clock()
        alert = convert.alert_in(request.alert, now)
        async with self._pool.acquire() as conn:
            meter = await store.find_meter(conn, tenant_id, alert.meter_code)
            if meter is None:
                code = alert.meter_code
                raise NotFound("METER_NOT_FOUND", f"there is no meter {code}", meter_code=code)
            convert.require_suits(alert, meter.widest())
            window = window_at(now, alert.window, alert.zone)
            async with conn.transaction():
                made = await alerts.insert_alert(conn, tenant_id, alert, window, request_id, request_hash)
            if not made:
                recorded = await alerts.find_alert_request(conn, tenant_id, request_id)
                if recorded is None:
                    raise Conflict("ALERT_EXISTS", f"there is or was an alert {alert.code}", alert_code=alert.code)
                require_same(recorded[0], request_hash, request.request_id)
            alert = await _found(conn, tenant_id, alert.code)
        return alerts_pb2.CreateAlertResponse(alert=convert.alert_out(alert))

    async def GetAlert(self, request: alerts_pb2.GetAlertRequest, context: Context) -> alerts_pb2.GetAlertResponse:
        async with self._pool.acquire() as conn:
            alert = await _found(conn, caller().tenant_id, code_in(request.code, "code"))
        return alerts_pb2.GetAlertResponse(alert=convert.alert_out(alert))

    async def ListAlerts(
        self, request: alerts_pb2.ListAlertsRequest, context: Context
    ) -> alerts_pb2.ListAlertsResponse:
        page = page_in(request.page_size, request.page_token)
        subscription_id = text_in(request.subscription_id, "subscription_id", required=False)
        async with self._pool.acquire() as conn:
            found = await alerts.list_alerts(conn, caller().tenant_id, subscription_id, page)
        listed, token = page.cut(found, lambda alert: alert.code)
        return alerts_pb2.ListAlertsResponse(alerts=map(convert.alert_out, listed), next_page_token=token)

    async def UpdateAlert(
        self, request: alerts_pb2.UpdateAlertRequest, context: Context
    ) -> alerts_pb2.UpdateAlertResponse:
        tenant_id, code = caller().tenant_id, code_in(request.alert.code, "alert.code")
        async with self._pool.acquire() as conn, conn.transaction():
            await alerts.lock_alert(conn, tenant_id, code)
            present = await _found(conn, tenant_id, code)
            alert = convert.alert_change_in(present, request.alert, request.update_mask)
            if not await alerts.update_alert(conn, tenant_id, alert):
                raise _not_found(code)
        return alerts_pb2.UpdateAlertResponse(alert=convert.alert_out(alert))

    async def DeleteAlert(
        self, request: alerts_pb2.DeleteAlertRequest, context: Context
    ) -> alerts_pb2.DeleteAlertResponse:
        tenant_id, code = caller().tenant_id, code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            await alerts.delete_alert(conn, tenant_id, code, self._clock())
            alert = await _found(conn, tenant_id, code)
        return alerts_pb2.DeleteAlertResponse(alert=convert.alert_out(alert))

    async def ListAlertTriggers(
        self, request: alerts_pb2.ListAlertTriggersRequest, context: Context
    ) -> alerts_pb2.ListAlertTriggersResponse:
        page = page_in(request.page_size, request.page_token)
        code = code_in(request.alert_code, "alert_code") if request.alert_code else ""
        subscription_id = text_in(request.subscription_id, "subscription_id", required=False)
        async with self._pool.acquire() as conn:
            found = await alerts.list_triggers(conn, caller().tenant_id, code, subscription_id, page)
        triggers, token = page.cut(found, lambda trigger: trigger.id)
        return alerts_pb2.ListAlertTriggersResponse(triggers=map(convert.trigger_out, triggers), next_page_token=token)


async def _found(conn: Conn, tenant_id: str, code: str) -> Alert:
    alert = await alerts.find_alert(conn, tenant_id, code)
    if alert is None:
        raise _not_found(code)
    return alert


def _not_found(code: str) -> NotFound:
    return NotFound("ALERT_NOT_FOUND", f"there is no alert {code}", alert_code=code)
