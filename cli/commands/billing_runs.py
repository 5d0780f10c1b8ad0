"""`weir billing run`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.commands.times import typed_time
from cli.connection import Connection, connected_to
from cli.errors import CliError, WrongUsage
from cli.events.instant import timestamp
from cli.output import amount, as_dict, console, instant, print_json, print_table, progress_console, state
from libs.common.rpc.client import typed_errors
from weir.invoicing.v1.billing_previews_pb2 import (
    PreviewBillingRunRequest,
    PreviewBillingRunResponse,
    PreviewedFailure,
    PreviewedInvoice,
)
from weir.invoicing.v1.invoicing_pb2 import BillingRun, GetBillingRunRequest, ListBillingRunsRequest

POLL_SECONDS = 0.5


async def show_run(data: Path, run_id: str, *, is_plain: bool, watch: bool, as_json: bool) -> int:
    """Exit code 1 where a run that was watched could not bill something."""
    if not is_plain:
        raise WrongUsage("--until and --customer are for --dry-run")
    async with connected_to(data) as services:
        run = await _found(services, run_id)
        if watch:
            with _progress(shown=not as_json) as show:
                async for latest in _watched(services, run.id):
                    show(run := latest)
    if as_json:
        print_json({"billing_run": as_dict(run)})
    else:
        print_run(run)
    return 1 if watch and run.failures else 0


def print_run(run: BillingRun) -> None:
    how_far = state(BillingRun.State, run.state)
    console.print(f"Billing run {run.id}: {how_far}, {run.finalized_count} invoices finalized, {run.due_count} due.")
    for failure in run.failures:
        again = instant(failure.retry_time)
        console.print(
            f"  {failure.subscription_id}: {failure.message} [{failure.reason}], again at {again}", markup=False
        )


async def preview_run(data: Path, until: str, customer: str, *, is_plain: bool, as_json: bool) -> int:
    """Exit code 1 where something could not be billed."""
    if not is_plain:
        raise WrongUsage("a dry run is of no run that there is: it excludes RUN and --watch")
    as_of = timestamp(typed_time(until, "--until")) if until else None
    invoices: list[PreviewedInvoice] = []
    failures: list[PreviewedFailure] = []
    whole = PreviewBillingRunResponse()
    async with connected_to(data) as services:
        with typed_errors():
            request = PreviewBillingRunRequest(as_of_time=as_of, customer_id=customer)
            async for whole in services.billing_previews.PreviewBillingRun(request):
                invoices += whole.invoices
                failures += whole.failures
    if as_json:
        print_json(
            as_dict(whole)
            | {"invoices": [as_dict(each) for each in invoices], "failures": [as_dict(each) for each in failures]}
        )
    else:
        _print_preview(invoices, failures, whole)
    return 1 if failures else 0


def _print_preview(
    invoices: Sequence[PreviewedInvoice], failures: Sequence[PreviewedFailure], sums: PreviewBillingRunResponse
) -> None:
    rows = [
        (
            each.customer_id,
            instant(each.due_time),
            f"{len(each.subscription_ids):,}",
            f"{each.line_count:,}",
            amount(each.subtotal),
            amount(each.discount),
            amount(each.tax),
            amount(each.total),
            amount(each.amount_due),
        )
        for each in invoices
    ]
    columns = ("customer", "due", ">subscriptions", ">lines", ">subtotal", ">discount", ">tax", ">total", ">to pay")
    print_table(columns, rows, nothing=f"Nothing falls due by {instant(sums.as_of_time)}.")
    for failure in failures:
        console.print(f"{failure.subscription_id}: {failure.message} [{failure.reason}]", markup=False)
    for each in sums.totals:
        console.print(
            f"{each.invoice_count:,} invoices over {amount(each.total)}, of which {amount(each.amount_due)} to pay, by "
            f"{instant(sums.as_of_time)}. Nothing was written.",
            markup=False,
        )


async def _found(services: Connection, run_id: str) -> BillingRun:
    if run_id:
        return (await services.invoicing.GetBillingRun(GetBillingRunRequest(id=run_id))).billing_run
    found = (await services.invoicing.ListBillingRuns(ListBillingRunsRequest(page_size=1))).billing_runs
    if not found:
        raise CliError("there was no billing run yet; --dry-run shows what one would bill")
    return found[0]


async def _watched(services: Connection, run_id: str) -> AsyncIterator[BillingRun]:
    """The run time and again, until it is completed or nothing but failures is left."""
    while True:
        run = (await services.invoicing.GetBillingRun(GetBillingRunRequest(id=run_id))).billing_run
        yield run
        if run.state == BillingRun.STATE_COMPLETED or (run.drained and run.due_count):
            return
        await asyncio.sleep(POLL_SECONDS)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[BillingRun], None]]:
    """A bar on standard error, where that is a terminal: what is billed of what was due at most."""
    if not shown or not progress_console.is_terminal:
        yield lambda run: None
        return
    columns = (TextColumn("billing"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    began = monotonic()
    most = before = 0
    with Progress(*columns, console=progress_console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(run: BillingRun) -> None:
            nonlocal most, before
            before = before if most else run.finalized_count
            most = max(most, run.due_count)
            rate = (run.finalized_count - before) / max(monotonic() - began, POLL_SECONDS)
            text = f"{run.due_count:,} due, {most - run.due_count:,} billed, {run.finalized_count:,} finalized"
            text += f", {len(run.failures):,} failures, {rate:,.0f}/s"
            progress.update(task, description=text, total=most, completed=most - run.due_count)

        yield show
