"""Adyen's error shape."""

from collections.abc import Mapping, Sequence

from sandbox.json_api import Answer, ApiError
from sandbox.state import Json


def failure(status: int, code: str, message: str, kind: str = "validation", *, transient: bool = False) -> Answer:
    body: Json = {"status": status, "errorCode": code, "message": message, "errorType": kind}
    headers: Mapping[str, str] = {"transient-error": "true"} if transient else {}
    return Answer(status, body, headers)


def refused(code: str, message: str) -> ApiError:
    return ApiError(failure(422, code, message))


def unknown_fields(names: Sequence[str]) -> ApiError:
    listed = ", ".join(names)
    return ApiError(failure(400, "702", f"Structure of the request contains the following unknown fields: [{listed}]"))


def missing(name: str) -> ApiError:
    return refused("702", f"Required field '{name}' is not provided.")


def check(body: Json, required: Sequence[str], optional: Sequence[str]) -> None:
    """Raises ApiError. What Adyen knows and the sandbox does not is refused as well."""
    if unknown := [name for name in body if name not in required and name not in optional]:
        raise unknown_fields(unknown)
    for name in required:
        if body.get(name) in (None, "", {}):
            raise missing(name)
