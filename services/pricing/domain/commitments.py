"""What a plan costs whatever is used: fixed charges, and a minimum."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from libs.common.money import Money
from services.pricing.domain.breakdown import EXACT, ZERO
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.limits import Proration
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.volume import VolumePrice

FixedPrice: TypeAlias = StandardPrice | GraduatedPrice | VolumePrice


@dataclass(frozen=True, slots=True)
class FixedCharge:
    """Units of an add-on that every billing interval has. `name` may be empty: invoices then show the add-on's."""

    code: str
    name: str
    add_on_code: str
    units: Decimal
    price: FixedPrice
    in_advance: bool = False
    prorated: bool = False
    tax_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MinimumCommitment:
    """What a billing interval comes to at least, before coupons and taxes. `name` may be empty."""

    amount: Money
    name: str
    tax_codes: tuple[str, ...] = ()

    def missing(self, spent: Money, proration: Proration | None) -> Money:
        """From what all fees of an interval come to, up to the part of the amount that is owed; 0 above it."""
        owed = self.amount.amount if proration is None else proration.of(self.amount.amount)
        return Money.rounded(max(EXACT.subtract(owed, spent.amount), ZERO), self.amount.currency)
