"""Phases of a contract, and other prices for a version's charges, on the wire."""

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from itertools import pairwise

from libs.common.errors import InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import code_in, decimal_in, money_out, text_in
from services.pricing.convert.charges import require_valid
from services.pricing.convert.collected import read_all, require_unique
from services.pricing.convert.described import charged_in
from services.pricing.convert.prices import price_in, set_price
from services.pricing.domain.phases import repriced
from services.pricing.domain.plans import Charge, Phase, PriceChange
from weir.pricing.v1 import pricing_pb2

LEAST_PERCENT, MOST_PERCENT = Decimal(-100), Decimal(1000)
PERCENT_DIGITS = 4


def phases_in(messages: Sequence[pricing_pb2.Phase], currency: str, field: str) -> tuple[Phase, ...]:
    phases = read_all(partial(_phase_in, each, currency, f"{field}[{index}]") for index, each in enumerate(messages))
    for index, (before, each) in enumerate(pairwise(phases), 1):
        if before.to_month is None or each.from_month < before.to_month:
            path = f"{field}[{index}].from_month"
            raise InvalidArgument(
                "PHASES_OVERLAP", f"{path} is {each.from_month}, before the phase before has ended", field=path
            )
    return phases


def phase_out(phase: Phase) -> pricing_pb2.Phase:
    message = pricing_pb2.Phase(
        name=phase.name,
        from_month=phase.from_month,
        to_month=phase.to_month or 0,
        prices=[change_out(each) for each in phase.changes],
    )
    match phase.base_fee:
        case Money() as fee:
            message.base_fee.CopyFrom(money_out(fee))
        case Decimal() as percent:
            message.base_fee_percent = plain(percent)
    return message


def require_applicable(charges: tuple[Charge, ...], phases: Sequence[Phase], field: str) -> None:
    """Raises InvalidArgument for a change of a charge or filter that is not there, or that can't be changed so."""
    for index, phase in enumerate(phases):
        path = f"{field}[{index}].prices"
        for charge in repriced(charges, phase.changes, path):
            require_valid(charge, path)


def changes_in(messages: Sequence[pricing_pb2.PriceChange], field: str) -> tuple[PriceChange, ...]:
    changes = read_all(partial(_change_in, each, f"{field}[{index}]") for index, each in enumerate(messages))
    keys = [(each.charge_code, each.filter_code) for each in changes]
    require_unique("PRICE_CHANGE_DUPLICATE", keys, field + "[{}]")
    return changes


def change_out(change: PriceChange) -> pricing_pb2.PriceChange:
    message = pricing_pb2.PriceChange(charge_code=change.charge_code, filter=change.filter_code)
    match change.change:
        case Decimal() as percent:
            message.percent = plain(percent)
        case price:
            set_price(message.price, price)
    return message


def _phase_in(message: pricing_pb2.Phase, currency: str, field: str) -> Phase:
    if message.from_month < 0 or (message.to_month and message.to_month <= message.from_month):
        path = f"{field}.to_month" if message.from_month >= 0 else f"{field}.from_month"
        raise InvalidArgument(
            "PHASE_EMPTY", f"{field} is from month {message.from_month} to {message.to_month}", field=path
        )
    return Phase(
        name=text_in(message.name, f"{field}.name", required=False),
        from_month=message.from_month,
        to_month=message.to_month or None,
        base_fee=_base_fee_in(message, currency, field),
        changes=changes_in(message.prices, f"{field}.prices"),
    )


def _base_fee_in(message: pricing_pb2.Phase, currency: str, field: str) -> Money | Decimal | None:
    match message.WhichOneof("base_fee_change"):
        case "base_fee":
            return charged_in(message.base_fee, True, f"{field}.base_fee", currency)
        case "base_fee_percent":
            return _percent_in(message.base_fee_percent, f"{field}.base_fee_percent")
        case None:
            return None


def _change_in(message: pricing_pb2.PriceChange, field: str) -> PriceChange:
    charge_code = code_in(message.charge_code, f"{field}.charge_code")
    filter_code = code_in(message.filter, f"{field}.filter") if message.filter else ""
    match message.WhichOneof("change"):
        case "percent":
            return PriceChange(charge_code, filter_code, _percent_in(message.percent, f"{field}.percent"))
        case "price":
            return PriceChange(charge_code, filter_code, price_in(message.price, f"{field}.price"))
        case None:
            path = f"{field}.change"
            raise InvalidArgument("FIELD_MISSING", f"{path} is missing: percent or price", field=path)


def _percent_in(value: str, field: str) -> Decimal:
    percent = decimal_in(value, field)
    if not LEAST_PERCENT <= percent <= MOST_PERCENT:
        raise InvalidArgument(
            "PERCENT_OUT_OF_RANGE", f"{field} is {value}; expected {LEAST_PERCENT} to {MOST_PERCENT}", field=field
        )
    if round(percent, PERCENT_DIGITS) != percent:
        raise InvalidArgument(
            "PERCENT_TOO_PRECISE", f"{field} is {value}; at most {PERCENT_DIGITS} digits after the point", field=field
        )
    return percent
