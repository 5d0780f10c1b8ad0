"""The circuit breaker of a processor account, by what all workers see of it.

    CLOSED ──> OPEN ──> HALF_OPEN ──> CLOSED
                 ^          │
                 └──────────┘

A charge that ends without a usable answer is a failure, one with any answer a success, declines too. The circuit opens
when failures outnumber successes by OPENS_AT, and what is older than MEMORY is forgotten. When it has been open for its
time, one charge at a time is a probe: it closes the circuit, or opens it for longer.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

OPENS_AT = 5
MEMORY = timedelta(minutes=10)
OPEN_FOR = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600))
"""The first, second, … time in a row; the last step repeats."""


@dataclass(frozen=True, slots=True)
class Health:
    """`failures` are those more than successes, the last at `failure_time`; `open_until` is None while it is closed."""

    failures: int
    failure_time: datetime
    times_opened: int = 0
    open_until: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        return self.open_until is not None and now < self.open_until

    def is_half_open(self, now: datetime) -> bool:
        return self.open_until is not None and self.open_until <= now


def after_failure(health: Health | None, now: datetime, *, is_probe: bool) -> Health:
    """While it is open, what was sent before it opened tells nothing new."""
    if health is None or (health.open_until is None and now - health.failure_time > MEMORY):
        health = Health(0, now)
    if health.open_until is not None and not is_probe:
        return health
    failed = replace(health, failures=health.failures + 1, failure_time=now)
    if failed.failures < OPENS_AT:
        return failed
    open_for = OPEN_FOR[min(failed.times_opened, len(OPEN_FOR) - 1)]
    return replace(failed, times_opened=failed.times_opened + 1, open_until=now + open_for)


def after_success(health: Health, *, is_probe: bool) -> Health | None:
    """None: nothing is wrong any more."""
    if is_probe:
        return None
    if health.open_until is not None:
        return health
    return replace(health, failures=health.failures - 1) if health.failures > 1 else None
