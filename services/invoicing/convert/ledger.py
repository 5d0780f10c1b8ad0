"""The ledger."""

from datetime import date

from google.type import date_pb2

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.trial_balance import Balance
from weir.invoicing.v1 import ledger_pb2 as pb


def date_in(value: date_pb2.Date, field: str) -> date:
    """Raises InvalidArgument DATE_MALFORMED."""
    try:
        found = date(value.year, value.month, value.day)
    except ValueError:
        found = date.min
    if not 2000 <= found.year < 2200:
        raise InvalidArgument(
            "DATE_MALFORMED",
            f"{field} is {value.year}-{value.month}-{value.day}, no day from 2000 until 2200",
            field=field,
        )
    return found


def account_out(account: Account) -> pb.LedgerAccount.ValueType:
    return pb.LedgerAccount.Value(f"LEDGER_ACCOUNT_{account.name}")


def balance_out(balance: Balance) -> pb.AccountBalance:
    return pb.AccountBalance(
        legal_entity=balance.legal_entity,
        account=account_out(balance.account),
        balance=money_out(Money(balance.amount, balance.currency)),
    )
