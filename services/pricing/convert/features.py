"""Features, their privileges and entitlements on the wire."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, text_in, timestamp_out
from services.pricing.convert.collected import mask_in, read_all, read_fields, require_unique
from services.pricing.convert.described import description_in
from services.pricing.domain.features import (
    Entitlement,
    Feature,
    Privilege,
    PrivilegeType,
    PrivilegeValue,
    require_grown,
)
from weir.pricing.v1 import features_pb2

_TYPES = {
    features_pb2.Privilege.TYPE_INTEGER: PrivilegeType.INTEGER,
    features_pb2.Privilege.TYPE_BOOLEAN: PrivilegeType.BOOLEAN,
    features_pb2.Privilege.TYPE_STRING: PrivilegeType.STRING,
    features_pb2.Privilege.TYPE_SELECT: PrivilegeType.SELECT,
}
_TYPES_OUT = {each: number for number, each in _TYPES.items()}


def feature_in(message: features_pb2.Feature, create_time: datetime) -> Feature:
    return Feature(create_time=create_time, **read_fields(message, _FIELDS, _FIELDS))


def feature_change_in(message: features_pb2.Feature, mask: FieldMask) -> tuple[str, Callable[[Feature], Feature]]:
    """The feature's code, and what the update makes of it; that raises FailedPrecondition PRIVILEGE_CHANGED."""
    values = read_fields(message, _FIELDS, {"code", *mask_in(mask, *_UPDATABLE)})

    def change(feature: Feature) -> Feature:
        require_grown(feature, values.get("privileges", feature.privileges))
        return replace(feature, **values)

    return values["code"], change


def feature_out(feature: Feature) -> features_pb2.Feature:
    return features_pb2.Feature(
        code=feature.code,
        name=feature.name,
        description=feature.description,
        privileges=[
            features_pb2.Privilege(code=each.code, name=each.name, type=_TYPES_OUT[each.type], options=each.options)
            for each in feature.privileges
        ],
        create_time=timestamp_out(feature.create_time),
    )


def entitlements_in(messages: Sequence[features_pb2.Entitlement], field: str) -> tuple[Entitlement, ...]:
    """That features and privileges are there, and admit the values, is checked against the catalog."""
    read = read_all(partial(_entitlement_in, each, f"{field}[{index}]") for index, each in enumerate(messages))
    require_unique("ENTITLEMENT_DUPLICATE", [each.feature_code for each in read], field + "[{}].feature_code")
    return read


def entitlement_out(entitlement: Entitlement) -> features_pb2.Entitlement:
    return features_pb2.Entitlement(
        feature_code=entitlement.feature_code,
        privileges=[_value_out(code, value) for code, value in entitlement.values],
    )


def _entitlement_in(message: features_pb2.Entitlement, field: str) -> Entitlement:
    values = read_all(
        partial(_value_in, each, f"{field}.privileges[{index}]") for index, each in enumerate(message.privileges)
    )
    require_unique("ENTITLEMENT_DUPLICATE", [code for code, _ in values], field + ".privileges[{}].privilege_code")
    return Entitlement(code_in(message.feature_code, f"{field}.feature_code"), values)


def _value_in(message: features_pb2.PrivilegeValue, field: str) -> tuple[str, PrivilegeValue]:
    code = code_in(message.privilege_code, f"{field}.privilege_code")
    match message.WhichOneof("value"):
        case "integer_value":
            return code, message.integer_value
        case "boolean_value":
            return code, message.boolean_value
        case "string_value":
            return code, text_in(message.string_value, f"{field}.string_value", required=False)
        case None:
            raise InvalidArgument("FIELD_MISSING", f"{field}.value is required", field=f"{field}.value")


def _value_out(code: str, value: PrivilegeValue) -> features_pb2.PrivilegeValue:
    match value:
        case bool():
            return features_pb2.PrivilegeValue(privilege_code=code, boolean_value=value)
        case int():
            return features_pb2.PrivilegeValue(privilege_code=code, integer_value=value)
        case str():
            return features_pb2.PrivilegeValue(privilege_code=code, string_value=value)


def _privileges_in(messages: Sequence[features_pb2.Privilege], field: str) -> tuple[Privilege, ...]:
    read = read_all(partial(_privilege_in, each, f"{field}[{index}]") for index, each in enumerate(messages))
    require_unique("PRIVILEGE_DUPLICATE", [each.code for each in read], field + "[{}].code")
    return read


def _privilege_in(message: features_pb2.Privilege, field: str) -> Privilege:
    if not message.type:
        raise InvalidArgument("FIELD_MISSING", f"{field}.type is required", field=f"{field}.type")
    if (kind := _TYPES.get(message.type)) is None:
        raise InvalidArgument(
            "ENUM_VALUE_UNKNOWN", f"{field}.type is {message.type}, which names no type", field=f"{field}.type"
        )
    options = read_all(
        partial(text_in, option, f"{field}.options[{index}]") for index, option in enumerate(message.options)
    )
    require_unique("PRIVILEGE_OPTIONS_MALFORMED", options, field + ".options[{}]")
    if bool(options) is not (kind is PrivilegeType.SELECT):
        raise InvalidArgument(
            "PRIVILEGE_OPTIONS_MALFORMED",
            f"{field}.options are for what can be selected, which needs them",
            field=f"{field}.options",
        )
    return Privilege(
        code_in(message.code, f"{field}.code"), text_in(message.name, f"{field}.name", required=False), kind, options
    )


_FIELDS: dict[str, Callable[[features_pb2.Feature], Any]] = {
    "code": lambda message: code_in(message.code, "feature.code"),
    "name": lambda message: text_in(message.name, "feature.name"),
    "description": lambda message: description_in(message.description, "feature.description"),
    "privileges": lambda message: _privileges_in(message.privileges, "feature.privileges"),
}
_UPDATABLE = [name for name in _FIELDS if name != "code"]
