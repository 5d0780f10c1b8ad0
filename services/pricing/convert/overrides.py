"""What is different for one subscription, on the wire."""

from libs.common.errors import InvalidArgument
from libs.common.wire import money_out, timestamp_out
from services.pricing.convert.charges import require_valid
from services.pricing.convert.collected import read_fields
from services.pricing.convert.commitments import commitment_in, minimum_out, threshold_out, thresholds_in
from services.pricing.convert.described import charged_in, tax_codes_in
from services.pricing.convert.phases import change_out, changes_in, require_applicable
from services.pricing.convert.versions import require_no_minimum, trial_days_in
from services.pricing.domain.overrides import PlanChanges, changes_of
from services.pricing.domain.plans import PlanVersion
from weir.pricing.v1 import overrides_pb2


def plan_changes_in(message: overrides_pb2.PlanChanges, currency: str) -> PlanChanges:
    """`message` is the field `changes` of its request; amounts are in the currency of the base version."""
    readers = {
        "base_fee": lambda each: charged_in(each.base_fee, True, "changes.base_fee", currency),
        "minimum_commitment": lambda each: commitment_in(
            each.minimum_commitment, currency, "changes.minimum_commitment"
        ),
        "usage_thresholds": lambda each: thresholds_in(
            each.usage_thresholds.thresholds, currency, "changes.usage_thresholds.thresholds"
        ),
        "taxes": lambda each: tax_codes_in(each.taxes.codes, "changes.taxes.codes"),
        "trial_days": lambda each: trial_days_in(each.trial_days, "changes.trial_days"),
    }
    present = {field for field in readers if message.HasField(field)}  # type: ignore[arg-type]
    readers["prices"] = lambda each: changes_in(each.prices, "changes.prices")
    fields = read_fields(message, readers, {*present, "prices"})
    if "taxes" in fields:
        fields["tax_codes"] = fields.pop("taxes")
    return PlanChanges(without_minimum=message.without_minimum_commitment, **fields)


def override_out(base: PlanVersion, override: PlanVersion) -> overrides_pb2.PlanOverride:
    return overrides_pb2.PlanOverride(
        subscription_id=override.subscription_id,
        plan_code=override.plan_code,
        base_version=override.base_version,
        currency_code=override.currency,
        changes=_changes_out(changes_of(base, override)),
        version=override.version,
        create_time=timestamp_out(override.create_time),
    )


def _changes_out(changes: PlanChanges) -> overrides_pb2.PlanChanges:
    message = overrides_pb2.PlanChanges(
        base_fee=None if changes.base_fee is None else money_out(changes.base_fee),
        prices=map(change_out, changes.prices),
        minimum_commitment=minimum_out(changes.minimum_commitment),
        usage_thresholds=None
        if changes.usage_thresholds is None
        else overrides_pb2.UsageThresholds(thresholds=map(threshold_out, changes.usage_thresholds)),
        taxes=None if changes.tax_codes is None else overrides_pb2.TaxCodes(codes=changes.tax_codes),
        trial_days=changes.trial_days,
    )
    if changes.without_minimum:
        message.without_minimum_commitment = True
    return message


def currency_of(request: overrides_pb2.CreatePlanOverrideRequest, base: PlanVersion) -> str:
    """The base version's, which the request may name. Raises InvalidArgument CURRENCY_MISMATCH."""
    if request.currency_code and request.currency_code != base.currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"currency_code is {request.currency_code[:64]!r}; version {base.version} of plan {base.plan_code} is in"
            f" {base.currency}",
            field="currency_code",
        )
    return base.currency


def require_consistent(version: PlanVersion) -> None:
    """That changed prices fit their charges, and the phases that the base version has. Raises InvalidArgument."""
    for charge in version.charges:
        require_valid(charge, "changes.prices")
    require_applicable(version.charges, version.phases, "changes.prices")
    require_no_minimum(version, "changes.minimum_commitment")
