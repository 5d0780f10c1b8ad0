"""Subscriptions and changes of plan: protobuf to domain and back."""

from datetime import datetime

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, text_in, timestamp_out
from services.invoicing.convert.activations import activation_out
from services.invoicing.convert.times import instant_in, span_out
from services.invoicing.domain.activation import ActivationState
from services.invoicing.domain.change import Effective, FirstFee, PlanChange
from services.invoicing.domain.phase import Phase, UnusedFee
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.schedule import BillingTime
from services.invoicing.domain.subscription import Subscription
from weir.invoicing.v1 import changes_pb2, invoicing_pb2

_BILLING_TIMES = {
    BillingTime.CALENDAR: invoicing_pb2.Subscription.BILLING_TIME_CALENDAR,
    BillingTime.ANNIVERSARY: invoicing_pb2.Subscription.BILLING_TIME_ANNIVERSARY,
}
_BILLING_TIMES_IN = {number: billing_time for billing_time, number in _BILLING_TIMES.items()} | {
    invoicing_pb2.Subscription.BILLING_TIME_UNSPECIFIED: BillingTime.CALENDAR
}
_EFFECTIVE_IN = {
    changes_pb2.PlanChange.EFFECTIVE_UNSPECIFIED: None,
    changes_pb2.PlanChange.EFFECTIVE_NOW: Effective.NOW,
    changes_pb2.PlanChange.EFFECTIVE_PERIOD_END: Effective.PERIOD_END,
}
_FIRST_FEES_IN = {
    changes_pb2.PlanChange.FIRST_FEE_UNSPECIFIED: FirstFee.PRORATE,
    changes_pb2.PlanChange.FIRST_FEE_PRORATE: FirstFee.PRORATE,
    changes_pb2.PlanChange.FIRST_FEE_NONE: FirstFee.NONE,
    changes_pb2.PlanChange.FIRST_FEE_FULL_NEW_ANCHOR: FirstFee.FULL_NEW_ANCHOR,
}


_UNUSED_FEES_IN: dict[int, UnusedFee] = {
    changes_pb2.PlanChange.ON_UNUSED_FEE_UNSPECIFIED: UnusedFee.CREDIT,
    changes_pb2.PlanChange.ON_UNUSED_FEE_KEEP: UnusedFee.KEEP,
    changes_pb2.PlanChange.ON_UNUSED_FEE_CREDIT: UnusedFee.CREDIT,
    changes_pb2.PlanChange.ON_UNUSED_FEE_REFUND: UnusedFee.REFUND,
    changes_pb2.PlanChange.ON_UNUSED_FEE_OFFSET: UnusedFee.OFFSET,
}


def subscription_in(message: invoicing_pb2.Subscription) -> tuple[str, str, tuple[str, int], BillingTime, datetime]:
    """(id, customer id, plan code and version, billing time, start time); the newest version when that is 0."""
    return (
        text_in(message.id, "subscription.id"),
        text_in(message.customer_id, "subscription.customer_id"),
        _version_in(message.plan_code, message.plan_version, "subscription"),
        _billing_time_in(message.billing_time),
        instant_in(message.start_time, message.HasField("start_time"), "subscription.start_time"),
    )


def _billing_time_in(value: "invoicing_pb2.Subscription.BillingTime.ValueType") -> BillingTime:
    if (found := _BILLING_TIMES_IN.get(value)) is None:
        raise _unknown(value, "subscription.billing_time", "billing time")
    return found


def subscription_out(subscription: Subscription) -> invoicing_pb2.Subscription:
    return invoicing_pb2.Subscription(
        id=subscription.id,
        customer_id=subscription.customer_id,
        plan_code=subscription.phase.plan_code,
        plan_version=subscription.phase.plan_version,
        billing_time=_BILLING_TIMES[subscription.billing_time],
        start_time=timestamp_out(subscription.start_time),
        current_period=span_out(subscription.current_period),
        create_time=timestamp_out(subscription.create_time),
        end_time=timestamp_out(subscription.end_time),
        state=_state_out(subscription),
        time_zone=subscription.time_zone,
        phases=map(_phase_out, subscription.phases),
        invoiced_alone=subscription.invoiced_alone,
        activation=activation_out(subscription.activation),
    )


def _state_out(subscription: Subscription) -> "invoicing_pb2.Subscription.State.ValueType":
    state = subscription.activation and subscription.activation.state
    if state is ActivationState.CANCELED:
        return invoicing_pb2.Subscription.STATE_CANCELED
    if state is ActivationState.INCOMPLETE:
        return invoicing_pb2.Subscription.STATE_INCOMPLETE
    is_closed = subscription.is_closed
    return invoicing_pb2.Subscription.STATE_TERMINATED if is_closed else invoicing_pb2.Subscription.STATE_ACTIVE


def _phase_out(phase: Phase) -> invoicing_pb2.SubscriptionPhase:
    return invoicing_pb2.SubscriptionPhase(
        number=phase.number,
        start_time=timestamp_out(phase.start_time),
        plan_code=phase.plan_code,
        plan_version=phase.plan_version,
        billing_time=_BILLING_TIMES[phase.billing_time],
        anchor_time=timestamp_out(phase.anchor_time) if phase.billing_time is BillingTime.ANNIVERSARY else None,
        fee_start_time=timestamp_out(phase.fee_start_time),
        is_paused=phase.is_paused,
    )


def plan_asked_in(message: changes_pb2.PlanChange) -> tuple[str, int]:
    """(plan code, version); the newest version when that is 0."""
    return _version_in(message.plan_code, message.plan_version, "change")


def _version_in(code: str, version: int, field: str) -> tuple[str, int]:
    if version < 0:
        raise InvalidArgument(
            "VERSION_NOT_POSITIVE",
            f"{field}.plan_version is {version}; versions are 1, 2, 3, …",
            field=f"{field}.plan_version",
        )
    return code_in(code, f"{field}.plan_code"), version


def change_in(message: changes_pb2.PlanChange, plan: PlanVersion) -> PlanChange:
    if (first_fee := _FIRST_FEES_IN.get(message.proration)) is None:
        raise _unknown(message.proration, "change.proration", "proration")
    return PlanChange(
        plan=plan,
        effective=_effective_in(message),
        first_fee=first_fee,
        on_unused_fee=unused_fee_in(message.on_unused_fee, "change.on_unused_fee"),
    )


def unused_fee_in(value: int, field: str) -> UnusedFee:
    """The numbers of the two enumerations are the same."""
    if (found := _UNUSED_FEES_IN.get(value)) is None:
        raise _unknown(value, field, "use")
    return found


def _effective_in(message: changes_pb2.PlanChange) -> Effective | datetime | None:
    present, field = message.HasField("effective_time"), "change.effective_time"
    if message.effective == changes_pb2.PlanChange.EFFECTIVE_AT:
        return instant_in(message.effective_time, present, field)
    if message.effective not in _EFFECTIVE_IN:
        raise _unknown(message.effective, "change.effective", "time")
    if present:
        raise InvalidArgument("FIELD_UNUSED", f"{field} is only for EFFECTIVE_AT", field=field)
    return _EFFECTIVE_IN[message.effective]


def _unknown(value: int, field: str, noun: str) -> InvalidArgument:
    return InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} is {value}, which names no {noun}", field=field)
