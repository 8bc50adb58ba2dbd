"""Churn over a real database: what was known of SIMs, the training, the risks of a day, and decisions on actions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import URL
from typer.testing import CliRunner

import services.churn as under_test
from api.app import create_app
from assets.churn import churn_model, churn_risks
from assets.scoring_ops import IO_MANAGER, StagedValues
from ml.churn import learner, snapshot
from ml.churn.evaluation import Evaluation, not_tested
from ml.churn.features import WINDOW_DAYS
from ml.words import STARTER_CHURN, churn_fact
from pipelines.cli import app
from resources.runtime import Runtime
from resources.settings import SYNTHETIC
from services.access.api_keys import create_key
from services.alerts.evaluation import replay
from services.alerts.rules import Rule
from services.churn import CHURN_RISKS, judged, load_histories, outer_risks, train
from services.inputs import sims_between
from services.model_specs import CHURN
from services.models import champion_of
from services.reports.fleet import read_facts
from services.reports.html import render
from services.scoring import score_day
from tests.api.conftest import _served
from tests.conftest import administer, copy_database
from tests.fleet import Truth, at, settings_for
from tests.ml.churn.test_hazard import LAST, fleet

DAY = timedelta(days=1)
NOW = datetime.combine(LAST + 2 * DAY, time(6, tzinfo=UTC))
SIMS = 440
# SIM 1 has an order of its own, SIMs 2 to 5 one together
FILL = """
INSERT INTO core.sims (organization_id, iccid, imei, label, status, activated_at, first_seen_at, changed_at)
SELECT 1, '8' || lpad(n::text, 18, '0'), '3500000' || (1 + n %% 2) || lpad(n::text, 6, '0') || '00',
    'site' || n %% 25 || '-' || n, 'Enabled', '2024-01-01Z', '2024-01-01Z', '2024-01-01Z'
FROM generate_series(1, %(sims)s) AS n;
INSERT INTO core.orders (organization_id, order_number, order_type, ordered_at, invoice_minor, currency, products,
    iccids, changed_at)
SELECT 1, 1, 'FIRST_ORDER', '2024-01-01Z'::timestamptz, 1500, 'EUR', '[]'::jsonb, ARRAY['8000000000000000001'], now()
UNION ALL SELECT 1, 2, 'FIRST_ORDER', '2024-01-01Z', 4000, 'EUR', '[]',
    (SELECT array_agg('8' || lpad(n::text, 18, '0')) FROM generate_series(2, 5) AS n), now()
