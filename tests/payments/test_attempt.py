"""The state machines of attempts and payments, without anything around them."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.domain.attempt import (
    UNDER_WAY,
    AttemptState,
    Declined,
    NotMade,
    Outcome,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
    advance,
    idempotency_key,
    observed,
)
from services.payments.domain.payment import MOST_AUTOMATIC_ATTEMPTS, PaymentState, after_attempt

OUTCOMES: list[Outcome] = [
    Succeeded("pi_1"),
    Pending("pi_1"),
    RequiresAction("pi_1", "authentication_required", "m"),
    Declined("pi_1", "insufficient_funds", "m"),
    NotMade("amount_too_small", "m"),
    NotMade("not_made", "m", again=True),
    Unknown("timeout"),
]
outcomes = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=12)


def run(heard: list[Outcome]) -> tuple[AttemptState, PaymentState]:
    attempt, payment = AttemptState.SUBMITTING, PaymentState.PROCESSING
    for outcome in heard:
        before, attempt = attempt, advance(attempt, outcome)
        if attempt is not before:
            payment = after_attempt(payment, attempt, outcome, 1)
    return attempt, payment


@given(outcomes)
def test_a_success_once_heard_is_never_unlearned(heard: list[Outcome]) -> None:
    if any(isinstance(outcome, Succeeded) for outcome in heard):
        assert run(heard) == (AttemptState.SUCCEEDED, PaymentState.SUCCEEDED)


@given(outcomes)
def test_an_attempt_never_goes_back_to_not_knowing(heard: list[Outcome]) -> None:
    attempt = AttemptState.SUBMITTING
    for outcome in heard:
        after = advance(attempt, outcome)
        if attempt not in (AttemptState.SUBMITTING, AttemptState.UNKNOWN):
            assert after not in (AttemptState.SUBMITTING, AttemptState.UNKNOWN)
        attempt = after


@given(outcomes, st.sampled_from(OUTCOMES))
def test_hearing_the_same_twice_changes_nothing(heard: list[Outcome], last: Outcome) -> None:
    assert run([*heard, last, last]) == run([*heard, last])


@given(outcomes)
def test_a_payment_is_processing_exactly_while_its_attempt_is_under_way(heard: list[Outcome]) -> None:
    attempt, payment = run(heard)
    assert (attempt in UNDER_WAY) == (payment is PaymentState.PROCESSING)


@pytest.mark.parametrize(("payment", "outcome"), list(product(PaymentState, OUTCOMES)))
def test_a_collected_payment_stays_collected(payment: PaymentState, outcome: Outcome) -> None:
    after = after_attempt(payment, observed(outcome), outcome, 1)
    assert (after is PaymentState.SUCCEEDED) == (payment is PaymentState.SUCCEEDED or isinstance(outcome, Succeeded))


@pytest.mark.parametrize("waiting", [PaymentState.PENDING, PaymentState.AWAITING_METHOD])
def test_news_of_the_attempt_before_do_not_fail_a_payment_that_waits_for_the_next(waiting: PaymentState) -> None:
    assert after_attempt(waiting, AttemptState.DECLINED, Declined("pi_1", "canceled", "m"), 1) is waiting
    assert after_attempt(waiting, AttemptState.PENDING, Pending("pi_1"), 1) is PaymentState.PROCESSING


def test_what_the_processor_lost_is_tried_again_but_not_for_ever() -> None:
    lost = NotMade("not_made", "m", again=True)
    states = [
        after_attempt(PaymentState.PROCESSING, AttemptState.DECLINED, lost, number)
        for number in range(1, MOST_AUTOMATIC_ATTEMPTS + 1)
    ]
    assert states == [PaymentState.PENDING] * (MOST_AUTOMATIC_ATTEMPTS - 1) + [PaymentState.FAILED]


def test_keys_differ_by_attempt_and_fit_every_processor() -> None:
    keys = {idempotency_key("t" * 63, "pay_" + "0" * 26, number) for number in (1, 2, 10**9)}
    assert len(keys) == 3
    assert max(map(len, keys)) <= 128
