"""What Stripe's errors mean: a refusal, which stays, or no usable answer."""

import stripe

from services.payments.domain.advice import advised
from services.payments.domain.attempt import Declined, NotMade, Outcome, RequiresAction, Unknown
from services.payments.providers import ProcessorUnavailable, Refused

ACCOUNT_REJECTED = "account_rejected", "Stripe does not accept the key of this processor account"
AUTHENTICATION = "authentication_required"
_ADVICE = "network_advice_code", "advice_code", "network_decline_code"
_BUSY = frozenset({"lock_timeout", "rate_limit", "idempotency_key_in_use"})

Failure = stripe.StripeError | TimeoutError


def declined(reference: str, error: object) -> Outcome:
    """`error` has a code, a decline_code and a message; what Stripe leaves out is no attribute at all."""
    codes = [code for name in ("decline_code", "code") if (code := getattr(error, name, None))]
    message = getattr(error, "message", None) or "The charge was declined."
    if reference and AUTHENTICATION in codes:
        return RequiresAction(reference, codes[0], message)
    told = [str(getattr(error, name, None) or "") for name in _ADVICE]
    return Declined(reference, codes[0] if codes else "declined", message, advised(*told))


def outcome_of(error: Failure) -> Outcome:
    if isinstance(error, stripe.CardError):
        intent = getattr(error.error, "payment_intent", None)
        return declined(intent.id if intent else "", error.error)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return NotMade(*ACCOUNT_REJECTED)
    if _is_refusal(error):
        return NotMade(_code(error), _sentence(error))
    cause = unavailable(error)
    return Unknown(str(cause), cause.repeats)


def refused(error: Failure) -> Refused:
    """Raises ProcessorUnavailable where the error is no refusal."""
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return Refused(*ACCOUNT_REJECTED)
    if _is_refusal(error):
        return Refused(_code(error), _sentence(error))
    raise unavailable(error) from error


def _is_refusal(error: Failure) -> bool:
    """Whether Stripe looked at the request and did not carry it out, for a reason that stays."""
    return isinstance(error, stripe.CardError | stripe.InvalidRequestError) and _code(error) not in _BUSY


def unavailable(error: Failure) -> ProcessorUnavailable:
    if isinstance(error, TimeoutError):
        return ProcessorUnavailable("Stripe did not answer in time")
    replayed = (error.headers or {}).get("idempotent-replayed") == "true"
    repeats = isinstance(error, stripe.IdempotencyError) or (replayed and (error.http_status or 0) >= 500)
    return ProcessorUnavailable(f"{type(error).__name__} {error.http_status or ''}".strip(), repeats=repeats)


def _code(error: Failure) -> str:
    """Not every class of error has its code as an attribute; the body always has it."""
    body = getattr(error, "error", None)
    return str(getattr(body, "decline_code", None) or getattr(body, "code", None) or "invalid_request")


def _sentence(error: Failure) -> str:
    return str((isinstance(error, stripe.StripeError) and error.user_message) or "Stripe refused the request.")
