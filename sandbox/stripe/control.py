"""The Stripe part of the control API: what Stripe's dashboard and the outside world would do."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.control import ControlError, json_object
from sandbox.state import Json, Owner, State
from sandbox.stripe.account import PROCESSOR, Account
from sandbox.stripe.api import authenticate
from sandbox.stripe.errors import StripeError
from sandbox.stripe.payments import settle_intent
from sandbox.webhooks import Clock, Outbox

OUTCOMES = ("succeeded", "failed")
CHARGE_FIELDS = ("id", "amount", "amount_refunded", "currency", "status", "failure_code", "payment_intent", "created")
CUSTOMER_FIELDS = ("id", "name", "email", "metadata")


@dataclass(frozen=True, slots=True)
class StripeControl:
    state: State
    outbox: Outbox
    clock: Clock
    committed: Callable[[], None]

    def routes(self) -> list[Route]:
        return [Route("/_sandbox/stripe/payment_intents/{intent}/settle", self.settle, methods=["POST"])]

    async def settle(self, request: Request) -> Response:
        """{"outcome": "succeeded" | "failed"} for an intent in requires_action or processing."""
        outcome = (await json_object(request)).get("outcome")
        if outcome not in OUTCOMES:
            raise ControlError(f"outcome must be one of {', '.join(OUTCOMES)}")
        intent_id = request.path_params["intent"]
        owner = self.state.owner_of(PROCESSOR, intent_id)
        if owner is None:
            return JSONResponse({"error": f"no payment intent {intent_id}"}, 404)
        nobody = {"id": None, "idempotency_key": None}
        account = Account(self.state, self.outbox, owner, int(self.clock()), nobody)
        try:
            with self.state.transaction():
                intent = settle_intent(account, intent_id, succeeded=outcome == "succeeded")
        except StripeError as error:
            return JSONResponse({"error": error.error["message"]}, error.status)
        self.committed()
        return JSONResponse(intent)

    def dump(self, authorization: str | None) -> Json:
        """Every account, or the one of the API key in `authorization`. Raises StripeError for a bad key."""
        owners = [authenticate(authorization)] if authorization else self.state.owners(PROCESSOR)
        return {owner.account: self._account(owner) for owner in owners}

    def _account(self, owner: Owner) -> Json:
        charges = [document.body for document in self.state.every(owner, "charge")]
        intents = [document.body for document in self.state.every(owner, "payment_intent")]
        customers = []
        for document in self.state.every(owner, "customer"):
            own = [_pick(charge, CHARGE_FIELDS) for charge in charges if charge["customer"] == document.id]
            customers.append(_pick(document.body, CUSTOMER_FIELDS) | {"charges": own})
        endpoints = [document.body for document in self.state.every(owner, "webhook_endpoint")]
        return {
            "customers": customers,
            "charges": [_pick(charge, (*CHARGE_FIELDS, "customer", "metadata")) for charge in charges],
            "payment_intents": [
                _pick(intent, ("id", "status", "amount", "customer", "metadata")) for intent in intents
            ],
            "webhook_endpoints": [_pick(endpoint, ("id", "url", "enabled_events", "status")) for endpoint in endpoints],
            "deliveries": self.outbox.counts(owner),
        }


def _pick(body: Json, fields: tuple[str, ...]) -> Json:
    return {field: body[field] for field in fields}
