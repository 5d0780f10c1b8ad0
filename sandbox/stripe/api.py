"""From an HTTP request to its answer: key, version, parameters, idempotency, faults, one transaction."""

import asyncio
import hashlib
import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.connection import DroppedResponse
from sandbox.faults import Fault, FaultKind, Faults
from sandbox.idempotency import Answered, IdempotencyKeys, KeyInUseError
from sandbox.state import Json, Owner, State
from sandbox.stripe import errors, expansion, forms
from sandbox.stripe.account import PROCESSOR, Account
from sandbox.stripe.errors import StripeError
from sandbox.stripe.objects import API_VERSION, new_id
from sandbox.stripe.operations import OPERATIONS, Operation
from sandbox.stripe.payments import Declined
from sandbox.webhooks import Clock, Outbox

KEY_PREFIX = "sk_test_"
KEY_LIFETIME_SECONDS = 24 * 3600
MAX_IDEMPOTENCY_KEY = 255
EDGE_FAULTS: dict[FaultKind, Callable[[], StripeError]] = {
    FaultKind.RATE_LIMIT_429: errors.rate_limited,
    FaultKind.ERROR_503: errors.unavailable,
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    original_request: str
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Api:
    state: State
    keys: IdempotencyKeys
    outbox: Outbox
    faults: Faults
    clock: Clock
    committed: Callable[[], None]
    """Called after each commit: there may be webhooks to send."""

    def routes(self) -> list[Route]:
        known = [
            Route(operation.path, self._endpoint(operation), methods=[operation.method]) for operation in OPERATIONS
        ]
        return [*known, Route("/v1/{path:path}", self._unknown, methods=["GET", "POST", "DELETE"])]

    def _endpoint(self, operation: Operation) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            return await self._answer(operation, request)

        return endpoint

    async def _unknown(self, request: Request) -> Response:
        error = errors.unrecognized_url(request.method, request.url.path)
        request_id = new_id("req", 14)
        return _response(_failure(error, request_id), request, request_id)

    async def _answer(self, operation: Operation, request: Request) -> Response:
        request_id = new_id("req", 14)
        fault = self.faults.take(request.method, request.url.path)
        if fault is not None and fault.kind is FaultKind.DROP_BEFORE_COMMIT:
            return DroppedResponse()
        try:
            if fault is not None and fault.kind in EDGE_FAULTS:
                raise EDGE_FAULTS[fault.kind]()
            answer = await self._execute(operation, request, request_id, fault)
        except StripeError as error:
            answer = _failure(error, request_id)
        if fault is not None and fault.kind is FaultKind.DROP_AFTER_COMMIT:
            return DroppedResponse()
        return _response(answer, request, request_id)

    async def _execute(self, operation: Operation, request: Request, request_id: str, fault: Fault | None) -> Answer:
        owner = authenticate(request.headers.get("authorization"))
        _check_version(request.headers.get("stripe-version"))
        form = await _form(request)
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is not None and not 0 < len(key) <= MAX_IDEMPOTENCY_KEY:
            raise errors.refused(f"Idempotency keys must have between 1 and {MAX_IDEMPOTENCY_KEY} characters.")
        names = {**request.path_params, "base_url": str(request.base_url).rstrip("/")}
        call = _Call(operation, owner, request.url.path, form, names, request_id, key)
        if key is None:
            return await self._first_time(call, fault)
        try:
            with self.keys.hold(owner, key):
                return self._replayed(call, key) or await self._first_time(call, fault)
        except KeyInUseError as error:
            raise errors.key_in_use() from error

    def _replayed(self, call: "_Call", key: str) -> Answer | None:
        before = self.keys.find(call.owner, key, int(self.clock()) - KEY_LIFETIME_SECONDS)
        if before is None:
            return None
        advice = f"Try using a key other than '{key}' if you meant to execute a different request."
        if before.path != call.path:
            raise errors.key_reused(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for"
                f" ('{call.path}' vs '{before.path}'). {advice}"
            )
        if before.fingerprint != call.fingerprint:
            raise errors.key_reused(
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
                f" {advice}"
            )
        return Answer(before.status, before.body, before.request_id, replayed=True)

    async def _first_time(self, call: "_Call", fault: Fault | None) -> Answer:
        operation = call.operation
        expand = forms.many(forms.identifier)("expand", call.form.get("expand", {}))
        expansion.check(operation.returns, expand, listed=operation.lists)
        given = {name: value for name, value in call.form.items() if name != "expand"}
        params = forms.decode(given, operation.fields, operation.required) | call.names
        if fault is not None and fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds)
        try:
            if fault is not None and fault.kind is FaultKind.ERROR_500:
                raise errors.internal()
            with self.state.transaction():
                account = call.account(self)
                result = operation.run(account, params)
                if isinstance(result, Declined):
                    error = {**result.error, "request_log_url": _log_url(call.request_id)}
                    answer = Answer(402, _json({"error": error}), call.request_id)
                else:
                    answer = Answer(200, _json(expansion.expand(account, result, expand)), call.request_id)
                self._save(call, answer)
        except StripeError as error:
            answer = _failure(error, call.request_id)
            if error.executed:
                self._save(call, answer)
        self.committed()
        return answer

    def _save(self, call: "_Call", answer: Answer) -> None:
        if call.key is not None:
            saved = Answered(
                call.path, call.fingerprint, call.request_id, answer.status, answer.body, int(self.clock())
            )
            self.keys.save(call.owner, call.key, saved)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request to one operation; `names` are the ids in its path, and the sandbox's `base_url`."""

    operation: Operation
    owner: Owner
    path: str
    form: Json
    names: Json
    request_id: str
    key: str | None

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.form, sort_keys=True).encode()).hexdigest()

    def account(self, api: Api) -> Account:
        request = {"id": self.request_id, "idempotency_key": self.key}
        return Account(api.state, api.outbox, self.owner, int(api.clock()), request)


