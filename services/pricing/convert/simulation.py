"""What Simulate is asked, and what it answers, on the wire."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import code_in, money_out
from services.pricing.convert.collected import read_all, require_unique
from services.pricing.convert.versions import interval_in, version_number_in
from services.pricing.domain.intervals import begins
from services.pricing.domain.plans import BillingInterval, PlanVersion
from services.pricing.domain.rating import MAX_MINOR_UNITS
from services.pricing.domain.simulation import Change, Cost, Reached
from services.pricing.domain.simulation_sums import Outcome, Revenue, Sums
from weir.common.v1 import money_pb2
from weir.pricing.v1 import pricing_pb2, simulation_pb2

MAX_CANDIDATES = 10
FIRST_YEAR, LAST_YEAR = 2000, 2199
"""Billing happens between these."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`first_day` is that of the period, which is an `interval` of the calendar, or one by which the first candidate is
    billed where that is None; a `plan_code` of "" is every plan, a version of 0 every version; of a candidate, the
    newest.
    """

    first_day: date
    interval: BillingInterval | None
    plan_code: str
    version: int
    candidates: tuple[tuple[str, int], ...]
    watermark: int
    summary_only: bool


def simulate_in(request: simulation_pb2.SimulateRequest) -> Asked:
    version = version_number_in(request.plan_version, "plan_version") if request.plan_version else 0
    return Asked(
        first_day=_first_day_in(request),
        interval=_interval_in(request),
        plan_code=code_in(request.plan_code, "plan_code") if request.plan_code or version else "",
        version=version,
        candidates=_candidates_in(request.candidates, "candidates"),
        watermark=_watermark_in(request.watermark),
        summary_only=request.summary_only,
    )


def require_different(candidates: Sequence[PlanVersion]) -> None:
    """The newest version may have been asked for by its number too."""
    names = [f"{version.plan_code}@{version.version}" for version in candidates]
    require_unique("CANDIDATE_DUPLICATE", names, "candidates[{}]")


def require_whole(first_day: date, interval: BillingInterval) -> None:
    if not begins(first_day, interval):
        raise InvalidArgument(
            "PERIOD_NOT_WHOLE",
            f"start_date is {first_day}; a {interval} period begins on another day of the calendar",
            field="start_date",
        )


def change_out(change: Change) -> simulation_pb2.SubscriptionChange:
    subject, version = change.subject, change.subject.metered.version
    return simulation_pb2.SubscriptionChange(
        subscription_id=subject.subscription_id,
        customer_id=subject.customer_id,
        plan_code=version.plan_code,
        plan_version=version.version,
        before=None if change.before is None else _cost_out(change.before),
        after=[_cost_out(cost) for cost in change.after],
        failure_reason=change.failure.reason if change.failure else "",
        failure_message=change.failure.message if change.failure else "",
    )


def simulation_out(sums: Sums, watermark: int) -> simulation_pb2.Simulation:
    return simulation_pb2.Simulation(
        watermark=watermark,
        digest=sums.digest,
        subscription_count=sums.subscription_count,
        failed_count=sums.failed_count,
        before=map(_revenue_out, sums.before),
        after=map(_outcome_out, sums.after),
    )


def _first_day_in(request: simulation_pb2.SimulateRequest) -> date:
    """Of the month, or of another interval."""
    if request.HasField("month") == request.HasField("start_date"):
        raise InvalidArgument("FIELD_MISSING", "month or start_date is required, and not both", field="month")
    field, told = ("month", request.month) if request.HasField("month") else ("start_date", request.start_date)
    year, month, day = told.year, told.month, told.day
    try:
        if not (FIRST_YEAR <= year <= LAST_YEAR and (day == 0) == (field == "month")):
            raise ValueError
        return date(year, month, day or 1)
    except ValueError:
        raise InvalidArgument(
            "MONTH_MALFORMED",
            f"{field} is {year}-{month}-{day}; expected one from {FIRST_YEAR} to {LAST_YEAR}"
            + (", and the day 0" if field == "month" else ""),
            field=field,
        ) from None


def _interval_in(request: simulation_pb2.SimulateRequest) -> BillingInterval | None:
    if not request.HasField("month"):
        return interval_in(request.interval, "interval") if request.interval else None
    if request.interval not in (0, pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY):
        raise InvalidArgument("FIELD_UNUSED", "interval has no meaning beside month", field="interval")
    return BillingInterval.MONTHLY


def _candidates_in(names: Sequence[simulation_pb2.PlanVersionName], field: str) -> tuple[tuple[str, int], ...]:
    if not names:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    if len(names) > MAX_CANDIDATES:
        raise InvalidArgument(
            "CANDIDATES_TOO_MANY", f"{len(names)} candidates; at most {MAX_CANDIDATES} in one simulation", field=field
        )
    read = read_all(partial(_name_in, name, f"{field}[{index}]") for index, name in enumerate(names))
    require_unique("CANDIDATE_DUPLICATE", read, field + "[{}]")
    return read


def _name_in(name: simulation_pb2.PlanVersionName, field: str) -> tuple[str, int]:
    version = version_number_in(name.version, f"{field}.version") if name.version else 0
    return code_in(name.plan_code, f"{field}.plan_code"), version


def _watermark_in(value: int) -> int:
    if value < 0:
        raise InvalidArgument("AMOUNT_NEGATIVE", f"watermark is {value}; it must not be negative", field="watermark")
    return value


def _cost_out(cost: Cost) -> simulation_pb2.SimulatedCost:
    return simulation_pb2.SimulatedCost(
        amount=_money_out(cost.amount),
        reached_tiers=[
            simulation_pb2.ReachedTier(charge_code=each.charge_code, filter=each.filter_code, tier=each.tier)
            for each in cost.reached
            if each.tier > 1
        ],
    )


def _revenue_out(revenue: Revenue) -> simulation_pb2.VersionRevenue:
    return simulation_pb2.VersionRevenue(
        plan_code=revenue.version.plan_code,
        plan_version=revenue.version.version,
        subscription_count=revenue.subscription_count,
        amount=_money_out(revenue.amount),
        tiers=_tiers_out(revenue.tiers),
    )


def _outcome_out(outcome: Outcome) -> simulation_pb2.CandidateOutcome:
    version = outcome.revenue.version

    def money(minor_units: int) -> money_pb2.Money:
        return _money_out(Money(minor_units, version.currency))

    return simulation_pb2.CandidateOutcome(
        plan_code=version.plan_code,
        plan_version=version.version,
        amount=_money_out(outcome.revenue.amount),
        amount_before=money(outcome.minor_units_before),
        amount_after=money(outcome.minor_units_after),
        less_count=outcome.less_count,
        more_count=outcome.more_count,
        same_count=outcome.same_count,
        incomparable_count=outcome.incomparable_count,
        saved=money(outcome.saved),
        added=money(outcome.added),
        tiers=_tiers_out(outcome.revenue.tiers),
    )


def _tiers_out(tiers: Counter[Reached]) -> list[simulation_pb2.TierCount]:
    return [
        simulation_pb2.TierCount(
            charge_code=each.charge_code, filter=each.filter_code, tier=each.tier, subscription_count=count
        )
        for each, count in sorted(tiers.items())
    ]


def _money_out(amount: Money) -> money_pb2.Money:
    """Sums of amounts that Money can state may be more than it can."""
    if abs(amount.minor_units) > MAX_MINOR_UNITS:
        raise InvalidArgument("AMOUNT_TOO_LARGE", "the costs add up to more than an amount can state")
    return money_out(amount)
