"""The bookings of an invoice's money: paid, given back, taken back by a bank, or given up."""

from services.invoicing.domain.ledger.account import Account


def settled(change: int, written_off: int) -> dict[Account, int]:
    """What changes what a customer owes by `change` minor units. Where a part of it was written off, what comes after
    all is taken from there first.
    """
    recovered = min(-change, written_off) if change < 0 else 0
    return {Account.BAD_DEBT: -recovered, Account.RECEIVABLE: change + recovered}


def paid(amount: int, written_off: int) -> dict[Account, int]:
    """`amount` minor units more than before; below 0 where a payment was undone."""
    return {Account.CASH: amount, **settled(-amount, written_off)}


def refunded(amount: int) -> dict[Account, int]:
    """Given back; below 0 where it was not after all. Without a credit note it is asked back of the customer."""
    return {Account.REFUNDS_PAYABLE: amount, Account.CASH: -amount}


def disputed(amount: int) -> dict[Account, int]:
    """Taken back by a bank; below 0 where it gave the money back."""
    return {Account.DISPUTES: amount, Account.CASH: -amount}


def written_off(receivable: int) -> dict[Account, int]:
    """What is not paid of an invoice is not expected any more."""
    lost = max(receivable, 0)
    return {Account.BAD_DEBT: lost, Account.RECEIVABLE: -lost}
