"""The Dockerfile and compose.yaml agree with the code, as far as that shows without running Docker."""

import json
import re
from typing import Any

import pytest
import yaml

from sandbox.main import read_settings
from services.__main__ import SERVICES
from tests.deploy.manifests import ROOT
from tests.deploy.processes import is_process, known, required, roles, stopping_seconds
from tests.deploy.test_kubernetes import VERSION

DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = [line.partition(" ") for line in DOCKERFILE.splitlines() if re.match("[A-Z]+ ", line)]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: each for name, each in COMPOSE.items() if each["image"] == f"weir:{VERSION}"}
PROCESSES = {name: each for name, each in OURS.items() if "entrypoint" not in each}


def values(instruction: str) -> list[str]:
    return [value for name, _, value in INSTRUCTIONS if name == instruction]


def test_the_image_runs_a_process_as_nobody() -> None:
    assert json.loads(values("ENTRYPOINT")[-1]) == ["python", "-m", "services"]
    assert is_process([*json.loads(values("CMD")[-1]), "server"])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", values("USER")[-1])


def test_everything_installed_is_verified_by_hash() -> None:
    installs = re.findall(r"uv (?:pip install|build) [^&\n]*", DOCKERFILE)
    assert len(installs) == 3
    assert [each for each in installs if "--require-hashes" not in each and "--no-deps" not in each] == []


def test_official_images_are_named_without_a_registry() -> None:
    named = [value.split()[0] for value in values("FROM")] + [each["image"] for each in COMPOSE.values()]
    assert [name for name in named if "." in name.partition("/")[0].partition(":")[0]] == []


def test_what_the_image_copies_is_sent_to_the_builder_and_exists() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines
    assert [name for name in sent if not (ROOT / name).exists()] == []
    for value in values("COPY"):
        source = value.split()[0]
        assert source in (".", *sent) or source.startswith("--from")


def test_compose_runs_every_process_of_every_service() -> None:
    assert sorted(tuple(each["command"]) for each in PROCESSES.values()) == sorted(
        (service, role) for service in SERVICES for role in roles(service)
    )


def test_compose_runs_the_sandbox_where_a_callback_can_reach_it() -> None:
    settings = read_settings(COMPOSE["sandbox"]["command"], {})
    assert COMPOSE["payments"]["environment"]["WEIR_STRIPE_API_URL"].endswith(f"http://sandbox:{settings.port}}}")


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_has_a_read_only_root_and_no_privileges(name: str) -> None:
    container = OURS[name]
    assert container["read_only"] is True
    assert container["user"] == values("USER")[-1]
    assert container["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in container["security_opt"]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_is_given_the_variables_that_its_settings_name(name: str) -> None:
    service, role = PROCESSES[name]["command"]
    assert required(service, role) <= PROCESSES[name]["environment"].keys() <= known(service, role)


@pytest.mark.parametrize("name", [name for name, each in PROCESSES.items() if each["command"][1] != "migrate"])
def test_a_container_gets_longer_to_stop_than_its_process_takes(name: str) -> None:
    seconds = int(PROCESSES[name]["stop_grace_period"].removesuffix("s"))
    assert seconds > stopping_seconds(*PROCESSES[name]["command"])


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "compose.yaml").read_text()
    secret = re.compile(r"\$\{(\w*(?:PASSWORD|KEYS?))([^}]*)\}")
    assert {suffix for _, suffix in secret.findall(text)} == {":?"}
    for container in COMPOSE.values():
        for name, value in container.get("environment", {}).items():
            assert not re.search("PASSWORD|KEY|DSN|AUTH|REDIS", name) or "${" in value


@pytest.mark.parametrize("name", COMPOSE)
def test_a_container_waits_for_others_that_exist_and_say_when_they_are_ready(name: str) -> None:
    for other, condition in COMPOSE[name].get("depends_on", {}).items():
        if condition["condition"] == "service_healthy":
            assert "healthcheck" in COMPOSE[other]
        else:
            assert condition["condition"] == "service_completed_successfully"
            assert COMPOSE[other]["command"][1] == "migrate"
