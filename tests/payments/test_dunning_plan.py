"""When dunning does what, what a decline means, and how often a card may be tried: pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument
from services.payments.domain.decline import Advice, advice
from services.payments.domain.dunning import FinalAction, Policy, Reminder, StepKind, plan, rendered, require_template
from services.payments.domain.limit import debit_free_time, free_time, is_limited_debit, network_of
from services.payments.domain.method import MethodKind

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 26, 22, 30, tzinfo=UTC)
"""The 26th there; the clocks go forward on the 29th."""


def policy(**changes: object) -> Policy:
    chosen = {
        "time_zone": BERLIN,
        "hour": 9,
        "paydays": (),
        "retry_days": (1, 3, 5),
        "reminders": (Reminder(0, "s", "b"), Reminder(3, "s", "b")),
        "final_day": 7,
        "final_action": FinalAction.CANCEL,
    }
    return Policy(**(chosen | changes))  # type: ignore[arg-type]


def local(chosen: Policy) -> list[str]:
    return [f"{step.kind} {step.due_time.astimezone(BERLIN):%d %H}" for step in plan(chosen, START)]


def test_steps_take_place_at_the_hour_there_in_summer_and_in_winter() -> None:
    assert local(policy()) == [
        "REMIND 26 23",
        "RETRY 27 09",
        "RETRY 29 09",
        "REMIND 29 09",
        "RETRY 31 09",
        "FINAL 02 09",
    ]


def test_a_retry_next_to_a_payday_moves_to_it_and_two_on_one_day_are_one() -> None:
    for retry_days, paydays, days in (
        ((1, 3, 5), (28, 30, 1), ["28", "30", "01"]),
        ((1, 2), (26,), ["27", "28"]),
        ((1, 2, 3), (28,), ["28"]),
    ):
        told = local(policy(reminders=(), retry_days=retry_days, paydays=paydays))
        assert told == [*(f"RETRY {day} 09" for day in days), "FINAL 02 09"]


policies = st.builds(
    policy,
    hour=st.integers(0, 23),
    time_zone=st.sampled_from([BERLIN, ZoneInfo("UTC"), ZoneInfo("Pacific/Apia"), ZoneInfo("America/New_York")]),
    paydays=st.lists(st.integers(1, 31), max_size=3).map(tuple),
    retry_days=st.lists(st.integers(1, 60), max_size=8).map(tuple),
    reminders=st.lists(st.integers(0, 60).map(lambda day: Reminder(day, "s", "b")), max_size=5).map(tuple),
)


@given(policies, st.integers(0, 10**9).map(lambda seconds: START + timedelta(seconds=seconds)))
def test_dunning_is_in_order_and_ends_with_the_final_action(chosen: Policy, start: datetime) -> None:
    steps = plan(chosen, start)
    assert [step.position for step in steps] == list(range(1, len(steps) + 1))
    assert [step.kind is StepKind.FINAL for step in steps] == [False] * (len(steps) - 1) + [True]
    times = [step.due_time for step in steps]
    assert times == sorted(times)
    assert times[0] >= start - timedelta(days=1)
    retries = [step.due_time.date() for step in steps if step.kind is StepKind.RETRY]
    assert len(set(retries)) == len(retries) <= len(chosen.retry_days)
    assert all(day > start.astimezone(chosen.time_zone).date() for day in retries)


@pytest.mark.parametrize(
    ("processor", "code", "expected"),
    [
        ("stripe", "insufficient_funds", Advice.RETRY_LATER),
        ("stripe", "authentication_required", Advice.NEEDS_CUSTOMER),
        ("stripe", "stolen_card", Advice.NEVER_AGAIN),
        ("stripe", "nobody_knows_this_code", Advice.RETRY_LATER),
        ("adyen", "12", Advice.RETRY_LATER),
        ("adyen", "38", Advice.NEEDS_CUSTOMER),
        ("adyen", "46", Advice.NEVER_AGAIN),
        ("gocardless", "refer_to_payer", Advice.RETRY_LATER),
        ("gocardless", "mandate_suspended_by_payer", Advice.NEEDS_CUSTOMER),
        ("gocardless", "bank_account_closed", Advice.NEVER_AGAIN),
        ("gocardless", "amount_not_representable", Advice.NEVER_AGAIN),
        ("another", "insufficient_funds", Advice.RETRY_LATER),
    ],
)
def test_a_decline_says_what_to_do_next(processor: str, code: str, expected: Advice) -> None:
    assert advice(processor, code) is expected


@pytest.mark.parametrize(
    ("label", "hours", "tries", "free_after"),
    [
        ("visa ending in 4242", 24, 19, 0),
        ("visa ending in 4242", 24, 20, 11 * 24),
        ("visa ending in 4242", 37, 20, 30 * 24 - 19 * 37),
        ("visa ending in 4242", 48, 20, 0),
        ("mastercard ending in 4444", 1, 9, 0),
        ("mastercard ending in 4444", 1, 10, 15),
        ("mastercard ending in 4444", 20, 35, 30 * 24 - 34 * 20),
        ("STRIPE TEST BANK ending in 6789", 1, 35, 0),
    ],
)
def test_a_card_is_left_alone_when_its_network_says_so(label: str, hours: int, tries: int, free_after: int) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    declined = [now - timedelta(hours=hours * n) for n in range(tries)]
    assert free_time(network_of(label), declined, now) == now + timedelta(hours=free_after)


@pytest.mark.parametrize(
    ("kind", "tries", "free_after_days"),
    [
        (MethodKind.ACH_DEBIT, 2, 0),
        (MethodKind.ACH_DEBIT, 3, 160),
        (MethodKind.SEPA_DEBIT, 3, 22),
        (MethodKind.BACS_DEBIT, 3, 10),
        (MethodKind.CARD, 35, 0),
    ],
)
def test_a_debit_is_presented_again_twice_at_most(kind: MethodKind, tries: int, free_after_days: int) -> None:
    """Ten days between tries."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    declined = [now - timedelta(days=10 * n) for n in range(tries)]
    assert debit_free_time(kind, declined, now) == now + timedelta(days=free_after_days)
    assert is_limited_debit(kind) is (kind is not MethodKind.CARD)


def test_templates_name_what_there_is() -> None:
    require_template("Dear $customer, $$5", "f")
    assert rendered("Dear ${customer}, $$5", {"customer": "$amount"}) == "Dear $amount, $5"
    for wrong in ("$password", "100 $", "${customer"):
        with pytest.raises(InvalidArgument) as refused:
            require_template(wrong, "f")
        assert refused.value.reason == "TEMPLATE_MALFORMED"
