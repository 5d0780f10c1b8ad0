import uuid

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tests.metering.conftest import Client, Connect
from tests.metering.requests import NOW, count_meter, create_meter, sum_meter
from weir.metering.v1.metering_pb2 import (
    DimensionFilter,
    GetMeterRequest,
    ListMetersRequest,
    Meter,
    UpdateMeterRequest,
)


async def test_a_meter_is_read_as_it_was_made(metering: Client) -> None:
    meter = sum_meter(model=["gpt", "claude"])
    meter.name, meter.description = "Tokens", "What the models read and wrote."
    created = (await metering.CreateMeter(create_meter(meter))).meter
    meter.version = 1
    meter.create_time.FromDatetime(NOW)
    assert created == meter
    assert (await metering.GetMeter(GetMeterRequest(code="tokens"))).meter == meter


async def test_name_and_event_code_default_to_the_code(metering: Client) -> None:
    made = (await metering.CreateMeter(create_meter(count_meter("requests")))).meter
    assert (made.name, made.event_code) == ("requests", "requests")


async def test_a_repeated_request_makes_one_meter(metering: Client) -> None:
    request = create_meter(count_meter())
    first = await metering.CreateMeter(request)
    assert await metering.CreateMeter(request) == first
    assert len((await metering.ListMeters(ListMetersRequest())).meters) == 1


async def test_a_request_id_with_other_contents_is_refused(metering: Client) -> None:
    request_id = str(uuid.uuid4())
    await metering.CreateMeter(create_meter(count_meter(), request_id))
    with pytest.raises(Conflict) as refused:
        await metering.CreateMeter(create_meter(count_meter("others"), request_id))
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_code_is_taken_once(metering: Client) -> None:
    await metering.CreateMeter(create_meter(count_meter()))
    with pytest.raises(Conflict) as refused:
        await metering.CreateMeter(create_meter(count_meter()))
    assert refused.value.reason == "METER_EXISTS"


@pytest.mark.parametrize(
    ("meter", "field", "reason"),
    [
        (count_meter(""), "meter.code", "FIELD_MISSING"),
        (count_meter("Requests"), "meter.code", "CODE_MALFORMED"),
        (count_meter(event_code="a b"), "meter.event_code", "CODE_MALFORMED"),
        (Meter(code="requests"), "meter.aggregation", "FIELD_MISSING"),
        (sum_meter(value_property=""), "meter.value_property", "FIELD_MISSING"),
        (count_meter(value_property="tokens"), "meter.value_property", "VALUE_PROPERTY_UNUSED"),
        (sum_meter(model=[]), "meter.filters[0].values", "FIELD_MISSING"),
        (
            Meter(code="m", aggregation=Meter.AGGREGATION_COUNT, filters=[DimensionFilter(values=["a"])]),
            "meter.filters[0].property",
            "FIELD_MISSING",
        ),
        (
            Meter(code="m", aggregation=Meter.AGGREGATION_COUNT, filters=[DimensionFilter()] * 65),
            "meter.filters",
            "FILTERS_TOO_MANY",
        ),
        (sum_meter(model=[str(i) for i in range(1001)]), "meter.filters[0].values", "FILTER_VALUES_TOO_MANY"),
    ],
)
async def test_a_wrong_meter_is_refused_by_field(metering: Client, meter: Meter, field: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await metering.CreateMeter(create_meter(meter))
    assert (refused.value.field, refused.value.reason) == (field, reason)


async def test_an_unknown_meter_is_not_found(metering: Client) -> None:
    for call in (
        metering.GetMeter(GetMeterRequest(code="none")),
        metering.UpdateMeter(UpdateMeterRequest(meter=count_meter("none"), update_mask=FieldMask(paths=["name"]))),
    ):
        with pytest.raises(NotFound) as refused:
            await call
        assert refused.value.reason == "METER_NOT_FOUND"


async def test_an_update_changes_what_its_mask_names(metering: Client) -> None:
    await metering.CreateMeter(create_meter(count_meter(description="old")))
    change = UpdateMeterRequest(
        meter=count_meter(name="Requests", description="new"), update_mask=FieldMask(paths=["name"])
    )
    updated = (await metering.UpdateMeter(change)).meter
    assert (updated.name, updated.description) == ("Requests", "old")


async def test_what_a_meter_measures_never_changes(metering: Client) -> None:
    await metering.CreateMeter(create_meter(count_meter()))
    for path in ("aggregation", "event_code", "filters", "value_property", "code", "nonsense"):
        change = UpdateMeterRequest(meter=count_meter(), update_mask=FieldMask(paths=["name", path]))
        with pytest.raises(FailedPrecondition) as refused:
            await metering.UpdateMeter(change)
        assert refused.value.reason == "METER_DEFINITION_FIXED"


async def test_an_update_without_a_mask_is_refused(metering: Client) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await metering.UpdateMeter(UpdateMeterRequest(meter=count_meter()))
    assert refused.value.field == "update_mask"


async def test_pages_of_meters_are_by_code_and_complete(metering: Client) -> None:
    codes = [f"meter-{number}" for number in range(5)]
    for code in reversed(codes):
        await metering.CreateMeter(create_meter(count_meter(code)))
    seen: list[str] = []
    token = ""
    while token or not seen:
        page = await metering.ListMeters(ListMetersRequest(page_size=2, page_token=token))
        seen += [meter.code for meter in page.meters]
        token = page.next_page_token
    assert seen == codes


async def test_tenants_have_meters_of_their_own(connect: Connect) -> None:
    acme, globex = connect("acme"), connect("globex")
    request_id = str(uuid.uuid4())
    await acme.CreateMeter(create_meter(count_meter(), request_id))
    assert not (await globex.ListMeters(ListMetersRequest())).meters
    with pytest.raises(NotFound):
        await globex.GetMeter(GetMeterRequest(code="requests"))
    await globex.CreateMeter(create_meter(count_meter(name="Theirs"), request_id))
    assert (await acme.GetMeter(GetMeterRequest(code="requests"))).meter.name == "requests"


async def test_a_key_needs_the_scope_of_the_method(connect: Connect) -> None:
    with pytest.raises(PermissionDenied) as refused:
        await connect("acme", "events:write").CreateMeter(create_meter(count_meter()))
    assert refused.value.metadata == {"scope": "catalog:write"}
