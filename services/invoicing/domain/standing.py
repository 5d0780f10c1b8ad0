"""What a customer's next invoices are a matter of, besides what they settle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.invoicing.domain.balance import Balance, left_after, with_credits
from services.invoicing.domain.coupon import AppliedCoupon, left_of
from services.invoicing.domain.invoice import Invoice


@dataclass(frozen=True, slots=True)
class Standing:
    """The taxes of the customer or of who bills it, and what is left of coupons and credit notes, both in the order
    they are used.
    """

    tax_codes: tuple[str, ...]
    coupons: Sequence[AppliedCoupon]
    balances: Sequence[Balance]

    def with_balances(self, more: Sequence[Balance]) -> "Standing":
        return replace(self, balances=[*self.balances, *more])

    def paying(self, draft: Invoice) -> "tuple[Invoice, Standing]":
        """A draft as it would be finalized now, whose bill has its discounts; and what is left for others then."""
        paid = with_credits(draft, self.balances)
        coupons = left_of(self.coupons, draft.bill.discounts)
        return paid, Standing(self.tax_codes, coupons, left_after(paid, self.balances))
