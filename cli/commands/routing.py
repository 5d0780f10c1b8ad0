"""`weir payments route` and `weir payments show`."""

from pathlib import Path
from typing import Any

import yaml
from google.protobuf.json_format import ParseDict, ParseError

from cli.commands.typed import typed_amount
from cli.connection import connected_to, new_request_id
from cli.errors import CliError
from cli.output import amount, as_dict, console, instant, print_json, print_table, state
from libs.common.wire import money_out
from weir.payments.v1.payments_pb2 import GetPaymentRequest, Payment, PaymentAttempt
from weir.payments.v1.routing_pb2 import (
    GetRoutingRulesRequest,
    GetRoutingRulesResponse,
    PaymentMethodKind,
    PreviewRoutingRequest,
    RoutingDecision,
    RoutingRule,
    SetRoutingRulesRequest,
    SetRoutingRulesResponse,
)

_KIND = "PAYMENT_METHOD_KIND_"


async def set_rules(data: Path, file: Path, *, as_json: bool) -> None:
    """Nothing is sent where the rules are in force already."""
    rules = _read(file)
    async with connected_to(data) as services:
        in_force: GetRoutingRulesResponse | SetRoutingRulesResponse
        in_force = await services.routing.GetRoutingRules(GetRoutingRulesRequest())
        is_new = list(in_force.rules) != rules
        if is_new:
            request = SetRoutingRulesRequest(request_id=new_request_id(), rules=rules)
            in_force = await services.routing.SetRoutingRules(request)
    if as_json:
        print_json(as_dict(in_force))
    else:
        told = "Payments are routed by" if is_new else "Unchanged:"
        console.print(f"{told} version {in_force.policy_version}, {len(in_force.rules)} rules.", markup=False)


async def show_rules(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        in_force = await services.routing.GetRoutingRules(GetRoutingRulesRequest())
    if as_json:
        print_json(as_dict(in_force))
        return
    rows = [(each.code, _condition(each), _kinds(each), _targets(each)) for each in in_force.rules]
    print_table(("rule", "for", "methods", "accounts"), rows, nothing="No rules: the newest method is charged.")


async def preview(
    data: Path, customer_id: str, text: str, currency: str, country: str, segment: str, *, as_json: bool
) -> None:
    request = PreviewRoutingRequest(
        customer_id=customer_id,
        amount=money_out(typed_amount(text, currency)),
        country_code=country,
        segment=segment,
    )
    async with connected_to(data) as services:
        found = await services.routing.PreviewRouting(request)
    if as_json:
        print_json(as_dict(found))
        return
    for line in _told(found.decision):
        console.print(line, markup=False)
    chosen = found.payment_method_id or f"nothing before {instant(found.retry_time)}"
    console.print(f"Charges {chosen}.", markup=False)


async def show_payment(data: Path, payment_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        payment = (await services.payments.GetPayment(GetPaymentRequest(id=payment_id))).payment
    if as_json:
        print_json({"payment": as_dict(payment)})
        return
    console.print(
        f"{payment.id} of invoice {payment.invoice_id}: {amount(payment.amount_paid)} of {amount(payment.amount)} paid,"
        f" {state(Payment.State, payment.state)}.",
        markup=False,
    )
    rows = [
        (
            str(each.number),
            instant(each.create_time),
            each.processor_account_id,
            each.payment_method_id,
            state(PaymentAttempt.State, each.state),
            each.processor_reference,
            each.decline_code,
        )
        for each in payment.attempts
    ]
    columns = ("attempt", "at", "account", "method", "state", "processor's id", "declined")
    print_table(columns, rows, nothing="No attempts yet.")
    for each in payment.attempts:
        for line in _told(each.decision) if each.HasField("decision") else ():
            console.print(f"{each.number}. {line}", markup=False)


def _told(decision: RoutingDecision) -> list[str]:
    """Why, one reason a line."""
    lines = [f"rule {each.name}: {each.reason or 'decides'}" for each in decision.rules]
    if not decision.rule_code:
        lines.append("no rule decides: the newest method")
    if decision.failover_of:
        why = {RoutingDecision.FAILOVER_LOST: "was not carried out", RoutingDecision.FAILOVER_DECLINED: "was declined"}
        lines.append(f"takes over from attempt {decision.failover_of}, which {why.get(decision.failover, 'failed')}")
    return lines + [f"account {each.name}: {each.reason or 'chosen'}" for each in decision.accounts]


def _read(file: Path) -> list[RoutingRule]:
    try:
        told = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise CliError(f"{file}: {_line(error)}") from None
    if not isinstance(told, dict) or not isinstance(told.get("rules"), list) or len(told) != 1:
        raise CliError(f"{file} has a list called rules, and nothing else")
    return [_rule(each, f"{file}, rule {number}") for number, each in enumerate(told["rules"], 1)]


def _rule(told: Any, where: str) -> RoutingRule:
    """In the contract's names; kinds of methods may be short."""
    kinds = told.get("method_kinds") if isinstance(told, dict) else None
    if isinstance(kinds, list):
        told = told | {"method_kinds": [_KIND + str(kind).removeprefix(_KIND) for kind in kinds]}
    try:
        return ParseDict(told, RoutingRule())
    except (ParseError, AttributeError, TypeError) as error:
        raise CliError(f"{where}: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _condition(rule: RoutingRule) -> str:
    condition = rule.condition
    listed = [*condition.currency_codes, *condition.country_codes, *condition.segments]
    least = [f"from {condition.least_minor_units}"] if condition.HasField("least_minor_units") else []
    most = [f"up to {condition.most_minor_units}"] if condition.HasField("most_minor_units") else []
    return " ".join((*listed, *least, *most)) or "all"


def _kinds(rule: RoutingRule) -> str:
    return " ".join(PaymentMethodKind.Name(kind).removeprefix(_KIND).lower() for kind in rule.method_kinds) or "all"


def _targets(rule: RoutingRule) -> str:
    return " ".join(f"{each.processor_account_id}:{each.weight}" for each in rule.targets)
