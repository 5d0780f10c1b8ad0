"""What an invoice comes to in the ledger before its next booking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.booking import Booking
from services.invoicing.domain.ledger.earning import Earning, changed


@dataclass(frozen=True, slots=True)
class Booked:
    """What is booked of an invoice so far: minor units by source and account, and what is earned by source.
    `day` is that of the next booking, in a period that is open from `open_from` on.
    """

    invoice_id: str
    legal_entity: str
    currency: str
    legs: Mapping[str, Mapping[Account, int]]
    earnings: Mapping[str, Sequence[Earning]]
    day: date
    open_from: date

    def balance(self, account: Account) -> int:
        return sum(legs.get(account, 0) for legs in self.legs.values())

    def of_part(self, part: int) -> list[Earning]:
        return [each for its in self.earnings.values() for each in its if each.part == part]

    @property
    def parts(self) -> list[int]:
        return sorted({each.part for its in self.earnings.values() for each in its})

    def booking(self, source: str, legs: Mapping[Account, int], changes: Mapping[int, int] | None = None) -> Booking:
        """`changes` are what parts come to more, from its day on; deferred revenue follows."""
        changes = changes or {}
        earnings = tuple(
            each
            for part, change in sorted(changes.items())
            if change
            for each in changed(self.of_part(part), part, change, self.day, self.open_from)
        )
        deferred = {Account.DEFERRED_REVENUE: -sum(changes.values())}
        return Booking(
            self.invoice_id, source, self.currency, self.day, {**legs, **deferred}, earnings, self.legal_entity
        )
