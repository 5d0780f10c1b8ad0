"""What usage that came after the bill comes to: a period at a new watermark, less the same at the prior one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from libs.common.money import Money
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.rating import PartKey

RatingKey: TypeAlias = tuple[str, PartKey]
"""A charge's code, and the part of it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Usage of a phase in a period, billed as of the `prior` watermark and looked at again at `watermark`."""

    source: Source
    period: Period
    prior: int
    watermark: int


@dataclass(frozen=True, slots=True)
class Correction:
    """What is to be given back of the lines that billed a charge's usage: `amount` is above 0. Without a `key` it is of
    what was missing to the commitment. Under a commitment, what is left of a line may be another's: what `is_pooled`
    is given back of any line of the period that has something left.
    """

    source: Source
    period: Period
    key: RatingKey | None
    amount: Money
    is_pooled: bool = False


def late_usage(
    late: Slice,
    before: Iterable[RatedUsage],
    now: Iterable[RatedUsage],
    key_of: Callable[[RatedUsage], RatingKey],
    plan: PlanVersion,
) -> tuple[list[Line], list[Correction]]:
    """Lines for what a slice comes to now beyond what it came to `before`.

    A charge that comes to more has a line for each of its amounts that has changed, also one that takes away; of one
    that comes to less, what has become less is given back of what was billed (law 4).
    """
    was = {key_of(each): each for each in before}
    found = {key_of(each): each for each in now}
    changes = dict(_changes(was, found))
    lines, corrections = [], []
    for key, change in changes.items():
        net = sum(amount.minor_units for (code, _), amount in changes.items() if code == key[0])
        if net < 0 and change.minor_units < 0:
            corrections.append(Correction(late.source, late.period, key, Money(-change.minor_units, change.currency)))
        else:
            lines.append(_line(late, found.get(key) or was[key], change, plan))
    return lines, corrections


def _changes(
    was: Mapping[RatingKey, RatedUsage], found: Mapping[RatingKey, RatedUsage]
) -> Iterator[tuple[RatingKey, Money]]:
    for key in dict.fromkeys((*found, *was)):
        before, now = was.get(key), found.get(key)
        currency = (now or was[key]).amount.currency
        nothing = Money(0, currency)
        change = (now.amount if now else nothing) - (before.amount if before else nothing)
        if change.minor_units:
            yield key, change


def _line(late: Slice, usage: RatedUsage, amount: Money, plan: PlanVersion) -> Line:
    """The difference of two rounded amounts, which is not rounded again."""
    return Line(
        LineKind.LATE_USAGE,
        usage.code,
        f"{usage.name}, recorded late",
        late.source,
        late.period,
        amount,
        amount.amount,
        plan.tax_codes_of(usage.code),
        rating=usage.rating,
        watermark=late.watermark,
        prior_watermark=late.prior,
        meter_code=usage.meter_code,
        is_tax_inclusive=plan.is_tax_inclusive,
    )


def credited(
    correction: Correction, billed: Sequence[tuple[Line, Money]], key_of: Callable[[Line], RatingKey]
) -> Iterator[tuple[int, Money]]:
    """Which of the `billed` lines, each with what is left of it to credit, give a correction back: (index, amount)."""
    left = correction.amount.minor_units
    own_first = sorted(enumerate(billed), key=lambda each: _is_another(correction, each[1][0], key_of))
    for index, (line, creditable) in own_first:
        if (line.source, line.period.start) != (correction.source, correction.period.start):
            continue
        if _is_another(correction, line, key_of) and not correction.is_pooled:
            continue
        if (amount := min(left, creditable.minor_units)) > 0:
            yield index, Money(amount, correction.amount.currency)
            left -= amount


def _is_another(correction: Correction, line: Line, key_of: Callable[[Line], RatingKey]) -> bool:
    """Whether a line is not what the correction is of."""
    is_commitment = line.kind is LineKind.COMMITMENT
    return is_commitment != (correction.key is None) or not (is_commitment or key_of(line) == correction.key)
