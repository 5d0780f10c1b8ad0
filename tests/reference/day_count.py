"""Cases of days between two instants: a part of a period, as Rate counts it.

A case's last instant is in its stretch of time: where that is a local midnight, it begins another day.
"""

from datetime import UTC, datetime, time, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

from libs.common.clock import system_clock
from libs.common.wire import period_out
from services.pricing.main import Settings, running
from tests.reference.cases import Case, Fields, Json, World
from tests.reference.charge_model import DEFAULT_CURRENCY, PLAN, client
from tests.reference.comparison import differences
from weir.pricing.v1 import pricing_pb2


async def run(case: Case, world: World) -> list[str]:
    return differences(case.expect, await observe(case, world))


async def observe(case: Case, world: World) -> Json:
    given, when = Fields(case.given, "given"), Fields(case.when, "when")
    time_zone = given.take("timezone", "UTC")
    start, last = (datetime.fromisoformat(when.take(name)).astimezone(UTC) for name in ("from", "to"))
    given.close()
    when.close()
    is_midnight = last.astimezone(ZoneInfo(time_zone)).time() == time()
    period = period_out(start, last + timedelta(seconds=1) if is_midnight else last)
    proration = pricing_pb2.Proration(period=period, full_period=period, time_zone=time_zone)
    version = pricing_pb2.PlanVersion(
        currency_code=DEFAULT_CURRENCY, billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY
    )
    plan = pricing_pb2.Plan(code=PLAN, name=case.id)
    settings = Settings(world.database.dsns["pricing"], world.keys.public_pem, world.keys.private_pem, "127.0.0.1:0")
    async with running(settings, system_clock) as port, client(port, world) as pricing:
        await pricing.CreatePlan(pricing_pb2.CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version))
        request = pricing_pb2.RateRequest(plan_code=PLAN, version=1, proration=proration)
        return {"days": (await pricing.Rate(request)).proration.days}
