"""How often a card may be tried that was declined, over all invoices.

Visa: 20 reattempts in 30 days. Mastercard: 10 in 24 hours and 35 in 30 days. American Express and Discover publish
none: 20 in 30 days, as others keep to. Bank debits have no cap of this kind.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

_DAY, _MONTH = timedelta(days=1), timedelta(days=30)

_LIMITS: dict[str, tuple[tuple[timedelta, int], ...]] = {
    "visa": ((_MONTH, 20),),
    "mastercard": ((_DAY, 10), (_MONTH, 35)),
    "mc": ((_DAY, 10), (_MONTH, 35)),
    "maestro": ((_DAY, 10), (_MONTH, 35)),
    "amex": ((_MONTH, 20),),
    "discover": ((_MONTH, 20),),
}

LONGEST_WINDOW = _MONTH
MOST_COUNTED = 35


def network_of(label: str) -> str:
    """The card's network, which a method's label begins with; "" for what is no card of these."""
    first = label.split(" ", 1)[0].lower()
    return first if first in _LIMITS else ""


def free_time(network: str, declined: Sequence[datetime], now: datetime) -> datetime:
    """When the card may be charged next: `now` or later. `declined` are its tries in vain, newest first."""
    times = [
        declined[most - 1] + window
        for window, most in _LIMITS.get(network, ())
        if len(declined) >= most and declined[most - 1] + window > now
    ]
    return max(times, default=now)
