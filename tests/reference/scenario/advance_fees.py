"""What single events were charged, in the words of the cases."""

from collections.abc import Sequence
from decimal import Decimal
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from tests.reference.cases import Json
from tests.reference.charge_model_details import details
from tests.reference.scenario.stack import Clients
from weir.invoicing.v1.advance_fees_pb2 import AdvanceFee, ListAdvanceFeesRequest, MarkAdvanceFeesPaidRequest
from weir.pricing.v1.pricing_pb2 import RatedCharge

SUMS = (
    "units",
    "free_units",
    "paid_units",
    "free_events",
    "paid_events",
    "per_unit_total_amount",
    "fixed_fee_total_amount",
)


async def advance_fee_views(clients: Clients, subscription_id: str) -> list[Json]:
    request = ListAdvanceFeesRequest(subscription_id=subscription_id, page_size=500)
    fees = (await clients.advance_fees.ListAdvanceFees(request)).advance_fees
    return [_view(fee, fees[:index]) for index, fee in enumerate(fees)]


async def mark_fees_paid(clients: Clients, subscription_id: str, paid_time: Timestamp) -> None:
    """All that there are."""
    request = ListAdvanceFeesRequest(subscription_id=subscription_id, page_size=500)
    fees = (await clients.advance_fees.ListAdvanceFees(request)).advance_fees
    marked = MarkAdvanceFeesPaidRequest(
        request_id=str(uuid4()),
        subscription_id=subscription_id,
        numbers=[each.number for each in fees],
        paid_time=paid_time,
    )
    await clients.advance_fees.MarkAdvanceFeesPaid(marked)


def _view(fee: AdvanceFee, earlier: Sequence[AdvanceFee]) -> Json:
    return {
        "units": Decimal(fee.units),
        "amount_cents": fee.amount.minor_units,
        "has_invoice": bool(fee.invoice_id),
        "filter": fee.rating.filter or None,
        "details": _details(fee, earlier),
    }


def _details(fee: AdvanceFee, earlier: Sequence[AdvanceFee]) -> Json:
    """Of the event alone: those of all usage with it, less those of all usage without it."""
    if fee.rating.charge_model != "percentage":
        return {}
    whole = _whole(fee.rating)
    before = next((each for each in reversed(earlier) if each.charge_code == fee.charge_code), None)
    if before is not None:
        without = _whole(before.rating)
        whole |= {key: whole[key] - without[key] for key in SUMS}
    if not whole["paid_events"]:
        whole["fixed_fee_unit_amount"] = Decimal(0)
    return whole


def _whole(rating: RatedCharge) -> Json:
    found = dict(details(rating, {}))
    return found | {"free_events": min(found["free_events"], Decimal(rating.event_count))}
