"""Reports on the business."""

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out
from services.invoicing.convert.times import date_out
from services.invoicing.domain.analytics import Ageing, Revenue
from services.invoicing.domain.recurring import Movements
from weir.common.v1 import money_pb2
from weir.invoicing.v1 import analytics_pb2 as pb

DEFAULT_CUSTOMERS = 10
MAX_CUSTOMERS = 500


def customer_count_in(value: int) -> int:
    """Raises InvalidArgument CUSTOMER_COUNT_OUT_OF_RANGE."""
    if not 0 <= value <= MAX_CUSTOMERS:
        raise InvalidArgument(
            "CUSTOMER_COUNT_OUT_OF_RANGE",
            f"customer_count is {value}; 0 to {MAX_CUSTOMERS} are named",
            field="customer_count",
        )
    return value or DEFAULT_CUSTOMERS


def revenue_out(revenue: Revenue) -> pb.MonthlyRevenue:
    def money(amount: int) -> money_pb2.Money:
        return money_out(Money(amount, revenue.currency))

    return pb.MonthlyRevenue(
        month=date_out(revenue.month),
        gross=money(revenue.gross),
        discounts=money(revenue.discounts),
        credited=money(revenue.credited),
        voided=money(revenue.voided),
        net=money(revenue.net),
    )


def ageing_out(ageing: Ageing) -> pb.Ageing:
    def money(amount: int) -> money_pb2.Money:
        return money_out(Money(amount, ageing.currency))

    return pb.Ageing(
        not_due=money(ageing.not_due),
        days_1_to_30=money(ageing.to_30),
        days_31_to_60=money(ageing.to_60),
        days_61_to_90=money(ageing.to_90),
        over_90_days=money(ageing.over_90),
        overdue=money(ageing.overdue),
        total=money(ageing.total),
    )


def movements_out(moved: Movements) -> pb.RecurringRevenue:
    def money(amount: int) -> money_pb2.Money:
        return money_out(Money(amount, moved.currency))

    return pb.RecurringRevenue(
        month=date_out(moved.month),
        mrr=money(moved.mrr),
        new=money(moved.new),
        reactivation=money(moved.reactivation),
        expansion=money(moved.expansion),
        contraction=money(moved.contraction),
        churn=money(moved.churn),
    )
