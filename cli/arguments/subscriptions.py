"""`weir subscriptions`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, OfCustomer, execute

subscriptions = typer.Typer(help="Who has which plan.")

Id = Annotated[str, typer.Argument(metavar="ID")]
KeepFee = Annotated[bool, typer.Option("--keep-fee", help="Keep a base fee for days that are not used, not credit it.")]
RefundFee = Annotated[bool, typer.Option("--refund-fee", help="Give back what was paid of it, and credit the rest.")]
Preview = Annotated[bool, typer.Option("--preview", help="Show what it would bill, and change nothing.")]
OffsetFee = Annotated[
    bool, typer.Option("--offset-fee", help="Take it off what is due of its invoice, and credit the rest.")
]


def add_to(root: typer.Typer) -> None:
    root.add_typer(subscriptions, name="subscriptions")


@subscriptions.command("list")
def subscriptions_list(data: Data, customer: OfCustomer = "", as_json: Json = False) -> None:
    """List subscriptions."""
    from cli.commands.subscriptions import list_subscriptions

    execute(list_subscriptions(data, customer, as_json=as_json))


@subscriptions.command("create")
def subscriptions_create(
    data: Data,
    subscription_id: Annotated[str, typer.Argument(metavar="ID", help="The name that usage events carry.")],
    customer: Annotated[str, typer.Option(metavar="ID", help="Who pays.")],
    start: Annotated[str, typer.Option(metavar="TIME", help="First instant billed: a date or a time.")],
    plan: Annotated[
        str, typer.Option(metavar="PLAN[@VERSION]", help="The plan; without a version, the newest that is active.")
    ] = "",
    experiment: Annotated[
        str, typer.Option(metavar="CODE", help="Instead of --plan: what the experiment assigns the customer.")
    ] = "",
    segment: Annotated[str, typer.Option(metavar="NAME", help="The customer's, for the experiment.")] = "",
    anniversary: Annotated[
        bool, typer.Option("--anniversary", help="Periods begin on the day of the start, not by the calendar.")
    ] = False,
    payment_timeout: Annotated[
        int,
        typer.Option(
            metavar="SECONDS", help="Active once its opening invoice is paid, and canceled if it is not in this time."
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Subscribe a customer to a plan."""
    from cli.commands.subscriptions import PlanWords, create_subscription

    execute(
        create_subscription(
            data,
            subscription_id,
            customer,
            PlanWords(plan, experiment, segment),
            start,
            anniversary,
            payment_timeout=payment_timeout,
            as_json=as_json,
        )
    )


@subscriptions.command("terminate")
def subscriptions_terminate(
    data: Data,
    subscription_id: Id,
    at: Annotated[
        str, typer.Option("--at", metavar="TIME", help="First instant no longer billed; now if not given.")
    ] = "",
    keep_fee: KeepFee = False,
    refund_fee: RefundFee = False,
    offset_fee: OffsetFee = False,
    skip_invoice: Annotated[bool, typer.Option("--skip-invoice", help="Never bill what is not billed yet.")] = False,
    preview: Preview = False,
    as_json: Json = False,
) -> None:
    """Say when a subscription ends. What was used until then is billed."""
    from cli.commands.subscriptions import terminate_subscription, unused_fee

    fee = unused_fee(keep=keep_fee, refund=refund_fee, offset=offset_fee)
    end = terminate_subscription(
        data, subscription_id, at, fee, skip_invoice=skip_invoice, preview=preview, as_json=as_json
    )
    execute(end)


@subscriptions.command("show")
def subscriptions_show(data: Data, subscription_id: Id, as_json: Json = False) -> None:
    """Show a subscription and its phases: the plans that it has had, has and will have."""
    from cli.commands.subscriptions import show_subscription

    execute(show_subscription(data, subscription_id, as_json=as_json))


@subscriptions.command("change")
def subscriptions_change(
    data: Data,
    subscription_id: Id,
    plan: Annotated[str, typer.Option(metavar="CODE", help="The new plan.")],
    version: Annotated[int, typer.Option(metavar="N", help="Its version; the newest one if not given.")] = 0,
    when: Annotated[
        str,
        typer.Option(
            "--when",
            metavar="now|period-end|TIME",
            help="If not given: now to a plan that costs as much or more a year, otherwise at the end of the period.",
        ),
    ] = "",
    proration: Annotated[
        str,
        typer.Option(
            metavar="prorate|none|full",
            help="The new base fee of the running period: its days, none, or a whole one for a period that begins now.",
        ),
    ] = "prorate",
    keep_fee: KeepFee = False,
    refund_fee: RefundFee = False,
    offset_fee: OffsetFee = False,
    preview: Preview = False,
    as_json: Json = False,
) -> None:
    """Change a subscription's plan. What was used until then is billed by the old one."""
    from cli.commands.subscriptions import change_plan, plan_change, preview_change, unused_fee

    fee = unused_fee(keep=keep_fee, refund=refund_fee, offset=offset_fee)
    change = plan_change(plan, version, when, proration, fee)
    if preview:
        execute(preview_change(data, subscription_id, change, as_json=as_json))
    else:
        execute(change_plan(data, subscription_id, change, as_json=as_json))


@subscriptions.command("pause")
def subscriptions_pause(
    data: Data,
    subscription_id: Id,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="First instant of the pause; now if not given.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="First instant after it, if it is known.")] = "",
    keep_fee: KeepFee = False,
    refund_fee: RefundFee = False,
    offset_fee: OffsetFee = False,
    preview: Preview = False,
    as_json: Json = False,
) -> None:
    """Charge no base fee for a while. Usage is billed as ever."""
    from cli.commands.subscriptions import pause_subscription, unused_fee

    fee = unused_fee(keep=keep_fee, refund=refund_fee, offset=offset_fee)
    execute(pause_subscription(data, subscription_id, at, until, fee, preview=preview, as_json=as_json))


@subscriptions.command("resume")
def subscriptions_resume(
    data: Data,
    subscription_id: Id,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="First instant after it; now if not given.")] = "",
    as_json: Json = False,
) -> None:
    """Let a paused subscription go on."""
    from cli.commands.subscriptions import resume_subscription

    execute(resume_subscription(data, subscription_id, at, as_json=as_json))


@subscriptions.command("cancel-change")
def subscriptions_cancel_change(data: Data, subscription_id: Id, as_json: Json = False) -> None:
    """Take back a change of plan that has not taken effect yet."""
    from cli.commands.subscriptions import cancel_change

    execute(cancel_change(data, subscription_id, as_json=as_json))
