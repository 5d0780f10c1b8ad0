"""Documents."""

from datetime import date

from libs.common.errors import InvalidArgument
from libs.common.wire import currency_in
from services.invoicing.convert.ledger import date_in
from services.invoicing.domain.document import DocumentKind, File, Format
from weir.invoicing.v1 import documents_pb2 as pb

_KINDS = {
    pb.Document.KIND_INVOICE: DocumentKind.INVOICE,
    pb.Document.KIND_CREDIT_NOTE: DocumentKind.CREDIT_NOTE,
    pb.Document.KIND_RECEIPT: DocumentKind.RECEIPT,
}
_KINDS_OUT = {kind: value for value, kind in _KINDS.items()} | {DocumentKind.STATEMENT: pb.Document.KIND_STATEMENT}
_FORMATS = {
    pb.Document.FORMAT_UNSPECIFIED: Format.PDF,
    pb.Document.FORMAT_PDF: Format.PDF,
    pb.Document.FORMAT_CII: Format.CII,
    pb.Document.FORMAT_UBL: Format.UBL,
}
_FORMATS_OUT = {form: value for value, form in _FORMATS.items()}
_MEDIA_TYPES = {Format.PDF: "application/pdf", Format.CII: "application/xml", Format.UBL: "application/xml"}


def document_asked_in(
    kind: pb.Document.Kind.ValueType, form: pb.Document.Format.ValueType
) -> tuple[DocumentKind, Format]:
    if kind not in _KINDS:
        raise InvalidArgument("DOCUMENT_KIND_INVALID", "kind is required", field="kind")
    if form not in _FORMATS or (_KINDS[kind] is DocumentKind.RECEIPT and _FORMATS[form] is not Format.PDF):
        raise InvalidArgument("DOCUMENT_FORMAT_INVALID", "there is no such format of it", field="format")
    return _KINDS[kind], _FORMATS[form]


def document_out(file: File) -> pb.Document:
    return pb.Document(
        kind=_KINDS_OUT[file.kind],
        format=_FORMATS_OUT[file.format],
        file_name=file.name,
        media_type=_MEDIA_TYPES[file.format],
        contents=file.contents,
        sha256=file.digest.hex(),
    )


def statement_asked_in(message: pb.GetStatementRequest) -> tuple[date, date, str | None]:
    """The first and the last day, and the currency, if one is named."""
    first_day, last_day = date_in(message.first_day, "first_day"), date_in(message.last_day, "last_day")
    if last_day < first_day:
        raise InvalidArgument("PERIOD_EMPTY", f"{last_day} is before {first_day}", field="last_day")
    currency = currency_in(message.currency_code, "currency_code") if message.currency_code else None
    return first_day, last_day, currency
