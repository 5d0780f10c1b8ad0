"""What GoCardless's errors mean: a refusal, which stays; a resource that is there already; or no usable answer."""

from collections.abc import Callable
from typing import TypeVar

import requests
from gocardless_pro import errors

from services.payments.providers import ProcessorUnavailable
from services.payments.providers.threads import Threads

T = TypeVar("T")

ACCOUNT_REJECTED = "account_rejected", "GoCardless does not accept the token of this processor account"
FAILURES = errors.GoCardlessProError, requests.RequestException, TimeoutError, TypeError
"""What the SDK raises; TypeError for an invalid_state without details."""


class Rejected(Exception):
    """GoCardless looked at the request and did not carry it out, for a reason that stays."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class AlreadyMade(Exception):
    """What the idempotency key stands for is there, as `reference`; whether it is the same must be looked at."""

    def __init__(self, reference: str) -> None:
        super().__init__(reference)
        self.reference = reference


async def ask(threads: Threads, call: Callable[[], T]) -> T:
    """Raises Rejected, AlreadyMade and ProcessorUnavailable."""
    try:
        return await threads.call(call)
    except FAILURES as error:
        raise _meaning(error) from error


def _meaning(error: Exception) -> Exception:
    match error:
        case errors.AuthenticationError() | errors.PermissionsError():
            return Rejected(*ACCOUNT_REJECTED)
        case errors.IdempotentCreationConflictError():
            return AlreadyMade(error.conflicting_resource_id)
        case errors.ValidationFailedError() | errors.InvalidApiUsageError() | errors.InvalidStateError():
            return Rejected(_code(error), error.message or "GoCardless refused it.")
    return ProcessorUnavailable(f"{type(error).__name__} {getattr(error, 'code', '') or ''}".strip())


def _code(error: errors.ApiError) -> str:
    """The reason, or the field that is wrong."""
    for detail in error.errors or ():
        if code := detail.get("reason") or detail.get("field"):
            return str(code)
    return str(error.type)
