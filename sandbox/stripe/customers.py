"""Customers and the payment methods attached to them."""

from sandbox.state import Json
from sandbox.stripe import cards, errors, objects
from sandbox.stripe.account import Account
from sandbox.stripe.forms import merged_metadata

DETAILS = ("address", "description", "email", "name", "phone", "preferred_locales", "shipping", "tax_exempt")


def create_customer(account: Account, params: Json) -> Json:
    customer = _changed(objects.customer(account.now), params)
    account.create(customer)
    if "payment_method" in params:
        attach(account, {"payment_method": params["payment_method"], "customer": customer["id"]})
    _check_default_method(account, customer)
    account.emit("customer.created", customer)
    return customer


def update_customer(account: Account, params: Json) -> Json:
    before = account.require("customer", params["customer"], "id", in_path=True)
    customer = _changed(before, params)
    _check_default_method(account, customer)
    changed = {field: value for field, value in before.items() if customer[field] != value}
    if changed:
        account.save(customer)
        account.emit("customer.updated", customer, changed)
    return customer


def _changed(customer: Json, params: Json) -> Json:
    customer = customer | {field: params[field] for field in DETAILS if field in params}
    if "metadata" in params:
        customer["metadata"] = merged_metadata(customer["metadata"], params["metadata"])
    if "invoice_settings" in params:
        customer["invoice_settings"] = {**customer["invoice_settings"], **(params["invoice_settings"] or {})}
    return customer


def _check_default_method(account: Account, customer: Json) -> None:
    method_id = customer["invoice_settings"]["default_payment_method"]
    if method_id is None:
        return
    param = "invoice_settings[default_payment_method]"
    method = account.require("payment_method", method_id, param)
    if method["customer"] != customer["id"]:
        raise not_attached(method_id, param)


def not_attached(method_id: str, param: str) -> errors.StripeError:
    return errors.conflicting(
        f"The customer does not have a payment method with the ID {method_id}."
        " The payment method must be attached to the customer.",
        param,
        "resource_missing",
    )


def attach(account: Account, params: Json) -> Json:
    """A test method's name makes a new method. Unlike at Stripe, methods that will be declined attach as well:
    attaching is how they get to be charged off session."""
    customer = account.require("customer", params["customer"], "customer")
    method = find_method(account, params["payment_method"], "payment_method", in_path=True)
    if method["customer"] not in (None, customer["id"]):
        raise errors.conflicting(
            "The payment method you provided has already been attached to a customer.", "payment_method"
        )
    if method["customer"] is None:
        method = method | {"customer": customer["id"]}
        account.save(method)
        account.emit("payment_method.attached", method)
    return method


def find_method(account: Account, name: str, param: str, *, in_path: bool = False) -> Json:
    """The payment method with this id, or a new one for the name of a test method. Raises StripeError."""
    if (test_method := cards.find(name)) is not None:
        method = objects.payment_method(test_method, account.now)
        account.create(method, {"test_method": name})
        return method
    method = account.require("payment_method", name, param, in_path=in_path)
    if account.private(method).get("detached"):
        raise errors.conflicting(
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a"
            " Customer, and may not be used again.",
            param,
        )
    return method


def detach(account: Account, params: Json) -> Json:
    method = account.require("payment_method", params["payment_method"], "payment_method", in_path=True)
    if method["customer"] is None:
        raise errors.conflicting(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            "payment_method",
        )
    detached = method | {"customer": None}
    account.save(detached, {**account.private(method), "detached": True})
    customer = account.require("customer", method["customer"], "customer")
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        account.save(customer | {"invoice_settings": {**customer["invoice_settings"], "default_payment_method": None}})
    account.emit("payment_method.detached", detached, {"customer": method["customer"]})
    return detached


def list_methods(account: Account, params: Json) -> Json:
    customer = account.require("customer", params["customer"], "customer", in_path=True)
    filters = {"customer": [customer["id"]]} | ({"type": [params["type"]]} if "type" in params else {})
    return account.page("payment_method", f"/v1/customers/{customer['id']}/payment_methods", params, filters)
