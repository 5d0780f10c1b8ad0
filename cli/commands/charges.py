"""`weir subscriptions units`, `set-units`, `advance-fees` and `pay-fees`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cli.connection import connected_to, new_request_id, pages
from cli.output import amount, console, instant, print_json, print_list, print_table, quantity
from weir.invoicing.v1.advance_fees_pb2 import AdvanceFee, ListAdvanceFeesRequest, MarkAdvanceFeesPaidRequest
from weir.invoicing.v1.fixed_charges_pb2 import (
    FixedChargeUnits,
    GetFixedChargeUnitsRequest,
    SetFixedChargeUnitsRequest,
)


async def list_units(data: Path, subscription_id: str, *, as_json: bool) -> None:
    request = GetFixedChargeUnitsRequest(subscription_id=subscription_id)
    async with connected_to(data) as services:
        found = (await services.fixed_charges.GetFixedChargeUnits(request)).units
    _print_units(list(found), as_json=as_json)


async def set_units(
    data: Path, subscription_id: str, code: str, units: str, *, next_period: bool, as_json: bool
) -> None:
    request = SetFixedChargeUnitsRequest(
        request_id=new_request_id(),
        subscription_id=subscription_id,
        code=code,
        units=units,
        effective=SetFixedChargeUnitsRequest.EFFECTIVE_NEXT_PERIOD
        if next_period
        else SetFixedChargeUnitsRequest.EFFECTIVE_NOW,
    )
    async with connected_to(data) as services:
        changed = (await services.fixed_charges.SetFixedChargeUnits(request)).units
    _print_units(list(changed), as_json=as_json)


async def pay_fees(data: Path, subscription_id: str, numbers: Sequence[int], *, as_json: bool) -> None:
    request = MarkAdvanceFeesPaidRequest(
        request_id=new_request_id(), subscription_id=subscription_id, numbers=list(numbers)
    )
    async with connected_to(data) as services:
        await services.advance_fees.MarkAdvanceFeesPaid(request)
    if as_json:
        print_json({"subscription_id": subscription_id, "numbers": list(numbers)})
        return
    console.print(f"{len(numbers)} fees of subscription {subscription_id} are paid.", markup=False)


async def list_advance_fees(data: Path, subscription_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found: list[AdvanceFee] = await pages(
            lambda token: services.advance_fees.ListAdvanceFees(
                ListAdvanceFeesRequest(subscription_id=subscription_id, page_size=500, page_token=token)
            ),
            "advance_fees",
        )
    if as_json:
        print_list("advance_fees", found)
        return
    rows = [
        (
            str(each.number),
            instant(each.event_time),
            each.charge_code,
            each.transaction_id,
            quantity(each.units),
            amount(each.amount),
            each.invoice_id or ("waits for payment" if each.regrouped and not each.HasField("paid_time") else "-"),
        )
        for each in found
    ]
    columns = (">number", "time", "charge", "event", ">units", ">amount", "invoice")
    print_table(columns, rows, nothing="Nothing was charged in advance.")


def _print_units(units: Iterable[FixedChargeUnits], *, as_json: bool) -> None:
    if as_json:
        print_list("units", list(units))
        return
    rows = [(each.code, quantity(each.units), instant(each.effective_time), str(each.phase_number)) for each in units]
    print_table(("charge", ">units", "from", ">phase"), rows, nothing="All units are those of the plan.")
