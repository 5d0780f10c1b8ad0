"""Adyen's Checkout API, v72: what of it the sandbox has, and Adyen's ways with keys and errors."""

import json

from starlette.requests import Request

from sandbox.adyen import pages, payments
from sandbox.adyen.errors import failure, missing
from sandbox.faults import FaultKind
from sandbox.idempotency import Answered
from sandbox.json_api import Answer, ApiError, Call, Operation, owner_named
from sandbox.state import Json, Owner, State

PROCESSOR = "adyen"
VERSION = "/v72"
KEY_LIFE_SECONDS = 7 * 24 * 3600

_FAULTS = {
    FaultKind.ERROR_500: failure(500, "000", "An unknown error occurred", "internal"),
    FaultKind.ERROR_503: failure(503, "703", "Required resource temporarily unavailable", "internal", transient=True),
    FaultKind.RATE_LIMIT_429: failure(429, "000", "Too many requests", "internal"),
}


class AdyenDialect:
    """A Dialect. Each merchant account is an account of its own; any key of the form AQE… opens them all."""

    key_life_seconds = KEY_LIFE_SECONDS
    operations = (
        Operation("POST", VERSION + "/payments", payments.pay),
        Operation("POST", VERSION + "/payments/{payment}/refunds", payments.refund, 201),
        Operation("POST", VERSION + "/payments/{payment}/cancels", payments.cancel, 201),
        Operation("POST", VERSION + "/cancels", payments.cancel_by_reference, 201),
        Operation("GET", VERSION + "/storedPaymentMethods", payments.list_methods),
        Operation("POST", VERSION + "/storedPaymentMethods", payments.store_method, 201),
        Operation("POST", VERSION + "/paymentLinks", pages.create_link, 201),
        Operation("GET", VERSION + "/paymentLinks/{link}", pages.get_link),
        Operation("PATCH", VERSION + "/paymentLinks/{link}", pages.expire_link),
        Operation("POST", VERSION + "/sessions", pages.create_session, 201),
    )

    def __init__(self, state: State) -> None:
        self._state = state

    def owner(self, request: Request, call: Call) -> Owner:
        if not request.headers.get("x-api-key", "").startswith("AQE"):
            raise ApiError(failure(401, "000", "HTTP Status Response - Unauthorized", "security"))
        if (link := request.path_params.get("link")) is not None:
            return self._state.owner_of(PROCESSOR, link) or Owner(PROCESSOR, "")
        merchant_account = call.body.get("merchantAccount") or request.query_params.get("merchantAccount")
        if not isinstance(merchant_account, str):
            raise missing("merchantAccount")
        return owner_named(PROCESSOR, merchant_account)

    def success(self, operation: Operation, body: Json | None) -> Answer:
        headers = {"pspReference": body["pspReference"]} if body and "pspReference" in body else {}
        return Answer(operation.status, body, headers)

    def replay(self, before: Answered, key: str) -> Answer:
        return Answer(before.status, json.loads(before.body), {"idempotency-key": key})

    def in_progress(self) -> Answer:
        return failure(422, "704", "request already processed or in progress", "configuration", transient=True)

    def fault(self, kind: FaultKind) -> Answer:
        return _FAULTS[kind]

    def malformed(self, message: str) -> Answer:
        return failure(400, "702", message)
