"""Errors cross the wire both ways."""

import asyncpg
import grpc
import pytest

from libs.common.errors import (
    BillingError,
    Conflict,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from libs.common.rpc.client import channel, typed_errors
from tests.common.conftest import Behaviour, Serve
from tests.conftest import Keys
from weir.metering.v1.metering_pb2 import GetMeterRequest, IngestEventStreamRequest
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

SENTENCE = "The meter of Zoë's plan is « gone »."
ERRORS = [
    InvalidArgument("FIELD_MISSING", SENTENCE, field="code"),
    InvalidArgument.of((FieldViolation("a", "FIELD_MISSING", "no a"), FieldViolation("b[1]", "TOO_BIG", "big b"))),
    Unauthenticated("CREDENTIAL_INVALID", SENTENCE),
    PermissionDenied("SCOPE_MISSING", SENTENCE, scope="usage:read"),
    NotFound("METER_NOT_FOUND", SENTENCE, meter_code="requests"),
    Conflict("METER_EXISTS", SENTENCE, meter_code="requests"),
    FailedPrecondition("METER_DEFINITION_FIXED", SENTENCE),
    ResourceExhausted("INGEST_QUEUE_FULL", SENTENCE, retry_after_ms=250, depth="10000"),
    Unavailable("DATABASE_UNAVAILABLE", SENTENCE, retry_after_ms=1500),
]


def told(error: BillingError) -> tuple[object, ...]:
    violations = error.violations if isinstance(error, InvalidArgument) else ()
    retry_after_ms = getattr(error, "retry_after_ms", None)
    return type(error), error.reason, error.message, error.metadata, violations, retry_after_ms


def failing(error: Exception) -> Behaviour:
    async def behaviour() -> str:
        raise error

    return behaviour


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.reason)
async def test_an_error_arrives_as_it_was_raised(serve: Serve, keys: Keys, error: BillingError) -> None:
    async with serve(failing(error)) as target, channel(target, keys.api_key()) as opened:
        with pytest.raises(BillingError) as caught:
            await MeteringServiceStub(opened).GetMeter(GetMeterRequest())
    assert told(caught.value) == told(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.reason)
async def test_an_error_in_a_stream_arrives_as_it_was_raised(serve: Serve, keys: Keys, error: BillingError) -> None:
    async with serve(failing(error)) as target, channel(target, keys.api_key()) as opened:
        with pytest.raises(BillingError) as caught, typed_errors():
            async for _ in MeteringServiceStub(opened).IngestEventStream(iter([IngestEventStreamRequest()])):
                pass
    assert told(caught.value) == told(error)


async def test_a_defect_is_internal_and_its_text_stays_here(serve: Serve, keys: Keys) -> None:
    secret = "password=hunter2"
    async with serve(failing(KeyError(secret))) as target, channel(target, keys.api_key()) as opened:
        stub = MeteringServiceStub(opened)
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await stub.GetMeter(GetMeterRequest())
        with pytest.raises(grpc.aio.AioRpcError) as stream, typed_errors():
            async for _ in stub.IngestEventStream(iter([IngestEventStreamRequest()])):
                pass
    for caught in (unary, stream):
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")
        assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (asyncpg.DeadlockDetectedError("deadlock"), "TRANSACTION_CONFLICT"),
        (asyncpg.SerializationError("concurrent update"), "TRANSACTION_CONFLICT"),
        (asyncpg.CannotConnectNowError("starting up"), "DATABASE_UNAVAILABLE"),
        (asyncpg.AdminShutdownError("shutting down"), "DATABASE_UNAVAILABLE"),
        (ConnectionRefusedError("refused"), "DATABASE_UNAVAILABLE"),
    ],
)
async def test_a_database_that_is_away_asks_for_another_try(
    serve: Serve, keys: Keys, error: Exception, reason: str
) -> None:
    async with serve(failing(error)) as target, channel(target, keys.api_key()) as opened:
        with pytest.raises(Unavailable) as caught:
            await MeteringServiceStub(opened).GetMeter(GetMeterRequest())
    assert caught.value.reason == reason


async def test_unavailable_is_tried_again_and_nothing_else_is(serve: Serve, keys: Keys) -> None:
    calls = 0

    async def recovering() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Unavailable("DATABASE_UNAVAILABLE", "away", retry_after_ms=10)
        if calls == 3:
            raise ResourceExhausted("INGEST_QUEUE_FULL", "full", retry_after_ms=10)
        return "back"

    async with serve(recovering) as target, channel(target, keys.api_key()) as opened:
        stub = MeteringServiceStub(opened)
        assert (await stub.GetMeter(GetMeterRequest())).meter.name == "back"
        assert calls == 2
        with pytest.raises(ResourceExhausted):
            await stub.GetMeter(GetMeterRequest())
    assert calls == 3


async def test_a_peer_that_is_not_there_is_unavailable(serve: Serve, keys: Keys) -> None:
    async with serve(failing(AssertionError())) as target:
        pass
    async with channel(target, keys.api_key()) as opened:
        with pytest.raises(Unavailable) as caught:
            await MeteringServiceStub(opened).GetMeter(GetMeterRequest())
    assert caught.value.reason == "PEER_UNAVAILABLE"
