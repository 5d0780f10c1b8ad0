import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import stripe

from tests.sandbox.flows import charge, saved_card
from tests.sandbox.running import Receiver, new_key, running_receiver, running_sandbox, stripe_client


async def test_a_killed_sandbox_finds_everything_again(tmp_path: Path) -> None:
    key = new_key()
    with running_sandbox(tmp_path) as first:
        async with stripe_client(first.url, key) as client:
            customer, method = await saved_card(client)
            before = await charge(client, customer, method, "pay:1")
            first.kill()
    with running_sandbox(tmp_path) as second:
        async with stripe_client(second.url, key) as client:
            assert (await client.v1.customers.retrieve_async(customer)).name == "Ada"
            assert (await charge(client, customer, method, "pay:1")).id == before.id
            assert len(second.charges(key)) == 1
            assert (await charge(client, customer, method, "pay:2")).status == "succeeded"


async def test_killed_amid_charges_it_charges_each_key_once_and_tells_of_each(
    tmp_path: Path, receiver: Receiver
) -> None:
    key, attempts = new_key(), [f"pay:{number}" for number in range(40)]
    with running_sandbox(tmp_path) as first:
        async with stripe_client(first.url, key) as client:
            await client.v1.webhook_endpoints.create_async(
                {"url": receiver.url, "enabled_events": ["payment_intent.succeeded"]}
            )
            customer, method = await saved_card(client)
            charging = [asyncio.create_task(charge(client, customer, method, attempt)) for attempt in attempts]
            await asyncio.wait(charging, return_when=asyncio.FIRST_COMPLETED)
            first.kill()
            cut = [
                each for each in await asyncio.gather(*charging, return_exceptions=True) if isinstance(each, Exception)
            ]
    assert cut
    with running_sandbox(tmp_path) as second:
        async with stripe_client(second.url, key) as client:
            intents = [(await charge(client, customer, method, attempt)).id for attempt in attempts]
        assert sorted(made["payment_intent"] for made in second.charges(key)) == sorted(intents)
        receiver.wait_until(lambda: receiver.subjects == set(intents))


async def test_an_undelivered_webhook_survives_and_is_sent_at_once(tmp_path: Path) -> None:
    key = new_key()
    with running_receiver() as gone:
        url = gone.url
    with running_sandbox(tmp_path) as first:
        async with stripe_client(first.url, key) as client:
            endpoint = await client.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["*"]})
            customer = await client.v1.customers.create_async({"name": "Ada"})
            first.kill()
    with running_receiver(urlsplit(url).port or 0) as receiver, running_sandbox(tmp_path):
        receiver.wait_for("customer.created", timeout=5)
        headers, body = receiver.received[0]
    assert endpoint.secret is not None
    event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], endpoint.secret)
    assert event.data.object["id"] == customer.id


def test_a_second_sandbox_on_the_same_data_refuses_to_start(tmp_path: Path) -> None:
    with running_sandbox(tmp_path):
        command = [sys.executable, "-m", "sandbox", "--port", "0", "--data", str(tmp_path)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert second.returncode == 1
    assert "another sandbox" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_sandbox_exits_cleanly(tmp_path: Path, stop: signal.Signals) -> None:
    with running_sandbox(tmp_path) as running:
        httpx.get(f"{running.url}/_sandbox/health").raise_for_status()
        running.process.send_signal(stop)
        assert running.process.wait(timeout=5) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sandbox.sqlite"]


def test_a_sandbox_without_data_forgets_and_still_answers(tmp_path: Path) -> None:
    with running_sandbox(Path(":memory:")) as running:
        assert running.get("/_sandbox/health") == {"status": "ok"}
        assert running.get("/_sandbox/state") == {"stripe": {}, "adyen": {}, "gocardless": {}}
        assert "Weir sandbox" in httpx.get(running.url).text
    assert list(tmp_path.iterdir()) == []
