"""Debits of mandates, which the banks answer later, and their refunds."""

from sandbox.accounts import Account, NoSuch
from sandbox.gocardless import mandates, payouts
from sandbox.gocardless.errors import invalid, not_found, state
from sandbox.gocardless.events import emit, new_id, page, time
from sandbox.json_api import Call
from sandbox.state import Json

PAYMENT = {"amount", "currency", "description", "reference", "retry_if_possible", "metadata", "links", "charge_date"}
PAID = ("confirmed", "paid_out")
REFUND_STATES = {"refund_paid": "paid", "refund_bounced": "bounced", "refund_returned": "funds_returned"}
CAUSES = {
    "insufficient_funds": "The customer's account had insufficient funds to make this payment.",
    "refer_to_payer": "The customer's bank wasn't able to pay the Direct Debit.",
    "bank_account_closed": "The customer's bank account has been closed.",
    "authorisation_disputed": "The customer disputes that they authorised this payment.",
}


def create_payment(account: Account, call: Call) -> Json:
    given = mandates.checked(call.body, "payments", PAYMENT)
    mandate = account.find("mandate", given.get("links", {}).get("mandate", ""))
    if mandate is None:
        raise invalid("mandate", "must be a mandate of yours")
    if mandate["status"] not in mandates.CHARGEABLE:
        raise state("mandate_is_inactive", "Mandate is cancelled or failed")
    if type(given.get("amount")) is not int or given["amount"] < 1:
        raise invalid("amount", "must be greater than 0")
    if mandates.scheme(given.get("currency", "")) != mandate["scheme"]:
        raise invalid("currency", "does not match the mandate's scheme")
    links = {"mandate": mandate["id"], "creditor": mandate["links"]["creditor"]}
    payment = mandates.new_payment(account, given, links)
    account.create("payment", payment)
    emit(account, "payments", "created", {"payment": payment["id"]}, payment["metadata"], origin="api")
    return {"payments": payment}


def get_payment(account: Account, call: Call) -> Json:
    return {"payments": _payment(account, call.names["id"])}


def list_payments(account: Account, call: Call) -> Json:
    return page(account, "payment", "payments", call, {"mandate": "links.mandate", "status": "status"})


def cancel_payment(account: Account, call: Call) -> Json:
    payment = _payment(account, call.names["id"])
    if payment["status"] != "pending_submission":
        raise state("cancellation_failed", f"the payment is {payment['status']}")
    return {"payments": move(account, payment, "cancelled", origin="api", cause="payment_cancelled")}


def move(account: Account, payment: Json, status: str, **details: str) -> Json:
    payment = payment | {"status": status}
    account.save("payment", payment)
    emit(account, "payments", status, {"payment": payment["id"]}, payment["metadata"], **details)
    return payment


def fail(account: Account, payment: Json, cause: str) -> Json:
    details = {"origin": "bank", "cause": cause, "description": CAUSES[cause]}
    return move(account, payment, "failed", **details)


def next_day(account: Account) -> None:
    """A banking day: what was pending is submitted; what was submitted is answered; what was confirmed is paid out."""
    paid_out, taken_back = [], []
    for document in account.every("payment"):
        payment = document.body
        match payment["status"]:
            case "pending_submission":
                move(account, payment, "submitted")
            case "submitted":
                _answer(account, payment)
            case "confirmed":
                move(account, payment, "paid_out")
                paid_out.append(payment)
            case "paid_out" if _bank(account, payment) == "charges_back":
                move(account, payment, "charged_back", origin="bank", cause="refund_requested")
                taken_back.append(payment)
    payouts.pay_out(account, paid_out, taken_back)


def _answer(account: Account, payment: Json) -> None:
    bank = _bank(account, payment)
    if bank in CAUSES:
        fail(account, payment, bank)
    else:
        move(account, payment, "confirmed")


def _bank(account: Account, payment: Json) -> str:
    if "mandate" not in payment["links"]:
        return "pays"
    mandate = mandates.mandate_of(account, payment["links"]["mandate"])
    return str(account.private("customer_bank_account", mandate["links"]["customer_bank_account"])["bank"])


