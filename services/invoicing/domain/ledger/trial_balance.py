"""What the accounts come to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from services.invoicing.domain.ledger.account import Account


class Earned(NamedTuple):
    """What is earned of a legal entity's schedules in a currency: of what is invoiced, and before. Minor units."""

    legal_entity: str
    currency: str
    invoiced: int
    unbilled: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Debits less credits of an account, in minor units of `currency`."""

    legal_entity: str
    currency: str
    account: Account
    amount: int


def trial_balance(posted: Iterable[Balance], earned: Iterable[Earned]) -> list[Balance]:
    """What is `posted`, and what is `earned` of deferred revenue, or unbilled; without accounts that come to 0."""
    found: dict[tuple[str, str, Account], int] = {}

    def add(entity: str, currency: str, account: Account, amount: int) -> None:
        key = entity, currency, account
        found[key] = found.get(key, 0) + amount

    for each in posted:
        add(each.legal_entity, each.currency, each.account, each.amount)
    for entity, currency, invoiced, unbilled in earned:
        add(entity, currency, Account.DEFERRED_REVENUE, invoiced)
        add(entity, currency, Account.UNBILLED_REVENUE, unbilled)
        add(entity, currency, Account.REVENUE, -invoiced - unbilled)
    places = {account: place for place, account in enumerate(Account)}
    return [
        Balance(*key, amount)
        for key, amount in sorted(found.items(), key=lambda each: (*each[0][:2], places[each[0][2]]))
        if amount
    ]
