"""The services that invoicing calls: metering for usage, pricing for prices, payments for the money.

Each call carries a key of the tenant it is for. Raises the peers' errors, and Unavailable where one is away.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from libs.common.credentials import Issuer
from libs.common.errors import FailedPrecondition, NotFound
from libs.common.money import Money
from libs.common.rpc.client import credential
from libs.common.wire import money_out, timestamp_out
from services.invoicing import convert
from services.invoicing.domain.advance_fee import Advance, EventCharge, Step
from services.invoicing.domain.coupon import Coupon
from services.invoicing.domain.credit_note import RefundRequest
from services.invoicing.domain.fixed_charge import FixedUnits
from services.invoicing.domain.invoice import HandOver
from services.invoicing.domain.line import RatedUsage
from services.invoicing.domain.one_off import AddOn
from services.invoicing.domain.plan import Charge, PlanVersion
from services.invoicing.domain.question import LateQuestion, UsageQuestion
from services.invoicing.domain.tax import Taxes
from weir.metering.v1 import archive_pb2, clocks_pb2, late_usage_pb2, metering_pb2
from weir.payments.v1 import payments_pb2, refunds_pb2
from weir.pricing.v1 import addons_pb2, coupons_pb2, pricing_pb2, taxes_pb2, thresholds_pb2

if TYPE_CHECKING:
    from weir.metering.v1.archive_pb2_grpc import ArchiveServiceAsyncStub
    from weir.metering.v1.clocks_pb2_grpc import ClockServiceAsyncStub
    from weir.metering.v1.event_charges_pb2_grpc import EventChargeServiceAsyncStub
    from weir.metering.v1.late_usage_pb2_grpc import LateUsageServiceAsyncStub
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub
    from weir.payments.v1.payments_pb2_grpc import PaymentsServiceAsyncStub
    from weir.payments.v1.refunds_pb2_grpc import RefundServiceAsyncStub
    from weir.pricing.v1.addons_pb2_grpc import AddOnServiceAsyncStub
    from weir.pricing.v1.coupons_pb2_grpc import CouponServiceAsyncStub
    from weir.pricing.v1.pricing_pb2_grpc import PricingServiceAsyncStub
    from weir.pricing.v1.taxes_pb2_grpc import TaxServiceAsyncStub
    from weir.pricing.v1.thresholds_pb2_grpc import ThresholdServiceAsyncStub

PLAN_VERSIONS_KEPT = 4096
METERS_KEPT = 4096
_ADDITIVE = (metering_pb2.Meter.AGGREGATION_COUNT, metering_pb2.Meter.AGGREGATION_SUM)
_PAYMENT_REQUESTS = uuid.UUID("5d2f0a3e-9c41-4f0e-8b0f-6f1f3c1f7a52")

Quantities: TypeAlias = Sequence[pricing_pb2.ChargeQuantity]
"""What a subscription used, by charge, filter and group."""

MAX_CODES = 1000
"""As many taxes does pricing tell at once."""

MAX_QUERIES = 10_000
"""As many does metering take at once."""

MAX_RATES = 10_000
MAX_ADD_ONS = 1_000
"""As many does pricing take at once."""


class Peers:
    def __init__(
        self,
        metering: "MeteringServiceAsyncStub",
        archive: "ArchiveServiceAsyncStub",
        clocks: "ClockServiceAsyncStub",
        late_usage: "LateUsageServiceAsyncStub",
        pricing: "PricingServiceAsyncStub",
        taxes: "TaxServiceAsyncStub",
        coupons: "CouponServiceAsyncStub",
        add_ons: "AddOnServiceAsyncStub",
        thresholds: "ThresholdServiceAsyncStub",
        event_charges: "EventChargeServiceAsyncStub",
        payments: "PaymentsServiceAsyncStub",
        refunds: "RefundServiceAsyncStub",
        issuer: Issuer,
    ) -> None:
        self._metering = metering
        self._archive = archive
        self._clocks = clocks
        self._late_usage = late_usage
        self._pricing = pricing
        self._taxes = taxes
        self._coupons = coupons
        self._add_ons = add_ons
        self._thresholds = thresholds
        self._event_charges = event_charges
        self._payments = payments
        self._refunds = refunds
        self._issuer = issuer
        self._plan_versions: dict[tuple[str, str, int], PlanVersion] = {}
        self._meters: dict[tuple[str, str], metering_pb2.Meter] = {}

    async def latest_version(self, tenant_id: str, plan_code: str) -> PlanVersion:
        """Raises NotFound PLAN_NOT_FOUND, and FailedPrecondition PLAN_NOT_ACTIVE or PLAN_UNSUPPORTED."""
        request = pricing_pb2.GetPlanRequest(code=plan_code)
        response = await self._pricing.GetPlan(request, metadata=self._key(tenant_id))
        return await self._sellable(tenant_id, convert.latest_version_in(response.plan))

    async def sold_version(self, tenant_id: str, plan_code: str, version: int, subscription_id: str) -> PlanVersion:
        """Raises NotFound PLAN_VERSION_NOT_FOUND, and FailedPrecondition PLAN_NOT_ACTIVE or PLAN_UNSUPPORTED."""
        request = pricing_pb2.GetPlanVersionRequest(plan_code=plan_code, version=version)
        response = await self._pricing.GetPlanVersion(request, metadata=self._key(tenant_id))
        return await self._sellable(tenant_id, convert.sold_version_in(response.version, subscription_id))

    async def _sellable(self, tenant_id: str, plan: PlanVersion) -> PlanVersion:
        """Raises FailedPrecondition PLAN_UNSUPPORTED for units in advance that go on into the next period, and NotFound
        METER_NOT_FOUND.
        """
        for charge in plan.advance_charges:
            if (await self._meter(tenant_id, charge.meter_code)).recurring:
                raise FailedPrecondition(
                    "PLAN_UNSUPPORTED",
                    f"charge {charge.code} is in advance and meter {charge.meter_code} recurring, which can't be"
                    " invoiced yet",
                    plan_code=plan.plan_code,
                    version=str(plan.version),
                    fields=f"charges.{charge.code}.in_advance",
                )
        charges = [replace(each, is_carried=await self._is_carried(tenant_id, each)) for each in plan.charges]
        return replace(plan, charges=tuple(charges))

    async def _is_carried(self, tenant_id: str, charge: Charge) -> bool:
        """Of a meter that there is not yet, nothing has gone on from any period."""
        try:
            return not charge.split.prorated and (await self._meter(tenant_id, charge.meter_code)).recurring
        except NotFound:
            return False

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

    async def add_ons(self, tenant_id: str, codes: Iterable[str]) -> dict[str, AddOn]:
        """As they are now, by code. Raises NotFound ADD_ON_NOT_FOUND."""
        wanted = sorted(codes)
        if not wanted:
            return {}
        request = addons_pb2.BatchGetAddOnsRequest(codes=wanted)
        response = await self._add_ons.BatchGetAddOns(request, metadata=self._key(tenant_id))
        return {each.code: convert.add_on_in(each) for each in response.add_ons}

    async def coupon(self, tenant_id: str, code: str) -> Coupon:
        """As it is now. Raises NotFound COUPON_NOT_FOUND."""
        request = coupons_pb2.GetCouponRequest(code=code)
        response = await self._coupons.GetCoupon(request, metadata=self._key(tenant_id))
        return convert.coupon_in(response.coupon)

    async def usage(
        self, tenant_id: str, questions: Sequence[UsageQuestion], watermark: int = 0
    ) -> tuple[list[Quantities], int]:
        """What each subscription used in its period under its plan, as recorded at `watermark`, or now (0); and the
        watermark common to all answers, 0 when there is nothing to ask. Raises NotFound METER_NOT_FOUND,
        InvalidArgument DIMENSION_UNKNOWN or PRORATION_UNSUPPORTED, and FailedPrecondition HOURS_NOT_ADDITIVE.
        """
        await self._require_hours_add_up(tenant_id, questions)
        queries = [query for each in questions for query in convert.usage_queries(each)]
        answers: list[metering_pb2.GetUsageResponse] = []
        for first in range(0, len(queries), MAX_QUERIES):
            chunk = queries[first : first + MAX_QUERIES]
            request = metering_pb2.BatchGetUsageRequest(queries=chunk, watermark=watermark)
            response = await self._metering.BatchGetUsage(request, metadata=self._key(tenant_id))
            answers += response.answers
            watermark = response.watermark
        answered = iter(answers)
        return [list(convert.quantities_in(each, answered)) for each in questions], watermark

    async def _require_hours_add_up(self, tenant_id: str, questions: Iterable[UsageQuestion]) -> None:
        """Raises FailedPrecondition HOURS_NOT_ADDITIVE: what is no count or sum can't be split by time of day."""
        asked = {
            charge.meter_code
            for each in questions
            for split in each.splits
            if split.hours
            for charge in each.splits[split]
        }
        for code in sorted(asked):
            meter = await self._meter(tenant_id, code)
            if meter.recurring or meter.aggregation not in _ADDITIVE:
                raise FailedPrecondition(
                    "HOURS_NOT_ADDITIVE",
                    f"meter {code} does not add up by the hour: it can't be priced by time of day",
                    meter_code=code,
                )

    async def _meter(self, tenant_id: str, code: str) -> metering_pb2.Meter:
        """Asked once and kept: how a meter adds up never changes."""
        if (kept := self._meters.get((tenant_id, code))) is not None:
            return kept
        request = metering_pb2.GetMeterRequest(code=code)
        response = await self._metering.GetMeter(request, metadata=self._key(tenant_id))
        if len(self._meters) >= METERS_KEPT:
            self._meters.pop(next(iter(self._meters)))
        self._meters[tenant_id, code] = response.meter
        return response.meter

    async def late_usage(
        self, tenant_id: str, questions: Sequence[LateQuestion], watermark: int
    ) -> tuple[dict[str, datetime], int]:
        """The time of the first event that has changed, for the subscriptions that have one, by id; and the watermark
        of the answer: that which was asked for, or now (0). Raises FailedPrecondition USAGE_ARCHIVED.
        """
        found: dict[str, datetime] = {}
        for first in range(0, len(questions), MAX_QUERIES):
            chunk = questions[first : first + MAX_QUERIES]
            asked = [
                late_usage_pb2.LateUsageQuestion(
                    subscription_id=each.subscription_id,
                    since_watermark=each.since_watermark,
                    before_time=timestamp_out(each.before_time),
                )
                for each in chunk
            ]
            request = late_usage_pb2.BatchFindLateUsageRequest(questions=asked, watermark=watermark)
            response = await self._late_usage.BatchFindLateUsage(request, metadata=self._key(tenant_id))
            watermark = response.watermark
            for question, answer in zip(chunk, response.answers, strict=True):
                if answer.usages:
                    first_time = min(each.first_time.ToDatetime(UTC) for each in answer.usages)
                    found[question.subscription_id] = first_time
        return found, watermark

    async def set_billed_until(self, tenant_id: str, end: datetime) -> None:
        """All usage of the tenant before is billed: metering may archive its events. Asking again is safe."""
        request = archive_pb2.SetBilledUntilRequest(billed_end_time=timestamp_out(end))
        await self._archive.SetBilledUntil(request, metadata=self._key(tenant_id))

    async def set_test_clock(self, tenant_id: str, furthest: datetime) -> None:
        """Events up to there are to be taken. Asking again is safe, in any order."""
        request = clocks_pb2.SetTestClockRequest(now=timestamp_out(furthest))
        await self._clocks.SetTestClock(request, metadata=self._key(tenant_id))

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

    async def event_charges(self, tenant_id: str, of: Advance, watermark: int, since: int) -> list[EventCharge]:
        """What events add to a charge in advance, in the order of recording: those after `since`, or all where the
        price takes them. Raises NotFound METER_NOT_FOUND, and InvalidArgument IN_ADVANCE_UNSUPPORTED.
        """
        request = convert.event_charges_query(of, watermark, since)
        response = await self._event_charges.GetEventCharges(request, metadata=self._key(tenant_id))
        return convert.event_charges_in(response.charges)

    async def rate_steps(
        self, tenant_id: str, plan: PlanVersion, of: Advance, steps: Sequence[Step]
    ) -> list[tuple[RatedUsage, RatedUsage]]:
        """What a charge costs before each step, and after it."""
        asked = [(step, quantity) for step in steps for quantity in convert.step_out(of, step)]
        found: list[RatedUsage] = []
        for first in range(0, len(asked), MAX_RATES):
            requests = [
                pricing_pb2.RateRequest(
                    plan_code=plan.plan_code, version=plan.version, quantities=[quantity], told_only=True
                )
                for _, quantity in asked[first : first + MAX_RATES]
            ]
            request = pricing_pb2.BatchRateRequest(requests=requests)
            response = await self._pricing.BatchRate(request, metadata=self._key(tenant_id))
            for (step, _), answer in zip(asked[first : first + MAX_RATES], response.responses, strict=True):
                found.append(convert.rated_step_in(step, answer.charges))
        return list(zip(found[::2], found[1::2], strict=True))

    async def add_on_names(self, tenant_id: str, codes: Iterable[str]) -> dict[str, str]:
        """As they are now, by code."""
        wanted, names = sorted(codes), dict[str, str]()
        for first in range(0, len(wanted), MAX_ADD_ONS):
            request = addons_pb2.BatchGetAddOnsRequest(codes=wanted[first : first + MAX_ADD_ONS])
            response = await self._add_ons.BatchGetAddOns(request, metadata=self._key(tenant_id))
            names |= {each.code: each.name for each in response.add_ons}
        return names

    async def create_payment(self, invoice: HandOver) -> None:
        """Asking again is safe: the request's id is derived from the invoice and its version (law 7)."""
        version = f"/{invoice.version}" if invoice.version else ""
        request = payments_pb2.CreatePaymentRequest(
            request_id=str(uuid.uuid5(_PAYMENT_REQUESTS, f"{invoice.tenant_id}/{invoice.invoice_id}{version}")),
            invoice_id=invoice.invoice_id,
            invoice_number=invoice.number,
            customer_id=invoice.customer_id,
            amount=money_out(invoice.amount_due),
            version=invoice.version,
        )
        await self._payments.CreatePayment(request, metadata=self._key(invoice.tenant_id))

    async def cancel_payment(self, invoice: HandOver) -> None:
        """Have payments give the invoice back. Raises FailedPrecondition PAYMENT_UNDER_WAY."""
        request = payments_pb2.CancelPaymentRequest(
            invoice_id=invoice.invoice_id,
            invoice_number=invoice.number,
            customer_id=invoice.customer_id,
            amount=money_out(invoice.amount_due),
            version=invoice.version,
        )
        await self._payments.CancelPayment(request, metadata=self._key(invoice.tenant_id))

    async def create_refund(self, refund: RefundRequest) -> None:
        """Asking again is safe: a credit note has one refund. Raises FailedPrecondition REFUND_EXCEEDS_PAID."""
        request = refunds_pb2.CreateRefundRequest(
            request_id=str(uuid.uuid5(_PAYMENT_REQUESTS, f"{refund.tenant_id}/{refund.credit_note_id}")),
            invoice_id=refund.invoice_id,
            amount=money_out(refund.amount),
            credit_note_id=refund.credit_note_id,
        )
        await self._refunds.CreateRefund(request, metadata=self._key(refund.tenant_id))

    def _key(self, tenant_id: str) -> tuple[tuple[str, str], ...]:
        return credential(self._issuer.internal_key(tenant_id))
