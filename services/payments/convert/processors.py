"""Accounts at processors and the keys to them. What is wrong with a key is said without repeating it."""

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from libs.common.errors import InvalidArgument
from libs.common.wire import text_in, timestamp_out
from services.payments.convert import ACCOUNT_ID
from services.payments.domain.method import ProcessorAccount
from weir.payments.v1 import payments_pb2, processors_pb2

_PROCESSORS = {
    payments_pb2.PROCESSOR_STRIPE: "stripe",
    payments_pb2.PROCESSOR_ADYEN: "adyen",
    payments_pb2.PROCESSOR_GOCARDLESS: "gocardless",
}
_NUMBERS = {name: number for number, name in _PROCESSORS.items()}
_SECRET = re.compile(r"[\x21-\x7e]{1,500}")
_HMAC_KEY = re.compile(r"([0-9A-Fa-f]{2}){16,64}")
_FORMS: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "stripe": {
        "secret_key": re.compile(r"(sk|rk)_[\x21-\x7e]{1,250}"),
        "webhook_secret": re.compile(r"whsec_[\x21-\x7e]{1,250}"),
        "previous_webhook_secret": re.compile(r"whsec_[\x21-\x7e]{1,250}"),
    },
    "adyen": {
        "api_key": _SECRET,
        "merchant_account": re.compile(r"[A-Za-z0-9_-]{1,80}"),
        "hmac_key": _HMAC_KEY,
        "previous_hmac_key": _HMAC_KEY,
        "token_hmac_key": _HMAC_KEY,
        "live_endpoint_prefix": re.compile(r"[A-Za-z0-9-]{1,120}"),
    },
    "gocardless": {
        "access_token": _SECRET,
        "webhook_secret": _SECRET,
        "previous_webhook_secret": _SECRET,
        "environment": re.compile(r"live|sandbox"),
    },
}
_OPTIONAL = frozenset({"previous_webhook_secret", "previous_hmac_key", "token_hmac_key", "live_endpoint_prefix"})
_ISSUERS = {"stripe": "Stripe", "adyen": "Adyen", "gocardless": "GoCardless"}


def account_in(
    message: payments_pb2.ProcessorAccount, present: bool, tenant_id: str, create_time: datetime
) -> ProcessorAccount:
    """`present` is the request's HasField."""
    if not present:
        raise InvalidArgument("FIELD_MISSING", "processor_account is required", field="processor_account")
    account_id = account_id_in(message.id, "processor_account.id")
    if message.processor not in _PROCESSORS:
        raise InvalidArgument(
            "PROCESSOR_UNKNOWN", "name one of the processors that Weir knows", field="processor_account.processor"
        )
    return ProcessorAccount(tenant_id, account_id, _PROCESSORS[message.processor], create_time)


def account_id_in(value: str, field: str) -> str:
    text_in(value, field, most=64)
    if not ACCOUNT_ID.fullmatch(value):
        raise InvalidArgument(
            "CODE_MALFORMED",
            f"{field} is {value!r}; it must be a letter, then up to 63 of a-z, 0-9, '_' and '-'",
            field=field,
        )
    return value


def credentials_in(
    request: payments_pb2.CreateProcessorAccountRequest | processors_pb2.ReplaceProcessorCredentialsRequest,
    processor: str,
) -> dict[str, str]:
    """The keys to an account at `processor`."""
    if request.WhichOneof("credentials") != processor:
        raise InvalidArgument("FIELD_MISSING", f"{processor} is required", field=processor)
    keys = getattr(request, processor)
    given = {name: getattr(keys, name) for name in _FORMS[processor]}
    for name, form in _FORMS[processor].items():
        field = f"{processor}.{name}"
        if text_in(given[name], field, most=500, required=name not in _OPTIONAL) and not form.fullmatch(given[name]):
            raise InvalidArgument(
                "CREDENTIALS_MALFORMED", f"{field} is not one that {_ISSUERS[processor]} issues", field=field
            )
    return given


def url_in(value: str, field: str) -> str:
    text_in(value, field, most=2000)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidArgument("URL_MALFORMED", f"{field} is no http or https URL", field=field)
    return value


def account_out(account: ProcessorAccount) -> payments_pb2.ProcessorAccount:
    seen = account.refused_webhook_time
    return payments_pb2.ProcessorAccount(
        id=account.id,
        processor=_NUMBERS[account.processor],
        webhook_path=account.webhook_path,
        create_time=timestamp_out(account.create_time),
        refused_webhook_count=account.refused_webhook_count,
        refused_webhook_time=timestamp_out(seen) if seen else None,
    )
