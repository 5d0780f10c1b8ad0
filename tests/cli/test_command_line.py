"""What a command does where nothing runs: usage, errors in one line, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import run
from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from cli.stack.secrets import load_or_make
from libs.common.clock import system_clock
from libs.common.credentials import Verifier, load_private_key
from libs.embedded.process import free_port

COMMANDS = [
    ["up"],
    ["demo"],
    ["apply"],
    ["usage"],
    ["reconcile"],
    ["archive", "list"],
    ["archive", "restore"],
    ["simulate"],
    ["explain"],
    ["meters", "list"],
    ["plans", "list"],
    ["events", "send"],
    ["dead-letters", "list"],
    ["dead-letters", "show"],
    ["dead-letters", "replay"],
    ["alerts", "create"],
    ["alerts", "list"],
    ["alerts", "delete"],
    ["alerts", "triggers"],
    ["backfill", "open"],
    ["backfill", "close"],
    ["backfill", "revert"],
    ["backfill", "list"],
    ["amend"],
    ["clock", "show"],
    ["clock", "create"],
    ["clock", "advance"],
    ["customers", "list"],
    ["customers", "create"],
    ["subscriptions", "list"],
    ["subscriptions", "create"],
    ["subscriptions", "terminate"],
    ["subscriptions", "units"],
    ["subscriptions", "set-units"],
    ["subscriptions", "advance-fees"],
    ["subscriptions", "pay-fees"],
    ["invoices", "replay"],
    ["invoices", "preview"],
    ["invoices", "list"],
    ["invoices", "show"],
    ["invoices", "explain"],
    ["invoices", "create"],
    ["invoices", "adjust"],
    ["invoices", "reset"],
    ["payments", "list"],
    ["payments", "connect"],
    ["payments", "save-method"],
    ["payments", "retry"],
    ["keys", "create"],
]


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "home"))
    for name in ("API_KEY", "SIGNING_KEY", *(f"{service.upper()}_TARGET" for service in SERVICES)):
        monkeypatch.delenv(f"WEIR_{name}", raising=False)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and the one line on standard error; nothing is on standard output."""
    code = run(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("weir: ")
    assert err.count("\n") == 1
    return code, err.removeprefix("weir: ").rstrip("\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Usage: weir" in capsys.readouterr().out


def test_help_loads_nothing_that_is_slow_to_load() -> None:
    script = "import sys; from cli.main import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not {"grpc", "google.protobuf", "jsonschema", "asyncpg", "arq", "yaml"} & set(ended.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fly"], "No such command 'fly'."),
        (["apply"], "Missing option '--file' / '-f'."),
        (["up", "--port", "1"], "No such option: --port"),
        (["clock", "advance", "soon"], "TIME: 'soon' is not a timestamp such as 2023-11-16T18:17:03.979960Z"),
        (["events", "send", "-f", "-", "--resume"], "--resume needs --checkpoint here"),
        (["keys", "create", "--tenant", "a", "--scope", "fly"], "there is no scope 'fly'"),
        (["invoices"], "Missing command."),
        (["dead-letters", "replay"], "name the IDs of dead letters, or a --connector"),
        (["dead-letters", "list", "--state", "lost"], "--state: 'lost' is none of waiting, requested, replayed"),
        (
            ["alerts", "create", "quota", "--subscription", "s", "--meter", "m", "--window", "year"],
            "--window: 'year' is none of lifetime, hour, day, week, month",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = failure(capsys, *arguments)
    assert line.startswith(expected)
    assert code == 2


def test_where_nothing_runs_it_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, line = failure(capsys, "invoices", "list", "--json")
    assert (code, line.partition(":")[0]) == (1, f"no weir is running on {tmp_path / 'home'}")


def test_a_service_that_is_away_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    nowhere = {service: f"127.0.0.1:{free_port()}" for service in SERVICES}
    write_endpoint(tmp_path, Endpoint("demo", "weir_test_x", nowhere))
    code, line = failure(capsys, "invoices", "list", "--data", str(tmp_path))
    assert code == 1
    assert line.startswith("the peer did not answer: ")
    assert line.endswith("[PEER_UNAVAILABLE]")


def test_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure(capsys, "apply", "-f", "none.yaml") == (1, "none.yaml: No such file or directory")
    assert failure(capsys, "demo", "--trace", "none.csv", "--json") == (1, "none.csv: No such file or directory")


def test_a_broken_catalog_is_refused_before_any_service_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("taxes:\n  - {code: vat, name: VAT}\n")
    assert failure(capsys, "apply", "-f", str(path)) == (1, f"{path}:2: taxes[0].rate_percent: is required")


def test_each_fault_of_a_catalog_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("taxes:\n  - {code: vat}\n")
    assert run(["apply", "-f", str(path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"weir: {path}:2: taxes[0].name: is required",
        f"weir: {path}:2: taxes[0].rate_percent: is required",
    ]


def test_a_broken_trace_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,1,1\n2023-11-16 18:17:03,many,1\n")
    code, line = failure(capsys, "demo", "--trace", str(path), "--json")
    assert code == 1
    assert line.startswith(f"{path}: line 3, column ContextTokens: 'many' is not a number of tokens")


def test_a_data_directory_that_cannot_be_made_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, line = failure(capsys, "up", "--json", "--data", str(tmp_path / "file" / "data"))
    assert (code, line) == (1, f"the data directory {tmp_path / 'file' / 'data'} can't be used: Not a directory")


def test_a_key_is_signed_with_the_deployment_s_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    signing_key = load_or_make(tmp_path).signing_key
    assert run(["keys", "create", "--tenant", "acme", "--scope", "usage:read", "--data", str(tmp_path), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    caller = Verifier([load_private_key(signing_key).public_key()], system_clock).caller(made["api_key"])
    assert (caller.tenant_id, caller.scopes, caller.live) == ("acme", frozenset({"usage:read"}), False)


def test_a_key_needs_a_signing_key_and_a_tenant_that_can_be_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, line = failure(capsys, "keys", "create", "--tenant", "acme")
    assert (code, line.endswith("or set WEIR_SIGNING_KEY")) == (1, True)
    monkeypatch.setenv("WEIR_SIGNING_KEY", load_or_make(tmp_path).signing_key)
    code, line = failure(capsys, "keys", "create", "--tenant", "Acme Ltd")
    assert (code, line.partition(":")[0]) == (1, "'Acme Ltd' is not a tenant id")
