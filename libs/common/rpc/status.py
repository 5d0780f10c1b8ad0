"""BillingError to google.rpc.Status and back."""

from typing import cast

import asyncpg
import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

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

DOMAIN = "weir"

_CODES: dict[type[BillingError], grpc.StatusCode] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.ALREADY_EXISTS,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_KINDS = {code: kind for kind, code in _CODES.items()}


def to_status(error: BillingError) -> status_pb2.Status:
    """The error with ErrorInfo always, BadRequest for wrong fields, RetryInfo where a retry makes sense."""
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        for each in error.violations:
            bad_request.field_violations.add(field=each.field, description=each.message, reason=each.reason)
        details.append(bad_request)
    if isinstance(error, ResourceExhausted | Unavailable):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(error.retry_after_ms)
        details.append(retry)
    status = status_pb2.Status(code=_CODES[type(error)].value[0], message=error.message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def from_rpc_error(error: grpc.aio.AioRpcError) -> BillingError | None:
    """The BillingError that a peer raised; Unavailable where the peer could not be reached or did not answer in time.

    None for a call that failed in another way (INTERNAL, CANCELLED …): the caller re-raises it.
    """
    status = rpc_status.from_call(cast("grpc.Call", error))
    kind = _KINDS.get(error.code())
    message = error.details() or ""
    info, violations, retry_after_ms = _details(status)
    if kind is None or not info.reason:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED):
            return Unavailable("PEER_UNAVAILABLE", f"the peer did not answer: {message}")
        return None
    metadata = dict(info.metadata)
    if kind is InvalidArgument:
        return InvalidArgument(info.reason, message, violations=violations, **metadata)
    if kind is NotFound:
        return NotFound(info.reason, message, violations=violations, **metadata)
    if kind is ResourceExhausted:
        return ResourceExhausted(info.reason, message, retry_after_ms=retry_after_ms, **metadata)
    if kind is Unavailable:
        return Unavailable(info.reason, message, retry_after_ms=retry_after_ms, **metadata)
    return kind(info.reason, message, **metadata)


def _details(
    status: status_pb2.Status | None,
) -> tuple[error_details_pb2.ErrorInfo, tuple[FieldViolation, ...], int]:
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        for wanted in (info, bad_request, retry):
            if detail.Is(wanted.DESCRIPTOR):
                detail.Unpack(wanted)
    violations = tuple(FieldViolation(v.field, v.reason, v.description) for v in bad_request.field_violations)
    return info, violations, retry.retry_delay.ToMilliseconds() or 1000


def from_postgres_error(error: Exception) -> BillingError | None:
    """Unavailable where Postgres is away, restarting or asks to try again; None for any other error."""
    if isinstance(error, asyncpg.SerializationError | asyncpg.DeadlockDetectedError):
        return Unavailable("TRANSACTION_CONFLICT", "another transaction was in the way; try again", retry_after_ms=50)
    away = (
        asyncpg.PostgresConnectionError,
        asyncpg.InterfaceError,
        asyncpg.CannotConnectNowError,
        asyncpg.TooManyConnectionsError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.InternalClientError,  # what asyncpg makes of a server that dies between a statement and its end
        OSError,  # refused, reset, no such host, timed out
    )
    if isinstance(error, away):
        return Unavailable("DATABASE_UNAVAILABLE", "the database is not available; try again")
    return None
