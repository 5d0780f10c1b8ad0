"""Monthly recurring revenue, as subscriptions and their plan versions have it."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

from libs.common.money import exponent
from libs.common.paging import Page
from libs.common.postgres import Pool
from services.invoicing import store
from services.invoicing.domain.fixed_charge import FixedUnits, Held, units_held
from services.invoicing.domain.period import day_of
from services.invoicing.domain.plan import FixedCharge, PlanVersion
from services.invoicing.domain.recurring import (
    PER_MONTH,
    Recurring,
    base_fee,
    end_of,
    is_trial,
    months_between,
    recurring_phase,
)
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers

CHUNK = 500

_Units = tuple[str, int, str, Decimal]
"""So many units of a fixed charge of a plan version."""


async def recurring(pool: Pool, peers: Peers, tenant_id: str, last: date) -> Recurring:
    """At the end of each month up to that of `last`. No connection is held while pricing is asked."""
    found, page = Recurring(), Page(CHUNK, None)
    prices: dict[_Units, Fraction] = {}
    while True:
        async with pool.acquire() as conn:
            rows = await store.subscriptions.page(conn, tenant_id, None, None, page)
        subscriptions, token = page.cut(rows, lambda each: each.id)
        await _add(peers, tenant_id, subscriptions, last, prices, found)
        if not token:
            return found
        page = Page(CHUNK, subscriptions[-1].id)


async def _add(
    peers: Peers,
    tenant_id: str,
    subscriptions: Sequence[Subscription],
    last: date,
    prices: dict[_Units, Fraction],
    found: Recurring,
) -> None:
    held: list[tuple[Subscription, date, PlanVersion, FixedCharge, Decimal]] = []
    for each in subscriptions:
        for month in months_between(day_of(each.start_time, each.calendar), last):
            at = end_of(month, each)
            if (phase := recurring_phase(each, at)) is None:
                continue
            plan = await peers.pricing.plan_version(tenant_id, phase.plan_code, phase.plan_version)
            if is_trial(each, plan, at):
                continue
            found.add(plan.currency, each.customer_id, month, base_fee(each, phase, plan, at))
            held += [(each, month, plan, its, units_held(each, phase, its, at)) for its in plan.fixed_charges]
    await _price(peers, tenant_id, held, prices)
    for of, month, plan, charge, units in held:
        amount = prices[plan.plan_code, plan.version, charge.code, units] * PER_MONTH[plan.billing_interval]
        found.add(plan.currency, of.customer_id, month, amount)


async def _price(
    peers: Peers,
    tenant_id: str,
    held: Sequence[tuple[Subscription, date, PlanVersion, FixedCharge, Decimal]],
    prices: dict[_Units, Fraction],
) -> None:
    """What units cost in a whole period, in exact minor units; each is asked once."""
    asked = {
        (plan.plan_code, plan.version, charge.code, units): (plan, charge, of)
        for of, _, plan, charge, units in held
        if (plan.plan_code, plan.version, charge.code, units) not in prices
    }
    questions = [
        (plan, [FixedUnits(charge, of.current_period, (Held(units, 1),), 1, None)])
        for (*_, units), (plan, charge, of) in asked.items()
    ]
    for key, (plan, _, _), [rated] in zip(
        asked, asked.values(), await peers.pricing.rate_fixed(tenant_id, questions), strict=True
    ):
        prices[key] = Fraction(rated.unrounded_amount) * 10 ** exponent(plan.currency)
