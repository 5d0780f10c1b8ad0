"""Composition root: settings -> state -> application -> server."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from sandbox import control
from sandbox.accounts import NoSuch
from sandbox.adyen import cards as adyen_cards
from sandbox.adyen import pages as adyen_pages
from sandbox.adyen.control import AdyenControl
from sandbox.adyen.dialect import PROCESSOR as ADYEN
from sandbox.adyen.dialect import AdyenDialect
from sandbox.adyen.notifications import sign as sign_adyen
from sandbox.board import Board
from sandbox.connection import DroppableConnection
from sandbox.control import Control, ControlError
from sandbox.faults import Faults
from sandbox.gocardless import mandates
from sandbox.gocardless.control import GoCardlessControl
from sandbox.gocardless.dialect import PROCESSOR as GOCARDLESS
from sandbox.gocardless.dialect import GoCardlessDialect
from sandbox.gocardless.events import sign as sign_gocardless
from sandbox.hosted import Host, Pages
from sandbox.idempotency import IdempotencyKeys
from sandbox.json_api import JsonApi
from sandbox.state import State, StateInUseError
from sandbox.stripe import cards as stripe_cards
from sandbox.stripe.account import PROCESSOR as STRIPE
from sandbox.stripe.api import Api
from sandbox.stripe.control import StripeControl
from sandbox.stripe.control import complete_page as complete_stripe_page
from sandbox.stripe.errors import StripeError
from sandbox.stripe.webhook_endpoints import sign as sign_stripe
from sandbox.webhooks import Clock, Deliverer, Outbox

DEFAULT_PORT = 12111
KEEP_ALIVE_SECONDS = 75
SHUTDOWN_SECONDS = 3
IN_MEMORY = ":memory:"
SIGNERS = {STRIPE: sign_stripe, ADYEN: sign_adyen, GOCARDLESS: sign_gocardless}
HOSTS = {
    STRIPE: Host(stripe_cards.NAMES, complete_stripe_page),
    ADYEN: Host(tuple(adyen_cards.HOLDERS), adyen_pages.complete),
    GOCARDLESS: Host(mandates.BANKS, mandates.complete),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """`port` 0 takes a free one; `data` is a directory, or `:memory:` to forget everything at the end."""

    host: str
    port: int
    data: str


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    parser = argparse.ArgumentParser(prog="sandbox", description="Local stand-in for payment processors.")
    parser.add_argument("--host", default=environment.get("WEIR_SANDBOX_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=environment.get("WEIR_SANDBOX_PORT", str(DEFAULT_PORT)))
    parser.add_argument("--data", default=environment.get("WEIR_SANDBOX_DATA", IN_MEMORY), metavar="DIR")
    given = parser.parse_args(arguments)
    return Settings(given.host, given.port, given.data)


def create_app(state: State, clock: Clock) -> Starlette:
    """The application over an open state; its lifespan sends the webhooks."""
    outbox, faults = Outbox(state), Faults()
    deliverer = Deliverer(outbox, SIGNERS, clock)
    keys = IdempotencyKeys(state)
    stripe = Api(state, keys, outbox, faults, clock, deliverer.wake)
    adyen = JsonApi(AdyenDialect(state), state, keys, outbox, faults, clock, deliverer.wake)
    gocardless = JsonApi(GoCardlessDialect(), state, keys, outbox, faults, clock, deliverer.wake)
    stripe_control = StripeControl(state, outbox, clock, deliverer.wake)
    adyen_control = AdyenControl(state, outbox, clock, deliverer.wake)
    gocardless_control = GoCardlessControl(state, outbox, clock, deliverer.wake)
    pages = Pages(state, outbox, clock, deliverer.wake, HOSTS)
    dumps = {STRIPE: stripe_control.dump, ADYEN: adyen_control.dump, GOCARDLESS: gocardless_control.dump}
    waiting = {
        STRIPE: stripe_control.waiting,
        ADYEN: adyen_control.waiting,
        GOCARDLESS: gocardless_control.waiting,
    }
    board = Board(state, deliverer, faults, waiting)
    controls = Control(state, outbox, deliverer, faults, clock, dumps)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sending = asyncio.create_task(deliverer.run())
        yield
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending

    return Starlette(
        routes=[
            route
            for part in (
                board,
                controls,
                stripe_control,
                adyen_control,
                gocardless_control,
                pages,
                stripe,
                adyen,
                gocardless,
            )
            for route in part.routes()
        ],
        exception_handlers={
            ControlError: control.control_error,
            StripeError: control.control_error,
            NoSuch: control.not_there,
        },
        lifespan=lifespan,
    )


class JsonLines(logging.Formatter):
    """One JSON object per line, with the fields given as `extra`."""

    PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        entry = {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        entry |= {name: value for name, value in vars(record).items() if name not in self.PLAIN}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Prints one JSON line with the URL when ready to be connected to."""
    in_memory = settings.data == IN_MEMORY
    if not in_memory:
        Path(settings.data).mkdir(parents=True, exist_ok=True)
    with (
        contextlib.closing(State(IN_MEMORY if in_memory else Path(settings.data) / "sandbox.sqlite")) as state,
        _listen(settings) as listener,
    ):
        config = uvicorn.Config(
            create_app(state, time.time),
            http=DroppableConnection,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        host, port = listener.getsockname()[:2]
        print(json.dumps({"message": "sandbox ready", "url": f"http://{host}:{port}"}), flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    """asyncio turns Nagle's delay (40 ms an answer) off only where the protocol is named, hence IPPROTO_TCP."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    listener.listen()
    return listener


def main() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # after draining, the server raises the signal again
    try:
        serve(read_settings(sys.argv[1:], os.environ))
    except KeyboardInterrupt:
        pass
    except (StateInUseError, OSError) as error:
        sys.exit(f"sandbox: {error}")
