"""What is paid out: a settlement detail report, which a webhook tells of."""

import csv
import io
from decimal import Decimal

from sandbox.accounts import Account
from sandbox.adyen.notifications import notify
from sandbox.state import Document, Json

PATH = "/reports/download/MerchantAccount/{merchant_account}/{name}"
COMMISSION = Decimal("0.0060")
CENT = Decimal("0.01")
COLUMNS = (
    "Company Account", "Merchant Account", "Psp Reference", "Merchant Reference", "Payment Method", "Creation Date",
    "TimeZone", "Type", "Modification Reference", "Gross Currency", "Gross Debit (GC)", "Gross Credit (GC)",
    "Exchange Rate", "Net Currency", "Net Debit (NC)", "Net Credit (NC)", "Commission (NC)", "Markup (NC)",
    "Scheme Fees (NC)", "Interchange (NC)", "Payment Method Variant", "Modification Merchant Reference", "Batch Number",
)  # fmt: skip


def pay_out(account: Account, base_url: str) -> str:
    """The name of the report about all that is in none yet; "" if that is nothing. All amounts have two decimals."""
    number = len(account.every("report")) + 1
    lines = [*_payments(account), *_chargebacks(account), *_refunds(account)]
    if not lines:
        return ""
    for currency in sorted({line["Net Currency"] for line in lines}):
        own = [line for line in lines if line["Net Currency"] == currency]
        total = sum(Decimal(line["Net Credit (NC)"] or 0) - Decimal(line["Net Debit (NC)"] or 0) for line in own)
        lines.append({"Type": "MerchantPayout", "Net Currency": currency, "Net Debit (NC)": str(total)})
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    merchant_account = account.every("payment")[0].body["merchantAccount"]
    writer.writerows(line | {"Merchant Account": merchant_account, "Batch Number": number} for line in lines)
    name = f"settlement_detail_report_batch_{number}.csv"
    account.create("report", {"id": name}, {"csv": text.getvalue()})
    told = {"id": name, "merchantAccount": merchant_account, "amount": {"currency": "EUR", "value": 0}}
    url = base_url + PATH.format(merchant_account=merchant_account, name=name)
    notify(account, "REPORT_AVAILABLE", {**told, "reference": "", "brand": ""}, success=True, reason=url)
    return name


def _payments(account: Account) -> list[Json]:
    lines = []
    for document in account.every("payment"):
        payment = document.body
        if payment["resultCode"] == "Authorised" and payment["amount"]["value"] and _is_first(account, document):
            amount = Decimal(payment["amount"]["value"]).scaleb(-2)
            fee = (amount * COMMISSION).quantize(CENT)
            moved = {"Gross Credit (GC)": str(amount), "Net Credit (NC)": str(amount - fee)}
            lines.append(_line(payment, "Settled", payment["id"]) | moved | {"Commission (NC)": str(fee)})
    return lines


def _chargebacks(account: Account) -> list[Json]:
    lines = []
    for document in account.every("payment"):
        payment = document.body
        if payment.get("chargedBack") and _is_first(account, document, "chargeback_settled"):
            amount = str(Decimal(payment["amount"]["value"]).scaleb(-2))
            taken = {"Gross Debit (GC)": amount, "Net Debit (NC)": amount}
            lines.append(_line(payment, "Chargeback", payment["id"]) | taken)
    return lines


def _refunds(account: Account) -> list[Json]:
    lines = []
    for document in account.every("refund"):
        refund = document.body
        if refund["success"] and _is_first(account, document):
            payment = account.find("payment", refund["payment"])
            assert payment is not None, "refunds are of payments"
            amount = str(Decimal(refund["amount"]["value"]).scaleb(-2))
            given = {"Gross Debit (GC)": amount, "Net Debit (NC)": amount, "Modification Reference": refund["id"]}
            lines.append(_line(payment, "Refunded", payment["id"]) | given)
    return lines


def _is_first(account: Account, document: Document, mark: str = "settled") -> bool:
    """Whether it is in no report yet; it is from here on."""
    private = account.private("refund" if "payment" in document.body else "payment", document.id)
    if mark in private:
        return False
    account.save("refund" if "payment" in document.body else "payment", document.body, private | {mark: True})
    return True


def _line(payment: Json, kind: str, reference: str) -> Json:
    currency = payment["amount"]["currency"]
    return {
        "Psp Reference": reference,
        "Merchant Reference": payment["reference"],
        "Payment Method": payment["brand"],
        "TimeZone": "UTC",
        "Type": kind,
        "Gross Currency": currency,
        "Gross Debit (GC)": "",
        "Gross Credit (GC)": "",
        "Exchange Rate": "1",
        "Net Currency": currency,
        "Net Debit (NC)": "",
        "Net Credit (NC)": "",
    }
