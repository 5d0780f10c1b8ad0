"""The processors' own pages, as a person meets them."""

import httpx
import pytest

from tests.sandbox.running import RunningSandbox

PAGE = {
    "merchantAccount": "Shop",
    "amount": {"currency": "EUR", "value": 5000},
    "reference": "pay_1/1",
    "returnUrl": "https://shop.example/back",
}


@pytest.fixture
def page_url(sandbox: RunningSandbox) -> str:
    made = httpx.post(sandbox.url + "/v72/paymentLinks", headers={"x-api-key": "AQEx"}, json=PAGE)
    url: str = made.raise_for_status().json()["url"]
    return url


def test_a_person_picks_how_it_goes_and_is_sent_back(page_url: str) -> None:
    shown = httpx.get(page_url)
    assert "<option>APPROVED</option>" in shown.text
    answer = httpx.post(page_url, data={"method": "NOT_ENOUGH_BALANCE"})
    assert (answer.status_code, answer.headers["location"]) == (303, "https://shop.example/back")
    assert httpx.post(page_url, data={"method": "APPROVED"}).status_code == 303
    assert httpx.post(page_url, data={"method": "APPROVED"}).status_code == 404, "it is paid"


def test_what_is_not_offered_cannot_be_picked(sandbox: RunningSandbox, page_url: str) -> None:
    assert httpx.post(page_url, json={"method": "pays"}).status_code == 400
    assert httpx.get(sandbox.url + "/_sandbox/pages/PLnone").status_code == 404
