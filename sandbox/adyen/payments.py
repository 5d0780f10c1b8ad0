"""Payments, their modifications, and the stored payment methods that they are made with."""

import secrets
import string

from sandbox.accounts import Account, NoSuch
from sandbox.adyen import cards
from sandbox.adyen.errors import check, refused
from sandbox.adyen.notifications import notify, notify_token
from sandbox.json_api import Call
from sandbox.state import Json

PAYMENT = (
    "additionalData", "channel", "merchantOrderReference", "metadata", "recurringProcessingModel", "returnUrl",
    "shopperEmail", "shopperInteraction", "shopperReference", "storePaymentMethod",
)  # fmt: skip
MODELS = ["CardOnFile", "Subscription", "UnscheduledCardOnFile"]
_ALPHABET = string.ascii_uppercase + string.digits


def new_reference() -> str:
    """Sixteen letters and digits, as Adyen's references have them."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


def pay(account: Account, call: Call) -> Json:
    check(call.body, ("merchantAccount", "amount", "reference", "paymentMethod"), PAYMENT)
    method = call.body["paymentMethod"]
    if (token := method.get("storedPaymentMethodId")) is not None:
        stored = account.find("stored_method", token)
        if stored is None or stored["shopperReference"] != call.body.get("shopperReference"):
            raise refused("800", "Contract not found")
    else:
        stored = stored_method(method, call.body.get("shopperReference", ""))
    payment, result = authorise(account, call.body, stored)
    if token is None and call.body.get("storePaymentMethod") and result.result_code == "Authorised":
        store(account, call.body["merchantAccount"], stored)
    answer: Json = {
        "pspReference": payment["id"],
        "resultCode": result.result_code,
        "merchantReference": payment["reference"],
        "amount": payment["amount"],
        "paymentMethod": {"brand": stored["brand"], "type": stored["type"]},
    }
    if result.code:
        answer |= {"refusalReason": result.reason, "refusalReasonCode": result.code}
        answer["additionalData"] = {"refusalReasonRaw": result.raw}
    return answer


def authorise(account: Account, request: Json, stored: Json, link: str = "") -> tuple[Json, cards.Result]:
    """A payment of `request`'s amount and reference, and its notification unless the bank has yet to answer."""
    if type(request["amount"].get("value")) is not int or request["amount"]["value"] < 0:
        raise refused("100", "No amount specified")
    result = cards.result(stored["holderName"])
    payment = {
        "id": new_reference(),
        "merchantAccount": request["merchantAccount"],
        "reference": request["reference"],
        "amount": request["amount"],
        "brand": stored["brand"],
        "shopperReference": stored["shopperReference"],
        "resultCode": result.result_code,
        "refusalReasonCode": result.code,
        "refunded": 0,
    }
    account.create("payment", payment)
    if result.result_code != "Received":
        notify(account, "AUTHORISATION", payment, success=not result.code, reason=result.reason, link=link)
    return payment, result


def settle(account: Account, reference: str, *, succeeded: bool) -> Json:
    """The bank answers a payment that was Received; raises NoSuch for any other."""
    payment = account.find("payment", reference)
    if payment is None or payment["resultCode"] != "Received":
        raise NoSuch(f"no payment {reference} waits for an answer")
    payment |= {"resultCode": "Authorised" if succeeded else "Refused"}
    account.save("payment", payment)
    notify(account, "AUTHORISATION", payment, success=succeeded, reason="" if succeeded else "Refused")
    return payment


def refund(account: Account, call: Call) -> Json:
    check(call.body, ("merchantAccount", "amount"), ("reference", "merchantRefundReason"))
    payment = _payment(account, call.names["payment"])
    amount = call.body["amount"]
    if amount["currency"] != payment["amount"]["currency"]:
        raise refused("117", "Invalid currency for the refund")
    modification, reference = new_reference(), call.body.get("reference", payment["reference"])
    fits = payment["resultCode"] == "Authorised" and payment["refunded"] + amount["value"] <= payment["amount"]["value"]
    if fits:
        account.save("payment", payment | {"refunded": payment["refunded"] + amount["value"]})
    body = {"id": modification, "payment": payment["id"], "reference": reference, "amount": amount, "success": fits}
    account.create("refund", body)
    reason = "" if fits else "Insufficient balance on payment"
    notify(account, "REFUND", payment, success=fits, reason=reason, modification=body)
    return _received(call, modification, payment["id"]) | {"amount": amount}


