"""How journal entries are written for an accounting system: which of its accounts is which, and in which columns.

A mapping is a YAML file; what it leaves out is as in DEFAULT:

    accounts:
      receivable: {code: "1200", name: Accounts receivable}
    columns:
      Date: date
      Account: account_code
      Debit: debit
    date_format: "%d.%m.%Y"
    decimal_separator: ","
    delimiter: ";"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from cli.errors import CliError
from cli.output import instant, state
from libs.common.money import Money, exponent
from weir.invoicing.v1.ledger_pb2 import JournalEntry, LedgerAccount

ACCOUNTS = {
    "cash": ("1050", "Cash clearing"),
    "receivable": ("1200", "Accounts receivable"),
    "unbilled_revenue": ("1250", "Unbilled revenue"),
    "customer_credit": ("2100", "Customer credit balances"),
    "prepaid_credit": ("2150", "Prepaid credit drawn"),
    "refunds_payable": ("2180", "Refunds payable"),
    "tax_payable": ("2200", "Tax payable"),
    "deferred_revenue": ("2400", "Deferred revenue"),
    "revenue": ("4000", "Revenue"),
    "rounding": ("4900", "Rounding differences"),
    "forfeited_credit": ("4950", "Forfeited credit"),
    "bad_debt": ("6800", "Bad debt"),
    "disputes": ("6850", "Disputes lost"),
}
COLUMNS = {
    "date": "date",
    "journal": "source",
    "account": "account_code",
    "account name": "account_name",
    "debit": "debit",
    "credit": "credit",
    "currency": "currency",
    "reference": "invoice_number",
    "customer": "customer_id",
    "legal entity": "legal_entity",
    "invoice": "invoice_id",
    "recorded": "record_time",
}
FIELDS = {*COLUMNS.values(), "account", "amount"}
_TEXTS = ("date_format", "decimal_separator", "delimiter")


@dataclass(frozen=True, slots=True)
class Chart:
    """`accounts` are codes and names by the ledger's accounts, `columns` fields by their headings."""

    accounts: Mapping[str, tuple[str, str]]
    columns: Mapping[str, str]
    date_format: str = "%Y-%m-%d"
    decimal_separator: str = "."
    delimiter: str = ","

    def row(self, entry: JournalEntry) -> list[str]:
        account = state(LedgerAccount, entry.account)
        code, name = self.accounts[account]
        amount = Money(entry.amount.minor_units, entry.amount.currency_code)
        nothing = Money(0, amount.currency)
        values = {
            "date": date(entry.date.year, entry.date.month, entry.date.day).strftime(self.date_format),
            "source": entry.source,
            "account": account,
            "account_code": code,
            "account_name": name,
            "amount": self._number(amount),
            "debit": self._number(amount) if amount.minor_units > 0 else "",
            "credit": self._number(nothing - amount) if amount.minor_units < 0 else "",
            "currency": amount.currency,
            "invoice_id": entry.invoice_id,
            "invoice_number": entry.invoice_number,
            "customer_id": entry.customer_id,
            "legal_entity": entry.legal_entity,
            "record_time": instant(entry.record_time) if entry.HasField("record_time") else "",
        }
        return [values[field] for field in self.columns.values()]

    def _number(self, value: Money) -> str:
        return f"{value.amount:.{exponent(value.currency)}f}".replace(".", self.decimal_separator)


DEFAULT = Chart(ACCOUNTS, COLUMNS)


def read_chart(path: Path | None) -> Chart:
    """The mapping in a file; DEFAULT without one. Raises CliError, which names the file and what is wrong."""
    if path is None:
        return DEFAULT
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise CliError(f"{path}: {error}") from None
    if not isinstance(found, dict) or not found.keys() <= {"accounts", "columns", *_TEXTS}:
        raise CliError(f"{path}: a mapping has accounts, columns, date_format, decimal_separator and delimiter")
    texts = {name: _text(path, name, found[name]) for name in _TEXTS if name in found}
    if len(texts.get("delimiter", ",")) != 1:
        raise CliError(f"{path}: delimiter is one character")
    return Chart(
        {**ACCOUNTS, **_accounts(path, found.get("accounts", {}))},
        _columns(path, found.get("columns", COLUMNS)),
        **texts,
    )


def _accounts(path: Path, found: Any) -> dict[str, tuple[str, str]]:
    if not isinstance(found, dict):
        raise CliError(f"{path}: accounts are named by those of the ledger")
    accounts = {}
    for name, each in found.items():
        if name not in ACCOUNTS:
            raise CliError(f"{path}: there is no account {name}; there are {', '.join(ACCOUNTS)}")
        if not isinstance(each, dict) or each.keys() != {"code", "name"}:
            raise CliError(f"{path}: account {name} has a code and a name")
        code, label = (_text(path, f"the {part} of {name}", each[part]) for part in ("code", "name"))
        accounts[name] = code, label
    return accounts


def _columns(path: Path, found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not found:
        raise CliError(f"{path}: columns are fields by their headings")
    for heading, field in found.items():
        if field not in FIELDS:
            raise CliError(f"{path}: column {heading} is {field}; it may be {', '.join(sorted(FIELDS))}")
    return {str(heading): field for heading, field in found.items()}


def _text(path: Path, name: str, value: object) -> str:
    if not isinstance(value, str):
        raise CliError(f"{path}: {name} is {value!r}, and not a text: put it in quotes")
    return value
