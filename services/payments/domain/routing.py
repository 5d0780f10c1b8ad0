"""Routing: through which account, and with which of the customer's methods, a payment is charged, and why.

The first rule that the payment meets, and of whose accounts the customer has a method, decides. Its accounts take turns
by their weights; the turn is drawn from the payment's id, so that whoever asks again gets the same one. Without such a
rule, the customer's newest method is charged.

Another account takes over only where the one before is known not to have charged.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.payments.domain.condition import Condition, Facts, mismatch
from services.payments.domain.method import MethodKind


class Failover(StrEnum):
    """Why the next attempt goes to another account."""

    LOST = "LOST"
    """The request was not carried out. If there is no other account, the same is asked again."""
    DECLINED = "DECLINED"
    """By the bank, which may answer another account otherwise."""


@dataclass(frozen=True, slots=True)
class Target:
    """An account with `weight` shares of the payments; one without any comes after all that have some."""

    processor_account_id: str
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """`kinds` of methods, all if there are none. When `declines_fail_over`, a charge that the bank has declined, and
    that may be tried again, is tried through the next account at once.
    """

    code: str
    condition: Condition
    kinds: tuple[MethodKind, ...]
    targets: tuple[Target, ...]
    declines_fail_over: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A method that can be charged."""

    method_id: str
    processor_account_id: str
    kind: MethodKind


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one rule or account: "" for the one that was taken, else why it was not."""

    name: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Preference:
    """The methods that may be charged, best first; `rule` is None where no rule decides."""

    rule: Rule | None
    rules: tuple[Verdict, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a method is not charged before `until`."""

    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What an attempt was decided by. `policy_version` is 0 without rules, `rule` "" where none decided, and
    `failover_of` the attempt that is taken over from, 0 if there is none.
    """

    policy_version: int
    rule: str
    rules: tuple[Verdict, ...]
    accounts: tuple[Verdict, ...]
    failover_of: int = 0
    failover: Failover | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """`candidate` is None where nothing can be charged now: before `until`, or at all if that is None too."""

    candidate: Candidate | None
    accounts: tuple[Verdict, ...]
    until: datetime | None = None


def preferred(rules: Sequence[Rule], facts: Facts, payment_id: str, candidates: Sequence[Candidate]) -> Preference:
    """`candidates` are the customer's, newest first."""
    seen: list[Verdict] = []
    for rule in rules:
        verdict = mismatch(rule.condition, facts)
        if not verdict:
            if found := _of(rule, payment_id, candidates):
                return Preference(rule, (*seen, Verdict(rule.code, "")), found)
            verdict = "the customer has no such method with its accounts"
        seen.append(Verdict(rule.code, verdict))
    return Preference(None, tuple(seen), tuple(candidates[:1]))


def chosen(
    preference: Preference,
    obstacles: Mapping[str, Obstacle],
    tried: frozenset[str] = frozenset(),
    failover: Failover | None = None,
) -> Choice:
    """The first that nothing stands against. `obstacles` are by method, and `tried` the accounts that are known not to
    have charged just now.
    """
    seen: list[Verdict] = []
    for each in preference.candidates:
        if each.processor_account_id in tried:
            seen.append(Verdict(each.processor_account_id, "it has not charged this payment just now"))
        elif (obstacle := obstacles.get(each.method_id)) is not None:
            seen.append(Verdict(each.processor_account_id, obstacle.reason))
        else:
            return Choice(each, (*seen, Verdict(each.processor_account_id, "")))
    if tried and failover is Failover.LOST:
        return chosen(preference, obstacles)
    waits = [
        obstacles[each.method_id].until
        for each in preference.candidates
        if each.method_id in obstacles and each.processor_account_id not in tried
    ]
    return Choice(None, tuple(seen), min(waits, default=None))


def in_turn(targets: Sequence[Target], seed: str) -> tuple[Target, ...]:
    """All of them, drawn by weight without putting back: of whichever of them are there, each is the first as often as
    its weight among theirs says. The same for the same `seed`.
    """
    left = [each for each in targets if each.weight]
    turn: list[Target] = []
    while left:
        drawn = _draw(f"{seed}/{len(turn)}", sum(each.weight for each in left))
        for each in left:
            if drawn < each.weight:
                break
            drawn -= each.weight
        turn.append(each)
        left.remove(each)
    return (*turn, *(each for each in targets if not each.weight))


def _draw(seed: str, below: int) -> int:
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()) % below


def _of(rule: Rule, payment_id: str, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    newest: dict[str, Candidate] = {}
    for each in candidates:
        if not rule.kinds or each.kind in rule.kinds:
            newest.setdefault(each.processor_account_id, each)
    turn = in_turn(rule.targets, f"{payment_id}/{rule.code}")
    return tuple(newest[each.processor_account_id] for each in turn if each.processor_account_id in newest)
