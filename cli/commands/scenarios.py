"""`weir scenario`."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cli.catalog.nodes import CatalogError
from cli.connection import connected_to
from cli.errors import CliError
from cli.output import console, print_json
from cli.scenario.reading import Scenario, read_scenario
from cli.scenario.recording import recorded
from cli.scenario.running import Outcome, run_scenarios
from cli.scenario.schema import published
from cli.stack.endpoint import FILE, SERVICES, Endpoint, read_endpoint
from cli.stack.secrets import load
from cli.stack.stack import running


async def run_files(data: Path, files: Sequence[Path], parallel: int, *, as_json: bool) -> int:
    """Exit code 1 where a scenario went otherwise than it says."""
    scenarios = _read_all(files)

    def done(outcome: Outcome) -> None:
        if not as_json:
            _print(outcome)

    async with _stack(data) as (endpoint, signing_key):
        outcomes = await run_scenarios(endpoint, signing_key, scenarios, parallel, done)
    failed = sum(bool(each.differences) for each in outcomes)
    if as_json:
        print_json({"scenarios": [_document(each) for each in outcomes], "failed": failed})
    else:
        console.print(f"{len(outcomes) - failed} of {len(outcomes)} scenarios went as they say.")
    return 1 if failed else 0


def _read_all(files: Sequence[Path]) -> list[Scenario]:
    """All of them, or everything that is wrong with any."""
    scenarios, problems = [], []
    for file in _expanded(files):
        try:
            scenarios.append(read_scenario(file))
        except CatalogError as error:
            problems.append(str(error))
    if problems:
        raise CliError("\n".join(problems))
    return scenarios


def _expanded(files: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for each in files:
        found += sorted(each.glob("*.yaml")) if each.is_dir() else [each]
    if not found:
        raise CliError("there is no scenario: a directory's are its files that end in .yaml")
    return found


@asynccontextmanager
async def _stack(data: Path) -> AsyncIterator[tuple[Endpoint, str]]:
    """Where to run, and the key that signs for new tenants."""
    named = [f"WEIR_{service.upper()}_TARGET" for service in SERVICES]
    if (data / FILE).exists() or all(os.environ.get(each) for each in named):
        yield read_endpoint(data), os.environ.get("WEIR_SIGNING_KEY") or load(data).signing_key
        return
    directory = Path(tempfile.mkdtemp(prefix="weir-scenario-"))
    directory.chmod(0o711)  # where Postgres must run as another user, that user has to get in
    try:
        async with running(directory, lambda line: print(f"weir: {line}", file=sys.stderr, flush=True)) as stack:
            yield stack.endpoint, os.environ.get("WEIR_SIGNING_KEY") or load(directory).signing_key
    finally:
        shutil.rmtree(directory)


def _print(outcome: Outcome) -> None:
    scenario = outcome.scenario
    mark, style = ("✗", "red") if outcome.differences else ("✓", "green")
    console.print(f"[{style}]{mark}[/] ", end="")
    console.print(f"{scenario.file}: {scenario.name} ({outcome.seconds:.1f} s)", markup=False, soft_wrap=True)
    for each in outcome.differences:
        console.print(f"    {scenario.file}:{scenario.line(each.path)}: {each.path}", markup=False, soft_wrap=True)
        console.print(f"      - {each.expected}", style="red", markup=False, soft_wrap=True)
        console.print(f"      + {each.found}", style="green", markup=False, soft_wrap=True)
    if outcome.differences:
        console.print(f"    tenant {outcome.tenant_id}, after {outcome.steps} steps", style="dim", markup=False)


def _document(outcome: Outcome) -> dict[str, object]:
    scenario = outcome.scenario
    return {
        "file": scenario.file,
        "name": scenario.name,
        "tenant_id": outcome.tenant_id,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 3),
        "differences": [
            {"line": scenario.line(each.path), "path": each.path, "expected": each.expected, "found": each.found}
            for each in outcome.differences
        ],
    }


async def record_customer(data: Path, customer: str, file: Path | None) -> None:
    async with connected_to(data) as services:
        text = await recorded(services, customer)
    if file is None:
        print(text, end="")
    else:
        file.write_text(text, encoding="utf-8")


def print_schema() -> None:
    print(json.dumps(published(), indent=2, ensure_ascii=False))
