import asyncio
import time
from typing import Any

import httpx
import pytest
import stripe

from tests.sandbox.flows import charge, saved_card
from tests.sandbox.running import RunningSandbox, new_key, stripe_client

VERSION = "2026-10-28.endive"


def post(sandbox: RunningSandbox, key: str, path: str, form: dict[str, Any], **headers: str) -> httpx.Response:
    sent = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(sandbox.url + path, data=form, headers=sent)


@pytest.mark.parametrize("key", ["sk_live_1", "nonsense", "sk_test_"])
async def test_a_bad_key_is_an_authentication_error(sandbox: RunningSandbox, key: str) -> None:
    async with stripe_client(sandbox.url, key) as client:
        with pytest.raises(stripe.AuthenticationError) as caught:
            await client.v1.customers.list_async()
    assert caught.value.http_status == 401
    assert key == "sk_test_" or key not in str(caught.value)


def test_a_request_without_a_key_is_refused(sandbox: RunningSandbox) -> None:
    answer = httpx.get(f"{sandbox.url}/v1/customers")
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")


async def test_each_key_is_an_account_of_its_own(client: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    customer, _ = await saved_card(client)
    async with stripe_client(sandbox.url, new_key()) as stranger:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await stranger.v1.customers.retrieve_async(customer)
        assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
        assert (await stranger.v1.customers.list_async()).data == []


def test_the_version_is_echoed_and_another_one_refused(sandbox: RunningSandbox, key: str) -> None:
    answer = post(sandbox, key, "/v1/customers", {}, Stripe_Version=VERSION)
    assert answer.headers["Stripe-Version"] == VERSION
    assert answer.headers["Request-Id"].startswith("req_")
    assert post(sandbox, key, "/v1/customers", {}, Stripe_Version="2020-08-27").status_code == 400


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ({"amont": "1"}, "amont", "parameter_unknown"),
        ({"automatic_payment_methods[enabld]": "true"}, "automatic_payment_methods[enabld]", "parameter_unknown"),
        ({"payment_method_types[0]": "card"}, "payment_method_types", "payment_method_types_no_longer_supported"),
        ({"amount": "10.00"}, "amount", "parameter_invalid_integer"),
        ({"amount": ""}, "amount", "parameter_invalid_empty"),
        ({"confirm": "yes"}, "confirm", None),
        ({"off_session": "true"}, "off_session", None),
        ({"capture_method": "never"}, "capture_method", None),
        ({"expand[0]": "latest_invoice"}, "expand", None),
        ({"customer": "cus_none"}, "customer", "resource_missing"),
        ({f"metadata[{'k' * 41}]": "v"}, f"metadata[{'k' * 41}]", None),
        ({"metadata": "x"}, "metadata", None),
        ({"allowed_payment_method_types[0]": "card", "automatic_payment_methods[enabled]": "true"}, None, None),
    ],
)
def test_a_wrong_parameter_is_named(
    sandbox: RunningSandbox, key: str, form: dict[str, str], param: str | None, code: str | None
) -> None:
    answer = post(sandbox, key, "/v1/payment_intents", {"amount": "1000", "currency": "usd", **form})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error.get("code") == code
    assert param is None or error["param"] == param


def test_a_missing_parameter_is_named(sandbox: RunningSandbox, key: str) -> None:
    error = post(sandbox, key, "/v1/payment_intents", {"amount": "1000"}).json()["error"]
    assert (error["code"], error["param"]) == ("parameter_missing", "currency")


