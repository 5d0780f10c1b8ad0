"""The checks of a case after a step."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from tests.reference.cases import Json, Unsupported
from tests.reference.comparison import differences
from tests.reference.scenario.advance_fees import advance_fee_views
from tests.reference.scenario.books import Books, credit_note_view
from tests.reference.scenario.invoices import fee_views, invoice_view
from tests.reference.scenario.moments import stated_like
from tests.reference.scenario.stack import Clients
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice

T = TypeVar("T")
SELECTORS = ("after", "invoice", "credit_note", "fee", "of")
"""What a check looks at; everything else in it is a figure."""
SUBSCRIPTIONS = {"subscription": "new", "old_subscription": "old"}
FEE_TAXES = "taxes_amount_cents"


async def wrong(clients: Clients, books: Books, check: Json) -> list[str]:
    """What differs, in sentences. Raises Unsupported for what can't be observed."""
    expected = dict(check)
    path = f"expect after {expected.pop('after')}"
    of = expected.pop("of", None)
    observed: Json = {}
    for kind in ("invoice", "credit_note"):
        if (which := expected.pop(kind, None)) is not None:
            path += f", {which} {kind}" + (f" of {of}" if of else "")
            found = _chosen(_listed(books, kind, of), which)
            if found is None:
                return [f"{path}: there is none"]
            observed = await _view(clients, books, found, expected)
    if (which := expected.pop("fee", None)) is not None:
        path += f", {which} fee"
        if not (fees := await advance_fee_views(clients, books.subscription.id)):
            return [f"{path}: there is none"]
        observed = _chosen(fees, which) or {}
    for key, whose in SUBSCRIPTIONS.items():
        if key in expected:
            observed[key] = books.subscription_view(whose)
    if "customer_invoices_count" in expected:
        observed["customer_invoices_count"] = len(books.invoices)
    if "advance_charges_invoices_count" in expected:
        kinds = [each.kind for each in books.invoices]
        observed["advance_charges_invoices_count"] = kinds.count(Invoice.KIND_ADVANCE_FEES)
    if "current_usage" in expected:
        observed["current_usage"] = await _current_usage(clients, books)
    return differences(_ordered(expected), _ordered(_stated(observed, expected)), path)


def _listed(books: Books, kind: str, of: str | None) -> Sequence[Any]:
    if kind == "credit_note":
        return books.credit_notes
    if of is None:
        return books.invoices
    if of not in ("old", "new"):
        raise Unsupported(f"an invoice of {of!r}")
    number = books.phase_number(of)
    return [each for each in books.invoices if books.settles(each, number)]


def _chosen(found: Sequence[T], which: str) -> T | None:
    if which not in ("first", "last"):
        raise Unsupported(f"{which!r} of several")
    return found[-1 if which == "last" else 0] if found else None


async def _view(clients: Clients, books: Books, found: Any, expected: Json) -> Json:
    if not isinstance(found, Invoice):
        return credit_note_view(found, [each for each in books.credit_notes if each.invoice_id == found.invoice_id])
    view = invoice_view(found, books)
    told = [*expected.get("fees", ()), expected.get("true_up_fee") or {}, expected.get("fees_each", {})]
    if any(FEE_TAXES in each for each in told):
        for fee in view["fees"]:
            fee[FEE_TAXES] = await _taxes(clients, found, fee["number"])
    if "fees_each" in expected:
        view["fees_each"], expected["fees_each"] = view["fees"], [expected["fees_each"]] * len(view["fees"])
    return view


async def _taxes(clients: Clients, invoice: Invoice, line_number: int) -> int:
    """Of one line: an invoice states them of all together, a note that gives back nothing else, of that line."""
    if not line_number:
        return 0
    note = credit_notes_pb2.CreditNote(
        invoice_id=invoice.id, kind=credit_notes_pb2.CreditNote.KIND_CREDIT, items=[{"line_number": line_number}]
    )
    request = credit_notes_pb2.EstimateCreditNoteRequest(credit_note=note)
    return (await clients.credit_notes.EstimateCreditNote(request)).credit_note.tax.minor_units


async def _current_usage(clients: Clients, books: Books) -> Json:
    """What the next invoice would have of the one charge that there is."""
    request = invoicing_pb2.PreviewInvoiceRequest(subscription_id=books.subscription.id)
    preview = (await clients.invoicing.PreviewInvoice(request)).invoice
    usage = [each for each in fee_views(preview) if each["type"] == "charge"]
    if len(usage) > 1:
        raise Unsupported("the current usage of several charges")
    return usage[0] if usage else {"units": 0, "amount_cents": 0}


def _stated(observed: Any, expected: Any) -> Any:
    """`observed` with its instants as `expected` states them."""
    if isinstance(observed, datetime):
        return stated_like(observed, expected)
    if isinstance(observed, Mapping) and isinstance(expected, Mapping):
        return {key: _stated(value, expected.get(key)) for key, value in observed.items()}
    return observed


def _ordered(figures: Json) -> Json:
    """Lists of fees have no order."""
    return {key: sorted(value, key=repr) if key.endswith("_fees_cents") else value for key, value in figures.items()}
