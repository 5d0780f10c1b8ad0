"""The Kubernetes manifests as data: rendered by ourselves, and by kubectl where there is one.

`render` does what the manifests use of kustomize and refuses the rest, so that every machine tests the overlays. That
it agrees with kubectl is a test of its own, on machines that have kubectl.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
BASE = K8S / "base"
OVERLAYS = sorted(path.parent for path in (K8S / "overlays").glob("*/kustomization.yaml"))
WEBHOOK_HEALTH = "/health"
KUBECTL = shutil.which("kubectl")

Document = dict[str, Any]
KNOWN = {"apiVersion", "kind", "bases", "resources", "namespace", "patchesStrategicMerge", "images"}


def render(folder: Path) -> list[Document]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := kustomization.keys() - KNOWN:
        raise NotImplementedError(f"{folder}: {', '.join(sorted(unknown))}")
    documents = [document for base in kustomization.get("bases", ()) for document in render(folder / base)]
    documents += [document for name in kustomization.get("resources", ()) for document in _read(folder / name)]
    for patch in (patch for name in kustomization.get("patchesStrategicMerge", ()) for patch in _read(folder / name)):
        [target] = [document for document in documents if key(document) == key(patch)]
        _merge(target, patch)
    for image in kustomization.get("images", ()):
        for container in (container for document in documents for container in containers(document)):
            name, _, tag = container["image"].partition(":")
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"
    if "namespace" in kustomization:
        for document in documents:
            document["metadata"]["namespace"] = kustomization["namespace"]
    return documents


def render_with_kubectl(folder: Path) -> list[Document]:
    assert KUBECTL
    rendered = subprocess.run([KUBECTL, "kustomize", folder], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(rendered.stdout))


RENDERERS: dict[str, Callable[[Path], list[Document]]] = {"own": render}
if KUBECTL:
    RENDERERS["kubectl"] = render_with_kubectl


def key(document: Document) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def pod(document: Document) -> Document | None:
    """The pod spec of a Deployment or Job."""
    if document["kind"] not in ("Deployment", "Job"):
        return None
    spec: Document = document["spec"]["template"]["spec"]
    return spec


def containers(document: Document) -> Iterator[Document]:
    yield from (pod(document) or {}).get("containers", ())


def _read(path: Path) -> list[Document]:
    return list(yaml.safe_load_all(path.read_text()))


def _merge(target: Document, patch: Document) -> None:
    for name, value in patch.items():
        if isinstance(value, dict) and name in target:
            _merge(target[name], value)
        elif name == "containers":
            for each in value:
                [container] = [container for container in target[name] if container["name"] == each["name"]]
                _merge(container, each)
        elif isinstance(value, list):
            raise NotImplementedError(f"a patch of the list {name}")
        else:
            target[name] = deepcopy(value)
