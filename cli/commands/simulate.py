"""`weir simulate`."""

import csv
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from cli.commands.plan_versions import version_name
from cli.commands.simulated_periods import period_in
from cli.commands.simulation_chart import Chart
from cli.connection import Connection, connected_to
from cli.errors import WrongUsage
from cli.output import as_dict, print_json
from libs.common.money import Money
from libs.common.rpc.client import typed_errors
from weir.common.v1 import money_pb2
from weir.pricing.v1.simulation_pb2 import SimulateRequest, SimulateResponse, SubscriptionChange

COLUMNS = (
    "subscription_id",
    "customer_id",
    "plan",
    "currency",
    "before",
    "candidate",
    "candidate_currency",
    "after",
    "failure_reason",
)


async def run_simulation(
    data: Path, plan: str, candidates: Sequence[str], period: str, watermark: int, *, as_csv: bool, as_json: bool
) -> None:
    if as_csv and as_json:
        raise WrongUsage("--csv and --json exclude each other")
    request = _request(plan, candidates, period, watermark)
    when = "in" if request.interval else "from"
    async with connected_to(data) as services:
        parts = _parts(services, request)
        if as_csv:
            await _print_csv(parts, candidates)
        elif as_json:
            await _print_json(parts)
        else:
            chart = Chart(len(candidates))
            async for part in parts:
                for change in part.changes:
                    chart.add(change)
                if part.HasField("simulation"):
                    chart.show(part.simulation, title=f"{plan} {when} {period}")


def _request(plan: str, candidates: Sequence[str], period: str, watermark: int) -> SimulateRequest:
    told = period_in(period)
    current = version_name(plan)
    return SimulateRequest(
        start_date=told.start_date,
        interval=told.interval,
        plan_code=current.plan_code,
        plan_version=current.version,
        candidates=map(version_name, candidates),
        watermark=watermark,
    )


async def _parts(services: Connection, request: SimulateRequest) -> AsyncIterator[SimulateResponse]:
    with typed_errors():
        async for part in services.simulation.Simulate(request):
            yield part


async def _print_json(parts: AsyncIterator[SimulateResponse]) -> None:
    changes: list[SubscriptionChange] = []
    async for part in parts:
        changes += part.changes
        if part.HasField("simulation"):
            print_json({"simulation": as_dict(part.simulation), "changes": [as_dict(each) for each in changes]})


async def _print_csv(parts: AsyncIterator[SimulateResponse], candidates: Sequence[str]) -> None:
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(COLUMNS)
    async for part in parts:
        for change in part.changes:
            lines.writerows(_rows(change, candidates))


def _rows(change: SubscriptionChange, candidates: Sequence[str]) -> Iterable[Sequence[str]]:
    plan = f"{change.plan_code}@{change.plan_version}"
    for index, candidate in enumerate(candidates):
        after = change.after[index].amount if change.after else money_pb2.Money()
        before = change.before.amount
        yield (
            change.subscription_id,
            change.customer_id,
            plan,
            before.currency_code,
            _major(before),
            candidate,
            after.currency_code,
            _major(after),
            change.failure_reason,
        )


def _major(amount: money_pb2.Money) -> str:
    """A decimal in major units; nothing where there is no amount."""
    return f"{Money(amount.minor_units, amount.currency_code).amount:f}" if amount.currency_code else ""
