"""`weir up` as a user runs it, and the commands beside it."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from cli.main import run

EXAMPLES = Path(__file__).parents[2] / "examples"

CATALOG = """\
meters:
  - {code: calls, aggregation: count}
  - {code: seconds, event_code: calls, aggregation: sum, value_property: seconds}
plans:
  - code: pro
    name: Pro
    currency_code: EUR
    billing_interval: monthly
    base_fee: 10.00
    charges:
      - {code: calls, meter_code: calls, standard: {unit_price: 0.10}}
"""
EVENTS = """\
id,customer,when,seconds
a,acme,2024-01-05T10:00:00Z,1.5
b,acme,2024-01-05T11:00:00Z,oops
c,acme,2024-01-06T10:00:00Z,2.25
d,acme,2024-01-07,1
e,acme,2024-01-08T10:00:00Z,3
"""
MAPPING = ["--subscription", "{customer}", "--transaction-id", "{id}", "--code", "calls", "--timestamp", "when"]


@dataclass(frozen=True, slots=True)
class Up:
    data: Path
    process: subprocess.Popen[str]
    said: dict[str, Any]


@contextmanager
def up(data: Path) -> Iterator[Up]:
    command = [sys.executable, "-m", "cli.main", "up", "--json", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        while not said.endswith("\n}\n") and (line := process.stdout.readline()):
            said += line
        assert said, process.stderr.read()
        try:
            yield Up(data, process, json.loads(said))
        finally:
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=30)
        assert (rest, errors, process.returncode) in (("", "", 0), ("", "", -signal.SIGKILL))


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up")) as started:
        yield started


@pytest.fixture
def call(weir: Up, capsys: pytest.CaptureFixture[str]) -> "Call":
    return Call(weir.data, capsys)


@dataclass(frozen=True, slots=True)
class Call:
    """Runs a command against `weir`; answers with its exit code, what it printed and what it complained about."""

    data: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = run([*arguments, "--data", str(self.data)])
        out, err = self.capsys.readouterr()
        return code, out, err

    def json(self, *arguments: str) -> Any:
        code, out, err = self(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)


def test_it_says_where_everything_is(weir: Up) -> None:
    assert set(weir.said["services"]) == {"metering", "pricing", "invoicing", "payments"}
    assert weir.said["api_key"].startswith("weir_test_")
    assert weir.said["seconds"]["total"] < 20  # 4 s on a machine that has nothing else to do
    assert stat.S_IMODE((weir.data / "endpoint.json").stat().st_mode) == 0o600


def test_a_second_one_on_the_same_data_is_refused(weir: Up, call: Call) -> None:
    expected = f"weir: weir is already running on {weir.data} (process {weir.process.pid})\n"
    assert call("up", "--json") == (1, "", expected)


def test_a_customer_is_billed_by_hand(weir: Up, call: Call, tmp_path: Path) -> None:
    catalog, events = tmp_path / "catalog.yaml", tmp_path / "events.csv"
    catalog.write_text(CATALOG)
    events.write_text(EVENTS)

    dry = call.json("apply", "-f", str(catalog), "--dry-run")
    assert (dry["applied"], {change["action"] for change in dry["changes"]}) == (False, {"create"})
    assert call.json("apply", "-f", str(catalog))["applied"]
    again = call.json("apply", "-f", str(catalog))
    assert (again["applied"], {change["action"] for change in again["changes"]}) == (False, {"unchanged"})

    assert call.json("clock", "create", "2024-01-01")["clock"]["now"] == "2024-01-01T00:00:00Z"
    assert call.json("customers", "create", "acme", "--name", "Acme")["customer"]["time_zone"] == "UTC"
    subscribed = call.json(
        "subscriptions", "create", "acme", "--customer", "acme", "--plan", "pro", "--start", "2024-01-01"
    )
    assert subscribed["subscription"]["plan_version"] == 1

    code, out, err = call("events", "send", "-f", str(events), *MAPPING, "--json")
    assert code == 1
    first, second = err.splitlines()
    assert first.startswith("weir: line 3, column seconds: ")
    assert second.startswith("weir: line 5, column when: '2024-01-07' is not a timestamp such as 2023-11-16T18:17:03")
    sent = json.loads(out)
    assert [sent[name] for name in ("sent", "accepted", "duplicates", "failure_count")] == [4, 3, 0, 2]
    assert [(each["row"], each["line"], each["column"]) for each in sent["failures"]] == [
        (1, 3, "seconds"),
        (3, 5, "when"),
    ]

    events.write_text(EVENTS.replace("oops", "4").replace("2024-01-07,", "2024-01-07T00:00:00Z,"))
    sent = call.json("events", "send", "-f", str(events), *MAPPING)
    assert [sent[name] for name in ("sent", "accepted", "duplicates", "failure_count")] == [5, 2, 3, 0]
    used = call.json("usage", "acme", "--from", "2024-01-01")
    assert {each["meter_code"]: each["quantity"] for each in used["usages"]} == {"calls": "5", "seconds": "11.75"}
    assert call.json("usage", "acme", "--meter", "calls")["period"]["end_time"] == "2024-02-01T00:00:00Z"

    run_state = call.json("clock", "advance", "2024-02-01")["billing_run"]
    assert (run_state["state"], run_state["finalized_count"]) == ("STATE_COMPLETED", 1)
    [invoice] = call.json("invoices", "list")["invoices"]
    assert invoice["total"] == {"currency_code": "EUR", "minor_units": "1050"}
    assert call.json("invoices", "show", invoice["number"])["invoice"]["id"] == invoice["id"]
    explained = call.json("invoices", "explain", invoice["id"])["lines"]
    assert [(each["line"]["code"], each["reproduced"]) for each in explained] == [("base", True), ("calls", True)]
    assert len(call.json("invoices", "explain", invoice["number"], "calls")["lines"]) == 1


def test_a_file_that_was_sent_is_resumed_at_its_end(weir: Up, call: Call, tmp_path: Path) -> None:
    events = tmp_path / "more.csv"
    events.write_text("id,customer,when,seconds\n" + "x0,other,2024-01-05T10:00:00Z,1\n")
    assert call.json("events", "send", "-f", str(events), *MAPPING)["sent"] == 1
    with events.open("a") as more:
        more.write("x1,other,2024-01-05T10:00:00Z,1\n")
    resumed = call.json("events", "send", "-f", str(events), *MAPPING, "--resume")
    assert [resumed[name] for name in ("resumed_from_row", "sent", "accepted")] == [1, 1, 1]
    assert call.json("events", "send", "-f", str(events), *MAPPING, "--resume")["sent"] == 0


def test_the_past_is_filled_in_and_put_right_by_hand(weir: Up, call: Call, tmp_path: Path) -> None:
    events = tmp_path / "past.csv"
    events.write_text("id,customer,when,seconds\n" + "p0,late,2022-01-05T10:00:00Z,1\np1,late,2022-01-06T10:00:00Z,2\n")

    def seconds() -> str:
        found = call.json("usage", "late", "--from", "2022-01-01", "--meter", "seconds")["usages"]
        return str(found[0]["quantity"])

    backfill_id = call.json("backfill", "open", "--reason", "before Weir")["backfill"]["id"]
    assert call.json("events", "send", "-f", str(events), *MAPPING, "--backfill", backfill_id)["accepted"] == 2
    assert seconds() == "0"
    assert call("backfill", "close", backfill_id) == (0, f"Backfill {backfill_id} is closed; 2 events.\n", "")
    assert seconds() == "3"
    amended = call.json("amend", "late", "p1", "--set", "seconds=7", "--reason", "milliseconds")["amendment"]
    assert seconds() == "8"
    code, _, err = call("backfill", "revert", backfill_id)
    assert (code, "[BACKFILL_AMENDED]" in err) == (1, True)
    where = ("--at", "2022-01-06T10:00:00Z", "--reason", "never happened")
    assert call("amend", "late", "p1", *where, "--deprecate")[1].startswith("Deprecated p1: amd_")
    assert seconds() == "1"
    code, _, err = call("amend", "late", "p1", *where, "--deprecate")
    assert (code, err) == (1, "weir: late has no event p1 at 2022-01-06T10:00:00Z\n")
    assert call.json("backfill", "revert", backfill_id)["backfill"]["state"] == "STATE_REVERTED"
    assert seconds() == "0"
    assert "before Weir" in call("backfill", "list")[1]
    assert amended["replaced"]["properties"] == {"seconds": "2"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["meters", "list"], "seconds"),
        (["plans", "list"], "10 EUR"),
        (["customers", "list"], "Acme"),
        (["subscriptions", "list"], "pro v1"),
        (["usage", "acme", "--from", "2024-01-01"], "11.75"),
        (["clock", "show"], "2024-02-01T00:00:00Z (test clock)"),
        (["invoices", "list"], "2024-01-01 to 2024-02-01"),
        (["payments", "list"], "acme"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_people_get_tables(command: list[str], expected: str, call: Call) -> None:
    code, out, err = call(*command)
    assert (code, err) == (0, "")
    assert expected in out


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["invoices", "show", "INV-0"], "weir: there is no invoice with the number INV-0\n"),
        (["invoices", "show", "inv_0"], "[INVOICE_NOT_FOUND]\n"),
        (["usage", "acme", "--meter", "nothing"], "[METER_NOT_FOUND]\n"),
        (["customers", "create", "acme", "--name", "Acme"], "[CUSTOMER_EXISTS]\n"),
        (["clock", "advance", "2020-01-01"], "[CLOCK_BACKWARD]\n"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_service_s_refusal_is_one_line(command: list[str], expected: str, call: Call) -> None:
    code, out, err = call(*command, "--json")
    assert (code, out) == (1, "")
    assert err.startswith("weir: ")
    assert err.endswith(expected)
    assert err.count("\n") == 1


def test_a_key_of_nobody_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_API_KEY", "weir_test_forged")
    code, _, err = call("invoices", "list")
    assert (code, err.endswith("[CREDENTIAL_INVALID]\n")) == (1, True)


def test_another_tenant_sees_nothing_of_it(weir: Up, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    other = call.json("keys", "create", "--tenant", "other")["api_key"]
    monkeypatch.setenv("WEIR_API_KEY", other)
    assert call.json("invoices", "list") == {"invoices": []}
    assert call.json("meters", "list") == {"meters": []}


def test_a_changed_meter_is_refused_and_nothing_is_applied(call: Call, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG.replace("event_code: calls", "event_code: other").replace("0.10", "0.20"))
    code, out, err = call("apply", "-f", str(catalog), "--json")
    assert (code, out) == (1, "")
    assert err.startswith(f"weir: {catalog}:3: meters[1].event_code: meter 'seconds' was made with calls")
    assert call.json("plans", "list")["plans"][0]["latest_version"]["version"] == 1


def test_the_example_comes_to_the_invoice_that_one_expects(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_API_KEY", call.json("keys", "create", "--tenant", "example")["api_key"])
    call.json("apply", "-f", str(EXAMPLES / "gpu-cloud.yaml"))
    call.json("clock", "create", "2024-03-01")
    call.json("customers", "create", "initech", "--name", "Initech")
    subscribed = ["--customer", "initech", "--plan", "gpu-cloud", "--start", "2024-03-01"]
    call.json("subscriptions", "create", "initech-gpu", *subscribed)
    assert call.json("events", "send", "-f", str(EXAMPLES / "gpu-hours.ndjson"))["accepted"] == 3
    call.json("clock", "advance", "2024-04-01", "--wait")
    invoice = call.json("invoices", "show", "INV-202404-000001")["invoice"]
    amounts = {line["code"]: int(line["amount"]["minor_units"]) for line in invoice["lines"]}
    assert amounts == {"a100": 1229, "h100": 34900 + 3663}  # 6.5 × 1.89; 100 × 3.49 and 12.25 × 2.99
    assert invoice["tax"]["minor_units"] == "7560"


def test_ctrl_c_stops_everything_and_the_next_start_finds_its_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data) as first:
        assert run(["customers", "create", "acme", "--name", "Acme", "--data", str(data)]) == 0
    assert _alive(first) == []
    assert not (data / "endpoint.json").exists()
    with up(data) as second:
        assert second.said["api_key"] == first.said["api_key"]
        assert run(["customers", "create", "acme", "--name", "Acme", "--data", str(data)]) == 1
        second.process.kill()
        _wait_until_none_is_alive(second)


def _alive(weir: Up) -> list[int]:
    found = []
    for process_id in weir.said["process_ids"].values():
        try:
            os.kill(process_id, 0)
            found.append(process_id)
        except ProcessLookupError:
            continue
    return found


def _wait_until_none_is_alive(weir: Up) -> None:
    """On Linux children end with their parent, however it ends; elsewhere a killed parent leaves them."""
    deadline = monotonic() + 10
    while sys.platform == "linux" and _alive(weir):
        assert monotonic() < deadline, _alive(weir)
        sleep(0.05)
