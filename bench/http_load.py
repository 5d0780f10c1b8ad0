"""A client process that posts webhooks, as fast as they are answered or so many a second, and costs little."""

import asyncio
import json
import multiprocessing
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import stripe

CONNECTIONS = 32
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Post:
    """`count` webhooks to `path` at a port here, signed with `secret`; `per_second` 0: as fast as they are answered.

    They are about `references`, in turn, each an event of its own with an id made of `seed`.
    """

    port: int
    path: str
    secret: str
    references: Sequence[str]
    count: int
    seed: str
    per_second: int = 0

    def requests(self) -> list[bytes]:
        return [self._request(number) for number in range(self.count)]

    def _request(self, number: int) -> bytes:
        body = stripe_event(f"evt_{self.seed}_{number}", self.references[number % len(self.references)])
        signature = stripe.WebhookSignature.generate_signature_header(body, self.secret)
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\nStripe-Signature: {signature}"
        )
        return (head + "\r\n\r\n" + body).encode()


def stripe_event(event_id: str, reference: str) -> str:
    """About the size of a real one: 2 KB."""
    chance = random.Random(event_id)
    padding = {f"field_{number}": f"{chance.getrandbits(128):032x}" for number in range(32)}
    intent = {"id": reference, "object": "payment_intent", "status": "succeeded", "metadata": padding}
    event = {"id": event_id, "object": "event", "type": "payment_intent.succeeded", "livemode": False}
    return json.dumps({**event, "data": {"object": intent}})


class _Lane(asyncio.Protocol):
    """One connection: one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._answer: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        if self._answer is not None and not self._answer.done() and _END in data:  # answers have no body
            self._answer.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server has closed the connection"))

    async def send(self, request: bytes) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await self._answer
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"answered {answer[:40]!r}")


@dataclass(frozen=True, slots=True)
class Posted:
    """Milliseconds of each, from when it was due where there is a rate."""

    seconds: float
    latencies_ms: Sequence[float]


class Poster:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    async def send(self, post: Post) -> Posted:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _drive, post)


@contextmanager
def poster() -> Iterator[Poster]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield Poster(pool)


def _drive(post: Post) -> Posted:
    return asyncio.run(_post_all(post))


async def _post_all(post: Post) -> Posted:
    waiting = deque(post.requests())
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(_Lane, "127.0.0.1", post.port))[1] for _ in range(CONNECTIONS)]
    latencies: list[float] = []
    began = time.perf_counter()

    async def lane(sender: _Lane) -> None:
        while waiting:
            request, due = waiting.popleft(), time.perf_counter()
            if post.per_second:
                due = began + (post.count - len(waiting)) / post.per_second
                await asyncio.sleep(due - time.perf_counter())
            await sender.send(request)
            latencies.append((time.perf_counter() - due) * 1000)

    await asyncio.gather(*(lane(sender) for sender in opened))
    return Posted(time.perf_counter() - began, latencies)
