"""Cases of thresholds that usage passes: a plan is made with them, and asked by the real service."""

from uuid import uuid4

from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from services.pricing.main import Settings, running
from tests.reference.cases import Case, Fields, Json, World
from tests.reference.comparison import differences
from weir.common.v1.money_pb2 import Money
from weir.pricing.v1 import pricing_pb2, thresholds_pb2
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from weir.pricing.v1.thresholds_pb2_grpc import ThresholdServiceStub

CURRENCY = "EUR"
PLAN = "reference"
AMOUNTS = {
    "current_usage_cents": "current_usage",
    "invoiced_usage_cents": "invoiced_usage",
    "historical_usage_cents": "historical_usage",
    "progressive_billed_amount_cents": "progressively_billed",
}


async def run(case: Case, world: World) -> list[str]:
    given, when = Fields(case.given, "given"), Fields(case.when, "when")
    version = pricing_pb2.PlanVersion(
        currency_code=CURRENCY,
        billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY,
        usage_thresholds=_thresholds(given),
    )
    request = thresholds_pb2.QueryPassedThresholdsRequest(plan_code=PLAN, version=1)
    for fields in (given, when):
        for key, name in AMOUNTS.items():
            if (amount := fields.take(key)) is not None:
                getattr(request, name).CopyFrom(_euros(amount))
        fields.close()
    settings = Settings(world.database.dsns["pricing"], world.keys.public_pem, world.keys.private_pem, "127.0.0.1:0")
    async with (
        running(settings, system_clock) as port,
        channel(f"127.0.0.1:{port}", world.keys.api_key("reference")) as opened,
    ):
        plan = pricing_pb2.Plan(code=PLAN, name=case.id)
        create = pricing_pb2.CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
        await PricingServiceStub(opened).CreatePlan(create)
        passed = await ThresholdServiceStub(opened).QueryPassedThresholds(request)
    observed: Json = {"passed_thresholds_cents": [each.amount.minor_units for each in passed.thresholds]}
    return differences(case.expect, observed)


def _thresholds(given: Fields) -> list[thresholds_pb2.UsageThreshold]:
    fixed = [thresholds_pb2.UsageThreshold(amount=_euros(cents)) for cents in given.take("fixed_thresholds_cents", [])]
    if (step := given.take("recurring_threshold_cents")) is None:
        return fixed
    return [*fixed, thresholds_pb2.UsageThreshold(amount=_euros(step), recurring=True)]


def _euros(cents: int) -> Money:
    return Money(currency_code=CURRENCY, minor_units=cents)
