"""How long the worker waits for what."""

from dataclasses import dataclass
from datetime import timedelta


def _seconds(*values: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=value) for value in values)


@dataclass(frozen=True, slots=True)
class Pace:
    """`lease` outlasts a call to a processor with its retries: after it, whoever held a row is taken for dead.

    The schedules are waits after the first, second, … try in vain; their last step repeats. An event about an unknown
    charge is looked at again for `event_patience`: it may outrun our own commit. Every `catch_up`, processors list what
    happened since `catch_up_overlap` before the last time.
    """

    lease: timedelta
    unknown: tuple[timedelta, ...] = _seconds(5, 30, 120, 600, 3600)
    lost: tuple[timedelta, ...] = _seconds(5, 30, 120, 600, 3600)
    open_poll: timedelta = timedelta(hours=6)
    catch_up: timedelta = timedelta(minutes=15)
    catch_up_overlap: timedelta = timedelta(minutes=10)
    event: tuple[timedelta, ...] = _seconds(2, 5, 15, 60, 300, 3600)
    event_patience: timedelta = timedelta(minutes=10)
    method: tuple[timedelta, ...] = _seconds(5, 30, 120, 600, 3600)
    mail: tuple[timedelta, ...] = _seconds(30, 120, 600, 3600)
    report: tuple[timedelta, ...] = _seconds(1, 2, 5, 15, 60)
    reconcile: tuple[timedelta, ...] = _seconds(60, 600, 3600)
    refused_report: timedelta = timedelta(hours=1)
    concurrency: int = 16
    """Rows in work at a time, for each sweep of a worker process."""
    stint: timedelta = timedelta(seconds=60)
    """A sweep takes on no more rows after this; the next ring goes on."""