UNION ALL SELECT 1, 3, 'TOPUP', %(as_of)s::date + 9, 99000, 'EUR', '[]', ARRAY['8000000000000000001'], now()
"""


def fill(truth: Truth) -> None:
    """440 SIMs with 500 days of use, most of which end (tests.ml.churn.test_hazard)."""
    connection = truth._connection
    for statement in FILL.split(";\n"):
        connection.execute(statement.encode(), {"sims": SIMS, "as_of": LAST})
    histories = fleet(SIMS)
    columns = "organization_id, sim_key, day, bytes, known_at"
    with connection.cursor().copy(f"COPY core.sim_usage ({columns}) FROM STDIN".encode()) as copy:
        for key, day, volume in histories.usage.iter_rows():
            copy.write_row((1, key + 1, day, volume, datetime.combine(day + DAY, time(3, tzinfo=UTC))))
    for key, day, _ in histories.facts.iter_rows():
        enter(truth, key + 1, day, "state", "suspended", f"Disabled in the SIM list, since {day}.")


def enter(truth: Truth, sim: int, day: date, kind: str, value: str, evidence: str = "", before: str = "active") -> None:
    truth.rows(
        "INSERT INTO core.sim_lifecycle (organization_id, sim_key, occurred_on, kind, from_value, to_value, evidence,"
        " as_of, decided_by, decided_at) VALUES (1, %s, %s, %s, %s, %s, %s, %s, 'm', now())",
        (sim, day, kind, before, value, evidence, day),
    )


def switched_off(truth: Truth, sim: int, off_on: date, *, decided: date) -> None:
    truth.rows(
        "INSERT INTO core.sim_states (organization_id, sim_key, state, since, evidence, as_of, decided_by, decided_at,"
        " off_on) VALUES (1, %s, 'suspended', %s, '', %s, 'm', now(), %s)",
        (sim, off_on, decided, off_on),
    )


def materialized(runtime: Runtime, *assets: Any) -> dict[str, dict[str, Any]]:
    result = dg.materialize(
        assets or [churn_model, churn_risks],
        partition_key=LAST.isoformat(),
        resources={"runtime": runtime, IO_MANAGER: StagedValues(runtime)},
    )
    assert result.success
    return {
        made.asset_key.to_user_string(): {name: value.value for name, value in made.metadata.items()}
        for event in result.get_asset_materialization_events()
        for made in [event.step_materialization_data.materialization]
    }


@pytest.fixture(scope="module")
def scored(
    postgres: URL, template: str, mlflow_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, dict[str, dict[str, Any]]]]:
    name, home = f"{template}_churn", tmp_path_factory.mktemp("churn")
    shutil.copy(mlflow_store, home)
    copy_database(postgres, template, name)
    truth = Truth(postgres.set(database=name))
    fill(truth)
    truth.close()
    with pytest.MonkeyPatch.context() as patch, Runtime(settings(postgres.set(database=name), home)) as runtime:
        quick(patch)
        metadata = materialized(runtime)
    yield name, home, metadata
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def quick(patch: pytest.MonkeyPatch) -> None:
    """Few and small trees: what is tested is the way from the database and back."""
    patch.setattr(under_test, "LEAVES", (3,))
    patch.setattr(learner, "MOST_LEAVES_IN_ALL", 75)
    patch.setattr(learner, "LEAST_ROUNDS", 25)


def settings(url: URL, home: Path) -> Any:
    return settings_for(url, home, "http://127.0.0.1:9", NOW)


@pytest.fixture
def churned(
    postgres: URL, scored: tuple[str, Path, dict[str, dict[str, Any]]], tmp_path: Path
) -> Iterator[tuple[Runtime, Truth]]:
    """The fleet with a champion and the risks of LAST, to change at will."""
    template, home, _ = scored
    name = f"{template}_{tmp_path.name[-20:].replace('-', '_')}"
    copy_database(postgres, template, name)
    shutil.copy(home / "mlflow.db", tmp_path)
    url = postgres.set(database=name)
    truth = Truth(url)
    with Runtime(settings(url, tmp_path)) as runtime:
        yield runtime, truth
    truth.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def histories(runtime: Runtime, as_of: date = LAST) -> Any:
    return load_histories(runtime.database, as_of, sims_between(runtime.database), days=WINDOW_DAYS)


def facts(runtime: Runtime, *sims: int, as_of: date = LAST) -> list[tuple[int, date, str]]:
    found = histories(runtime, as_of).facts
    return found.filter(pl.col("sim_key").is_in(sims)).sort("sim_key", "day", "fact").rows()


def test_the_assets_train_test_and_score_a_fleet(
    scored: tuple[str, Path, dict[str, dict[str, Any]]], churned: tuple[Runtime, Truth]
) -> None:
    (runtime, truth), (_, _, made) = churned, scored
    trained, risks = made["churn_model"], made["churn_risks"]

    assert (trained["model version"], trained["role"]) == (1, "champion: the first")
    assert trained["auc"] > trained["baseline_auc"] - 0.1 > 0.5
    assert {"brier", "ece", "lift10", "since_activity_auc", "plain_ece", "auc_any_30"} <= trained.keys()
    assert all(trained[picture].startswith("![") for picture in ("calibration", "lift", "reasons"))
    rows = truth.rows("SELECT * FROM predictions.churn_risks ORDER BY sim_key")
    assert len(rows) == risks["dagster/row_count"] == risks["rows new"] > 20
    for row in rows:
        assert row["p_30"] <= row["p_60"] <= row["p_90"] <= row["p_180"]
        assert row["p_90"] == pytest.approx(sum(row[f"p_{cause}"] for cause in under_test.CAUSES), abs=2e-4)
        assert row["any_end"] == pytest.approx(row["p_90"] + row["p_exhausted"] + row["p_expired"], abs=3e-4)
        level = "high" if row["p_90"] >= 0.7 else "medium" if row["p_90"] >= 0.4 else "low"
        assert (row["risk_level"], row["held_out"]) == (level, False)
        assert row["reasons"]
        sizes = [abs(one["log_odds"]) for one in row["contributions"]]
        assert len(sizes) <= 5
        assert sizes == sorted(sizes, reverse=True)
        if row["reasons"].startswith("nothing was heard"):
            assert sizes == []  # no model spoke
        elif row["reasons"] != "nothing stands out":
            first = next(one for one in row["contributions"] if one["log_odds"] > 0)
            assert row["reasons"].startswith(churn_fact(first["feature"], first["value"])[:20])
        # of SIMs without an order, the median of 1500 and four times 1000
        assert (row["value_minor"], row["currency"]) == (1500 if row["sim_key"] == 1 else 1000, "EUR")
        assert row["worth"] <= row["p_90"] * row["value_minor"]
    assert sum(len(row["contributions"]) == 5 for row in rows) > 20
    off = "SELECT count(*) FROM core.sim_lifecycle WHERE sim_key = ANY(%s)"
    assert truth.one(off, ([row["sim_key"] for row in rows],)) == 0
    assert champion_of(runtime, CHURN).version == 1


def test_the_same_again_changes_nothing_and_trains_nothing(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    before = truth.versions(["predictions.churn_risks"])

    assert train(runtime, LAST)["trained"] == "no: this version was trained on the same data"
    again = score_day(runtime, CHURN_RISKS, LAST, run_id="again")

    assert (again["rows new"], again["rows changed"]) == (0, 0)
    assert truth.versions(["predictions.churn_risks"]) == before


def test_what_comes_after_the_day_moves_nothing(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    as_of = LAST - 60 * DAY
    before = snapshot(histories(runtime, as_of).checked(), as_of)
    truth.rows("DELETE FROM core.sim_usage WHERE day > %s", (as_of + 20 * DAY,))
    truth.rows("UPDATE core.sim_usage SET bytes = bytes * 50 WHERE day > %s", (as_of,))
    for sim in range(1, SIMS + 1):
        later = as_of + (1 + sim % 50) * DAY
        enter(truth, sim, later, "state", "expired")
        enter(truth, sim, later, "imei_change", "9900000100000100", before="3500000199999900")
        # decided later, of an earlier day
        switched_off(truth, sim, as_of - DAY, decided=later)
    truth.rows(
        "INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left, amount_total)"
        " SELECT 1, sim_key, 'data', %s, now(), 1, 100 FROM core.sims",
        (as_of + DAY,),
    )
    truth.rows(
        "INSERT INTO core.sim_connectivity (organization_id, sim_key, day, observed_at, status)"
        " SELECT 1, sim_key, %s, now(), 'OFFLINE' FROM core.sims",
        (as_of + DAY,),
    )
    truth.rows(
        "INSERT INTO predictions.anomalies (organization_id, sim_key, day, kind, score, severity, reasons, first_day,"
        " model_version, as_of, detected_at, live)"
        " SELECT 1, sim_key, %s, 'spike', 9, 'info', '', %s, 1, %s, now(), false FROM core.sims",
        (as_of, as_of, as_of + DAY),
    )
    truth.rows(
        "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)"
        " VALUES (1, repeat('7', 19), %s, now())",
        (datetime.combine(as_of + DAY, time(1, tzinfo=UTC)),),
    )

    after = snapshot(histories(runtime, as_of).checked(), as_of)

    assert before.height > 50
    # the device was another before the change that came later
    assert_frame_equal(before.drop("device_type"), after.drop("device_type"))
    assert after["device_type"].unique().to_list() == ["35000001"]


def test_the_facts_tell_why_a_sim_is_out_of_service(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    truth.rows("DELETE FROM core.sim_lifecycle WHERE sim_key <= 10")
    one, two, three = (LAST - n * DAY for n in (30, 20, 10))
    enter(truth, 1, one, "state", "suspended", "Its data quota is used up since then: 0 MB of 500 MB are left.")
    enter(truth, 1, two, "state", "active", before="suspended")
    enter(truth, 2, one, "state", "suspended", "Not in the SIM list since then.")
    enter(truth, 3, two, "state", "deactivated", "Disabled in the SIM list for 31 days.")
    enter(truth, 4, two, "state", "expired", "Its expiry date has passed.")
    enter(truth, 5, two, "top_up", "data")
    enter(truth, 5, three, "top_up", "sms")
    enter(truth, 6, three, "state", "silent")
    switched_off(truth, 7, two, decided=two)

    assert facts(runtime, *range(1, 8)) == [
        *((1, one, "exhausted"), (1, two, "enabled"), (1, two, "topped_up")),
        *((2, one, "disabled"), (3, two, "disabled"), (4, two, "expired"), (5, two, "topped_up"), (7, two, "disabled")),
    ]
    assert facts(runtime, *range(1, 8), as_of=two - DAY) == [(1, one, "exhausted"), (2, one, "disabled")]


def test_of_a_device_that_moves_the_giver_is_swapped_and_not_the_taker(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    truth.rows("DELETE FROM core.sim_lifecycle WHERE sim_key <= 10")
    device = truth.one("SELECT imei FROM core.sims WHERE sim_key = 1")
    moved, back = LAST - 20 * DAY, LAST - 5 * DAY
    # SIM 2 goes on with the device of SIM 1, in newer software, and the list knows it by now
    enter(truth, 2, moved, "imei_change", device[:14] + "77", before="3500000199999900")
    truth.rows("UPDATE core.sims SET imei = %s WHERE sim_key = 2", (device[:14] + "77",))

    assert facts(runtime, 1, 2) == [(1, moved, "swapped")]
    assert facts(runtime, 1, 2, as_of=moved - DAY) == []

    # SIM 1 gets another device later: it has given its own all the same
    enter(truth, 1, back, "imei_change", "3500000188888800", before=device)
    truth.rows("UPDATE core.sims SET imei = '3500000188888800' WHERE sim_key = 1")
    assert facts(runtime, 1, 2) == [(1, moved, "swapped")]


def test_a_sim_that_nobody_asked_about_is_not_taken_for_silent(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    silent = truth.one("SELECT min(sim_key) FROM predictions.churn_risks WHERE reasons LIKE 'nothing was heard%%'")
    poll = (
        "INSERT INTO ops.polls (sim_key, source, organization_id, sweep_id, polled_at, covered_to)"
        " VALUES (%s, 'usage', 1, 1, now(), %s)"
        " ON CONFLICT (sim_key, source) DO UPDATE SET covered_to = excluded.covered_to"
    )
    truth.rows(poll, (silent, LAST - DAY))
    assert silent in histories(runtime).sims["sim_key"]
    truth.rows(poll, (silent, LAST - 8 * DAY))
    truth.rows("DELETE FROM core.sim_usage WHERE sim_key = %s AND day >= %s", (silent, LAST - 8 * DAY))
    assert silent not in histories(runtime).sims["sim_key"]


def test_a_young_fleet_trains_nothing_says_so_and_its_day_goes_on(
    churned: tuple[Runtime, Truth], tmp_path: Path
) -> None:
    runtime, truth = churned
    truth.rows("DELETE FROM core.sim_usage WHERE sim_key > 60")

    said = train(runtime, LAST)["trained"]

    assert said.startswith("no: not enough history to train: ")
    assert said.endswith(" ends, 100 needed")
    assert champion_of(runtime, CHURN).version == 1  # the last champion stays in use
    assert score_day(runtime, CHURN_RISKS, LAST, run_id="r")["model version"] == 1


def test_a_young_fleet_has_no_risks_and_a_simulated_one_those_of_the_starter_model(
    churned: tuple[Runtime, Truth], mlflow_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = churned
    shutil.copy(mlflow_store, runtime.settings.home)
    for table in ("churn_risks", "promotions", "backtests"):
        truth.rows(f"DELETE FROM predictions.{table}")
    truth.rows("DELETE FROM core.sim_usage WHERE sim_key > 200 OR day < %s", (LAST - 179 * DAY,))
    with Runtime(runtime.settings) as real:
        made = materialized(real)
        assert made["churn_model"]["trained"].startswith("no: not enough history to train: ")
        assert made["churn_risks"]["scored"] == "no: there is no champion of churn-model yet"
        assert real.database.row("churn_summary") is None

    truth.rows("UPDATE core.organizations SET data_note = %s WHERE organization_id = 1", (SYNTHETIC,))
    with Runtime(runtime.settings) as simulated:
        made = materialized(simulated)
        lacking = made["churn_model"]["role"].removeprefix(
            "champion: the starter model, learnt from other simulated fleets (synthetic data); of this fleet there is "
        )
        assert lacking.startswith("not enough history to train: ")
        assert lacking.endswith(" ends, 100 needed")
        assert made["churn_risks"]["rows new"] > 20
        assert (simulated.database.row("churn_summary") or {})["starter"] is True
        assert set(truth.column("SELECT learnt_from FROM predictions.churn_risks_v1")) == {"simulated fleets"}
        assert STARTER_CHURN in render(read_facts(simulated, LAST))
        card = simulated.mlflow.get_model_version(CHURN, "1").description
        assert "none of them this one" in card
        assert "On other simulated fleets" in card
        # it is registered once
        assert train(simulated, LAST + DAY)["trained"] == f"no: {lacking}"
        monkeypatch.setattr("pipelines.cli.common.load_settings", lambda: simulated.settings)
        assert STARTER_CHURN in CliRunner().invoke(app, ["churn", "list", "--rows", "1"]).output


def test_a_version_that_is_clearly_worse_stays_challenger() -> None:
    schema = {"model": "", "cause": "any", "horizon_days": 90, "brier": 0.0}
    rows = [schema | {"model": "hazard", "brier": 0.10}, schema | {"model": "logistic regression", "brier": 0.08}]
    empty = not_tested("too few").frame

    def tested(frame: list[dict[str, Any]], **against: float) -> Evaluation:
        return Evaluation("ok", "", pl.DataFrame(frame), empty, empty, {"horizon_days": 90.0}, against)

    assert judged(tested(rows), first=True)[0] == "challenger"
    assert judged(tested([rows[0]]), first=True) == ("champion", "the first")
    assert judged(tested([rows[0]], brier=0.10, champion_brier=0.08), first=False)[0] == "challenger"
    assert judged(tested([rows[0]], brier=0.08, champion_brier=0.08), first=False)[0] == "champion"
    assert judged(not_tested("too few ends"), first=True) == ("champion", "the first, not tested: too few ends")


def test_a_new_version_is_held_against_the_champion_on_later_months(
    churned: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, _ = churned
    quick(monkeypatch)
    inputs = under_test.training_inputs(runtime, LAST)
    champion = under_test.Hazard.from_dict(under_test.registry_of(runtime, CHURN).load(champion_of(runtime, CHURN)))
    old = replace(champion, as_of=LAST - 300 * DAY)
    seen = under_test.evaluate_churn(
        under_test.Histories(**inputs.frames), as_of=LAST, seed=7, leaves=(3,), champion=old
    ).against
    assert seen["ends"] >= 10
    assert 0 < seen["brier"] < 0.5
    assert 0 < seen["champion_brier"] < 0.5


def test_exhaustion_dates_become_risks_at_each_horizon() -> None:
    row = {"p_30": 0.19, "p_90": 0.84, "p10_date": None, "p50_date": None, "p90_date": None, "expires_on": None}
    ends = [
        {"sim_key": 1, **row, "p10_date": LAST + 9 * DAY, "p50_date": LAST + 70 * DAY, "p90_date": LAST + 120 * DAY},
        {"sim_key": 2, **row, "p_30": 0.0, "p_90": 1.0, "expires_on": LAST + 45 * DAY},
        {"sim_key": 3, **row, "p_30": None, "p_90": None},
    ]
    found = outer_risks(pl.DataFrame(ends, schema=under_test.ENDS_SCHEMA), LAST)

    assert found.filter(sim_key=1)["p_exhausted"].to_list() == pytest.approx([0.19, 0.64, 0.84, 0.9])
    assert found.filter(sim_key=2)["p_exhausted"].to_list() == [0, 0, 0, 0]
    assert found.filter(sim_key=2)["p_expired"].to_list() == [0, 1, 1, 1]
    assert found.filter(sim_key=3)["p_exhausted"].to_list() == [0, 0, 0, 0]


def test_levels_and_the_hold_out_are_settings(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    score_day(at(runtime, NOW, churn_high=0.0, churn_medium=0.0, churn_holdout=0.5), CHURN_RISKS, LAST, run_id="r")
    rows = truth.rows("SELECT risk_level, held_out FROM predictions.churn_risks")
    assert {row["risk_level"] for row in rows} == {"high"}
    assert 0.2 < sum(row["held_out"] for row in rows) / len(rows) < 0.8


def test_a_rule_on_the_churn_risk_has_values(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    with runtime.database.transaction() as transaction:
        replayed = replay(transaction, Rule("leaves", "churn_risk", ">", 0.5), last=LAST)
    assert replayed.most == truth.one("SELECT count(*) FROM predictions.churn_risks WHERE p_90 > 0.5") > 0


def test_the_report_says_who_leaves_and_why(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    page = render(read_facts(runtime, LAST))

    section = page[page.index('<section id="churn">') :].partition("</section>")[0]
    for cause in ("dead device", "switched off", "swapped", "exhausted", "expired"):
        assert f"<td>{cause}</td>" in section
    (first,) = truth.rows("SELECT * FROM predictions.churn_risks_v1 ORDER BY worth DESC, p_90 DESC, iccid LIMIT 1")
    assert first["iccid"] in section
    assert first["action"] in section
    assert section.count("<tr>") == 5 + 10 + 2
    assert "There is no churn model yet" in render(read_facts(runtime, LAST - DAY))


def test_the_command_lists_the_risks_worth_most_first(
    churned: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = churned
    monkeypatch.setattr("pipelines.cli.common.load_settings", lambda: runtime.settings)
    listed = CliRunner().invoke(app, ["churn", "list", "--json", "--rows", "5"])
    assert listed.exit_code == 0, listed.output
    rows = json.loads(listed.output)
    assert [row["worth"] for row in rows] == truth.column(
        "SELECT worth FROM predictions.churn_risks ORDER BY worth DESC LIMIT 5"
    )
    of_cause = CliRunner().invoke(app, ["churn", "list", "--json", "--cause", "switched_off"])
    assert {row["cause"] for row in json.loads(of_cause.output)} == {"switched_off"}


def test_the_service_gives_risks_and_takes_decisions(churned: tuple[Runtime, Truth]) -> None:
    runtime, truth = churned
    reader, writer = (
        create_key(
            runtime.database,
            name,
            now=datetime.now(UTC),
            valid_for=None,
            scopes=("read", "alerts") if name == "desk" else ("read",),
        )
        for name in ("reader", "desk")
    )
    best = truth.rows("SELECT * FROM predictions.churn_risks_v1 ORDER BY p_90 DESC, iccid")
    with _served(create_app(runtime.server.simsight, clock=lambda: NOW)) as client:

        def get(path: str, **parameters: Any) -> Any:
            return client.get(path, params=parameters, headers={"Authorization": f"Bearer {reader}"})

        one = get(f"/v1/sims/{best[0]['iccid']}/churn-risk").json()
        assert (one["p_90"], one["risk_level"], one["action"]) == (
            best[0]["p_90"],
            best[0]["risk_level"],
            best[0]["action"],
        )
        assert (one["model_name"], one["learnt_from"], one["decision"]) == ("churn-model", "the fleet", None)
        assert one["contributions"] == best[0]["contributions"] != []
        (listed,) = get("/v1/churn-risks", limit=1).json()["items"]
        assert listed["contributions"] == one["contributions"]
        assert get(f"/v1/sims/{best[0]['iccid']}/churn-risk", as_of=LAST - DAY).status_code == 404
        assert get("/v1/sims/8988280666000000001/churn-risk").status_code == 404

        walked, after = [], ""
        while True:
            page = get("/v1/churn-risks", limit=20, **({"after": after} if after else {})).json()
            walked += [row["iccid"] for row in page["items"]]
            if not (after := page["next"]):
                break
        assert walked == [row["iccid"] for row in best]
        off = get("/v1/churn-risks", cause="switched_off", limit=1000).json()["items"]
        assert [row["iccid"] for row in off] == [row["iccid"] for row in best if row["cause"] == "switched_off"]
        label = best[0]["label"]
        assert [row["label"] for row in get("/v1/churn-risks", label=label).json()["items"]] == [label]
        high = get("/v1/churn-risks", level="high", limit=1000).json()["items"]
        assert len(high) == sum(row["p_90"] >= 0.7 for row in best)
        assert get("/v1/churn-risks", after="nonsense").status_code == 422

        path, said = f"/v1/sims/{best[0]['iccid']}/churn-actions", {"decision": "dismissed", "reason": "it moves"}

        def post(key: str, path: str = path, said: Any = said) -> Any:
            return client.post(path, json=said, headers={"Authorization": f"Bearer {key}"})

        assert post(reader).status_code == 403
        assert post("x" * 43).status_code == 401
        assert post(writer, "/v1/sims/8988280666000000001/churn-actions").status_code == 404
        assert post(writer, said={"decision": "dismissed", "reason": ""}).status_code == 422
        assert truth.one("SELECT count(*) FROM predictions.churn_decisions") == 0
        answered = post(writer, said=said | {"by": "ann"})
    assert answered.status_code == 200, answered.text
    decided = answered.json()
    assert (decided["decision"], decided["decision_reason"]) == ("dismissed", "it moves")
    assert decided["decided_by"] == "API key desk by ann"
    (kept,) = truth.rows("SELECT * FROM predictions.churn_decisions")
    assert (kept["as_of"], kept["p_90"], kept["action"]) == (LAST, best[0]["p_90"], best[0]["action"])
