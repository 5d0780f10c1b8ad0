"""The manifests say what the code needs: every overlay, rendered by every renderer that this machine has."""

import json
import tomllib
import warnings
from pathlib import Path

import kubernetes_validate
import pytest

from libs.common.rpc.server import LIVENESS
from services.__main__ import SERVICES
from tests.deploy.manifests import (
    BASE,
    KUBECTL,
    OVERLAYS,
    RENDERERS,
    ROOT,
    WEBHOOK_HEALTH,
    Document,
    containers,
    key,
    pod,
    render,
    render_with_kubectl,
)
from tests.deploy.processes import composition_root, is_process, known, required, roles, stopping_seconds

KUBERNETES = "1.33"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
RENDERINGS = [(BASE, "own"), *((overlay, renderer) for overlay in OVERLAYS for renderer in RENDERERS)]


@pytest.fixture(scope="module", params=RENDERINGS, ids=lambda p: f"{p[0].name} by {p[1]}")
def documents(request: pytest.FixtureRequest) -> list[Document]:
    folder, renderer = request.param
    return RENDERERS[renderer](folder)


def test_every_document_is_strictly_valid(documents: list[Document]) -> None:
    """Unknown fields and kinds without a schema fail too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for document in documents:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_names_are_unique(documents: list[Document]) -> None:
    assert len({key(document) for document in documents}) == len(documents)


def test_every_process_of_every_service_is_deployed_and_no_other(documents: list[Document]) -> None:
    deployed = [tuple(container["args"]) for document in documents for container in containers(document)]
    assert sorted(deployed) == sorted((service, role) for service in SERVICES for role in roles(service))
    assert all(is_process(list(arguments)) for arguments in deployed)


def test_a_process_is_given_the_variables_that_its_settings_name(documents: list[Document]) -> None:
    for document in documents:
        for container in containers(document):
            given = [variable["name"] for variable in container["env"]]
            assert len(given) == len(set(given)), key(document)
            assert required(*container["args"]) <= set(given) <= known(*container["args"]), key(document)


def test_a_server_listens_where_its_service_and_its_peers_look(documents: list[Document]) -> None:
    by_key = {key(document): document for document in documents}
    for document in documents:
        for container in containers(document):
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
            for variable in container["env"]:
                name, value = variable["name"], variable.get("value", "")
                if name.endswith("_LISTEN"):
                    host, _, port = value.partition(":")
                    assert host == "0.0.0.0"  # noqa: S104 a pod's own address
                    assert ports["webhooks" if "WEBHOOK" in name else "grpc"] == int(port)
                if name.endswith("_TARGET"):
                    host, _, port = value.partition(":")
                    assert int(port) in [each["port"] for each in by_key["Service", host]["spec"]["ports"]]


def test_secrets_come_by_reference_only(documents: list[Document]) -> None:
    assert [document for document in documents if document["kind"] == "Secret"] == []
    secret = ("DSN", "KEY", "KEYS", "REDIS_URL")
    for document in documents:
        for variable in (variable for container in containers(document) for variable in container["env"]):
            if variable["name"].endswith(secret):
                assert "secretKeyRef" in variable["valueFrom"], (key(document), variable["name"])
    assert "PRIVATE KEY" not in json.dumps(documents)


def test_every_image_is_this_release(documents: list[Document]) -> None:
    images = {container["image"] for document in documents for container in containers(document)}
    assert images == {f"weir:{VERSION}"}


def test_a_pod_can_do_no_more_than_it_must(documents: list[Document]) -> None:
    for document in documents:
        if (spec := pod(document)) is None:
            continue
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_a_container_asks_for_what_it_needs_and_has_a_memory_limit(documents: list[Document]) -> None:
    """No CPU limit: it would stall a server that has work while the node has CPU to spare."""
    for document in documents:
        for container in containers(document):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, key(document)
            assert container["resources"]["limits"].keys() == {"memory"}, key(document)


def test_a_server_is_probed_by_names_that_its_health_service_answers(documents: list[Document]) -> None:
    servers = [
        container for document in documents for container in containers(document) if "server" in container["args"]
    ]
    assert len(servers) == len(SERVICES)
    for container in servers:
        [port] = [each["containerPort"] for each in container["ports"] if each["name"] == "grpc"]
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["grpc"] == {"port": port, "service": LIVENESS}
        if container["args"][0] == "payments":  # processors have to reach it as well
            assert container["readinessProbe"]["httpGet"] == {"port": "webhooks", "path": WEBHOOK_HEALTH}
        else:
            services = composition_root(container["args"][0]).SERVICES
            assert container["readinessProbe"]["grpc"] in [{"port": port, "service": each} for each in services]


def test_a_pod_gets_longer_to_stop_than_its_process_takes(documents: list[Document]) -> None:
    for document in documents:
        if document["kind"] == "Deployment":
            spec = document["spec"]["template"]["spec"]
            assert spec["terminationGracePeriodSeconds"] > stopping_seconds(*spec["containers"][0]["args"])


def test_selectors_find_the_pods_they_are_for(documents: list[Document]) -> None:
    pods = {
        document["metadata"]["name"]: document["spec"]["template"]["metadata"]["labels"]
        for document in documents
        if pod(document)
    }

    def selected(labels: dict[str, str]) -> list[str]:
        return [name for name, has in pods.items() if labels.items() <= has.items()]

    deployments = [document["metadata"]["name"] for document in documents if document["kind"] == "Deployment"]
    budgets = [document for document in documents if document["kind"] == "PodDisruptionBudget"]
    assert sorted(name for each in budgets for name in selected(each["spec"]["selector"]["matchLabels"])) == sorted(
        deployments
    )
    for document in documents:
        if document["kind"] == "Deployment":
            assert selected(document["spec"]["selector"]["matchLabels"]) == [document["metadata"]["name"]]
        if document["kind"] == "Service":
            assert len(selected(document["spec"]["selector"])) == 1
        if document["kind"] == "NetworkPolicy":
            assert selected(document["spec"]["podSelector"]["matchLabels"]) != []


def test_an_autoscaler_scales_a_deployment_that_sets_no_replicas(documents: list[Document]) -> None:
    """A number in the manifest would undo the autoscaler's at every apply."""
    by_key = {key(document): document for document in documents}
    for document in documents:
        if document["kind"] == "HorizontalPodAutoscaler":
            target = document["spec"]["scaleTargetRef"]
            assert "replicas" not in by_key[target["kind"], target["name"]]["spec"]
            assert document["spec"]["minReplicas"] >= 2


def test_production_scales_everything_that_runs() -> None:
    documents = render(next(overlay for overlay in OVERLAYS if overlay.name == "production"))
    running = {document["metadata"]["name"] for document in documents if document["kind"] == "Deployment"}
    scaled = {document["metadata"]["name"] for document in documents if document["kind"] == "HorizontalPodAutoscaler"}
    assert scaled == running


def test_no_manifest_is_left_out() -> None:
    """Every file beside a kustomization is named by it."""
    for folder in (BASE, *OVERLAYS):
        text = (folder / "kustomization.yaml").read_text()
        files = [path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"]
        assert [name for name in files if f"- {name}" not in text] == []


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_our_rendering_is_that_of_every_kubectl_on_this_machine(overlay: Path) -> None:
    ours = {key(document): document for document in render(overlay)}
    for theirs in [render_with_kubectl(overlay)] if KUBECTL else []:
        assert {key(document): document for document in theirs} == ours
