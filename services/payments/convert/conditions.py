"""Which payments a rule or a policy is for, on the wire."""

import re
from collections.abc import Sequence

from libs.common.errors import InvalidArgument
from libs.common.wire import currency_in, text_in
from services.payments.domain.condition import Condition
from weir.payments.v1 import conditions_pb2 as pb

MOST_LISTED = 100
_COUNTRY = re.compile(r"[A-Z]{2}")


def condition_in(message: pb.PaymentCondition, field: str) -> Condition:
    has_least, has_most = message.HasField("least_minor_units"), message.HasField("most_minor_units")
    condition = Condition(
        currencies=tuple(currency_in(each, f"{field}.currency_codes") for each in message.currency_codes),
        country_codes=tuple(country_in(each, f"{field}.country_codes") for each in message.country_codes),
        segments=tuple(text_in(each, f"{field}.segments") for each in message.segments),
        least=message.least_minor_units if has_least else None,
        most=message.most_minor_units if has_most else None,
    )
    for listed in (condition.currencies, condition.country_codes, condition.segments):
        _require_list(listed, field)
    if (has_least or has_most) and len(condition.currencies) != 1:
        raise InvalidArgument("CONDITION_INVALID", f"amounts in {field} need exactly one currency", field=field)
    if (has_least and message.least_minor_units < 0) or (
        has_most and message.most_minor_units < message.least_minor_units
    ):
        raise InvalidArgument("CONDITION_INVALID", f"no amount is within those of {field}", field=field)
    return condition


def condition_out(condition: Condition) -> pb.PaymentCondition | None:
    if condition == Condition():
        return None
    return pb.PaymentCondition(
        currency_codes=condition.currencies,
        country_codes=condition.country_codes,
        segments=condition.segments,
        least_minor_units=condition.least,
        most_minor_units=condition.most,
    )


def country_in(value: str, field: str) -> str:
    """Two capital letters, or "" where `value` is."""
    if value and not _COUNTRY.fullmatch(value):
        raise InvalidArgument("COUNTRY_MALFORMED", f"{value[:64]!r} is not two capital letters", field=field)
    return value


def _require_list(listed: Sequence[str], field: str) -> None:
    if len(listed) > MOST_LISTED or len(set(listed)) < len(listed) or "" in listed:
        raise InvalidArgument(
            "CONDITION_INVALID", f"a list in {field} names each thing once, at most {MOST_LISTED}", field=field
        )
