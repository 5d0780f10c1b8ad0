"""Adyen's settlement detail report: a CSV file for each batch that is paid out, with a line for all that is in it.

Columns as in Adyen's description of the report; amounts are in major units, GC the currency of the payment and NC that
of the payout.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation

from services.payments.domain.reconciliation import Item, ItemKind, Payout
from services.payments.providers import ProcessorUnavailable
from services.payments.providers.reading import MALFORMED

_FILE = re.compile(r"settlement_detail_report[A-Za-z0-9_.-]*\.csv")
_KINDS = {
    "Settled": ItemKind.CHARGE,
    "SettledInInstallments": ItemKind.CHARGE,
    "Refunded": ItemKind.REFUND,
    "Chargeback": ItemKind.DISPUTE,
    "SecondChargeback": ItemKind.DISPUTE,
    "ChargebackReversed": ItemKind.DISPUTE,
    "ChargebackReversedExternallyWithInfo": ItemKind.DISPUTE,
    "Fee": ItemKind.FEE,
    "InvoiceDeduction": ItemKind.FEE,
}
_PAYOUT = "MerchantPayout"
_FEES = ("Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)")


def files(reports: Sequence[bytes]) -> Sequence[str]:
    """The names of settlement detail reports that events tell of. The name is signed, and the address beside it is not:
    nothing but the name is used.
    """
    names = [json.loads(body)["pspReference"] for body in reports]
    return sorted({name for name in names if _FILE.fullmatch(name)})


def payouts(text: str) -> Sequence[Payout]:
    """One for each batch. Raises ProcessorUnavailable for what is no such report."""
    batches: dict[tuple[str, str], list[dict[str, str]]] = {}
    try:
        for line in csv.DictReader(io.StringIO(text)):
            batches.setdefault((line["Batch Number"], line["Net Currency"]), []).append(line)
        return [_payout(number, currency, lines) for (number, currency), lines in batches.items()]
    except (*MALFORMED, InvalidOperation, csv.Error) as error:
        raise ProcessorUnavailable(f"a settlement report that cannot be read: {error!r}") from error


def _payout(number: str, currency: str, lines: Iterable[dict[str, str]]) -> Payout:
    items, amount = [], Decimal(0)
    for line in lines:
        net = _number(line, "Net Credit (NC)") - _number(line, "Net Debit (NC)")
        if line["Type"] == _PAYOUT:
            amount -= net
        else:
            items.append(_item(line, currency, net))
    return Payout(f"batch {number}", amount, currency, items)


def _item(line: dict[str, str], currency: str, net: Decimal) -> Item:
    """What was converted has no gross amount in the payout's currency but what remains with the fees."""
    kind = _KINDS.get(line["Type"], ItemKind.OTHER)
    fee = sum((_number(line, name) for name in _FEES), Decimal(0))
    gross = _number(line, "Gross Credit (GC)") - _number(line, "Gross Debit (GC)")
    if line["Gross Currency"] != currency:
        gross = net + fee
    reference = line["Modification Reference"] if kind is ItemKind.REFUND else line["Psp Reference"]
    return Item(kind, reference if kind not in (ItemKind.FEE, ItemKind.OTHER) else "", gross, fee, net)


def _number(line: dict[str, str], name: str) -> Decimal:
    return Decimal(line[name] or "0")
