"""Choosing the method of the next attempt, by the tenant's rules, the customer's methods and what is known of their
accounts; and whether another account takes over from one that did not charge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.common.postgres import Conn, Pool
from services.payments.domain.advice import Advice, wait
from services.payments.domain.attempt import Attempt, Declined, NotMade, Outcome, Unknown
from services.payments.domain.breaker import Health, after_failure, after_success
from services.payments.domain.decline import advice
from services.payments.domain.limit import (
    LONGEST_WINDOW,
    MOST_COUNTED,
    debit_free_time,
    free_time,
    is_limited_debit,
    network_of,
)
from services.payments.domain.method import PaymentMethod
from services.payments.domain.payment import Payment
from services.payments.domain.routing import (
    Candidate,
    Choice,
    Decision,
    Failover,
    Obstacle,
    Preference,
    chosen,
    preferred,
)
from services.payments.store import accounts, attempts, health, methods, routing
from services.payments.store.routing import RoutingPolicy

NO_ANSWER_CODES = frozenset({"account_rejected"})
"""Declines that come from our own keys: the account is as good as away."""


@dataclass(frozen=True, slots=True)
class Route:
    """`method` is None where nothing can be charged now: before `until`, or at all if that is None too. `decision` is
    None where there were no rules. `health` is what was known of the account.
    """

    method: PaymentMethod | None
    has_methods: bool
    decision: Decision | None = None
    until: datetime | None = None
    reason: str = ""
    health: Health | None = None
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class _Field:
    """All that is looked at for one payment."""

    policy_version: int
    preference: Preference
    methods: Mapping[str, PaymentMethod]
    health: Mapping[str, Health]
    obstacles: Mapping[str, Obstacle]


async def route(conn: Conn, payment: Payment, last: Attempt | None, now: datetime, lease: timedelta) -> Route:
    """For the next attempt of a locked payment. If it is a probe of its account, it is the only one for the `lease`."""
    field = await _looked_at(conn, payment, now)
    tried = await _tried(conn, payment, last) if payment.failover else frozenset[str]()
    obstacles = dict(field.obstacles)
    while True:
        choice = chosen(field.preference, obstacles, tried, payment.failover)
        if choice.candidate is None:
            reason = choice.accounts[-1].verdict if choice.accounts else ""
            return Route(None, bool(field.methods), until=choice.until, reason=reason)
        method = field.methods[choice.candidate.method_id]
        state = field.health.get(method.processor_account_id)
        is_probe = state is not None and state.is_half_open(now)
        if state is None or state.open_until is None or not is_probe:
            break
        until = now + lease
        if await health.claim_probe(conn, payment.tenant_id, method.processor_account_id, state.open_until, until):
            break
        obstacles[method.id] = Obstacle("its circuit is being probed", until)
    decision = _decision(field, choice, payment, last) if field.policy_version or payment.failover else None
    return Route(method, True, decision, health=state, is_probe=is_probe)


async def previewed(conn: Conn, payment: Payment, policy: RoutingPolicy, now: datetime) -> Route:
    """For a payment that need not be there, whose account is not probed."""
    field = await _looked_at(conn, payment, now, policy)
    choice = chosen(field.preference, field.obstacles)
    method = field.methods[choice.candidate.method_id] if choice.candidate else None
    return Route(method, bool(field.methods), _decision(field, choice, payment, None), until=choice.until)


async def foreseen(conn: Conn, payment: Payment, now: datetime) -> tuple[PaymentMethod | None, Obstacle | None]:
    """What would be charged next, or the best of what can't be charged right now, and why it can't."""
    field = await _looked_at(conn, payment, now)
    found = chosen(field.preference, field.obstacles).candidate or next(iter(field.preference.candidates), None)
    if found is None:
        return None, None
    return field.methods[found.method_id], field.obstacles.get(found.method_id)


async def detour(conn: Conn, payment: Payment, attempt: Attempt, outcome: Outcome, now: datetime) -> Failover | None:
    """Why another account, which can be charged now, takes over from `attempt`, which is known not to have charged."""
    if not isinstance(outcome, NotMade | Declined):
        return None
    field = await _looked_at(conn, payment, now)
    if field.preference.rule is None:
        return None
    failover = Failover.LOST
    if isinstance(outcome, Declined):
        account = await accounts.find(conn, attempt.tenant_id, attempt.processor_account_id)
        assert account is not None, "attempts are made with accounts that are there"
        may_be_tried = advice(account.processor, outcome.code, outcome.advice) is Advice.RETRY_LATER
        if not (field.preference.rule.declines_fail_over and may_be_tried):
            return None
        failover = Failover.DECLINED
    tried = await _tried(conn, payment, attempt)
    return failover if chosen(field.preference, field.obstacles, tried).candidate else None


async def observe(pool: Pool, attempt: Attempt, outcome: Outcome, route: Route, now: datetime) -> None:
    """What a charge says of its account's health. Nothing is written while all is well."""
    is_failure = isinstance(outcome, Unknown) or (isinstance(outcome, NotMade) and outcome.code in NO_ANSWER_CODES)
    if not is_failure and route.health is None:
        return
    async with pool.acquire() as conn, conn.transaction():
        known = await health.lock(conn, attempt.tenant_id, attempt.processor_account_id)
        if is_failure:
            after: Health | None = after_failure(known, now, is_probe=route.is_probe)
        else:
            after = None if known is None else after_success(known, is_probe=route.is_probe)
        if after != known:
            await health.save(conn, attempt.tenant_id, attempt.processor_account_id, after)


