"""Units of fixed charges that are to be priced, on the wire."""

from collections.abc import Sequence
from functools import partial

from libs.common.errors import InvalidArgument
from libs.common.wire import amount_in, code_in
from services.pricing.convert.collected import read_all, require_unique
from services.pricing.domain.fixed_charges import FixedUnits, Held
from weir.pricing.v1 import fixed_charges_pb2

MAX_PERIOD_DAYS = 400
"""More than the longest billing interval has."""


def fixed_units_in(messages: Sequence[fixed_charges_pb2.FixedChargeUnits], field: str) -> tuple[FixedUnits, ...]:
    told = read_all(partial(_fixed_units_in, each, f"{field}[{index}]") for index, each in enumerate(messages))
    require_unique("CHARGE_CODE_DUPLICATE", [each.code for each in told], field + "[{}].code")
    return told


def _fixed_units_in(message: fixed_charges_pb2.FixedChargeUnits, field: str) -> FixedUnits:
    held = read_all(partial(_held_in, each, f"{field}.held[{index}]") for index, each in enumerate(message.held))
    days = sum(each.days for each in held)
    if held and not max(days, 1) <= message.period_days <= MAX_PERIOD_DAYS:
        path = f"{field}.period_days"
        raise InvalidArgument(
            "HELD_UNITS_MALFORMED",
            f"{path} is {message.period_days}; expected {max(days, 1)} to {MAX_PERIOD_DAYS}",
            field=path,
        )
    return FixedUnits(
        code=code_in(message.code, f"{field}.code"),
        held=held,
        period_days=message.period_days,
        billed=amount_in(message.billed_units, f"{field}.billed_units") if message.billed_units else None,
    )


def _held_in(message: fixed_charges_pb2.HeldUnits, field: str) -> Held:
    if message.days < 0:
        path = f"{field}.days"
        raise InvalidArgument("HELD_UNITS_MALFORMED", f"{path} is {message.days}; expected 0 or more", field=path)
    return Held(amount_in(message.units, f"{field}.units"), message.days)
