"""Protobuf to domain (`_in`, which validate and name the wrong field) and back (`_out`)."""

from services.pricing.convert.plans import plan_change_in, plan_in, plan_out
from services.pricing.convert.rating import (
    month_in,
    proration_in,
    question_in,
    rated_out,
    require_batch,
    usages_in,
)
from services.pricing.convert.taxes import tax_change_in, tax_in, tax_out
from services.pricing.convert.versions import (
    made_state,
    version_in,
    version_number_in,
    version_out,
    versions_page_in,
)

__all__ = [
    "made_state",
    "month_in",
    "plan_change_in",
    "plan_in",
    "plan_out",
    "proration_in",
    "question_in",
    "rated_out",
    "require_batch",
    "tax_change_in",
    "tax_in",
    "tax_out",
    "usages_in",
    "version_in",
    "version_number_in",
    "version_out",
    "versions_page_in",
]
