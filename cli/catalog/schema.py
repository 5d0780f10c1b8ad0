"""The JSON Schema of a catalog file, made from the contract: `python -m cli.catalog.schema` writes catalog.schema.json.

Beside its type, a field has options that say whether it is required, set by the server, or a decimal, and a comment.
"""

import json
import tempfile
from collections.abc import Collection, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, TypeAlias

from google.api.field_behavior_pb2 import OUTPUT_ONLY, REQUIRED, field_behavior
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from cli.catalog.kinds import KINDS
from weir.common.v1.fields_pb2 import decimal

Json: TypeAlias = dict[str, Any]
Comments: TypeAlias = dict[str, str]

PUBLISHED = Path(__file__).with_name("catalog.schema.json")

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DECIMAL_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?s$"
CODE_PATTERN = "^[a-z][a-z0-9_.-]{0,63}$"
INTEGERS = {
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
}


def published() -> Json:
    """The schema as it was made with this release."""
    schema: Json = json.loads(PUBLISHED.read_text())
    return schema


def enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """The values as a file writes them, "sum" for AGGREGATION_SUM; without the one that is never valid."""
    prefix = "".join(f"_{each}" if each.isupper() else each.upper() for each in enum.name).lstrip("_") + "_"
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


def catalog_schema(comments: Comments) -> Json:
    """`comments` by the full name of what they stand before."""
    made = Maker(comments)
    return {
        "$schema": DIALECT,
        "title": "A Weir catalog",
        **catalog_table(made),
        "$defs": dict(sorted(made.definitions.items())),
    }


def catalog_table(made: "Maker") -> Json:
    """A catalog by itself, or as part of another file."""
    lists = {kind.key: {"type": ["array", "null"], "items": made.defined(*kind.descriptors)} for kind in KINDS}
    return {"type": ["object", "null"], "properties": lists, "additionalProperties": False}


def settable(descriptor: Descriptor) -> list[FieldDescriptor]:
    """The fields that a file may have: all but those that the server sets."""
    return [field for field in descriptor.fields if OUTPUT_ONLY not in _behavior(field)]


def is_decimal(field: FieldDescriptor) -> bool:
    return bool(field.GetOptions().Extensions[decimal])


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def value_field(field: FieldDescriptor) -> FieldDescriptor:
    """The values of a map."""
    assert field.message_type is not None
    return field.message_type.fields_by_name["value"]


class Maker:
    """Of `definitions`, by the name of a message: the table that a file has for it."""

    def __init__(self, comments: Comments) -> None:
        self.definitions: Json = {}
        self._comments = comments

    def defined(self, *descriptors: Descriptor) -> Json:
        name = descriptors[0].name
        if name not in self.definitions:
            self.definitions[name] = {}  # it may contain itself
            self.definitions[name] = self._table(*descriptors)
        return {"$ref": f"#/$defs/{name}"}

    def _table(self, *descriptors: Descriptor) -> Json:
        fields = [field for descriptor in descriptors for field in settable(descriptor)]
        required = [field.name for field in fields if REQUIRED in _behavior(field)]
        choices = [self._choice(oneof) for descriptor in descriptors for oneof in _oneofs(descriptor)]
        return {
            "type": "object",
            "description": self._comments.get(descriptors[0].full_name, ""),
            "properties": {field.name: self._field(field) for field in fields},
            "additionalProperties": False,
            **({"required": required} if required else {}),
            **({"allOf": choices} if choices else {}),
        }

    def _choice(self, oneof: OneofDescriptor) -> Json:
        """Exactly one of the fields; at most one, if the comment says that it is optional."""
        fields: list[Json] = [{"required": [field.name]} for field in oneof.fields]
        if "Optional" in self._comments.get(oneof.full_name, ""):
            fields.append({"not": {"anyOf": fields.copy()}})
        return {"oneOf": fields}

    def _field(self, field: FieldDescriptor) -> Json:
        described = {"description": self._comments.get(field.full_name, "")}
        if is_map(field):
            value = self._value(value_field(field))
            return {**described, "type": ["object", "null"], "additionalProperties": value}
        value = self._value(field)
        if not field.is_repeated:
            return {**value, **described}
        least = {"minItems": 1} if REQUIRED in _behavior(field) else {}
        return {**described, "type": ["array", "null"], "items": value, **least}

    def _value(self, field: FieldDescriptor) -> Json:
        if field.message_type is not None:
            return self._message_value(field.message_type)
        if field.enum_type is not None:
            return {"type": "string", "enum": list(enum_names(field.enum_type))}
        if field.type == FieldDescriptor.TYPE_BOOL:
            return {"enum": [True, False, "true", "false"]}
        if field.type in INTEGERS:
            return {"type": ["integer", "string"], "pattern": "^-?[0-9]+$"}
        if is_decimal(field):
            return _decimal()
        if field.name == "code" or (field.name.endswith(("_code", "_codes")) and field.name != "currency_code"):
            return {"type": "string", "pattern": CODE_PATTERN}
        return {"type": ["string", "number", "boolean"]}

    def _message_value(self, descriptor: Descriptor) -> Json:
        match descriptor.full_name:
            case "google.protobuf.Timestamp":
                return {"type": "string", "format": "date-time"}
            case "google.type.Date":
                return {"type": "string", "format": "date"}
            case "google.protobuf.Duration":
                return {"type": "string", "pattern": DURATION_PATTERN}
            case "weir.common.v1.Money":
                return _decimal()
            case _:
                return self.defined(descriptor)


