"""The table of what this Stripe can do: method, path, parameters, function. Anything else is refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.state import Json
from sandbox.stripe import checkout, customers, errors, payments, payouts, refunds, webhook_endpoints
from sandbox.stripe.account import MAX_PAGE, Account
from sandbox.stripe.forms import (
    Field,
    boolean,
    group,
    identifier,
    integer,
    many,
    metadata,
    one_of,
    text,
    time_range,
)
from sandbox.stripe.objects import API_VERSION
from sandbox.stripe.payments import Declined

Handler = Callable[[Account, Json], Json | Declined]
"""Takes the decoded parameters and the names in the path, together."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`returns` is the kind of object answered, or listed."""

    method: str
    path: str
    run: Handler
    returns: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    @property
    def lists(self) -> bool:
        return "limit" in self.fields


def _page_size(name: str, value: Any) -> int:
    size = integer(name, value)
    if not 1 <= size <= MAX_PAGE:
        raise errors.refused(f"Invalid {name}: must be between 1 and {MAX_PAGE}", name, "parameter_invalid_integer")
    return size


def _off_session(name: str, value: Any) -> bool:
    word: str = one_of("true", "false", "one_off", "recurring")(name, value)
    return word != "false"


def _payment_method_types(name: str, value: Any) -> None:
    raise errors.refused(
        "The payment_method_types parameter is no longer supported. Use allowed_payment_method_types,"
        " excluded_payment_method_types or dynamic payment methods instead.",
        name,
        "payment_method_types_no_longer_supported",
    )


def _retrieve(kind: str, name: str, param: str) -> Handler:
    return lambda account, params: account.require(kind, params[name], param, in_path=True)


def _list(kind: str, path: str, *filters: str) -> Handler:
    def run(account: Account, params: Json) -> Json:
        return account.page(kind, path, params, {name: [params[name]] for name in filters if name in params})

    return run


def _list_events(account: Account, params: Json) -> Json:
    if "type" in params and "types" in params:
        raise errors.refused("You may only specify one of these parameters: type, types.", "types")
    wanted = params.get("types") or ([params["type"]] if "type" in params else None)
    page = account.page("event", "/v1/events", params, {} if wanted is None else {"type": wanted})
    return page | {"data": [_with_pending_webhooks(account, event) for event in page["data"]]}


def _retrieve_event(account: Account, params: Json) -> Json:
    return _with_pending_webhooks(account, account.require("event", params["id"], "id", in_path=True))


def _with_pending_webhooks(account: Account, event: Json) -> Json:
    return event | {"pending_webhooks": account.outbox.pending(event["id"])}


PAGE = {"limit": _page_size, "starting_after": identifier, "ending_before": identifier}
ADDRESS = group(**dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), text))
CUSTOMER: Mapping[str, Field] = {
    "address": ADDRESS,
    "description": text,
    "email": text,
    "invoice_settings": group(default_payment_method=text),
    "metadata": metadata,
    "name": text,
    "phone": text,
    "preferred_locales": many(identifier),
    "shipping": group(address=ADDRESS, name=text, phone=text),
    "tax_exempt": one_of("none", "exempt", "reverse"),
}
CONFIRM: Mapping[str, Field] = {
    "error_on_requires_action": boolean,
    "off_session": _off_session,
    "payment_method": identifier,
    "payment_method_types": _payment_method_types,
    "return_url": identifier,
}
CREATE_INTENT: Mapping[str, Field] = {
    **CONFIRM,
    "allowed_payment_method_types": many(identifier),
    "amount": integer,
    "automatic_payment_methods": group(enabled=boolean, allow_redirects=one_of("always", "never")),
    "capture_method": one_of("automatic", "automatic_async"),
    "confirm": boolean,
    "currency": identifier,
    "customer": identifier,
    "description": text,
    "excluded_payment_method_types": many(identifier),
    "metadata": metadata,
    "receipt_email": text,
    "statement_descriptor": text,
    "statement_descriptor_suffix": text,
}
REFUND: Mapping[str, Field] = {
    "amount": integer,
    "charge": identifier,
    "metadata": metadata,
    "payment_intent": identifier,
    "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
}
ENDPOINT: Mapping[str, Field] = {
    "description": text,
    "enabled_events": many(identifier),
    "metadata": metadata,
    "url": identifier,
}
SESSION: Mapping[str, Field] = {
    "cancel_url": text,
    "currency": identifier,
    "customer": identifier,
    "expires_at": integer,
    "line_items": many(
        group(
            price_data=group(currency=identifier, unit_amount=integer, product_data=group(name=identifier)),
            quantity=integer,
        )
    ),
    "mode": one_of("payment", "setup"),
    "payment_intent_data": group(description=text, metadata=metadata, setup_future_usage=one_of("off_session")),
    "setup_intent_data": group(metadata=metadata),
    "success_url": text,
}
CANCELLATION = one_of("duplicate", "fraudulent", "requested_by_customer", "abandoned")
CREATED = {"created": time_range}

