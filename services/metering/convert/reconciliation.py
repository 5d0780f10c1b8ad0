"""The reconciliation report."""

from datetime import UTC, datetime, time
from decimal import Decimal

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import period_in, period_out
from services.metering.domain.reconciliation import Difference, Reconciliation
from weir.metering.v1 import reconciliation_pb2

MAX_DIFFERENCES = 10_000


def days_in(request: reconciliation_pb2.GetReconciliationRequest) -> tuple[datetime, datetime]:
    """Two midnights in UTC."""
    start, end = period_in(request.period, request.HasField("period"), "period")
    for name, instant in ("start_time", start), ("end_time", end):
        if instant.astimezone(UTC).time() != time():
            raise InvalidArgument(
                "PERIOD_NOT_WHOLE_DAYS",
                f"period.{name} is {instant.isoformat()}; it must be midnight in UTC",
                field=f"period.{name}",
            )
    return start, end


def reconciliation_out(found: Reconciliation, start: datetime, end: datetime) -> reconciliation_pb2.Reconciliation:
    return reconciliation_pb2.Reconciliation(
        period=period_out(start, end),
        watermark=found.watermark,
        received_count=found.received,
        accepted_count=found.accepted,
        backfilled_count=found.backfilled,
        duplicate_count=found.duplicates,
        rejections=[
            reconciliation_pb2.Rejection(reason=reason, event_count=count)
            for reason, count in sorted(found.rejections.items())
        ],
        recorded_count=found.folded + found.waiting + found.archived,
        folded_count=found.folded,
        waiting_count=found.waiting,
        archived_count=found.archived,
        differences=map(_difference_out, found.differences[:MAX_DIFFERENCES]),
        difference_count=len(found.differences),
    )


def _difference_out(difference: Difference) -> reconciliation_pb2.Difference:
    return reconciliation_pb2.Difference(
        kind=reconciliation_pb2.Difference.Kind.Value(f"KIND_{difference.kind.name}"),
        period=period_out(*difference.period) if difference.period else None,
        subscription_id=difference.subscription_id,
        event_code=difference.event_code,
        value_property=difference.value_property,
        figure=difference.figure,
        expected=_figure_out(difference.expected),
        actual=_figure_out(difference.actual),
        backfill_id=difference.backfill_id,
    )


def _figure_out(figure: Decimal | int | str | None) -> str:
    if figure is None:
        return ""
    return plain(figure) if isinstance(figure, Decimal) else str(figure)