def fail_refund(account: Account, reference: str) -> Json:
    """The bank sends a refund back; raises NoSuch where there is none to send."""
    body = account.find("refund", reference)
    if body is None or not body["success"]:
        raise NoSuch(f"no refund {reference} has succeeded")
    payment = _payment(account, body["payment"])
    account.save("payment", payment | {"refunded": payment["refunded"] - body["amount"]["value"]})
    account.save("refund", body | {"success": False})
    notify(account, "REFUND_FAILED", payment, success=True, reason="Card closed", modification=body)
    return body


def charge_back(account: Account, reference: str) -> Json:
    """The customer's bank takes the money back; raises NoSuch where there is none."""
    payment = account.find("payment", reference)
    if payment is None or payment["resultCode"] != "Authorised" or payment.get("chargedBack"):
        raise NoSuch(f"no payment {reference} can be charged back")
    payment |= {"chargedBack": True}
    account.save("payment", payment)
    reason = "Customer disputes the payment"
    notify(account, "CHARGEBACK", payment, success=True, reason=reason, modification={"id": new_reference()})
    return payment


def cancel(account: Account, call: Call) -> Json:
    """What has been captured, as by itself at once, and what was refused cannot be canceled."""
    check(call.body, ("merchantAccount",), ("reference",))
    payment = _payment(account, call.names["payment"])
    modification = new_reference()
    canceled = _canceled(account, payment)
    _notify_of_cancel(account, "CANCELLATION", payment, modification, canceled)
    return _received(call, modification, payment["id"])


def cancel_by_reference(account: Account, call: Call) -> Json:
    check(call.body, ("merchantAccount", "paymentReference"), ("reference",))
    modification, reference = new_reference(), call.body["paymentReference"]
    found = [each.body for each in account.every("payment") if each.body["reference"] == reference]
    nobody = {"id": "", "merchantAccount": call.body["merchantAccount"], "amount": {"currency": "EUR", "value": 0}}
    payment = found[-1] if found else {**nobody, "brand": "", "reference": reference}
    canceled = bool(found) and _canceled(account, payment)
    _notify_of_cancel(account, "TECHNICAL_CANCEL", payment, modification, canceled)
    answer = {
        name: call.body[name] for name in ("merchantAccount", "paymentReference", "reference") if name in call.body
    }
    return answer | {"pspReference": modification, "status": "received"}


def _canceled(account: Account, payment: Json) -> bool:
    if payment["resultCode"] != "Received":
        return False
    account.save("payment", payment | {"resultCode": "Cancelled"})
    return True


def _notify_of_cancel(account: Account, code: str, payment: Json, modification: str, canceled: bool) -> None:
    reason = "" if canceled else "Transaction not in a state to be canceled"
    notify(account, code, payment, success=canceled, reason=reason, modification={"id": modification})


def _received(call: Call, modification: str, payment: str) -> Json:
    answer = {name: call.body[name] for name in ("merchantAccount", "reference") if name in call.body}
    return answer | {"paymentPspReference": payment, "pspReference": modification, "status": "received"}


def _payment(account: Account, reference: str) -> Json:
    payment = account.find("payment", reference)
    if payment is None:
        raise refused("167", "Original pspReference required for this operation")
    return payment


def store_method(account: Account, call: Call) -> Json:
    fields = "merchantAccount", "paymentMethod", "recurringProcessingModel", "shopperReference"
    check(call.body, fields, ("shopperEmail", "shopperIP"))
    stored = stored_method(call.body["paymentMethod"], call.body["shopperReference"])
    store(account, call.body["merchantAccount"], stored)
    return stored


def list_methods(account: Account, call: Call) -> Json:
    shopper = call.query["shopperReference"]
    stored = [each.body for each in account.every("stored_method") if each.body["shopperReference"] == shopper]
    return {
        "merchantAccount": call.query["merchantAccount"],
        "shopperReference": shopper,
        "storedPaymentMethods": stored,
    }


def stored_method(method: Json, shopper: str) -> Json:
    """`method` as in a request for a payment; only its holder's name matters."""
    return {
        "id": new_reference(),
        "brand": "visa",
        "expiryMonth": "03",
        "expiryYear": "2030",
        "holderName": method.get("holderName", "APPROVED"),
        "lastFour": "1111",
        "name": "VISA",
        "shopperReference": shopper,
        "supportedRecurringProcessingModels": MODELS,
        "type": "scheme",
    }


def store(account: Account, merchant_account: str, stored: Json) -> None:
    account.create("stored_method", stored)
    notify_token(account, merchant_account, stored, new_reference())
