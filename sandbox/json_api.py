"""HTTP APIs that take and give JSON: a table of operations, idempotency keys, faults. What differs is in a Dialect."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.accounts import Account
from sandbox.connection import DroppedResponse
from sandbox.faults import Fault, FaultKind, Faults
from sandbox.idempotency import Answered, IdempotencyKeys, KeyInUseError
from sandbox.state import Json, Owner, State
from sandbox.webhooks import Clock, Outbox

EDGE_FAULTS = FaultKind.ERROR_503, FaultKind.RATE_LIMIT_429


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` None is no body."""

    status: int
    body: Json | None
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """An answer that undoes what the request did."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Call:
    """`body` is the request's JSON, `query` its query, `names` the ids in its path; `base_url` is the sandbox's."""

    body: Json
    query: Mapping[str, str]
    names: Mapping[str, str]
    base_url: str


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    run: Callable[[Account, Call], Json | None]
    status: int = 200


class Dialect(Protocol):
    """One processor's ways. All but `success` and `replay` may raise ApiError."""

    key_life_seconds: int

    @property
    def operations(self) -> Sequence[Operation]: ...

    def owner(self, request: Request, call: Call) -> Owner: ...

    def success(self, operation: Operation, body: Json | None) -> Answer: ...

    def replay(self, before: Answered, key: str) -> Answer: ...

    def in_progress(self) -> Answer: ...

    def fault(self, kind: FaultKind) -> Answer: ...

    def malformed(self, message: str) -> Answer: ...


@dataclass(frozen=True, slots=True)
class JsonApi:
    dialect: Dialect
    state: State
    keys: IdempotencyKeys
    outbox: Outbox
    faults: Faults
    clock: Clock
    committed: Callable[[], None]
    """Called after each commit: there may be webhooks to send."""

    def routes(self) -> list[Route]:
        return [
            Route(operation.path, self._endpoint(operation), methods=[operation.method])
            for operation in self.dialect.operations
        ]

    def _endpoint(self, operation: Operation) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            fault = self.faults.take(request.method, request.url.path)
            if fault is not None and fault.kind is FaultKind.DROP_BEFORE_COMMIT:
                return DroppedResponse()
            try:
                answer = await self._execute(operation, request, fault)
            except ApiError as error:
                answer = error.answer
            if fault is not None and fault.kind is FaultKind.DROP_AFTER_COMMIT:
                return DroppedResponse()
            text = b"" if answer.body is None else json.dumps(answer.body, ensure_ascii=False).encode()
            return Response(text, answer.status, dict(answer.headers), "application/json" if text else None)

        return endpoint

    async def _execute(self, operation: Operation, request: Request, fault: Fault | None) -> Answer:
        if fault is not None and fault.kind in EDGE_FAULTS:
            return self.dialect.fault(fault.kind)
        call = await self._call(request)
        owner = self.dialect.owner(request, call)
        given = request.headers.get("idempotency-key") if request.method == "POST" else None
        if given is None:
            return await self._first_time(operation, call, owner, None, fault)
        key = f"{request.url.path} {given}"
        try:
            with self.keys.hold(owner, key):
                before = self.keys.find(owner, key, int(self.clock()) - self.dialect.key_life_seconds)
                if before is not None:
                    return self.dialect.replay(before, given)
                return await self._first_time(operation, call, owner, key, fault)
        except KeyInUseError:
            return self.dialect.in_progress()

    async def _call(self, request: Request) -> Call:
        """A body that is absent, or null, is empty."""
        try:
            body = json.loads(await request.body() or b"{}") or {}
        except ValueError as error:
            raise ApiError(self.dialect.malformed(str(error))) from error
        if not isinstance(body, dict):
            raise ApiError(self.dialect.malformed("the body must be a JSON object"))
        return Call(body, request.query_params, request.path_params, str(request.base_url).rstrip("/"))

    async def _first_time(
        self, operation: Operation, call: Call, owner: Owner, key: str | None, fault: Fault | None
    ) -> Answer:
        if fault is not None and fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds)
        if fault is not None and fault.kind is FaultKind.ERROR_500:
            return self.dialect.fault(fault.kind)
        now = self.clock()
        with self.state.transaction():
            account = Account(self.state, self.outbox, owner, now)
            answer = self.dialect.success(operation, operation.run(account, call))
            if key is not None:
                self.keys.save(owner, key, Answered("", "", "", answer.status, json.dumps(answer.body), int(now)))
        self.committed()
        return answer


def owner_named(processor: str, account: str) -> Owner:
    """An account whose name tells nothing of the secret that it is made of."""
    return Owner(processor, f"{processor}_{hashlib.sha256(account.encode()).hexdigest()[:16]}")