def authenticate(authorization: str | None) -> Owner:
    """`Bearer sk_test_...`, or Basic with the key as user name. Any test key is an account of its own."""
    scheme, _, credential = (authorization or "").partition(" ")
    key = credential.strip()
    if scheme.lower() == "basic":
        try:
            key = b64decode(key, validate=True).decode().partition(":")[0]
        except (Base64Error, UnicodeDecodeError):
            key = ""
    if not key or scheme.lower() not in ("bearer", "basic"):
        raise errors.unauthenticated(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer"
            " auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if not key.startswith(KEY_PREFIX) or key == KEY_PREFIX:
        raise errors.unauthenticated(f"Invalid API Key provided: {_masked(key)}")
    return Owner(PROCESSOR, "acct_" + hashlib.sha256(key.encode()).hexdigest()[:16])


def _masked(key: str) -> str:
    return "*" * 8 + key[-4:] if len(key) > 12 else "*" * 8


def _check_version(version: str | None) -> None:
    if version not in (None, API_VERSION):
        raise errors.refused(f"Invalid Stripe API version: {version}. This sandbox speaks {API_VERSION}.")


async def _form(request: Request) -> Json:
    if request.method != "POST":
        return forms.parse(request.url.query)
    body = await request.body()
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and content_type != "application/x-www-form-urlencoded":
        raise errors.refused(
            "Invalid request (check that your POST content type is application/x-www-form-urlencoded)."
        )
    try:
        return forms.parse(body.decode())
    except UnicodeDecodeError as error:
        raise errors.refused("Invalid request: the body is not valid UTF-8.") from error


def _failure(error: StripeError, request_id: str) -> Answer:
    return Answer(error.status, _json({"error": {**error.error, "request_log_url": _log_url(request_id)}}), request_id)


def _log_url(request_id: str) -> str:
    return f"https://dashboard.stripe.com/test/logs/{request_id}"


def _json(body: Json) -> str:
    return json.dumps(body, ensure_ascii=False, indent=2)


def _response(answer: Answer, request: Request, request_id: str) -> Response:
    headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    if (key := request.headers.get("idempotency-key")) is not None and request.method == "POST":
        headers |= {"Idempotency-Key": key, "Original-Request": answer.original_request}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Stripe"'
    return Response(answer.body, answer.status, headers, media_type="application/json")
