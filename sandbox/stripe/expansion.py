"""`expand[]`: replacing ids in an answer by the objects they name."""

from collections.abc import Sequence

from sandbox.state import Json
from sandbox.stripe import errors
from sandbox.stripe.account import Account

SOURCE = "source"
"""Whatever the id is of."""
_SOURCES = ("charge", "refund", "dispute")
EXPANDABLE = {
    "customer": {"invoice_settings": "customer.invoice_settings"},
    "customer.invoice_settings": {"default_payment_method": "payment_method"},
    "payment_method": {"customer": "customer"},
    "payment_intent": {"customer": "customer", "payment_method": "payment_method", "latest_charge": "charge"},
    "charge": {"customer": "customer", "payment_intent": "payment_intent"},
    "balance_transaction": {"source": SOURCE},
    "refund": {
        "charge": "charge",
        "customer": "customer",
        "payment_intent": "payment_intent",
        "payment_method": "payment_method",
    },
}
MAX_DEPTH = 4


def check(kind: str, paths: Sequence[str], *, listed: bool) -> None:
    """`kind` of the object answered, or of those in the list. Raises StripeError before anything is executed."""
    for path in paths:
        fields = path.split(".")
        if len(fields) > MAX_DEPTH:
            raise errors.refused(f"You cannot expand more than {MAX_DEPTH} levels ({path}).", "expand")
        if listed and fields.pop(0) != "data":
            raise errors.refused(f"This property cannot be expanded ({path}). Try data.{path}.", "expand")
        known = kind
        for field in fields:
            known = EXPANDABLE.get(known, {}).get(field, "")
            if not known:
                raise errors.refused(f"This property cannot be expanded ({path}).", "expand")


def expand(account: Account, body: Json, paths: Sequence[str]) -> Json:
    """`body` with the (checked) paths expanded; what is null stays null."""
    for path in paths:
        first, _, rest = path.partition(".")
        if first == "data":
            body = {**body, "data": [expand(account, item, [rest]) for item in body["data"]]}
        else:
            body = _expanded(account, body, path.split("."), body["object"])
    return body


def _expanded(account: Account, body: Json, fields: Sequence[str], kind: str) -> Json:
    field, *rest = fields
    value, value_kind = body[field], EXPANDABLE[kind][field]
    if isinstance(value, str):
        kinds = _SOURCES if value_kind == SOURCE else (value_kind,)
        value = next((found for kind in kinds if (found := account.find(kind, value)) is not None), None)
    if rest and value is not None:
        value = _expanded(account, value, rest, value_kind)
    return {**body, field: value}
