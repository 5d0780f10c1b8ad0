"""What Estimate and EstimateEvent answer, on the wire."""

from collections.abc import Iterable

from libs.common.money import plain
from libs.common.wire import money_out
from services.pricing.convert.rating import rated_charge_out
from services.pricing.domain.marginal import Marginal
from weir.pricing.v1 import estimation_pb2


def costs_out(costs: Iterable[Marginal]) -> list[estimation_pb2.MarginalCost]:
    return [
        estimation_pb2.MarginalCost(
            before=rated_charge_out(cost.before),
            after=rated_charge_out(cost.after),
            unrounded_amount=plain(cost.unrounded_amount),
            amount=money_out(cost.amount),
        )
        for cost in costs
    ]
