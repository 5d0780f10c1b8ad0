"""The steps that are one call each: a step's keys are the fields of the request, or of the resource that it makes."""

from dataclasses import dataclass

from google.protobuf.message import Message

from weir.invoicing.v1.changes_pb2 import CancelChangeRequest, ChangePlanRequest
from weir.invoicing.v1.coupons_pb2 import ApplyCouponRequest
from weir.invoicing.v1.credit_notes_pb2 import CreateCreditNoteRequest, VoidCreditNoteRequest
from weir.invoicing.v1.customers_pb2 import EraseCustomerRequest
from weir.invoicing.v1.drafts_pb2 import (
    AdjustLineRequest,
    FinalizeInvoiceRequest,
    RefreshInvoiceRequest,
    RegenerateInvoiceRequest,
)
from weir.invoicing.v1.fixed_charges_pb2 import SetFixedChargeUnitsRequest
from weir.invoicing.v1.invoicing_pb2 import (
    CreateCustomerRequest,
    CreateSubscriptionRequest,
    TerminateSubscriptionRequest,
    VoidInvoiceRequest,
)
from weir.invoicing.v1.one_offs_pb2 import CreateOneOffInvoiceRequest
from weir.invoicing.v1.pauses_pb2 import PauseSubscriptionRequest, ResumeSubscriptionRequest
from weir.payments.v1.manual_payments_pb2 import RecordManualPaymentRequest


@dataclass(frozen=True, slots=True)
class Verb:
    """`service` is the Connection's name of what is called. `resource` is the field of the request that the step is;
    empty for the request itself. `now` is a time that is the clock's where the step has none. `invoice` and
    `credit_note` are fields that may hold a number, or for an invoice "last of CUSTOMER", in place of an id.
    """

    name: str
    service: str
    method: str
    request: type[Message]
    resource: str = ""
    now: str = ""
    invoice: str = ""
    credit_note: str = ""

    def target(self, request: Message) -> Message:
        """What the step fills."""
        if not self.resource:
            return request
        target: Message = getattr(request, self.resource)
        return target


VERBS = {
    verb.name: verb
    for verb in (
        Verb("customer", "invoicing", "CreateCustomer", CreateCustomerRequest, "customer"),
        Verb("erase_customer", "customers", "EraseCustomer", EraseCustomerRequest),
        Verb("subscribe", "invoicing", "CreateSubscription", CreateSubscriptionRequest, "subscription", "start_time"),
        Verb("change_plan", "plan_changes", "ChangePlan", ChangePlanRequest),
        Verb("cancel_change", "plan_changes", "CancelChange", CancelChangeRequest),
        Verb("pause", "pauses", "PauseSubscription", PauseSubscriptionRequest),
        Verb("resume", "pauses", "ResumeSubscription", ResumeSubscriptionRequest),
        Verb("terminate", "invoicing", "TerminateSubscription", TerminateSubscriptionRequest),
        Verb("set_units", "fixed_charges", "SetFixedChargeUnits", SetFixedChargeUnitsRequest),
        Verb("apply_coupon", "applied_coupons", "ApplyCoupon", ApplyCouponRequest),
        Verb("one_off", "one_offs", "CreateOneOffInvoice", CreateOneOffInvoiceRequest),
        Verb("adjust_line", "drafts", "AdjustLine", AdjustLineRequest, invoice="invoice_id"),
        Verb("refresh", "drafts", "RefreshInvoice", RefreshInvoiceRequest, invoice="id"),
        Verb("finalize", "drafts", "FinalizeInvoice", FinalizeInvoiceRequest, invoice="id"),
        Verb("void", "invoicing", "VoidInvoice", VoidInvoiceRequest, invoice="id"),
        Verb("regenerate", "drafts", "RegenerateInvoice", RegenerateInvoiceRequest, invoice="id"),
        Verb(
            "credit", "credit_notes", "CreateCreditNote", CreateCreditNoteRequest, "credit_note", invoice="invoice_id"
        ),
        Verb("void_credit", "credit_notes", "VoidCreditNote", VoidCreditNoteRequest, credit_note="id"),
        Verb("pay", "manual_payments", "RecordManualPayment", RecordManualPaymentRequest, invoice="invoice_id"),
    )
}
