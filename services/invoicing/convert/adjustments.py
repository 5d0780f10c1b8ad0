"""Adjustments of lines."""

from libs.common.errors import InvalidArgument
from libs.common.wire import amount_in, text_in
from services.invoicing.domain.adjustment import Adjustment
from weir.invoicing.v1 import drafts_pb2


def adjustment_in(message: drafts_pb2.AdjustLineRequest) -> Adjustment:
    asked = Adjustment(
        name=text_in(message.description, "description", required=False),
        units=amount_in(message.units, "units") if message.units else None,
        unit_amount=amount_in(message.unit_amount, "unit_amount") if message.unit_amount else None,
    )
    if asked.units is None and (asked.unit_amount is not None or not asked.name):
        raise InvalidArgument("FIELD_MISSING", "units are required, or a description alone", field="units")
    return asked
