"""What the services answer about a tenant, in the words of the cases.

One subscription of several phases stands for the old and the new subscription of a case: the old one is the phase
before the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property

from tests.reference.cases import Json
from tests.reference.scenario.moments import instant
from tests.reference.scenario.stack import Clients
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2
from weir.invoicing.v1.credit_notes_pb2 import CreditNote
from weir.invoicing.v1.invoicing_pb2 import Invoice, Subscription


@dataclass(frozen=True)
class Books:
    """As they are now; oldest first. At most 500 of each are read, far more than a case makes."""

    now: datetime
    subscriptions: Sequence[Subscription]
    invoices: Sequence[Invoice]
    credit_notes: Sequence[CreditNote]

    @cached_property
    def subscription(self) -> Subscription:
        [found] = self.subscriptions
        return found

    def phase_number(self, of: str) -> int:
        """Of "new" the last one, of "old" the one before it."""
        return len(self.subscription.phases) - (of == "old")

    def settles(self, invoice: Invoice, number: int) -> bool:
        """Whether an invoice is of a phase; that of a change is of both."""
        return any(each.source.phase_number == number for each in invoice.settlements)

    def phase_of(self, invoice: Invoice) -> int:
        """The phase that an invoice is of."""
        start = instant(invoice.period.start_time)
        return max(each.number for each in self.subscription.phases if instant(each.start_time) <= start)

    def phase_end(self, number: int) -> datetime | None:
        """When a phase ends before it would be renewed: by a change of plan, or with the subscription."""
        following = self.subscription.phases[number : number + 1]
        if following:
            return instant(following[0].start_time)
        return instant(self.subscription.end_time) if self.subscription.HasField("end_time") else None

    def subscription_view(self, of: str) -> Json:
        phase = self.subscription.phases[self.phase_number(of) - 1]
        end, trial_end = self.phase_end(phase.number), instant(phase.fee_start_time)
        has_trial = trial_end > instant(phase.start_time)
        return {
            "plan": phase.plan_code,
            "status": "terminated" if end and end <= self.now else "active",
            "subscription_at": instant(self.subscription.start_time),
            "started_at": instant(phase.start_time),
            "trial_ended_at": trial_end if has_trial and trial_end <= self.now else None,
        }


async def read(clients: Clients, now: datetime) -> Books:
    subscriptions = await clients.invoicing.ListSubscriptions(invoicing_pb2.ListSubscriptionsRequest(page_size=500))
    invoices = await clients.invoicing.ListInvoices(invoicing_pb2.ListInvoicesRequest(page_size=500))
    notes = await clients.credit_notes.ListCreditNotes(credit_notes_pb2.ListCreditNotesRequest(page_size=500))
    return Books(now, subscriptions.subscriptions, invoices.invoices[::-1], notes.credit_notes[::-1])


def credit_note_view(note: CreditNote, notes: Sequence[CreditNote]) -> Json:
    """`notes` are its invoice's. A credit and a refund beside each other are one note of the cases."""
    credit = next((each for each in notes if each.kind == CreditNote.KIND_CREDIT), None)
    refund = next((each for each in notes if each.kind == CreditNote.KIND_REFUND), None)
    if credit is None or refund is None:
        return _after(note, [each for each in notes if each.number < note.number])
    view, beside = _note_view(credit), _note_view(refund)
    sums = ("sub_total_excluding_taxes_amount_cents", "taxes_amount_cents", "total_amount_cents")
    return view | {key: view[key] + beside[key] for key in (*sums, "refund_amount_cents")}


def _after(note: CreditNote, before: Sequence[CreditNote]) -> Json:
    """Less what the taxes of notes `before` were rounded by, where it takes the rest and so has others than its own."""
    view = _note_view(note)
    if view["taxes_amount_cents"] != view["precise_taxes_amount_cents"].quantize(Decimal(1), ROUND_HALF_UP):
        view["precise_taxes_amount_cents"] -= sum(_note_view(each)["taxes_rounding_adjustment"] for each in before)
    view["taxes_rounding_adjustment"] = view["taxes_amount_cents"] - view["precise_taxes_amount_cents"]
    return view


def _note_view(note: CreditNote) -> Json:
    is_credit = note.kind == CreditNote.KIND_CREDIT
    [*taxes] = note.taxes
    unrounded = sum((Decimal(each.unrounded_amount) for each in taxes), Decimal(0)) * 100
    return {
        "items_cents": [each.amount.minor_units for each in note.items],
        "sub_total_excluding_taxes_amount_cents": note.subtotal.minor_units,
        "taxes_amount_cents": note.tax.minor_units,
        "precise_taxes_amount_cents": unrounded,
        "taxes_rounding_adjustment": note.tax.minor_units - unrounded,
        "total_amount_cents": note.total.minor_units,
        "credit_amount_cents": note.total.minor_units if is_credit else 0,
        "refund_amount_cents": note.total.minor_units if note.kind == CreditNote.KIND_REFUND else 0,
        "balance_amount_cents": note.balance.minor_units,
        "credit_status": CreditNote.State.Name(note.state).removeprefix("STATE_").lower(),
        "status": "finalized",
    }
