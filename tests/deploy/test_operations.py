"""docs/operations.md names what the processes read, and nothing else."""

import re

from sandbox.main import read_settings
from tests.deploy.manifests import ROOT
from tests.deploy.processes import processes, settings

DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
TABLE = DOCUMENT.partition("## Environment variables")[2].partition("\n## ")[0]


class Asked(dict[str, str]):
    """An environment that remembers what was looked up."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        self.names.add(name)
        return default


def test_every_variable_that_a_process_reads_is_documented_and_no_other() -> None:
    read = {variable.name for process in processes() for variable in settings(*process)}
    read_settings([], asked := Asked())
    assert set(re.findall(r"WEIR_\w+", TABLE)) == read | asked.names


def test_every_default_is_documented() -> None:
    for process in processes():
        for variable in settings(*process):
            if isinstance(variable.default, str | int) and variable.default != "":
                port = str(variable.default).removeprefix("127.0.0.1")
                assert f"{port}`" in TABLE, variable
