"""The RPCs of RoutingService."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in, timestamp_out
from services.payments import convert
from services.payments.convert.conditions import country_in
from services.payments.convert.decisions import decision_out
from services.payments.convert.routing import rule_out, rules_in
from services.payments.domain.payment import Payment, PaymentState
from services.payments.domain.routing import Rule
from services.payments.routing import previewed
from services.payments.store import accounts, routing
from services.payments.store.routing import RoutingPolicy
from weir.payments.v1 import routing_pb2 as pb
from weir.payments.v1.routing_pb2_grpc import RoutingServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class RoutingServicer(RoutingServiceServicer):
    pool: Pool
    clock: Clock

    async def SetRoutingRules(self, request: pb.SetRoutingRulesRequest, context: Context) -> pb.SetRoutingRulesResponse:
        tenant_id, now = caller().tenant_id, self.clock()
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        rules = rules_in(request.rules)
        async with self.pool.acquire() as conn, conn.transaction():
            await routing.lock(conn, tenant_id)
            recorded = await routing.find_request(conn, tenant_id, request_id)
            if recorded is None:
                await _require_accounts(conn, tenant_id, rules)
                policy = await routing.insert(conn, tenant_id, rules, now, request_id, request_hash)
            else:
                policy, recorded_hash = recorded
                require_same(recorded_hash, request_hash, request.request_id)
        return pb.SetRoutingRulesResponse(rules=map(rule_out, policy.rules), policy_version=policy.version)

    async def GetRoutingRules(self, request: pb.GetRoutingRulesRequest, context: Context) -> pb.GetRoutingRulesResponse:
        async with self.pool.acquire() as conn:
            policy = await routing.find(conn, caller().tenant_id)
        return pb.GetRoutingRulesResponse(rules=map(rule_out, policy.rules), policy_version=policy.version)

    async def PreviewRouting(self, request: pb.PreviewRoutingRequest, context: Context) -> pb.PreviewRoutingResponse:
        now, rules = self.clock(), rules_in(request.rules)
        imagined = Payment(
            tenant_id=caller().tenant_id,
            id=text_in(request.payment_id, "payment_id", required=False),
            invoice_id="",
            invoice_number="",
            customer_id=text_in(request.customer_id, "customer_id"),
            amount=convert.amount_in(request),
            state=PaymentState.PENDING,
            revision=0,
            create_time=now,
            country_code=country_in(request.country_code, "country_code"),
            segment=text_in(request.segment, "segment", required=False),
        )
        async with self.pool.acquire() as conn:
            await _require_accounts(conn, imagined.tenant_id, rules)
            policy = RoutingPolicy(0, rules) if rules else await routing.find(conn, imagined.tenant_id)
            found = await previewed(conn, imagined, policy, now)
        return pb.PreviewRoutingResponse(
            decision=decision_out(found.decision),
            payment_method_id=found.method.id if found.method else "",
            retry_time=timestamp_out(found.until),
        )


async def _require_accounts(conn: Conn, tenant_id: str, rules: Sequence[Rule]) -> None:
    for account_id in {each.processor_account_id for rule in rules for each in rule.targets}:
        if await accounts.find(conn, tenant_id, account_id) is None:
            raise NotFound(
                "PROCESSOR_ACCOUNT_NOT_FOUND",
                f"there is no processor account {account_id}",
                processor_account_id=account_id,
            )
