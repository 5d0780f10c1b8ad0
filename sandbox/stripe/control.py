"""The Stripe part of the control API: what Stripe's dashboard and the outside world would do."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import accounts
from sandbox.board import Action, Waiting, settling
from sandbox.control import ControlError, json_object
from sandbox.state import Json, Owner, State
from sandbox.stripe import checkout
from sandbox.stripe.account import PROCESSOR, Account
from sandbox.stripe.api import authenticate
from sandbox.stripe.disputes import close_dispute, open_dispute
from sandbox.stripe.errors import StripeError
from sandbox.stripe.payments import settle_intent
from sandbox.stripe.payouts import pay_out
from sandbox.stripe.refunds import settle_refund
from sandbox.webhooks import Clock, Outbox

OUTCOMES = ("succeeded", "failed")
CHARGE_FIELDS = ("id", "amount", "amount_refunded", "currency", "status", "failure_code", "payment_intent", "created")
CUSTOMER_FIELDS = ("id", "name", "email", "metadata")


_WAITING: Mapping[str, tuple[Sequence[str], str, Mapping[str, str]]] = {
    "payment_intent": (
        ("requires_action", "processing"),
        "/_sandbox/stripe/payment_intents/{id}/settle",
        {"succeeded": "Succeed", "failed": "Fail"},
    ),
    "dispute": (
        ("needs_response",),
        "/_sandbox/stripe/disputes/{id}/settle",
        {"succeeded": "Won", "failed": "Lost"},
    ),
    "refund": (
        ("pending", "succeeded"),
        "/_sandbox/stripe/refunds/{id}/settle",
        {"succeeded": "Arrives", "failed": "Comes back"},
    ),
    "charge": (("succeeded",), "/_sandbox/stripe/charges/{id}/dispute", {}),
}
"""By kind of object: in which states something may become of it, by which request, and the words for its outcomes."""


class Settle(Protocol):
    def __call__(self, account: Account, object_id: str, /, *, succeeded: bool) -> Json: ...


@dataclass(frozen=True, slots=True)
class StripeControl:
    state: State
    outbox: Outbox
    clock: Clock
    committed: Callable[[], None]

    def routes(self) -> list[Route]:
        return [
            Route("/_sandbox/stripe/payment_intents/{id}/settle", self._settling(settle_intent), methods=["POST"]),
            Route("/_sandbox/stripe/refunds/{id}/settle", self._settling(settle_refund), methods=["POST"]),
            Route("/_sandbox/stripe/disputes/{id}/settle", self._settling(close_dispute), methods=["POST"]),
            Route("/_sandbox/stripe/charges/{id}/dispute", self.dispute, methods=["POST"]),
            Route("/_sandbox/stripe/payouts", self.pay_out, methods=["POST"]),
        ]

    def waiting(self) -> Iterator[Waiting]:
        for owner in self.state.owners(PROCESSOR):
            for kind, (statuses, path, labels) in _WAITING.items():
                for document in reversed(self.state.every(owner, kind)):
                    body = document.body
                    if body["status"] in statuses:
                        where = path.format(id=body["id"])
                        actions = settling(where, labels) if labels else (Action("Dispute", where),)
                        yield Waiting(kind, body["id"], body["amount"], body["currency"], body["status"], actions)

    async def dispute(self, request: Request) -> Response:
        return self._done(request.path_params["id"], open_dispute)

    async def pay_out(self, request: Request) -> Response:
        """What every account has collected -> {"payouts": […]}"""
        with self.state.transaction():
            made = [payout for owner in self.state.owners(PROCESSOR) for payout in pay_out(self._account_of(owner))]
        self.committed()
        return JSONResponse({"payouts": made})

    def _settling(self, settle: Settle) -> Callable[[Request], Awaitable[Response]]:
        """{"outcome": "succeeded" | "failed"}: for an intent in requires_action or processing, or for a refund."""

        async def endpoint(request: Request) -> Response:
            outcome = (await json_object(request)).get("outcome")
            if outcome not in OUTCOMES:
                raise ControlError(f"outcome must be one of {', '.join(OUTCOMES)}")
            succeeded = outcome == "succeeded"
            return self._done(
                request.path_params["id"], lambda account, name: settle(account, name, succeeded=succeeded)
            )

        return endpoint

    def _account_of(self, owner: Owner) -> Account:
        return Account(self.state, self.outbox, owner, int(self.clock()), {"id": None, "idempotency_key": None})

    def _done(self, object_id: str, act: Callable[[Account, str], Json]) -> Response:
        owner = self.state.owner_of(PROCESSOR, object_id)
        if owner is None:
            return JSONResponse({"error": f"there is no {object_id}"}, 404)
        try:
            with self.state.transaction():
                settled = act(self._account_of(owner), object_id)
        except StripeError as error:
            return JSONResponse({"error": error.error["message"]}, error.status)
        self.committed()
        return JSONResponse(settled)

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
        refunds = [document.body for document in self.state.every(owner, "refund")]
        endpoints = [document.body for document in self.state.every(owner, "webhook_endpoint")]
        return {
            "customers": customers,
            "charges": [_pick(charge, (*CHARGE_FIELDS, "customer", "metadata")) for charge in charges],
            "payment_intents": [
                _pick(intent, ("id", "status", "amount", "customer", "metadata")) for intent in intents
            ],
            "refunds": [_pick(refund, ("id", "amount", "status", "payment_intent", "metadata")) for refund in refunds],
            "webhook_endpoints": [_pick(endpoint, ("id", "url", "enabled_events", "status")) for endpoint in endpoints],
            "deliveries": self.outbox.counts(owner),
        }


def complete_page(account: accounts.Account, page_id: str, method: str) -> str:
    """What a customer does on a hosted page."""
    nobody = {"id": None, "idempotency_key": None}
    return checkout.complete(
        Account(account.state, account.outbox, account.owner, int(account.now), nobody), page_id, method
    )


def _pick(body: Json, fields: tuple[str, ...]) -> Json:
    return {field: body[field] for field in fields}
