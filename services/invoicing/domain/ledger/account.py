"""The accounts of the ledger."""

from enum import StrEnum


class Nature(StrEnum):
    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"


class Account(StrEnum):
    """Balances are debits less credits: those of assets and expenses are above 0 in the normal case, others below."""

    RECEIVABLE = "receivable"
    CASH = "cash"
    UNBILLED_REVENUE = "unbilled_revenue"
    CUSTOMER_CREDIT = "customer_credit"
    PREPAID_CREDIT = "prepaid_credit"
    REFUNDS_PAYABLE = "refunds_payable"
    TAX_PAYABLE = "tax_payable"
    DEFERRED_REVENUE = "deferred_revenue"
    REVENUE = "revenue"
    ROUNDING = "rounding"
    FORFEITED_CREDIT = "forfeited_credit"
    BAD_DEBT = "bad_debt"
    DISPUTES = "disputes"

    @property
    def nature(self) -> Nature:
        return _NATURES[self]


_NATURES = {
    Account.RECEIVABLE: Nature.ASSET,
    Account.CASH: Nature.ASSET,
    Account.UNBILLED_REVENUE: Nature.ASSET,
    Account.CUSTOMER_CREDIT: Nature.LIABILITY,
    Account.PREPAID_CREDIT: Nature.LIABILITY,
    Account.REFUNDS_PAYABLE: Nature.LIABILITY,
    Account.TAX_PAYABLE: Nature.LIABILITY,
    Account.DEFERRED_REVENUE: Nature.LIABILITY,
    Account.REVENUE: Nature.INCOME,
    Account.ROUNDING: Nature.INCOME,
    Account.FORFEITED_CREDIT: Nature.INCOME,
    Account.BAD_DEBT: Nature.EXPENSE,
    Account.DISPUTES: Nature.EXPENSE,
}
