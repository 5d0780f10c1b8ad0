"""CloudEvents 1.0: the three forms in which HTTP and Kafka carry them, as records.

https://github.com/cloudevents/spec, core specification and HTTP protocol binding, version 1.0.2.
"""

import base64
from collections.abc import Mapping
from urllib.parse import unquote

from services.metering.connectors.records import Record, Refused, Value, json_in

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
REQUIRED = ("id", "source", "type")


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def structured(body: bytes) -> dict[str, Value]:
    """One event. Raises Refused RECORD_MALFORMED."""
    event = json_in(body)
    if not isinstance(event, dict):
        raise Refused("", "RECORD_MALFORMED", "expected a CloudEvent, which is a JSON object")
    return event


def batch(body: bytes) -> list[Value]:
    """Events, perhaps none. Raises Refused RECORD_MALFORMED."""
    events = json_in(body)
    if not isinstance(events, list):
        raise Refused("", "RECORD_MALFORMED", "expected a JSON array of CloudEvents")
    return events


def binary(attributes: Mapping[str, str], content_type: str, body: bytes) -> dict[str, Value]:
    """The event whose attributes stand beside its data; data that is not JSON is kept in base64.

    Raises Refused RECORD_MALFORMED.
    """
    event: dict[str, Value] = dict(attributes)
    if content_type:
        event["datacontenttype"] = content_type
    kind = media_type(content_type)
    if body and (kind in ("", "application/json", "text/json") or kind.endswith("+json")):
        event["data"] = json_in(body)
    elif body:
        event["data_base64"] = base64.b64encode(body).decode()
    return event


def attributes_in(headers: Mapping[str, str], prefix: str) -> dict[str, str]:
    """What headers with `prefix` say, percent-decoded as the HTTP binding has it."""
    return {
        name.lower().removeprefix(prefix): unquote(value)
        for name, value in headers.items()
        if name.lower().startswith(prefix)
    }


def record(event: Value) -> Record:
    """A CloudEvent as a record, whose position is the event's identity. Raises Refused where it is none."""
    if not isinstance(event, dict):
        raise Refused("", "RECORD_MALFORMED", "expected a CloudEvent, which is a JSON object")
    if event.get("specversion") != "1.0":
        raise Refused("specversion", "SPECVERSION_UNSUPPORTED", f"specversion is {event.get('specversion')!r}, not 1.0")
    for name in REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise Refused(name, "FIELD_MISSING", f"{name} is required, a text")
    return Record(f"{event['source']}|{event['id']}", event)
