"""What is different for one subscription, on the wire."""

from services.pricing.convert.charges import require_valid
from services.pricing.convert.collected import read_fields
from services.pricing.convert.commitments import commitment_in, thresholds_in
from services.pricing.convert.described import charged_in, tax_codes_in
from services.pricing.convert.phases import changes_in, require_applicable
from services.pricing.convert.versions import trial_days_in
from services.pricing.domain.overrides import PlanChanges
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


def require_consistent(version: PlanVersion) -> None:
    """That changed prices fit their charges, and the phases that the base version has. Raises InvalidArgument."""
    for charge in version.charges:
        require_valid(charge, "changes.prices")
    require_applicable(version.charges, version.phases, "changes.prices")
