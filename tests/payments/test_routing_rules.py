"""Rules alone: who is preferred, whose turn it is, what stands against it, and when a circuit opens."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.payments.domain.breaker import MEMORY, OPEN_FOR, OPENS_AT, Health, after_failure, after_success
from services.payments.domain.condition import Condition, Facts, mismatch
from services.payments.domain.method import MethodKind
from services.payments.domain.routing import (
    Candidate,
    Failover,
    Obstacle,
    Rule,
    Target,
    chosen,
    in_turn,
    preferred,
)

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
NAMES = ("adyen", "gocardless", "stripe", "america")
CARD = MethodKind.CARD


def rule(code: str, *targets: str, **changes: object) -> Rule:
    made = {"condition": Condition(), "kinds": (), "targets": tuple(Target(name) for name in targets)}
    return Rule(code=code, **{**made, **changes})  # type: ignore[arg-type]


def method(account: str, kind: MethodKind = CARD, number: int = 1) -> Candidate:
    return Candidate(f"pm_{account}_{number}", account, kind)


targets = st.lists(
    st.builds(Target, st.sampled_from(NAMES), st.integers(0, 9)),
    min_size=1,
    unique_by=lambda target: target.processor_account_id,
)


@given(targets, st.text(max_size=8))
def test_a_turn_has_every_account_once_and_those_without_a_weight_last(given: list[Target], seed: str) -> None:
    turn = in_turn(given, seed)
    assert sorted(map(repr, turn)) == sorted(map(repr, given))
    assert turn == in_turn(given, seed), "whoever asks again gets the same turn"
    weights = [target.weight > 0 for target in turn]
    assert weights == sorted(weights, reverse=True)
    assert [each for each in turn if not each.weight] == [each for each in given if not each.weight]


def test_shares_are_kept_also_among_the_accounts_that_are_left() -> None:
    """70 to 20 to 10 of 6,000 payments; of customers who have no method with the first, 2 to 1."""
    given = (Target("stripe", 70), Target("adyen", 20), Target("gocardless", 10))
    turns = [in_turn(given, f"pay_{number}/r") for number in range(6000)]
    first = Counter(turn[0].processor_account_id for turn in turns)
    assert abs(first["stripe"] - 4200) < 150
    assert abs(first["adyen"] - 1200) < 150
    left = Counter(next(t.processor_account_id for t in turn if t.processor_account_id != "stripe") for turn in turns)
    assert abs(left["adyen"] - 4000) < 150


@given(st.permutations(NAMES), st.sets(st.sampled_from(NAMES)), st.text(max_size=4))
def test_an_account_that_goes_away_changes_nobody_elses_turn(order: list[str], gone: set[str], seed: str) -> None:
    """A retry is not drawn anew because another account was connected or has no method any more."""
    made = rule("r", *order, targets=tuple(Target(name, 1) for name in order))
    everything = preferred([made], Facts("EUR", 1), seed, [method(name) for name in NAMES]).candidates
    rest = preferred([made], Facts("EUR", 1), seed, [method(name) for name in NAMES if name not in gone]).candidates
    if rest and len(gone) < len(NAMES):
        assert list(rest) == [each for each in everything if each.processor_account_id not in gone]


def test_the_first_rule_that_is_met_and_has_a_method_decides() -> None:
    rules = [
        rule("pounds", "gocardless", condition=Condition(currencies=("GBP",))),
        rule("debits", "gocardless", kinds=(MethodKind.SEPA_DEBIT,)),
        rule("rest", "adyen", "stripe"),
        rule("never", "stripe"),
    ]
    kept = [method("stripe", number=2), method("stripe"), method("adyen"), method("gocardless")]
    found = preferred(rules, Facts("EUR", 100), "pay_1", kept)
    assert [(each.name, each.verdict) for each in found.rules] == [
        ("pounds", "currency is EUR, not GBP"),
        ("debits", "the customer has no such method with its accounts"),
        ("rest", ""),
    ]
    assert found.candidates == (method("adyen"), method("stripe", number=2)), "the newest of each account"
    assert preferred(rules[:1], Facts("EUR", 100), "pay_1", kept).candidates == (kept[0],), "without a rule, the newest"
    assert preferred(rules, Facts("EUR", 100), "pay_1", []).candidates == ()


def test_a_condition_names_what_is_not_met() -> None:
    condition = Condition(("EUR",), ("DE", "AT"), ("gold",), 100, 500)
    assert mismatch(condition, Facts("EUR", 100, "AT", "gold")) == ""
    assert mismatch(condition, Facts("EUR", 500, "DE", "gold")) == ""
    assert mismatch(condition, Facts("USD", 100, "DE", "gold")) == "currency is USD, not EUR"
    assert mismatch(condition, Facts("EUR", 100, "", "gold")) == "country is not known, not DE or AT"
    assert mismatch(condition, Facts("EUR", 100, "DE", "iron")) == "segment is iron, not gold"
    assert mismatch(condition, Facts("EUR", 99, "DE", "gold")) == "amount is 99, less than 100"
    assert mismatch(condition, Facts("EUR", 501, "DE", "gold")) == "amount is 501, more than 500"


@given(st.lists(st.sampled_from(NAMES), unique=True), st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_what_is_taken_was_not_tried_and_has_no_obstacle(order: list[str], tried: set[str], barred: set[str]) -> None:
    preference = preferred([rule("r", *order)] if order else [], Facts("EUR", 1), "pay_1", list(map(method, order)))
    wait = {method(name).method_id: Obstacle("closed", NOW + timedelta(hours=len(name))) for name in barred}
    choice = chosen(preference, wait, frozenset(tried), Failover.DECLINED)
    free = [each for each in preference.candidates if each.processor_account_id not in tried | barred]
    assert choice.candidate == (free[0] if free else None)
    assert [each.verdict for each in choice.accounts if not each.verdict] == ([""] if free else [])
    waiting = [wait[method(name).method_id].until for name in order if name in barred - tried]
    assert choice.until == (None if free else min(waiting, default=None))


def test_what_was_lost_is_asked_of_the_same_account_where_there_is_no_other() -> None:
    preference = preferred([rule("r", "stripe", "adyen")], Facts("EUR", 1), "pay_1", [method("stripe")])
    assert chosen(preference, {}, frozenset({"stripe"}), Failover.LOST).candidate == method("stripe")
    assert chosen(preference, {}, frozenset({"stripe"}), Failover.DECLINED).candidate is None


def test_a_circuit_opens_for_longer_each_time_and_one_probe_closes_it() -> None:
    health: Health | None = None
    for number in range(OPENS_AT):
        assert health is None or health.open_until is None
        health = after_failure(health, NOW + timedelta(seconds=number), is_probe=False)
    opened = NOW + timedelta(seconds=OPENS_AT - 1)
    assert health is not None
    for step in (*OPEN_FOR, OPEN_FOR[-1]):
        assert health.open_until == opened + step
        assert health.is_open(opened)
        assert after_failure(health, opened, is_probe=False) == health, "it was sent before the circuit opened"
        assert after_success(health, is_probe=False) == health
        opened += step
        assert health.is_half_open(opened)
        health = after_failure(health, opened, is_probe=True)
    assert after_success(health, is_probe=True) is None


@settings(max_examples=200)
@given(st.lists(st.booleans(), max_size=60))
def test_a_circuit_is_open_exactly_when_failures_once_outnumbered_successes(failed: list[bool]) -> None:
    health: Health | None = None
    count, has_opened = 0, False
    for is_failure in failed:
        count = max(0, count + (1 if is_failure else -1))
        has_opened = has_opened or count >= OPENS_AT
        if is_failure:
            health = after_failure(health, NOW, is_probe=False)
        elif health is not None:
            health = after_success(health, is_probe=False)
        assert (health is not None and health.open_until is not None) == has_opened
        if has_opened:
            return


def test_failures_of_long_ago_are_forgotten() -> None:
    health: Health | None = None
    for number in range(OPENS_AT * 3):
        health = after_failure(health, NOW + number * (MEMORY + timedelta(seconds=1)), is_probe=False)
        assert health.failures == 1
