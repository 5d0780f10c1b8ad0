"""Versions of a meter: a changed definition counts the events from an instant on, the past stays as it was billed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from libs.common.errors import FailedPrecondition, InvalidArgument
from services.metering.domain.meters import Meter

NOTICE = timedelta(minutes=10)
"""How long before it takes effect a version is made: five minutes that an event may be ahead of the server's clock, and
as much for what is being recorded. So no event that is recorded, or was judged without the version, is its to count."""

LATEST = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class History:
    """The versions of one meter, at least one, in the order of time; each is in effect until the next one's `since`."""

    versions: tuple[Meter, ...]

    @property
    def code(self) -> str:
        return self.versions[0].code

    def at(self, instant: datetime) -> Meter:
        """The version in effect."""
        if len(self.versions) == 1:
            return self.versions[0]
        return next(each for each in reversed(self.versions) if each.since is None or each.since <= instant)

    def after(self, instant: datetime) -> Sequence[Meter]:
        """Versions that are yet to take effect."""
        return [each for each in self.versions if each.since is not None and each.since > instant]

    def during(self, start: datetime | None, end: datetime | None) -> tuple[Meter, ...]:
        """Versions in effect at some time of [start, end); None is the beginning and the end of time."""
        if len(self.versions) == 1:
            return self.versions
        return tuple(
            each
            for each in self.versions
            if (each.since is None or end is None or each.since < end)
            and (start is None or each.until is None or start < each.until)
        )

    def known_at(self, watermark: int) -> "History":
        """Without versions that were made later."""
        if len(self.versions) == 1:
            return self
        return history(each for each in self.versions if each.sequence <= watermark)

    def widest(self) -> Meter:
        """The meter with the dimensions of all its versions: events keep their properties, whoever declares them."""
        dimensions = dict.fromkeys(name for each in self.versions for name in each.dimensions)
        return replace(self.versions[-1], dimensions=tuple(dimensions))


def history(versions: Iterable[Meter]) -> History:
    """Of versions in their order, whose `until` is not known yet."""
    ordered = tuple(versions)
    if len(ordered) == 1:
        return History(ordered)
    ends = [each.since for each in ordered[1:]]
    return History(tuple(replace(each, until=end) for each, end in zip(ordered, [*ends, None], strict=True)))


def histories(versions: Iterable[Meter]) -> list[History]:
    """Of versions ordered by code and number."""
    by_code: dict[str, list[Meter]] = {}
    for each in versions:
        by_code.setdefault(each.code, []).append(each)
    return [history(mine) for mine in by_code.values()]


def next_version(history: History, asked: datetime | None, now: datetime, test_now: datetime | None = None) -> Meter:
    """The version that a meter gets at `now`, in effect as asked or as soon as can be, defined as its last one. With a
    test clock that is ahead, events may be recorded up to there.

    Raises InvalidArgument for an instant that is too early or too late, and FailedPrecondition METER_VERSION_PENDING.
    """
    earliest, last = max(now, test_now or now) + NOTICE, history.versions[-1]
    since = asked or earliest
    if since < earliest:
        raise InvalidArgument(
            "EFFECTIVE_TIME_TOO_EARLY",
            f"effective_time is {since.isoformat()}; the earliest is {earliest.isoformat()}, ten minutes from now",
            field="effective_time",
        )
    if since > LATEST:
        raise InvalidArgument("TIME_OUT_OF_RANGE", "effective_time is after 2199", field="effective_time")
    if last.since is not None and since <= last.since:
        raise FailedPrecondition(
            "METER_VERSION_PENDING",
            f"meter {last.code} has a version from {last.since.isoformat()} on; another one takes effect after it",
            meter_code=last.code,
        )
    return replace(last, version=last.version + 1, since=since, create_time=now)
