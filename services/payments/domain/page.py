"""A page of a processor's on which a customer pays what is due of an invoice, or authenticates what was not charged
without them. It is an attempt that waits for the customer: as for any attempt, the next one begins when it is known
that this one can't succeed any more.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.payments.domain.attempt import AttemptState

OPENED = "payment_page"
"""The attempt's code while it waits for the customer."""
CLOSED_CODE = "page_closed"
LIFE = timedelta(hours=23)
"""Within the day that Stripe gives a page at most."""


class PageState(StrEnum):
    OPEN = "OPEN"
    PAID = "PAID"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """`reference` is the processor's id of it, "" as is the `url` until the processor has answered."""

    tenant_id: str
    id: str
    payment_id: str
    attempt_number: int
    processor_account_id: str
    return_url: str
    reference: str
    url: str
    expire_time: datetime
    create_time: datetime


def state_of(attempt: AttemptState) -> PageState:
    """PENDING too is paid: the customer has done their part."""
    if attempt in (AttemptState.SUCCEEDED, AttemptState.PENDING):
        return PageState.PAID
    return PageState.CLOSED if attempt is AttemptState.DECLINED else PageState.OPEN
