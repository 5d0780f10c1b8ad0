"""Cases of usage alerts: events lead usage to a value and on to another, and an alert of the real service triggers.

Which thresholds are crossed is the figure; in which order they are listed is not.
"""

from decimal import Decimal
from typing import Any
from uuid import uuid4

from libs.common.clock import system_clock
from libs.common.postgres import create_pool
from libs.common.rpc.client import channel
from libs.common.wire import timestamp_out
from services.metering.alerting import Alerter
from services.metering.main import Settings, running
from tests.reference.cases import Case, Fields, Json, Unsupported, World
from tests.reference.comparison import differences
from weir.metering.v1 import alerts_pb2, metering_pb2
from weir.metering.v1.alerts_pb2_grpc import AlertServiceStub
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

CODE, VALUE, SUBSCRIPTION = "reference", "value", "sub-1"
DIRECTIONS = {
    "increasing": alerts_pb2.Alert.DIRECTION_INCREASING,
    "decreasing": alerts_pb2.Alert.DIRECTION_DECREASING,
}


async def run(case: Case, world: World) -> list[str]:
    expected = dict(case.expect)
    if isinstance(expected.get("crossed"), list):
        expected["crossed"] = sorted(expected["crossed"], key=lambda value: Decimal(str(value)))
    return differences(expected, await observe(case, world))


async def observe(case: Case, world: World) -> Json:
    """What the service answers, in the words of the case's `expect`."""
    dsn = world.database.dsns["metering"]
    async with (
        running(Settings(dsn, world.keys.public_pem, "127.0.0.1:0"), system_clock) as port,
        channel(f"127.0.0.1:{port}", world.keys.api_key()) as opened,
        await create_pool(dsn) as pool,
    ):
        alerter, alerts, metering = Alerter(pool, system_clock), AlertServiceStub(opened), MeteringServiceStub(opened)
        meter = metering_pb2.Meter(code=CODE, aggregation=metering_pb2.Meter.AGGREGATION_SUM, value_property=VALUE)
        await metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=str(uuid4()), meter=meter))
        given, when = Fields(case.given, "given"), Fields(case.when, "when")
        alert = _alert_in(given)
        previous, current = (Decimal(str(when.take(f"{each}_value"))) for each in ("previous", "current"))
        given.close()
        when.close()
        await alerts.CreateAlert(alerts_pb2.CreateAlertRequest(request_id=str(uuid4()), alert=alert))
        seen: set[str] = set()
        for difference in (previous, current - previous):
            event = metering_pb2.Event(
                transaction_id=str(uuid4()),
                subscription_id=SUBSCRIPTION,
                code=CODE,
                timestamp=timestamp_out(system_clock()),
                properties={VALUE: str(difference)},
            )
            await metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[event]))
            while await alerter.alert():
                pass
            listed = await alerts.ListAlertTriggers(alerts_pb2.ListAlertTriggersRequest(page_size=500))
            fresh = [each for each in listed.triggers if each.id not in seen]
            seen |= {each.id for each in fresh}
    return {"crossed": sorted(Decimal(each.threshold.value) for each in fresh)}


def _alert_in(given: Fields) -> alerts_pb2.Alert:
    direction, step = given.take("direction", "increasing"), given.take("recurring_step")
    if direction not in DIRECTIONS:
        raise Unsupported(f"the direction {direction!r}")
    return alerts_pb2.Alert(
        code=CODE,
        subscription_id=SUBSCRIPTION,
        meter_code=CODE,
        direction=DIRECTIONS[direction],
        thresholds=[_threshold(value) for value in given.take("one_time_thresholds", [])],
        recurring_step=None if step is None else _threshold(step),
        window=alerts_pb2.Alert.WINDOW_LIFETIME,
    )


def _threshold(value: Any) -> alerts_pb2.AlertThreshold:
    return alerts_pb2.AlertThreshold(value=str(value))
