"""Units of fixed charges: as they are asked for, and as pricing is to rate them."""

from collections.abc import Iterable

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import timestamp_out
from services.invoicing.domain.fixed_charge import FixedUnits
from services.invoicing.domain.phase import UnitChange
from weir.invoicing.v1 import fixed_charges_pb2 as pb
from weir.pricing.v1 import fixed_charges_pb2

_NEXT_PERIOD = {
    pb.SetFixedChargeUnitsRequest.EFFECTIVE_UNSPECIFIED: False,
    pb.SetFixedChargeUnitsRequest.EFFECTIVE_NOW: False,
    pb.SetFixedChargeUnitsRequest.EFFECTIVE_NEXT_PERIOD: True,
}


def is_next_period_in(value: "pb.SetFixedChargeUnitsRequest.Effective.ValueType") -> bool:
    if (found := _NEXT_PERIOD.get(value)) is None:
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"effective is {value}, which names no time", field="effective")
    return found


def unit_changes_out(changes: Iterable[UnitChange]) -> list[pb.FixedChargeUnits]:
    return [
        pb.FixedChargeUnits(
            phase_number=each.phase_number,
            code=each.code,
            units=plain(each.units),
            effective_time=timestamp_out(each.effective_time),
        )
        for each in sorted(changes, key=lambda each: (each.effective_time, each.code))
    ]


def fixed_units_out(told: FixedUnits) -> fixed_charges_pb2.FixedChargeUnits:
    return fixed_charges_pb2.FixedChargeUnits(
        code=told.charge.code,
        held=[fixed_charges_pb2.HeldUnits(units=plain(each.units), days=each.days) for each in told.held],
        period_days=told.period_days,
        billed_units="" if told.billed_units is None else plain(told.billed_units),
    )
