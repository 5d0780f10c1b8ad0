"""The GoCardless part of the control API: what its site and the banks would do."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.accounts import Account
from sandbox.control import ControlError, json_object
from sandbox.gocardless import payments
from sandbox.gocardless.dialect import PROCESSOR
from sandbox.gocardless.events import new_id
from sandbox.json_api import owner_named
from sandbox.state import Json, Owner, State
from sandbox.webhooks import Clock, Outbox


@dataclass(frozen=True, slots=True)
class GoCardlessControl:
    state: State
    outbox: Outbox
    clock: Clock
    committed: Callable[[], None]

    def routes(self) -> list[Route]:
        return [
            Route("/_sandbox/gocardless/webhooks", self.connect, methods=["POST"]),
            Route("/_sandbox/gocardless/next_day", self.next_day, methods=["POST"]),
        ]

    async def connect(self, request: Request) -> Response:
        """{"access_token", "url"} -> {"secret"}"""
        body = await json_object(request)
        token, url = body.get("access_token"), body.get("url")
        if not isinstance(token, str) or not isinstance(url, str):
            raise ControlError("access_token and url are strings")
        secret = secrets.token_urlsafe(32)
        with self.state.transaction():
            secret = self._account(owner_named(PROCESSOR, token)).connect(new_id("WE"), url, secret)
        return JSONResponse({"secret": secret})

    async def next_day(self, request: Request) -> Response:
        """A banking day passes, in every account."""
        with self.state.transaction():
            for owner in self.state.owners(PROCESSOR):
                payments.next_day(self._account(owner))
        self.committed()
        return JSONResponse({})

    def _account(self, owner: Owner) -> Account:
        return Account(self.state, self.outbox, owner, self.clock())

    def dump(self, authorization: str | None) -> Json:
        return {
            owner.account: {
                kind + "s": [document.body for document in self.state.every(owner, kind)]
                for kind in ("payment", "refund", "mandate", "billing_request")
            }
            | {"deliveries": self.outbox.counts(owner)}
            for owner in self.state.owners(PROCESSOR)
        }
