"""A sandbox as a process of its own, an HTTP receiver for its webhooks, and the real Stripe client for both."""

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import stripe


@dataclass
class RunningSandbox:
    url: str
    process: subprocess.Popen[str]

    def get(self, path: str, **options: Any) -> Any:
        return httpx.get(self.url + path, **options).raise_for_status().json()

    def post(self, path: str, /, **body: Any) -> Any:
        return httpx.post(self.url + path, json=body).raise_for_status().json()

    def delete(self, path: str) -> None:
        httpx.delete(self.url + path).raise_for_status()

    def charges(self, key: str) -> list[Any]:
        state = self.get("/_sandbox/state", headers={"Authorization": f"Bearer {key}"})
        (account,) = state["stripe"].values()
        charges: list[Any] = account["charges"]
        return charges

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running_sandbox(data: Path) -> Iterator[RunningSandbox]:
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield RunningSandbox(json.loads(process.stdout.readline())["url"], process)
        finally:
            process.terminate()
            process.wait(timeout=10)


def new_key() -> str:
    """An account of its own."""
    return f"sk_test_{uuid4().hex}"


@asynccontextmanager
async def stripe_client(url: str, key: str, max_network_retries: int = 0) -> AsyncIterator[stripe.StripeClient]:
    http_client = stripe.HTTPXClient(timeout=10)
    try:
        yield stripe.StripeClient(
            key, base_addresses={"api": url}, max_network_retries=max_network_retries, http_client=http_client
        )
    finally:
        await http_client.close_async()  # type: ignore[no-untyped-call]


@dataclass
class Receiver:
    """Collects webhooks; `answers` are the status codes of the next ones, then always 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, *types: str, timeout: float = 10) -> list[Any]:
        """The events received, once all these types are among them."""

        def complete() -> bool:
            return set(types) <= {event["type"] for event in self.events}

        with self.arrived:
            assert self.arrived.wait_for(complete, timeout), f"only {[event['type'] for event in self.events]}"
            return self.events

    def wait_for_count(self, count: int) -> list[Any]:
        self.wait_until(lambda: len(self.received) >= count)
        return self.events

    def wait_until(self, reached: Callable[[], bool], timeout: float = 10) -> None:
        with self.arrived:
            assert self.arrived.wait_for(reached, timeout), f"{len(self.received)} webhooks arrived"

    @property
    def subjects(self) -> set[str]:
        """The ids of the objects the events are about."""
        return {event["data"]["object"]["id"] for event in self.events}

    @property
    def events(self) -> list[Any]:
        return [json.loads(body) for _, body in self.received]


@contextmanager
def running_receiver(port: int = 0) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with receiver.arrived:
                receiver.received.append((dict(self.headers), body))
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.arrived.notify_all()
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
            return

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/stripe"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
