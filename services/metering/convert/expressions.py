"""Expressions that are tried."""

from libs.common.errors import InvalidArgument
from libs.common.wire import DECIMAL, timestamp_in
from services.metering.convert.meters import expression_in
from services.metering.domain.events import micros_of
from services.metering.domain.expressions import Expression, ExpressionFailedError, Sample, compiled
from weir.metering.v1 import meters_pb2


def expression_sample_in(request: meters_pb2.EvaluateExpressionRequest) -> tuple[Expression, Sample]:
    """An event without a timestamp is one of 1970."""
    expression = compiled(expression_in(request.expression, "expression"))
    event = request.event
    instant = timestamp_in(event.timestamp, True, "event.timestamp")
    return expression, Sample(event.code, micros_of(instant), dict(event.properties))


def evaluation_out(expression: Expression, sample: Sample) -> meters_pb2.EvaluateExpressionResponse:
    """Raises InvalidArgument EXPRESSION_FAILED."""
    try:
        value = expression.id(sample)
    except ExpressionFailedError as error:
        raise InvalidArgument("EXPRESSION_FAILED", f"expression: {error}", field="expression") from None
    return meters_pb2.EvaluateExpressionResponse(value=value, is_decimal=bool(DECIMAL.fullmatch(value)))
