"""What attempts were decided by, on the wire."""

from services.payments.domain.method import MethodKind
from services.payments.domain.routing import Decision, Verdict
from weir.payments.v1 import routing_pb2 as pb

KINDS = {kind: pb.PaymentMethodKind.Value(f"PAYMENT_METHOD_KIND_{kind}") for kind in MethodKind}


def decision_out(decision: Decision | None) -> pb.RoutingDecision | None:
    if decision is None:
        return None
    failover = pb.RoutingDecision.FAILOVER_UNSPECIFIED
    if decision.failover is not None:
        failover = pb.RoutingDecision.Failover.Value(f"FAILOVER_{decision.failover}")
    return pb.RoutingDecision(
        policy_version=decision.policy_version,
        rule_code=decision.rule,
        rules=map(_verdict_out, decision.rules),
        accounts=map(_verdict_out, decision.accounts),
        failover_of=decision.failover_of,
        failover=failover,
    )


def _verdict_out(verdict: Verdict) -> pb.RoutingVerdict:
    return pb.RoutingVerdict(name=verdict.name, reason=verdict.verdict)
