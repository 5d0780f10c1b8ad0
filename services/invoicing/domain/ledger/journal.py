"""What was booked, leg by leg."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.trial_balance import Balance, Earned, trial_balance

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the ledger: from the `first` day to the `last`, as it was known at `known_time`, or is. None is all."""

    first: date
    last: date
    known_time: datetime | None = None
    legal_entity: str | None = None
    currency: str | None = None
    account: Account | None = None

    def has(self, balance: Balance) -> bool:
        return self.currency in (None, balance.currency) and self.account in (None, balance.account)


@dataclass(frozen=True, slots=True)
class Entry:
    """A leg of a booking; without a time and an invoice, what was earned. Minor units, debits above 0."""

    day: date
    invoice_id: str
    source: str
    leg: int
    legal_entity: str
    currency: str
    account: Account
    amount: int
    recorded_time: datetime | None = None
    invoice_number: str = ""
    customer_id: str = ""


def month_ends(first: date, last: date) -> Iterator[date]:
    """The last days of the months that begin before `last` ends; the `last` day for the last of them."""
    day = first
    while day <= last:
        following = (day.replace(day=28) + 4 * ONE_DAY).replace(day=1)
        yield min(following - ONE_DAY, last)
        day = following


def earned_entries(day: date, before: Iterable[Earned], after: Iterable[Earned], asked: Asked) -> list[Entry]:
    """What was earned up to `day`, of its month: from what was earned at the one time to the other."""
    taken_off = [Earned(each.legal_entity, each.currency, -each.invoiced, -each.unbilled) for each in before]
    return [
        Entry(day, "", f"earned/{day:%Y-%m}", leg, each.legal_entity, each.currency, each.account, each.amount)
        for leg, each in enumerate(trial_balance((), (*after, *taken_off)))
        if asked.has(each)
    ]