async def _looked_at(conn: Conn, payment: Payment, now: datetime, policy: RoutingPolicy | None = None) -> _Field:
    """Of the rules in force, or of `policy`."""
    policy = policy or await routing.find(conn, payment.tenant_id)
    kept = await methods.list_active(conn, payment.tenant_id, payment.customer_id)
    candidates = [Candidate(each.id, each.processor_account_id, each.kind) for each in kept]
    preference = preferred(policy.rules, payment.facts, payment.id, candidates)
    by_id = {each.id: each for each in kept}
    concerned = [by_id[each.method_id] for each in preference.candidates]
    states = await health.of_accounts(conn, payment.tenant_id, [each.processor_account_id for each in concerned])
    obstacles = {
        each.id: obstacle
        for each in concerned
        if (obstacle := await _obstacle(conn, payment, each, states.get(each.processor_account_id), now))
    }
    return _Field(policy.version, preference, by_id, states, obstacles)


async def _obstacle(
    conn: Conn, payment: Payment, method: PaymentMethod, state: Health | None, now: datetime
) -> Obstacle | None:
    if state is not None and state.open_until is not None and state.is_open(now):
        return Obstacle(f"its circuit is open until {state.open_until:%H:%M:%S} UTC", state.open_until)
    if network := network_of(method.label):
        declined = await attempts.declines(
            conn, method.tenant_id, method.processor_account_id, method.reference, now - LONGEST_WINDOW, MOST_COUNTED
        )
        advised = max((time + wait(advice_code) for time, advice_code in declined), default=now)
        if (free := max(advised, free_time(network, [time for time, _ in declined], now))) > now:
            return Obstacle(f"{network} lets the card be tried again on {free:%Y-%m-%d %H:%M} UTC", free)
    if is_limited_debit(method.kind):
        times = await attempts.declined_times_of(conn, payment, method.id, MOST_COUNTED)
        if (free := debit_free_time(method.kind, times, now)) > now:
            return Obstacle(f"the debit has been presented often enough before {free:%Y-%m-%d}", free)
    return None


async def _tried(conn: Conn, payment: Payment, last: Attempt | None) -> frozenset[str]:
    """The accounts of `last`, and of those that it took over from."""
    made = {each.number: each for each in await attempts.list_of(conn, payment.tenant_id, [payment.id])}
    tried: set[str] = set()
    while last is not None:
        tried.add(last.processor_account_id)
        last = made.get(last.decision.failover_of) if last.decision else None
    return frozenset(tried)


def _decision(field: _Field, choice: Choice, payment: Payment, last: Attempt | None) -> Decision:
    rule = field.preference.rule
    return Decision(
        policy_version=field.policy_version,
        rule=rule.code if rule else "",
        rules=field.preference.rules,
        accounts=choice.accounts,
        failover_of=last.number if payment.failover and last else 0,
        failover=payment.failover,
    )
