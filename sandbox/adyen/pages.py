"""Adyen's own pages: payment links, and sessions on which a method is stored."""

from datetime import UTC, datetime, timedelta

from sandbox.accounts import Account, NoSuch
from sandbox.adyen.errors import check, failure, refused
from sandbox.adyen.payments import authorise, new_reference, store, stored_method
from sandbox.json_api import ApiError, Call
from sandbox.state import Json

PATH = "/_sandbox/pages/"
LINK = (
    "description", "expiresAt", "recurringProcessingModel", "returnUrl", "reusable", "shopperReference",
    "storePaymentMethodMode",
)  # fmt: skip
SESSION = (
    "mode", "recurringProcessingModel", "shopperInteraction", "shopperReference", "storePaymentMethodMode",
)  # fmt: skip


def create_link(account: Account, call: Call) -> Json:
    check(call.body, ("merchantAccount", "amount", "reference"), LINK)
    link_id = "PL" + new_reference()
    link = {**call.body, "id": link_id, "url": call.base_url + PATH + link_id, "status": "active"}
    account.create("link", link)
    return link


def get_link(account: Account, call: Call) -> Json:
    return _link(account, call.names["link"])


def expire_link(account: Account, call: Call) -> Json:
    check(call.body, ("status",), ())
    link = _link(account, call.names["link"])
    if link["status"] != "active":
        raise refused("29_002", "Invalid status of the payment link")
    link |= {"status": "expired"}
    account.save("link", link)
    return link


def create_session(account: Account, call: Call) -> Json:
    check(call.body, ("merchantAccount", "amount", "reference", "returnUrl"), SESSION)
    session_id = "CS" + new_reference()
    expire_time = datetime.fromtimestamp(int(account.now), UTC) + timedelta(hours=1)
    session = {**call.body, "id": session_id, "expiresAt": expire_time.isoformat(), "sessionData": new_reference()}
    if call.body.get("mode") == "hosted":
        session["url"] = call.base_url + PATH + session_id
    account.create("session", session)
    return session


def complete(account: Account, page_id: str, holder_name: str) -> str:
    """The shopper enters a card on the page; where they are sent then. Raises NoSuch if it is not open."""
    kind = "link" if page_id.startswith("PL") else "session"
    page = account.find(kind, page_id)
    if page is None or page.get("status", "active") != "active":
        raise NoSuch(f"there is no open page {page_id}")
    stored = stored_method({"holderName": holder_name}, page.get("shopperReference", ""))
    _, result = authorise(account, page, stored, page_id if kind == "link" else "")
    if not result.code:
        account.save(kind, page | {"status": "completed"})
        if page.get("storePaymentMethodMode") == "enabled":
            store(account, page["merchantAccount"], stored)
    return str(page.get("returnUrl", ""))


def _link(account: Account, link_id: str) -> Json:
    link = account.find("link", link_id)
    if link is None:
        raise ApiError(failure(404, "29_001", "Invalid payment link ID"))
    return link
