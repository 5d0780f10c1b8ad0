"""Usage that is held against thresholds, on the wire."""

from functools import partial

from services.pricing.convert.collected import read_all
from services.pricing.convert.described import charged_in
from weir.pricing.v1 import thresholds_pb2


def usage_in(request: thresholds_pb2.QueryPassedThresholdsRequest, currency: str) -> tuple[int, int]:
    """Minor units of usage that were billed, and that there are."""
    current, billed, invoiced, historical = read_all(
        partial(_amount_in, request, field, currency)
        for field in ("current_usage", "progressively_billed", "invoiced_usage", "historical_usage")
    )
    return historical + invoiced + billed, historical + invoiced + current


def _amount_in(request: thresholds_pb2.QueryPassedThresholdsRequest, field: str, currency: str) -> int:
    present = request.HasField(field)  # type: ignore[arg-type]
    if not present and field != "current_usage":
        return 0
    return charged_in(getattr(request, field), present, field, currency).minor_units
