import json
import os
import stat
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.stack.endpoint import SERVICES, Endpoint, read_endpoint, remove_endpoint, write_endpoint
from cli.stack.lock import locked
from cli.stack.secrets import load_or_make
from libs.common.clock import system_clock
from libs.common.credentials import ALL_SCOPES, Verifier, load_private_key

ENDPOINT = Endpoint("demo", "weir_test_x", {name: f"127.0.0.1:{port}" for port, name in enumerate(SERVICES, 7001)})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    made = load_or_make(tmp_path)
    assert load_or_make(tmp_path) == made
    assert mode(tmp_path / "secrets.json") == 0o600


def test_the_api_key_is_a_test_key_of_the_demo_tenant(tmp_path: Path) -> None:
    made = load_or_make(tmp_path)
    verifier = Verifier([load_private_key(made.signing_key).public_key()], system_clock)
    caller = verifier.caller(made.api_key)
    assert (caller.tenant_id, caller.live, caller.scopes) == ("demo", False, ALL_SCOPES)


def test_damaged_secrets_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{}")
    with pytest.raises(CliError, match=r"secrets\.json is damaged"):
        load_or_make(tmp_path)


def test_the_endpoint_is_found_where_it_was_left(tmp_path: Path) -> None:
    write_endpoint(tmp_path, ENDPOINT)
    assert read_endpoint(tmp_path, {}) == ENDPOINT
    assert mode(tmp_path / "endpoint.json") == 0o600
    remove_endpoint(tmp_path)
    remove_endpoint(tmp_path)


def test_without_a_running_stack_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=f"no weir is running on {tmp_path}: start one with `weir up"):
        read_endpoint(tmp_path, {})


def test_the_environment_is_stronger_than_the_file(tmp_path: Path) -> None:
    write_endpoint(tmp_path, ENDPOINT)
    found = read_endpoint(tmp_path, {"WEIR_API_KEY": "weir_live_y", "WEIR_PRICING_TARGET": "pricing:80"})
    assert (found.api_key, found.services["pricing"]) == ("weir_live_y", "pricing:80")
    assert found.services["metering"] == ENDPOINT.services["metering"]


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    targets = {f"WEIR_{name.upper()}_TARGET": f"{name}:80" for name in SERVICES}
    found = read_endpoint(tmp_path / "nowhere", {"WEIR_API_KEY": "weir_live_y", **targets})
    assert found.services == {name: f"{name}:80" for name in SERVICES}


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"port": 1})])
def test_a_file_that_is_no_endpoint_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "endpoint.json").write_text(text)
    with pytest.raises(CliError, match="was not written by this weir"):
        read_endpoint(tmp_path, {})


def test_a_directory_has_one_stack_at_a_time(tmp_path: Path) -> None:
    said = rf"already running on {tmp_path} \(process {os.getpid()}\)"
    with locked(tmp_path), pytest.raises(CliError, match=said), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
