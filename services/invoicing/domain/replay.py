"""The daily replays of a tenant's invoices."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from libs.common.money import Money

NIGHT = timedelta(hours=3)
"""A day's replays begin at 3:00 UTC, when the runs of midnight are over in most time zones near it."""

MAX_LINES = 10_000
"""A longer invoice is left out of samples: ReplayInvoice replays it by itself."""


class Outcome(StrEnum):
    REPRODUCED = "reproduced"
    DIFFERENT = "different"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of an invoice: `recomputed_total` and the numbers of the lines that come to something else, from 1; or
    why it could not be computed again.
    """

    tenant_id: str
    day: date
    invoice_id: str
    outcome: Outcome
    recomputed_total: Money | None = None
    line_numbers: tuple[int, ...] = ()
    failure_reason: str | None = None
    failure_message: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """An invoice of a sample that was not reproduced, with its number and what was billed."""

    replayed: Replayed
    number: str
    total: Money


@dataclass(frozen=True, slots=True)
class DailyReplay:
    """Of `sample_count` invoices so many were reproduced, so many wait; `differences` are at most 100 of the rest."""

    day: date
    create_time: datetime
    sample_count: int
    waiting_count: int
    reproduced_count: int
    differences: tuple[Difference, ...]


def day_of_replay(now: datetime) -> date:
    """The day whose replays are to be made at `now`, in UTC."""
    return (now - NIGHT).date()
