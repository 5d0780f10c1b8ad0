"""What a version says beside its base fee, charges and taxes, as the column `terms` holds it: a JSON document.

Decimals are strings in plain notation, amounts minor units of the version's currency.
What a version leaves out is left out here too, so that versions of earlier releases read as they were written.
"""

import json
from decimal import Decimal
from typing import Any, TypedDict

from libs.common.money import Money, plain
from services.pricing.documents import Json, price_from_json, price_json
from services.pricing.domain.commitments import FixedCharge, FixedPrice, MinimumCommitment
from services.pricing.domain.features import Entitlement
from services.pricing.domain.plans import Phase, PlanVersion, Price, PriceChange
from services.pricing.domain.thresholds import UsageThreshold


class Terms(TypedDict):
    """Fields of a PlanVersion."""

    base_fee_in_advance: bool
    tax_inclusive: bool
    fixed_charges: tuple[FixedCharge, ...]
    minimum_commitment: MinimumCommitment | None
    usage_thresholds: tuple[UsageThreshold, ...]
    trial_days: int
    entitlements: tuple[Entitlement, ...]
    phases: tuple[Phase, ...]
    charges_monthly: bool


def terms_json(version: PlanVersion) -> str:
    minimum = version.minimum_commitment
    terms = {
        "base_fee_in_advance": version.base_fee_in_advance,
        "tax_inclusive": version.tax_inclusive,
        "fixed_charges": [_fixed_charge_json(each) for each in version.fixed_charges],
        "minimum_commitment": None if minimum is None else _minimum_json(minimum),
        "usage_thresholds": [_threshold_json(each) for each in version.usage_thresholds],
        "trial_days": version.trial_days,
        "entitlements": [
            {"feature_code": each.feature_code, "values": [list(pair) for pair in each.values]}
            for each in version.entitlements
        ],
        "phases": [_phase_json(each) for each in version.phases],
        "charges_monthly": version.charges_monthly,
    }
    return json.dumps({key: value for key, value in terms.items() if value})


def terms_from_json(text: str, currency: str) -> Terms:
    value: Json = json.loads(text)
    minimum = value.get("minimum_commitment")
    return Terms(
        base_fee_in_advance=value.get("base_fee_in_advance", False),
        tax_inclusive=value.get("tax_inclusive", False),
        fixed_charges=tuple(_fixed_charge(each) for each in value.get("fixed_charges", ())),
        minimum_commitment=None if minimum is None else _minimum(minimum, currency),
        usage_thresholds=tuple(_threshold(each, currency) for each in value.get("usage_thresholds", ())),
        trial_days=value.get("trial_days", 0),
        entitlements=tuple(
            Entitlement(each["feature_code"], tuple((code, value) for code, value in each["values"]))
            for each in value.get("entitlements", ())
        ),
        phases=tuple(_phase(each, currency) for each in value.get("phases", ())),
        charges_monthly=value.get("charges_monthly", False),
    )


def _fixed_charge_json(charge: FixedCharge) -> Json:
    return {
        "code": charge.code,
        "name": charge.name,
        "add_on_code": charge.add_on_code,
        "units": plain(charge.units),
        "price": price_json(charge.price),
        "in_advance": charge.in_advance,
        "prorated": charge.prorated,
        "tax_codes": list(charge.tax_codes),
    }


def _fixed_charge(value: Json) -> FixedCharge:
    price = price_from_json(value["price"])
    assert isinstance(price, FixedPrice)
    return FixedCharge(
        code=value["code"],
        name=value["name"],
        add_on_code=value["add_on_code"],
        units=Decimal(value["units"]),
        price=price,
        in_advance=value["in_advance"],
        prorated=value["prorated"],
        tax_codes=tuple(value["tax_codes"]),
    )


def _minimum_json(minimum: MinimumCommitment) -> Json:
    return {
        "minor_units": minimum.amount.minor_units,
        "name": minimum.name,
        "tax_codes": list(minimum.tax_codes),
    }


def _minimum(value: Json, currency: str) -> MinimumCommitment:
    return MinimumCommitment(Money(value["minor_units"], currency), value["name"], tuple(value["tax_codes"]))


def _threshold_json(threshold: UsageThreshold) -> Json:
    return {
        "minor_units": threshold.amount.minor_units,
        "name": threshold.name,
        "recurring": threshold.recurring,
    }


def _threshold(value: Json, currency: str) -> UsageThreshold:
    return UsageThreshold(Money(value["minor_units"], currency), value["name"], value["recurring"])


def _phase_json(phase: Phase) -> Json:
    return {
        "name": phase.name,
        "from_month": phase.from_month,
        "to_month": phase.to_month,
        "base_fee": _fee_json(phase.base_fee),
        "changes": [
            {
                "charge_code": each.charge_code,
                "filter_code": each.filter_code,
                "change": plain(each.change) if isinstance(each.change, Decimal) else price_json(each.change),
            }
            for each in phase.changes
        ],
    }


def _phase(value: Json, currency: str) -> Phase:
    return Phase(
        name=value["name"],
        from_month=value["from_month"],
        to_month=value["to_month"],
        base_fee=_fee(value["base_fee"], currency),
        changes=tuple(
            PriceChange(each["charge_code"], each["filter_code"], _change(each["change"])) for each in value["changes"]
        ),
    )


def _fee_json(fee: Money | Decimal | None) -> Any:
    """An integer for an amount in minor units, a string for percent."""
    match fee:
        case Money(minor_units):
            return minor_units
        case Decimal():
            return plain(fee)
        case None:
            return None


def _fee(value: Any, currency: str) -> Money | Decimal | None:
    match value:
        case int():
            return Money(value, currency)
        case str():
            return Decimal(value)
        case _:
            return None


def _change(value: Any) -> Price | Decimal:
    return Decimal(value) if isinstance(value, str) else price_from_json(value)
