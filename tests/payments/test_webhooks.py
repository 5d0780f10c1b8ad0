"""Webhooks: whoever sends what, how often and in whatever order."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe

from services.payments import webhook
from services.payments.providers import SignatureRefused
from services.payments.providers.stripe import Stripe
from tests.payments.shop import Deployment, Shop, eventually, states

TRIES = 3
VECTOR_SECRET = "whsec_test_4f3a9c"
VECTOR_BODY = (
    b'{"id":"evt_1","object":"event","type":"payment_intent.succeeded",'
    b'"data":{"object":{"id":"pi_1","object":"payment_intent"}}}'
)
VECTOR_DIGEST = "99427cfe12c8862058d304025de495249aa870927f4b8d2fa1c79c1b63b9f3d8"
VECTOR_TIME = 1700000000


def event_about(reference: str, kind: str = "payment_intent.succeeded", event_id: str = "evt_of_the_tests") -> str:
    subject = {"id": reference, "object": "payment_intent"}
    return json.dumps({"id": event_id, "object": "event", "type": kind, "livemode": False, "data": {"object": subject}})


async def sent_by_sandbox(shop: Shop) -> list[Any]:
    """Every event of the account, as the sandbox would send it, newest first."""
    return list((await shop.at_stripe(lambda client: client.v1.events.list_async({"limit": 100}))).data)


async def delivered(shop: Shop, kind: str) -> None:
    async def arrived() -> bool:
        return kind in [event["type"] for event in await shop.events()]

    await eventually(arrived)


async def test_a_debit_is_collected_when_the_processor_says_so(deployment: Deployment) -> None:
    shop = await Shop(deployment).open(webhooks=True)
    await shop.save("pm_usBankAccount_processing")
    payment = await shop.bill()
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("PROCESSING", ["PENDING"])
    shop.settle(payment, "succeeded")
    await delivered(shop, "payment_intent.succeeded")
    await shop.sweeps.events()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    events = await shop.events()
    assert {event["state"] for event in events} == {"PROCESSED"}
    [original] = [e for e in await sent_by_sandbox(shop) if e.type == "payment_intent.succeeded"]
    [kept] = [event for event in events if event["id"] == original.id]
    assert json.loads(kept["body"])["data"]["object"]["status"] == "succeeded"


async def test_a_debit_that_bounces_fails_the_payment(deployment: Deployment) -> None:
    shop = await Shop(deployment).open(webhooks=True)
    await shop.save("pm_usBankAccount_processing")
    payment = await shop.bill()
    await shop.sweeps.charge()
    shop.settle(await shop.payment(payment.id), "failed")
    await delivered(shop, "payment_intent.payment_failed")
    await shop.sweeps.events()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("FAILED", ["DECLINED"])
    assert payment.attempts[0].decline_code == "insufficient_funds"


async def test_a_webhook_may_outrun_the_answer_to_the_charge(deployment: Deployment) -> None:
    """The answer is lost; all that is known comes from the webhook, which names an attempt without a reference."""
    shop = await Shop(deployment).open(webhooks=True)
    await shop.save()
    payment = await shop.bill()
    deployment.fault("drop_after_commit", times=TRIES)
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["UNKNOWN"])
    await delivered(shop, "payment_intent.succeeded")
    await shop.sweeps.events()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("SUCCEEDED", ["SUCCEEDED"])
    assert payment.attempts[0].processor_reference == shop.charges()[0]["payment_intent"]


async def test_a_webhook_and_an_answer_after_it_agree(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is lost; before the SDK asks again, the event has been processed."""
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 1.0)
    shop = await Shop(deployment).open(webhooks=True)
    await shop.save()
    payment = await shop.bill()
    deployment.fault("drop_after_commit")
    charging = asyncio.create_task(shop.sweeps.charge())
    await delivered(shop, "payment_intent.succeeded")
    assert states(await shop.payment(payment.id)) == ("PROCESSING", ["SUBMITTING"])
    await (await deployment.another_worker()).events()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    await charging
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert len(shop.charges()) == 1


