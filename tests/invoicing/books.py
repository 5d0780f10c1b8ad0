"""A tenant whose books are looked at."""

from datetime import date
from itertools import count

from google.type import date_pb2

from libs.common.clock import system_clock
from libs.common.money import Money
from libs.common.wire import money_out, timestamp_out
from tests.invoicing.world import World, new_request_id
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2, reports_pb2
from weir.invoicing.v1 import ledger_pb2 as pb
from weir.invoicing.v1.invoicing_pb2 import Invoice

_TENANTS = count()
CREDIT, OFFSET, REFUND = (
    credit_notes_pb2.CreditNote.KIND_CREDIT,
    credit_notes_pb2.CreditNote.KIND_OFFSET,
    credit_notes_pb2.CreditNote.KIND_REFUND,
)


def day_of(text: str) -> date_pb2.Date:
    day = date.fromisoformat(text)
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


class Books:
    """A tenant with a test clock, whose customer globex pays a fee in advance with 20 % of tax."""

    def __init__(self, world: World) -> None:
        self.world, self.tenant_id = world, f"books-{next(_TENANTS)}"
        self.tenant = world.tenant(self.tenant_id)
        self.payments = world.tenant(self.tenant_id, "internal")

    async def subscribed(self, fee: int = 3000, start: str = "2023-11-01", zone: str = "") -> Invoice:
        """The first invoice, at the beginning of November."""
        await self.tenant.tax("vat", "20")
        await self.tenant.plan("basic", base_fee=fee, in_advance=True, taxes=["vat"])
        await self.tenant.start_clock(start)
        await self.tenant.customer("globex", zone)
        await self.tenant.subscribe("s", "globex", "basic", start)
        await self.world.bill()
        [invoice] = await self.tenant.invoices()
        return invoice

    async def until(self, time: str) -> None:
        await self.tenant.advance(time)
        await self.world.bill()

    async def close(self, day: str, request_id: str = "") -> None:
        request = pb.CloseLedgerPeriodRequest(
            request_id=request_id or new_request_id(), closed_through_date=day_of(day)
        )
        await self.tenant.ledger.CloseLedgerPeriod(request)

    async def journal(self, first: str, last: str, page_size: int = 500) -> list[pb.JournalEntry]:
        found: list[pb.JournalEntry] = []
        token = ""
        while True:
            request = pb.ListJournalEntriesRequest(
                start_date=day_of(first), end_date=day_of(last), page_size=page_size, page_token=token
            )
            answer = await self.tenant.ledger.ListJournalEntries(request)
            found += answer.entries
            if not (token := answer.next_page_token):
                return found

    async def balances(self, day: str, **terms: object) -> dict[str, int]:
        """By account, in minor units; they add up to 0."""
        request = pb.GetTrialBalanceRequest(date=day_of(day), **terms)  # type: ignore[arg-type]
        found = (await self.tenant.ledger.GetTrialBalance(request)).balances
        assert sum(each.balance.minor_units for each in found) == 0
        return {
            pb.LedgerAccount.Name(each.account).removeprefix("LEDGER_ACCOUNT_").lower(): each.balance.minor_units
            for each in found
        }

    async def note(self, invoice: Invoice, kind: "credit_notes_pb2.CreditNote.Kind.ValueType", amount: int) -> str:
        """Of the first line; 0 is what is left of all lines."""
        item = credit_notes_pb2.CreditNoteItem(line_number=1, amount=money_out(Money(amount, "USD")))
        note = credit_notes_pb2.CreditNote(
            invoice_id=invoice.id,
            kind=kind,
            reason=credit_notes_pb2.CreditNote.REASON_OTHER,
            items=[item] if amount else [],
        )
        request = credit_notes_pb2.CreateCreditNoteRequest(request_id=new_request_id(), credit_note=note)
        return (await self.tenant.credit_notes.CreateCreditNote(request)).credit_note.id

    async def pay(self, invoice: Invoice, amount: int, revision: int = 1) -> None:
        status = Invoice.PAYMENT_STATUS_SUCCEEDED if amount else Invoice.PAYMENT_STATUS_FAILED
        request = invoicing_pb2.RecordPaymentRequest(
            invoice_id=invoice.id,
            payment_id="pay_1",
            revision=revision,
            payment_status=status,
            amount_paid=money_out(Money(amount, "USD")),
        )
        await self.payments.invoicing.RecordPayment(request)

    async def refund(self, invoice: Invoice, note_id: str, amount: int, state: str, revision: int) -> None:
        request = reports_pb2.RecordRefundRequest(
            invoice_id=invoice.id,
            refund_id="re_1",
            revision=revision,
            credit_note_id=note_id,
            state=reports_pb2.RefundState.Value(f"REFUND_STATE_{state}"),
            amount=money_out(Money(amount, "USD")),
            failure_code="account_closed" if state == "FAILED" else "",
        )
        await self.payments.reports.RecordRefund(request)

    async def dispute(self, invoice: Invoice, amount: int, state: str, revision: int) -> None:
        request = reports_pb2.RecordDisputeRequest(
            invoice_id=invoice.id,
            dispute_id="dp_1",
            revision=revision,
            state=reports_pb2.DisputeState.Value(f"DISPUTE_STATE_{state}"),
            amount=money_out(Money(amount, "USD")),
        )
        await self.payments.reports.RecordDispute(request)

    async def write_off(self, invoice: Invoice) -> None:
        request = reports_pb2.RecordFinalActionRequest(
            invoice_id=invoice.id,
            campaign_id="dc_1",
            final_action=reports_pb2.FINAL_ACTION_WRITE_OFF,
            end_time=timestamp_out(system_clock()),
        )
        await self.payments.reports.RecordFinalAction(request)

    async def void_note(self, note_id: str) -> None:
        request = credit_notes_pb2.VoidCreditNoteRequest(request_id=new_request_id(), id=note_id)
        await self.tenant.credit_notes.VoidCreditNote(request)

    async def void(self, invoice: Invoice, credit: int = 0, refund: int = 0) -> list[str]:
        """The ids of the notes that it made, a refund last."""
        amounts = {"credit_amount": money_out(Money(credit, "USD")), "refund_amount": money_out(Money(refund, "USD"))}
        request = invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=invoice.id, **amounts)
        await self.tenant.invoicing.VoidInvoice(request)
        asked = credit_notes_pb2.ListCreditNotesRequest(invoice_id=invoice.id)
        notes = (await self.tenant.credit_notes.ListCreditNotes(asked)).credit_notes
        return [each.id for each in sorted(notes, key=lambda each: each.kind)]
