"""`weir alerts`."""

from typing import Annotated

import typer

from cli.arguments.options import Data, Json, execute

alerts = typer.Typer(help="What to be told when usage crosses it.")

OfSubscription = Annotated[str, typer.Option("--subscription", metavar="ID", help="Only those of this subscription.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(alerts, name="alerts")


@alerts.command("create")
def create(
    data: Data,
    code: Annotated[str, typer.Argument(metavar="CODE", help="The alert's name.")],
    subscription: Annotated[str, typer.Option("--subscription", metavar="ID", help="Whose usage.")],
    meter: Annotated[str, typer.Option("--meter", metavar="CODE", help="What measures it.")],
    thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            metavar="[NAME=]QUANTITY",
            help="Triggers once in a window. Repeatable.",
        ),
    ] = None,
    step: Annotated[
        str,
        typer.Option("--every", metavar="[NAME=]QUANTITY", help="Triggers again and again, beyond the last threshold."),
    ] = "",
    direction: Annotated[
        str, typer.Option("--direction", metavar="DIRECTION", help="increasing or decreasing.")
    ] = "increasing",
    window: Annotated[
        str, typer.Option("--window", metavar="WINDOW", help="hour, day, week, month or lifetime.")
    ] = "month",
    time_zone: Annotated[
        str, typer.Option("--time-zone", metavar="ZONE", help="Where windows begin; UTC without it.")
    ] = "",
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="PROPERTY=VALUE[,VALUE]", help="Only such events. Repeatable."),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What people read.")] = "",
    as_json: Json = False,
) -> None:
    """Watch what a subscription uses; thresholds that it has reached in this window trigger at once."""
    from cli.commands.alerts import AlertWords, create_alert

    words = AlertWords(
        code, name, subscription, meter, tuple(thresholds or ()), step, direction, window, time_zone,
        tuple(filters or ()),
    )  # fmt: skip
    execute(create_alert(data, words, as_json=as_json))


@alerts.command("list")
def list_all(data: Data, subscription: OfSubscription = "", as_json: Json = False) -> None:
    """What is watched, and where it stands."""
    from cli.commands.alerts import list_alerts

    execute(list_alerts(data, subscription, as_json=as_json))


@alerts.command("delete")
def delete(data: Data, code: Annotated[str, typer.Argument(metavar="CODE")], as_json: Json = False) -> None:
    """Watch no more. What has triggered stays listed."""
    from cli.commands.alerts import delete_alert

    execute(delete_alert(data, code, as_json=as_json))


@alerts.command("triggers")
def triggers(
    data: Data,
    code: Annotated[str, typer.Argument(metavar="[CODE]", help="Without it: of every alert.")] = "",
    subscription: OfSubscription = "",
    as_json: Json = False,
) -> None:
    """What has triggered, in the order in which it did."""
    from cli.commands.alerts import list_triggers

    execute(list_triggers(data, code, subscription, as_json=as_json))
