"""The support bundle: what is in it, and that planted secrets and numbers of SIMs are not."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from pipelines.cli import app
from resources.database.server import driver_url

ICCID = "8988280666000000077"
HUSH = "hunter2-planted"


def test_the_bundle_has_what_support_asks_for_and_no_secret(
    database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = driver_url(database_url, "").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO ops.run_failures (organization_id, run_id, job, failed_at, message)"
            " VALUES (1, 'r', 'ingest', now(), %s)",
            (f"SIM {ICCID} of IMSI 901405100000077: http://me:{HUSH}-url@host/ said {HUSH}",),
        )
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bundle.zip"
    variables = {
        "SIMSIGHT_HOME": str(tmp_path / "home"),
        "SIMSIGHT_DATABASE_URL": url,
        "SIMSIGHT_DAGSTER_DATABASE_URL": url,
        "SIMSIGHT_MLFLOW_TRACKING_URI": f"http://m:{HUSH}-mlflow@host",
        "SIMSIGHT_OIDC_SECRET": f"{HUSH}-oidc",
        "SIMSIGHT_LLM_API_KEY": f"{HUSH}-llm",
        "SIMSIGHT_API_URL": f"https://someone:{HUSH}-typed@host",
        "ONCE_BASE_URL": "http://127.0.0.1:9",
        "ONCE_USERNAME": "planted-user",
        "ONCE_PASSWORD": HUSH,
    }
    done = CliRunner().invoke(app, ["support-bundle", str(file)], env=variables)
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(file) as packed:
        found = {name: packed.read(name).decode() for name in packed.namelist()}
    whole = "\n".join(found.values())
    for planted in (HUSH, ICCID, "901405100000077", "planted-user", "someone"):
        assert planted not in whole
    assert "schema: version" in found["doctor.txt"]
    assert {"schema", "MLflow", "1NCE account"} <= {check["name"] for check in json.loads(found["doctor.json"])}
    assert json.loads(found["settings.json"])["ONCE_PASSWORD"] == "set"
    assert json.loads(found["settings.json"])["SIMSIGHT_RAW_DAYS"] == 30
    assert json.loads(found["versions.json"])["dagster"]
    assert {"core.sim_usage", "ops.action_log"} <= {row["name"] for row in json.loads(found["storage.json"])}
    (failure,) = json.loads(found["failures.json"])
    assert failure["message"] == "SIM [number] of IMSI [number]: http://[secret]@host/ said [secret]"
    assert (
        CliRunner().invoke(app, ["support-bundle", str(file)], env=variables).exit_code != 0
    )  # nothing is overwritten

    file.unlink()
    variables["SIMSIGHT_DATABASE_URL"] = f"postgresql://me:{HUSH}-gone@127.0.0.1:9/none"
    done = CliRunner().invoke(app, ["support-bundle", str(file)], env=variables)
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(file) as packed:
        assert "no connection to PostgreSQL" in packed.read("storage.json").decode()
        assert HUSH not in "".join(packed.read(name).decode() for name in packed.namelist())
