"""The Adyen part of the control API: what its site and the outside world would do."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.accounts import Account, NoSuch
from sandbox.adyen import payments, reports
from sandbox.adyen.dialect import PROCESSOR
from sandbox.board import Action, Waiting, settling
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
            Route("/_sandbox/adyen/payments/{id}/chargeback", self.charge_back, methods=["POST"]),
            Route("/_sandbox/adyen/payouts", self.pay_out, methods=["POST"]),
            Route(reports.PATH, self.report, methods=["GET"]),
        ]

    def waiting(self) -> Iterator[Waiting]:
        for owner in self.state.owners(PROCESSOR):
            for document in reversed(self.state.every(owner, "payment")):
                body = document.body
                path, amount = f"/_sandbox/adyen/payments/{body['id']}", body["amount"]
                actions: tuple[Action, ...] = ()
                if body["resultCode"] == "Received":
                    actions = settling(path + "/settle")
                elif body["resultCode"] == "Authorised" and amount["value"] and not body.get("chargedBack"):
                    actions = (Action("Charge back", path + "/chargeback"),)
                if actions:
                    yield Waiting(
                        "payment", body["id"], amount["value"], amount["currency"], body["resultCode"], actions
                    )
            for document in reversed(self.state.every(owner, "refund")):
                body = document.body
                if body["success"]:
                    back = (Action("Comes back", f"/_sandbox/adyen/refunds/{body['id']}/fail"),)
                    yield Waiting(
                        "refund", body["id"], body["amount"]["value"], body["amount"]["currency"], "refunded", back
                    )

    async def charge_back(self, request: Request) -> Response:
        reference = request.path_params["id"]
        return self._do(reference, lambda account: payments.charge_back(account, reference))

    async def pay_out(self, request: Request) -> Response:
        """What every account has collected, with a settlement detail report and a webhook about it."""
        url = str(request.base_url).rstrip("/")
        with self.state.transaction():
            names = [
                reports.pay_out(Account(self.state, self.outbox, owner, self.clock()), url)
                for owner in self.state.owners(PROCESSOR)
            ]
        self.committed()
        return JSONResponse({"reports": [name for name in names if name]})

    async def report(self, request: Request) -> Response:
        """A report, as Adyen gives it to its report users."""
        if not request.headers.get("x-api-key", "").startswith("AQE"):
            return Response(status_code=401)
        owner = owner_named(PROCESSOR, request.path_params["merchant_account"])
        found = self.state.get(owner, "report", request.path_params["name"])
        return Response(status_code=404) if found is None else Response(found.private["csv"], media_type="text/csv")

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
