"""What deploys Simsight: containers that may do little, secrets in files, nothing that is named and not there."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.secret_files import variable_of
from resources.settings import Settings
from resources.variables import OTHER_VARIABLES, secret_fields

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv/bin"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONFIGURED = ("deploy/collector/config.yaml", "deploy/tempo/tempo.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("simsight:")}
STANDARD = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}  # OpenTelemetry's
STANDARD |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION"}
SECRET_FILES = {f"{variable_of(field)}_FILE" for field in secret_fields()}


def script(*command: str | Path, **variables: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_every_service_is_there() -> None:
    usual = {"database", "migrate", "code", "daemon", "ui", "mlflow", "api", "prometheus", "grafana", "loki", "alloy"}
    usual |= {"backup"}
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == usual
    profiles = {"demo": {"simulator", "mailpit"}, "celery": {"broker", "worker"}, "traces": {"collector", "tempo"}}
    for profile, names in profiles.items():
        assert {name for name, service in SERVICES.items() if service.get("profiles") == [profile]} == names
    assert set(SERVICES) == usual.union(*profiles.values())


def test_workers_have_what_the_code_location_has_and_a_broker_with_a_password() -> None:
    code, worker, broker = (SERVICES[name] for name in ("code", "worker", "broker"))
    for what in ("environment", "secrets", "volumes", "networks"):
        assert worker[what] == code[what], what
    assert worker["depends_on"].keys() == {"migrate", "broker"}
    assert "ports" not in broker
    assert COMPOSE["networks"][broker["networks"][0]]["internal"] is True
    assert "requirepass" in " ".join(broker["command"])


def test_traces_go_where_they_are_taken_and_are_kept_where_grafana_looks() -> None:
    collector, tempo = (yaml.safe_load((ROOT / path).read_text()) for path in CONFIGURED)
    port = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:{port}" in (ROOT / "docker-compose.yml").read_text()
    kept = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].rpartition(":")[2]
    assert collector["exporters"]["otlp"]["endpoint"] == f"tempo:{kept}"
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/datasources.yml").read_text())
    (url,) = [source["url"] for source in sources["datasources"] if source["uid"] == "tempo"]
    assert url == f"http://tempo:{tempo['server']['http_listen_port']}"
    for name in ("code", "worker", "api"):
        assert set(SERVICES[name]["networks"]) & set(SERVICES["collector"]["networks"]), name
        assert SERVICES[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "${OTEL_EXPORTER_OTLP_ENDPOINT:-}"


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert {"/tmp"} <= set(service["tmpfs"])
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["pids_limit"]
    assert re.search(r":v?\d+\.\d+(\.\d+)?[\w.-]*$", service["image"]), "a pinned tag"
    if name not in OURS:
        assert service["user"].split(":")[0] not in ("root", "0")
    if name != "migrate":
        assert service["healthcheck"]["test"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "what has no log-in listens on this machine only"
    for volume in service.get("volumes", []):
        source, target = volume.split(":")[:2]
        assert "docker.sock" not in source
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
        assert target.startswith("/")
    assert service.get("network_mode") or set(service["networks"]) <= COMPOSE["networks"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_files_that_the_service_is_given(name: str) -> None:
    service = SERVICES[name]
    given = set(service.get("secrets", []))
    assert given <= COMPOSE["secrets"].keys()
    named = set()
    for variable, value in service.get("environment", {}).items():
        if str(value).startswith("/run/secrets/"):
            named.add(value.removeprefix("/run/secrets/"))
            assert variable in SECRET_FILES or name not in OURS, variable
        else:
            assert not re.search("PASSWORD|SECRET|TOKEN|KEY|DATABASE_URL", variable), variable
        if name in OURS:
            known = {variable_of(field) for field in Settings.model_fields} | SECRET_FILES | OTHER_VARIABLES | STANDARD
            assert variable in known, variable
    assert named <= given
    assert all("PASSWORD" not in str(word) for word in service.get("command", []))


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_a_container_of_ours_runs_is_installed(name: str) -> None:
    service = SERVICES[name]
    commands = [service["command"], service.get("healthcheck", {}).get("test", ["CMD", "python"])[1:]]
    for command in commands:
        # a health check does not run through the image's entry point, without which Dagster's programs know no database
        if command is not service["command"]:
            assert (command[0] == "entrypoint") == any(word.startswith("dagster") for word in command[:2]), command
        program = command[command[0] == "entrypoint"]
        assert (BIN / program).exists(), program


def test_the_code_location_is_reached_where_it_listens_and_has_the_name_it_has_elsewhere() -> None:
    (server,) = yaml.safe_load((ROOT / "deploy/workspace.yaml").read_text())["load_from"]
    (local,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    command = SERVICES["code"]["command"]

    assert server["grpc_server"]["host"] == "code"
    assert str(server["grpc_server"]["port"]) == command[command.index("--port") + 1]
    assert server["grpc_server"]["location_name"] == local["python_module"]["location_name"]
    assert command[command.index("--module-name") + 1] == local["python_module"]["module_name"]


def test_the_database_is_reached_by_nobody_outside() -> None:
    assert COMPOSE["networks"]["database"]["internal"] is True
    assert SERVICES["database"]["networks"] == ["database"]
    assert "ports" not in SERVICES["database"]


def test_backups_are_made_and_restored_into_volumes_that_compose_then_uses() -> None:
    backup, database = SERVICES["backup"], SERVICES["database"]
    assert set(backup["networks"]) == set(database["networks"])
    kept = dict(reversed(volume.split(":")[:2]) for volume in backup["volumes"])
    assert kept == {backup["environment"]["SIMSIGHT_BACKUPS"]: "backups", "/data": "data"}
    assert "summarize_wal=on" in database["command"]
    assert "host replication" in (ROOT / "deploy/database/logins.sh").read_text()
    # the programs of the database's version; a new volume belongs to the user of the image
    image = (ROOT / "deploy/Dockerfile").read_text()
    assert f"postgresql-client-{database['image'].rpartition('-pg')[2]} " in image
    assert "/backups /restored" in image
    script_of_it = (ROOT / "deploy/restore").read_text()
    for name in ("database", "data"):
        assert COMPOSE["volumes"][name]["name"] == f"simsight_{name}${{SIMSIGHT_RESTORED:-}}"
        assert f"simsight_{name}$name:/new/{name}" in script_of_it


def test_secrets_are_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    script("deploy/make-secrets", folder)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert made.keys() == COMPOSE["secrets"].keys()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    assert made["database_url"] == f"postgresql://simsight:{made['postgres_password']}@database:5432/simsight"
    random = [
        made[name]
        for name in ("postgres_password", "api_password", "metrics_token", "grafana_password", "broker_password")
    ]
    assert len(set(random)) == 5
    assert all(len(secret) == 64 for secret in random)
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=made["database_url"],
        api_database_url=made["api_database_url"],
        dagster_database_url=made["dagster_database_url"],
        api_metrics_token=made["metrics_token"],
        celery_broker_url=made["celery_broker_url"],
    )
    assert settings.celery_broker_url is not None
    assert settings.celery_broker_url.get_secret_value() == f"redis://:{made['broker_password']}@broker:6379/0"
    assert settings.api_database_url is not None

    script("deploy/make-secrets", folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


def test_the_entry_point_gives_dagster_and_mlflow_what_stands_in_files(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql+psycopg2://simsight:a$b'c@database/dagster\n")
    told = script(
        "deploy/entrypoint",
        "env",
        SIMSIGHT_DAGSTER_DATABASE_URL_FILE=str(tmp_path / "url"),
        SIMSIGHT_MLFLOW_TRACKING_URI_FILE=str(tmp_path / "url"),
    ).splitlines()
    assert "SIMSIGHT_DAGSTER_DATABASE_URL=postgresql+psycopg2://simsight:a$b'c@database/dagster" in told
    assert "MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://simsight:a$b'c@database/dagster" in told
    assert "DATABASE_URL" not in script("deploy/entrypoint", "env")


def test_the_image_is_pinned_not_of_root_and_built_from_what_is_let_in() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert re.search(r"^ARG PYTHON=3\.\d+-slim-\w+$", text, re.MULTILINE)
    assert len(re.findall(r"^FROM python:\$\{PYTHON\}", text, re.MULTILINE)) == text.count("\nFROM ") == 2
    assert "--require-hashes" in text
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users[-1:] == ["10001:10001"]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert source == "." or source in let_in, source
            assert (ROOT / source).exists(), source
    assert all((ROOT / path).exists() for path in let_in)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed (Debian's)")
def test_compose_takes_the_file(tmp_path: Path) -> None:
    script("deploy/make-secrets", tmp_path)
    profiles = [word for name in ("demo", "celery", "traces") for word in ("--profile", name)]
    told = script("docker-compose", *profiles, "config", SIMSIGHT_SECRETS=str(tmp_path))
    assert yaml.safe_load(told)["services"].keys() == SERVICES.keys()
