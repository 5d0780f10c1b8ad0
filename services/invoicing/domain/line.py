"""One amount on an invoice, with all that it was computed from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from libs.common.money import Money
from services.invoicing.domain.period import Period
from services.invoicing.domain.proration import Proration

BASE = "base"
"""Code of the base fee's line; pricing lets no charge have it."""


class LineKind(StrEnum):
    BASE_FEE = "base_fee"
    USAGE = "usage"
    LATE_USAGE = "late_usage"
    FIXED_CHARGE = "fixed_charge"
    COMMITMENT = "commitment"
    ADD_ON = "add_on"
    ADVANCE_USAGE = "advance_usage"
    PROGRESSIVE_CREDIT = "progressive_credit"
    DEDUCTION = "deduction"
    RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class Source:
    """The phase of a subscription that a line bills, and the plan version that prices it."""

    subscription_id: str
    phase_number: int
    plan_code: str
    plan_version: int


@dataclass(frozen=True, slots=True)
class LineReference:
    """The line of an invoice at `position`, from 0."""

    invoice_id: str
    position: int


@dataclass(frozen=True, slots=True)
class RatedUsage:
    """What a charge comes to, as pricing rated it; `rating` is its whole answer, which passes through."""

    code: str
    name: str
    quantity: Decimal
    amount: Money
    unrounded_amount: Decimal
    rating: bytes
    meter_code: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Rounded once; `unrounded_amount` is in major units.

    A base fee and what is missing to a commitment have a `proration`; usage and fixed charges have a `rating` (the
    serialized RatedCharge of pricing), usage a `watermark` (the point in metering's log up to which events are on this
    line); late usage also the `prior_watermark` that its period was billed at: its amount is what the usage comes to at
    the one less what it came to at the other. Usage in advance is that of an event, `transaction_id`. What
    progressive invoices billed of usage is taken off it: its amount is below 0. So is that of a deduction: a
    `proration` of the line that it `deducts`. What is missing to a commitment has
    what other invoices bill for its period, `counted_apart`. A line without a `source` is for no subscription.
    `tax_codes` are its own; if it has none, it bears the customer's.

    `units` at `unit_amount`, in major units, are what an add-on costs, or what somebody has made of the line of a
    draft: then it `is_adjusted`. Adjusted units without an amount are priced by the plan. A name may be adjusted, too.
    """

    kind: LineKind
    code: str
    description: str
    source: Source | None
    period: Period
    amount: Money
    unrounded_amount: Decimal
    tax_codes: tuple[str, ...]
    proration: Proration | None = None
    rating: bytes | None = None
    watermark: int | None = None
    prior_watermark: int | None = None
    meter_code: str = ""
    is_tax_inclusive: bool = False
    units: Decimal | None = None
    unit_amount: Decimal | None = None
    is_adjusted: bool = False
    transaction_id: str | None = None
    deducts: LineReference | None = None
    counted_apart: Money | None = None

    @property
    def plan_code(self) -> str:
        return self.source.plan_code if self.source else ""


def bearing(lines: Iterable[Line], default_tax_codes: tuple[str, ...]) -> Iterator[Line]:
    """The lines with the taxes they bear: their own, or else the default ones."""
    return (line if line.tax_codes else replace(line, tax_codes=default_tax_codes) for line in lines)
