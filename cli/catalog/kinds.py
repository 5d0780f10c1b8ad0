"""What a catalog file can hold. A kind's elements are messages of the contract, their keys the names of its fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from weir.metering.v1.metering_pb2 import Meter
from weir.pricing.v1.addons_pb2 import AddOn
from weir.pricing.v1.coupons_pb2 import Coupon
from weir.pricing.v1.experiments_pb2 import Experiment
from weir.pricing.v1.features_pb2 import Feature
from weir.pricing.v1.overrides_pb2 import PlanChanges, PlanOverride
from weir.pricing.v1.pricing_pb2 import Plan, PlanVersion, Tax


@dataclass(frozen=True, slots=True)
class Kind:
    """`key` is the list in the file. An element is the fields of all `messages` together, which have no name in common
    but those that the server sets. `updatable` fields can change; `instead` says what to do about the others. Elements
    that are `versioned` are never changed: what is different gets a new version. `identity` has the fields by which
    elements are told apart.
    """

    name: str
    key: str
    messages: tuple[type[Message], ...]
    updatable: tuple[str, ...]
    instead: str = "give the new one another code"
    versioned: bool = False
    identity: tuple[str, ...] = ("code",)

    def name_of(self, element: Any) -> str:
        """Its code, or what it has instead, one after the other: of a table, or of a message."""
        read = element.__getitem__ if isinstance(element, dict) else partial(getattr, element)
        return " ".join(read(field) for field in self.identity)

    @property
    def descriptors(self) -> Sequence[Descriptor]:
        return [message.DESCRIPTOR for message in self.messages]  # type: ignore[misc]


METER = Kind(
    "meter", "meters", (Meter,), ("name", "description"), "make a version of it, or give the new one another code"
)
TAX = Kind("tax", "taxes", (Tax,), ("name", "rate_percent", "tenant_default"))
ADD_ON = Kind("add_on", "add_ons", (AddOn,), ("name", "description", "amount", "tax_codes", "tax_inclusive"))
FEATURE = Kind("feature", "features", (Feature,), ("name", "description", "privileges"))
PLAN = Kind("plan", "plans", (Plan, PlanVersion), ("name", "description"), versioned=True)
OVERRIDE = Kind(
    "override", "overrides", (PlanOverride, PlanChanges), (), versioned=True, identity=("plan_code", "subscription_id")
)
EXPERIMENT = Kind("experiment", "experiments", (Experiment,), ("name", "end_time"))
COUPON = Kind("coupon", "coupons", (Coupon,), ("name", "expire_time"))

KINDS = (METER, TAX, ADD_ON, FEATURE, PLAN, COUPON, EXPERIMENT, OVERRIDE)
"""In the order in which they are applied: what is named comes before what names it."""

REFERENCES = {
    "meter_code": METER,
    "meter_codes": METER,
    "tax_codes": TAX,
    "codes": TAX,
    "add_on_code": ADD_ON,
    "feature_code": FEATURE,
    "plan_code": PLAN,
    "plan_codes": PLAN,
}
"""Fields, of whatever message, that name an element of a kind."""
