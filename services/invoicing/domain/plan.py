"""What invoicing needs to know of a plan version. Pricing owns it."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from libs.common.money import Money
from services.invoicing.domain.hours import Hours
from services.invoicing.domain.schedule import BillingInterval


@dataclass(frozen=True, slots=True)
class UsagePart:
    """A filter of a charge: events whose properties have one of the values each, or any value where there are none."""

    code: str
    filters: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Split:
    """How the usage of a charge is asked for: by filter, by group, and with the values of the first single events;
    `prorated` for the days that units are held, with that of the contract before if it `accumulates`, and by the hours
    of prices by time of day.
    """

    parts: tuple[UsagePart, ...] = ()
    group_keys: tuple[str, ...] = ()
    first_events: int = 0
    prorated: bool = False
    accumulates: bool = False
    hours: tuple[Hours, ...] = ()


WHOLE = Split()


@dataclass(frozen=True, slots=True)
class Charge:
    """`takes_amounts` says that it is priced by what the events carry, not by what they count. One that is `in_advance`
    is charged event by event, at once on an invoice if it `is_invoiceable`, or once it is paid if it
    `is_regrouped`. One whose price `is_linear` prices each
    unit alike. One that `is_carried` bills whole units that go on from period to period: where a period is cut, the
    phase that goes on with its meter bills them.
    """

    code: str
    meter_code: str
    split: Split = WHOLE
    takes_amounts: bool = False
    tax_codes: tuple[str, ...] = ()
    in_advance: bool = False
    is_invoiceable: bool = True
    is_regrouped: bool = False
    is_linear: bool = True
    is_carried: bool = False

    @property
    def is_per_event(self) -> bool:
        """Whether single events matter to the price."""
        return self.takes_amounts or self.split.first_events > 0


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a whole billing interval comes to at least. Its line has taxes of its own, or else the plan's."""

    amount: Money
    name: str
    tax_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FixedCharge:
    """`units` of an add-on that every period has. Without a `name`, it has the add-on's. Billed when a period begins if
    it is `in_advance`; if it is `prorated`, units cost the days that they are held.
    """

    code: str
    name: str
    add_on_code: str
    units: Decimal
    in_advance: bool
    prorated: bool
    tax_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """`base_fee` is for a whole `fee_interval`, or where that is None, billing interval, None if there is none, and
    charged when that begins if it is `in_advance`, otherwise when it has ended. None is for the time of the `trial`,
    from the subscription's start on. All else is billed by the `billing_interval`.
    Prices contain their taxes if it `is_tax_inclusive`. In the months that `ramps` have, other prices hold; it
    is as it is in a `contract_month`, if it has one. With `has_thresholds`, usage that passes one has an invoice at
    once.
    """

    plan_code: str
    version: int
    currency: str
    billing_interval: BillingInterval
    base_fee: Money | None
    in_advance: bool
    charges: tuple[Charge, ...]
    tax_codes: tuple[str, ...]
    trial: timedelta = timedelta(0)
    is_tax_inclusive: bool = False
    fixed_charges: tuple[FixedCharge, ...] = ()
    commitment: Commitment | None = None
    ramps: tuple["Ramp", ...] = ()
    contract_month: int | None = None
    has_thresholds: bool = False
    fee_interval: BillingInterval | None = None

    @property
    def carried(self) -> tuple[tuple[str, str], ...]:
        """(charge, meter) of each charge that is carried."""
        return tuple((each.code, each.meter_code) for each in self.charges if each.is_carried)

    def without(self, codes: Container[str]) -> "PlanVersion":
        """Without some of its charges."""
        return replace(self, charges=tuple(each for each in self.charges if each.code not in codes))

    def in_month(self, month: int) -> "PlanVersion":
        """With the prices of that month of a contract, counted from 0."""
        if not self.ramps:
            return self
        return replace(next((each.plan for each in self.ramps if month in each), self), contract_month=month)

    def tax_codes_of(self, charge_code: str) -> tuple[str, ...]:
        """A charge's own, or else the plan's."""
        own = next((each.tax_codes for each in self.charges if each.code == charge_code), ())
        return own or self.tax_codes

    @property
    def has_advance_fee(self) -> bool:
        fees = (self.base_fee, *(each.plan.base_fee for each in self.ramps))
        return self.in_advance and any(fee is not None for fee in fees)

    @property
    def has_advance_units(self) -> bool:
        return any(each.in_advance for each in self.fixed_charges)

    @property
    def advance_charges(self) -> tuple[Charge, ...]:
        return tuple(each for each in self.charges if each.in_advance)

    @property
    def by_split(self) -> Mapping[Split, list[Charge]]:
        """The charges in arrears that one question about usage serves."""
        found: dict[Split, list[Charge]] = {}
        for charge in self.charges:
            if not charge.in_advance:
                found.setdefault(charge.split, []).append(charge)
        return found


@dataclass(frozen=True, slots=True)
class Ramp:
    """What a version is from the month `start` of a contract on, and before the month `end`; None has no end."""

    start: int
    end: int | None
    plan: PlanVersion

    def __contains__(self, month: int) -> bool:
        return self.start <= month and (self.end is None or month < self.end)
