"""The control API under /_sandbox: what tests and developers do to the sandbox, not to a processor."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, FaultKind, Faults
from sandbox.state import Json, State
from sandbox.webhooks import Clock, Deliverer, Outbox

MAX_COPIES = 100


class ControlError(Exception):
    """The control request is malformed; the text says how."""


@dataclass(frozen=True, slots=True)
class Control:
    """`dumps` gives each processor's state; it may be narrowed by an Authorization header."""

    state: State
    outbox: Outbox
    deliverer: Deliverer
    faults: Faults
    clock: Clock
    dumps: Mapping[str, Callable[[str | None], Json]]

    def routes(self) -> list[Route]:
        return [
            Route("/_sandbox/health", self.health),
            Route("/_sandbox/state", self.dump),
            Route("/_sandbox/faults", self.list_faults, methods=["GET"]),
            Route("/_sandbox/faults", self.add_fault, methods=["POST"]),
            Route("/_sandbox/faults", self.clear_faults, methods=["DELETE"]),
            Route("/_sandbox/webhooks/replay", self.replay, methods=["POST"]),
            Route("/_sandbox/webhooks/pause", self.pause, methods=["POST"]),
            Route("/_sandbox/webhooks/resume", self.resume, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:
        if not self.deliverer.running:
            return JSONResponse({"status": "webhooks are not being sent"}, 503)
        self.state.connection.execute("SELECT 1 FROM document LIMIT 1").fetchone()
        return JSONResponse({"status": "ok"})

    async def dump(self, request: Request) -> Response:
        authorization = request.headers.get("authorization")
        return JSONResponse({processor: dump(authorization) for processor, dump in self.dumps.items()})

    async def list_faults(self, request: Request) -> Response:
        return JSONResponse({"faults": [asdict(fault) for fault in self.faults.pending]})

    async def add_fault(self, request: Request) -> Response:
        self.faults.pending.append(_fault(await json_object(request)))
        return await self.list_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        self.faults.pending.clear()
        return await self.list_faults(request)

    async def replay(self, request: Request) -> Response:
        body = await json_object(request)
        event, copies = body.get("event"), body.get("copies", 1)
        if not (event is None or isinstance(event, str)) or not (type(copies) is int and 1 <= copies <= MAX_COPIES):
            raise ControlError(f"event is an id or absent, copies is 1 to {MAX_COPIES}")
        deliveries = self.outbox.replay(event, copies, self.clock())
        self.deliverer.wake()
        return JSONResponse({"deliveries": deliveries})

    async def pause(self, request: Request) -> Response:
        return self._set_paused(True)

    async def resume(self, request: Request) -> Response:
        return self._set_paused(False)

    def _set_paused(self, paused: bool) -> Response:
        self.deliverer.paused = paused
        self.deliverer.wake()
        return JSONResponse({"paused": paused})


async def json_object(request: Request) -> Json:
    """The body, `{}` if empty. Raises ControlError."""
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise ControlError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ControlError("the body must be a JSON object")
    return body


def _fault(body: Json) -> Fault:
    names = [field.name for field in fields(Fault)]
    if unknown := [name for name in body if name not in names]:
        raise ControlError(f"unknown field {unknown[0]}; a fault has {', '.join(names)}")
    fault = {"method": "*", "path": "*", "times": 1, "seconds": 0, **body}
    if not isinstance(fault["method"], str) or not isinstance(fault["path"], str):
        raise ControlError("method and path are strings, * matches anything")
    if type(fault["times"]) is not int or fault["times"] < 1:
        raise ControlError("times is a whole number from 1")
    if not isinstance(fault["seconds"], int | float) or fault["seconds"] < 0:
        raise ControlError("seconds is a number from 0")
    if fault.get("kind") not in list(FaultKind):
        raise ControlError(f"kind is one of {', '.join(FaultKind)}")
    return Fault(**{**fault, "kind": FaultKind(fault["kind"])})


async def control_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def not_there(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404)
