"""A document in its language: the texts that the template places, as data without numbers or dates."""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from libs.common.money import Money
from services.invoicing.documents.coverage import drawable
from services.invoicing.documents.wording import Wording, wording
from services.invoicing.domain.document import Buyer, Document, DocumentKind, Item, vat_id
from services.invoicing.domain.legal_entity import LegalEntity
from services.invoicing.domain.vat import Category

ACCENT = "#0f5e6b"
_LETTER = frozenset(["CA", "CL", "CO", "MX", "PH", "US"])
"""Countries that print on US Letter."""


def contents(document: Document, attachment: str | None = None) -> dict[str, str]:
    """The inputs of the template. `attachment` is the e-invoice that the file carries."""
    say = wording(document.buyer.locale, document.seller.locale)
    return inputs(_invoice(document, say), document.seller, attachment)


def inputs(shown: Mapping[str, Any], seller: LegalEntity, attachment: str | None = None) -> dict[str, str]:
    """As a template reads them."""
    found = {"document": json.dumps(drawable(shown), ensure_ascii=False)}
    if seller.branding.logo:
        found["logo"] = json.dumps(list(seller.branding.logo))
    if attachment is not None:
        found["attachment"] = attachment
    return found


def frame(kind: DocumentKind, number: str, seller: LegalEntity, buyer: Buyer, say: Wording) -> dict[str, Any]:
    """What all documents have."""
    language, territory = say.language_tag
    home = seller.address.country_code
    return {
        "lang": language,
        "region": territory,
        "dir": say.direction,
        "fonts": say.fonts(buyer.address),
        "paper": "us-letter" if home in _LETTER else "a4",
        "accent": seller.branding.accent_color or ACCENT,
        "title": say(kind.value),
        "number": number,
        "stamp": "",
        "seller": {
            "name": seller.name,
            "address": say.address(seller.address, home=buyer.address.country_code),
        },
        "buyer": {
            "label": say("bill_to") if kind is DocumentKind.INVOICE else "",
            "name": buyer.name,
            "address": say.address(buyer.address, home=home),
            "ids": [(say("vat_id"), value)] if (value := vat_id(buyer.tax_ids)) else [],
        },
        "footer": {"columns": _footer(seller, say), "text": seller.branding.footer},
        "page": say("page"),
        "intro": "",
        "notes": [],
        "payment": None,
        "items": [],
        "columns": [],
    }


def _footer(seller: LegalEntity, say: Wording) -> list[list[str]]:
    own = vat_id(seller.tax_ids)
    ids = [f"{say('vat_id' if each == own else 'tax_id')} {each}" for each in seller.tax_ids.values()]
    account = seller.bank_account
    columns = [
        [seller.name, *say.address(seller.address, home="")],
        [seller.email, seller.phone, seller.website],
        [seller.registration, *ids],
        [account.bank_name, account.iban and f"IBAN {_grouped(account.iban)}", account.bic and f"BIC {account.bic}"],
    ]
    return [kept for column in columns if (kept := [each for each in column if each])]


def _invoice(document: Document, say: Wording) -> dict[str, Any]:
    return frame(document.kind, document.number, document.seller, document.buyer, say) | {
        "stamp": say(document.stamp.value) if document.stamp else "",
        "facts": _facts(document, say),
        "intro": _intro(document, say),
        **_table(document, say),
        "totals": list(_totals(document, say)),
        "notes": _notes(document, say),
        "payment": _payment(document, say),
    }


def _facts(document: Document, say: Wording) -> list[tuple[str, str]]:
    facts = [(say("number"), document.number or "–"), (say("issue_date"), say.day(document.issue_date))]
    if document.due_date and document.amount_due and document.amount_due.minor_units > 0:
        facts.append((say("due_date"), say.day(document.due_date)))
    if document.first_day and document.last_day:
        facts.append((say("period"), say.days(document.first_day, document.last_day)))
    return [*facts, (say("customer"), document.buyer.id)]


def _intro(document: Document, say: Wording) -> str:
    if (credited := document.credited) is None:
        return ""
    invoice = say("credits_invoice", number=credited.number, date=say.day(credited.issue_date))
    reason = say("reason", reason=say(credited.reason.value))
    return " ".join(each for each in (invoice, reason, credited.description) if each)


