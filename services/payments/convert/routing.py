"""Routing on the wire."""

from collections.abc import Sequence

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in
from services.payments.convert.conditions import condition_in, condition_out
from services.payments.convert.decisions import KINDS
from services.payments.convert.processors import account_id_in
from services.payments.domain.condition import Condition
from services.payments.domain.method import MethodKind
from services.payments.domain.routing import Rule, Target
from weir.payments.v1 import routing_pb2 as pb

MOST_RULES = 100
MOST_TARGETS = 20
MOST_WEIGHT = 1_000_000
_KINDS_IN: dict[int, MethodKind] = {number: kind for kind, number in KINDS.items()}


def rules_in(messages: Sequence[pb.RoutingRule]) -> tuple[Rule, ...]:
    if len(messages) > MOST_RULES:
        raise InvalidArgument("RULES_TOO_MANY", f"there are at most {MOST_RULES} rules", field="rules")
    rules = tuple(_rule_in(each, f"rules[{number}]") for number, each in enumerate(messages))
    codes = [rule.code for rule in rules]
    for code in codes:
        if codes.count(code) > 1:
            raise InvalidArgument("RULE_CODE_TAKEN", f"two rules are called {code}", field="rules")
    return rules


def rule_out(rule: Rule) -> pb.RoutingRule:
    return pb.RoutingRule(
        code=rule.code,
        condition=condition_out(rule.condition),
        method_kinds=[KINDS[kind] for kind in rule.kinds],
        targets=[
            pb.RoutingTarget(processor_account_id=each.processor_account_id, weight=each.weight)
            for each in rule.targets
        ],
        declines_fail_over=rule.declines_fail_over,
    )


def _rule_in(message: pb.RoutingRule, field: str) -> Rule:
    given = message.HasField("condition")
    return Rule(
        code=code_in(message.code, f"{field}.code"),
        condition=condition_in(message.condition, f"{field}.condition") if given else Condition(),
        kinds=tuple(_kind_in(each, f"{field}.method_kinds") for each in message.method_kinds),
        targets=_targets_in(message.targets, f"{field}.targets"),
        declines_fail_over=message.declines_fail_over,
    )


def _targets_in(messages: Sequence[pb.RoutingTarget], field: str) -> tuple[Target, ...]:
    targets = tuple(
        Target(account_id_in(each.processor_account_id, f"{field}.processor_account_id"), each.weight)
        for each in messages
    )
    names = {each.processor_account_id for each in targets}
    if not 1 <= len(targets) <= MOST_TARGETS or len(names) < len(targets):
        raise InvalidArgument("TARGETS_INVALID", f"{field} names 1 to {MOST_TARGETS} accounts, each once", field=field)
    for each in targets:
        if not 0 <= each.weight <= MOST_WEIGHT:
            raise InvalidArgument(
                "WEIGHT_INVALID", f"{field}.weight is {each.weight}; it is from 0 to {MOST_WEIGHT}", field=field
            )
    return targets


def _kind_in(number: int, field: str) -> MethodKind:
    if (kind := _KINDS_IN.get(number)) is None:
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} names {number}, which is none", field=field)
    return kind
