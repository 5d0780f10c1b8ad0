"""`weir notices`."""

from collections.abc import Sequence
from pathlib import Path

from cli.connection import connected_to, new_request_id, pages
from cli.output import as_dict, console, instant, print_json, print_list, print_table, state
from weir.payments.v1.notices_pb2 import (
    CreateNoticeEndpointRequest,
    DeleteNoticeEndpointRequest,
    ListNoticeDeliveriesRequest,
    ListNoticeEndpointsRequest,
    NoticeDelivery,
    NoticeEndpoint,
    RetryNoticeDeliveryRequest,
    RotateNoticeSecretRequest,
)


async def add(data: Path, url: str, types: Sequence[str], *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = CreateNoticeEndpointRequest(
            request_id=new_request_id(), notice_endpoint=NoticeEndpoint(url=url, types=types)
        )
        made = await services.notices.CreateNoticeEndpoint(request)
    if as_json:
        print_json(as_dict(made))
    else:
        console.print(f"{made.notice_endpoint.id} is posted to; the signing secret is {made.secret}", markup=False)


async def list_endpoints(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.notices.ListNoticeEndpoints(ListNoticeEndpointsRequest(page_token=token)),
            "notice_endpoints",
        )
    if as_json:
        print_list("notice_endpoints", found)
        return
    rows = [(each.id, each.url, " ".join(each.types) or "all") for each in found]
    print_table(("id", "url", "notices"), rows, nothing="No endpoints yet.")


async def delete(data: Path, endpoint_id: str) -> None:
    async with connected_to(data) as services:
        await services.notices.DeleteNoticeEndpoint(DeleteNoticeEndpointRequest(id=endpoint_id))
    console.print(f"{endpoint_id} is posted to no more.", markup=False)


async def rotate(data: Path, endpoint_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = RotateNoticeSecretRequest(request_id=new_request_id(), id=endpoint_id)
        made = await services.notices.RotateNoticeSecret(request)
    if as_json:
        print_json(as_dict(made))
    else:
        console.print(f"The new secret is {made.secret}; the one before signs too for 24 hours.", markup=False)


async def list_deliveries(data: Path, endpoint_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.notices.ListNoticeDeliveries(
                ListNoticeDeliveriesRequest(endpoint_id=endpoint_id, page_token=token)
            ),
            "notice_deliveries",
        )
    if as_json:
        print_list("notice_deliveries", found)
        return
    rows = [
        (
            each.notice_id,
            each.type,
            instant(each.create_time),
            state(NoticeDelivery.State, each.state),
            str(each.tries),
            each.error,
        )
        for each in found
    ]
    columns = ("notice", "type", "at", "state", ">tries", "last error")
    print_table(columns, rows, nothing="Nothing was to be delivered yet.")


async def retry(data: Path, endpoint_id: str, notice_id: str) -> None:
    async with connected_to(data) as services:
        request = RetryNoticeDeliveryRequest(endpoint_id=endpoint_id, notice_id=notice_id)
        await services.notices.RetryNoticeDelivery(request)
    console.print(f"{notice_id} is posted again.", markup=False)
