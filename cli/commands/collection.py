"""`weir refunds` and `weir dunning`."""

from collections.abc import Sequence
from pathlib import Path

from cli.commands.times import typed_time
from cli.commands.typed import typed_amount
from cli.connection import connected_to, new_request_id, pages
from cli.errors import CliError
from cli.output import amount, as_dict, console, instant, print_json, print_list, print_table, state
from libs.common.wire import money_out, timestamp_out
from weir.payments.v1.dunning_pb2 import (
    DunningCampaign,
    DunningPolicy,
    DunningReminder,
    DunningStep,
    ListDunningCampaignsRequest,
    ListDunningPoliciesRequest,
    PreviewDunningRequest,
    SetDunningPolicyRequest,
)
from weir.payments.v1.payments_pb2 import ListPaymentsRequest
from weir.payments.v1.refunds_pb2 import CreateRefundRequest, ListRefundsRequest, Refund, RetryRefundRequest


async def create_refund(
    data: Path, invoice_id: str, text: str, reason: str, manual_reference: str, *, as_json: bool
) -> None:
    async with connected_to(data) as services:
        found = (await services.payments.ListPayments(ListPaymentsRequest(invoice_id=invoice_id))).payments
        if not found:
            raise CliError(f"invoice {invoice_id} has no payment")
        request = CreateRefundRequest(
            request_id=new_request_id(),
            invoice_id=invoice_id,
            amount=money_out(typed_amount(text, found[0].amount.currency_code)),
            reason=reason,
            manual_reference=manual_reference,
        )
        refund = (await services.refunds.CreateRefund(request)).refund
    _print(refund, as_json=as_json)


async def list_refunds(data: Path, invoice_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.refunds.ListRefunds(ListRefundsRequest(page_token=token, invoice_id=invoice_id)),
            "refunds",
        )
    if as_json:
        print_list("refunds", found)
        return
    rows = [
        (each.id, each.invoice_id, amount(each.amount), state(Refund.State, each.state), each.failure_code)
        for each in found
    ]
    print_table(("id", "invoice", ">amount", "state", "failed"), rows, nothing="No refunds yet.")


async def retry_refund(data: Path, refund_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = RetryRefundRequest(request_id=new_request_id(), id=refund_id)
        refund = (await services.refunds.RetryRefund(request)).refund
    _print(refund, as_json=as_json)


async def set_dunning(
    data: Path,
    final_day: int,
    retry_days: Sequence[int],
    reminder_days: Sequence[int],
    paydays: Sequence[int],
    final_action: str,
    time_zone: str,
    hour: int,
    plan_code: str,
    segment: str,
    *,
    as_json: bool,
) -> None:
    policy = DunningPolicy(
        time_zone=time_zone,
        hour=hour,
        paydays=paydays,
        retry_days=retry_days,
        reminders=[DunningReminder(day=day) for day in reminder_days],
        final_day=final_day,
        final_action=DunningPolicy.FinalAction.Value(f"FINAL_ACTION_{final_action}"),
        final_plan_code=plan_code,
        segment=segment,
    )
    async with connected_to(data) as services:
        request = SetDunningPolicyRequest(request_id=new_request_id(), dunning_policy=policy)
        policy = (await services.dunning.SetDunningPolicy(request)).dunning_policy
    if as_json:
        print_json({"dunning_policy": as_dict(policy)})
    else:
        console.print("Payments that fail from now on are dunned so; `weir dunning preview` shows how.", markup=False)


async def preview_dunning(data: Path, start: str, segment: str, *, as_json: bool) -> None:
    start_time = timestamp_out(typed_time(start, "--at")) if start else None
    request = PreviewDunningRequest(start_time=start_time, segment=segment)
    async with connected_to(data) as services:
        steps = (await services.dunning.PreviewDunning(request)).steps
    if as_json:
        print_list("steps", steps)
        return
    rows = [(instant(step.due_time), state(DunningStep.Kind, step.kind)) for step in steps]
    print_table(("when", "what"), rows, nothing="Nothing is done.")


async def list_policies(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.dunning.ListDunningPolicies(ListDunningPoliciesRequest(page_token=token)),
            "dunning_policies",
        )
    if as_json:
        print_list("dunning_policies", found)
        return
    rows = [
        (
            each.segment or "all others",
            " ".join(map(str, each.retry_days)),
            " ".join(str(reminder.day) for reminder in each.reminders),
            str(each.final_day),
            state(DunningPolicy.FinalAction, each.final_action),
            f"{each.hour}:00 {each.time_zone}",
        )
        for each in found
    ]
    print_table(("segment", "tries", "reminders", "end", "finally", "at"), rows, nothing="No policies yet.")


async def list_dunning(data: Path, invoice_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.dunning.ListDunningCampaigns(
                ListDunningCampaignsRequest(page_token=token, invoice_id=invoice_id)
            ),
            "dunning_campaigns",
        )
    if as_json:
        print_list("dunning_campaigns", found)
        return
    rows = [
        (
            each.id,
            each.invoice_id,
            state(DunningCampaign.State, each.state),
            instant(each.start_time),
            instant(each.end_time),
        )
        for each in found
    ]
    print_table(("id", "invoice", "state", "begun", "ended"), rows, nothing="No campaigns yet.")


def _print(refund: Refund, *, as_json: bool) -> None:
    if as_json:
        print_json({"refund": as_dict(refund)})
    else:
        told = f"{refund.id} of {amount(refund.amount)} is {state(Refund.State, refund.state)}."
        console.print(told, markup=False)
