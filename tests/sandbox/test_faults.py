import httpx
import pytest
import stripe

from tests.sandbox.flows import charge, saved_card
from tests.sandbox.running import RunningSandbox, stripe_client

CHARGES = {"method": "POST", "path": "/v1/payment_intents"}


async def test_a_dropped_answer_retried_with_its_key_charges_once(
    client: stripe.StripeClient, sandbox: RunningSandbox, key: str
) -> None:
    customer, method = await saved_card(client)
    sandbox.post("/_sandbox/faults", **CHARGES, kind="drop_after_commit", times=1)
    with pytest.raises(stripe.APIConnectionError):
        await charge(client, customer, method, "pay:1")
    assert len(sandbox.charges(key)) == 1
    intent = await charge(client, customer, method, "pay:1")
    assert intent.status == "succeeded"
    assert [made["payment_intent"] for made in sandbox.charges(key)] == [intent.id]


async def test_the_sdk_retries_a_dropped_answer_by_itself(sandbox: RunningSandbox, key: str) -> None:
    async with stripe_client(sandbox.url, key, max_network_retries=2) as client:
        customer, method = await saved_card(client)
        sandbox.post("/_sandbox/faults", **CHARGES, kind="drop_after_commit", times=2)
        assert (await charge(client, customer, method)).status == "succeeded"
    assert len(sandbox.charges(key)) == 1


async def test_a_dropped_request_did_nothing(client: stripe.StripeClient, sandbox: RunningSandbox, key: str) -> None:
    customer, method = await saved_card(client)
    sandbox.post("/_sandbox/faults", **CHARGES, kind="drop_before_commit")
    with pytest.raises(stripe.APIConnectionError):
        await charge(client, customer, method, "pay:1")
    assert sandbox.charges(key) == []


async def test_a_500_is_kept_under_its_key_and_a_503_is_not(
    client: stripe.StripeClient, sandbox: RunningSandbox, key: str
) -> None:
    customer, method = await saved_card(client)
    sandbox.post("/_sandbox/faults", **CHARGES, kind="error_503")
    with pytest.raises(stripe.APIError) as caught:
        await charge(client, customer, method, "pay:1")
    assert caught.value.http_status == 503
    sandbox.post("/_sandbox/faults", **CHARGES, kind="error_500")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            await charge(client, customer, method, "pay:1")
        assert caught.value.http_status == 500
    assert sandbox.charges(key) == []
    assert (await charge(client, customer, method, "pay:2")).status == "succeeded"


async def test_a_rate_limit_passes(client: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    customer, method = await saved_card(client)
    sandbox.post("/_sandbox/faults", method="*", path="/v1/payment_*", kind="rate_limit_429")
    with pytest.raises(stripe.RateLimitError):
        await charge(client, customer, method, "pay:1")
    assert (await charge(client, customer, method, "pay:1")).status == "succeeded"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "explode"},
        {"kind": "delay", "times": 0},
        {"kind": "delay", "seconds": -1},
        {"kind": "delay", "x": 1},
    ],
)
def test_a_malformed_fault_is_refused(sandbox: RunningSandbox, body: dict[str, object]) -> None:
    answer = httpx.post(f"{sandbox.url}/_sandbox/faults", json=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_faults_can_be_seen_and_cleared(own_sandbox: RunningSandbox) -> None:
    own_sandbox.post("/_sandbox/faults", **CHARGES, kind="delay", seconds=5)
    (fault,) = own_sandbox.get("/_sandbox/faults")["faults"]
    assert fault == {**CHARGES, "kind": "delay", "times": 1, "seconds": 5}
    assert httpx.delete(f"{own_sandbox.url}/_sandbox/faults").json() == {"faults": []}
