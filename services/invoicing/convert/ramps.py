"""Prices by the month of a contract, as pricing has them."""

from decimal import Decimal

from libs.common.money import EXACT, Money
from libs.common.wire import money_out
from weir.pricing.v1 import pricing_pb2

_PERCENT = Decimal("0.01")


def in_phase(version: pricing_pb2.PlanVersion, phase: pricing_pb2.Phase) -> pricing_pb2.PlanVersion:
    """The version as it is in the months of a phase, so far as invoicing must know: its base fee, and what prices of
    charges are a matter of. By how many percent these change is pricing's.
    """
    found = pricing_pb2.PlanVersion()
    found.CopyFrom(version)
    found.ClearField("phases")
    if phase.HasField("base_fee"):
        found.base_fee.CopyFrom(phase.base_fee)
    elif phase.HasField("base_fee_percent") and version.HasField("base_fee"):
        fee = Money(version.base_fee.minor_units, version.base_fee.currency_code)
        part = EXACT.multiply(EXACT.add(Decimal(100), Decimal(phase.base_fee_percent)), _PERCENT)
        found.base_fee.CopyFrom(money_out(Money.rounded(EXACT.multiply(fee.amount, part), fee.currency)))
    for change in phase.prices:
        if (name := change.price.WhichOneof("price")) is not None:
            charge = next(each for each in found.charges if each.code == change.charge_code)
            filters = (each for each in charge.filters if each.code == change.filter)
            priced = next(filters) if change.filter else charge
            getattr(priced, name).CopyFrom(getattr(change.price, name))
    return found