OPERATIONS = (
    Operation(
        "POST", "/v1/customers", customers.create_customer, "customer", {**CUSTOMER, "payment_method": identifier}
    ),
    Operation(
        "GET",
        "/v1/customers",
        _list("customer", "/v1/customers", "email"),
        "customer",
        {**PAGE, **CREATED, "email": identifier},
    ),
    Operation("GET", "/v1/customers/{customer}", _retrieve("customer", "customer", "id"), "customer"),
    Operation("POST", "/v1/customers/{customer}", customers.update_customer, "customer", CUSTOMER),
    Operation(
        "GET",
        "/v1/customers/{customer}/payment_methods",
        customers.list_methods,
        "payment_method",
        {**PAGE, "type": identifier},
    ),
    Operation(
        "GET",
        "/v1/payment_methods/{payment_method}",
        _retrieve("payment_method", "payment_method", "payment_method"),
        "payment_method",
    ),
    Operation(
        "POST",
        "/v1/payment_methods/{payment_method}/attach",
        customers.attach,
        "payment_method",
        {"customer": identifier},
        ("customer",),
    ),
    Operation("POST", "/v1/payment_methods/{payment_method}/detach", customers.detach, "payment_method"),
    Operation(
        "POST",
        "/v1/payment_intents",
        payments.create_intent,
        "payment_intent",
        CREATE_INTENT,
        ("amount", "currency"),
    ),
    Operation(
        "GET",
        "/v1/payment_intents",
        _list("payment_intent", "/v1/payment_intents", "customer"),
        "payment_intent",
        {**PAGE, **CREATED, "customer": identifier},
    ),
    Operation("GET", "/v1/payment_intents/{intent}", _retrieve("payment_intent", "intent", "intent"), "payment_intent"),
    Operation("POST", "/v1/payment_intents/{intent}/confirm", payments.confirm_intent, "payment_intent", CONFIRM),
    Operation(
        "POST",
        "/v1/payment_intents/{intent}/cancel",
        payments.cancel_intent,
        "payment_intent",
        {"cancellation_reason": CANCELLATION},
    ),
    Operation(
        "GET",
        "/v1/charges",
        _list("charge", "/v1/charges", "customer", "payment_intent"),
        "charge",
        {**PAGE, **CREATED, "customer": identifier, "payment_intent": identifier},
    ),
    Operation("GET", "/v1/charges/{charge}", _retrieve("charge", "charge", "id"), "charge"),
    Operation("POST", "/v1/refunds", refunds.create_refund, "refund", REFUND),
    Operation(
        "GET",
        "/v1/refunds",
        _list("refund", "/v1/refunds", "charge", "payment_intent"),
        "refund",
        {**PAGE, **CREATED, "charge": identifier, "payment_intent": identifier},
    ),
    Operation("GET", "/v1/refunds/{refund}", _retrieve("refund", "refund", "id"), "refund"),
    Operation("GET", "/v1/payouts", _list("payout", "/v1/payouts"), "payout", {**PAGE, **CREATED}),
    Operation(
        "GET",
        "/v1/balance_transactions",
        payouts.list_transactions,
        "balance_transaction",
        {**PAGE, "payout": identifier},
        ("payout",),
    ),
    Operation(
        "GET",
        "/v1/disputes",
        _list("dispute", "/v1/disputes", "charge", "payment_intent"),
        "dispute",
        {**PAGE, **CREATED, "charge": identifier, "payment_intent": identifier},
    ),
    Operation("GET", "/v1/disputes/{dispute}", _retrieve("dispute", "dispute", "dispute"), "dispute"),
    Operation(
        "GET",
        "/v1/events",
        _list_events,
        "event",
        {**PAGE, **CREATED, "type": identifier, "types": many(identifier)},
    ),
    Operation("GET", "/v1/events/{id}", _retrieve_event, "event"),
    Operation("POST", "/v1/checkout/sessions", checkout.create_session, checkout.KIND, SESSION, ("mode", "customer")),
    Operation("GET", "/v1/checkout/sessions/{session}", _retrieve(checkout.KIND, "session", "session"), checkout.KIND),
    Operation("POST", "/v1/checkout/sessions/{session}/expire", checkout.expire_session, checkout.KIND),
    Operation(
        "POST",
        "/v1/webhook_endpoints",
        webhook_endpoints.create_endpoint,
        "webhook_endpoint",
        {**ENDPOINT, "api_version": one_of(API_VERSION)},
        ("enabled_events", "url"),
    ),
    Operation(
        "GET", "/v1/webhook_endpoints", _list("webhook_endpoint", "/v1/webhook_endpoints"), "webhook_endpoint", PAGE
    ),
    Operation(
        "GET",
        "/v1/webhook_endpoints/{webhook_endpoint}",
        _retrieve("webhook_endpoint", "webhook_endpoint", "webhook_endpoint"),
        "webhook_endpoint",
    ),
    Operation(
        "POST",
        "/v1/webhook_endpoints/{webhook_endpoint}",
        webhook_endpoints.update_endpoint,
        "webhook_endpoint",
        {**ENDPOINT, "disabled": boolean},
    ),
    Operation(
        "DELETE",
        "/v1/webhook_endpoints/{webhook_endpoint}",
        webhook_endpoints.delete_endpoint,
        "webhook_endpoint",
    ),
)
