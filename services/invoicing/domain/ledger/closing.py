"""Periods that nothing is booked in any more."""

from dataclasses import dataclass
from datetime import date, datetime

from libs.common.errors import FailedPrecondition


@dataclass(frozen=True, slots=True)
class Closing:
    """The books of a legal entity, up to and with a day."""

    legal_entity: str
    closed_through: date
    create_time: datetime


def require_closable(closing: Closing, closed_through: date, today: date) -> None:
    """Raises FailedPrecondition LEDGER_PERIOD_CLOSED and LEDGER_PERIOD_NOT_OVER."""
    if closing.closed_through <= closed_through:
        raise FailedPrecondition(
            "LEDGER_PERIOD_CLOSED", f"the books are closed up to {closed_through}", closed_through=str(closed_through)
        )
    if closing.closed_through >= today:
        raise FailedPrecondition("LEDGER_PERIOD_NOT_OVER", f"{closing.closed_through} is not over on {today}")
