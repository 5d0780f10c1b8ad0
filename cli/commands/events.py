"""`weir events send`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Literal

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.connection import connected_to
from cli.errors import WrongUsage
from cli.events import checkpoint as checkpoints
from cli.events.checkpoint import Checkpoint
from cli.events.mapping import CsvEvents, CsvMapping
from cli.events.ndjson import NdjsonEvents
from cli.events.sending import Batch, Outcome, Sender, batches
from cli.output import console, print_json, progress_console
from weir.metering.v1.metering_pb2 import IngestEventsResponse

SHOWN_FAILURES = 20
SAVE_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How the file is read, as typed."""

    file_format: Literal["ndjson", "csv"] | None = None
    subscription: str = "{subscription_id}"
    code: str = "{code}"
    transaction_id: str = "{transaction_id}"
    timestamp: str = "timestamp"
    properties: tuple[str, ...] = ()

    def events(self, path: Path | None, lines: BinaryIO) -> CsvEvents | NdjsonEvents:
        by_name = "csv" if path is not None and path.suffix.lower() == ".csv" else "ndjson"
        if (self.file_format or by_name) == "csv":
            return CsvEvents(lines, self._mapping())
        if replace(self, file_format=None) != Reading():
            raise WrongUsage("--subscription, --code, --transaction-id, --timestamp and --property are for CSV")
        return NdjsonEvents(lines)

    def _mapping(self) -> CsvMapping:
        properties = dict(map(_property, self.properties)) if self.properties else None
        timestamp = self.timestamp if "{" in self.timestamp else f"{{{self.timestamp}}}"
        return CsvMapping(self.transaction_id, self.subscription, self.code, timestamp, properties)


def _property(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise WrongUsage(f"--property {text}: expected NAME=COLUMN")
    return name, column if "{" in column else f"{{{column}}}"


async def send_file(
    data: Path,
    file: str,
    reading: Reading,
    concurrency: int,
    checkpoint: Path | None,
    backfill_id: str,
    *,
    resume: bool,
    as_json: bool,
) -> int:
    """Exit code 1 where a row was not recorded."""
    path = None if file == "-" else Path(file)
    notes = _Notes.find(data, path, checkpoint, repr(reading) + backfill_id, resume=resume)
    begin = monotonic()
    outcome = Outcome()
    with path.open("rb") if path else nullcontext(sys.stdin.buffer) as lines:
        events = reading.events(path, lines)
        with _progress(path, lines, outcome, shown=not as_json) as show:

            def answered(batch: Batch, result: IngestEventsResponse) -> None:
                outcome.record(batch, result, events.column_of)
                show()

            async with connected_to(data) as services:
                sender = Sender(services.ingestion, answered, concurrency)
                try:
                    made = batches(events, outcome, from_row=notes.start.row, backfill_id=backfill_id)
                    await sender.send(notes.watched(made, sender))
                finally:
                    notes.save(sender.confirmed_row)
    _print_outcome(outcome, notes, monotonic() - begin, as_json=as_json)
    return 1 if outcome.failure_count else 0


@dataclass(slots=True)
class _Notes:
    """The checkpoint of a run: where it started, and where it is kept (None: nowhere)."""

    start: Checkpoint
    path: Path | None
    saved_time: float = 0.0

    @classmethod
    def find(cls, data: Path, file: Path | None, given: Path | None, reading: str, *, resume: bool) -> "_Notes":
        fresh = checkpoints.begin(file, reading)
        path = given or (checkpoints.default_path(data, fresh) if data.is_dir() and file is not None else None)
        if not resume:
            return cls(fresh, path)
        if path is None:
            raise WrongUsage("--resume needs --checkpoint here: standard input, or no data directory")
        return cls(checkpoints.load(path, file, fresh), path)

    def watched(self, source: Iterator[Batch], sender: Sender) -> Iterator[Batch]:
        """`source`, noting once a second how far it has been confirmed."""
        for batch in source:
            if monotonic() - self.saved_time > SAVE_EVERY_SECONDS:
                self.save(sender.confirmed_row)
            yield batch

    def save(self, confirmed_row: int) -> None:
        self.saved_time = monotonic()
        if self.path is not None:
            checkpoints.save(self.path, replace(self.start, row=max(confirmed_row, self.start.row)))


@contextmanager
def _progress(path: Path | None, lines: BinaryIO, outcome: Outcome, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar on standard error, by bytes read, where that is a terminal."""
    if not shown or not progress_console.is_terminal:
        yield lambda: None
        return
    total = path.stat().st_size if path else None
    columns = (TextColumn("sending"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=progress_console, transient=True) as progress:
        task = progress.add_task("", total=total)

        def show() -> None:
            text = f"{outcome.accepted:,} accepted, {outcome.duplicates:,} duplicates"
            if outcome.failure_count:
                text += f", {outcome.failure_count:,} failures"
            progress.update(task, description=text, completed=lines.tell() if path else 0)

        yield show


def _print_outcome(outcome: Outcome, notes: _Notes, seconds: float, *, as_json: bool) -> None:
    for failure in outcome.failures[:SHOWN_FAILURES]:
        print(f"weir: {failure}", file=sys.stderr)
    if outcome.failure_count > SHOWN_FAILURES:
        print(f"weir: … and {outcome.failure_count - SHOWN_FAILURES:,} more rows", file=sys.stderr)
    if as_json:
        print_json(
            {
                "sent": outcome.sent,
                "accepted": outcome.accepted,
                "duplicates": outcome.duplicates,
                "failure_count": outcome.failure_count,
                "failures": [
                    {
                        "row": each.place.row,
                        "line": each.place.line,
                        "column": each.column,
                        "reason": each.reason,
                        "message": each.message,
                    }
                    for each in outcome.failures
                ],
                "resumed_from_row": notes.start.row,
                "checkpoint": str(notes.path) if notes.path else None,
                "seconds": round(seconds, 3),
            }
        )
        return
    rate = outcome.sent / seconds if seconds else 0
    skipped = f" from row {notes.start.row:,} on" if notes.start.row else ""
    console.print(
        f"Sent {outcome.sent:,} events{skipped} in {seconds:.1f} s ({rate:,.0f}/s): {outcome.accepted:,} accepted,"
        f" {outcome.duplicates:,} duplicates, {outcome.failure_count:,} failures.",
        soft_wrap=True,
    )
