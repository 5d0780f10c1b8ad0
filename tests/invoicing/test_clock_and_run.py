"""The tenant's now, and when to try again."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.common.errors import FailedPrecondition
from services.invoicing.domain.clock import BillingClock
from services.invoicing.domain.run import retry_delay

REAL = datetime(2026, 1, 1, tzinfo=UTC)
STANDS = datetime(2023, 11, 1, tzinfo=UTC)


def test_a_test_clock_stands_still_and_a_real_one_does_not() -> None:
    assert BillingClock(STANDS).now(REAL) == STANDS
    assert BillingClock(None).now(REAL) == REAL


def test_a_clock_may_stay_where_it_is_but_not_go_back() -> None:
    assert BillingClock(STANDS).toward(STANDS, REAL) == BillingClock(STANDS)
    assert BillingClock(None).toward(REAL, REAL) == BillingClock(REAL)
    going = BillingClock(STANDS).toward(REAL, REAL)
    assert going.toward(REAL, REAL) == going == BillingClock(STANDS, REAL)
    for clock, furthest in ((BillingClock(STANDS), STANDS), (BillingClock(None), REAL), (going, REAL)):
        with pytest.raises(FailedPrecondition) as refused:
            clock.toward(furthest - timedelta(microseconds=1), REAL)
        assert refused.value.reason == "CLOCK_BACKWARD"


def test_a_clock_steps_to_what_is_due_next_and_never_beyond_its_target() -> None:
    going = BillingClock(STANDS, REAL)
    due = STANDS + timedelta(days=3)
    assert going.stepped(due) == BillingClock(due, REAL)
    for next_due in (None, REAL, REAL + timedelta(days=1)):
        assert going.stepped(next_due) == BillingClock(REAL)


def test_tries_come_ever_later_but_at_least_every_five_minutes() -> None:
    delays = [retry_delay(failures).total_seconds() for failures in (1, 2, 3, 9, 10, 1_000_000)]
    assert delays == [1, 2, 4, 256, 300, 300]
