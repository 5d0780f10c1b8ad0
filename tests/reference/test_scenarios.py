"""Scenarios: one deployment plays them all, each as a tenant of its own."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from tests.conftest import Keys, cloned
from tests.reference.cases import DEFAULT_FILE, Case, Json, Unsupported, read_cases
from tests.reference.conftest import cases_file
from tests.reference.scenario import checks
from tests.reference.scenario.books import Books
from tests.reference.scenario.play import run
from tests.reference.scenario.stack import Clients, Stack, running
from tests.reference.selection import READ_DIFFERENTLY
from tests.reference.test_runner import broken

pytestmark = pytest.mark.asyncio(loop_scope="module")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    cases = read_cases(cases_file(metafunc.config) or DEFAULT_FILE)
    scenarios = [case for case in cases if case.kind == "scenario"]
    metafunc.parametrize("case", scenarios, ids=[case.id for case in scenarios])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[Stack]:
    async with cloned(postgres, template) as database, running(database, keys, valkey.url) as started:
        yield started


async def test_scenario(case: Case, stack: Stack) -> None:
    try:
        wrong = await run(case, stack, held)
    except Unsupported as unsupported:
        pytest.fail(f"the runner of scenarios does not support {unsupported}", pytrace=False)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


async def test_what_is_read_differently_is_in_the_cases_and_is_another_figure() -> None:
    cases = {case.id: case for case in read_cases(DEFAULT_FILE)}
    for case_id, changes in READ_DIFFERENTLY.items():
        for (after, subject), figures in changes.items():
            [check] = [each for each in cases[case_id].expect["checks"] if each["after"] == after and subject in each]
            assert all(check[name] != figure for name, figure in figures.items())


async def held(clients: Clients, books: Books, check: Json) -> list[str]:
    """What differs; where nothing does, every figure is looked at: another one would differ."""
    if wrong := await checks.wrong(clients, books, check):
        return wrong
    chosen = {key: check[key] for key in checks.SELECTORS if key in check}
    figures = {key: value for key, value in check.items() if key not in chosen}
    assert figures
    for other in broken(figures):
        assert await checks.wrong(clients, books, chosen | other), f"not looked at: {check} against {other}"
    return []


@pytest.mark.parametrize(
    ("part", "change", "missing"),
    [
        ("given", {"colour": "red"}, "given.colour"),
        ("given", {"customer": {"timezone": "UTC", "mood": "good"}}, "given.customer.mood"),
        ("given", {"taxes": [{"code": "vat", "rate": 20, "applied_to": "rain"}]}, "a tax applied to 'rain'"),
        ("when", {"do": "sing"}, "the step 'sing'"),
        ("when", {"weather": "rain"}, "when.timeline.s1.weather"),
        ("expect", {"refund": 1}, "expect after s1, first invoice.refund"),
        ("expect", {"of": "both"}, "an invoice of 'both'"),
        ("expect", {"invoice": "second"}, "'second' of several"),
    ],
)
async def test_words_that_the_runner_does_not_know_are_named(
    stack: Stack, part: str, change: Json, missing: str
) -> None:
    """`change` is to the case's configuration, its only step, or its only check."""
    [case] = [each for each in read_cases(DEFAULT_FILE) if each.id == "sc-inv-02"]
    [step], [check] = case.when["timeline"], case.expect["checks"]
    changed = Case(
        f"changed-{uuid4()}",
        case.kind,
        case.given | (change if part == "given" else {}),
        {"timeline": [step | (change if part == "when" else {})]},
        {"checks": [check | (change if part == "expect" else {})]},
    )
    with pytest.raises(Unsupported) as unsupported:
        await run(changed, stack)
    assert str(unsupported.value) == missing
