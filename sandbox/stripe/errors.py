"""Stripe's error shapes. A StripeError undoes what the request did; a declined card does not (see payments.py)."""

from collections.abc import Sequence

from sandbox.state import Json

KIND_NAMES = {"payment_method": "PaymentMethod", "webhook_endpoint": "webhook endpoint"}


class StripeError(Exception):
    """`executed` is false when the request was refused before anything ran: such answers are not kept for replay."""

    def __init__(self, status: int, error: Json, *, executed: bool = True) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = error
        self.executed = executed


def refused(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """The parameters cannot be accepted, whatever the state."""
    return StripeError(400, _invalid_request(message, param, code), executed=False)


def conflicting(message: str, param: str | None = None, code: str | None = None, **details: Json) -> StripeError:
    """The parameters are well formed but do not fit the objects they name."""
    return StripeError(400, {**_invalid_request(message, param, code), **details})


def unknown_parameters(names: Sequence[str]) -> StripeError:
    plural = "s" if len(names) > 1 else ""
    return refused(f"Received unknown parameter{plural}: {', '.join(names)}", names[0], "parameter_unknown")


def missing_parameter(name: str) -> StripeError:
    return refused(f"Missing required param: {name}.", name, "parameter_missing")


def no_such(kind: str, object_id: str, param: str, *, in_path: bool = False) -> StripeError:
    name = KIND_NAMES.get(kind, kind)
    error = _invalid_request(f"No such {name}: '{object_id}'", param, "resource_missing")
    return StripeError(404 if in_path else 400, error)


def unexpected_state(intent: Json, message: str) -> StripeError:
    return conflicting(message, code="payment_intent_unexpected_state", payment_intent=intent)


def unauthenticated(message: str, code: str | None = None) -> StripeError:
    return StripeError(401, _invalid_request(message, None, code), executed=False)


def unrecognized_url(method: str, path: str) -> StripeError:
    message = f"Unrecognized request URL ({method}: {path}). This sandbox does not have it; Stripe itself may."
    return StripeError(404, _invalid_request(message, None, None), executed=False)


def key_reused(message: str) -> StripeError:
    return StripeError(400, {"type": "idempotency_error", "message": message}, executed=False)


def key_in_use() -> StripeError:
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted"
        " twice, and the other request is still going through). Please try again later."
    )
    return StripeError(409, _invalid_request(message, None, "idempotency_key_in_use"), executed=False)


def rate_limited() -> StripeError:
    message = "Request rate limit exceeded. You can learn more about rate limits in Stripe's documentation."
    return StripeError(429, _invalid_request(message, None, "rate_limit"), executed=False)


def unavailable() -> StripeError:
    return StripeError(503, {"type": "api_error", "message": "The service is temporarily unavailable."}, executed=False)


def internal() -> StripeError:
    return StripeError(500, {"type": "api_error", "message": "An unknown error occurred"})


def _invalid_request(message: str, param: str | None, code: str | None) -> Json:
    error: Json = {"type": "invalid_request_error", "message": message}
    if param is not None:
        error["param"] = param
    if code is not None:
        error["code"] = code
        error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
    return error
