"""A simulation as a chart in the terminal: what is earned, how the change is spread, and whom it concerns most."""

from collections import Counter
from collections.abc import Iterable
from heapq import nlargest

from rich.table import Table

from cli.commands.bars import bars
from cli.output import amount, console, print_whole, table
from libs.common.money import Money
from weir.common.v1 import money_pb2
from weir.pricing.v1.simulation_pb2 import CandidateOutcome, Simulation, SubscriptionChange

SHOWN_CUSTOMERS = 5

BANDS = (-50, -20, -5, 0)
"""Percents by which a subscription's cost falls; it rises by the same ones."""
LABELS = (
    "-50 % or less",
    "-50 to -20 %",
    "-20 to -5 %",
    "-5 to 0 %",
    "the same",
    "0 to +5 %",
    "+5 to +20 %",
    "+20 to +50 %",
    "+50 % or more",
)


class Chart:
    """Keeps what each customer pays under each candidate, and no subscription."""

    def __init__(self, candidate_count: int) -> None:
        self._spread = [Counter[str]() for _ in range(candidate_count)]
        self._customers = [Counter[str]() for _ in range(candidate_count)]

    def add(self, change: SubscriptionChange) -> None:
        for index, after in enumerate(change.after):
            if change.before.amount.currency_code != after.amount.currency_code:
                continue
            before, new = change.before.amount.minor_units, after.amount.minor_units
            self._spread[index][_band(before, new)] += 1
            self._customers[index][change.customer_id] += new - before

    def show(self, simulation: Simulation, *, title: str) -> None:
        failed = f", {simulation.failed_count:,} failed" if simulation.failed_count else ""
        console.print(f"{title}: {simulation.subscription_count:,} subscriptions{failed}", style="bold", markup=False)
        console.print(f"watermark {simulation.watermark}, digest {simulation.digest}\n", markup=False)
        print_whole(_revenue(simulation))
        for index, outcome in enumerate(simulation.after):
            console.print(f"\n{_name(outcome)}", style="bold", markup=False)
            console.print(_sentence(outcome), markup=False)
            print_whole(bars([(label, self._spread[index][label], "") for label in LABELS]))
            self._show_customers(outcome, self._customers[index])
            _show_tiers(outcome)

    def _show_customers(self, outcome: CandidateOutcome, changes: Counter[str]) -> None:
        currency = outcome.amount.currency_code
        for heading, sign in (("customers who would save most", -1), ("customers who would pay most", 1)):
            found = nlargest(
                SHOWN_CUSTOMERS, ((sign * each, name) for name, each in changes.items() if sign * each > 0)
            )
            if found:
                rows = [(name, str(Money(each, currency))) for each, name in found]
                console.print()
                print_whole(table((heading, ">by"), rows))


def _revenue(simulation: Simulation) -> Table:
    rows = [
        (f"{each.plan_code}@{each.plan_version} today", each.amount.minor_units, amount(each.amount))
        for each in simulation.before
    ]
    rows += [(f"under {_name(each)}", each.amount.minor_units, amount(each.amount)) for each in simulation.after]
    return bars(rows)


def _band(before: int, after: int) -> str:
    if before == after:
        return LABELS[len(BANDS)]
    change = abs(after - before) * 100
    steps = sum(change >= abs(percent) * abs(before) for percent in BANDS)
    return LABELS[len(BANDS) - steps] if after < before else LABELS[len(BANDS) + steps]


def _sentence(outcome: CandidateOutcome) -> str:
    parts: Iterable[tuple[int, str, money_pb2.Money | None]] = (
        (outcome.less_count, "pay less", outcome.saved),
        (outcome.more_count, "pay more", outcome.added),
        (outcome.same_count, "pay the same", None),
        (outcome.incomparable_count, "pay in another currency today", None),
    )
    return ", ".join(
        f"{count:,} {what}" + (f" ({amount(by)} together)" if by is not None else "")
        for count, what, by in parts
        if count
    )


def _show_tiers(outcome: CandidateOutcome) -> None:
    rows = [
        ("/".join(filter(None, (each.charge_code, each.filter))), f"{each.tier}", f"{each.subscription_count:,}")
        for each in outcome.tiers
    ]
    if rows:
        console.print()
        print_whole(table(("charge", ">tier reached", ">subscriptions"), rows))


def _name(outcome: CandidateOutcome) -> str:
    return f"{outcome.plan_code}@{outcome.plan_version}"
