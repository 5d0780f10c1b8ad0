"""Which plan versions can be sold: their terms are pricing's, their meters metering's."""

from dataclasses import replace

from libs.common.errors import FailedPrecondition, NotFound
from services.invoicing.domain.plan import Charge, PlanVersion
from services.invoicing.peers import Metering, Peers


async def latest_version(peers: Peers, tenant_id: str, plan_code: str) -> PlanVersion:
    """Raises NotFound PLAN_NOT_FOUND, and FailedPrecondition PLAN_NOT_ACTIVE or PLAN_UNSUPPORTED."""
    return await _sellable(peers.metering, tenant_id, await peers.pricing.latest_version(tenant_id, plan_code))


async def sold_version(peers: Peers, tenant_id: str, plan_code: str, version: int, subscription_id: str) -> PlanVersion:
    """Raises NotFound PLAN_VERSION_NOT_FOUND, and FailedPrecondition PLAN_NOT_ACTIVE or PLAN_UNSUPPORTED."""
    plan = await peers.pricing.sold_version(tenant_id, plan_code, version, subscription_id)
    return await _sellable(peers.metering, tenant_id, plan)


async def _sellable(metering: Metering, tenant_id: str, plan: PlanVersion) -> PlanVersion:
    """Raises NotFound METER_NOT_FOUND, and FailedPrecondition PLAN_UNSUPPORTED for units in advance that go on into the
    next period at prices by tier: what an added unit costs there is no matter of the period's events alone.
    """
    for charge in plan.advance_charges:
        if not charge.is_linear and (await metering.meter(tenant_id, charge.meter_code)).recurring:
            raise FailedPrecondition(
                "PLAN_UNSUPPORTED",
                f"charge {charge.code} is in advance and meter {charge.meter_code} recurring: only a standard price can"
                " be",
                plan_code=plan.plan_code,
                version=str(plan.version),
                fields=f"charges.{charge.code}.in_advance",
            )
    charges = [replace(each, is_carried=await _is_carried(metering, tenant_id, each)) for each in plan.charges]
    return replace(plan, charges=tuple(charges))


async def _is_carried(metering: Metering, tenant_id: str, charge: Charge) -> bool:
    """Of a meter that there is not yet, nothing has gone on from any period."""
    try:
        is_whole = not (charge.split.prorated or charge.in_advance)
        return is_whole and (await metering.meter(tenant_id, charge.meter_code)).recurring
    except NotFound:
        return False
