"""GoCardless's API, 2015-07-06: what of it the sandbox has, and GoCardless's ways with keys and errors."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.requests import Request

from sandbox.faults import FaultKind
from sandbox.gocardless import events, mandates, payments, payouts
from sandbox.gocardless.errors import failure, made_before, usage
from sandbox.idempotency import Answered
from sandbox.json_api import Answer, Call, Operation, owner_named
from sandbox.state import Json, Owner

PROCESSOR = "gocardless"
VERSION = "2015-07-06"
TOKEN_PREFIX = "sandbox_"  # noqa: S105 any secret that begins so
FOR_EVER_SECONDS = 2**40

_FAULTS = {
    FaultKind.ERROR_500: failure(500, "gocardless", "An internal server error occurred"),
    FaultKind.ERROR_503: failure(503, "gocardless", "The service is temporarily unavailable"),
    FaultKind.RATE_LIMIT_429: failure(429, "invalid_api_usage", "Rate limit exceeded"),
}


class GoCardlessDialect:
    """A Dialect. Every access token that starts with `sandbox_` is an account of its own."""

    key_life_seconds = FOR_EVER_SECONDS
    operations = (
        Operation("POST", "/billing_requests", mandates.create_request, 201),
        Operation("GET", "/billing_requests/{id}", mandates.get_request),
        Operation("POST", "/billing_requests/{id}/actions/cancel", mandates.cancel_request),
        Operation("POST", "/billing_request_flows", mandates.create_flow, 201),
        Operation("GET", "/mandates", mandates.list_mandates),
        Operation("GET", "/mandates/{id}", mandates.get_mandate),
        Operation("POST", "/mandates/{id}/actions/cancel", mandates.cancel_mandate),
        Operation("GET", "/customer_bank_accounts/{id}", mandates.get_bank_account),
        Operation("POST", "/payments", payments.create_payment, 201),
        Operation("GET", "/payments", payments.list_payments),
        Operation("GET", "/payments/{id}", payments.get_payment),
        Operation("POST", "/payments/{id}/actions/cancel", payments.cancel_payment),
        Operation("POST", "/refunds", payments.create_refund, 201),
        Operation("GET", "/refunds", payments.list_refunds),
        Operation("GET", "/refunds/{id}", payments.get_refund),
        Operation("GET", "/payouts", payouts.list_payouts),
        Operation("GET", "/payout_items", payouts.list_items),
        Operation("GET", "/events", events.list_events),
        Operation("GET", "/events/{id}", events.get_event),
        Operation("POST", "/scenario_simulators/{id}/actions/run", payments.run_scenario),
    )

    def owner(self, request: Request, call: Call) -> Owner:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token.startswith(TOKEN_PREFIX):
            raise usage(401, "access_token_not_found", "Access token not found")
        if request.headers.get("gocardless-version") != VERSION:
            raise usage(400, "version_not_found", "Version not found")
        return owner_named(PROCESSOR, token)

    def success(self, operation: Operation, body: Json | None) -> Answer:
        headers = {"RateLimit-Limit": "1000", "RateLimit-Remaining": "999"}
        return Answer(operation.status, body, {**headers, "RateLimit-Reset": format_datetime(datetime.now(UTC), True)})

    def replay(self, before: Answered, key: str) -> Answer:
        """Only what was made has an id to be found under; actions have none, and are answered again."""
        body = json.loads(before.body)
        [resource] = body.values()
        return made_before(resource["id"]) if before.status == 201 else Answer(before.status, body)

    def in_progress(self) -> Answer:
        return failure(500, "gocardless", "A request with this idempotency key is in progress")

    def fault(self, kind: FaultKind) -> Answer:
        return _FAULTS[kind]

    def malformed(self, message: str) -> Answer:
        return failure(400, "invalid_api_usage", message, [{"reason": "bad_request", "message": message}])
