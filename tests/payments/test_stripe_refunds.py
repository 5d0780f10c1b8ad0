"""Refunds through the adapter, against the sandbox."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from libs.common.clock import system_clock
from libs.common.money import Money
from services.payments.domain.attempt import Declined, NotMade, Pending, Succeeded, Unknown
from services.payments.providers import Charge, Processor, Refund, SavedMethod
from services.payments.providers.stripe import Stripe
from tests.sandbox.running import RunningSandbox, new_key


@pytest.fixture
async def account(processor: RunningSandbox) -> AsyncIterator[Processor]:
    connection = Stripe(processor.url, timeout_seconds=5)
    yield connection.account({"secret_key": new_key(), "webhook_secret": "whsec_x"})
    await connection.aclose()


async def charged(account: Processor, card: str = "pm_card_visa") -> str:
    """The id of a charge of 38.98 USD."""
    customer = await account.create_customer("acme", "ada", "customer:1")
    assert isinstance(customer, str)
    method = await account.attach(customer, card, "method:1")
    assert isinstance(method, SavedMethod)
    outcome = await account.charge(
        Charge(
            tenant_id="acme",
            payment_id="pay_1",
            number=1,
            idempotency_key="pay:acme:pay_1:1",
            invoice_id="inv_1",
            invoice_number="WEIR-1",
            customer_reference=customer,
            method_reference=method.reference,
            amount=Money(3898, "USD"),
            create_time=system_clock(),
        )
    )
    assert isinstance(outcome, Succeeded)
    return outcome.reference


def refund_of(charge: str, minor_units: int, refund_id: str = "ref_1") -> Refund:
    amount = Money(minor_units, "USD")
    return Refund("acme", refund_id, f"refund:acme:{refund_id}", charge, amount, system_clock())


async def test_a_charge_is_refunded_in_parts_and_never_by_more_than_it_was(account: Processor) -> None:
    charge = await charged(account)
    assert isinstance(await account.refund(refund_of(charge, 1000)), Succeeded)
    assert isinstance(await account.refund(refund_of(charge, 2899, "ref_2")), NotMade)
    assert isinstance(await account.refund(refund_of(charge, 2898, "ref_3")), Succeeded)
    outcome = await account.refund(refund_of(charge, 1, "ref_4"))
    assert isinstance(outcome, NotMade)
    assert outcome.code == "charge_already_refunded"


async def test_a_refund_whose_answer_was_lost_is_found_again(account: Processor, processor: RunningSandbox) -> None:
    charge = await charged(account)
    refund = refund_of(charge, 1000)
    assert await account.look_up_refund(refund) is None
    processor.post("/_sandbox/faults", method="POST", path="/v1/refunds", kind="drop_after_commit", times=3)
    assert isinstance(await account.refund(refund), Unknown)
    repeated = await account.refund(refund)
    found = await account.look_up_refund(refund)
    assert found is not None
    assert (found.outcome, found.amount, found.currency) == (repeated, Decimal("10.00"), "USD")
    assert found == await account.fetch_refund(found.reference)
    assert await account.look_up_refund(replace(refund, refund_id="ref_2")) is None


async def test_a_refund_can_take_its_time_and_come_back(account: Processor, processor: RunningSandbox) -> None:
    refund = refund_of(await charged(account, "pm_card_pendingRefund"), 1000)
    outcome = await account.refund(refund)
    assert isinstance(outcome, Pending)
    for settled, expected in (("succeeded", Succeeded), ("failed", Declined)):
        processor.post(f"/_sandbox/stripe/refunds/{outcome.reference}/settle", outcome=settled)
        found = await account.fetch_refund(outcome.reference)
        assert found is not None
        assert isinstance(found.outcome, expected)
    assert isinstance(await account.refund(refund_of("pi_unknown", 1, "ref_2")), NotMade)
    assert await account.fetch_refund("re_unknown") is None
