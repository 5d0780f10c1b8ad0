"""Proration: what is held for some days of a billing period counts for these days.

Days are local calendar days; the day on which something begins counts, and so does the day on which it ends.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from libs.common.money import EXACT
from services.metering.domain.rounding import ceil_to

PRORATED_DIGITS = 5
_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Frame:
    """[start, end), a part of the billing period [full_start, full_end), and the zone in which its days begin."""

    start: datetime
    end: datetime
    full_start: datetime
    full_end: datetime
    zone: ZoneInfo

    @property
    def full_days(self) -> int:
        return (self._day(self.full_end - _TICK) - self._day(self.full_start)).days + 1

    @property
    def full_seconds(self) -> Fraction:
        return Fraction((self.full_end - self.full_start) // _TICK, 1_000_000)

    @property
    def first_day(self) -> date:
        return self._day(self.start)

    @property
    def last_day(self) -> date:
        return self._day(self.end - _TICK)

    def day_of(self, instant: datetime) -> date:
        """The day of `instant`, or the first one for what was there before."""
        return max(self._day(instant), self.first_day)

    def days_from(self, instant: datetime) -> int:
        """From the day of `instant` to the last one, both included."""
        return (self.last_day - self.day_of(instant)).days + 1

    def unit_days(self, units: Decimal, since: datetime) -> Decimal:
        return EXACT.multiply(units, Decimal(self.days_from(since)))

    def day_starts(self) -> list[datetime]:
        """The instants at which the days of [start, end) begin; the first one is `start`."""
        days = (self.first_day + _DAY * number for number in range(1, self.days_from(self.start)))
        return [self.start, *(datetime.combine(day, time(), self.zone) for day in days)]

    def prorated(self, unit_days: Decimal) -> Decimal:
        """Units that were held for `unit_days` in all, as units for the billing period; never negative."""
        return max(Decimal(0), ceil_to(Fraction(unit_days) / self.full_days, PRORATED_DIGITS))

    def _day(self, instant: datetime) -> date:
        return instant.astimezone(self.zone).date()
