"""`weir subscriptions`."""

from dataclasses import dataclass
from pathlib import Path

from cli.commands.invoices import invoice_table
from cli.commands.plan_versions import version_name
from cli.commands.times import typed_time
from cli.connection import Connection, connected_to, new_request_id, pages
from cli.errors import WrongUsage
from cli.events.instant import timestamp
from cli.output import amount, as_dict, console, instant, period, print_json, print_list, print_table, print_whole
from weir.invoicing.v1.changes_pb2 import CancelChangeRequest, ChangePlanRequest, PlanChange, PreviewChangeRequest
from weir.invoicing.v1.invoicing_pb2 import (
    CreateSubscriptionRequest,
    GetSubscriptionRequest,
    ListSubscriptionsRequest,
    Subscription,
    SubscriptionPhase,
    TerminateSubscriptionRequest,
)
from weir.invoicing.v1.pauses_pb2 import PauseSubscriptionRequest, ResumeSubscriptionRequest
from weir.invoicing.v1.subscription_previews_pb2 import PreviewSubscriptionRequest
from weir.pricing.v1.experiments_pb2 import AssignVersionRequest
from weir.pricing.v1.simulation_pb2 import PlanVersionName

_PRORATIONS = {
    "prorate": PlanChange.FIRST_FEE_PRORATE,
    "none": PlanChange.FIRST_FEE_NONE,
    "full": PlanChange.FIRST_FEE_FULL_NEW_ANCHOR,
}
_WHEN = {
    "": PlanChange.EFFECTIVE_UNSPECIFIED,
    "now": PlanChange.EFFECTIVE_NOW,
    "period-end": PlanChange.EFFECTIVE_PERIOD_END,
}
_COLUMNS = ("id", "customer", "plan", "billed next", "since", "until")


async def list_subscriptions(data: Path, customer: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.invoicing.ListSubscriptions(
                ListSubscriptionsRequest(page_token=token, customer_id=customer)
            ),
            "subscriptions",
        )
    if as_json:
        print_list("subscriptions", found)
        return
    print_table(_COLUMNS, [_subscription_row(each) for each in found], nothing="No subscriptions yet.")


@dataclass(frozen=True, slots=True)
class PlanWords:
    """Which plan version: by name, or by the experiment that assigns it."""

    plan: str
    experiment: str
    segment: str

    async def named(self, services: Connection, customer: str) -> PlanVersionName:
        """Raises WrongUsage."""
        if bool(self.plan) == bool(self.experiment) or (self.segment and self.plan):
            raise WrongUsage("--plan or --experiment is needed, and not both; --segment is for --experiment")
        if self.plan:
            return version_name(self.plan)
        asked = AssignVersionRequest(experiment_code=self.experiment, customer_id=customer, segment=self.segment)
        found = await services.experiments.AssignVersion(asked)
        return PlanVersionName(plan_code=found.plan_code, version=found.version)


async def create_subscription(
    data: Path,
    subscription_id: str,
    customer: str,
    plan: PlanWords,
    start: str,
    anniversary: bool,
    *,
    payment_timeout: int,
    as_json: bool,
) -> None:
    subscription = Subscription(
        id=subscription_id,
        customer_id=customer,
        start_time=timestamp(typed_time(start, "--start")),
        billing_time=Subscription.BILLING_TIME_ANNIVERSARY if anniversary else Subscription.BILLING_TIME_CALENDAR,
    )
    if payment_timeout:
        subscription.activation.payment_timeout.seconds = payment_timeout
    async with connected_to(data) as services:
        name = await plan.named(services, customer)
        subscription.plan_code, subscription.plan_version = name.plan_code, name.version
        request = CreateSubscriptionRequest(request_id=new_request_id(), subscription=subscription)
        made = (await services.invoicing.CreateSubscription(request)).subscription
    if as_json:
        print_json({"subscription": as_dict(made)})
    else:
        console.print(f"Made subscription {made.id} to {made.plan_code} v{made.plan_version}.", markup=False)


async def terminate_subscription(
    data: Path,
    subscription_id: str,
    at: str,
    fee: "PlanChange.OnUnusedFee.ValueType",
    *,
    skip_invoice: bool,
    preview: bool,
    as_json: bool,
) -> None:
    request = TerminateSubscriptionRequest(request_id=new_request_id(), id=subscription_id)
    request.on_unused_fee = TerminateSubscriptionRequest.OnUnusedFee.Value(PlanChange.OnUnusedFee.Name(fee))
    if at:
        request.end_time.CopyFrom(timestamp(typed_time(at, "--at")))
    if skip_invoice:
        request.last_invoice = TerminateSubscriptionRequest.LAST_INVOICE_SKIP
    if preview:
        await _preview(data, PreviewSubscriptionRequest(end=request), as_json=as_json)
        return
    async with connected_to(data) as services:
        changed = (await services.invoicing.TerminateSubscription(request)).subscription
    if as_json:
        print_json({"subscription": as_dict(changed)})
    else:
        console.print(f"Subscription {changed.id} ends at {instant(changed.end_time)}.", markup=False)


async def pause_subscription(
    data: Path,
    subscription_id: str,
    at: str,
    until: str,
    fee: "PlanChange.OnUnusedFee.ValueType",
    *,
    preview: bool,
    as_json: bool,
) -> None:
    request = PauseSubscriptionRequest(request_id=new_request_id(), id=subscription_id, on_unused_fee=fee)
    if at:
        request.pause_time.CopyFrom(timestamp(typed_time(at, "--at")))
    if until:
        request.resume_time.CopyFrom(timestamp(typed_time(until, "--until")))
    if preview:
        await _preview(data, PreviewSubscriptionRequest(pause=request), as_json=as_json)
        return
    async with connected_to(data) as services:
        changed = (await services.pauses.PauseSubscription(request)).subscription
    _print_phases(changed, as_json=as_json)


