"""Protobuf to domain (`_in`, which validate and name the wrong field) and back (`_out`)."""

from services.invoicing.convert.adjustments import adjustment_in
from services.invoicing.convert.coupons import applied_coupon_out, coupon_in, override_in
from services.invoicing.convert.credit_notes import applied_out, note_in, note_out
from services.invoicing.convert.customers import customer_change_in, customer_in, customer_out
from services.invoicing.convert.documents import document_asked_in, document_out, statement_asked_in
from services.invoicing.convert.event_charges import (
    charged_out,
    event_charges_in,
    event_charges_query,
    rated_step_in,
    step_out,
)
from services.invoicing.convert.exports import columns_out, export_in
from services.invoicing.convert.fixed_charges import fixed_units_out, is_next_period_in, unit_changes_out
from services.invoicing.convert.invoices import (
    invoice_out,
    invoice_state_in,
    invoices_out,
    line_out,
    paid_in,
    payment_status_in,
    revision_in,
)
from services.invoicing.convert.legal_entities import legal_entity_change_in, legal_entity_in, legal_entity_out
from services.invoicing.convert.one_offs import add_on_in, items_in
from services.invoicing.convert.plans import latest_version_in, plan_version_in, sold_version_in, taxes_in
from services.invoicing.convert.previews import previewed_out, totals_out
from services.invoicing.convert.ratings import other_units, rated_usage_in, rated_usages_in, rating_in
from services.invoicing.convert.replays import replay_out
from services.invoicing.convert.runs import billing_run_out, billing_step_out, clock_out
from services.invoicing.convert.subscriptions import (
    change_in,
    plan_asked_in,
    subscription_in,
    subscription_out,
    unused_fee_in,
)
from services.invoicing.convert.times import instant_in
from services.invoicing.convert.usages import quantities_in, usage_queries
from services.invoicing.convert.voids import given_back_in

__all__ = [
    "add_on_in",
    "adjustment_in",
    "applied_coupon_out",
    "applied_out",
    "billing_run_out",
    "billing_step_out",
    "change_in",
    "charged_out",
    "clock_out",
    "columns_out",
    "coupon_in",
    "customer_change_in",
    "customer_in",
    "customer_out",
    "document_asked_in",
    "document_out",
    "event_charges_in",
    "event_charges_query",
    "export_in",
    "fixed_units_out",
    "given_back_in",
    "instant_in",
    "invoice_out",
    "invoice_state_in",
    "invoices_out",
    "is_next_period_in",
    "items_in",
    "latest_version_in",
    "legal_entity_change_in",
    "legal_entity_in",
    "legal_entity_out",
    "line_out",
    "note_in",
    "note_out",
    "other_units",
    "override_in",
    "paid_in",
    "payment_status_in",
    "plan_asked_in",
    "plan_version_in",
    "previewed_out",
    "quantities_in",
    "rated_step_in",
    "rated_usage_in",
    "rated_usages_in",
    "rating_in",
    "replay_out",
    "revision_in",
    "sold_version_in",
    "statement_asked_in",
    "step_out",
    "subscription_in",
    "subscription_out",
    "taxes_in",
    "totals_out",
    "unit_changes_out",
    "unused_fee_in",
    "usage_queries",
]
