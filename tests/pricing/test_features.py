"""What plans entitle to."""

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from services.pricing.convert.features import feature_in, feature_out
from services.pricing.domain.features import Feature, Privilege, PrivilegeType, PrivilegeValue
from services.pricing.store.features import FEATURES
from tests.pricing.conftest import NOW, Dial
from tests.pricing.strategies import codes, instants, names
from weir.pricing.v1.features_pb2 import (
    CreateFeatureRequest,
    GetFeatureRequest,
    ListFeaturesRequest,
    UpdateFeatureRequest,
)
from weir.pricing.v1.features_pb2 import Feature as FeatureMessage
from weir.pricing.v1.features_pb2 import Privilege as PrivilegeMessage
from weir.pricing.v1.features_pb2_grpc import FeatureServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.features_pb2_grpc import FeatureServiceAsyncStub

selectable = st.lists(names, min_size=1, max_size=4, unique=True).map(tuple)
privileges = st.one_of(
    st.builds(Privilege, codes, st.just("") | names, st.sampled_from(list(PrivilegeType)[:3])),
    st.builds(Privilege, codes, st.just("") | names, st.just(PrivilegeType.SELECT), selectable),
)
features = st.builds(
    Feature,
    code=codes,
    name=names,
    description=st.just("") | names,
    privileges=st.lists(privileges, max_size=4, unique_by=lambda each: each.code).map(tuple),
    create_time=instants,
)


@given(features)
def test_a_feature_read_from_the_wire_or_the_database_is_the_one_written(feature: Feature) -> None:
    assert feature_in(feature_out(feature), feature.create_time) == feature
    assert FEATURES.read(feature.code, feature.create_time, FEATURES.contents(feature)) == feature


@pytest.mark.parametrize(
    ("kind", "admitted", "refused"),
    [
        (PrivilegeType.INTEGER, (0, -5, 10**18), (True, "1")),
        (PrivilegeType.BOOLEAN, (True, False), (1, 0, "true")),
        (PrivilegeType.STRING, ("", "eu"), (1, True)),
        (PrivilegeType.SELECT, ("gold", "silver"), ("bronze", "", 1)),
    ],
)
def test_a_privilege_admits_values_of_its_type_only(
    kind: PrivilegeType, admitted: tuple[PrivilegeValue, ...], refused: tuple[PrivilegeValue, ...]
) -> None:
    privilege = Privilege("level", "", kind, ("gold", "silver") if kind is PrivilegeType.SELECT else ())
    assert all(privilege.admits(value) for value in admitted)
    assert not any(privilege.admits(value) for value in refused)


@pytest.fixture
def service(dial: Dial) -> "FeatureServiceAsyncStub":
    return FeatureServiceStub(dial("acme"))


SEATS = PrivilegeMessage(code="seats", type=PrivilegeMessage.TYPE_INTEGER)
LEVEL = PrivilegeMessage(code="level", type=PrivilegeMessage.TYPE_SELECT, options=["gold", "silver"])


def create(*privileges: PrivilegeMessage) -> CreateFeatureRequest:
    feature = FeatureMessage(code="support", name="Support", privileges=privileges or [SEATS, LEVEL])
    return CreateFeatureRequest(request_id=str(uuid4()), feature=feature)


def update(*privileges: PrivilegeMessage) -> UpdateFeatureRequest:
    feature = FeatureMessage(code="support", privileges=privileges)
    return UpdateFeatureRequest(feature=feature, update_mask=FieldMask(paths=["privileges"]))


async def test_a_feature_is_recorded_as_it_was_given(service: "FeatureServiceAsyncStub") -> None:
    request = create()
    first = await service.CreateFeature(request)
    assert list(first.feature.privileges) == [SEATS, LEVEL]
    assert (await service.GetFeature(GetFeatureRequest(code="support"))).feature == first.feature
    assert await service.CreateFeature(request) == first
    assert [each.code for each in (await service.ListFeatures(ListFeaturesRequest())).features] == ["support"]
    with pytest.raises(Conflict) as refused:
        await service.CreateFeature(create())
    assert refused.value.reason == "FEATURE_EXISTS"


async def test_privileges_and_options_are_only_added(service: "FeatureServiceAsyncStub") -> None:
    before = (await service.CreateFeature(create())).feature
    text = PrivilegeMessage(code="seats", type=PrivilegeMessage.TYPE_STRING)
    fewer = PrivilegeMessage(code="level", type=PrivilegeMessage.TYPE_SELECT, options=["gold"])
    for wrong in ((SEATS,), (text, LEVEL), (SEATS, fewer)):
        with pytest.raises(FailedPrecondition) as refused:
            await service.UpdateFeature(update(*wrong))
        assert refused.value.reason == "PRIVILEGE_CHANGED"
    assert (await service.GetFeature(GetFeatureRequest(code="support"))).feature == before
    more = PrivilegeMessage(code="level", type=PrivilegeMessage.TYPE_SELECT, options=["gold", "silver", "bronze"])
    phone = PrivilegeMessage(code="phone", type=PrivilegeMessage.TYPE_BOOLEAN)
    changed = (await service.UpdateFeature(update(phone, SEATS, more))).feature
    assert (changed.name, list(changed.privileges)) == ("Support", [phone, SEATS, more])


async def test_a_feature_of_another_tenant_is_not_there(service: "FeatureServiceAsyncStub", dial: Dial) -> None:
    await service.CreateFeature(create())
    rival = FeatureServiceStub(dial("rival"))
    for call in (rival.GetFeature(GetFeatureRequest(code="support")), rival.UpdateFeature(update(SEATS, LEVEL))):
        with pytest.raises(NotFound) as refused:
            await call
        assert refused.value.reason == "FEATURE_NOT_FOUND"


@pytest.mark.parametrize(
    ("privilege", "reason", "field"),
    [
        (PrivilegeMessage(code="seats"), "FIELD_MISSING", "feature.privileges[0].type"),
        (PrivilegeMessage(code="seats", type=9), "ENUM_VALUE_UNKNOWN", "feature.privileges[0].type"),  # type: ignore[arg-type]
        (PrivilegeMessage(code="a", type=4), "PRIVILEGE_OPTIONS_MALFORMED", "feature.privileges[0].options"),
        (
            PrivilegeMessage(code="a", type=1, options=["b"]),
            "PRIVILEGE_OPTIONS_MALFORMED",
            "feature.privileges[0].options",
        ),
        (
            PrivilegeMessage(code="a", type=4, options=["b", "b"]),
            "PRIVILEGE_OPTIONS_MALFORMED",
            "feature.privileges[0].options[1]",
        ),
    ],
)
def test_a_wrong_privilege_is_named(privilege: PrivilegeMessage, reason: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        feature_in(create(privilege).feature, NOW)
    assert (refused.value.reason, refused.value.field) == (reason, field)


def test_a_privilege_is_named_once() -> None:
    with pytest.raises(InvalidArgument) as refused:
        feature_in(create(SEATS, SEATS).feature, NOW)
    assert (refused.value.reason, refused.value.field) == ("PRIVILEGE_DUPLICATE", "feature.privileges[1].code")
