"""From what a document says to the sheet that is typeset, and from that to the file."""

from libs.common.errors import FailedPrecondition
from services.invoicing.documents.account import receipt_inputs, statement_inputs
from services.invoicing.documents.contents import contents
from services.invoicing.documents.en16931 import xml
from services.invoicing.documents.hybrid import marked
from services.invoicing.documents.press import Sheet
from services.invoicing.domain.account import Receipt, Statement
from services.invoicing.domain.document import Document, Format
from services.invoicing.domain.einvoice import stated


def sheet(document: Document | Receipt | Statement) -> Sheet:
    """What is typeset of it; an invoice or credit note carries its e-invoice if EN 16931 can say it."""
    template = document.seller.branding.template
    match document:
        case Document():
            return Sheet(template, contents(document, _attachment(document)), document.issue_time)
        case Receipt():
            return Sheet(template, receipt_inputs(document), document.issue_time)
        case Statement():
            return Sheet(template, statement_inputs(document), document.made_at)


def file(pdf: bytes, made_of: Sheet) -> bytes:
    """What is given out of what was typeset."""
    return marked(pdf) if "attachment" in made_of.inputs else pdf


def _attachment(document: Document) -> str | None:
    try:
        return xml(stated(document), Format.CII).decode()
    except FailedPrecondition:
        return None