async def resume_subscription(data: Path, subscription_id: str, at: str, *, as_json: bool) -> None:
    request = ResumeSubscriptionRequest(request_id=new_request_id(), id=subscription_id)
    if at:
        request.resume_time.CopyFrom(timestamp(typed_time(at, "--at")))
    async with connected_to(data) as services:
        changed = (await services.pauses.ResumeSubscription(request)).subscription
    _print_phases(changed, as_json=as_json)


async def show_subscription(data: Path, subscription_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = GetSubscriptionRequest(id=subscription_id)
        found = (await services.invoicing.GetSubscription(request)).subscription
    _print_phases(found, as_json=as_json)


def _print_phases(found: Subscription, *, as_json: bool) -> None:
    if as_json:
        print_json({"subscription": as_dict(found)})
        return
    print_table(_COLUMNS, [_subscription_row(found)], nothing="")
    print_table(("phase", "plan", "from", "base fee from"), [_phase_row(each) for each in found.phases], nothing="")


def unused_fee(*, keep: bool, refund: bool, offset: bool) -> "PlanChange.OnUnusedFee.ValueType":
    """Of a change, a pause or an end; credited unless one is asked for. Raises WrongUsage."""
    asked = [
        value
        for value, is_asked in (
            (PlanChange.ON_UNUSED_FEE_KEEP, keep),
            (PlanChange.ON_UNUSED_FEE_REFUND, refund),
            (PlanChange.ON_UNUSED_FEE_OFFSET, offset),
        )
        if is_asked
    ]
    if len(asked) > 1:
        raise WrongUsage("only one of --keep-fee, --refund-fee and --offset-fee can be done with a fee")
    return asked[0] if asked else PlanChange.ON_UNUSED_FEE_CREDIT


def plan_change(
    plan: str, version: int, when: str, proration: str, fee: "PlanChange.OnUnusedFee.ValueType"
) -> PlanChange:
    """As it was typed. Raises WrongUsage."""
    if proration not in _PRORATIONS:
        raise WrongUsage(f"--proration: {proration} is none of {', '.join(_PRORATIONS)}")
    change = PlanChange(plan_code=plan, plan_version=version, proration=_PRORATIONS[proration], on_unused_fee=fee)
    if when in _WHEN:
        change.effective = _WHEN[when]
    else:
        change.effective = PlanChange.EFFECTIVE_AT
        change.effective_time.CopyFrom(timestamp(typed_time(when, "--when")))
    return change


async def change_plan(data: Path, subscription_id: str, change: PlanChange, *, as_json: bool) -> None:
    request = ChangePlanRequest(request_id=new_request_id(), id=subscription_id, change=change)
    async with connected_to(data) as services:
        changed = (await services.plan_changes.ChangePlan(request)).subscription
    if as_json:
        print_json({"subscription": as_dict(changed)})
        return
    last = changed.phases[-1]
    console.print(
        f"Subscription {changed.id} has {last.plan_code} v{last.plan_version} from {instant(last.start_time)} on.",
        markup=False,
    )


async def preview_change(data: Path, subscription_id: str, change: PlanChange, *, as_json: bool) -> None:
    request = PreviewChangeRequest(id=subscription_id, change=change)
    async with connected_to(data) as services:
        foreseen = await services.plan_changes.PreviewChange(request)
    if as_json:
        print_json(as_dict(foreseen))
        return
    for each in foreseen.invoices:
        print_whole(invoice_table(each))
    if not foreseen.invoices:
        console.print("Nothing would be billed for it yet.")


async def _preview(data: Path, request: PreviewSubscriptionRequest, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        foreseen = await services.subscription_previews.PreviewSubscription(request)
    if as_json:
        print_json(as_dict(foreseen))
        return
    for each in foreseen.invoices:
        print_whole(invoice_table(each))
    for note in foreseen.credit_notes:
        console.print(f"{amount(note.total)} would be given back by credit note {note.number}.", markup=False)
    if not (foreseen.invoices or foreseen.credit_notes):
        console.print("Nothing would be billed for it yet.")


async def cancel_change(data: Path, subscription_id: str, *, as_json: bool) -> None:
    request = CancelChangeRequest(request_id=new_request_id(), id=subscription_id)
    async with connected_to(data) as services:
        changed = (await services.plan_changes.CancelChange(request)).subscription
    if as_json:
        print_json({"subscription": as_dict(changed)})
    else:
        last = changed.phases[-1]
        console.print(f"Subscription {changed.id} stays with {last.plan_code} v{last.plan_version}.", markup=False)


def _subscription_row(found: Subscription) -> tuple[str, ...]:
    plan = f"{found.plan_code} v{found.plan_version}"
    is_over = found.state in (Subscription.STATE_TERMINATED, Subscription.STATE_CANCELED)
    until = instant(found.end_time) if found.HasField("end_time") else "-"
    billed_next = "-" if is_over else period(found.current_period)
    return found.id, found.customer_id, plan, billed_next, instant(found.start_time), until


def _phase_row(phase: SubscriptionPhase) -> tuple[str, ...]:
    plan = f"{phase.plan_code} v{phase.plan_version}"
    fee = "paused" if phase.is_paused else instant(phase.fee_start_time)
    return str(phase.number), plan, instant(phase.start_time), fee
