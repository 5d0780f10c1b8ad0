"""What is wrong with a scenario file is told with file, line and path, before anything runs."""

from pathlib import Path

import pytest

from cli.catalog.nodes import CatalogError
from cli.scenario.reading import read_scenario

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"

HEAD = "name: a\nstart: 2026-01-01\ntimeline:\n"


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", ":1: name: is required"),
        ("name: a\n", ":1: start: is required"),
        (HEAD, ":3: timeline: has no value"),
        (HEAD + "  - {}\n", ":4: timeline[0]: needs one of advance, catalog,"),
        (HEAD + "  - jump: 2026-02-01\n", ":4: timeline[0].jump: unknown key"),
        (HEAD + "  - advance: tomorrow\n", ":4: timeline[0].advance: 'tomorrow' is not a timestamp"),
        (HEAD + "  - at: noon\n    advance: 2026-02-01\n", ":4: timeline[0].at: 'noon' is not a timestamp"),
        (HEAD + "  - customer: {id: a, nmae: A}\n", ":4: timeline[0].customer.nmae: unknown key"),
        (HEAD + "  - subscribe:\n      start_time: x\n", ":5: timeline[0].subscribe.start_time: is 'x'; expected"),
        (HEAD + "  - pay: {invoice_id: i, amount: 5}\n", ":4: timeline[0].pay.amount: is an amount, but there is no"),
        (HEAD + "  - pay: {receive_date: 2026-02-30}\n", ":4: timeline[0].pay.receive_date: is '2026-02-30'"),
        (HEAD + "  - events: {code: a}\n", ":4: timeline[0].events.subscription_id: is required"),
        (HEAD + "  - expect:\n      invoices: [{totl: 1}]\n", ":5: timeline[0].expect.invoices[0].totl: unknown"),
        (HEAD + "  - expect: {ledger: {sales: 1}}\n", ":4: timeline[0].expect.ledger.sales: unknown key"),
        (HEAD + "  - catalog:\n      plans: [{code: P}]\n", ":5: timeline[0].catalog.plans[0].code: is 'P'; expected"),
        (HEAD.replace("timeline", "catalog_file: a.yaml\ntimeline") + "  - advance: 2026-02-01\n", ":3: catalog_file:"),
    ],
)  # fmt: skip
def test_a_bad_scenario_is_refused_with_its_line(contents: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(contents)
    with pytest.raises(CatalogError) as refused:
        read_scenario(file)
    assert f"{file}{message}" in str(refused.value)


def test_there_are_a_dozen_examples() -> None:
    names = {read_scenario(file).name for file in EXAMPLES.glob("*.yaml")}
    assert len(names) >= 12