def create_refund(account: Account, call: Call) -> Json:
    given = mandates.checked(
        call.body, "refunds", {"amount", "total_amount_confirmation", "reference", "metadata", "links"}
    )
    payment = account.find("payment", given.get("links", {}).get("payment", ""))
    if payment is None:
        raise invalid("payment", "must be a payment of yours")
    if payment["status"] not in PAID:
        raise state("refund_payment_invalid_state", f"the payment is {payment['status']}")
    total = payment["amount_refunded"] + given["amount"]
    if given.get("total_amount_confirmation") != total:
        raise state("total_amount_confirmation_invalid", "the total amount to be refunded is another")
    if total > payment["amount"]:
        raise state("available_refund_amount_insufficient", "the payment has not that much left to refund")
    account.save("payment", payment | {"amount_refunded": total})
    refund = {
        "id": new_id("RF"),
        "created_at": time(account.now),
        "amount": given["amount"],
        "currency": payment["currency"],
        "reference": given.get("reference"),
        "status": "created",
        "metadata": given.get("metadata", {}),
        "links": {"payment": payment["id"]},
    }
    account.create("refund", refund)
    emit(account, "refunds", "created", {"refund": refund["id"]}, refund["metadata"], origin="api")
    return {"refunds": refund}


def get_refund(account: Account, call: Call) -> Json:
    refund = account.find("refund", call.names["id"])
    if refund is None:
        raise not_found()
    return {"refunds": refund}


def list_refunds(account: Account, call: Call) -> Json:
    return page(account, "refund", "refunds", call, {"payment": "links.payment"})


def run_scenario(account: Account, call: Call) -> Json:
    """GoCardless's own way to make things happen in its sandbox."""
    scenario, resource = call.names["id"], call.body.get("data", {}).get("links", {}).get("resource", "")
    if scenario == "billing_request_fulfilled":
        try:
            mandates.complete(account, resource, "pays")
        except NoSuch as error:
            raise not_found() from error
    elif scenario.startswith("mandate_"):
        mandates.set_mandate(account, mandates.mandate_of(account, resource), _after_mandate(scenario))
    elif scenario in REFUND_STATES:
        _move_refund(account, resource, REFUND_STATES[scenario])
    else:
        _run_payment_scenario(account, scenario, _payment(account, resource))
    return {"scenario_simulators": {"id": scenario}}


def _after_mandate(scenario: str) -> str:
    status = {"mandate_activated": "active", "mandate_failed": "failed", "mandate_expired": "expired"}.get(scenario)
    if status is None:
        raise not_found()
    return status


def _run_payment_scenario(account: Account, scenario: str, payment: Json) -> None:
    match scenario:
        case "payment_submitted" | "payment_confirmed" | "payment_paid_out":
            move(account, payment, scenario.removeprefix("payment_"))
        case "payment_failed":
            fail(account, payment, "insufficient_funds")
        case "payment_charged_back":
            move(account, payment, "charged_back", origin="bank", cause="refund_requested")
        case "payment_late_failure":
            fail(account, payment, "refer_to_payer")
        case _:
            raise not_found()


def _move_refund(account: Account, refund_id: str, status: str) -> None:
    """What does not reach the customer can be refunded again."""
    refund = account.find("refund", refund_id)
    if refund is None:
        raise not_found()
    account.save("refund", refund | {"status": status})
    if status != "paid":
        payment = _payment(account, refund["links"]["payment"])
        account.save("payment", payment | {"amount_refunded": payment["amount_refunded"] - refund["amount"]})
    action = {"bounced": "refund_bounced"}.get(status, status)
    emit(account, "refunds", action, {"refund": refund_id}, refund["metadata"], origin="bank")


def _payment(account: Account, payment_id: str) -> Json:
    payment = account.find("payment", payment_id)
    if payment is None:
        raise not_found()
    return payment
