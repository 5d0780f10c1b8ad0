"""`weir coupons`."""

from decimal import Decimal, InvalidOperation
from pathlib import Path

from cli.connection import connected_to, new_request_id, pages
from cli.errors import WrongUsage
from cli.output import amount, as_dict, console, print_json, print_list, print_table, state
from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out
from weir.common.v1 import money_pb2
from weir.invoicing.v1.coupons_pb2 import (
    AppliedCoupon,
    ApplyCouponRequest,
    ListAppliedCouponsRequest,
    RemoveAppliedCouponRequest,
)
from weir.pricing.v1.coupons_pb2 import Coupon


async def apply_coupon(
    data: Path, customer: str, code: str, fixed: str, percent: str, frequency: str, invoices: int, *, as_json: bool
) -> None:
    if fixed and percent:
        raise WrongUsage("--amount and --percent exclude each other")
    request = ApplyCouponRequest(
        request_id=new_request_id(),
        customer_id=customer,
        coupon_code=code,
        frequency=Coupon.Frequency.Value(f"FREQUENCY_{frequency}"),
        periods=invoices,
    )
    if fixed:
        request.fixed_amount.CopyFrom(_amount_in(fixed))
    if percent:
        request.rate_percent = percent
    async with connected_to(data) as services:
        made = (await services.applied_coupons.ApplyCoupon(request)).applied_coupon
    if as_json:
        print_json({"applied_coupon": as_dict(made)})
    else:
        console.print(f"{made.customer_id} has {made.name}: {_off(made)} off. It is {made.id}.", markup=False)


async def list_applied_coupons(data: Path, customer: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.applied_coupons.ListAppliedCoupons(
                ListAppliedCouponsRequest(page_token=token, customer_id=customer)
            ),
            "applied_coupons",
        )
    if as_json:
        print_list("applied_coupons", found)
        return
    rows = [
        (each.coupon_code, each.customer_id, _off(each), _left(each), state(AppliedCoupon.State, each.state), each.id)
        for each in found
    ]
    columns = ("coupon", "customer", ">off", ">left", "state", "id")
    print_table(columns, rows, nothing="No customer has a coupon yet.")


async def remove_applied_coupon(data: Path, applied_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = RemoveAppliedCouponRequest(request_id=new_request_id(), id=applied_id)
        removed = (await services.applied_coupons.RemoveAppliedCoupon(request)).applied_coupon
    if as_json:
        print_json({"applied_coupon": as_dict(removed)})
    else:
        console.print(f"{removed.customer_id} has {removed.name} no more.", markup=False)


def _amount_in(text: str) -> money_pb2.Money:
    """For example 12.50USD."""
    try:
        exact, currency = Decimal(text[:-3]), text[-3:]
        found = Money.rounded(exact, currency)
    except (InvalidOperation, InvalidArgument):
        raise WrongUsage(f"{text} is no amount: write 12.50USD") from None
    if found.amount != exact:
        raise WrongUsage(f"{currency} has no amount {exact}")
    return money_out(found)


def _off(coupon: AppliedCoupon) -> str:
    return amount(coupon.fixed_amount) if coupon.HasField("fixed_amount") else f"{coupon.rate_percent} %"


def _left(coupon: AppliedCoupon) -> str:
    if coupon.HasField("remaining_amount"):
        return amount(coupon.remaining_amount)
    if coupon.HasField("remaining_periods"):
        return f"{coupon.remaining_periods} invoices"
    return "for ever"
