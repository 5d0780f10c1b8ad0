"""Whether a child answers yet; each check takes a moment and says True or False."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis
from redis.exceptions import RedisError

Check: TypeAlias = Callable[[], Awaitable[bool]]

CHECK_TIMEOUT_SECONDS = 2.0


async def grpc_is_serving(target: str) -> bool:
    if not await _accepts(target):
        return False
    async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=CHECK_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def http_is_ok(url: str) -> bool:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
            status = await reader.readline()
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return status.split()[1:2] == [b"200"]


async def worker_is_polling(redis_url: str, service: str) -> bool:
    """arq notes on its queue's health key that a worker has begun."""
    async with Redis.from_url(redis_url) as redis:
        try:
            return bool(await redis.exists(_health_key(service)))
        except (RedisError, OSError):
            return False


async def forget_workers(redis_url: str, services: tuple[str, ...]) -> None:
    """Remove what workers that were killed have left, so that it is not taken for a sign of life."""
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(*(_health_key(service) for service in services))


def _health_key(service: str) -> str:
    return f"weir:{service}:health-check"


async def _accepts(target: str) -> bool:
    host, _, port = target.rpartition(":")
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
