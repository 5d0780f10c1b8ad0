"""Credit notes between protobuf and domain, as in `convert`."""

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import money_in, money_out, text_in, timestamp_out
from services.invoicing.domain.credit_note import BalanceState, CreditNote, Item, Kind, NoteRequest, Reason, RefundState
from services.invoicing.domain.invoice import AppliedCredit
from weir.invoicing.v1 import credit_notes_pb2 as pb
from weir.invoicing.v1 import invoicing_pb2, reports_pb2

MAX_DESCRIPTION = 1000

_KINDS = {
    Kind.CREDIT: pb.CreditNote.KIND_CREDIT,
    Kind.OFFSET: pb.CreditNote.KIND_OFFSET,
    Kind.REFUND: pb.CreditNote.KIND_REFUND,
}
REFUND_STATES = {
    RefundState.PENDING: reports_pb2.REFUND_STATE_PENDING,
    RefundState.SUCCEEDED: reports_pb2.REFUND_STATE_SUCCEEDED,
    RefundState.FAILED: reports_pb2.REFUND_STATE_FAILED,
}
_KINDS_IN = {number: kind for kind, number in _KINDS.items()}
_REASONS = {reason: pb.CreditNote.Reason.Value(f"REASON_{reason.name}") for reason in Reason}
_REASONS_IN = {number: reason for reason, number in _REASONS.items()} | {pb.CreditNote.REASON_UNSPECIFIED: Reason.OTHER}
_STATES = {state: pb.CreditNote.State.Value(f"STATE_{state.name}") for state in BalanceState}


def note_in(message: pb.CreditNote) -> NoteRequest:
    """Raises InvalidArgument LINE_REPEATED among others."""
    if (reason := _REASONS_IN.get(message.reason)) is None:
        raise _unknown("credit_note.reason", message.reason)
    items = tuple(map(_item_in, message.items))
    positions = [item.position for item in items]
    for position in positions:
        if positions.count(position) > 1:
            raise InvalidArgument(
                "LINE_REPEATED", f"line {position + 1} stands twice in credit_note.items", field="credit_note.items"
            )
    return NoteRequest(
        invoice_id=text_in(message.invoice_id, "credit_note.invoice_id"),
        kind=_kind_in(message.kind),
        reason=reason,
        description=text_in(message.description, "credit_note.description", most=MAX_DESCRIPTION, required=False),
        items=items,
    )


def note_out(note: CreditNote) -> pb.CreditNote:
    """A draft's number is that of the note it would be, and is not shown."""
    return pb.CreditNote(
        id=note.id,
        number=note.number if note.id else "",
        invoice_id=note.invoice_id,
        customer_id=note.customer_id,
        kind=_KINDS[note.kind],
        reason=_REASONS[note.reason],
        description=note.description,
        items=[
            pb.CreditNoteItem(line_number=position + 1, amount=money_out(amount)) for position, amount in note.items
        ],
        taxes=[
            pb.CreditNoteTax(
                code=tax.code,
                name=tax.name,
                rate_percent=plain(tax.rate_percent),
                taxable=money_out(tax.taxable),
                amount=money_out(tax.amount),
                unrounded_amount=plain(tax.unrounded_amount),
                included=tax.is_included,
            )
            for tax in note.taxes
        ],
        subtotal=money_out(note.subtotal),
        tax=money_out(note.tax),
        discount=money_out(note.discount),
        total=money_out(note.total),
        balance=money_out(note.balance),
        used=money_out(note.used),
        voided=money_out(note.voided),
        state=_STATES[note.state],
        create_time=timestamp_out(note.create_time),
        refund_state=REFUND_STATES[note.refund] if note.refund else reports_pb2.REFUND_STATE_UNSPECIFIED,
        refund_failure_code=note.refund_failure,
    )


def applied_out(credit: AppliedCredit) -> invoicing_pb2.AppliedCredit:
    return invoicing_pb2.AppliedCredit(
        credit_note_id=credit.credit_note_id,
        credit_note_number=credit.credit_note_number,
        amount=money_out(credit.amount),
    )


def _item_in(message: pb.CreditNoteItem) -> Item:
    if not message.line_number:
        raise InvalidArgument("FIELD_MISSING", "credit_note.items.line_number is required", field="credit_note.items")
    given = message.HasField("amount")
    amount = money_in(message.amount, True, "credit_note.items.amount") if given else None
    return Item(message.line_number - 1, amount)


def _kind_in(value: "pb.CreditNote.Kind.ValueType") -> Kind:
    field = "credit_note.kind"
    if value == pb.CreditNote.KIND_UNSPECIFIED:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    if (kind := _KINDS_IN.get(value)) is None:
        raise _unknown(field, value)
    return kind


def _unknown(field: str, value: int) -> InvalidArgument:
    return InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} is {value}, which names no {field[12:]}", field=field)


def refund_state_in(value: "reports_pb2.RefundState.ValueType") -> RefundState:
    for state, number in REFUND_STATES.items():
        if number == value:
            return state
    raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"state is {value}, which names no state of a refund", field="state")
