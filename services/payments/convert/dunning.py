"""Dunning on the wire."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, text_in, timestamp_out
from services.payments.domain.dunning import (
    DEFAULT_BODY,
    DEFAULT_SUBJECT,
    LAST_DAY,
    MOST_STEPS,
    Campaign,
    FinalAction,
    Policy,
    Reminder,
    Step,
    require_template,
)
from weir.payments.v1 import dunning_pb2 as pb

MOST_BODY = 10_000
_POLICY = "dunning_policy"
_ACTIONS = {action: pb.DunningPolicy.FinalAction.Value(f"FINAL_ACTION_{action}") for action in FinalAction}
_ACTIONS_IN = {number: action for action, number in _ACTIONS.items()} | {
    pb.DunningPolicy.FINAL_ACTION_UNSPECIFIED: FinalAction.NONE
}


def policy_in(message: pb.DunningPolicy, present: bool) -> Policy:
    if not present:
        raise InvalidArgument("FIELD_MISSING", f"{_POLICY} is required", field=_POLICY)
    if len(message.retry_days) + len(message.reminders) > MOST_STEPS:
        raise InvalidArgument("STEPS_TOO_MANY", f"a policy has at most {MOST_STEPS} steps", field=_POLICY)
    if not 0 <= message.hour <= 23:
        raise InvalidArgument("HOUR_INVALID", f"{_POLICY}.hour is {message.hour}", field=f"{_POLICY}.hour")
    for payday in message.paydays:
        if not 1 <= payday <= 31:
            raise InvalidArgument("PAYDAY_INVALID", f"{payday} is no day of a month", field=f"{_POLICY}.paydays")
    if (action := _ACTIONS_IN.get(message.final_action)) is None:
        field = f"{_POLICY}.final_action"
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} is {message.final_action}, which is none", field=field)
    plan_code, field = message.final_plan_code, f"{_POLICY}.final_plan_code"
    if (action is FinalAction.DOWNGRADE) != bool(plan_code):
        raise InvalidArgument("FINAL_PLAN_INVALID", f"{field} is for a DOWNGRADE, which needs it", field=field)
    reminders = tuple(map(_reminder_in, message.reminders))
    last = max([1, *message.retry_days, *(reminder.day for reminder in reminders)])
    return Policy(
        time_zone=_time_zone_in(message.time_zone),
        hour=message.hour,
        paydays=tuple(message.paydays),
        retry_days=tuple(_day_in(day, f"{_POLICY}.retry_days", least=1) for day in message.retry_days),
        reminders=reminders,
        final_day=_day_in(message.final_day, f"{_POLICY}.final_day", least=last),
        final_action=action,
        final_plan_code=code_in(plan_code, field) if plan_code else "",
        segment=text_in(message.segment, f"{_POLICY}.segment", required=False),
    )


def policy_out(policy: Policy) -> pb.DunningPolicy:
    return pb.DunningPolicy(
        time_zone=policy.time_zone.key,
        hour=policy.hour,
        paydays=policy.paydays,
        retry_days=policy.retry_days,
        reminders=(
            pb.DunningReminder(day=reminder.day, subject=reminder.subject, body=reminder.body)
            for reminder in policy.reminders
        ),
        final_day=policy.final_day,
        final_action=_ACTIONS[policy.final_action],
        final_plan_code=policy.final_plan_code,
        segment=policy.segment,
    )


def campaign_out(campaign: Campaign, steps: "list[Step] | tuple[()]" = ()) -> pb.DunningCampaign:
    return pb.DunningCampaign(
        id=campaign.id,
        payment_id=campaign.payment_id,
        invoice_id=campaign.invoice_id,
        state=pb.DunningCampaign.State.Value(f"STATE_{campaign.state}"),
        final_action=_ACTIONS[campaign.final_action],
        start_time=timestamp_out(campaign.start_time),
        end_time=timestamp_out(campaign.end_time),
        final_plan_code=campaign.final_plan_code,
        steps=map(step_out, steps),
    )


def step_out(step: Step) -> pb.DunningStep:
    return pb.DunningStep(
        kind=pb.DunningStep.Kind.Value(f"KIND_{step.kind}"),
        due_time=timestamp_out(step.due_time),
        state=pb.DunningStep.State.Value(f"STATE_{step.state}"),
        note=step.note,
    )


def _reminder_in(message: pb.DunningReminder) -> Reminder:
    field = f"{_POLICY}.reminders"
    subject = text_in(message.subject, f"{field}.subject", required=False) or DEFAULT_SUBJECT
    body = text_in(message.body, f"{field}.body", most=MOST_BODY, required=False) or DEFAULT_BODY
    require_template(subject, f"{field}.subject")
    require_template(body, f"{field}.body")
    return Reminder(_day_in(message.day, f"{field}.day", least=0), subject, body)


def _day_in(day: int, field: str, *, least: int) -> int:
    if not least <= day <= LAST_DAY:
        raise InvalidArgument("DAY_INVALID", f"{field} is {day}; it is from {least} to {LAST_DAY}", field=field)
    return day


def _time_zone_in(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        field = f"{_POLICY}.time_zone"
        raise InvalidArgument("TIME_ZONE_UNKNOWN", f"{field} is {name!r}", field=field) from None