def _behavior(field: FieldDescriptor) -> Collection[int]:
    behavior: Collection[int] = field.GetOptions().Extensions[field_behavior]
    return behavior


def _decimal() -> Json:
    return {"type": ["string", "number"], "pattern": DECIMAL_PATTERN}


def _oneofs(descriptor: Descriptor) -> Iterator[OneofDescriptor]:
    for oneof in descriptor.oneofs:
        if not oneof.name.startswith("_"):  # how protoc spells an optional scalar
            yield oneof


def comments_of(files: FileDescriptorSet) -> Comments:
    """Of messages, fields and oneofs, by full name, in one line each."""
    found: Comments = {}
    for file in files.file:
        paths = {tuple(each.path): " ".join(each.leading_comments.split()) for each in file.source_code_info.location}
        for path, name in _names(file):
            if paths.get(path):
                found[name] = paths[path]
    return found


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Paths as in SourceCodeInfo: 4 is a message of a file; in a message, 2 is a field, 3 a message, 8 a oneof."""
    for index, message in enumerate(file.message_type):
        yield from _message_names((4, index), f"{file.package}.{message.name}", message)


def _message_names(path: tuple[int, ...], name: str, message: DescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, 2, index), f"{name}.{field.name}"
    for index, oneof in enumerate(message.oneof_decl):
        yield (*path, 8, index), f"{name}.{oneof.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _message_names((*path, 3, index), f"{name}.{nested.name}", nested)


def compiled(root: Path) -> FileDescriptorSet:
    """The contract below `root`, with its comments. Needs what the build needs."""
    from grpc_tools import protoc

    bundled = Path(str(distribution("grpcio-tools").locate_file("grpc_tools/_proto")))
    includes = (root / "protos", root / "third_party" / "googleapis", bundled)
    with tempfile.NamedTemporaryFile() as out:
        arguments = [
            "protoc",
            *(f"--proto_path={path}" for path in includes),
            "--include_source_info",
            f"--descriptor_set_out={out.name}",
            *sorted(str(path) for path in (root / "protos").rglob("*.proto")),
        ]
        if protoc.main(arguments) != 0:
            raise RuntimeError("protoc failed; its message is above")
        return FileDescriptorSet.FromString(Path(out.name).read_bytes())


def text(root: Path) -> str:
    """The schema of the contract below `root`, as it is published."""
    return json.dumps(catalog_schema(comments_of(compiled(root))), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(text(Path(__file__).parents[2]))
