"""Receipts and statements of account in their language."""

from typing import Any

from services.invoicing.documents.contents import frame, inputs
from services.invoicing.documents.wording import Wording, wording
from services.invoicing.domain.account import Entry, Receipt, Statement
from services.invoicing.domain.document import DocumentKind


def receipt_inputs(receipt: Receipt) -> dict[str, str]:
    """The inputs of the template."""
    say = wording(receipt.buyer.locale, receipt.seller.locale)
    issued = say.day(receipt.issue_date)
    paid = say.money(receipt.amount)
    shown = frame(DocumentKind.RECEIPT, receipt.invoice_number, receipt.seller, receipt.buyer, say) | {
        "facts": [
            (say("document"), f"{say('invoice')} {receipt.invoice_number}"),
            (say("paid_on"), say.day(receipt.payments[-1].day)),
            (say("customer"), receipt.buyer.id),
        ],
        "intro": say("received", amount=paid, number=receipt.invoice_number, date=issued),
        "columns": [say("description"), say("paid_on"), f"{say('amount')} ({receipt.amount.currency})"],
        "items": [
            {
                "description": say("payment_received"),
                "detail": [f"{say('payment_reference')} {each.reference}"],
                "cells": [say.short_day(each.day), say.figure(each.amount)],
                "steps": [],
            }
            for each in receipt.payments
        ],
        "totals": [(say("amount_paid"), paid, "due")],
    }
    return inputs(shown, receipt.seller)


def statement_inputs(statement: Statement) -> dict[str, str]:
    """The inputs of the template."""
    say = wording(statement.buyer.locale, statement.seller.locale)
    period = say.days(statement.first_day, statement.last_day)
    opening = say.figure(statement.opening)
    shown = frame(DocumentKind.STATEMENT, "", statement.seller, statement.buyer, say) | {
        "facts": [(say("period"), period), (say("customer"), statement.buyer.id)],
        "columns": [
            say("document"),
            say("issue_date"),
            f"{say('amount')} ({statement.opening.currency})",
            say("balance"),
        ],
        "items": [
            _row(say("opening_balance"), say.short_day(statement.first_day), "", opening),
            *(_entry(each, say) for each in statement.entries),
        ],
        "totals": [(say("balance"), say.money(statement.closing), "due")],
    }
    return inputs(shown, statement.seller)


def _entry(entry: Entry, say: Wording) -> dict[str, Any]:
    named = f"{say(entry.kind.value)} {entry.number}"
    what = f"{named} ({say('void')})" if entry.is_void else named
    return _row(what, say.short_day(entry.day), say.figure(entry.amount), say.figure(entry.balance))


def _row(description: str, *cells: str) -> dict[str, Any]:
    return {"description": description, "detail": [], "cells": cells, "steps": []}
