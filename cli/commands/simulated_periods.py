"""The period that `weir simulate` is told: `2023`, `2023-H2`, `2023-Q4`, `2023-11`, `2023-W47`, or its first day."""

import re
from dataclasses import dataclass
from datetime import date

from google.type.date_pb2 import Date

from cli.errors import WrongUsage
from weir.pricing.v1.pricing_pb2 import PlanVersion

_PERIOD = re.compile(r"(\d{4})(?:-(?:H([12])|Q([1-4])|W([0-5]\d)|(\d\d)(?:-(\d\d))?))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SimulatedPeriod:
    """Of an UNSPECIFIED `interval`, it is as long as what the candidates are billed by."""

    first_day: date
    interval: "PlanVersion.BillingInterval.ValueType"

    @property
    def start_date(self) -> Date:
        return Date(year=self.first_day.year, month=self.first_day.month, day=self.first_day.day)


def period_in(text: str) -> SimulatedPeriod:
    """Raises WrongUsage."""
    try:
        if (found := _PERIOD.fullmatch(text)) is None:
            raise ValueError
        return _read(*(int(each) if each else None for each in found.groups()))
    except ValueError:
        raise WrongUsage(
            f"--period: {text!r} is not a period such as 2023-11, 2023-W47, 2023-Q4, 2023-H2 or 2023, nor the first day"
            " of one such as 2023-10-01"
        ) from None


def _read(
    year: int | None, half: int | None, quarter: int | None, week: int | None, month: int | None, day: int | None
) -> SimulatedPeriod:
    """Raises ValueError for what no calendar has."""
    year = year or 0
    if half is not None:
        return SimulatedPeriod(date(year, half * 6 - 5, 1), PlanVersion.BILLING_INTERVAL_SEMIANNUAL)
    if quarter is not None:
        return SimulatedPeriod(date(year, quarter * 3 - 2, 1), PlanVersion.BILLING_INTERVAL_QUARTERLY)
    if week is not None:
        return SimulatedPeriod(date.fromisocalendar(year, week, 1), PlanVersion.BILLING_INTERVAL_WEEKLY)
    if day is not None:
        return SimulatedPeriod(date(year, month or 0, day), PlanVersion.BILLING_INTERVAL_UNSPECIFIED)
    if month is not None:
        return SimulatedPeriod(date(year, month, 1), PlanVersion.BILLING_INTERVAL_MONTHLY)
    return SimulatedPeriod(date(year, 1, 1), PlanVersion.BILLING_INTERVAL_YEARLY)
