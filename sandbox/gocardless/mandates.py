"""Billing requests, the pages through which customers fill them in, and the mandates and payments that they make."""

from datetime import UTC, datetime, timedelta

from sandbox.accounts import Account, NoSuch
from sandbox.gocardless.errors import invalid, not_found, state
from sandbox.gocardless.events import emit, new_id, page, time
from sandbox.json_api import Call
from sandbox.state import Json

PAGES = "/_sandbox/pages/"
SCHEMES = {
    "AUD": "becs", "CAD": "pad", "DKK": "betalingsservice", "EUR": "sepa_core", "GBP": "bacs", "NZD": "becs_nz",
    "SEK": "autogiro", "USD": "ach",
}  # fmt: skip
INSTANT = {"EUR": "sepa_instant_credit_transfer", "GBP": "faster_payments"}
MOST_METADATA = 3
BANKS = (
    "pays",
    "insufficient_funds",
    "refer_to_payer",
    "bank_account_closed",
    "authorisation_disputed",
    "charges_back",
)
"""How the bank of a customer answers debits; the customer picks it on the page."""
CHARGEABLE = frozenset({"pending_customer_approval", "pending_submission", "submitted", "active"})


def create_request(account: Account, call: Call) -> Json:
    given = checked(call.body, "billing_requests", {"mandate_request", "payment_request", "metadata", "links"})
    asked = given.get("mandate_request"), given.get("payment_request")
    if asked == (None, None):
        raise invalid("mandate_request", "must have a mandate_request or a payment_request")
    request: Json = {
        "id": new_id("BRQ"),
        "created_at": time(account.now),
        "status": "pending",
        "metadata": given.get("metadata", {}),
        "mandate_request": asked[0] and {"currency": asked[0]["currency"], "scheme": scheme(asked[0]["currency"])},
        "payment_request": asked[1] and {**asked[1], "scheme": _instant_scheme(asked[1]["currency"])},
        "actions": [],
        "links": {"customer": new_id("CU"), "organisation": "OR000SANDBOX"},
    }
    account.create("billing_request", request)
    emit(account, "billing_requests", "created", _links(request), request["metadata"])
    return {"billing_requests": request}


def checked(body: Json, envelope: str, known: set[str]) -> Json:
    """What is in the envelope. Raises ApiError for unknown fields."""
    given = body.get(envelope)
    if not isinstance(given, dict):
        raise invalid(envelope, "must be an object")
    if unknown := [name for name in given if name not in known]:
        raise invalid(unknown[0], "is not a parameter that the sandbox knows")
    if len(given.get("metadata", {})) > MOST_METADATA:
        raise invalid("metadata", f"can have at most {MOST_METADATA} keys")
    return given


def scheme(currency: str) -> str:
    if currency not in SCHEMES:
        raise invalid("currency", "is not included in the list")
    return SCHEMES[currency]


def _instant_scheme(currency: str) -> str:
    if currency not in INSTANT:
        raise invalid("currency", "is not supported for instant payments")
    return INSTANT[currency]


def get_request(account: Account, call: Call) -> Json:
    return {"billing_requests": _request(account, call.names["id"])}


def create_flow(account: Account, call: Call) -> Json:
    given = checked(call.body, "billing_request_flows", {"redirect_uri", "exit_uri", "links"})
    request = _request(account, given["links"]["billing_request"])
    flow = {
        "id": new_id("BRF"),
        "authorisation_url": call.base_url + PAGES + request["id"],
        "created_at": time(account.now),
        "expires_at": time((datetime.fromtimestamp(account.now, UTC) + timedelta(days=7)).timestamp()),
        "redirect_uri": given.get("redirect_uri"),
        "exit_uri": given.get("exit_uri"),
        "links": {"billing_request": request["id"]},
    }
    account.create("billing_request_flow", flow)
    private = account.private("billing_request", request["id"])
    account.save("billing_request", request, private | {"return_url": flow["redirect_uri"]})
    return {"billing_request_flows": flow}


def cancel_request(account: Account, call: Call) -> Json:
    request = _request(account, call.names["id"])
    if request["status"] != "pending":
        raise state("billing_request_not_cancellable", f"the billing request is {request['status']}")
    request |= {"status": "cancelled"}
    account.save("billing_request", request)
    emit(account, "billing_requests", "cancelled", _links(request), request["metadata"])
    return {"billing_requests": request}


