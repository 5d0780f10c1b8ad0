"""Cases of one charge: a plan is made from its price, its usage is rated, both by the real service."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from libs.common.clock import system_clock
from libs.common.money import exponent, plain
from libs.common.rpc.client import channel
from services.pricing.main import Settings, running
from tests.reference.cases import Case, Fields, Json, Unsupported, World
from tests.reference.charge_model_details import details
from tests.reference.charge_model_prices import charge_in, text
from tests.reference.comparison import differences
from weir.pricing.v1 import pricing_pb2
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.pricing_pb2_grpc import PricingServiceAsyncStub

CHARGE = "usage"
PLAN = "reference"
DEFAULT_CURRENCY = "EUR"


async def run(case: Case, world: World) -> list[str]:
    settings = Settings(world.database.dsns["pricing"], world.keys.public_pem, world.keys.private_pem, "127.0.0.1:0")
    async with running(settings, system_clock) as port, client(port, world) as pricing:
        return differences(case.expect, await observe(case, pricing))


@asynccontextmanager
async def client(port: int, world: World, tenant_id: str = "reference") -> AsyncIterator["PricingServiceAsyncStub"]:
    async with channel(f"127.0.0.1:{port}", world.keys.api_key(tenant_id)) as opened:
        yield PricingServiceStub(opened)


async def observe(case: Case, pricing: "PricingServiceAsyncStub") -> Json:
    """What the service answers, in the words of the case's `expect`. The tenant has no plan yet."""
    given = Fields(case.given, "given")
    currency = given.take("currency", DEFAULT_CURRENCY)
    charge = charge_in(given, CHARGE)
    version = pricing_pb2.PlanVersion(
        currency_code=currency,
        billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY,
        charges=[charge],
    )
    plan = pricing_pb2.Plan(code=PLAN, name=case.id)
    await pricing.CreatePlan(pricing_pb2.CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version))
    quantities, is_grouped = _quantities(case, charge, currency)
    rated = await pricing.Rate(pricing_pb2.RateRequest(plan_code=PLAN, version=1, quantities=quantities))
    entries = [_entry(each, case.given["properties"], charge.group_keys) for each in rated.charges]
    if not is_grouped:
        [entry] = entries
        return entry
    return {"groups": entries, "amount_unit": "major"}


def _quantities(case: Case, charge: pricing_pb2.Charge, currency: str) -> tuple[list[pricing_pb2.ChargeQuantity], bool]:
    when = Fields(case.when, "when")
    groups = when.take("groups")
    if groups is None:
        return [_quantity(when, charge, currency)], False
    when.close()
    each = [Fields(group, f"when.groups[{index}]") for index, group in enumerate(groups)]
    return [_quantity(fields, charge, currency) for fields in each], True


def _quantity(when: Fields, charge: pricing_pb2.Charge, currency: str) -> pricing_pb2.ChargeQuantity:
    count = when.take("events_count", when.take("count"))
    message = pricing_pb2.ChargeQuantity(
        charge_code=CHARGE,
        quantity=text(when.take("units")),
        group={key: value for key, value in when.take("grouped_by", {}).items() if value is not None},
        full_quantity=text(when.take("full_units_number")),
        event_count=count,
        events=_events(when, charge, currency),
    )
    when.close()
    return message


def _events(when: Fields, charge: pricing_pb2.Charge, currency: str) -> list[pricing_pb2.EventValue]:
    """The events that make the values which the case tells of them, whichever these are."""
    cents = when.take("precise_total_amount_cents")
    full, prorated = when.take("event_full_values"), when.take("event_prorated_values")
    worth = _worth(when, charge)
    told = [name for name, each in (("a total", cents), ("full values", full), ("values", worth)) if each]
    if len(told) > 1:
        raise Unsupported(f"{when.path} with {' and '.join(told)}")
    if cents is not None:
        amount = Decimal(str(cents)).scaleb(-exponent(currency))
        return [pricing_pb2.EventValue(amount=plain(amount))]
    if full is not None:
        pairs = zip(full, prorated or [], strict=True)
        return [pricing_pb2.EventValue(value=text(one), prorated_value=text(other)) for one, other in pairs]
    return [pricing_pb2.EventValue(value=text(value)) for value in worth]


def _worth(when: Fields, charge: pricing_pb2.Charge) -> Sequence[Any]:
    """What each event is worth: told one by one, or as the running total after each."""
    values, told = when.take("event_values"), when.take("running_total")
    totals = [Decimal(str(total)) for total in told or ()]
    worth = [total - before for before, total in pairwise([Decimal(0), *totals])]
    if not values:
        return worth
    if list(accumulate(Decimal(str(value)) for value in values))[: len(totals)] != totals:
        raise Unsupported(f"{when.path}.running_total that is not that of event_values")
    price = charge.percentage
    each_is_priced = price.minimum_per_transaction or price.maximum_per_transaction
    return values if each_is_priced or told is None else worth


def _entry(rated: pricing_pb2.RatedCharge, properties: Json, group_keys: Sequence[str]) -> Json:
    return {
        "amount": Decimal(rated.unrounded_amount),
        "amount_unit": "major",
        "unit_amount": Decimal(rated.unit_amount),
        "details": details(rated, properties),
        "grouped_by": {key: rated.group.get(key) for key in group_keys},
    }
