"""The page at `/`: it lists what happened and what waits, and its buttons do what they say."""

import html
import json
import re

import httpx
import stripe

from tests.sandbox.flows import charge, saved_card
from tests.sandbox.running import RunningSandbox

BUTTON = re.compile(r'<button type="button" data-path="([^"]*)" data-body="([^"]*)">([^<]*)</button>')


def page(sandbox: RunningSandbox) -> str:
    return httpx.get(sandbox.url + "/").raise_for_status().text


def buttons(sandbox: RunningSandbox, about: str) -> dict[str, tuple[str, object]]:
    """By label, the requests of the buttons in the row about an id."""
    rows = [row for row in page(sandbox).split("<tr>") if about in row]
    found = [button for row in rows for button in BUTTON.findall(row)]
    return {html.unescape(label): (html.unescape(path), json.loads(html.unescape(body))) for path, body, label in found}


def press(sandbox: RunningSandbox, about: str, label: str) -> None:
    path, body = buttons(sandbox, about)[label]
    httpx.post(sandbox.url + path, json=body).raise_for_status()


async def test_a_person_decides_about_a_debit_and_then_a_dispute(
    client: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    customer, method = await saved_card(client, "pm_usBankAccount_processing")
    intent = await charge(client, customer, method)
    assert set(buttons(sandbox, intent.id)) == {"Succeed", "Fail"}
    press(sandbox, intent.id, "Succeed")
    assert (await client.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"
    [collected] = (await client.v1.charges.list_async({"payment_intent": intent.id})).data
    press(sandbox, collected.id, "Dispute")
    [dispute] = (await client.v1.disputes.list_async({"charge": collected.id})).data
    assert dispute.status == "needs_response"
    press(sandbox, dispute.id, "Lost")
    assert (await client.v1.disputes.retrieve_async(dispute.id)).status == "lost"
    assert "charge.dispute.closed" in page(sandbox)
    assert buttons(sandbox, dispute.id) == {}


def test_what_accounts_are_called_is_no_markup(sandbox: RunningSandbox) -> None:
    made = {"merchant_account": "<script>alert(1)</script>", "url": "http://127.0.0.1:1/"}
    httpx.post(sandbox.url + "/_sandbox/adyen/webhooks", json=made).raise_for_status()
    httpx.post(
        sandbox.url + "/v72/payments",
        headers={"x-api-key": "AQE"},
        json={
            "merchantAccount": "<script>alert(1)</script>",
            "amount": {"currency": "<b>", "value": 5},
            "reference": "x",
            "paymentMethod": {"type": "scheme", "holderName": "PENDING"},
        },
    ).raise_for_status()
    shown = page(sandbox)
    assert "<script>alert" not in shown
    assert "<B>" not in shown.upper()
