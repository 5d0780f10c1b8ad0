"""Routing through real accounts: who charges, who takes over, who is left out, and what is kept of why."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from libs.common.errors import Conflict, InvalidArgument, NotFound
from libs.common.money import Money
from libs.common.wire import money_out
from services.payments.domain.breaker import OPENS_AT
from tests.payments.shop import Deployment, new_request_id, states
from tests.payments.test_three_processors import Store
from weir.payments.v1 import payments_pb2, routing_pb2
from weir.payments.v1.conditions_pb2 import PaymentCondition
from weir.payments.v1.routing_pb2 import RoutingDecision, RoutingRule, RoutingTarget
from weir.payments.v1.routing_pb2_grpc import RoutingServiceStub

if TYPE_CHECKING:
    from weir.payments.v1.routing_pb2_grpc import RoutingServiceAsyncStub

INSUFFICIENT = "pm_card_chargeDeclinedInsufficientFunds"
EXPIRED = "pm_card_chargeDeclinedExpiredCard"


class Routed(Store):
    """A tenant with accounts at Stripe and Adyen, and methods of Ada with both."""

    @property
    def routing(self) -> "RoutingServiceAsyncStub":
        return RoutingServiceStub(self.deployment.channel(self.tenant_id))

    async def connected(self, card: str = "pm_card_visa") -> "Routed":
        await self.connect("adyen")
        await self.save_on_page("adyen", "APPROVED")
        await self.connect("stripe")
        self.secret_key = self.credentials["secret_key"]
        await self.save(card)
        return self

    async def set_rules(self, *rules: RoutingRule, request_id: str = "") -> routing_pb2.SetRoutingRulesResponse:
        request = routing_pb2.SetRoutingRulesRequest(request_id=request_id or new_request_id(), rules=rules)
        return await self.routing.SetRoutingRules(request)

    async def lose(self, count: int) -> None:
        """So many charges, one after the other, that end without an answer, however often the SDK asks again."""
        for number in range(count):
            self.deployment.fault("error_503", times=3)
            await self.bill(f"inv_{number}", currency="EUR")
            await self.sweeps.charge()

    async def charged_by(self, payment_id: str) -> list[str]:
        return [each.processor_account_id for each in (await self.payment(payment_id)).attempts]

    def at_adyen(self, payment_id: str) -> list[Any]:
        made = self.deployment.sandbox.get("/_sandbox/state")["adyen"]
        return [
            each
            for account in made.values()
            for each in account["payments"]
            if each["reference"].startswith(payment_id)
        ]


def rule(code: str, *accounts: str, **more: Any) -> RoutingRule:
    return RoutingRule(code=code, targets=[RoutingTarget(processor_account_id=name) for name in accounts], **more)


@pytest.fixture
def shop(deployment: Deployment) -> Routed:
    return Routed(deployment)


async def test_a_rule_chooses_the_account_and_the_attempt_says_why(shop: Routed) -> None:
    await shop.connected()
    await shop.set_rules(
        rule("pounds", "stripe", condition=PaymentCondition(currency_codes=["GBP"])),
        rule("cards", "adyen", "stripe", method_kinds=[routing_pb2.PAYMENT_METHOD_KIND_CARD]),
    )
    payment = await shop.bill(currency="EUR")
    await shop.sweeps.charge()
    [attempt] = (await shop.payment(payment.id)).attempts
    assert (attempt.processor_account_id, attempt.state) == ("adyen", payments_pb2.PaymentAttempt.STATE_SUCCEEDED)
    assert attempt.decision.policy_version == 1
    assert attempt.decision.rule_code == "cards"
    assert [(each.name, each.reason) for each in attempt.decision.rules] == [
        ("pounds", "currency is EUR, not GBP"),
        ("cards", ""),
    ]
    assert [(each.name, each.reason) for each in attempt.decision.accounts] == [("adyen", "")]


async def test_a_request_that_is_known_to_be_lost_goes_to_the_next_account_at_once(shop: Routed) -> None:
    """Stripe answers 500, before anything is committed; a look shows that nothing was."""
    await shop.connected()
    await shop.set_rules(rule("all", "stripe", "adyen"))
    payment = await shop.bill(currency="EUR")
    shop.deployment.fault("error_500")
    await shop.sweeps.charge()
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"]), "nobody takes over from the unknown"
    await shop.later().resolve()
    await shop.sweeps.charge()
    paid = await shop.payment(payment.id)
    assert states(paid) == ("SUCCEEDED", ["DECLINED", "SUCCEEDED"])
    decision = paid.attempts[1].decision
    assert (decision.failover_of, decision.failover) == (1, RoutingDecision.FAILOVER_LOST)
    assert [(each.name, each.reason) for each in decision.accounts] == [
        ("stripe", "it has not charged this payment just now"),
        ("adyen", ""),
    ]
    assert (shop.charges(), len(shop.at_adyen(payment.id))) == ([], 1)


async def test_nobody_takes_over_from_a_charge_that_was_made_but_not_answered(shop: Routed) -> None:
    await shop.connected()
    await shop.set_rules(rule("all", "stripe", "adyen"))
    payment = await shop.bill(currency="EUR")
    shop.deployment.fault("drop_after_commit", times=3)
    for _ in range(3):
        await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])
    await shop.later().resolve()
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert (len(shop.charges()), shop.at_adyen(payment.id)) == (1, [])


@pytest.mark.parametrize(("card", "takes_over"), [(INSUFFICIENT, True), (EXPIRED, False)])
async def test_a_decline_that_may_be_tried_again_goes_to_the_next_account_where_the_rule_says_so(
    shop: Routed, card: str, *, takes_over: bool
) -> None:
    await shop.connected(card)
    await shop.set_rules(rule("all", "stripe", "adyen", declines_fail_over=True))
    payment = await shop.bill(currency="EUR")
    for _ in range(3):
        await shop.sweeps.charge()
    expected = ("SUCCEEDED", ["DECLINED", "SUCCEEDED"]) if takes_over else ("FAILED", ["DECLINED"])
    assert states(await shop.payment(payment.id)) == expected
    assert await shop.charged_by(payment.id) == ["stripe", "adyen"][: len(expected[1])]


async def test_without_that_word_of_the_rule_a_decline_stays_and_a_retry_asks_the_same_account(shop: Routed) -> None:
    await shop.connected(INSUFFICIENT)
    await shop.set_rules(rule("all", "stripe", "adyen"))
    payment = await shop.bill(currency="EUR")
    await shop.sweeps.charge()
    await shop.retry(payment.id)
    await shop.later(timedelta(days=4)).charge()  # when the card's network lets it be tried again
    assert states(await shop.payment(payment.id)) == ("FAILED", ["DECLINED", "DECLINED"])
    assert await shop.charged_by(payment.id) == ["stripe", "stripe"]


async def test_the_circuit_of_an_account_opens_for_all_workers_and_a_probe_closes_it(shop: Routed) -> None:
    await shop.connected()
    await shop.set_rules(rule("all", "stripe", "adyen"))
    await shop.lose(OPENS_AT)
    around = await shop.bill("inv_around", currency="EUR")
    await (await shop.deployment.another_worker()).charge()
    [attempt] = (await shop.payment(around.id)).attempts
    assert attempt.processor_account_id == "adyen"
    assert attempt.decision.failover_of == 0
    assert attempt.decision.accounts[0].reason.startswith("its circuit is open until ")
    late = [await shop.bill(f"inv_late_{number}", currency="EUR") for number in range(4)]
    await shop.later(timedelta(seconds=31)).charge()
    took = [await shop.charged_by(payment.id) for payment in late]
    assert took.count(["stripe"]) >= 1, "a probe"
    assert await shop.deployment.rows("SELECT FROM processor_health") == [], "which closed the circuit"
    await shop.sweeps.resolve()
    stuck = await shop.deployment.rows("SELECT state FROM payment WHERE state <> 'SUCCEEDED'")
    assert stuck == [], "what was unknown was made by its own account"
    assert len(shop.charges()) == OPENS_AT + took.count(["stripe"])


async def test_a_payment_waits_where_the_only_circuit_is_open(shop: Routed) -> None:
    await shop.connect("stripe")
    shop.secret_key = shop.credentials["secret_key"]
    await shop.save()
    await shop.lose(OPENS_AT)
    waiting = await shop.bill("inv_waiting", currency="EUR")
    await shop.sweeps.charge()
    assert states(await shop.payment(waiting.id)) == ("PENDING", [])
    await shop.later(timedelta(seconds=31)).charge()
    assert states(await shop.payment(waiting.id)) == ("SUCCEEDED", ["SUCCEEDED"])


async def test_rules_are_versions_and_are_set_once_for_each_request(shop: Routed) -> None:
    await shop.connected()
    first, second = new_request_id(), new_request_id()
    made = await shop.set_rules(rule("all", "stripe"), request_id=first)
    await shop.set_rules(rule("all", "adyen", declines_fail_over=True), request_id=second)
    assert await shop.set_rules(rule("all", "stripe"), request_id=first) == made
    in_force = await shop.routing.GetRoutingRules(routing_pb2.GetRoutingRulesRequest())
    assert (in_force.policy_version, list(in_force.rules)) == (2, [rule("all", "adyen", declines_fail_over=True)])
    with pytest.raises(Conflict):
        await shop.set_rules(rule("all", "adyen"), request_id=first)
    stranger = Routed(shop.deployment, tenant_id="initech")
    nothing = await stranger.routing.GetRoutingRules(routing_pb2.GetRoutingRulesRequest())
    assert (nothing.policy_version, list(nothing.rules)) == (0, [])
    with pytest.raises(NotFound):
        await stranger.set_rules(rule("all", "stripe"))


async def test_rules_that_make_no_sense_are_refused_with_the_field(shop: Routed) -> None:
    await shop.connect("stripe")
    amounts = PaymentCondition(least_minor_units=1)
    nothing = PaymentCondition(currency_codes=["EUR"], least_minor_units=5, most_minor_units=4)
    for wrong, reason in (
        ([rule("a", "stripe"), rule("a", "stripe")], "RULE_CODE_TAKEN"),
        ([rule("a")], "TARGETS_INVALID"),
        ([rule("a", "stripe", "stripe")], "TARGETS_INVALID"),
        ([RoutingRule(code="a", targets=[RoutingTarget(processor_account_id="stripe", weight=-1)])], "WEIGHT_INVALID"),
        ([rule("a", "stripe", condition=amounts)], "CONDITION_INVALID"),
        ([rule("a", "stripe", condition=nothing)], "CONDITION_INVALID"),
        ([rule("a", "stripe", condition=PaymentCondition(country_codes=["germany"]))], "COUNTRY_MALFORMED"),
        ([rule("a", "stripe", method_kinds=[0])], "ENUM_VALUE_UNKNOWN"),
        ([rule("A", "stripe")], "CODE_MALFORMED"),
        ([rule(f"r{number}", "stripe") for number in range(101)], "RULES_TOO_MANY"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await shop.set_rules(*wrong)
        assert refused.value.reason == reason
        assert refused.value.field


async def test_a_preview_decides_as_a_charge_would_and_writes_nothing(shop: Routed) -> None:
    await shop.connected()
    asked = routing_pb2.PreviewRoutingRequest(
        customer_id="ada", amount=money_out(Money(100, "EUR")), country_code="AT", segment="gold"
    )
    newest = await shop.routing.PreviewRouting(asked)
    assert [each.name for each in newest.decision.accounts] == ["stripe"]
    gold = PaymentCondition(country_codes=["AT"], segments=["gold"])
    asked.rules.extend([rule("gold", "adyen", condition=gold)])
    preview = await shop.routing.PreviewRouting(asked)
    assert (preview.decision.rule_code, [each.name for each in preview.decision.accounts]) == ("gold", ["adyen"])
    listed = await shop.payments.ListPaymentMethods(payments_pb2.ListPaymentMethodsRequest(customer_id="ada"))
    assert {each.id: each.processor_account_id for each in listed.payment_methods}[preview.payment_method_id] == "adyen"
    assert {each.kind for each in listed.payment_methods} == {routing_pb2.PAYMENT_METHOD_KIND_CARD}
    assert await shop.deployment.rows("SELECT FROM routing_policy") == []
