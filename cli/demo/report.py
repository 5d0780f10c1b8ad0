"""What the demo shows: progress while it runs, the invoices at the end, or all of it as one JSON object."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.commands.invoices import invoice_table
from cli.events.sending import Outcome
from cli.output import console, print_whole, state, table
from weir.invoicing.v1.invoicing_pb2 import Invoice

METERS = ("requests", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Billed:
    """One customer: what was used in the month, by meter, the invoice about it, the processor account that collected it
    and the method's label.
    """

    usage: Mapping[str, int]
    invoice: Invoice
    paid_by: str
    method: str


class Display:
    """A line for each phase of the run, with how long it took: live on a terminal, afterwards elsewhere.

    `seconds` is filled whether it is shown or not.
    """

    def __init__(self, on: Console, *, shown: bool) -> None:
        columns = (
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
        )
        self.seconds: dict[str, float] = {}
        self._plain = on if shown and not on.is_terminal else None
        self._progress = Progress(*columns, console=on, disable=not (shown and on.is_terminal))

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def phase(self, name: str, title: str, total: int = 0) -> Iterator[Callable[[int], None]]:
        """Yields what to call with the number done so far, of `total` (0: not known)."""
        begin = monotonic()
        task = self._progress.add_task(title, total=total or None, count="")

        def done(number: int) -> None:
            self._progress.update(task, completed=number, count=f"{number:,} of {total:,}" if total else "")

        yield done
        finished = max(total, 1)
        self._progress.update(task, total=finished, completed=finished)
        self.seconds[name] = round(monotonic() - begin, 3)
        if self._plain:
            self._plain.print(f"{title}: {self.seconds[name]:.1f} s", soft_wrap=True)


def document(outcomes: Sequence[Outcome], billed: Mapping[str, Billed], seconds: Mapping[str, float]) -> dict[str, Any]:
    """The object that `weir demo --json` prints."""
    return {
        "events": {
            "sent": sum(each.sent for each in outcomes),
            "accepted": sum(each.accepted for each in outcomes),
            "duplicates": sum(each.duplicates for each in outcomes),
        },
        "customers": {
            customer: {
                **{meter: each.usage[meter] for meter in METERS},
                "invoice": _invoice(each.invoice),
                "paid_by": {"processor": each.paid_by, "method": each.method},
            }
            for customer, each in billed.items()
        },
        "seconds": dict(seconds),
    }


def _invoice(invoice: Invoice) -> dict[str, Any]:
    return {
        "number": invoice.number,
        "currency": invoice.currency_code,
        "status": state(Invoice.State, invoice.state),
        "payment_status": state(Invoice.PaymentStatus, invoice.payment_status),
        "lines": [{"code": line.code, "amount_minor": line.amount.minor_units} for line in invoice.lines],
        "subtotal_minor": invoice.subtotal.minor_units,
        "tax_minor": invoice.tax.minor_units,
        "total_minor": invoice.total.minor_units,
    }


def print_report(outcomes: Sequence[Outcome], billed: Mapping[str, Billed]) -> None:
    sent, accepted, duplicates = (
        sum(getattr(each, name) for each in outcomes) for name in ("sent", "accepted", "duplicates")
    )
    console.print(f"\n{sent:,} events sent by two clients: {accepted:,} accepted, {duplicates:,} duplicates.\n")
    rows = [(customer, *(f"{each.usage[meter]:,}" for meter in METERS)) for customer, each in billed.items()]
    print_whole(table(("customer", *(f">{meter}" for meter in METERS)), rows))
    for each in billed.values():
        console.print()
        print_whole(invoice_table(each.invoice))
        console.print(f"Paid at {each.paid_by} by {each.method}.", markup=False)


def print_next_steps(data: Path, number: str, *, kept: bool) -> None:
    if not kept:
        console.print("\nTo look further, keep the data: [bold]weir demo --keep[/bold]\n")
        return
    console.print("\nTo look further:\n")
    for command in (
        f"weir up --data {data}",
        f"weir invoices list --data {data}",
        f"weir invoices explain {number} --data {data}",
        f"weir usage customer-0 --from 2023-11-01 --data {data}",
        f"weir payments list --data {data}",
    ):
        console.print(f"  {command}", soft_wrap=True, markup=False)
    console.print("\nThe first one in a terminal of its own, the others beside it.\n")
