"""`weir invoices replays`."""

from pathlib import Path

from cli.connection import connected_to, pages
from cli.output import amount, console, print_list, print_table
from weir.invoicing.v1.replays_pb2 import ListReplaysRequest, Replay, ReplayDifference


async def list_replays(data: Path, *, as_json: bool) -> int:
    """Exit code 1 where an invoice was not reproduced."""
    async with connected_to(data) as services:
        found: list[Replay] = await pages(
            lambda token: services.replays.ListReplays(ListReplaysRequest(page_token=token)), "replays"
        )
    if as_json:
        print_list("replays", found)
    else:
        rows = [
            (
                _day(each),
                f"{each.sample_count:,}",
                f"{each.waiting_count:,}",
                f"{each.reproduced_count:,}",
                f"{each.sample_count - each.waiting_count - each.reproduced_count:,}",
            )
            for each in found
        ]
        columns = ("day", ">sample", ">waiting", ">reproduced", ">not reproduced")
        print_table(columns, rows, nothing="Nothing was replayed yet.")
        for day in found:
            for difference in day.differences:
                console.print(f"{_day(day)} {_sentence(difference)}", markup=False)
    return 1 if any(each.differences for each in found) else 0


def _day(replay: Replay) -> str:
    return f"{replay.day.year}-{replay.day.month:02}-{replay.day.day:02}"


def _sentence(difference: ReplayDifference) -> str:
    invoice = f"{difference.invoice_number} ({difference.invoice_id})"
    if difference.failure_reason:
        return f"{invoice}: {difference.failure_message} [{difference.failure_reason}]"
    lines = ", ".join(map(str, difference.line_numbers))
    where = f" in lines {lines}" if lines else ""
    return f"{invoice}: billed {amount(difference.total)}, computed again {amount(difference.recomputed_total)}{where}"