def complete(account: Account, request_id: str, bank: str) -> str:
    """The customer fills the request in, with an account at a bank that answers as named. Raises NoSuch."""
    request = account.find("billing_request", request_id)
    if request is None or request["status"] != "pending":
        raise NoSuch(f"there is no open billing request {request_id}")
    links = request["links"] | {"customer_bank_account": _bank_account(account, request["links"]["customer"], bank)}
    if request["mandate_request"]:
        links["mandate_request_mandate"] = _mandate(account, request, links)
    if request["payment_request"]:
        links["payment_request_payment"] = _instant_payment(account, request, links)
    request |= {"status": "fulfilled", "links": links}
    account.save("billing_request", request)
    emit(account, "billing_requests", "fulfilled", _links(request), request["metadata"])
    return str(account.private("billing_request", request_id).get("return_url") or "")


def _bank_account(account: Account, customer: str, bank: str) -> str:
    body = {
        "id": new_id("BA"),
        "created_at": time(account.now),
        "account_holder_name": "ADA LOVELACE",
        "account_number_ending": "11",
        "bank_name": "BARCLAYS BANK PLC",
        "country_code": "GB",
        "enabled": True,
        "metadata": {},
        "links": {"customer": customer},
    }
    account.create("customer_bank_account", body, {"bank": bank})
    return str(body["id"])


def _mandate(account: Account, request: Json, links: Json) -> str:
    mandate = {
        "id": new_id("MD"),
        "created_at": time(account.now),
        "reference": new_id("WEIR-")[:12],
        "status": "pending_submission",
        "scheme": request["mandate_request"]["scheme"],
        "next_possible_charge_date": None,
        "payments_require_approval": False,
        "metadata": {},
        "links": {
            "creditor": "CR000SANDBOX",
            "customer": links["customer"],
            "customer_bank_account": links["customer_bank_account"],
        },
    }
    account.create("mandate", mandate)
    emit(account, "mandates", "created", {"mandate": mandate["id"]}, {})
    return str(mandate["id"])


def _instant_payment(account: Account, request: Json, links: Json) -> str:
    """Confirmed when the customer comes back from their bank."""
    asked = request["payment_request"]
    payment = new_payment(account, asked, {"creditor": "CR000SANDBOX"}) | {"status": "confirmed"}
    account.create("payment", payment)
    for action in ("created", "confirmed"):
        emit(account, "payments", action, {"payment": payment["id"]}, payment["metadata"])
    return str(payment["id"])


def new_payment(account: Account, asked: Json, links: Json) -> Json:
    return {
        "id": new_id("PM"),
        "created_at": time(account.now),
        "charge_date": datetime.fromtimestamp(account.now, UTC).date().isoformat(),
        "amount": asked["amount"],
        "amount_refunded": 0,
        "currency": asked["currency"],
        "description": asked.get("description"),
        "reference": asked.get("reference"),
        "status": "pending_submission",
        "retry_if_possible": asked.get("retry_if_possible", False),
        "metadata": asked.get("metadata", {}),
        "fx": {"fx_currency": asked["currency"], "fx_amount": None, "exchange_rate": None,
               "estimated_exchange_rate": None},
        "links": links,
    }  # fmt: skip


def get_mandate(account: Account, call: Call) -> Json:
    return {"mandates": mandate_of(account, call.names["id"])}


def list_mandates(account: Account, call: Call) -> Json:
    return page(account, "mandate", "mandates", call, {"customer": "links.customer"})


def cancel_mandate(account: Account, call: Call) -> Json:
    mandate = mandate_of(account, call.names["id"])
    if mandate["status"] not in CHARGEABLE:
        raise state("cancellation_failed", f"the mandate is {mandate['status']}")
    return {"mandates": set_mandate(account, mandate, "cancelled", origin="api", cause="mandate_cancelled")}


def set_mandate(account: Account, mandate: Json, status: str, **details: str) -> Json:
    mandate = mandate | {"status": status}
    account.save("mandate", mandate)
    emit(account, "mandates", status, {"mandate": mandate["id"]}, {}, **details)
    return mandate


def get_bank_account(account: Account, call: Call) -> Json:
    body = account.find("customer_bank_account", call.names["id"])
    if body is None:
        raise not_found()
    return {"customer_bank_accounts": body}


def mandate_of(account: Account, mandate_id: str) -> Json:
    mandate = account.find("mandate", mandate_id)
    if mandate is None:
        raise not_found()
    return mandate


def _request(account: Account, request_id: str) -> Json:
    request = account.find("billing_request", request_id)
    if request is None:
        raise not_found()
    return request


def _links(request: Json) -> Json:
    shared = ("customer", "customer_bank_account", "mandate_request_mandate", "payment_request_payment")
    return {"billing_request": request["id"]} | {
        name: request["links"][name] for name in shared if name in request["links"]
    }
