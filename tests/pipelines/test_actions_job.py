"""Commands, sensor and job of actions over a simulated account: from the dry run to the order."""

import json
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.definitions import code_location
from pipelines.sensors import waiting_actions
from resources.runtime import Runtime
from tests.fleet import NOW, PASSWORD, USERNAME, Account, at, ingest


def test_from_the_dry_run_to_the_order(account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ingest(account.runtime, "sims", "products")
    settings = account.runtime.settings
    assert settings.database_url is not None
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "SIMSIGHT_HOME": str(tmp_path),
        "SIMSIGHT_NOW": NOW.isoformat(),
        "SIMSIGHT_DATABASE_URL": settings.database_url.get_secret_value(),
        "SIMSIGHT_ACTIONS": "top_up, auto_top_up",
        "ONCE_BASE_URL": settings.once_base_url,
        "ONCE_USERNAME": USERNAME,
        "ONCE_PASSWORD": PASSWORD,
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)

    def simsight(*arguments: str, fails: bool = False) -> str:
        done = CliRunner().invoke(app, ["actions", *arguments])
        assert (done.exit_code != 0) == fails, done.output + repr(done.exception)
        return done.output + (str(done.exception) if fails else "")

    iccid = account.truth.one("SELECT max(iccid) FROM core.sims")
    top_up = ("request", "top_up", "--sim", iccid, "--key", "march")
    shown = simsight(*top_up, "--payment-method", "creditcard")
    assert f"POST /v2/sims/{iccid}/topup?payment_method=creditcard" in shown
    assert "may cost 10.00 EUR" in shown
    assert "dry run" in shown
    assert "no action" in simsight("list")
    assert "switched off" in simsight("request", "reset", "--sim", iccid, "--yes", fails=True)
    assert "`simsight actions send` sends it" in simsight(*top_up, "--yes")
    assert "was requested before" in simsight(*top_up, "--yes")
    simsight("stop")
    assert "nothing was to be sent" in simsight("send")
    simsight("start")

    location = code_location(at(account.runtime, NOW, actions="top_up"))
    with dg.DagsterInstance.ephemeral() as instance, Runtime(settings) as off:
        idle = dg.build_sensor_context(instance=instance, resources={"runtime": off})
        assert isinstance(waiting_actions(idle), dg.SkipReason), "it is switched off there"
        on = {"runtime": at(account.runtime, NOW, actions="top_up")}
        context = dg.build_sensor_context(instance=instance, resources=on)
        assert isinstance(waiting_actions(context), dg.RunRequest)
        done = location.resolve_job_def("send_actions").execute_in_process(
            instance=instance, run_config={"loggers": {"terminal": {}}}
        )
        assert done.success
        assert isinstance(waiting_actions(context), dg.SkipReason)
    assert account.server.booked == [("top_up", iccid)]
    (action,) = json.loads(simsight("list", "--json"))
    assert (action["state"], action["order_number"]) == ("done", 3_000_000_001)
    simsight("request", "auto_top_up", "--sim", iccid, "--on", "--yes")
    (waiting,) = json.loads(simsight("list", "--state", "requested", "--json"))
    assert "is refused" in simsight("refuse", str(waiting["action_id"]))
    assert "waits for no decision" in simsight("approve", str(action["action_id"]), fails=True)
    assert "no unclear action" in simsight("settle", str(action["action_id"]), "--done", fails=True)
    assert "the log is whole: 7 rows" in simsight("verify")
    assert "not in the log" in simsight("verify", "--head", "00", fails=True)
