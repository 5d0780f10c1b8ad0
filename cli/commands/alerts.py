"""`weir alerts`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.connection import connected_to, new_request_id, pages
from cli.errors import WrongUsage
from cli.output import as_dict, console, instant, period, print_json, print_list, print_table, quantity, state
from weir.metering.v1.alerts_pb2 import (
    Alert,
    AlertThreshold,
    AlertTrigger,
    CreateAlertRequest,
    DeleteAlertRequest,
    ListAlertsRequest,
    ListAlertTriggersRequest,
)
from weir.metering.v1.metering_pb2 import DimensionFilter


@dataclass(frozen=True, slots=True)
class AlertWords:
    """An alert as it is typed."""

    code: str
    name: str
    subscription_id: str
    meter_code: str
    thresholds: tuple[str, ...]
    step: str
    direction: str
    window: str
    time_zone: str
    filters: tuple[str, ...]


async def create_alert(data: Path, words: AlertWords, *, as_json: bool) -> None:
    request = CreateAlertRequest(request_id=new_request_id(), alert=_alert(words))
    async with connected_to(data) as services:
        made = (await services.alerts.CreateAlert(request)).alert
    if as_json:
        print_json({"alert": as_dict(made)})
    else:
        console.print(f"{made.code} watches {made.meter_code} of {made.subscription_id}.", markup=False)


async def list_alerts(data: Path, subscription: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.alerts.ListAlerts(ListAlertsRequest(page_token=token, subscription_id=subscription)),
            "alerts",
        )
    if as_json:
        print_list("alerts", found)
        return
    columns = ("code", "subscription", "meter", "direction", "thresholds", "window", ">usage", "in")
    print_table(columns, [_alert_row(each) for each in found], nothing="No alerts yet.")


async def delete_alert(data: Path, code: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        deleted = (await services.alerts.DeleteAlert(DeleteAlertRequest(code=code))).alert
    if as_json:
        print_json({"alert": as_dict(deleted)})
    else:
        console.print(f"{deleted.code} watches no more.", markup=False)


async def list_triggers(data: Path, code: str, subscription: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.alerts.ListAlertTriggers(
                ListAlertTriggersRequest(page_token=token, alert_code=code, subscription_id=subscription)
            ),
            "triggers",
        )
    if as_json:
        print_list("triggers", found)
        return
    columns = ("time", "alert", "subscription", "threshold", ">from", ">to", "window")
    print_table(columns, [_trigger_row(each) for each in found], nothing="Nothing has triggered yet.")


def _alert(words: AlertWords) -> Alert:
    return Alert(
        code=words.code,
        name=words.name,
        subscription_id=words.subscription_id,
        meter_code=words.meter_code,
        thresholds=map(_threshold, words.thresholds),
        recurring_step=_threshold(words.step) if words.step else None,
        direction=_number(Alert.Direction, words.direction, "--direction"),
        window=_number(Alert.Window, words.window, "--window"),
        time_zone=words.time_zone,
        filters=map(_filter, words.filters),
    )


def _threshold(text: str) -> AlertThreshold:
    code, _, value = text.rpartition("=")
    return AlertThreshold(code=code, value=value)


def _filter(text: str) -> DimensionFilter:
    name, equals, values = text.partition("=")
    if not equals:
        raise WrongUsage(f"--filter: {text!r} is not PROPERTY=VALUE")
    return DimensionFilter(property=name, values=values.split(","))


def _number(names: Any, word: str, option: str) -> Any:
    """The value of an enum such as Alert.Window that `state` prints as `word`."""
    words = {state(names, number): number for number in names.values() if number}
    if word not in words:
        raise WrongUsage(f"{option}: {word!r} is none of {', '.join(words)}")
    return words[word]


def _alert_row(alert: Alert) -> tuple[str, ...]:
    thresholds = [quantity(each.value) for each in alert.thresholds]
    if alert.HasField("recurring_step"):
        thresholds.append(f"every {quantity(alert.recurring_step.value)}")
    evaluated = alert.HasField("evaluation")
    return (
        alert.code,
        alert.subscription_id,
        alert.meter_code,
        state(Alert.Direction, alert.direction),
        ", ".join(thresholds),
        f"{state(Alert.Window, alert.window)}, {alert.time_zone}",
        quantity(alert.evaluation.quantity) if evaluated else "-",
        period(alert.evaluation.period) if evaluated else "-",
    )


def _trigger_row(trigger: AlertTrigger) -> tuple[str, ...]:
    name = f"{trigger.threshold.code} " if trigger.threshold.code else ""
    return (
        instant(trigger.create_time),
        trigger.alert_code,
        trigger.subscription_id,
        name + quantity(trigger.threshold.value),
        quantity(trigger.previous_quantity),
        quantity(trigger.quantity),
        period(trigger.period),
    )
