"""What is given to Kubernetes: rules that a cluster with restricted pods asks for, and that names agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from resources.secret_files import variable_of
from resources.settings import Settings
from resources.variables import secret_fields

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text())
OBJECTS = [thing for name in ("migrate", "api") for thing in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())]
KINDS = {"batch/v1 Job", "apps/v1 Deployment", "v1 Service", "policy/v1 PodDisruptionBudget"}


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for thing in OBJECTS:
        if "template" in thing["spec"]:
            yield thing["metadata"]["name"], thing["spec"]["template"]["spec"]


def test_every_object_is_of_a_kind_that_there_is_and_selects_what_is_there() -> None:
    assert {f"{thing['apiVersion']} {thing['kind']}" for thing in OBJECTS} == KINDS
    (api,) = (thing for thing in OBJECTS if thing["kind"] == "Deployment")
    labels = api["spec"]["template"]["metadata"]["labels"]
    assert api["spec"]["selector"]["matchLabels"] == labels
    for thing in OBJECTS:
        if thing["kind"] == "Service":
            assert thing["spec"]["selector"] == labels
            assert thing["spec"]["ports"][0]["targetPort"] == "http"
        if thing["kind"] == "PodDisruptionBudget":
            assert thing["spec"]["selector"]["matchLabels"] == labels
            assert thing["spec"]["minAvailable"] < api["spec"]["replicas"]


def test_pods_are_restricted() -> None:
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        mounts = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            secured = container["securityContext"]
            assert secured["readOnlyRootFilesystem"] is True, name
            assert secured["allowPrivilegeEscalation"] is False, name
            assert secured["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert {mount["name"] for mount in container["volumeMounts"]} == mounts, name
            assert {"/tmp", "/data"} <= {mount["mountPath"] for mount in container["volumeMounts"]}, name
            assert re.search(r":\d+\.\d+\.\d+$", container["image"]), name


def test_a_job_ends_and_a_service_is_probed() -> None:
    job, api = OBJECTS[0], OBJECTS[1]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["activeDeadlineSeconds"] > 0
    (container,) = api["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        (check,) = (what for kind, what in container[probe].items() if kind in ("httpGet", "tcpSocket"))
        assert check["port"] in ports


def test_secrets_come_by_reference_and_every_variable_is_a_setting() -> None:
    known = {variable_of(field) for field in Settings.model_fields}
    secret = {variable_of(field) for field in secret_fields()}
    known |= {f"{name}_FILE" for name in secret}
    code = VALUES["dagster-user-deployments"]["deployments"][0]
    given = [code["env"], *(container["env"] for _, pod in pods() for container in pod["containers"])]
    for variable in (one for env in given for one in env):
        assert variable["name"] in known
        assert variable["name"] not in secret
    made = set(re.findall(r"create secret generic ([\w-]+)", (FOLDER / "values.yaml").read_text()))
    used = {code["envSecrets"][0]["name"], "simsight-api", "dagster-postgresql-secret"}
    assert made == used
    literals = set(re.findall(r"--from-literal=([A-Z_]+)=", (FOLDER / "values.yaml").read_text()))
    assert literals <= known
    files = re.findall(r"/run/secrets/simsight/(\w+)", (FOLDER / "api.yaml").read_text())
    assert set(files) <= literals & secret


def test_runs_are_pods_of_their_own_that_are_watched_and_tried_again() -> None:
    assert VALUES["runLauncher"]["type"] == "K8sRunLauncher"
    assert VALUES["dagsterDaemon"]["runMonitoring"]["enabled"] is True
    assert VALUES["dagsterDaemon"]["runMonitoring"]["maxResumeRunAttempts"] > 0
    assert VALUES["dagsterDaemon"]["runRetries"]["enabled"] is True
    text = (FOLDER / "values.yaml").read_text()
    limits = yaml.safe_load((ROOT / "dagster.yaml").read_text())["run_queue"]["tag_concurrency_limits"]
    assert VALUES["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]["tagConcurrencyLimits"] == limits
    arguments = VALUES["dagster-user-deployments"]["deployments"][0]["codeServerArgs"]
    (local,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert arguments[arguments.index("--module-name") + 1] == local["python_module"]["module_name"]
    assert f"--version {version('dagster')} " in text
    # the image holds what the executor needs, and the steps' pods have the code location's variables
    assert "--build-arg EXTRAS=k8s " in text
    assert f"dagster-k8s=={version('dagster-postgres')} " in (ROOT / "requirements-k8s.txt").read_text()
    code = VALUES["dagster-user-deployments"]["deployments"][0]
    assert {one["name"]: one["value"] for one in code["env"]}["SIMSIGHT_EXECUTOR"] == "k8s"
    assert code["includeConfigInLaunchedRuns"]["enabled"] is True
