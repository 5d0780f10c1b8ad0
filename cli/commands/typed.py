"""Amounts as they are typed."""

from decimal import Decimal, InvalidOperation

from cli.errors import CliError
from libs.common.money import Money


def typed_amount(text: str, currency: str) -> Money:
    """Exact, in major units. Raises CliError."""
    try:
        exact = Decimal(text)
        money = Money.rounded(exact, currency)
    except InvalidOperation:
        raise CliError(f"{text} is no amount") from None
    if money.amount != exact:
        raise CliError(f"{text}: {currency} has no such fractions")
    return money
