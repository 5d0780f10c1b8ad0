"""E-invoices: the business terms of EN 16931, which factur-x writes as CII or UBL 2.1."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import facturx

from libs.common.money import Money, plain
from services.invoicing.domain.customer import Address
from services.invoicing.domain.document import Document, DocumentKind, Format, vat_id
from services.invoicing.domain.einvoice import Breakdown, EInvoice, NetLine, full_vat_id
from services.invoicing.domain.vat import Category

_FLAVORS = {Format.CII: "factur-x", Format.UBL: "ubl-2.1"}
_UNIT = "C62"
_INVOICE, _CREDIT_NOTE = "380", "381"
_SEPA, _CREDIT_TRANSFER, _UNDEFINED = "58", "30", "1"
_REASONS = {
    Category.REVERSE_CHARGE: ("VATEX-EU-AE", "Reverse charge"),
    Category.EXPORT: ("VATEX-EU-G", "Export outside the EU"),
    Category.EXEMPT: (None, "Exempt from VAT"),
}
_MARK = "\ufffd"
_UNSAYABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def xml(invoice: EInvoice, form: Format) -> bytes:
    """The same for the same."""
    made: bytes = facturx.generate_xml(
        _sayable(dict(_terms(invoice))),
        flavor=_FLAVORS[form],
        level="en16931",
        check_xsd=False,
        check_schematron=None,
    )
    return made


def _terms(invoice: EInvoice) -> Iterator[tuple[str, Any]]:
    document = invoice.document
    is_note = document.kind is DocumentKind.CREDIT_NOTE
    yield "BT-1", document.number
    yield "BT-2", document.issue_date
    yield "BT-3", _CREDIT_NOTE if is_note else _INVOICE
    yield "BT-5", document.currency
    if document.due_date and not is_note:
        yield "BT-9", document.due_date
    yield "BT-72", document.last_day or document.issue_date
    if document.first_day and document.last_day:
        yield "BT-73", document.first_day
        yield "BT-74", document.last_day
    if document.credited:
        yield "BG-3", [{"BT-25": document.credited.number, "BT-26": document.credited.issue_date}]
    yield "BG-4", _seller(document)
    yield "BG-7", _buyer(document)
    yield from _payment(document)
    yield from _totals(invoice)
    yield "BG-23", [_rate(each) for each in invoice.breakdown]
    yield "BG-25", [_line(number, each) for number, each in enumerate(invoice.lines, 1)]


def _seller(document: Document) -> dict[str, Any]:
    seller = document.seller
    contact = {"name": seller.name, "phone": seller.phone, "email": seller.email}
    party = _party(seller.name, seller.address, seller.tax_ids)
    own = vat_id(seller.tax_ids)
    local = next((each for each in seller.tax_ids.values() if each != own or "vat_identifier" not in party), None)
    return party | {
        "legal_info": seller.registration or None,
        "tax_identifier": local,
        "contacts": [{key: value for key, value in contact.items() if value}],
    }


def _buyer(document: Document) -> dict[str, Any]:
    return _party(document.buyer.name, document.buyer.address, document.buyer.tax_ids) | {
        "identifiers": {None: document.buyer.id}
    }


def _party(name: str, address: Address, tax_ids: Mapping[str, str]) -> dict[str, Any]:
    party = {
        "name": name,
        "country_code": address.country_code,
        "city": address.city,
        "postcode": address.postal_code,
        "addr_l1": address.line1,
        "addr_l2": address.line2,
        "country_subdivision": address.region,
    }
    party["vat_identifier"] = full_vat_id(tax_ids)
    return {key: value for key, value in party.items() if value}


def _payment(document: Document) -> Iterator[tuple[str, Any]]:
    account = document.seller.bank_account
    if document.kind is DocumentKind.CREDIT_NOTE or not account.iban:
        yield "BT-81", _UNDEFINED
        return
    yield "BT-81", _SEPA if document.currency == "EUR" else _CREDIT_TRANSFER
    yield "BT-83", document.number
    yield "BT-84", account.iban
    yield "BT-85", account.holder or document.seller.name
    if account.bic:
        yield "BT-86", account.bic


def _totals(invoice: EInvoice) -> Iterator[tuple[str, Any]]:
    lower = [each for each in invoice.breakdown if each.allowance.minor_units > 0]
    higher = [each for each in invoice.breakdown if each.allowance.minor_units < 0]
    nothing = Money(0, invoice.document.currency)
    yield "BT-106", _amount(invoice.net)
    if lower:
        yield "BG-20", [_change(each, each.allowance, "Discount") for each in lower]
        yield "BT-107", _amount(sum((each.allowance for each in lower), nothing))
    if higher:
        yield "BG-21", [_change(each, nothing - each.allowance, "Discount taken back") for each in higher]
        yield "BT-108", _amount(sum((nothing - each.allowance for each in higher), nothing))
    yield "BT-109", _amount(invoice.taxable)
    yield "BT-110", _amount(invoice.tax)
    yield "BT-112", _amount(invoice.total)
    if invoice.prepaid.minor_units:
        yield "BT-113", _amount(invoice.prepaid)
    if invoice.rounding.minor_units:
        yield "BT-114", _amount(invoice.rounding)
    yield "BT-115", _amount(invoice.payable)


def _change(part: Breakdown, amount: Money, reason: str) -> dict[str, Any]:
    return {
        "amount": _amount(amount),
        "reason": reason,
        "vat_category_code": part.category.value,
        "vat_rate": plain(part.rate_percent),
    }


def _rate(part: Breakdown) -> dict[str, Any]:
    term = {
        "BT-116": _amount(part.taxable),
        "BT-117": _amount(part.tax),
        "BT-118": part.category.value,
        "BT-119": plain(part.rate_percent),
    }
    if part.category in _REASONS:
        code, reason = _REASONS[part.category]
        term["BT-120"] = reason if code else part.reason or reason
        if code:
            term["BT-121"] = code
    return term


def _line(number: int, line: NetLine) -> dict[str, Any]:
    term: dict[str, Any] = {
        "BT-126": str(number),
        "BT-129": plain(line.quantity),
        "BT-130": _UNIT,
        "BT-131": _amount(line.net),
        "BT-146": plain(line.price),
        "BT-151": line.category.value,
        "BT-152": plain(line.rate_percent),
        "BT-153": line.item.description,
    }
    if line.item.first_day and line.item.last_day:
        term |= {"BT-134": line.item.first_day, "BT-135": line.item.last_day}
    return term


def _amount(amount: Money) -> str:
    return format(amount.amount, "f")


def _sayable(term: Any) -> Any:
    """With a mark for each character that XML has no way to write."""
    if isinstance(term, str):
        return _UNSAYABLE.sub(_MARK, term)
    if isinstance(term, dict):
        return {key: _sayable(value) for key, value in term.items()}
    if isinstance(term, list):
        return [_sayable(each) for each in term]
    return term
