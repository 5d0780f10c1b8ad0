"""`weir demo`."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from cli.connection import connected
from cli.demo import declines, month
from cli.demo.generator import generate
from cli.demo.report import Billed, Display, document, print_next_steps, print_report
from cli.demo.story import Story, print_story
from cli.demo.trace import CUSTOMERS, read_trace
from cli.events.rows import Row
from cli.events.sending import Outcome
from cli.output import print_json, progress_console
from cli.stack.endpoint import Endpoint
from cli.stack.stack import running

CLIENTS = 2


async def run_demo(trace: Path | None, data: Path | None, *, keep: bool, with_declines: bool, as_json: bool) -> None:
    begin = monotonic()
    with Display(progress_console, shown=not as_json) as display, _directory(data, keep=keep) as directory:
        with display.phase("read", "Reading the trace" if trace else "Making up a month of requests"):
            rows = _read(trace)
        async with AsyncExitStack() as cleanup:
            with display.phase("start", "Starting databases, services, workers"):
                stack = await cleanup.enter_async_context(running(directory, _report))
            outcomes, billed, story = await bill_month(stack.endpoint, rows, display, with_declines=with_declines)
            with display.phase("stop", "Stopping"):
                await cleanup.aclose()
        display.seconds["total"] = round(monotonic() - begin, 3)
    if as_json:
        told = {} if story is None else {"declines": asdict(story)}
        print_json(document(outcomes, billed, display.seconds) | told)
        return
    print_report(outcomes, billed)
    if story is not None:
        print_story(story)
    print_next_steps(directory, next(iter(billed.values())).invoice.number, kept=keep or data is not None)


async def bill_month(
    endpoint: Endpoint, rows: Sequence[Row], display: Display, *, with_declines: bool
) -> tuple[Sequence[Outcome], Mapping[str, Billed], Story | None]:
    """From an empty tenant to paid invoices, and to the end of one that is not."""
    async with connected(endpoint) as services:
        with display.phase("prepare", "Applying the catalog, adding customers"):
            await month.prepare(services)
            if with_declines:
                await declines.prepare(services)
        with display.phase("ingest", f"Sending {len(rows):,} events twice", CLIENTS * len(rows)) as sent:
            outcomes = await _send_twice(endpoint, rows, sent)
        with display.phase("bill", "Moving the clock to December, billing", len(CUSTOMERS)) as finalized:
            await month.finish_month(services, finalized)
        with display.phase("collect", "Collecting through Stripe, Adyen and GoCardless", len(CUSTOMERS)) as paid:
            billed = await month.collect(services, paid)
        story = None
        if with_declines:
            with display.phase("dun", "Letting a week pass for a payment that fails"):
                story = await declines.tell(services)
    return outcomes, billed, story


async def _send_twice(endpoint: Endpoint, rows: Sequence[Row], sent: Callable[[int], None]) -> Sequence[Outcome]:
    """Two clients at once, each with every row."""
    through = [0] * CLIENTS

    async def client(number: int) -> Outcome:
        def told(count: int) -> None:
            through[number] = count
            sent(sum(through))

        return await month.send(endpoint, rows, told)

    return await asyncio.gather(*(client(number) for number in range(CLIENTS)))


def _read(trace: Path | None) -> list[Row]:
    if trace is None:
        return read_trace(generate(), "the made-up trace")
    with trace.open("rb") as lines:
        return read_trace(lines, str(trace))


@contextmanager
def _directory(data: Path | None, *, keep: bool) -> Iterator[Path]:
    """`data`, or a temporary directory that goes away unless it is kept."""
    if data is not None:
        yield data
        return
    made = Path(tempfile.mkdtemp(prefix="weir-demo-"))
    made.chmod(0o711)  # where Postgres must run as another user, that user has to get in
    try:
        yield made
    finally:
        if not keep:
            shutil.rmtree(made)


def _report(line: str) -> None:
    print(f"weir: {line}", file=sys.stderr, flush=True)
