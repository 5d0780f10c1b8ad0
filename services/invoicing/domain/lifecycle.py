"""How subscriptions begin, wait for their first payment, and end."""

from dataclasses import replace
from datetime import datetime, timedelta

from libs.common.errors import FailedPrecondition
from services.invoicing.domain.activation import Activation, ActivationState, CancelReason
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.period import zone
from services.invoicing.domain.phase import Phase, UnusedFee
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.schedule import BillingTime, schedule
from services.invoicing.domain.subscription import Subscription


def activating(found: Subscription, payment_timeout: timedelta, now: datetime) -> Subscription:
    """A new subscription, which waits for its first payment.

    Raises FailedPrecondition ACTIVATION_WITHOUT_INVOICE and ACTIVATION_TOO_LATE.
    """
    period = found.current_period
    if not found.is_opening or found.due_time > found.start_time:
        raise FailedPrecondition(
            "ACTIVATION_WITHOUT_INVOICE", f"nothing is charged when subscription {found.id} begins, so nothing is paid"
        )
    if period.end <= now:
        raise FailedPrecondition("ACTIVATION_TOO_LATE", f"the first period of subscription {found.id} is over")
    expire_time = min(max(now, found.start_time) + payment_timeout, period.end)
    return replace(found, activation=Activation(ActivationState.INCOMPLETE, payment_timeout, expire_time))


def canceled(found: Subscription, reason: CancelReason) -> Subscription:
    """One that is incomplete, as if it had ended where it begins."""
    assert found.activation is not None, "only what waits for a payment is canceled"
    return replace(
        found,
        activation=replace(found.activation, state=ActivationState.CANCELED, cancel_reason=reason),
        end_time=found.start_time,
        is_opening=False,
        is_closed=True,
        revision=found.revision + 1,
    )


def require_open(found: Subscription) -> None:
    """Raises FailedPrecondition SUBSCRIPTION_CLOSED and SUBSCRIPTION_INCOMPLETE."""
    if found.is_closed:
        raise closed(found)
    if found.is_incomplete:
        raise FailedPrecondition("SUBSCRIPTION_INCOMPLETE", f"subscription {found.id} waits for its first payment")


def closed(found: Subscription) -> FailedPrecondition:
    return FailedPrecondition("SUBSCRIPTION_CLOSED", f"subscription {found.id} has ended, and is billed to its end")


def ended(
    found: Subscription,
    end_time: datetime,
    on_unused_fee: UnusedFee = UnusedFee.CREDIT,
    *,
    has_last_invoice: bool = True,
) -> Subscription:
    """The subscription as it is once it is to end at `end_time`; no phase begins then or later.
    What is billed up to there already owes nothing more, but for a base fee in arrears: it is billed an instant later.

    Raises FailedPrecondition SUBSCRIPTION_CLOSED and SUBSCRIPTION_INCOMPLETE, and PERIOD_BILLED when it is billed
    beyond that already.
    """
    require_open(found)
    begun = found.current_period.start
    if end_time < begun:
        raise period_billed(found, "end")
    changed = replace(found, end_time=end_time, revision=found.revision + 1, has_last_invoice=has_last_invoice)
    changed = changed.deciding(on_unused_fee)
    if end_time == begun and not (has_last_invoice and found.owes_fee):
        return changed.closed()
    changed = replace(changed, end_time=found.after_billed(end_time))
    phases = tuple(each for each in changed.phases if each.start_time < end_time)
    return replace(changed, phases=phases).recut()


def period_billed(found: Subscription, verb: str) -> FailedPrecondition:
    begun = found.current_period.start.isoformat()
    return FailedPrecondition(
        "PERIOD_BILLED",
        f"subscription {found.id} is billed up to {begun}; it can {verb} then or later",
        billed_until=begun,
    )


def begun(
    subscription_id: str,
    customer: Customer,
    plan: PlanVersion,
    billing_time: BillingTime,
    start_time: datetime,
    create_time: datetime,
) -> Subscription:
    """A new subscription, in its first phase."""
    phase = Phase(
        number=1,
        start_time=start_time,
        plan_code=plan.plan_code,
        plan_version=plan.version,
        billing_interval=plan.billing_interval,
        fee_interval=plan.fee_interval,
        billing_time=billing_time,
        anchor_time=start_time,
        fee_start_time=start_time + plan.trial,
        in_advance=plan.has_advance_fee,
        has_advance_units=plan.has_advance_units,
        has_advance_usage=bool(plan.advance_charges),
        carried=plan.carried,
        has_thresholds=plan.has_thresholds,
    )
    whole = schedule(plan.billing_interval, billing_time, start_time, zone(customer.time_zone))
    made = Subscription(
        id=subscription_id,
        customer_id=customer.id,
        time_zone=customer.time_zone,
        billing_time=billing_time,
        start_time=start_time,
        phases=(phase,),
        phase_number=phase.number,
        current_period=whole.first_period(start_time),
        is_opening=False,
        create_time=create_time,
    )
    return made.entering(phase)
