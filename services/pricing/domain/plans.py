"""What is sold, and what it costs."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from libs.common.money import Money
from services.pricing.domain.accumulation import Accumulation
from services.pricing.domain.commitments import FixedCharge, MinimumCommitment
from services.pricing.domain.dynamic import DynamicPrice
from services.pricing.domain.features import Entitlement
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice
from services.pricing.domain.limits import Limits
from services.pricing.domain.matrix import MatrixPrice
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.pricing_unit import PricingUnit
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.thresholds import UsageThreshold
from services.pricing.domain.time_of_day import TimeOfDayPrice
from services.pricing.domain.volume import VolumePrice

Price: TypeAlias = (
    StandardPrice
    | GraduatedPrice
    | PackagePrice
    | VolumePrice
    | PercentagePrice
    | GraduatedPercentagePrice
    | DynamicPrice
    | MatrixPrice
    | TimeOfDayPrice
)
"""One dataclass for each charge model."""

BASE_FEE_CODE = "base"
"""The code of the base fee's invoice line, which no charge may have."""

UNLIMITED = Limits()


class BillingInterval(StrEnum):
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    SEMIANNUAL = "semiannual"
    YEARLY = "yearly"


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """Admits an event whose `property` has one of `values`, or any value if they are empty."""

    property: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChargeFilter:
    """A part of a charge's usage with a price of its own: what every one of `properties` admits.

    An event that several filters admit belongs to the one with the most properties; then to the one whose values are
    among the other's; then to the first.
    """

    code: str
    name: str
    properties: tuple[PropertyFilter, ...]
    price: Price


@dataclass(frozen=True, slots=True)
class Charge:
    """The price of one meter's usage. `name` may be empty: invoices then show the code.

    `price` is that of usage which no filter has. Usage is priced apart by the values of `group_keys`, which are event
    properties; a matrix price has its dimensions among them. Every price is in `pricing_unit`, or in the currency where
    that is None; limits are in the currency. Only accumulating prices accumulate over the contract.
    """

    code: str
    name: str
    meter_code: str
    price: Price
    filters: tuple[ChargeFilter, ...] = ()
    group_keys: tuple[str, ...] = ()
    limits: Limits = UNLIMITED
    in_advance: bool = False
    prorated: bool = False
    invoiceable: bool = True
    regroup_paid_fees: bool = False
    tax_codes: tuple[str, ...] = ()
    accumulation: Accumulation = Accumulation.PERIOD
    pricing_unit: PricingUnit | None = None

    @property
    def prices(self) -> tuple[Price, ...]:
        """Its own, and those of its filters."""
        return (self.price, *(each.price for each in self.filters))


@dataclass(frozen=True, slots=True)
class PriceChange:
    """Another price for what `filter_code` of a charge has, or no filter if it is empty.

    `change` replaces the price, or changes its amounts by percent: Decimal(-20) takes a fifth off.
    """

    charge_code: str
    filter_code: str
    change: Price | Decimal


@dataclass(frozen=True, slots=True)
class Phase:
    """Months [from_month, to_month) of the contract, counted from 0, in which other prices hold; None has no end.

    `base_fee` replaces the version's, or changes it by percent; None leaves it.
    """

    name: str
    from_month: int
    to_month: int | None
    base_fee: Money | Decimal | None
    changes: tuple[PriceChange, ...]


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """What a plan costs, as it was at one time. Never changed once made.

    `base_fee`, None if there is none, and every price are in `currency`, and contain the taxes of their lines if it is
    `tax_inclusive`; codes of charges, fixed charges among them, and tax codes are unique. If `charges_monthly`, all but
    the base fee is billed by the month. `usage_thresholds` ascend, a recurring one last. `phases` ascend and do not
    overlap.

    `subscription_id` is whose override of version `base_version` this is; both are empty for a version of the catalog.
    """

    plan_code: str
    version: int
    currency: str
    billing_interval: BillingInterval
    base_fee: Money | None
    charges: tuple[Charge, ...]
    tax_codes: tuple[str, ...]
    create_time: datetime
    base_fee_in_advance: bool = False
    tax_inclusive: bool = False
    fixed_charges: tuple[FixedCharge, ...] = ()
    minimum_commitment: MinimumCommitment | None = None
    usage_thresholds: tuple[UsageThreshold, ...] = ()
    trial_days: int = 0
    entitlements: tuple[Entitlement, ...] = ()
    phases: tuple[Phase, ...] = ()
    subscription_id: str = ""
    base_version: int = 0
    charges_monthly: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Something that is sold. `latest_version` is the newest that is active, None if none is: new subscriptions get it.

    Versions are numbered 1 to `version_count`.
    """

    code: str
    name: str
    description: str
    version_count: int
    latest_version: PlanVersion | None
    create_time: datetime
