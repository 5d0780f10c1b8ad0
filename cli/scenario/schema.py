"""The JSON Schema of a scenario file, made from the contract: `python -m cli.scenario.schema` writes it."""

import json
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from cli.catalog.schema import (
    DECIMAL_PATTERN,
    DIALECT,
    DURATION_PATTERN,
    Comments,
    Json,
    Maker,
    catalog_table,
    comments_of,
    compiled,
)
from cli.scenario.expectations import ACCOUNTS, LISTS
from cli.scenario.verbs import VERBS, Verb

PUBLISHED = Path(__file__).with_name("scenario.schema.json")

_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time", "description": "An instant, or a day, which begins in UTC."}
_COUNT: Json = {"type": ["integer", "string"], "pattern": "^[0-9]+$"}
_SCALARS: Json = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean"]}}

EVENTS: Json = {
    "type": "object",
    "description": "Events of one subscription, one after the other; the clock is moved to the last of them first.",
    "properties": {
        "subscription_id": _TEXT,
        "code": _TEXT,
        "transaction_id": {"type": "string", "description": "Of one event. Made up where it is left out."},
        "timestamp": {**_TIME, "description": "Of the first event; the clock's now where it is left out."},
        "properties": _SCALARS,
        "amount": {"type": ["string", "number"], "description": "The event's own price, for dynamic charges."},
        "count": {**_COUNT, "description": "How many; 1 where it is left out."},
        "every": {"type": "string", "pattern": DURATION_PATTERN, "description": 'Between them, such as "3600s".'},
    },
    "required": ["subscription_id", "code"],
    "additionalProperties": False,
}
PAYMENT_METHOD: Json = {
    "type": "object",
    "description": "A card that the sandbox knows, saved for a customer. Needs a stack with the sandbox.",
    "properties": {
        "customer_id": _TEXT,
        "token": {"type": "string", "description": "Such as pm_card_visa, which is meant where it is left out."},
    },
    "required": ["customer_id"],
    "additionalProperties": False,
}
USAGE: Json = {
    "type": "object",
    "properties": {
        "subscription_id": _TEXT,
        "start_time": _TIME,
        "end_time": _TIME,
        "quantities": {**_SCALARS, "description": "By the codes of meters."},
    },
    "required": ["subscription_id", "start_time", "end_time", "quantities"],
    "additionalProperties": False,
}
LEDGER: Json = {
    "type": ["object", "null"],
    "description": "What accounts come to at the end of the clock's day, over all customers: debits less credits.",
    "properties": {account: {"type": ["string", "number"], "pattern": DECIMAL_PATTERN} for account in ACCOUNTS},
    "additionalProperties": False,
}


class _Expecting(Maker):
    """Tables that name any fields of a message, those that the server sets among them."""

    def defined(self, *descriptors: Descriptor) -> Json:
        name = f"Expected{descriptors[0].name}"
        if name not in self.definitions:
            self.definitions[name] = {}
            fields: list[FieldDescriptor] = [field for each in descriptors for field in each.fields]
            self.definitions[name] = {
                "type": "object",
                "properties": {field.name: self._field(field) for field in fields},
                "additionalProperties": False,
            }
        return {"$ref": f"#/$defs/{name}"}


def scenario_schema(comments: Comments) -> Json:
    made, expecting = Maker(comments), _Expecting(comments)
    catalog = catalog_table(made)
    steps: Json = {
        "advance": {**_TIME, "description": "Move the clock; whatever falls due on the way is done, in order."},
        "catalog": catalog,
        "events": EVENTS,
        "payment_method": PAYMENT_METHOD,
        **{verb.name: _step(made, verb) for verb in VERBS.values()},
        "expect": _expectation(expecting),
    }
    step = {
        "type": "object",
        "properties": {
            "at": {**_TIME, "description": "Move the clock there first."},
            **steps,
            "fails": {"type": "string", "description": "The reason with which the step must be refused."},
        },
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in steps],
    }
    return {
        "$schema": DIALECT,
        "title": "A Weir scenario",
        "type": ["object", "null"],
        "properties": {
            "name": {"type": "string", "description": "What the scenario shows."},
            "start": {**_TIME, "description": "Where the test clock of the scenario's tenant begins."},
            "currency_code": {"type": "string", "description": "Of amounts in steps with no currency of their own."},
            "catalog": catalog,
            "catalog_file": {"type": "string", "description": "A catalog beside this file, applied first."},
            "timeline": {"type": "array", "items": step, "minItems": 1},
        },
        "required": ["name", "start", "timeline"],
        "additionalProperties": False,
        "$defs": dict(sorted({**made.definitions, **expecting.definitions}.items())),
    }


def _step(made: Maker, verb: Verb) -> Json:
    """The table of the step: without the request_id, and nothing required that the player fills in."""
    descriptor: Descriptor = verb.target(verb.request()).DESCRIPTOR  # type: ignore[assignment]
    reference = made.defined(descriptor)
    if verb.resource:
        return reference
    table = made.definitions.pop(descriptor.name)
    properties = {name: value for name, value in table["properties"].items() if name != "request_id"}
    return {
        **table,
        "properties": properties,
        "required": [each for each in table.get("required", ()) if each in properties],
    }


def _expectation(expecting: Maker) -> Json:
    lists = {
        name: {"type": ["array", "null"], "items": expecting.defined(each.message.DESCRIPTOR)}  # type: ignore[arg-type]
        for name, each in LISTS.items()
    }
    return {
        "type": "object",
        "description": "What must be so now. A table names the fields that matter; a list has all there is.",
        "properties": {
            "customer_id": {"type": "string", "description": "Whose; all customers' where it is left out."},
            **lists,
            "usage": {"type": ["array", "null"], "items": USAGE},
            "ledger": LEDGER,
        },
        "additionalProperties": False,
    }


def published() -> Json:
    """The schema as it was made with this release."""
    schema: Json = json.loads(PUBLISHED.read_text())
    return schema


def text(root: Path) -> str:
    """The schema of the contract below `root`, as it is published."""
    return json.dumps(scenario_schema(comments_of(compiled(root))), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(text(Path(__file__).parents[2]))
