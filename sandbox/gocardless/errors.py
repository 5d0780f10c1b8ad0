"""GoCardless's error shape."""

import secrets
from collections.abc import Sequence

from sandbox.json_api import Answer, ApiError
from sandbox.state import Json

DOCUMENTATION = "https://developer.gocardless.com/api-reference"


def failure(status: int, kind: str, message: str, details: Sequence[Json] = ()) -> Answer:
    error = {
        "type": kind,
        "code": status,
        "message": message,
        "documentation_url": DOCUMENTATION,
        "request_id": secrets.token_hex(8),
        "errors": list(details),
    }
    return Answer(status, {"error": error})


def usage(status: int, reason: str, message: str) -> ApiError:
    return ApiError(failure(status, "invalid_api_usage", message, [{"reason": reason, "message": message}]))


def not_found() -> ApiError:
    return usage(404, "resource_not_found", "Resource not found")


def invalid(field: str, message: str) -> ApiError:
    detail = {"field": field, "message": message, "request_pointer": f"/{field}"}
    return ApiError(failure(422, "validation_failed", "Validation failed", [detail]))


def state(reason: str, message: str, **links: str) -> ApiError:
    detail: Json = {"reason": reason, "message": message}
    if links:
        detail["links"] = links
    return ApiError(failure(422, "invalid_state", message, [detail]))


def made_before(resource: str) -> Answer:
    message = "A resource has already been created with this idempotency key"
    links = {"conflicting_resource_id": resource}
    detail = {"reason": "idempotent_creation_conflict", "message": message, "links": links}
    return failure(409, "invalid_state", message, [detail])
