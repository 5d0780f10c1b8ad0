"""Features with their privileges."""

from datetime import datetime

from services.pricing.domain.features import Feature, Privilege, PrivilegeType
from services.pricing.store.objects import Json, Objects


def _contents(feature: Feature) -> Json:
    return {
        "name": feature.name,
        "description": feature.description,
        "privileges": [
            {"code": each.code, "name": each.name, "type": each.type, "options": list(each.options)}
            for each in feature.privileges
        ],
    }


def _read(code: str, create_time: datetime, value: Json) -> Feature:
    privileges = tuple(
        Privilege(each["code"], each["name"], PrivilegeType(each["type"]), tuple(each["options"]))
        for each in value["privileges"]
    )
    return Feature(code, value["name"], value["description"], privileges, create_time)


FEATURES = Objects("feature", "feature", "FEATURE_EXISTS", "FEATURE_NOT_FOUND", _contents, _read)
