"""The configuration of a connector: one YAML file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from libs.common.credentials import TENANT_ID
from libs.common.settings import SettingsError
from libs.common.wire import CODE
from services.metering.connectors.mapping import EventMapping, mapping_in

VARIABLE = "WEIR_CONNECTOR_CONFIG"
MAX_BATCH = 10_000
DEFAULT_BATCH = 2_000


class Fields:
    """One mapping of the file, read field by field. Every error is a SettingsError that names the field."""

    def __init__(self, given: object, path: str = "") -> None:
        if not isinstance(given, dict):
            raise SettingsError(f"{VARIABLE}: {path or 'the file'} must name fields and their values")
        self._given = given
        self._path = f"{path}." if path else ""
        self._read: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str:
        """Required without a `default`."""
        value = self._take(name)
        if value in (None, ""):
            if default is None:
                raise self.wrong(name, "is required")
            return default
        if not isinstance(value, str):
            raise self.wrong(name, "must be a text")
        return value

    def number(self, name: str, default: int, *, least: int = 1, most: int) -> int:
        text = self.text(name, str(default))
        if not text.isdecimal() or not least <= int(text) <= most:
            raise self.wrong(name, f"is {text!r}; it must be a whole number from {least} to {most}")
        return int(text)

    def choice(self, name: str, *choices: str, default: str | None = None) -> str:
        text = self.text(name, default)
        if text not in choices:
            raise self.wrong(name, f"is {text!r}; there is {', '.join(filter(None, choices))}")
        return text

    def texts(self, name: str) -> list[str]:
        """At least one."""
        value = self._take(name)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
            raise self.wrong(name, "must be a list of texts")
        return value

    def names(self, name: str) -> Mapping[str, str]:
        """Texts by names of the user's choice; empty where the field is missing."""
        value = self._take(name) or {}
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise self.wrong(name, "must name texts")
        return value

    def fields(self, name: str) -> "Fields":
        return Fields(self._take(name), f"{self._path}{name}")

    def value(self, name: str) -> object:
        return self._take(name)

    def end(self) -> None:
        """Refuse what nobody has read."""
        if unknown := sorted(self._given.keys() - self._read):
            raise self.wrong(unknown[0], "is not a field that is known here")

    def wrong(self, name: str, problem: str) -> SettingsError:
        return SettingsError(f"{VARIABLE}: {self._path}{name} {problem}")

    def _take(self, name: str) -> object:
        self._read.add(name)
        return self._given.get(name)


@dataclass(frozen=True, slots=True)
class Config:
    """`tenant_id` is empty for an HTTP endpoint: whose events it is given, their API keys say."""

    name: str
    tenant_id: str
    batch_size: int
    mapping: EventMapping
    kind: str
    options: Fields


def read_config(path: str) -> Config:
    """Raises SettingsError with what is wrong."""
    try:
        # BaseLoader makes nothing but texts, lists and mappings, so a constant 1.10 stays as it is written.
        given = yaml.load(Path(path).read_text(), Loader=yaml.BaseLoader)  # noqa: S506
    except OSError as error:
        raise SettingsError(f"{VARIABLE}: {path} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{VARIABLE}: {path} is not YAML: {' '.join(str(error).split())}") from None
    fields = Fields(given)
    name, tenant_id = fields.text("name"), fields.text("tenant", "")
    source = fields.fields("source")
    kind = source.choice("kind", "kafka", "sqs", "redis_streams", "files", "http")
    batch_size = fields.number("batch_size", DEFAULT_BATCH, most=MAX_BATCH)
    if not CODE.fullmatch(name):
        raise fields.wrong("name", "must be a letter, then up to 63 of a-z, 0-9, '_', '-' and '.'")
    if kind == "http" and tenant_id:
        raise fields.wrong("tenant", "has no meaning for http: an API key names its tenant")
    if kind != "http" and not TENANT_ID.fullmatch(tenant_id):
        raise fields.wrong("tenant", "is required: a letter, then up to 62 of a-z, 0-9, '_' and '-'")
    try:
        mapping = mapping_in(fields.value("mapping"), default="cloudevents" if kind == "http" else "")
    except ValueError as error:
        raise SettingsError(f"{VARIABLE}: {error}") from None
    fields.end()
    return Config(name, tenant_id, batch_size, mapping, kind, source)
