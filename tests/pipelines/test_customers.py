"""Three organizations of one deployment: one slow, one with a wrong password, and neither in the way of the third."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import TagConcurrencyLimitsCounter
from pydantic import SecretStr
from sqlalchemy import URL
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.customers import INGEST, ORGANIZATION
from pipelines.definitions import code_location
from pipelines.schedules import hourly_ingest
from pipelines.sensors import landing_folder
from resources.database.migrations import ensure_organization
from resources.database.server import driver_url
from resources.errors import UsageError
from resources.runtime import Runtime
from resources.settings import SettingsError
from services.organizations import bills, organizations, pause, set_settings, settings_of
from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from tests.conftest import ROOT
from tests.fleet import NOW, PASSWORD, TODAY, USERNAME, Truth, settings_for, simulated

FIGURES = "SELECT count(*) FROM {} JOIN core.organizations USING (organization_id) WHERE slug = %s"


class Customers:
    """`default` has the account of the environment, `bolt` one of its own, `acme` one with a wrong password."""

    def __init__(self, url: URL, runtime: Runtime, accounts: dict[str, SimulatorServer]) -> None:
        self.url, self.runtime, self.accounts = url, runtime, accounts
        self.truth = Truth(url)

    def count(self, table: str, organization: str) -> int:
        statement: Any = FIGURES.format(table)
        return int(self.truth.one(statement, (organization,)))


@pytest.fixture
def customers(
    database_url: URL, tmp_path: Path, small_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Customers]:
    few = Fleet(seed=5, sims=6, start=TODAY - timedelta(days=30))
    wrong = tmp_path / "wrong"
    wrong.write_text("no such password\n")
    monkeypatch.setenv("BOLT_USERNAME", USERNAME)
    monkeypatch.setenv("BOLT_PASSWORD", PASSWORD)
    monkeypatch.setenv("ACME_USERNAME", "acme")
    with ExitStack() as opened:
        accounts = {
            name: opened.enter_context(simulated(fleet))
            for name, fleet in (("default", small_fleet), ("acme", few), ("bolt", few))
        }
        runtime = opened.enter_context(Runtime(settings_for(database_url, tmp_path, accounts["default"].base_url)))
        for name in ("acme", "bolt"):
            ensure_organization(database_url, name)
            own = {
                "ONCE_BASE_URL": accounts[name].base_url,
                "ONCE_USERNAME": f"env:{name.upper()}_USERNAME",
                "ONCE_PASSWORD": "env:BOLT_PASSWORD" if name == "bolt" else f"file:{wrong}",
            }
            set_settings(database_url, runtime.settings, name, own, by="a test")
        found = Customers(database_url, runtime, accounts)
        yield found
        found.truth.close()


def requests(runtime: Runtime) -> dict[str, dg.RunRequest]:
    """The hourly ingests by organization."""
    context = dg.build_schedule_context(scheduled_execution_time=NOW, resources={"runtime": runtime})
    asked = hourly_ingest(context)
    assert not isinstance(asked, dg.SkipReason)
    listed: list[dg.RunRequest] = asked if isinstance(asked, list) else [asked]  # type: ignore[list-item]
    return {request.tags[ORGANIZATION]: request for request in listed}


def test_a_customer_who_is_slow_or_has_a_wrong_password_is_in_no_other_s_way(customers: Customers) -> None:
    asked = requests(customers.runtime)
    assert {name: request.run_key for name, request in asked.items()} == {
        name: name for name in ("default", "acme", "bolt")
    }
    assert all(request.tags[INGEST] == name for name, request in asked.items())
    location = code_location(customers.runtime)
    sensor = location.get_repository_def().get_sensor_def("run_failures")
    done: dict[str, bool] = {}

    def ingest(name: str) -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            result = location.resolve_job_def("ingest").execute_in_process(
                instance=instance,
                raise_on_error=False,
                partition_key=asked[name].partition_key,
                tags=asked[name].tags,
                asset_selection=[dg.AssetKey("sims"), dg.AssetKey("sim_usage")],
                run_config={"loggers": {"terminal": {}}},
            )
            done[name] = result.success
            if not result.success:
                sensor(
                    dg.build_run_status_sensor_context(
                        sensor_name="run_failures",
                        dagster_instance=instance,
                        dagster_run=result.dagster_run,
                        dagster_event=result.get_run_failure_event(),
                        resources={"runtime": customers.runtime},
                    ).for_run_failure()
                )

    # an ingest of `default` that does not come to its end: whoever asks with this account waits for it
    with customers.runtime.account_turn():
        waits = threading.Thread(target=ingest, args=["default"])
        waits.start()
        for name in ("acme", "bolt"):
            ingest(name)
        assert done == {"acme": False, "bolt": True}
        assert customers.accounts["default"].requests == []
    waits.join()

    assert done["default"]
    assert {name: customers.count("core.sims", name) for name in done} == {"default": 24, "acme": 0, "bolt": 4}
    assert customers.count("core.sim_usage", "bolt") > 0
    listed = {row["name"]: row for row in organizations(customers.url, NOW)}
    assert listed["acme"]["last_failure"] == NOW
    assert "sims: 1NCE refuses the user name and password" in listed["acme"]["failure"]
    assert "ONCE_USERNAME" in listed["acme"]["failure"]
    assert [listed[name]["failure"] for name in ("default", "bolt")] == [None, None]
    assert listed["bolt"]["account"] == "env:BOLT_USERNAME"
    assert {row["organization"]: row["sims"] for row in bills(customers.url, TODAY)} == {
        "acme": 0, "bolt": 4, "default": 23, "other": 0,
    }  # fmt: skip
    for row in bills(customers.url, TODAY):
        sent = customers.accounts[row["organization"]].requests if row["organization"] != "other" else []
        assert row["once_requests"] == len(sent) or row["organization"] == "acme"


def test_of_one_customer_an_ingest_waits_for_the_last_one_and_those_of_others_do_not() -> None:
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text())["run_queue"]["tag_concurrency_limits"]

    def run(name: str) -> dg.DagsterRun:
        return dg.DagsterRun(job_name="ingest", tags={ORGANIZATION: name, INGEST: name})

    counter = TagConcurrencyLimitsCounter(config, [run("acme")])
    assert counter.is_blocked(run("acme"))
    assert not counter.is_blocked(run("bolt"))
    assert not counter.is_blocked(dg.DagsterRun(job_name="notify", tags={ORGANIZATION: "acme"}))
    five = TagConcurrencyLimitsCounter(config, [run(f"customer-{n}") for n in range(5)])
    assert five.is_blocked(run("bolt")), "half of the places are never ingests"


def test_nothing_runs_for_a_customer_who_is_paused(customers: Customers) -> None:
    for name in ("acme", "default"):
        since = pause(customers.url, name, paused=True)
        assert pause(customers.url, name, paused=True) == since, "again changes nothing"
    (request,) = requests(customers.runtime).values()
    assert request.tags[ORGANIZATION] == "bolt"
    with pytest.raises(SettingsError, match="simsight organization resume default"):
        customers.runtime.once()
    assert {row["name"]: row["state"] for row in organizations(customers.url, NOW)} == {
        "acme": "paused", "bolt": "active", "default": "paused", "other": "paused",
    }  # fmt: skip
    pause(customers.url, "default", paused=False)
    assert requests(customers.runtime).keys() == {"bolt", "default"}
    customers.runtime.once()
    with pytest.raises(UsageError, match="nobody"):
        pause(customers.url, "nobody", paused=True)


def test_a_customer_works_with_settings_of_its_own_and_no_other_s_account(
    customers: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, url = customers.runtime, customers.url
    set_settings(url, base.settings, "bolt", {"SIMSIGHT_RAW_DAYS": "5", "ONCE_REQUESTS_PER_SECOND": "2"}, by="x")
    bolt = base.for_organization("bolt").settings
    assert (bolt.raw_days, bolt.once_requests_per_second, bolt.organization) == (5, 2.0, "bolt")
    assert bolt.account() == (USERNAME, SecretStr(PASSWORD))
    assert bolt.landing_folder == base.settings.landing_folder / "bolt"
    assert base.for_organization() is base, "without settings of its own it is as it was"
    ensure_organization(url, "without")
    with pytest.raises(SettingsError, match="no 1NCE account is set"):
        base.for_organization("without").once()
    monkeypatch.delenv("BOLT_PASSWORD")
    with pytest.raises(SettingsError, match=r"ONCE_PASSWORD of the organization bolt is not at env:BOLT_PASSWORD"):
        base.for_organization("bolt").once()
    assert PASSWORD not in str(customers.truth.column("SELECT value FROM ops.organization_settings"))

    for wrong in ("ONCE_PASSWORD=hunter2", "SIMSIGHT_RAW_DAYS=0", "SIMSIGHT_HOME=/tmp", "ONCE_PASSWORD=file:relative"):
        name, _, value = wrong.partition("=")
        with pytest.raises(UsageError) as error:
            set_settings(url, base.settings, "bolt", {"SIMSIGHT_RAW_DAYS": "6", name: value}, by="x")
        assert name in str(error.value)
        assert "hunter2" not in str(error.value)
    set_settings(url, base.settings, "bolt", {"SIMSIGHT_RAW_DAYS": ""}, by="x")
    assert "SIMSIGHT_RAW_DAYS" not in {row["name"] for row in settings_of(url, "bolt")}
    for name in ("acme", "bolt"):
        base.for_organization(name).close()


def test_files_of_a_customer_are_imported_for_it_alone(customers: Customers) -> None:
    folder = customers.runtime.settings.landing_folder / "bolt"
    folder.mkdir(parents=True)
    (folder / "usage.csv").write_text("iccid,day,mb\n")
    (request,) = list(landing_folder(dg.build_sensor_context(resources={"runtime": customers.runtime})))
    assert isinstance(request, dg.RunRequest)
    assert request.tags[ORGANIZATION] == "bolt"
    assert str(request.run_key).startswith("bolt: usage.csv:")


def test_a_customer_whose_settings_are_wrong_holds_up_no_other(customers: Customers) -> None:
    customers.truth.run("UPDATE ops.organization_settings SET name = 'SIMSIGHT_GONE' WHERE value = 'env:ACME_USERNAME'")
    assert requests(customers.runtime).keys() == {"bolt", "default"}


def test_the_command_line_sets_pauses_and_lists(
    customers: Customers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    url = driver_url(customers.url, "").render_as_string(hide_password=False)
    variables = {"SIMSIGHT_DATABASE_URL": url, "SIMSIGHT_HOME": str(tmp_path)}

    def said(*command: str) -> str:
        done = CliRunner().invoke(app, ["organization", *command], env=variables, catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    assert "paused since" in said("pause", "acme")
    assert '"state": "paused"' in said("list", "--json")
    assert "acme is active" in said("resume", "acme")
    assert "SIMSIGHT_RAW_DAYS" in said("set", "acme", "SIMSIGHT_RAW_DAYS=9")
    assert "env:ACME_USERNAME" in said("set", "acme")
    assert said("bill", "--csv", "--month", "2025-09").splitlines()[:2] == [
        "organization,sims,usage_rows,once_requests,api_requests",
        "acme,0,0,0,0",
    ]
    for roles, may in (
        (["operator"], "read, alerts"),
        (["approver"], "read, actions"),
        (["viewer", "administrator"], "read, admin"),
    ):
        named = [word for role in roles for word in ("--role", role)]
        done = CliRunner().invoke(app, ["api-key", "create", may, *named], env=variables, catch_exceptions=False)
        assert done.exit_code == 0
    keys = CliRunner().invoke(app, ["api-key", "list"], env=variables, catch_exceptions=False).output.splitlines()
    assert [line.partition(":")[0] for line in keys] == [line.partition(", may ")[2] for line in keys]
    unknown = CliRunner().invoke(app, ["api-key", "create", "x", "--role", "king"], env=variables)
    assert "there is no role king" in str(unknown.exception)
