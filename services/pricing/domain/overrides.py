"""What a plan costs one subscription: a version of the catalog with changes."""

from dataclasses import dataclass, replace
from datetime import datetime

from libs.common.money import Money
from services.pricing.domain.commitments import MinimumCommitment
from services.pricing.domain.phases import repriced
from services.pricing.domain.plans import PlanVersion, PriceChange
from services.pricing.domain.thresholds import UsageThreshold


@dataclass(frozen=True, slots=True)
class PlanChanges:
    """None leaves what the version says; `without_minimum` takes its minimum commitment away."""

    base_fee: Money | None = None
    prices: tuple[PriceChange, ...] = ()
    minimum_commitment: MinimumCommitment | None = None
    without_minimum: bool = False
    usage_thresholds: tuple[UsageThreshold, ...] | None = None
    tax_codes: tuple[str, ...] | None = None
    trial_days: int | None = None


def overridden(
    base: PlanVersion, changes: PlanChanges, number: int, subscription_id: str, create_time: datetime
) -> PlanVersion:
    """Raises InvalidArgument for a price of a charge that is not there."""
    minimum = changes.minimum_commitment or (None if changes.without_minimum else base.minimum_commitment)
    return replace(
        base,
        version=number,
        base_version=base.version,
        subscription_id=subscription_id,
        create_time=create_time,
        base_fee=base.base_fee if changes.base_fee is None else changes.base_fee,
        charges=repriced(base.charges, changes.prices, "changes.prices"),
        minimum_commitment=minimum,
        usage_thresholds=base.usage_thresholds if changes.usage_thresholds is None else changes.usage_thresholds,
        tax_codes=base.tax_codes if changes.tax_codes is None else changes.tax_codes,
        trial_days=base.trial_days if changes.trial_days is None else changes.trial_days,
    )
