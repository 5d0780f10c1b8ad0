"""Late usage: events before a time that count at one watermark and not at another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class LateQuestion(NamedTuple):
    """What has changed for a subscription since watermark `since`, of events before `before`?"""

    subscription_id: str
    since: int
    before: datetime


class LateUsage(NamedTuple):
    """Events of a meter that have changed, the first and the last of them by their own time."""

    meter_code: str
    first_time: datetime
    last_time: datetime
    event_count: int


@dataclass(frozen=True, slots=True)
class LateAnswers:
    """To each question the meters with changes, in the order asked, all at one watermark."""

    usages: Sequence[Sequence[LateUsage]]
    watermark: int
