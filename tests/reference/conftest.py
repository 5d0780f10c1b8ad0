"""`pytest tests/reference` runs the committed cases, `pytest tests/reference --cases FILE` all those of a file."""

from pathlib import Path

import pytest

from tests.conftest import Database, Keys
from tests.reference.cases import Case, World
from tests.reference.selection import LATER, is_later


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=Path, metavar="FILE", help="reference cases to run instead of the committed ones")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the committed cases those that are delivered, with the tests of the runner; of another file all, alone."""
    every_case = cases_file(config) is not None
    left_out = [item for item in items if Path(__file__).parent in item.path.parents and not _runs(item, every_case)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    if (file := cases_file(config)) is not None:
        return [f"reference cases: all of {file}"]
    return ["reference cases not run yet:", *(f"  {entry}: {waits_for}" for entry, waits_for in LATER.items())]


@pytest.fixture
def world(database: Database, keys: Keys) -> World:
    return World(database, keys)


def cases_file(config: pytest.Config) -> Path | None:
    """None too when the option is not known, because pytest was started above this folder."""
    found: Path | None = config.getoption("--cases", default=None)
    return found


def _runs(item: pytest.Item, every_case: bool) -> bool:
    """Without `every_case` also the tests of the runner, which are of no case."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    if "case" not in params:
        return not every_case
    case = params["case"]
    return isinstance(case, Case) and (every_case or not is_later(case))
