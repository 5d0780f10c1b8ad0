"""The booking of an invoice that is finalized."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.booking import Booking
from services.invoicing.domain.ledger.part import PartKey, scheduled

ISSUE = "issue"


@dataclass(frozen=True, slots=True)
class Issued:
    """What a finalized invoice comes to, in minor units. `tax` is with what the lines contain of taxes; `parts` are
    what they come to without coupons and taxes, `net` in all.
    """

    invoice_id: str
    currency: str
    legal_entity: str
    issue_date: date
    tz: ZoneInfo
    total: int
    credits: int
    prepaid: int
    tax: int
    parts: Mapping[PartKey, int]

    @property
    def net(self) -> int:
        return self.total - self.tax


def issued(invoice: Issued, open_from: date) -> Booking:
    """Everything is deferred first: revenue is what is earned of it. `open_from` is the first day not closed."""
    booked = max(invoice.issue_date, open_from)
    return Booking(
        invoice.invoice_id,
        ISSUE,
        invoice.currency,
        booked,
        {
            Account.RECEIVABLE: invoice.total - invoice.credits - invoice.prepaid,
            Account.CUSTOMER_CREDIT: invoice.credits,
            Account.PREPAID_CREDIT: invoice.prepaid,
            Account.TAX_PAYABLE: -invoice.tax,
            Account.DEFERRED_REVENUE: -invoice.net,
        },
        tuple(
            scheduled(number, key, amount, invoice.issue_date, booked, open_from, invoice.tz)
            for number, (key, amount) in enumerate(sorted(invoice.parts.items()))
            if amount
        ),
        invoice.legal_entity,
    )
