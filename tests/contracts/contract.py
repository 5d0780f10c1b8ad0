"""The contract as data: every descriptor of weir.*.v1, and the text of protos/."""

import importlib
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, MethodDescriptor

PROTOS = Path(__file__).parents[2] / "protos"


def files() -> list[FileDescriptor]:
    names = [path.relative_to(PROTOS).with_suffix("") for path in sorted(PROTOS.rglob("*.proto"))]
    modules = [importlib.import_module(".".join(name.parts) + "_pb2") for name in names]
    return [module.DESCRIPTOR for module in modules]


def methods() -> list[MethodDescriptor]:
    return [method for file in files() for service in file.services_by_name.values() for method in service.methods]


def messages() -> Iterator[Descriptor]:
    """Every message, nested ones included."""
    waiting = [message for file in files() for message in file.message_types_by_name.values()]
    while waiting:
        message = waiting.pop()
        yield message
        waiting.extend(message.nested_types)


def fields() -> list[FieldDescriptor]:
    return [field for message in messages() for field in message.fields]


def enums() -> list[EnumDescriptor]:
    nested = [enum for message in messages() for enum in message.enum_types]
    return nested + [enum for file in files() for enum in file.enum_types_by_name.values()]


def sources() -> str:
    """The text of every contract."""
    return "\n".join(path.read_text() for path in sorted(PROTOS.rglob("*.proto")))
