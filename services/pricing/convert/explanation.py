"""What Explain answers, on the wire."""

from collections.abc import Sequence

from libs.common.money import Money
from libs.common.wire import money_out
from services.pricing.convert.prices import optional_out
from services.pricing.convert.rating import rated_charge_out, rated_fixed_charge_out
from services.pricing.domain.explanation import Line, explain
from services.pricing.domain.rating import RatedCharge
from weir.pricing.v1 import explanation_pb2, pricing_pb2


def explained_out(
    charges: Sequence[RatedCharge], fixed_charges: Sequence[RatedCharge], currency: str
) -> explanation_pb2.ExplainResponse:
    together = Money(sum(charge.amount.minor_units for charge in (*charges, *fixed_charges)), currency)
    return explanation_pb2.ExplainResponse(
        charges=[
            *(_charge_out(each, rated_charge_out(each)) for each in charges),
            *(_charge_out(each, rated_fixed_charge_out(each)) for each in fixed_charges),
        ],
        amount=money_out(together),
    )


def _charge_out(rated: RatedCharge, message: pricing_pb2.RatedCharge) -> explanation_pb2.ExplainedCharge:
    return explanation_pb2.ExplainedCharge(rated=message, lines=map(_line_out, explain(rated)))


def _line_out(line: Line) -> explanation_pb2.ExplainedLine:
    return explanation_pb2.ExplainedLine(text=line.text, expression=line.expression, result=optional_out(line.result))
