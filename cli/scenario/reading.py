"""A scenario file as steps. Whatever is wrong with it is told with file, line and path before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from jsonschema import Draft202012Validator

from cli.catalog.messages import Misfit, Table, fill
from cli.catalog.nodes import CatalogError, Problem
from cli.catalog.reader import Catalog, catalog_of, line_of, read_catalog, read_table
from cli.events.instant import parse_time_or_date
from cli.scenario.schema import published
from cli.scenario.verbs import VERBS

_BESIDE_THE_STEP = ("at", "fails")


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the timeline, at `path`. `contents` is a Catalog, a request, a time, or the table as it is."""

    path: str
    name: str
    contents: Catalog | Message | datetime | Table
    at: datetime | None = None
    fails: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`lines` has the line of every path."""

    file: str
    name: str
    start: datetime
    steps: tuple[Step, ...]
    lines: Mapping[str, int] = field(default_factory=dict)

    def line(self, path: str) -> int:
        return line_of(dict(self.lines), path)


def read_scenario(path: Path) -> Scenario:
    """Raises CatalogError, or OSError where a file can't be read."""
    file = str(path)
    root, lines = read_table(path.read_bytes(), file, _validator())
    reader = _Reader(file, lines, root.get("currency_code") or "")
    steps = [reader.step(table, f"timeline[{index}]") for index, table in enumerate(root["timeline"])]
    if root.get("catalog"):
        steps.insert(0, Step("catalog", "catalog", reader.catalog(root["catalog"], "catalog")))
    if beside := root.get("catalog_file"):
        steps.insert(0, Step("catalog_file", "catalog", _catalog_beside(path, beside, lines)))
    start = reader.time(root["start"], "start")
    if reader.problems:
        raise CatalogError(file, *reader.problems)
    return Scenario(file, root["name"], start, tuple(steps), lines)


def _catalog_beside(path: Path, name: str, lines: dict[str, int]) -> Catalog:
    beside = path.parent / name
    try:
        return read_catalog(beside.read_bytes(), str(beside))
    except OSError as error:
        problem = Problem(line_of(lines, "catalog_file"), "catalog_file", f"{beside}: {error.strerror}")
        raise CatalogError(str(path), problem) from None


class _Reader:
    """Collects what is wrong in `problems`."""

    def __init__(self, file: str, lines: dict[str, int], currency: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._lines = lines
        self._currency = currency

    def step(self, table: Table, path: str) -> Step:
        (name,) = (key for key in table if key not in _BESIDE_THE_STEP)
        at = self.time(table["at"], f"{path}.at") if table.get("at") else None
        contents = self._contents(name, table[name], f"{path}.{name}")
        return Step(f"{path}.{name}", name, contents, at, table.get("fails") or "")

    def _contents(self, name: str, table: Any, path: str) -> Catalog | Message | datetime | Table:
        if name == "catalog":
            return self.catalog(table or {}, path)
        if name == "advance":
            return self.time(table, path)
        if name not in VERBS:
            return table or {}
        request = VERBS[name].request()
        try:
            fill(VERBS[name].target(request), table, self._currency)
        except Misfit as misfit:
            self._add(f"{path}.{misfit.path}", misfit.reason)
        return request

    def catalog(self, table: Table, path: str) -> Catalog:
        lines = {key.removeprefix(f"{path}."): line for key, line in self._lines.items() if key.startswith(path)}
        return catalog_of(table, self._file, lines)

    def time(self, text: str, path: str) -> datetime:
        try:
            return parse_time_or_date(text)
        except ValueError as error:
            self._add(path, str(error))
            return datetime.min.replace(tzinfo=UTC)

    def _add(self, path: str, message: str) -> None:
        self.problems.append(Problem(line_of(self._lines, path), path, message))


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(published())