async def test_events_repeated_and_in_reverse_order_change_nothing(shop: Shop) -> None:
    await shop.save("pm_usBankAccount_processing")
    payment = await shop.bill()
    await shop.sweeps.charge()
    shop.settle(await shop.payment(payment.id), "succeeded")
    events = await sent_by_sandbox(shop)
    for event in [*events, *reversed(events), *events]:
        assert await shop.deliver(json.dumps(event.to_dict())) == 200
    assert len(await shop.events()) == len(events)
    await shop.sweeps.events()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    await shop.sweeps.events()
    assert {event["state"] for event in await shop.events()} == {"PROCESSED"}


async def test_what_a_webhook_says_is_not_believed_but_looked_up(shop: Shop) -> None:
    """Signed, yet stale or wrong: the charge was declined, whatever the event is called."""
    await shop.save("pm_card_chargeDeclined")
    payment = await shop.bill()
    await shop.sweeps.charge()
    reference = (await shop.payment(payment.id)).attempts[0].processor_reference
    assert await shop.deliver(event_about(reference, "payment_intent.succeeded")) == 200
    await shop.sweeps.events()
    assert states(await shop.payment(payment.id)) == ("FAILED", ["DECLINED"])


async def test_the_signature_vectors_of_the_official_sdk() -> None:
    account = Stripe("http://127.0.0.1:1", 1).account({"secret_key": "sk_test_1", "webhook_secret": VECTOR_SECRET})
    sign, now = stripe.WebhookSignature.generate_signature_header, None

    def verified(header: str, body: bytes = VECTOR_BODY) -> bool:
        try:
            return account.events(body, {"stripe-signature": header})[0].id == "evt_1"
        except SignatureRefused:
            return False

    old = f"t={VECTOR_TIME},v1={VECTOR_DIGEST}"
    stripe.WebhookSignature.verify_header(VECTOR_BODY, old, VECTOR_SECRET)
    assert not verified(old), "older than five minutes"
    good = sign(VECTOR_BODY.decode(), VECTOR_SECRET, now)
    moment, digest = good.split(",")
    assert verified(good)
    assert verified(f"{moment},v1={'0' * 64},{digest}"), "two signatures while the secret is rotated"
    assert not verified(good, VECTOR_BODY.replace(b"pi_1", b"pi_2"))
    assert not verified(good, json.dumps(json.loads(VECTOR_BODY)).encode())
    assert not verified(sign(VECTOR_BODY.decode(), "whsec_other", now))
    for header in (
        "",
        digest,
        f"{moment},{digest.replace('v1', 'v0')}",
        f"{moment},v1=é",
        "t=x,v1=y",
        "t=" + "9" * 5000,
    ):
        assert not verified(header)
    assert not verified(good, b"\xff\xfe")
    with pytest.raises(SignatureRefused):
        account.events(VECTOR_BODY, {})


async def test_a_bad_signature_is_refused_and_nothing_is_stored(shop: Shop) -> None:
    body = event_about("pi_1")
    sign = stripe.WebhookSignature.generate_signature_header
    assert await shop.deliver(body, header=sign(body, "whsec_of_somebody_else")) == 400
    assert await shop.deliver(body, header=sign(body, shop.webhook_secret, VECTOR_TIME)) == 400
    assert await shop.deliver(body, header="") == 400
    assert await shop.deliver(body, header="t=1,v1=zz") == 400
    assert await shop.events() == []


async def test_an_oversize_body_is_refused(shop: Shop) -> None:
    assert await shop.deliver(b"x" * (1024 * 1024 + 1), header="t=1,v1=1") == 413

    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 65536

    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{shop.deployment.webhook_url}/webhooks/acme/stripe", content=chunks())
    assert answer.status_code == 413
    assert await shop.events() == []


