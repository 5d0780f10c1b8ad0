"""What ingestion watches: for each event code the meters whose versions count it, and when they do."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from services.metering.domain.computed import computed
from services.metering.domain.events import micros_of
from services.metering.domain.meters import Computation, Meter, Watch, value_rules
from services.metering.domain.versions import History


def watches(histories: Iterable[History], before: Mapping[str, Watch]) -> dict[str, Watch]:
    """By event code; series keep the numbers that they had `before`."""
    by_code: dict[str, list[Meter]] = defaultdict(list)
    for each in histories:
        for version in each.versions:
            by_code[version.event_code].append(version)
    return {code: _watch(versions, before[code].series if code in before else {}) for code, versions in by_code.items()}


def _watch(versions: list[Meter], series: dict[str, int]) -> Watch:
    """With an era for each time between two instants at which versions come or go."""
    instants = sorted({each for version in versions for each in (version.since, version.until) if each is not None})
    if not instants:
        return _watch_of(versions, series)
    eras = []
    for start in (None, *instants):
        mine = [each for each in versions if _is_in_effect(each, start)]
        eras.append(_watch_of(mine, series) if mine else None)
    return Watch((), series, starts=tuple(micros_of(each) for each in instants), eras=tuple(eras))


def _watch_of(versions: list[Meter], series: dict[str, int]) -> Watch:
    """Of versions that are in effect all the time."""
    rules, computes = value_rules(versions), computed(versions)
    if computes:
        return Watch((), series, Computation(computes, rules))
    return Watch(rules, series)


def _is_in_effect(version: Meter, instant: datetime | None) -> bool:
    """None is the beginning of time."""
    if instant is None:
        return version.since is None
    return (version.since is None or version.since <= instant) and (version.until is None or instant < version.until)
