"""routing_policy, and the decisions that attempts keep."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.postgres import Conn
from services.payments.domain.condition import Condition
from services.payments.domain.method import MethodKind
from services.payments.domain.routing import Decision, Failover, Rule, Target, Verdict


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """A version of the tenant's rules."""

    version: int
    rules: tuple[Rule, ...]


NO_POLICY = RoutingPolicy(0, ())


async def lock(conn: Conn, tenant_id: str) -> None:
    """Until the transaction ends, nobody else sets this tenant's rules."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('routing ' || $1, 0))", tenant_id)


async def insert(
    conn: Conn, tenant_id: str, rules: Sequence[Rule], now: datetime, request_id: UUID, request_hash: bytes
) -> RoutingPolicy:
    """The tenant's next version; the tenant's rules are locked."""
    version: int = await conn.fetchval(
        """
        INSERT INTO routing_policy (tenant_id, version, rules, create_time, request_id, request_hash)
        SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5 FROM routing_policy WHERE tenant_id = $1
        RETURNING version
        """,
        tenant_id, json.dumps([asdict(rule) for rule in rules]), now, request_id, request_hash,
    )  # fmt: skip
    return RoutingPolicy(version, tuple(rules))


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[RoutingPolicy, bytes] | None:
    """The version that the request made, and the request's hash."""
    row = await conn.fetchrow(
        "SELECT version, rules, request_hash FROM routing_policy WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return None if row is None else (_policy(row["version"], row["rules"]), row["request_hash"])


async def find(conn: Conn, tenant_id: str) -> RoutingPolicy:
    """The rules in force."""
    row = await conn.fetchrow(
        "SELECT version, rules FROM routing_policy WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1", tenant_id
    )
    return NO_POLICY if row is None else _policy(row["version"], row["rules"])


def decision_json(decision: Decision) -> str:
    return json.dumps(asdict(decision))


def decision_of(text: str | None) -> Decision | None:
    if text is None:
        return None
    told: dict[str, Any] = json.loads(text)
    verdicts = {name: tuple(Verdict(**each) for each in told[name]) for name in ("rules", "accounts")}
    return Decision(**told | verdicts | {"failover": Failover(told["failover"]) if told["failover"] else None})


def _policy(version: int, rules: str) -> RoutingPolicy:
    return RoutingPolicy(version, tuple(_rule(each) for each in json.loads(rules)))


def _rule(told: dict[str, Any]) -> Rule:
    condition: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in told["condition"].items()
    }
    return Rule(
        code=told["code"],
        condition=Condition(**condition),
        kinds=tuple(map(MethodKind, told["kinds"])),
        targets=tuple(Target(**each) for each in told["targets"]),
        declines_fail_over=told["declines_fail_over"],
    )
