"""Signatures of webhooks: the processors' own examples, and what a forger would try."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from services.payments.providers import Event, SignatureRefused, Subject
from services.payments.providers.adyen import Adyen
from services.payments.providers.gocardless import GoCardless

NOWHERE = "http://127.0.0.1:1"
HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
SIGNATURE = "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="
ITEM: Mapping[str, Any] = {
    "additionalData": {"hmacSignature": SIGNATURE},
    "pspReference": "7914073381342284",
    "originalReference": "",
    "merchantAccountCode": "TestMerchant",
    "merchantReference": "TestPayment-1407325143704",
    "amount": {"value": 1130, "currency": "EUR"},
    "eventCode": "AUTHORISATION",
    "success": "true",
}
TOKEN_BODY = b'{"type":"recurring.token.created","data":{"storedPaymentMethodId":"M5N7"}}'
TOKEN_SIGNATURE = "ksIr8ZajJjpLVyRg2saG0WpxnEaeuq8kb/xqre8BsbQ="
SECRET = "ED7D658C-D8EB-4941-948B-3973214F2D49"
DEBIT_BODY = (
    b'{"events":[{"id":"EV00BD05S5VM2T","created_at":"2018-07-05T09:13:51.404Z","resource_type":"payments",'
    b'"action":"confirmed","links":{"payment":"PM1"},"details":{"origin":"gocardless","cause":"payment_confirmed",'
    b'"description":"d"}}],"meta":{"webhook_id":"WB1"}}'
)
DEBIT_SIGNATURE = "16472a1bdfe6534101aa28adc84e46c618dd3bf8dcc7d0b4757362eb4fdb61e2"


def adyen(body: bytes, headers: Mapping[str, str] | None = None, key: str = HMAC_KEY) -> list[Event]:
    account = Adyen(NOWHERE, 1).account({"api_key": "AQE", "merchant_account": "TestMerchant", "hmac_key": key})
    return list(account.events(body, headers or {}))


def notification(*items: Any) -> bytes:
    wrapped = [{"NotificationRequestItem": item} for item in items]
    return json.dumps({"live": "false", "notificationItems": wrapped}).encode()


def gocardless(body: bytes, signature: str | None, secret: str = SECRET) -> list[Event]:
    credentials = {"access_token": "sandbox_x", "webhook_secret": secret, "environment": "sandbox"}
    headers = {} if signature is None else {"webhook-signature": signature}
    return list(GoCardless(NOWHERE, 5).account(credentials).events(body, headers))


def test_a_notification_of_adyens_is_believed() -> None:
    [event] = adyen(notification(ITEM))
    assert (event.id, event.subject) == ("AUTHORISATION:7914073381342284:true", Subject.OTHER)
    assert adyen(notification({**ITEM, "reason": "not signed"}))[0].id == event.id


@pytest.mark.parametrize(
    "change",
    [
        {"amount": {"value": 1131, "currency": "EUR"}},
        {"success": "false"},
        {"success": True},
        {"success": None},
        {"merchantReference": "pay_1/1"},
        {"eventCode": "REFUND"},
        {"pspReference": "x"},
        {"additionalData": {}},
        {"additionalData": {"hmacSignature": ""}},
        {"additionalData": {"hmacSignature": "ü"}},
        {"additionalData": {"hmacSignature": 7}},
        {"additionalData": None},
        {"amount": None},
    ],
)
def test_a_notification_that_was_changed_is_refused(change: Mapping[str, Any]) -> None:
    with pytest.raises(SignatureRefused):
        adyen(notification({**ITEM, **change}))
    with pytest.raises(SignatureRefused):
        adyen(notification(ITEM, {**ITEM, **change}))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, notification(), notification(7)])
def test_what_is_no_notification_is_refused(body: bytes) -> None:
    with pytest.raises(SignatureRefused):
        adyen(body)
    with pytest.raises(SignatureRefused):
        adyen(body, {"hmacsignature": "x"})


def test_a_token_of_adyens_is_believed_with_its_signature_alone() -> None:
    [event] = adyen(TOKEN_BODY, {"hmacsignature": TOKEN_SIGNATURE})
    assert event.error.startswith("malformed"), "signed, but the example leaves most of it out"
    for body, signature in ((TOKEN_BODY + b" ", TOKEN_SIGNATURE), (TOKEN_BODY, ""), (TOKEN_BODY, "ü")):
        with pytest.raises(SignatureRefused):
            adyen(body, {"hmacsignature": signature})
    with pytest.raises(SignatureRefused):
        adyen(notification(ITEM), key="00" * 32)


def test_gocardless_is_believed() -> None:
    [event] = gocardless(DEBIT_BODY, DEBIT_SIGNATURE)
    assert (event.id, event.type, event.subject, event.reference) == (
        "EV00BD05S5VM2T",
        "payments.confirmed",
        Subject.CHARGE,
        "PM1",
    )


@pytest.mark.parametrize(
    ("body", "signature", "secret"),
    [
        (DEBIT_BODY + b" ", DEBIT_SIGNATURE, SECRET),
        (DEBIT_BODY, DEBIT_SIGNATURE.upper(), SECRET),
        (DEBIT_BODY, "", SECRET),
        (DEBIT_BODY, "ü", SECRET),
        (DEBIT_BODY, None, SECRET),
        (DEBIT_BODY, DEBIT_SIGNATURE, SECRET.lower()),
    ],
)
def test_what_gocardless_did_not_sign_is_refused(body: bytes, signature: str | None, secret: str) -> None:
    with pytest.raises(SignatureRefused):
        gocardless(body, signature, secret)
