"""The GoCardless part of the control API: what its site and the banks would do."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.accounts import Account, NoSuch
from sandbox.board import Action, Waiting
from sandbox.control import ControlError, json_object
from sandbox.gocardless import payments
from sandbox.gocardless.dialect import PROCESSOR
from sandbox.gocardless.events import new_id
from sandbox.json_api import ApiError, Call, owner_named
from sandbox.state import Json, Owner, State
from sandbox.webhooks import Clock, Outbox

_UNDER_WAY = {"payment_confirmed": "Confirm", "payment_failed": "Fail"}
_BACK = {"payment_charged_back": "Charge back", "payment_late_failure": "Fail late"}
_REFUND = {"refund_paid": "Arrives", "refund_bounced": "Bounces"}
SCENARIOS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "payment": {
        "pending_submission": _UNDER_WAY,
        "submitted": _UNDER_WAY,
        "confirmed": {"payment_paid_out": "Pay out", **_BACK},
        "paid_out": _BACK,
    },
    "refund": {"created": _REFUND, "submitted": _REFUND, "paid": {"refund_returned": "Comes back"}},
}
"""By kind and status, what a person may have happen on the page."""


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
            Route("/_sandbox/gocardless/{id}/{scenario}", self.run_scenario, methods=["POST"]),
        ]

    async def run_scenario(self, request: Request) -> Response:
        """One of GoCardless's own scenarios, without the account's token."""
        resource, scenario = request.path_params["id"], request.path_params["scenario"]
        owner = self.state.owner_of(PROCESSOR, resource)
        if owner is None:
            raise NoSuch(f"there is no {resource}")
        asked = Call({"data": {"links": {"resource": resource}}}, {}, {"id": scenario}, "")
        try:
            with self.state.transaction():
                payments.run_scenario(self._account(owner), asked)
        except ApiError as error:
            raise ControlError(f"there is no scenario {scenario} for {resource}") from error
        self.committed()
        return JSONResponse({})

    def waiting(self) -> Iterator[Waiting]:
        for owner in self.state.owners(PROCESSOR):
            for kind in ("payment", "refund"):
                for document in reversed(self.state.every(owner, kind)):
                    body = document.body
                    if labels := SCENARIOS[kind].get(body["status"]):
                        path = f"/_sandbox/gocardless/{body['id']}/"
                        actions = tuple(Action(label, path + scenario) for scenario, label in labels.items())
                        yield Waiting(kind, body["id"], body["amount"], body["currency"], body["status"], actions)

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
