"""Reconciliation: figures that are kept apart, held against each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, auto

from services.metering.domain.buckets import DAY, HOUR, MINUTE, MONTH
from services.metering.domain.intake import ACCEPTED, DUPLICATE

FIGURES = ("event_count", "total", "smallest", "largest", "amount")
"""What a bucket holds."""

Figures = tuple[Decimal | int | None, ...]


class Kind(Enum):
    RECORDED = auto()
    BACKFILLED = auto()
    ADDED_UP = auto()
    NESTED = auto()
    KEY_MISSING = auto()
    KEY_STRAY = auto()


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures that should be equal and are not, of [start, end); None where there is none."""

    kind: Kind
    period: tuple[datetime, datetime] | None
    figure: str
    expected: Decimal | int | None
    actual: Decimal | int | str | None
    subscription_id: str = ""
    event_code: str = ""
    value_property: str = ""
    backfill_id: str = ""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """`rejections` are by reason."""

    watermark: int
    accepted: int
    backfilled: int
    duplicates: int
    rejections: Mapping[str, int]
    folded: int
    waiting: int
    archived: int
    differences: Sequence[Difference]

    @property
    def received(self) -> int:
        return self.accepted + self.backfilled + self.duplicates + sum(self.rejections.values())


@dataclass(frozen=True, slots=True)
class Day:
    """One day of reception: events answered by fate, those that went into backfills, and events that are there."""

    day: date
    intake: Mapping[str, int] = field(default_factory=dict)
    backfilled: int = 0
    folded: int = 0
    waiting: int = 0
    archived: int = 0

    @property
    def accepted(self) -> int:
        return self.intake.get(ACCEPTED, 0)

    @property
    def recorded(self) -> int:
        return self.folded + self.waiting + self.archived


def reconciliation(watermark: int, days: Sequence[Day], compared: Sequence[Difference]) -> Reconciliation:
    """`compared` are the differences found by going through events and buckets."""
    fates: dict[str, int] = {}
    for each in days:
        for fate, count in each.intake.items():
            fates[fate] = fates.get(fate, 0) + count
    return Reconciliation(
        watermark=watermark,
        accepted=fates.pop(ACCEPTED, 0),
        backfilled=sum(each.backfilled for each in days),
        duplicates=fates.pop(DUPLICATE, 0),
        rejections=fates,
        folded=sum(each.folded for each in days),
        waiting=sum(each.waiting for each in days),
        archived=sum(each.archived for each in days),
        differences=[*_not_recorded(days), *compared],
    )


def _not_recorded(days: Sequence[Day]) -> Iterator[Difference]:
    for each in days:
        if each.accepted != each.recorded:
            yield Difference(Kind.RECORDED, day_period(each.day), FIGURES[0], each.accepted, each.recorded)


def first_difference(expected: Figures, actual: Figures) -> tuple[str, Decimal | int | None, Decimal | int | None]:
    """Of two buckets that differ."""
    pairs = zip(FIGURES, expected, actual, strict=True)
    return next((name, left, right) for name, left, right in pairs if left != right)


def days_of(start: datetime, end: datetime) -> Iterator[date]:
    """Of two midnights in UTC."""
    for number in range((end - start).days):
        yield (start + timedelta(days=number)).date()


def day_period(day: date) -> tuple[datetime, datetime]:
    """In UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def month_period(day: date) -> tuple[datetime, datetime]:
    """The month in UTC that a day is in."""
    start, _ = day_period(day.replace(day=1))
    return start, (start + timedelta(days=32)).replace(day=1)


def bucket_period(start: datetime, width: int) -> tuple[datetime, datetime]:
    """Of a bucket that begins at `start`, in UTC."""
    if width == MONTH:
        return month_period(start.date())
    return start, start + {DAY: timedelta(days=1), HOUR: timedelta(hours=1), MINUTE: timedelta(minutes=1)}[width]