async def test_a_body_that_does_not_come_is_not_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BODY_TIMEOUT_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.deployment.ports.webhook)
    writer.write(b"POST /webhooks/acme/stripe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


async def test_an_unknown_account_is_not_found(shop: Shop) -> None:
    for path in ("/webhooks/acme/other", "/webhooks/nobody/stripe", "/webhooks/acme/..", "/webhooks/acme/a%00b", "/"):
        assert await shop.deliver(event_about("pi_1"), path=path) == 404


async def test_an_event_for_another_tenants_account_is_refused(shop: Shop) -> None:
    other = await Shop(shop.deployment, "other").open(webhooks=True)
    body = event_about("pi_1")
    stolen = stripe.WebhookSignature.generate_signature_header(body, shop.webhook_secret)
    assert await other.deliver(body, header=stolen) == 400
    assert await other.events() == []


async def test_a_tenant_cannot_move_another_tenants_payment(shop: Shop) -> None:
    """It makes a charge of its own that claims to be the other's attempt, in its own account."""
    await shop.save("pm_card_chargeDeclined")
    payment = await shop.bill()
    await shop.sweeps.charge()
    other = await Shop(shop.deployment, "other").open()
    forged = await other.at_stripe(
        lambda client: client.v1.payment_intents.create_async(
            {
                "amount": 3898,
                "currency": "usd",
                "payment_method": "pm_card_visa",
                "confirm": True,
                "metadata": {"tenant_id": "acme", "payment_id": payment.id, "attempt": "1"},
            }
        )
    )
    assert await other.deliver(event_about(forged.id)) == 200
    await shop.sweeps.events()
    assert states(await shop.payment(payment.id)) == ("FAILED", ["DECLINED"])
    assert [event["state"] for event in await other.events()] == ["RECEIVED"]


async def test_a_charge_that_contradicts_the_attempt_is_parked(shop: Shop) -> None:
    await shop.save("pm_card_chargeDeclined")
    payment = await shop.bill()
    await shop.sweeps.charge()
    claimed = {"tenant_id": "acme", "payment_id": payment.id, "attempt": "1"}
    other = await shop.at_stripe(
        lambda client: client.v1.payment_intents.create_async(
            {
                "amount": 3898,
                "currency": "usd",
                "payment_method": "pm_card_visa",
                "confirm": True,
                "metadata": claimed,
            }
        )
    )
    assert await shop.deliver(event_about(other.id)) == 200
    await shop.sweeps.events()
    [event] = await shop.events()
    assert event["state"] == "PARKED"
    assert other.id in event["error"]
    assert states(await shop.payment(payment.id)) == ("FAILED", ["DECLINED"])


async def test_an_event_about_an_unknown_charge_waits_some_minutes_and_is_then_parked(shop: Shop) -> None:
    assert await shop.deliver(event_about("pi_unknown")) == 200
    await shop.sweeps.events()
    [event] = await shop.events()
    assert (event["state"], event["error"]) == ("RECEIVED", "the processor knows no such charge")
    await shop.later(timedelta(minutes=11)).events()
    [event] = await shop.events()
    assert (event["state"], event["error"]) == ("PARKED", "the processor knows no such charge")


async def test_events_that_change_no_charge_of_ours_are_kept_and_done_with(shop: Shop) -> None:
    theirs = await shop.at_stripe(
        lambda client: client.v1.payment_intents.create_async({"amount": 100, "currency": "usd"})
    )
    assert await shop.deliver(event_about(theirs.id, event_id="evt_theirs")) == 200
    assert await shop.deliver(event_about("x", "invented.by_stripe", "evt_new")) == 200
    await shop.sweeps.events()
    assert [event["state"] for event in await shop.events()] == ["PROCESSED", "PROCESSED"]


async def test_signed_events_that_cannot_be_used_are_kept_for_a_person(shop: Shop) -> None:
    live = event_about("pi_1").replace("false", "true")
    strange = ["[" * 100_000, event_about("pi_1\0"), event_about("pi_\ud800"), '{"id": "evt_2", "type": 7}']
    bodies = ["no JSON", "[]", "{}", '{"id": "evt_3", "type": "payment_intent.succeeded"}', live, *strange]
    for body in bodies:
        assert await shop.deliver(body) == 200
    events = await shop.events()
    assert [event["state"] for event in events] == ["PARKED"] * len(bodies)
    assert bytes(events[0]["body"]) == b"no JSON"


async def test_an_event_waits_while_the_processor_is_away(shop: Shop) -> None:
    await shop.save("pm_usBankAccount_processing")
    payment = await shop.bill()
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    shop.settle(payment, "succeeded")
    await shop.deliver(event_about(payment.attempts[0].processor_reference))
    shop.deployment.sandbox.post("/_sandbox/faults", method="GET", path="*", kind="error_503", times=TRIES)
    await shop.sweeps.events()
    assert [event["state"] for event in await shop.events()] == ["RECEIVED"]
    await shop.later().events()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])


async def test_the_endpoint_says_that_it_is_well(deployment: Deployment) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(deployment.webhook_url + "/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
