"""The lines of fixed charges: units from the subscription, prices and names from pricing."""

from collections.abc import Mapping, Sequence

from libs.common.money import Money
from services.invoicing.domain.deduction import deductions, phases_deducted
from services.invoicing.domain.fixed_charge import FixedUnits, settled_units, units_again
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.one_off import AddOn
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.subscription import Subscription
from services.invoicing.late_billing import History
from services.invoicing.peers import Peers


async def fixed_lines(
    peers: Peers, tenant_id: str, due: Sequence[Subscription], plans: Sequence[PlanVersion]
) -> list[tuple[Line, ...]]:
    """For each that is `due`. No units that cost nothing have no line, unless they are what is left of more."""
    asked = [settled_units(each, plan) if plan.fixed_charges else [] for each, plan in zip(due, plans, strict=True)]
    rated = await peers.pricing.rate_fixed(tenant_id, list(zip(plans, asked, strict=True)))
    add_ons = await peers.pricing.add_ons(
        tenant_id, {each.charge.add_on_code for units in asked for each in units if not each.charge.name}
    )
    return [
        tuple(
            _line(Source(each.id, each.phase_number, plan.plan_code, plan.version), plan, told, priced, add_ons)
            for told, priced in zip(units, answers, strict=True)
            if priced.quantity or priced.amount.minor_units or told.billed_units is not None
        )
        for each, plan, units, answers in zip(due, plans, asked, rated, strict=True)
    ]


async def deducted_lines(
    peers: Peers, due: Subscription, plan: PlanVersion, lines: Sequence[Line], history: History
) -> list[Line]:
    """What `lines`, those of its fixed charges, are reduced by: units of the plan before that are paid."""
    if not lines or not (before := phases_deducted(due)):
        return []
    was = await peers.pricing.plan_version(history.tenant_id, before[0].plan_code, before[0].plan_version)
    return deductions(due, before[0], was, plan, await history.paid_units(due, before), lines)


async def fixed_again(peers: Peers, tenant_id: str, line: Line, subscriptions: Mapping[str, Subscription]) -> Money:
    """What a line comes to, computed again."""
    source = line.source
    assert source is not None, "a fixed charge is a subscription's"
    found = subscriptions[source.subscription_id]
    plan = await peers.pricing.plan_version(tenant_id, source.plan_code, source.plan_version)
    charge = next(each for each in plan.fixed_charges if each.code == line.code)
    told = units_again(found, found.numbered(source.phase_number), charge, line.period)
    [[priced]] = await peers.pricing.rate_fixed(tenant_id, [(plan, [told])])
    return priced.amount


def _line(
    source: Source, plan: PlanVersion, told: FixedUnits, priced: RatedUsage, add_ons: Mapping[str, AddOn]
) -> Line:
    return Line(
        LineKind.FIXED_CHARGE,
        told.charge.code,
        told.charge.name or add_ons[told.charge.add_on_code].name,
        source,
        told.period,
        priced.amount,
        priced.unrounded_amount,
        told.charge.tax_codes or plan.tax_codes,
        rating=priced.rating,
        is_tax_inclusive=plan.is_tax_inclusive,
    )
