"""Reconciliations on the wire."""

from google.type import date_pb2

from libs.common.wire import timestamp_out
from services.payments.domain.reconciliation import Difference, Reconciliation
from weir.payments.v1 import reconciliations_pb2 as pb


def reconciliation_out(reconciliation: Reconciliation) -> pb.Reconciliation:
    day = reconciliation.day
    return pb.Reconciliation(
        processor_account_id=reconciliation.processor_account_id,
        day=date_pb2.Date(year=day.year, month=day.month, day=day.day),
        state=pb.Reconciliation.State.Value(f"STATE_{reconciliation.state}"),
        charge_count=reconciliation.charge_count,
        refund_count=reconciliation.refund_count,
        payout_count=reconciliation.payout_count,
        difference_count=reconciliation.difference_count,
        end_time=timestamp_out(reconciliation.end_time) if reconciliation.end_time else None,
        error=reconciliation.error,
    )


def difference_out(difference: Difference) -> pb.ReconciliationDifference:
    return pb.ReconciliationDifference(
        kind=pb.ReconciliationDifference.Kind.Value(f"KIND_{difference.kind}"),
        reference=difference.reference,
        name=difference.name,
        here=difference.here,
        there=difference.there,
        likely_cause=difference.cause,
    )
