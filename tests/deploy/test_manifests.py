"""The manifests are what Kubernetes takes, and start workers, a learner with one that stands by, and the service."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from stream.settings import Settings
from tests.document_blocks import ROOT

FOLDER: Final = ROOT / "deploy" / "kubernetes"
#: The oldest and the newest Kubernetes that the manifests are held against.
VERSIONS: Final = ("1.30", "1.34")

MANIFESTS: Final[list[dict[str, Any]]] = [
    manifest
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for manifest in yaml.safe_load_all(path.read_text())
]
DEPLOYMENTS: Final = {one["metadata"]["name"]: one for one in MANIFESTS if one["kind"] == "Deployment"}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_manifest(version: str) -> None:
    for manifest in MANIFESTS:
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_what_runs_is_two_workers_a_learner_that_has_another_and_the_service() -> None:
    replicas = {name: one["spec"]["replicas"] for name, one in DEPLOYMENTS.items()}
    assert replicas == {"intent-worker": 2, "intent-learner": 2, "intent-serve": 2}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_has_probes_and_limits_and_can_write_nowhere_that_matters(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["resources"]["limits"]["memory"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert pod["securityContext"]["runAsNonRoot"]
    writable = {one["name"] for one in pod["volumes"] if "emptyDir" in one}
    assert writable == {"cache", "tmp"}
    assert all(one.get("readOnly") for one in container["volumeMounts"] if one["name"] not in writable)


def test_every_setting_that_is_named_is_one() -> None:
    named = {line.partition("=")[0] for line in (FOLDER / "settings.env").read_text().splitlines() if line}
    for one in DEPLOYMENTS.values():
        [container] = one["spec"]["template"]["spec"]["containers"]
        named |= {each["name"] for each in container["env"]}
    known = {f"INTENT_{name.upper()}" for name in Settings.model_fields}
    assert named - {"NUMBA_CACHE_DIR"} <= known


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_puts_them_together() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    kinds = [one["kind"] for one in yaml.safe_load_all(done.stdout)]
    assert sorted(kinds) == sorted([*(one["kind"] for one in MANIFESTS), "ConfigMap"])
