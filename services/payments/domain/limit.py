"""How often what was declined may be tried again.

A card, over all invoices. Visa: 20 reattempts in 30 days. Mastercard: 10 in 24 hours and 35 in 30 days. American
Express and Discover publish none: 20 in 30 days, as others keep to.

A bank debit, for the same payment: presented again twice at most. ACH: within 180 days, a rule of the network; SEPA:
within 42 days, and Bacs within a month, as processors keep to, since each debit that fails is charged for.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.payments.domain.method import MethodKind

_DAY, _MONTH = timedelta(days=1), timedelta(days=30)

_LIMITS: dict[str, tuple[tuple[timedelta, int], ...]] = {
    "visa": ((_MONTH, 20),),
    "mastercard": ((_DAY, 10), (_MONTH, 35)),
    "mc": ((_DAY, 10), (_MONTH, 35)),
    "maestro": ((_DAY, 10), (_MONTH, 35)),
    "amex": ((_MONTH, 20),),
    "discover": ((_MONTH, 20),),
}

_DEBITS: dict[MethodKind, tuple[tuple[timedelta, int], ...]] = {
    MethodKind.SEPA_DEBIT: ((timedelta(days=42), 3),),
    MethodKind.BACS_DEBIT: ((_MONTH, 3),),
    MethodKind.ACH_DEBIT: ((timedelta(days=180), 3),),
}

LONGEST_WINDOW = _MONTH
MOST_COUNTED = 35


def network_of(label: str) -> str:
    """The card's network, which a method's label begins with; "" for what is no card of these."""
    first = label.split(" ", 1)[0].lower()
    return first if first in _LIMITS else ""


def is_limited_debit(kind: MethodKind) -> bool:
    return kind in _DEBITS


def free_time(network: str, declined: Sequence[datetime], now: datetime) -> datetime:
    """When the card may be charged next: `now` or later. `declined` are its tries in vain, newest first."""
    return _free_time(_LIMITS.get(network, ()), declined, now)


def debit_free_time(kind: MethodKind, declined: Sequence[datetime], now: datetime) -> datetime:
    """As `free_time`, of a bank debit; `declined` are the tries in vain for one payment, newest first."""
    return _free_time(_DEBITS.get(kind, ()), declined, now)


def _free_time(limits: Sequence[tuple[timedelta, int]], declined: Sequence[datetime], now: datetime) -> datetime:
    times = [
        declined[most - 1] + window
        for window, most in limits
        if len(declined) >= most and declined[most - 1] + window > now
    ]
    return max(times, default=now)
