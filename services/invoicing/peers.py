"""The services that invoicing calls: metering for usage, pricing for prices, payments for the money.

Each call carries a key of the tenant it is for. Raises the peers' errors, and Unavailable where one is away.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from libs.common.credentials import Issuer
from libs.common.rpc.client import credential
from libs.common.wire import money_out, period_out, timestamp_out
from services.invoicing import convert
from services.invoicing.domain.bill import Tax
from services.invoicing.domain.credit_note import RefundRequest
from services.invoicing.domain.invoice import HandOver
from services.invoicing.domain.line import RatedUsage
from services.invoicing.domain.period import Period
from services.invoicing.domain.plan import Charge, PlanVersion, Split, UsagePart
from services.invoicing.domain.schedule import Schedule
from weir.metering.v1 import archive_pb2, metering_pb2
from weir.payments.v1 import payments_pb2, refunds_pb2
from weir.pricing.v1 import pricing_pb2

if TYPE_CHECKING:
    from weir.metering.v1.archive_pb2_grpc import ArchiveServiceAsyncStub
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub
    from weir.payments.v1.payments_pb2_grpc import PaymentsServiceAsyncStub
    from weir.payments.v1.refunds_pb2_grpc import RefundServiceAsyncStub
    from weir.pricing.v1.pricing_pb2_grpc import PricingServiceAsyncStub

PLAN_VERSIONS_KEPT = 4096
_PAYMENT_REQUESTS = uuid.UUID("5d2f0a3e-9c41-4f0e-8b0f-6f1f3c1f7a52")

Quantities: TypeAlias = Sequence[pricing_pb2.ChargeQuantity]
"""What a subscription used, by charge, filter and group."""

MAX_QUERIES = 10_000
"""As many does metering take at once."""


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """What a subscription used in a period under a plan; without a plan, nothing is asked."""

    subscription_id: str
    plan: PlanVersion | None
    period: Period
    schedule: Schedule

    @property
    def splits(self) -> Mapping[Split, list[Charge]]:
        return self.plan.by_split if self.plan else {}


class Peers:
    def __init__(
        self,
        metering: "MeteringServiceAsyncStub",
        archive: "ArchiveServiceAsyncStub",
        pricing: "PricingServiceAsyncStub",
        payments: "PaymentsServiceAsyncStub",
        refunds: "RefundServiceAsyncStub",
        issuer: Issuer,
    ) -> None:
        self._metering = metering
        self._archive = archive
        self._pricing = pricing
        self._payments = payments
        self._refunds = refunds
        self._issuer = issuer
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

    async def taxes(self, tenant_id: str, codes: Iterable[str]) -> dict[str, Tax]:
        """As they are now, by code. Raises NotFound TAX_NOT_FOUND."""
        found = {}
        for code in codes:
            request = pricing_pb2.GetTaxRequest(code=code)
            response = await self._pricing.GetTax(request, metadata=self._key(tenant_id))
            found[code] = convert.tax_in(response.tax)
        return found

    async def usage(
        self, tenant_id: str, questions: Sequence[UsageQuestion], watermark: int = 0
    ) -> tuple[list[Quantities], int]:
        """What each subscription used in its period under its plan, as recorded at `watermark`, or now (0); and the
        watermark common to all answers, 0 when there is nothing to ask. Raises NotFound METER_NOT_FOUND, and
        InvalidArgument DIMENSION_UNKNOWN.
        """
        queries = [
            _query(each.subscription_id, split, charges, each.period, each.schedule)
            for each in questions
            for split, charges in each.splits.items()
        ]
        answers: list[metering_pb2.GetUsageResponse] = []
        for first in range(0, len(queries), MAX_QUERIES):
            chunk = queries[first : first + MAX_QUERIES]
            request = metering_pb2.BatchGetUsageRequest(queries=chunk, watermark=watermark)
            response = await self._metering.BatchGetUsage(request, metadata=self._key(tenant_id))
            answers += response.answers
            watermark = response.watermark
        answered = iter(answers)
        return [
            [
                quantity
                for charges in each.splits.values()
                for quantity in convert.quantities_out(charges, next(answered))
            ]
            for each in questions
        ], watermark

    async def set_billed_until(self, tenant_id: str, end: datetime) -> None:
        """All usage of the tenant before is billed: metering may archive its events. Asking again is safe."""
        request = archive_pb2.SetBilledUntilRequest(billed_end_time=timestamp_out(end))
        await self._archive.SetBilledUntil(request, metadata=self._key(tenant_id))

    async def rate(
        self, tenant_id: str, questions: Sequence[tuple[PlanVersion, Quantities, tuple[int, int]]]
    ) -> list[list[RatedUsage]]:
        """Every charge of each plan version, in its order, for what was used, in so many days of a period's."""
        requests = [
            pricing_pb2.RateRequest(
                plan_code=plan.plan_code,
                version=plan.version,
                quantities=used,
                proration=None if days == period_days else pricing_pb2.Proration(days=days, period_days=period_days),
            )
            for plan, used, (days, period_days) in questions
        ]
        request = pricing_pb2.BatchRateRequest(requests=requests)
        response = await self._pricing.BatchRate(request, metadata=self._key(tenant_id))
        return [[convert.rated_usage_in(charge) for charge in rated.charges] for rated in response.responses]

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


def _query(
    subscription_id: str, split: Split, charges: Sequence[Charge], period: Period, schedule: Schedule
) -> metering_pb2.GetUsageRequest:
    """A first period that is not whole is told so: a weighted sum is averaged over all of it."""
    whole = schedule.period_of(period.start)
    return metering_pb2.GetUsageRequest(
        subscription_id=subscription_id,
        meter_codes=dict.fromkeys(charge.meter_code for charge in charges),
        period=period_out(period.start, period.end),
        full_period=None if whole == period else period_out(whole.start, whole.end),
        time_zone="" if whole == period else schedule.tz.key,
        parts=[_part_out(part) for part in split.parts],
        group_by=split.group_keys,
        first_events=split.first_events,
    )


def _part_out(part: UsagePart) -> metering_pb2.UsagePart:
    filters = [metering_pb2.DimensionFilter(property=name, values=values) for name, values in part.filters]
    return metering_pb2.UsagePart(code=part.code, filters=filters)
