"""The row is the job, arq is the alarm clock.

A worker runs *sweeps*: functions that claim due rows, handle them, and say whether there may be more. arq rings them
every second from cron, and at once when somebody who has just committed a row calls `Alarm.ring`. A ring that is lost
(Redis away, a crash) only costs the second until the next one: nothing about the work is kept in Redis.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
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


async def run_worker(service: str, redis_url: str, sweeps: Mapping[str, Sweep], *, handle_signals: bool = True) -> None:
    """Ring `sweeps` until SIGTERM or SIGINT, or until cancelled; sweeps under way get a minute to finish.

    A sweep runs at most once at a time in this process, and in any number of processes: rows are claimed, not sweeps.
    """
    settings = RedisSettings.from_dsn(redis_url)
    redis = await create_pool(settings, job_serializer=_dumps, job_deserializer=json.loads)
    worker = _create_worker(service, redis, sweeps, handle_signals)
    with suppress(asyncio.CancelledError):  # how arq ends, whether by a signal or by our caller
        await worker.async_run()
    await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    await redis.aclose(close_connection_pool=True)


def _create_worker(service: str, redis: ArqRedis, sweeps: Mapping[str, Sweep], handle_signals: bool) -> Worker:
    running: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in sweeps}

    async def ring(_context: dict[Any, Any], name: str) -> None:
        async with running[name]:
            await _drain(name, sweeps[name])

    async def ring_all(_context: dict[Any, Any]) -> None:
        idle = [name for name in sweeps if not running[name].locked()]
        await asyncio.gather(*(ring({}, name) for name in idle))

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
