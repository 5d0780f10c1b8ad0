"""How deferred revenue is earned: a pure schedule of days.

Amounts are minor units. The sum earned up to a day is rounded, half away from zero, and not what a day earns: so days
add up to the amount, and what is earned and what is deferred to what was invoiced, on every day.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Earning:
    """`amount` of an invoice's `part`, evenly over `days` from `first_day` on, without the first `skipped` of them.
    Nothing is earned before `from_date`, where the period before it is closed: that day earns what those would have.

    It is booked on the day `booked`; what is earned before is unbilled.
    """

    part: int
    amount: int
    first_day: date
    days: int
    booked: date
    from_date: date
    skipped: int = 0

    @property
    def whole(self) -> int:
        """What it comes to in the end."""
        return self.amount - earned_part(self.amount, self.skipped, self.days)

    @property
    def last_day(self) -> date:
        return self.first_day + (self.days - 1) * ONE_DAY

    def elapsed(self, day: date) -> int:
        """How many of its days are over at the end of `day`."""
        return min(max((day - self.first_day).days + 1, self.skipped), self.days)

    def earned(self, day: date) -> int:
        """What has been earned at the end of `day`."""
        if day < self.from_date:
            return 0
        before = earned_part(self.amount, self.skipped, self.days)
        return earned_part(self.amount, self.elapsed(day), self.days) - before


def earned_part(amount: int, elapsed: int, days: int) -> int:
    part = (2 * abs(amount) * elapsed + days) // (2 * days)
    return part if amount >= 0 else -part


def whole(earnings: Iterable[Earning]) -> int:
    return sum(each.whole for each in earnings)


def changed(earnings: Sequence[Earning], part: int, change: int, day: date, from_date: date) -> list[Earning]:
    """What is added to the `earnings` of a part so that they come to `change` more in the end, from `day` on.

    What is taken back is taken from what is deferred, and only the rest of it from what is earned already, at once.
    What stays deferred, or is given again, is earned evenly over the days that are left. Nothing up to `day` moves.
    """
    deferred = whole(earnings) - sum(each.earned(day) for each in earnings)
    first = max(day + ONE_DAY, min((each.first_day for each in earnings), default=day))
    last = max((each.last_day for each in earnings), default=day)
    stays = deferred + change
    if last < first or (deferred >= 0) != (stays >= 0):
        stays = 0
    at_once = deferred + change - stays
    added = [replace(each, booked=day, from_date=from_date) for each in _closing(earnings, day)]
    if stays:
        added.append(Earning(part, stays, first, (last - first).days + 1, day, from_date))
    if at_once:
        added.append(Earning(part, at_once, day, 1, day, from_date))
    return added


def _closing(earnings: Iterable[Earning], day: date) -> Iterator[Earning]:
    """Of each schedule that has days after `day`, those days with the opposite sign."""
    together: dict[tuple[date, int], Earning] = {}
    for each in earnings:
        if each.last_day > day:
            found = together.get((each.first_day, each.days))
            amount = each.amount + (found.amount if found else 0)
            together[each.first_day, each.days] = replace(each, amount=amount, skipped=0)
    for each in together.values():
        if each.amount:
            yield replace(each, amount=-each.amount, skipped=each.elapsed(day))
