"""The services' side of each kind: what they have, what they would make of an element, and making it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from cli.catalog.difference import Change, Messages
from cli.catalog.kinds import ADD_ON, COUPON, EXPERIMENT, FEATURE, METER, OVERRIDE, PLAN, TAX, Kind
from cli.connection import Connection, pages
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import addons_pb2, coupons_pb2, experiments_pb2, features_pb2, overrides_pb2, pricing_pb2

Planned: TypeAlias = Mapping[str, pricing_pb2.PlanVersion]
"""What the file says of plans, by their code."""


class Side(Protocol):
    @property
    def kind(self) -> Kind: ...

    async def existing(self, services: Connection) -> Mapping[str, Messages]:
        """By code."""

    async def checked(self, services: Connection, messages: Messages, planned: Planned) -> Messages:
        """How the service would record them. Raises BillingError, with every wrong field; writes nothing."""

    async def apply(self, services: Connection, change: Change, messages: Messages, request_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """A kind of one message, with the usual methods: CreateTax, ListTaxes, UpdateTax for the `noun` Tax."""

    kind: Kind
    service: str
    contract: ModuleType
    noun: str

    async def existing(self, services: Connection) -> Mapping[str, Messages]:
        listing = "".join(part.capitalize() for part in self.kind.key.split("_"))

        def fetch(token: str) -> Any:
            return self._call(services, f"List{listing}", page_token=token)

        return {self.kind.name_of(each): (each,) for each in await pages(fetch, self.kind.key)}

    async def checked(self, services: Connection, messages: Messages, planned: Planned) -> Messages:
        response = await self._create(services, messages, NO_REQUEST, validate_only=True)
        return (getattr(response, self._field),)

    async def apply(self, services: Connection, change: Change, messages: Messages, request_id: str) -> None:
        if change.action == "create":
            await self._create(services, messages, request_id, validate_only=False)
        else:
            mask = FieldMask(paths=sorted({each.field.partition(".")[0] for each in change.fields}))
            await self._call(services, f"Update{self.noun}", **{self._field: messages[0]}, update_mask=mask)

    async def _create(self, services: Connection, messages: Messages, request_id: str, *, validate_only: bool) -> Any:
        fields = {"request_id": request_id, self._field: messages[0], "validate_only": validate_only}
        return await self._call(services, f"Create{self.noun}", **fields)

    async def _call(self, services: Connection, method: str, **fields: Any) -> Any:
        request: Message = getattr(self.contract, f"{method}Request")(**fields)
        return await getattr(getattr(services, self.service), method)(request)

    @property
    def _field(self) -> str:
        return self.kind.name


@dataclass(frozen=True, slots=True)
class Plans:
    """A plan is renamed in place; one that costs something else gets a new version."""

    kind: Kind = PLAN

    async def existing(self, services: Connection) -> Mapping[str, Messages]:
        def fetch(token: str) -> Any:
            return services.pricing.ListPlans(pricing_pb2.ListPlansRequest(page_token=token))

        return {plan.code: (plan, plan.latest_version) for plan in await pages(fetch, "plans")}

    async def checked(self, services: Connection, messages: Messages, planned: Planned) -> Messages:
        plan, version = _plan(messages)
        request = pricing_pb2.CreatePlanRequest(request_id=NO_REQUEST, plan=plan, version=version, validate_only=True)
        made = (await services.pricing.CreatePlan(request)).plan
        return made, made.latest_version

    async def apply(self, services: Connection, change: Change, messages: Messages, request_id: str) -> None:
        plan, version = _plan(messages)
        if change.action == "create":
            request = pricing_pb2.CreatePlanRequest(request_id=request_id, plan=plan, version=version)
            await services.pricing.CreatePlan(request)
            return
        if renamed := [each.field for each in change.fields if each.field in self.kind.updatable]:
            update = pricing_pb2.UpdatePlanRequest(plan=plan, update_mask=FieldMask(paths=renamed))
            await services.pricing.UpdatePlan(update)
        if change.action == "new_version":
            await services.pricing.CreatePlanVersion(
                pricing_pb2.CreatePlanVersionRequest(
                    request_id=request_id, plan_code=change.code, base_version=change.version - 1, version=version
                )
            )


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is different for a subscription gets a new version, which it has when it is moved there."""

    kind: Kind = OVERRIDE

    async def existing(self, services: Connection) -> Mapping[str, Messages]:
        def fetch(token: str) -> Any:
            return services.overrides.ListOverrides(overrides_pb2.ListOverridesRequest(page_token=token))

        return {self.kind.name_of(each): (each, each.changes) for each in await pages(fetch, "overrides")}

    async def checked(self, services: Connection, messages: Messages, planned: Planned) -> Messages:
        request = self._request(messages, NO_REQUEST)
        request.validate_only = True
        if (base := planned.get(request.plan_code)) is not None:
            request.base.CopyFrom(base)
        override = (await services.overrides.CreatePlanOverride(request)).override
        return override, override.changes

    async def apply(self, services: Connection, change: Change, messages: Messages, request_id: str) -> None:
        await services.overrides.CreatePlanOverride(self._request(messages, request_id))

    def _request(self, messages: Messages, request_id: str) -> overrides_pb2.CreatePlanOverrideRequest:
        override, changes = messages
        assert isinstance(override, overrides_pb2.PlanOverride)
        assert isinstance(changes, overrides_pb2.PlanChanges)
        return overrides_pb2.CreatePlanOverrideRequest(
            request_id=request_id,
            plan_code=override.plan_code,
            base_version=override.base_version,
            subscription_id=override.subscription_id,
            currency_code=override.currency_code,
            changes=changes,
        )


def _plan(messages: Messages) -> tuple[pricing_pb2.Plan, pricing_pb2.PlanVersion]:
    plan, version = messages
    assert isinstance(plan, pricing_pb2.Plan)
    assert isinstance(version, pricing_pb2.PlanVersion)
    return plan, version


NO_REQUEST = "00000000-0000-0000-0000-000000000000"
"""The request_id of what is only checked."""

SIDES: Mapping[Kind, Side] = {
    side.kind: side
    for side in (
        Plain(METER, "metering", metering_pb2, "Meter"),
        Plain(TAX, "pricing", pricing_pb2, "Tax"),
        Plain(ADD_ON, "add_ons", addons_pb2, "AddOn"),
        Plain(FEATURE, "features", features_pb2, "Feature"),
        Plans(),
        Plain(COUPON, "coupons", coupons_pb2, "Coupon"),
        Plain(EXPERIMENT, "experiments", experiments_pb2, "Experiment"),
        Overrides(),
    )
}
