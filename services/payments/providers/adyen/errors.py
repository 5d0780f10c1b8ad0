"""What Adyen's errors mean: a refusal, which stays, or no usable answer. Declined charges are no errors there."""

from collections.abc import Callable
from typing import TypeVar

import requests
from Adyen.exceptions import (
    AdyenAPIAuthenticationError,
    AdyenAPIInvalidPermission,
    AdyenAPIUnprocessableEntity,
    AdyenAPIValidationError,
    AdyenError,
)

from services.payments.providers import ProcessorUnavailable
from services.payments.providers.threads import Threads

T = TypeVar("T")

ACCOUNT_REJECTED = "account_rejected", "Adyen does not accept the key of this processor account"
_REFUSALS = AdyenAPIValidationError, AdyenAPIUnprocessableEntity
_REJECTIONS = AdyenAPIAuthenticationError, AdyenAPIInvalidPermission
_IN_PROGRESS = "704"
"""Under this idempotency key, right now."""
FAILURES = AdyenError, requests.RequestException, TimeoutError, AttributeError
"""What the SDK raises; AttributeError where an error's body is no JSON object."""


class Rejected(Exception):
    """Adyen looked at the request and did not carry it out, for a reason that stays."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


async def ask(threads: Threads, call: Callable[[], T]) -> T:
    """Raises Rejected and ProcessorUnavailable."""
    try:
        return await threads.call(call)
    except FAILURES as error:
        raise _meaning(error) from error


def _meaning(error: Exception) -> Rejected | ProcessorUnavailable:
    if isinstance(error, _REJECTIONS):
        return Rejected(*ACCOUNT_REJECTED)
    if isinstance(error, _REFUSALS) and not _is_transient(error):
        body = error.message if isinstance(error.message, dict) else {}
        return Rejected(str(error.error_code or "invalid_request"), str(body.get("message") or "Adyen refused it."))
    status = error.status_code if isinstance(error, AdyenError) else ""
    return ProcessorUnavailable(f"{type(error).__name__} {status}".strip())


def _is_transient(error: AdyenError) -> bool:
    return bool(error.headers.get("transient-error") == "true" or error.error_code == _IN_PROGRESS)