def _table(document: Document, say: Wording) -> dict[str, Any]:
    """Items in columns; those that are empty throughout are left out."""
    heads = say("quantity"), say("unit_price"), f"{say('amount')} ({document.currency})"
    span = document.first_day, document.last_day
    rows = [_item(each, span, document.currency, say) for each in document.items]
    used = [at for at in range(len(heads)) if any(row["cells"][at] or row["steps"] for row in rows)]
    for row in rows:
        row["cells"] = [row["cells"][at] for at in used]
        row["steps"] = [[step[at] for at in used] for step in row["steps"]]
    return {"columns": [say("description"), *(heads[at] for at in used)], "items": rows}


def _item(item: Item, span: tuple[date | None, date | None], currency: str, say: Wording) -> dict[str, Any]:
    """Its days are told where they are not those of the whole document's `span`."""
    detail = []
    if item.first_day and item.last_day and (item.first_day, item.last_day) != span:
        detail.append(say.days(item.first_day, item.last_day))
    if item.days:
        days, period_days = (say.number(Decimal(each)) for each in item.days)
        detail.append(say("days", days=days, period_days=period_days))
    return {
        "description": item.description,
        "detail": [" · ".join(detail)] if detail else [],
        "cells": [
            "" if item.quantity is None else say.number(item.quantity),
            "" if item.unit_price is None else say.price(item.unit_price, currency),
            say.figure(item.amount),
        ],
        "steps": [
            (say.number(each.quantity), say.price(each.unit_price, currency), say.price(each.amount, currency))
            for each in item.steps
        ],
    }


def _totals(document: Document, say: Wording) -> Iterator[tuple[str, str, str]]:
    """Label, amount, and how heavy it is."""
    if document.taxes or document.discounts:
        yield say("subtotal"), say.money(document.subtotal), ""
    for name, amount in document.discounts:
        yield _named(say("discount"), name), say.money(_less(amount)), ""
    for tax in document.taxes:
        label = say(
            "included_tax" if tax.is_included else "tax",
            name=tax.name,
            rate=say.percent(tax.rate_percent),
            taxable=say.money(tax.taxable),
        )
        yield label, say.money(tax.amount), ""
    if document.kind is DocumentKind.CREDIT_NOTE:
        yield say("total"), say.money(document.total), "due"
        return
    yield say("total"), say.money(document.total), "total"
    for each in document.deductions:
        label = say("credit_applied", number=each.reference) if each.reference else say("prepaid")
        yield label, say.money(_less(each.amount)), ""
    if document.amount_due is not None:
        yield say("amount_due"), say.money(document.amount_due), "due"


def _named(label: str, name: str) -> str:
    return f"{label} ({name})" if name else label


def _less(amount: Money) -> Money:
    return Money(-amount.minor_units, amount.currency)


def _notes(document: Document, say: Wording) -> list[str]:
    categories = document.categories
    notes = []
    if Category.REVERSE_CHARGE in categories:
        notes.append(say("reverse_charge"))
    if Category.EXPORT in categories:
        notes.append(say("export"))
    if document.credited:
        notes.append(say(f"kind_{document.credited.kind.value}"))
    return notes


def _payment(document: Document, say: Wording) -> dict[str, Any] | None:
    due = document.amount_due
    if due is None or document.stamp:
        return None
    if due.minor_units <= 0:
        return {"title": say("payment"), "text": say("nothing_due"), "rows": []}
    day = say.day(document.due_date or document.issue_date)
    account = document.seller.bank_account
    rows = [
        (say("account_holder"), account.holder or document.seller.name),
        ("IBAN", _grouped(account.iban)),
        ("BIC", account.bic),
        (say("bank"), account.bank_name),
        (say("reference"), document.number),
    ]
    text = say("pay_by", amount=say.money(due), date=day, number=document.number)
    return {
        "title": say("payment"),
        "text": _joined(text, document.seller.payment_instructions),
        "rows": [row for row in rows if row[1]] if account.iban else [],
    }


def _joined(*sentences: str) -> str:
    return " ".join(each for each in sentences if each)


def _grouped(iban: str) -> str:
    """In fours, as it is written, on one line."""
    compact = iban.replace(" ", "")
    return "\xa0".join(compact[at : at + 4] for at in range(0, len(compact), 4))
