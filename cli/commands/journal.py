"""`weir ledger journal`: a month's entries as CSV, page by page."""

import csv
import sys
from calendar import monthrange
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from typing import IO

from cli.chart_of_accounts import Chart, read_chart
from cli.commands.ledger import known_time, typed_day
from cli.connection import connected_to
from cli.errors import WrongUsage
from weir.invoicing.v1.ledger_pb2 import JournalEntry, ListJournalEntriesRequest

PAGE_SIZE = 500


async def write_journal(
    data: Path, month: str, mapping: Path | None, output: Path | None, entity: str, known: str
) -> None:
    chart = read_chart(mapping)
    request = ListJournalEntriesRequest(
        start_date=typed_day(f"{month}-01", "MONTH"),
        legal_entity=entity,
        known_time=known_time(known),
        page_size=PAGE_SIZE,
    )
    request.end_date.CopyFrom(typed_day(_last_day(month), "MONTH"))
    async with connected_to(data) as services:
        with _opened(output) as file:
            writer = csv.writer(file, delimiter=chart.delimiter, lineterminator="\r\n")
            writer.writerow(chart.columns)
            while True:
                answer = await services.ledger.ListJournalEntries(request)
                writer.writerows(_rows(chart, answer.entries))
                if not (token := answer.next_page_token):
                    return
                request.page_token = token


def _rows(chart: Chart, entries: Iterable[JournalEntry]) -> Iterable[list[str]]:
    return (chart.row(each) for each in entries)


def _opened(output: Path | None) -> AbstractContextManager[IO[str]]:
    if output is None:
        return nullcontext(sys.stdout)
    return output.open("w", encoding="utf-8", newline="")


def _last_day(month: str) -> str:
    """Raises WrongUsage."""
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise WrongUsage(f"MONTH: {month!r} is no month such as 2023-11") from None
    return f"{month}-{monthrange(first.year, first.month)[1]}"
