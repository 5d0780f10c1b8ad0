"""Dunning: what is done, and when, about a payment that failed.

    ACTIVE ──┬──> RECOVERED    paid by any road
             ├──> STOPPED      invoicing has taken the invoice back
             └──> EXHAUSTED    every step is done, and the last one was the final action

A campaign is made of steps, each at a time of its own, which are settled when it begins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from string import Template
from zoneinfo import ZoneInfo

from libs.common.errors import InvalidArgument

MOST_STEPS = 50
LAST_DAY = 365

FIELDS = frozenset({"customer", "invoice_number", "amount"})
"""What a template may name, as in $customer."""


class CampaignState(StrEnum):
    ACTIVE = "ACTIVE"
    RECOVERED = "RECOVERED"
    STOPPED = "STOPPED"
    EXHAUSTED = "EXHAUSTED"


class StepKind(StrEnum):
    RETRY = "RETRY"
    REMIND = "REMIND"
    FINAL = "FINAL"


class StepState(StrEnum):
    WAITING = "WAITING"
    DONE = "DONE"
    SKIPPED = "SKIPPED"


class FinalAction(StrEnum):
    """What invoicing is told when nothing has helped."""

    NONE = "NONE"
    CANCEL = "CANCEL"
    DOWNGRADE = "DOWNGRADE"
    SUSPEND = "SUSPEND"
    WRITE_OFF = "WRITE_OFF"


@dataclass(frozen=True, slots=True)
class Reminder:
    """A message `day` days after the failure."""

    day: int
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Days count from the failure. What happens on a day happens at `hour` there; a retry the day before or after one
    of the `paydays` of the month moves to it. It is for customers of the `segment`, or "" for those whose segment
    has none of its own. `final_plan_code` is what a downgrade leads to, else "".
    """

    time_zone: ZoneInfo
    hour: int
    paydays: tuple[int, ...]
    retry_days: tuple[int, ...]
    reminders: tuple[Reminder, ...]
    final_day: int
    final_action: FinalAction
    final_plan_code: str = ""
    segment: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """`note` says what came of it. `subject` and `body` are of a reminder."""

    position: int
    kind: StepKind
    due_time: datetime
    subject: str = ""
    body: str = ""
    state: StepState = StepState.WAITING
    note: str = ""


@dataclass(frozen=True, slots=True)
class Campaign:
    tenant_id: str
    id: str
    payment_id: str
    invoice_id: str
    state: CampaignState
    final_action: FinalAction
    start_time: datetime
    end_time: datetime | None
    revision: int
    final_plan_code: str = ""


DEFAULT_SUBJECT = "Payment of invoice $invoice_number"
DEFAULT_BODY = (
    "Dear $customer,\n\nwe could not collect $amount for invoice $invoice_number. Please check your payment method.\n"
)


def plan(policy: Policy, start: datetime) -> tuple[Step, ...]:
    """The steps of a campaign that begins at `start`, by time. A reminder of day 0 is due at once."""
    first = start.astimezone(policy.time_zone).date()
    steps: list[tuple[datetime, int, Reminder | None]] = [
        (start if reminder.day == 0 else _at(policy, first + timedelta(days=reminder.day)), 1, reminder)
        for reminder in policy.reminders
    ]
    retries = {_payday(policy, first, first + timedelta(days=day)) for day in policy.retry_days}
    steps += [(_at(policy, day), 0, None) for day in retries]
    end = max([_at(policy, first + timedelta(days=policy.final_day)), *(due for due, _, _ in steps)])
    ordered = sorted(steps, key=lambda step: step[:2])
    planned = [
        Step(position, StepKind.REMIND, due, reminder.subject, reminder.body)
        if reminder
        else Step(position, StepKind.RETRY, due)
        for position, (due, _, reminder) in enumerate(ordered, 1)
    ]
    return (*planned, Step(len(planned) + 1, StepKind.FINAL, end))


def rendered(template: str, fields: Mapping[str, str]) -> str:
    return Template(template).substitute(fields)


def require_template(template: str, field: str) -> None:
    """Raises InvalidArgument TEMPLATE_MALFORMED."""
    read = Template(template)
    if not read.is_valid() or not set(read.get_identifiers()) <= FIELDS:
        known = ", ".join(f"${name}" for name in sorted(FIELDS))
        raise InvalidArgument("TEMPLATE_MALFORMED", f"{field} may name {known}; $$ is a dollar sign", field=field)


def _payday(policy: Policy, first: date, day: date) -> date:
    """`day`, or the payday next to it that is after `first`."""
    near = (day, day + timedelta(days=1), day - timedelta(days=1))
    return next((each for each in near if each.day in policy.paydays and each > first), day)


def _at(policy: Policy, day: date) -> datetime:
    return datetime.combine(day, time(policy.hour), policy.time_zone)
