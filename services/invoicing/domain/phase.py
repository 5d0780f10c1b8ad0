"""The phases of a subscription, and the units of fixed charges in them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.invoicing.domain.schedule import BillingInterval, BillingTime


class UnusedFee(StrEnum):
    """What becomes of days of a base fee in advance that lie after the end of their phase."""

    KEEP = "keep"
    CREDIT = "credit"
    """A credit note gives them back, with their taxes."""
    OFFSET = "offset"
    """They are taken off what is due of the invoice that charged them; what is beyond that is credited."""
    REFUND = "refund"
    """What was paid for them is given back, and the rest credited; what was paid is for the used days first."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Billed by one plan version, from `start_time` until the next phase begins; `number` counts from 1.

    On the anniversary, periods begin on the day of `anchor_time`. Base fees are for the time from `fee_start_time` on,
    and charged when a period begins if the phase is `in_advance`; `on_unused_fee` says what becomes of days paid for
    that lie after the phase's end. One that `is_paused` has no days: it charges no base fee and owes no minimum. The
    base fee is for a `fee_interval`, where that is longer than the one that usage is billed by; None where it is not.
    `carried` are (charge, meter) of charges whose units go on from period to period.
    """

    number: int
    start_time: datetime
    plan_code: str
    plan_version: int
    billing_interval: BillingInterval
    billing_time: BillingTime
    anchor_time: datetime
    fee_start_time: datetime
    in_advance: bool
    on_unused_fee: UnusedFee = UnusedFee.CREDIT
    is_paused: bool = False
    has_advance_units: bool = False
    has_advance_usage: bool = False
    has_thresholds: bool = False
    carried: tuple[tuple[str, str], ...] = ()
    fee_interval: BillingInterval | None = None


@dataclass(frozen=True, slots=True)
class UnitChange:
    """In a phase, a fixed charge has `units` from `effective_time` on; `in_advance` is the charge's."""

    phase_number: int
    code: str
    effective_time: datetime
    units: Decimal
    in_advance: bool
