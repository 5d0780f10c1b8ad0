"""The row is the job, arq is the alarm clock.

A worker runs *sweeps*: functions that claim due rows, handle them, and say whether there may be more. arq rings them
every second from cron, and at once when somebody who has just committed a row calls `Alarm.ring`. A ring that is lost
(Redis away, a crash) only costs the second until the next one: nothing about the work is kept in Redis. A worker whose
rows come by a log *follows* it, and rings its sweeps when the log has grown.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.cron import cron
from arq.worker import Worker, func
from redis.exceptions import RedisError

log = structlog.get_logger()

Sweep = Callable[[], Awaitable[bool]]
"""Handle some due rows; True if there may be more."""

Position = Callable[[], Awaitable[int]]
"""How far a log goes; asked all the time, so cheap."""

FOLLOW_SECONDS = 0.2

DRAIN_SECONDS = 60
SWEEP_TIMEOUT_SECONDS = 300
COMPLETION_WAIT_SECONDS = 60


def _dumps(value: dict[str, Any]) -> bytes:
    return json.dumps(value, default=str).encode()


class Alarm:
    """Rings a service's sweeps from outside its worker. Never raises: the worker's own clock rings anyway.

    Connects when first rung, so a server starts, and serves, while Redis is away. Use with `contextlib.aclosing`.
    """

    def __init__(self, redis_url: str, service: str) -> None:
        self._redis = ArqRedis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1)
        self._redis.job_serializer = _dumps
        self._queue = _queue(service)

    async def ring(self, sweep: str) -> None:
        try:
            await self._redis.enqueue_job("ring", sweep, _job_id=f"{self._queue}:{sweep}", _queue_name=self._queue)
        except (RedisError, OSError) as error:
            log.warning("alarm not rung", sweep=sweep, cause=repr(error))

    async def aclose(self) -> None:
        await self._redis.aclose(close_connection_pool=True)


async def run_worker(
    service: str,
    redis_url: str,
    sweeps: Mapping[str, Sweep],
    *,
    follow: Position | None = None,
    followers: Collection[str] = (),
    handle_signals: bool = True,
) -> None:
    """Ring `sweeps` until SIGTERM or SIGINT, or until cancelled; sweeps under way get a minute to finish.

    The sweeps `followers` are also rung within a fifth of a second of a change of the position `follow`. A sweep runs
    at most once at a time in this process, and in any number of processes: rows are claimed, not sweeps.
    """
    settings = RedisSettings.from_dsn(redis_url)
    redis = await create_pool(settings, job_serializer=_dumps, job_deserializer=json.loads)
    bells = Bells(sweeps)
    worker = _create_worker(service, redis, bells, handle_signals)
    follower = asyncio.create_task(bells.follow(follow, followers)) if follow else None
    with suppress(asyncio.CancelledError):  # how arq ends, whether by a signal or by our caller
        await worker.async_run()
    if follower:
        follower.cancel()
    await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    await bells.finish()
    await redis.aclose(close_connection_pool=True)


class Bells:
    """The sweeps of one process, each rung at most once at a time."""

    def __init__(self, sweeps: Mapping[str, Sweep]) -> None:
        self._sweeps = sweeps
        self._running = {name: asyncio.Lock() for name in sweeps}
        self._followed: dict[str, int] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def ring(self, name: str) -> None:
        async with self._running[name]:
            await _drain(name, self._sweeps[name])

    def idle(self) -> list[str]:
        return [name for name, lock in self._running.items() if not lock.locked()]

    async def follow(self, position: Position, followers: Collection[str]) -> None:
        """Ring each of `followers` whenever the position is not the one that it was last rung for. Never returns."""
        while True:
            try:
                now = await position()
            except Exception:
                log.exception("position not read")
            else:
                for name in self.idle():
                    if name in followers and self._followed.get(name) != now:
                        self._followed[name] = now
                        self._start(name)
            await asyncio.sleep(FOLLOW_SECONDS)

    def _start(self, name: str) -> None:
        task = asyncio.create_task(self._ring_in_time(name))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _ring_in_time(self, name: str) -> None:
        try:
            async with asyncio.timeout(SWEEP_TIMEOUT_SECONDS):
                await self.ring(name)
        except TimeoutError:
            log.warning("sweep took too long", sweep=name)

    async def finish(self) -> None:
        """Give what `follow` has rung its time to come to an end."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=COMPLETION_WAIT_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _create_worker(service: str, redis: ArqRedis, bells: Bells, handle_signals: bool) -> Worker:
    async def ring(_context: dict[Any, Any], name: str) -> None:
        await bells.ring(name)

    async def ring_all(_context: dict[Any, Any]) -> None:
        await asyncio.gather(*map(bells.ring, bells.idle()))

    every_second = cron(
        ring_all,
        name=f"{service}:ring_all",
        second=set(range(60)),
        unique=False,
        run_at_startup=True,
        timeout=SWEEP_TIMEOUT_SECONDS,
        keep_result=0,
    )
    return Worker(
        functions=[func(ring, name="ring", keep_result=0, timeout=SWEEP_TIMEOUT_SECONDS)],
        cron_jobs=[every_second],
        redis_pool=redis,
        queue_name=_queue(service),
        poll_delay=0.05,
        max_jobs=50,
        keep_result=0,
        job_completion_wait=COMPLETION_WAIT_SECONDS,
        job_serializer=_dumps,
        job_deserializer=json.loads,
        handle_signals=handle_signals,
    )


async def _drain(name: str, sweep: Sweep) -> None:
    """Sweep until nothing is left, for a minute at most: the next ring goes on.

    An error ends this drain, not the worker: the rows are still there, and due.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + DRAIN_SECONDS
    try:
        while await sweep() and loop.time() < end:
            pass
    except Exception:
        log.exception("sweep failed", sweep=name)


def _queue(service: str) -> str:
    return f"weir:{service}"
