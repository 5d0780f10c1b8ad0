"""Pricing: plan versions, what usage costs under them, and what else the catalog has."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import grpc

from libs.common.money import Money
from libs.common.wire import money_out
from services.invoicing import convert
from services.invoicing.domain.advance_fee import Advance, Step
from services.invoicing.domain.coupon import Coupon
from services.invoicing.domain.fixed_charge import FixedUnits
from services.invoicing.domain.line import RatedUsage
from services.invoicing.domain.one_off import AddOn
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.tax import Taxes
from services.invoicing.peers.keys import Keys
from weir.pricing.v1 import addons_pb2, coupons_pb2, pricing_pb2, taxes_pb2, thresholds_pb2
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub
from weir.pricing.v1.coupons_pb2_grpc import CouponServiceStub
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from weir.pricing.v1.taxes_pb2_grpc import TaxServiceStub
from weir.pricing.v1.thresholds_pb2_grpc import ThresholdServiceStub

PLAN_VERSIONS_KEPT = 4096

Quantities: TypeAlias = Sequence[pricing_pb2.ChargeQuantity]
"""What a subscription used, by charge, filter and group."""

MAX_CODES = 1000
"""As many taxes does pricing tell at once."""

MAX_RATES = 10_000
MAX_ADD_ONS = 1_000
"""As many does pricing take at once."""


class Pricing:
    def __init__(self, channel: grpc.aio.Channel, keys: Keys) -> None:
        self._pricing = PricingServiceStub(channel)
        self._taxes = TaxServiceStub(channel)
        self._coupons = CouponServiceStub(channel)
        self._add_ons = AddOnServiceStub(channel)
        self._thresholds = ThresholdServiceStub(channel)
        self._key = keys.of
        self._plan_versions: dict[tuple[str, str, int], PlanVersion] = {}

    async def latest_version(self, tenant_id: str, plan_code: str) -> PlanVersion:
        """Raises NotFound PLAN_NOT_FOUND, and FailedPrecondition PLAN_NOT_ACTIVE or PLAN_UNSUPPORTED."""
        request = pricing_pb2.GetPlanRequest(code=plan_code)
        response = await self._pricing.GetPlan(request, metadata=self._key(tenant_id))
        return convert.latest_version_in(response.plan)

    async def sold_version(self, tenant_id: str, plan_code: str, version: int, subscription_id: str) -> PlanVersion:
        """Raises NotFound PLAN_VERSION_NOT_FOUND, and FailedPrecondition PLAN_NOT_ACTIVE or PLAN_UNSUPPORTED."""
        request = pricing_pb2.GetPlanVersionRequest(plan_code=plan_code, version=version)
        response = await self._pricing.GetPlanVersion(request, metadata=self._key(tenant_id))
        return convert.sold_version_in(response.version, subscription_id)

    async def plan_version(self, tenant_id: str, plan_code: str, version: int) -> PlanVersion:
        """Asked once and kept: a plan version never changes.

        Raises NotFound PLAN_VERSION_NOT_FOUND.
        """
        key = tenant_id, plan_code, version
        if (kept := self._plan_versions.get(key)) is not None:
            return kept
        request = pricing_pb2.GetPlanVersionRequest(plan_code=plan_code, version=version)
        response = await self._pricing.GetPlanVersion(request, metadata=self._key(tenant_id))
        if len(self._plan_versions) >= PLAN_VERSIONS_KEPT:
            self._plan_versions.pop(next(iter(self._plan_versions)))
        self._plan_versions[key] = found = convert.plan_version_in(response.version)
        return found

    async def taxes(self, tenant_id: str, codes: Iterable[str]) -> Taxes:
        """As they are now, with the tenant's defaults. Raises NotFound TAX_NOT_FOUND."""
        wanted = sorted(codes)
        found: list[pricing_pb2.Tax] = []
        for first in range(0, len(wanted) or 1, MAX_CODES):
            request = taxes_pb2.BatchGetTaxesRequest(codes=wanted[first : first + MAX_CODES])
            response = await self._taxes.BatchGetTaxes(request, metadata=self._key(tenant_id))
            found += response.taxes
        return convert.taxes_in(found, response.default_taxes)

    async def coupon(self, tenant_id: str, code: str) -> Coupon:
        """As it is now. Raises NotFound COUPON_NOT_FOUND."""
        request = coupons_pb2.GetCouponRequest(code=code)
        response = await self._coupons.GetCoupon(request, metadata=self._key(tenant_id))
        return convert.coupon_in(response.coupon)

    async def add_ons(self, tenant_id: str, codes: Iterable[str]) -> dict[str, AddOn]:
        """As they are now, by code. Raises NotFound ADD_ON_NOT_FOUND."""
        wanted, found = sorted(codes), dict[str, AddOn]()
        for first in range(0, len(wanted), MAX_ADD_ONS):
            request = addons_pb2.BatchGetAddOnsRequest(codes=wanted[first : first + MAX_ADD_ONS])
            response = await self._add_ons.BatchGetAddOns(request, metadata=self._key(tenant_id))
            found |= {each.code: convert.add_on_in(each) for each in response.add_ons}
        return found

    async def rate(
        self, tenant_id: str, questions: Sequence[tuple[PlanVersion | None, Quantities, tuple[int, int]]]
    ) -> list[list[RatedUsage]]:
        """Every charge of each plan, in its order, for what was used, in so many days of a period's. Nothing is
        asked without a plan, or for one without charges.
        """
        requests = [
            pricing_pb2.RateRequest(
                plan_code=plan.plan_code,
                version=plan.version,
                quantities=used,
                proration=None if days == period_days else pricing_pb2.Proration(days=days, period_days=period_days),
                contract_month=plan.contract_month,
            )
            for plan, used, (days, period_days) in questions
            if plan and plan.charges
        ]
        if not requests:
            return [[] for _ in questions]
        request = pricing_pb2.BatchRateRequest(requests=requests)
        response = await self._pricing.BatchRate(request, metadata=self._key(tenant_id))
        answers = iter(response.responses)
        return [
            convert.rated_usages_in(plan, next(answers).charges) if plan and plan.charges else []
            for plan, _, _ in questions
        ]

    async def rate_fixed(
        self, tenant_id: str, questions: Sequence[tuple[PlanVersion, Sequence[FixedUnits]]]
    ) -> list[list[RatedUsage]]:
        """Fixed charges of each plan version, in the order asked. Nothing is asked where there are none."""
        requests = [
            pricing_pb2.RateRequest(
                plan_code=plan.plan_code,
                version=plan.version,
                fixed_charges=[convert.fixed_units_out(each) for each in units],
                told_only=True,
                contract_month=0 if plan.ramps else None,  # which their prices do not depend on
            )
            for plan, units in questions
            if units
        ]
        if not requests:
            return [[] for _ in questions]
        request = pricing_pb2.BatchRateRequest(requests=requests)
        response = await self._pricing.BatchRate(request, metadata=self._key(tenant_id))
        answers = iter(response.responses)
        return [
            [convert.rated_usage_in(charge) for charge in next(answers).fixed_charges] if units else []
            for _, units in questions
        ]

    async def rate_steps(
        self, tenant_id: str, plan: PlanVersion, of: Advance, steps: Sequence[Step]
    ) -> list[tuple[RatedUsage, RatedUsage]]:
        """What a charge costs before each step, and after it."""
        asked = [(step, quantity) for step in steps for quantity in convert.step_out(of, step)]
        found: list[RatedUsage] = []
        for first in range(0, len(asked), MAX_RATES):
            requests = [
                pricing_pb2.RateRequest(
                    plan_code=plan.plan_code,
                    version=plan.version,
                    quantities=[quantity],
                    told_only=True,
                    contract_month=of.contract_month,
                )
                for _, quantity in asked[first : first + MAX_RATES]
            ]
            request = pricing_pb2.BatchRateRequest(requests=requests)
            response = await self._pricing.BatchRate(request, metadata=self._key(tenant_id))
            for (step, _), answer in zip(asked[first : first + MAX_RATES], response.responses, strict=True):
                found.append(convert.rated_step_in(step, answer.charges))
        return list(zip(found[::2], found[1::2], strict=True))

    async def passes_threshold(
        self, tenant_id: str, plan_code: str, version: int, current: Money, billed: Money, invoiced: Money
    ) -> bool:
        """Whether usage has passed a threshold since it was `billed` progressively: `current` is that of a period, with
        what of it was billed, `invoiced` that of the periods before.
        """
        request = thresholds_pb2.QueryPassedThresholdsRequest(
            plan_code=plan_code,
            version=version,
            current_usage=money_out(current),
            progressively_billed=money_out(billed),
            invoiced_usage=money_out(invoiced),
        )
        response = await self._thresholds.QueryPassedThresholds(request, metadata=self._key(tenant_id))
        return bool(response.thresholds)
