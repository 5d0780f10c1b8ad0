"""`weir scenario` against a running stack."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from tests.e2e.test_up import up
from tests.scenarios.test_reading import EXAMPLES

WRONG = """\
name: Too little
start: 2026-01-01
catalog:
  meters: [{ code: calls, event_code: call, aggregation: count }]
  plans:
    - code: api
      name: API
      currency_code: USD
      billing_interval: monthly
      charges: [{ code: calls, meter_code: calls, standard: { unit_price: 0.10 } }]
timeline:
  - customer: { id: acme, name: Acme }
  - subscribe: { id: s, customer_id: acme, plan_code: api }
  - events: { subscription_id: s, code: call, count: 25 }
  - subscribe: { id: s, customer_id: acme, plan_code: api }
    fails: SUBSCRIPTION_EXISTS
  - advance: 2026-02-01
  - expect:
      usage: [{ subscription_id: s, start_time: 2026-01-01, end_time: 2026-02-01, quantities: { calls: 24 } }]
      invoices:
        - total: 2.49
          lines: [{ code: calls, amount: 2.50 }]
"""
HISTORY = """\
name: A history
start: 2026-01-01
catalog:
  meters:
    - { code: calls, event_code: call, aggregation: count }
    - { code: seats, event_code: seat, aggregation: unique_count, value_property: seat_id, recurring: true }
  plans:
    - code: api
      name: API
      currency_code: USD
      billing_interval: monthly
      base_fee: 30.00
      charges:
        - { code: calls, meter_code: calls, standard: { unit_price: 0.10 } }
        - { code: seats, meter_code: seats, standard: { unit_price: 5.00 } }
    - code: pro
      name: Pro
      currency_code: USD
      billing_interval: monthly
      base_fee: 90.00
      base_fee_in_advance: true
timeline:
  - customer: { id: ada@lovelace.org, name: Ada Lovelace, email: ada@lovelace.org }
  - subscribe: { id: lovelace, customer_id: ada@lovelace.org, plan_code: api }
  - events: { subscription_id: lovelace, code: call, count: 25, properties: { caller: Lady Byron } }
  - at: 2026-01-10
    events: { subscription_id: lovelace, code: seat, properties: { seat_id: seat-7, owner: Babbage } }
  - at: 2026-02-11
    change_plan: { id: lovelace, change: { plan_code: pro, effective: now } }
  - at: 2026-03-11
    terminate: { id: lovelace }
  - advance: 2026-04-01
  - expect:
      invoices: [{ total: 37.50 }, { total: 73.57 }, { total: 90.00 }, { total: 0 }]
      credit_notes: [{ total: 60.97 }]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with up(tmp_path_factory.mktemp("scenarios")) as started:
        yield started.data


def _play(data: Path, capsys: pytest.CaptureFixture[str], *files: Path) -> tuple[int, Any]:
    code = run(["scenario", "run", "--data", str(data), "--json", *map(str, files)])
    return code, json.loads(capsys.readouterr().out)


def test_every_example_goes_as_it_says(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = _play(data, capsys, EXAMPLES)
    assert [each for each in said["scenarios"] if each["differences"]] == []
    assert (code, said["failed"]) == (0, 0)
    assert len({each["tenant_id"] for each in said["scenarios"]}) == len(said["scenarios"]) >= 12


def test_what_went_otherwise_is_told_with_its_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.scenario.playing.PATIENCE_SECONDS", 0.0)
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG)
    code, said = _play(data, capsys, file)
    [played] = said["scenarios"]
    assert (code, said["failed"], played["steps"]) == (1, 1, 6)
    assert [(each["line"], each["expected"], each["found"]) for each in played["differences"]] == [
        (21, "2.49", "2.50"),
        (19, "24", "25"),
    ]
    assert run(["scenario", "run", "--data", str(data), str(file)]) == 1
    shown = capsys.readouterr().out
    assert f"{file}:21: timeline[5].expect.invoices[0].total\n      - 2.49\n      + 2.50\n" in shown
    assert "0 of 1 scenarios went as they say." in shown


def test_a_step_that_should_have_been_refused_is_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "refused.yaml"
    file.write_text(WRONG.replace("SUBSCRIPTION_EXISTS", "OTHER_REASON"))
    code, said = _play(data, capsys, file)
    [difference] = said["scenarios"][0]["differences"]
    assert (code, difference["expected"]) == (1, "refused with OTHER_REASON")


def test_a_recorded_history_is_the_same_when_it_is_played_and_has_no_personal_data(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    history, recorded = tmp_path / "history.yaml", tmp_path / "recorded.yaml"
    history.write_text(HISTORY)
    code, said = _play(data, capsys, history)
    assert (code, said["scenarios"][0]["differences"]) == (0, [])
    tenant = said["scenarios"][0]["tenant_id"]
    assert run(["keys", "create", "--data", str(data), "--tenant", tenant]) == 0
    with monkeypatch.context() as other:
        other.setenv("WEIR_API_KEY", capsys.readouterr().out.strip())
        assert run(["scenario", "record", "ada@lovelace.org", "--data", str(data), "--file", str(recorded)]) == 0
    text = recorded.read_text()
    assert "seat-7" in text
    for personal in ("lovelace", "Lovelace", "Byron", "Babbage"):
        assert personal not in text
    code, said = _play(data, capsys, recorded)
    assert (code, said["scenarios"][0]["differences"]) == (0, [])
