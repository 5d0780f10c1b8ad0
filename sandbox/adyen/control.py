"""The Adyen part of the control API: what its site and the outside world would do."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.accounts import Account, NoSuch
from sandbox.adyen import payments
from sandbox.adyen.dialect import PROCESSOR
from sandbox.control import ControlError, json_object
from sandbox.json_api import owner_named
from sandbox.state import Json, State
from sandbox.webhooks import Clock, Outbox

OUTCOMES = ("succeeded", "failed")


@dataclass(frozen=True, slots=True)
class AdyenControl:
    state: State
    outbox: Outbox
    clock: Clock
    committed: Callable[[], None]

    def routes(self) -> list[Route]:
        return [
            Route("/_sandbox/adyen/webhooks", self.connect, methods=["POST"]),
            Route("/_sandbox/adyen/payments/{id}/settle", self.settle, methods=["POST"]),
            Route("/_sandbox/adyen/refunds/{id}/fail", self.fail_refund, methods=["POST"]),
        ]

    async def connect(self, request: Request) -> Response:
        """{"merchant_account", "url"} -> {"hmac_key"}"""
        body = await json_object(request)
        merchant_account, url = body.get("merchant_account"), body.get("url")
        if not isinstance(merchant_account, str) or not isinstance(url, str):
            raise ControlError("merchant_account and url are strings")
        owner, key = owner_named(PROCESSOR, merchant_account), secrets.token_hex(32).upper()
        with self.state.transaction():
            account = Account(self.state, self.outbox, owner, self.clock())
            key = account.connect("webhook_" + payments.new_reference(), url, key)
        return JSONResponse({"hmac_key": key})

    async def settle(self, request: Request) -> Response:
        """{"outcome": "succeeded" | "failed"} for a payment that was Received."""
        outcome = (await json_object(request)).get("outcome")
        if outcome not in OUTCOMES:
            raise ControlError(f"outcome must be one of {', '.join(OUTCOMES)}")
        reference = request.path_params["id"]
        return self._do(
            reference, lambda account: payments.settle(account, reference, succeeded=outcome == "succeeded")
        )

    async def fail_refund(self, request: Request) -> Response:
        reference = request.path_params["id"]
        return self._do(reference, lambda account: payments.fail_refund(account, reference))

    def _do(self, reference: str, action: Callable[[Account], Json]) -> Response:
        owner = self.state.owner_of(PROCESSOR, reference)
        if owner is None:
            raise NoSuch(f"there is no {reference}")
        with self.state.transaction():
            answer = action(Account(self.state, self.outbox, owner, self.clock()))
        self.committed()
        return JSONResponse(answer)

    def dump(self, authorization: str | None) -> Json:
        return {
            owner.account: {
                kind: [document.body for document in self.state.every(owner, singular)]
                for kind, singular in (("payments", "payment"), ("refunds", "refund"), ("links", "link"))
            }
            | {"deliveries": self.outbox.counts(owner)}
            for owner in self.state.owners(PROCESSOR)
        }
