"""What is asked of a subscription's usage."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.invoicing.domain.period import Period, zone_at
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.plan import Charge, PlanVersion, Split
from services.invoicing.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """What a subscription used in a `period` under a plan, as it is in that month; without a plan, nothing is asked.

    `full_period` is the whole period of the schedule. `owned` is the part of `period` that its days are counted in,
    None where there is none; `start_time` is when the contract began.
    """

    subscription_id: str
    plan: PlanVersion | None
    period: Period
    full_period: Period
    owned: Period | None
    start_time: datetime
    time_zone: str

    @property
    def splits(self) -> Mapping[Split, list[Charge]]:
        return self.plan.by_split if self.plan else {}

    @property
    def before(self) -> Period | None:
        """The contract before the period, if there is any."""
        return Period(self.start_time, self.period.start) if self.start_time < self.period.start else None


def usage_question(of: Subscription, phase: Phase, plan: PlanVersion | None, period: Period) -> UsageQuestion:
    return UsageQuestion(
        subscription_id=of.id,
        plan=plan and plan.in_month(of.contract_month(phase, period.start)).without(of.left_to_next(phase, period)),
        period=period,
        full_period=of.schedule_of(phase).period_of(period.start),
        owned=of.owned_days(period),
        start_time=of.start_time,
        time_zone=zone_at(period.end, of.calendar).key,
    )


@dataclass(frozen=True, slots=True)
class LateQuestion:
    """What has changed of a subscription's usage since a watermark, of the time before an instant?"""

    subscription_id: str
    since_watermark: int
    before_time: datetime
