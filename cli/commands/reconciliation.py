"""`weir reconcile`."""

from pathlib import Path

from cli.commands.times import typed_time
from cli.connection import connected_to
from cli.events.instant import timestamp
from cli.output import as_dict, console, period, print_json, print_table, state
from weir.common.v1.money_pb2 import Period
from weir.metering.v1.reconciliation_pb2 import Difference, GetReconciliationRequest, Reconciliation

TIMEOUT_SECONDS = 3_600


async def reconcile(data: Path, start: str, end: str, *, check_keys: bool, as_json: bool) -> int:
    """Exit code 1 where something differs."""
    days = Period(start_time=timestamp(typed_time(start, "--from")), end_time=timestamp(typed_time(end, "--to")))
    request = GetReconciliationRequest(period=days, check_keys=check_keys)
    async with connected_to(data) as services:
        found = (await services.reconciliation.GetReconciliation(request, timeout=TIMEOUT_SECONDS)).reconciliation
    if as_json:
        print_json(as_dict(found))
    else:
        _print(found)
    return 1 if found.difference_count else 0


def _print(found: Reconciliation) -> None:
    console.print(f"Received {period(found.period)}, watermark {found.watermark}\n", markup=False)
    rows = [
        ("received", found.received_count),
        ("  accepted", found.accepted_count),
        ("  backfilled", found.backfilled_count),
        ("  duplicates", found.duplicate_count),
        *((f"  rejected, {each.reason}", each.event_count) for each in found.rejections),
        ("recorded", found.recorded_count),
        ("  folded", found.folded_count),
        ("  waiting", found.waiting_count),
        ("  archived", found.archived_count),
    ]
    print_table(("", ">events"), [(name, f"{count:,}") for name, count in rows], nothing="")
    console.print()
    print_table(
        ("difference", "time", "subscription or backfill", "code", "property", "figure", ">expected", ">actual"),
        [_row(each) for each in found.differences],
        nothing="No differences.",
    )
    if found.difference_count > len(found.differences):
        console.print(f"… and {found.difference_count - len(found.differences):,} more.")


def _row(each: Difference) -> tuple[str, ...]:
    return (
        state(Difference.Kind, each.kind).replace("_", " "),
        period(each.period) if each.HasField("period") else "-",
        each.subscription_id or each.backfill_id or "-",
        each.event_code or "-",
        each.value_property or "-",
        each.figure,
        each.expected or "-",
        each.actual or "-",
    )
