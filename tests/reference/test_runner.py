"""The runner itself: what it must not let pass."""

import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from libs.common.clock import system_clock
from services.pricing.main import Settings, running
from tests.reference import charge_model
from tests.reference.cases import DEFAULT_FILE, Case, Json, Unsupported, World, read_cases
from tests.reference.comparison import COMPARE, differences

ROOT = Path(__file__).parents[2]
CHARGE_MODELS = {case.id: case for case in read_cases(DEFAULT_FILE) if case.kind == "charge_model"}


async def test_every_figure_of_every_case_is_compared(world: World) -> None:
    """Breaking any of them, in any case, is noticed."""
    settings = Settings(world.database.dsns["pricing"], world.keys.public_pem, world.keys.private_pem, "127.0.0.1:0")
    async with running(settings, system_clock) as port:
        for case in CHARGE_MODELS.values():
            async with charge_model.client(port, world, tenant_id=case.id) as pricing:
                observed = await charge_model.observe(case, pricing)
            assert differences(case.expect, observed) == []
            wrong = list(broken(case.expect))
            assert len(wrong) > 1
            assert all(differences(expected, observed) for expected in wrong)


def broken(expected: Json) -> Iterator[Json]:
    """`expected` with one figure after the other changed."""
    for path in leaves(expected, ()):
        copy: Any = deepcopy(expected)
        *way, last = path
        place = copy
        for step in way:
            place = place[step]
        place[last] = "987654.321"
        yield copy


def leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, each in value.items():
            if not key.endswith(COMPARE):
                yield from leaves(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*path, index))
    else:
        yield path


@pytest.mark.parametrize(
    ("part", "change", "missing"),
    [
        ("given", {"charge_model": "custom"}, "the charge model 'custom'"),
        ("given", {"colour": "red"}, "given.colour"),
        ("given", {"properties": {"amount": "5", "tax": 1}}, "given.properties.tax"),
        ("when", {"units": "1", "weather": "rain"}, "when.weather"),
        ("expect", {"amount": "51.2345", "refund": "1"}, "expect.refund"),
        ("expect", {"amount": "51.23", "amount_compare": {"floor": 2}}, "expect.amount_compare.floor"),
    ],
)
async def test_words_that_the_runner_does_not_know_are_named(
    world: World, part: str, change: Json, missing: str
) -> None:
    case = CHARGE_MODELS["cm-standard-02"]
    parts = {"given": case.given, "when": case.when, "expect": case.expect}
    parts[part] = parts[part] | change
    with pytest.raises(Unsupported) as unsupported:
        await charge_model.run(Case("changed", "charge_model", **parts), world)
    assert str(unsupported.value) == missing


def test_every_case_of_another_file_is_run_and_what_is_not_supported_fails(tmp_path: Path) -> None:
    right = next(each for each in json.loads(DEFAULT_FILE.read_text())["cases"] if each["id"] == "cm-standard-02")
    wrong = deepcopy(right) | {"id": "wrong"}
    wrong["expect"]["amount"] = "51.2346"
    file = tmp_path / "cases.json"
    cases = [
        right,
        wrong,
        {"id": "rumour-01", "kind": "rumour", "expect": {}},
        right | {"id": "th-1", "kind": "scenario"},
    ]
    file.write_text(json.dumps({"cases": cases}))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/reference",
        "--cases",
        str(file),
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "3 failed, 1 passed" in done.stdout
    assert f"reference cases: all of {file}" in done.stdout
    assert "expect.amount is 51.2345, expected 51.2346" in done.stdout
    assert "no runner for cases of the kind 'rumour'" in done.stdout
    assert "the runner of scenarios does not support given.charge_model" in done.stdout


@pytest.mark.parametrize("text", ["[]", "{}", '{"cases": [{"id": "a"}]}', '{"cases": [3]}'])
def test_a_file_without_cases_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cases.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="has no reference cases"):
        read_cases(file)


def test_an_id_that_two_cases_have_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"cases": [{"id": "a", "kind": "k", "expect": {}}] * 2}))
    with pytest.raises(ValueError, match="several cases a"):
        read_cases(file)