def test_malformed_bodies_are_client_errors(sandbox: RunningSandbox, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-www-form-urlencoded"}
    for content in (b"a[=1", b"metadata=1&metadata[a]=2", b"metadata[a]=2&metadata=1", b"\xff=1", b"name=%ff"):
        answer = httpx.post(f"{sandbox.url}/v1/customers", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert (
        httpx.post(
            f"{sandbox.url}/v1/customers", json={"name": "Ada"}, headers=headers | {"Content-Type": "application/json"}
        ).status_code
        == 400
    )


def test_an_unknown_url_says_so(sandbox: RunningSandbox, key: str) -> None:
    for method, path in (("POST", "/v1/topups"), ("DELETE", "/v1/customers"), ("GET", "/v1/events/a/b")):
        answer = httpx.request(method, sandbox.url + path, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].startswith(f"Unrecognized request URL ({method}: {path})")


def test_a_replay_is_identical_and_does_nothing(sandbox: RunningSandbox, key: str) -> None:
    form = {"amount": "1000", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}
    first, again = (post(sandbox, key, "/v1/payment_intents", form, Idempotency_Key="pay:1") for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"] != again.headers["Request-Id"]
    assert len(sandbox.charges(key)) == 1


def test_a_declined_charge_is_replayed_as_declined(sandbox: RunningSandbox, key: str) -> None:
    form = {"amount": "1000", "currency": "eur", "payment_method": "pm_card_chargeDeclined", "confirm": "true"}
    first, again = (post(sandbox, key, "/v1/payment_intents", form, Idempotency_Key="pay:1") for _ in range(2))
    assert (first.status_code, again.status_code) == (402, 402)
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(sandbox.charges(key)) == 1


def test_a_key_belongs_to_its_first_parameters_and_endpoint(sandbox: RunningSandbox, key: str) -> None:
    form = {"amount": "1000", "currency": "eur"}
    assert post(sandbox, key, "/v1/payment_intents", form, Idempotency_Key="pay:1").status_code == 200
    for path, other in (("/v1/payment_intents", {**form, "amount": "1001"}), ("/v1/customers", {})):
        answer = post(sandbox, key, path, other, Idempotency_Key="pay:1")
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "idempotency_error")
    assert post(sandbox, new_key(), "/v1/customers", {}, Idempotency_Key="pay:1").status_code == 200


def test_a_refused_parameter_does_not_use_up_the_key(sandbox: RunningSandbox, key: str) -> None:
    wrong = {"amount": "1000", "currency": "eur", "amont": "1"}
    assert post(sandbox, key, "/v1/payment_intents", wrong, Idempotency_Key="pay:1").status_code == 400
    right = {"amount": "1000", "currency": "eur"}
    assert post(sandbox, key, "/v1/payment_intents", right, Idempotency_Key="pay:1").status_code == 200


def test_an_error_from_execution_is_replayed(sandbox: RunningSandbox, key: str) -> None:
    form = {"amount": "1000", "currency": "eur", "customer": "cus_none"}
    first, again = (post(sandbox, key, "/v1/payment_intents", form, Idempotency_Key="pay:1") for _ in range(2))
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_key_in_use_is_a_conflict_until_the_first_request_ends(
    client: stripe.StripeClient, sandbox: RunningSandbox, key: str
) -> None:
    customer, method = await saved_card(client)
    sandbox.post("/_sandbox/faults", method="POST", path="/v1/payment_intents", kind="delay", seconds=0.5)
    slow = asyncio.create_task(charge(client, customer, method, "pay:1"))
    await asyncio.sleep(0.2)
    with pytest.raises(stripe.APIError) as caught:
        await charge(client, customer, method, "pay:1")
    assert caught.value.http_status == 409
    assert caught.value.error is not None
    assert caught.value.error.code == "idempotency_key_in_use"
    assert (await slow).id == (await charge(client, customer, method, "pay:1")).id
    assert len(sandbox.charges(key)) == 1


async def test_the_sdk_retries_a_conflict_by_itself(sandbox: RunningSandbox, key: str) -> None:
    async with stripe_client(sandbox.url, key, max_network_retries=2) as client:
        customer, method = await saved_card(client)
        sandbox.post("/_sandbox/faults", method="POST", path="/v1/payment_intents", kind="delay", seconds=0.3)
        intents = await asyncio.gather(*(charge(client, customer, method, "pay:1") for _ in range(3)))
    assert len({intent.id for intent in intents}) == 1
    assert len(sandbox.charges(key)) == 1


async def test_lists_are_paged_newest_first_and_filtered(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client)
    other, other_method = await saved_card(client)
    started = int(time.time())
    made = [(await charge(client, customer, method)).id for _ in range(5)]
    await charge(client, other, other_method)
    first = await client.v1.payment_intents.list_async({"customer": customer, "limit": 2})
    assert ([each.id for each in first.data], first.has_more) == (made[:2:-1], True)
    everything = [each.id async for each in first.auto_paging_iter()]
    assert everything == made[::-1]
    before = await client.v1.payment_intents.list_async({"customer": customer, "ending_before": made[1], "limit": 2})
    assert ([each.id for each in before.data], before.has_more) == ([made[3], made[2]], True)
    recent = await client.v1.payment_intents.list_async({"created": {"gte": started - 5}, "customer": customer})
    assert len(recent.data) == 5
    future = await client.v1.payment_intents.list_async({"created": {"gt": started + 60}})
    assert future.data == []
    expanded = await client.v1.payment_intents.list_async({"customer": other, "expand": ["data.latest_charge"]})
    assert isinstance(expanded.data[0].latest_charge, stripe.Charge)


async def test_events_are_listed_by_type(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client)
    intent = await charge(client, customer, method, "pay:1")
    events = await client.v1.events.list_async()
    assert [event.type for event in events.data] == [
        "payment_intent.succeeded",
        "charge.succeeded",
        "payment_intent.created",
        "payment_method.attached",
        "customer.created",
    ]
    succeeded = await client.v1.events.list_async({"types": ["payment_intent.succeeded", "payment_intent.canceled"]})
    (event,) = succeeded.data
    assert event.data.object["id"] == intent.id
    assert event.request is not None
    assert event.request.idempotency_key == "pay:1"
    older = await client.v1.events.list_async({"starting_after": events.data[3].id})
    assert [each.type for each in older.data] == ["customer.created"]
    assert (await client.v1.events.retrieve_async(event.id)).type == "payment_intent.succeeded"
