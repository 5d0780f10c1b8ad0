"""What a plan costs one subscription: a version of the catalog with changes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from libs.common.money import Money
from services.pricing.domain.commitments import MinimumCommitment
from services.pricing.domain.phases import repriced
from services.pricing.domain.plans import Charge, PlanVersion, PriceChange
from services.pricing.domain.thresholds import UsageThreshold

FIRST_OVERRIDE = 1_000_000_001
"""The number of a plan's first; those of the catalog are less."""


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


def changes_of(base: PlanVersion, override: PlanVersion) -> PlanChanges:
    """What makes `override` of `base`, and nothing else: `overridden` with it says the same."""
    minimum = override.minimum_commitment
    return PlanChanges(
        base_fee=override.base_fee if override.base_fee != base.base_fee else None,
        prices=tuple(_price_changes(base.charges, override.charges)),
        minimum_commitment=minimum if minimum != base.minimum_commitment else None,
        without_minimum=minimum is None and base.minimum_commitment is not None,
        usage_thresholds=override.usage_thresholds if override.usage_thresholds != base.usage_thresholds else None,
        tax_codes=override.tax_codes if override.tax_codes != base.tax_codes else None,
        trial_days=override.trial_days if override.trial_days != base.trial_days else None,
    )


def _price_changes(before: Iterable[Charge], after: Iterable[Charge]) -> Iterator[PriceChange]:
    for old, new in zip(before, after, strict=True):
        if new.price != old.price:
            yield PriceChange(new.code, "", new.price)
        for part, changed in zip(old.filters, new.filters, strict=True):
            if changed.price != part.price:
                yield PriceChange(new.code, changed.code, changed.price)


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
