"""What customers have of their own, and legal entities for those that have not."""

import re
from collections.abc import Sequence

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in
from services.invoicing.domain.invoice import TENANT_PREFIX

MAX_NET_PAYMENT_TERM_DAYS = 1000
MAX_TAX_CODES = 100
MAX_NUMBER_PREFIX = 20

_NUMBER_PREFIX = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)*", re.ASCII)


def number_prefix_in(value: str, field: str) -> str:
    """Those of the tenant's own numbers are never given."""
    is_wellformed = len(value) <= MAX_NUMBER_PREFIX and _NUMBER_PREFIX.fullmatch(value)
    if value and (not is_wellformed or value == TENANT_PREFIX):
        raise InvalidArgument(
            "NUMBER_PREFIX_MALFORMED",
            f"{value[:64]!r} is not up to {MAX_NUMBER_PREFIX} capital letters, digits and single hyphens between them,"
            f" other than {TENANT_PREFIX}",
            field=field,
        )
    return value


def tax_codes_in(codes: Sequence[str], field: str) -> tuple[str, ...]:
    if len(codes) > MAX_TAX_CODES:
        raise InvalidArgument("CODES_TOO_MANY", f"{len(codes)} in {field}; at most {MAX_TAX_CODES}", field=field)
    found = tuple(code_in(code, f"{field}[{index}]") for index, code in enumerate(codes))
    for code in found:
        if found.count(code) > 1:
            raise InvalidArgument("TAX_CODE_DUPLICATE", f"{code} stands twice in {field}", field=field)
    return found


def days_in(value: int, field: str, most: int = MAX_NET_PAYMENT_TERM_DAYS) -> int:
    if not 0 <= value <= most:
        raise InvalidArgument("DAYS_OUT_OF_RANGE", f"{field} is {value}; it must be 0 to {most}", field=field)
    return value
