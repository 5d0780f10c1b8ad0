"""Fixed charges, minimum commitments and usage thresholds on the wire."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from libs.common.errors import InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import amount_in, code_in, money_out, text_in
from services.pricing.convert.charges import charge_code_in
from services.pricing.convert.collected import read_all, require_unique
from services.pricing.convert.described import charged_in, tax_codes_in
from services.pricing.convert.prices import price_in, set_price
from services.pricing.domain.commitments import FixedCharge, FixedPrice, MinimumCommitment
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.thresholds import UsageThreshold
from services.pricing.domain.volume import VolumePrice
from weir.common.v1 import money_pb2
from weir.pricing.v1 import pricing_pb2, thresholds_pb2


def fixed_charges_in(messages: Sequence[pricing_pb2.FixedCharge], field: str) -> tuple[FixedCharge, ...]:
    charges = read_all(partial(_fixed_charge_in, each, f"{field}[{index}]") for index, each in enumerate(messages))
    require_unique("CHARGE_CODE_DUPLICATE", [each.code for each in charges], field + "[{}].code")
    return charges


def fixed_charge_out(charge: FixedCharge) -> pricing_pb2.FixedCharge:
    message = pricing_pb2.FixedCharge(
        code=charge.code,
        name=charge.name,
        add_on_code=charge.add_on_code,
        units=plain(charge.units),
        in_advance=charge.in_advance,
        prorated=charge.prorated,
        tax_codes=charge.tax_codes,
    )
    carrier = pricing_pb2.ChargePrice()
    set_price(carrier, charge.price)
    match charge.price:
        case StandardPrice():
            message.standard.CopyFrom(carrier.standard)
        case GraduatedPrice():
            message.graduated.CopyFrom(carrier.graduated)
        case VolumePrice():
            message.volume.CopyFrom(carrier.volume)
    return message


def minimum_in(message: pricing_pb2.PlanVersion, currency: str, field: str) -> MinimumCommitment | None:
    if not message.HasField("minimum_commitment"):
        return None
    return commitment_in(message.minimum_commitment, currency, field)


def commitment_in(minimum: pricing_pb2.MinimumCommitment, currency: str, field: str) -> MinimumCommitment:
    return MinimumCommitment(
        amount=_positive_in(minimum.amount, minimum.HasField("amount"), currency, f"{field}.amount"),
        name=text_in(minimum.name, f"{field}.name", required=False),
        tax_codes=tax_codes_in(minimum.tax_codes, f"{field}.tax_codes"),
    )


def minimum_out(minimum: MinimumCommitment | None) -> pricing_pb2.MinimumCommitment | None:
    if minimum is None:
        return None
    return pricing_pb2.MinimumCommitment(
        amount=money_out(minimum.amount), name=minimum.name, tax_codes=minimum.tax_codes
    )


def thresholds_in(
    messages: Sequence[thresholds_pb2.UsageThreshold], currency: str, field: str
) -> tuple[UsageThreshold, ...]:
    read = read_all(partial(_threshold_in, each, currency, f"{field}[{index}]") for index, each in enumerate(messages))
    for index, (before, each) in enumerate(pairwise(read), 1):
        path = f"{field}[{index}]"
        if before.recurring:
            raise InvalidArgument(
                "THRESHOLDS_NOT_ASCENDING", f"{path} comes after a recurring one, which is the last", field=path
            )
        if not each.recurring and each.amount.minor_units <= before.amount.minor_units:
            raise InvalidArgument(
                "THRESHOLDS_NOT_ASCENDING",
                f"{path}.amount is {each.amount}, which is not more than the one before",
                field=f"{path}.amount",
            )
    return read


def threshold_out(threshold: UsageThreshold) -> thresholds_pb2.UsageThreshold:
    return thresholds_pb2.UsageThreshold(
        amount=money_out(threshold.amount), name=threshold.name, recurring=threshold.recurring
    )


def _fixed_charge_in(message: pricing_pb2.FixedCharge, field: str) -> FixedCharge:
    charge = FixedCharge(
        code=charge_code_in(message.code, f"{field}.code"),
        name=text_in(message.name, f"{field}.name", required=False),
        add_on_code=code_in(message.add_on_code, f"{field}.add_on_code"),
        units=amount_in(message.units, f"{field}.units"),
        price=_fixed_price_in(message, field),
        in_advance=message.in_advance,
        prorated=message.prorated,
        tax_codes=tax_codes_in(message.tax_codes, f"{field}.tax_codes"),
    )
    if charge.in_advance and isinstance(charge.price, VolumePrice):
        path = f"{field}.in_advance"
        raise InvalidArgument("IN_ADVANCE_UNSUPPORTED", f"{path}: a volume price is billed in arrears", field=path)
    if charge.in_advance and charge.prorated and isinstance(charge.price, GraduatedPrice):
        path = f"{field}.prorated"
        raise InvalidArgument(
            "PRORATION_UNSUPPORTED", f"{path}: a graduated price in advance is not prorated", field=path
        )
    return charge


def _fixed_price_in(message: pricing_pb2.FixedCharge, field: str) -> FixedPrice:
    carrier = pricing_pb2.ChargePrice()
    match message.WhichOneof("price"):
        case "standard":
            carrier.standard.CopyFrom(message.standard)
        case "graduated":
            carrier.graduated.CopyFrom(message.graduated)
        case "volume":
            carrier.volume.CopyFrom(message.volume)
        case None:
            path = f"{field}.price"
            raise InvalidArgument("FIELD_MISSING", f"{path} is missing: standard, graduated or volume", field=path)
    price = price_in(carrier, field)
    assert isinstance(price, FixedPrice)
    return price


def _threshold_in(message: thresholds_pb2.UsageThreshold, currency: str, field: str) -> UsageThreshold:
    return UsageThreshold(
        amount=_positive_in(message.amount, message.HasField("amount"), currency, f"{field}.amount"),
        name=text_in(message.name, f"{field}.name", required=False),
        recurring=message.recurring,
    )


def _positive_in(message: money_pb2.Money, present: bool, currency: str, field: str) -> Money:
    amount = charged_in(message, present, field, currency)
    if not amount.minor_units:
        path = f"{field}.minor_units"
        raise InvalidArgument("AMOUNT_NOT_POSITIVE", f"{path} is 0", field=path)
    return amount
