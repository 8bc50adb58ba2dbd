"""The fleet report on a real database: what it says, that it cannot be hurt by foreign text, and how it is written."""

import html
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import URL

from assets.report import fleet_report
from ml.words import megabytes
from resources.database.migrations import note_organization
from resources.database.server import driver_url
from resources.files.formats import REPORT_FORMATS as FORMATS
from resources.runtime import Runtime
from resources.settings import Settings
from services.alerts.builtin import evaluate_alerts
from services.exhaustion import EXHAUSTIONS
from services.forecasting import (
    USAGE_FORECASTS,
    describe_backtest,
    fleet_expected,
    fleet_forecast,
    forecast_totals,
    train,
)
from services.lifecycle import evaluate_lifecycle
from services.reports.collect import collect
from services.reports.fleet import FleetFacts, read_facts
from services.reports.formats import render as written
from services.reports.html import render
from services.reports.periods import ReportError
from services.reports.publish import make_report, write_report
from services.reports.report import Report, Section
from services.reports.sections.asking import Wanted
from services.reports.summary import summarize
from services.scoring import score_day
from tests.conftest import administer, copy_database

AS_OF = date(2026, 6, 28)
EMPTY_DAY = date(2024, 1, 1)
NOW = datetime(2026, 6, 30, 6, tzinfo=UTC)
EVIL = "<script>alert('label')</script><img src=x onerror=alert(1)>"

# 30 SIMs with 120 days of usage: SIM 1 is silent for 20 days, SIM 2 is almost used up, SIM 3 has nothing left,
# SIM 4 has expired, SIM 5 has never sent. A SIM of the other organization uses far more than all of them.
FLEET = """
INSERT INTO core.sims (organization_id, iccid, label, status, activated_at, quota_status, first_seen_at, changed_at)
SELECT o.organization_id, '8988280666' || lpad((CASE o.slug WHEN 'default' THEN 0 ELSE 100 END + n)::text, 9, '0'),
       CASE n WHEN 2 THEN %(evil)s ELSE 'meter ' || n END, 'Enabled', %(as_of)s::date - 119, 0, now(), now()
FROM core.organizations AS o, generate_series(1, 30) AS n;

INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)
SELECT s.organization_id, s.sim_key, d::date,
       CASE WHEN s.organization_id <> ops.organization('default') THEN 900000000000
            ELSE 100000 * n * (1 + extract(isodow FROM d)::integer %% 3)
                + abs(hashint4(n * 1000 + extract(doy FROM d)::integer)::bigint) %% (200000 * n)
       END, now()
FROM (SELECT *, right(iccid, 2)::integer AS n FROM core.sims) AS s,
     generate_series(%(as_of)s::date - 119, %(as_of)s::date + 1, interval '1 day') AS d
WHERE n <> 5 AND NOT (n = 1 AND d > %(as_of)s::date - 20) AND NOT (n = 9 AND d = %(as_of)s::date - 3);
SELECT ops.add_up_days();

INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left, amount_total, expires_at)
SELECT organization_id, sim_key, 'data', %(as_of)s::date + 1, now(),
       CASE n WHEN 2 THEN 3000000 WHEN 3 THEN -5000000 ELSE 400000000 END, 500000000,
       CASE n WHEN 4 THEN %(as_of)s::date - 5 ELSE %(as_of)s::date + 1000 + n END
FROM (SELECT *, right(iccid, 2)::integer AS n FROM core.sims) AS s;

INSERT INTO ops.quarantine (organization_id, source, record_key, reason, record, first_seen_at, last_seen_at,
    resolved_at)
SELECT ops.organization('default'), 'usage', 'key ' || n, 'reason ' || n %% 12 || ' <b>', '{}', now(), now(),
       CASE WHEN n > 36 THEN now() END
FROM generate_series(1, 40) AS n;
INSERT INTO ops.polls (sim_key, source, organization_id, sweep_id, polled_at, problem)
SELECT sim_key, 'quota', organization_id, 1, now(), 'OnceTimeoutError' FROM core.sims WHERE
    right(iccid, 2) IN ('07', '08');
INSERT INTO core.sim_usage_replaced (sim_key, day, organization_id, bytes, known_from, known_to)
SELECT sim_key, %(as_of)s::date - ago, organization_id, 1, %(as_of)s::date - ago + 1, %(as_of)s::date - ago + 2
FROM core.sims, unnest(ARRAY[5, 6, 90]) AS ago WHERE right(iccid, 2) = '10';

INSERT INTO predictions.alert_rules
    (organization_id, name, metric, operator, threshold, for_days, scope, severity, enabled, created_by, created_at,
        changed_at)
SELECT organization_id, 'drift', 'forecast_error', '>', 1.2, 1, '{}', 'warning', true, 'x', now(), now() FROM
    core.organizations;
INSERT INTO predictions.incidents
    (organization_id, kind, title, scope, first_day, last_day, severity, sims, model_version, created_at, updated_at)
SELECT organization_id, 'flapping', 'Flapping in 12 of 30 SIMs of ' || slug, '{}', %(as_of)s, %(as_of)s, 'critical',
    12, 1, now(), now()
FROM core.organizations;
INSERT INTO predictions.alerts
    (organization_id, kind, rule_id, severity, value, message, opened_as_of, opened_at, seen_as_of)
SELECT organization_id, 'rule', rule_id, severity, 1.4, 'drift: forecast error is 1.4', %(as_of)s, now(), %(as_of)s
FROM predictions.alert_rules;
INSERT INTO predictions.alerts
    (organization_id, kind, incident_id, severity, value, message, opened_as_of, opened_at, seen_as_of)
SELECT organization_id, 'incident', incident_id, severity, sims, title, %(as_of)s, now(), %(as_of)s FROM
    predictions.incidents;
"""


def settings_for(url: URL, home: Path) -> Settings:
    return Settings(
        home=home,
        now=NOW,
        database_url=SecretStr(url.render_as_string(hide_password=False)),
        dagster_database_url=SecretStr("postgresql://nobody@localhost/unused"),
        mlflow_tracking_uri=SecretStr(f"sqlite:///{home}/mlflow.db"),
        _env_file=None,
    )


@pytest.fixture(scope="module")
def filled_url(postgres: URL, template: str) -> Iterator[URL]:
    """A database with the fleet, for all tests here: none of them changes the facts."""
    name = f"{template}_report"
    copy_database(postgres, template, name)
    url = postgres.set(database=name)
    with psycopg.connect(driver_url(url, "").render_as_string(hide_password=False), autocommit=True) as admin:
        for statement in FLEET.split(";\n"):
            if statement.strip():
                admin.execute(statement.encode(), {"as_of": AS_OF, "evil": EVIL})
        admin.execute("ANALYZE")
    note_organization(url, "default", "synthetic data")
    yield url
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def runtime(filled_url: URL, mlflow_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The pipeline over the fleet: trained, scored, alerts evaluated as of AS_OF."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(mlflow_store, home)
    with Runtime(settings_for(filled_url, home)) as opened:
        train(opened, AS_OF)
        score_day(opened, USAGE_FORECASTS, AS_OF, run_id="test")
        score_day(opened, EXHAUSTIONS, AS_OF, run_id="test")
        forecast_totals(opened, AS_OF)
        evaluate_alerts(opened, AS_OF)
        evaluate_lifecycle(opened, AS_OF)
        yield opened


@pytest.fixture(scope="module")
def facts(runtime: Runtime) -> FleetFacts:
    return read_facts(runtime, AS_OF)


@pytest.fixture(scope="module")
def page(facts: FleetFacts) -> str:
    return render(facts)


@pytest.fixture(scope="module")
def truth(filled_url: URL) -> Iterator[psycopg.Connection[Any]]:
    """The database as an administrator sees it, without row-level security."""
    with psycopg.connect(driver_url(filled_url, "").render_as_string(hide_password=False), autocommit=True) as admin:
        yield admin


@pytest.fixture
def empty_runtime(database_url: URL, tmp_path: Path) -> Iterator[Runtime]:
    with Runtime(settings_for(database_url, tmp_path)) as opened:
        yield opened


def one(truth: psycopg.Connection[Any], statement: str) -> Any:
    """A figure of the organization `default`, which `mine` stands for."""
    row = truth.execute(
        statement.replace("mine", "organization_id = ops.organization('default')").encode(), {"as_of": AS_OF}
    ).fetchone()
    assert row is not None
    return row[0]


def card(page: str, title: str) -> tuple[str, str]:
    """The figure and the small print of the key figure with this title."""
    found = re.search(
        rf'<span class="what">{re.escape(title)}</span><b[^>]*>(.*?)</b><span>(.*?)</span>', page, re.DOTALL
    )
    assert found, title
    return found[1], found[2]


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)
    assert found, name
    return found[1]


def test_the_key_figures_are_those_of_the_tables(page: str, truth: psycopg.Connection[Any]) -> None:
    assert card(page, "SIMs") == ("30", "30 activated")
    active = (
        "SELECT count(DISTINCT sim_key) FROM core.sim_usage"
        " WHERE mine AND bytes > 0 AND day <= %(as_of)s AND day > %(as_of)s - 7"
    )
    assert card(page, "Active in the last 7 days")[0] == str(one(truth, active)) == "28"
    for days in (7, 30):
        used = (
            f"SELECT sum(bytes) / 1e6 FROM core.sim_usage WHERE mine AND day <= %(as_of)s AND day > %(as_of)s - {days}"
        )
        before = (
            "SELECT sum(bytes) / 1e6 FROM core.sim_usage"
            f" WHERE mine AND day <= %(as_of)s - {days} AND day > %(as_of)s - {2 * days}"
        )
        now, then = one(truth, used), one(truth, before)
        volume, change = card(page, f"MB in the last {days} days")
        assert volume == f"{now:,.0f}"
        assert change == f"{(now / then - 1) * 100:+.0f} % on the {days} days before ({then:,.0f})"


def test_the_ends_are_those_of_the_predictions(page: str, truth: psycopg.Connection[Any]) -> None:
    ending = " / ".join(
        str(
            one(
                truth,
                "SELECT count(*) FROM predictions.exhaustions WHERE mine AND as_of = %(as_of)s "
                f"AND status NOT IN ('exhausted', 'expired') AND p_{days} >= 0.5",
            )
        )
        for days in (7, 14, 30)
    )
    figure, small = card(page, "End within 7 / 14 / 30 days")
    assert figure == ending
    assert "a probability of 50 % or more" in small
    assert card(page, "Exhausted")[0] == "1"
    assert card(page, "Expired")[0] == "1"
    first = section(page, "first-ends")
    with_date = one(truth, "SELECT count(*) FROM predictions.exhaustions WHERE mine AND p50_date > %(as_of)s")
    assert f"20 of {with_date} SIMs with an end date" in first
    soonest = truth.execute(
        b"SELECT iccid, p50_date FROM predictions.exhaustions JOIN core.sims USING (sim_key) "
        b"WHERE exhaustions.organization_id = ops.organization('default') AND exhaustions.status NOT IN"
        b" ('exhausted', 'expired') "
        b"ORDER BY p50_date, p_14 DESC, iccid LIMIT 1"
    ).fetchone()
    assert soonest is not None
    row = first.split("<tbody>")[1].split("</tr>")[0]
    assert soonest[0] in row
    assert str(soonest[1]) in row


def test_the_expected_volume_is_the_one_forecast_of_the_fleet_within_its_interval(
    runtime: Runtime, page: str, truth: psycopg.Connection[Any]
) -> None:
    of_total = {f"fleet, next {of.days} days": of for of in fleet_expected(fleet_forecast(runtime.database, AS_OF))}
    metadata = forecast_totals(runtime, AS_OF)
    for days in (7, 30):
        stored = one(
            truth,
            "SELECT sum_mean_bytes / 1e6 FROM predictions.aggregate_forecasts "
            f"WHERE mine AND kind = 'fleet' AND as_of = %(as_of)s AND day = %(as_of)s + {days}",
        )
        name = f"fleet, next {days} days"
        assert metadata[name] == of_total[name].text, "the metadata of the asset say the same"
        expected, interval = card(page, f"Expected in the next {days} days")
        assert expected == f"{stored:,.0f} MB"
        low, high = (
            float(text.replace(",", "")) for text in re.findall(r"[\d,.]*\d", interval.removeprefix("80 % interval"))
        )
        assert low < float(stored) < high
        assert (f"{low:,.0f}", f"{high:,.0f}") == (megabytes(of_total[name].low), megabytes(of_total[name].high))
        assert f"{expected} (80 % interval {low:,.0f} to {high:,.0f} MB)" == metadata[name]


def test_the_states_of_the_sims_add_up_to_the_fleet(page: str, truth: psycopg.Connection[Any]) -> None:
    rows = re.findall(
        r'<tr><td>(\w+)</td><td class="n">(\d+)</td><td class="n">([\d.]+) %</td>', section(page, "states")
    )
    stored = "SELECT state, count(*) FROM core.sim_states WHERE mine GROUP BY state"
    counted = truth.execute(stored.replace("mine", "organization_id = ops.organization('default')").encode()).fetchall()
    assert {state: int(sims) for state, sims, _ in rows} == dict(counted)
    assert sum(int(sims) for _, sims, _ in rows) == 30
    assert sum(float(share) for _, _, share in rows) == pytest.approx(100, abs=0.2)


def test_a_silent_sim_is_listed_with_its_habits(page: str) -> None:
    assert card(page, "Silent")[0] == "1"
    silent = section(page, "silent")
    assert "8988280666000000001" in silent
    assert str(AS_OF - timedelta(days=20)) in silent
    assert ">20<" in silent
    assert "at most 1<" in silent


def test_the_top_consumers_come_first_with_their_days(
    facts: FleetFacts, page: str, truth: psycopg.Connection[Any]
) -> None:
    first = facts.top_consumers[0]
    assert first["iccid"] == "8988280666000000030"
    assert sum(first["days"]) == first["bytes"]
    assert len(first["days"]) == 30
    used = "SELECT sum(bytes) FROM core.sim_usage WHERE mine AND day <= %(as_of)s AND day > %(as_of)s - 30"
    assert first["fleet_bytes"] == one(truth, used)
    assert "20 of 29 SIMs with usage" in section(page, "top-consumers")
    assert section(page, "top-consumers").count("<polyline") == 20


def test_the_alerts_are_the_open_ones(page: str, truth: psycopg.Connection[Any]) -> None:
    open_alerts = one(truth, "SELECT count(*) FROM predictions.alerts WHERE mine AND closed_at IS NULL")
    assert card(page, "Open alerts")[0] == str(open_alerts)
    critical = one(
        truth, "SELECT count(*) FROM predictions.alerts WHERE mine AND closed_at IS NULL AND severity = 'critical'"
    )
    assert f"{critical} critical" in card(page, "Open alerts")[1]
    for (message,) in truth.execute(
        "SELECT message FROM predictions.alerts WHERE closed_at IS NULL AND kind = 'silent'"
    ):
        assert html.escape(message) in section(page, "alerts")


def test_alerts_of_the_fleet_and_of_incidents_are_among_them_first_of_their_severity(page: str) -> None:
    rows = re.findall(
        r'<tr><td class="(\w+)">\w+</td>\s*<td>(.*?)</td><td class="text">(.*?)</td>', section(page, "alerts")
    )
    whom = [(severity, who if "span" not in who else "a SIM") for severity, who, _ in rows]
    assert whom[0] == ("critical", "incident: 12 SIMs")
    assert rows[0][2] == "Flapping in 12 of 30 SIMs of default"
    warnings = [who for severity, who in whom if severity == "warning"]
    assert (warnings[0], set(warnings[1:])) == ("the fleet", {"a SIM"})


def test_data_quality_is_counted(facts: FleetFacts, page: str, truth: psycopg.Connection[Any]) -> None:
    rows = one(truth, "SELECT count(*) FROM core.sim_usage WHERE mine AND day <= %(as_of)s")
    counted = f"one a SIM and day, up to {AS_OF}; rows of later days are not counted here"
    assert card(page, "Usage rows") == (f"{rows:,}", counted)
    assert card(page, "Days covered") == ("120", f"since {AS_OF - timedelta(days=119)}")
    assert card(page, "Newest usage day")[0] == str(AS_OF)
    assert card(page, "Late corrections")[0] == "2"
    assert card(page, "Quarantined records")[0] == "36"
    quality = section(page, "data")
    assert "10 of 12 reasons" in quality
    assert "once timeout error" in quality
    assert [row["reported"] for row in facts.coverage[-5:]] == [28, 27, 28, 28, 28]
    assert {row["activated"] for row in facts.coverage} == {30}


def test_the_model_is_named_with_its_backtest(page: str, truth: psycopg.Connection[Any]) -> None:
    metrics = one(truth, "SELECT metrics FROM predictions.backtests WHERE mine AND role = 'champion'")
    model = section(page, "model")
    assert describe_backtest(metrics) in model
    assert "usage-forecaster, version 1" in model
    assert str(AS_OF) in model


@pytest.mark.parametrize(
    ("rmase", "says"),
    [(0.83, "17 % smaller than that"), (1.2, "20 % larger than that"), (1.001, "as large as that")],
)
def test_a_backtest_is_told_in_a_sentence(rmase: float, says: str) -> None:
    days = {"rmase": rmase, "coverage_80": 0.817, "coverage_95": 0.949}
    sentence = describe_backtest(days)
    assert says in sentence
    assert "80 % interval held 82 % (promised: 70 to 90 %)" in sentence
    assert "sums" not in sentence
    assert describe_backtest(days | {"sum_coverage_80": 0.714}).endswith("held 71 % (promised: 65 to 90 %).")


def test_an_untested_model_is_said_to_be_so() -> None:
    assert "could not be tested" in describe_backtest({})


def test_foreign_text_is_escaped(page: str) -> None:
    assert html.escape(EVIL, quote=False).replace("'", "&#39;") in page
    assert "<script" not in page.lower()
    assert "<img src=x" not in page
    assert "reason 0 &lt;b&gt;" in page


def test_a_long_label_does_not_swell_the_page(facts: FleetFacts, page: str) -> None:
    swollen = render(replace(facts, top_consumers=[row | {"label": "long " * 100_000} for row in facts.top_consumers]))
    assert len(swollen) < len(page) + 20 * 100


def test_every_open_alert_is_on_the_page(facts: FleetFacts) -> None:
    alert = facts.alerts[-1]
    alerts = [alert | {"message": f"number {n}."} for n in range(45)]
    shown = section(render(replace(facts, alerts=alerts)), "alerts")
    assert all(f"number {n}." in shown for n in range(45))
    assert "The other 25" in shown


def test_places_costs_and_the_trend_of_alerts_are_those_of_the_tables(
    facts: FleetFacts, page: str, truth: psycopg.Connection[Any]
) -> None:
    assert sum(row["sims"] for row in facts.places) == 30
    assert "never seen" in section(page, "places")
    assert "No order of the last 365 days is stored" in section(page, "costs")
    costs = [{"currency": "EUR", "minor_30": 1190, "orders_30": 1, "minor_365": 123456, "orders_365": 8, "unknown": 0}]
    assert "1,234.56 EUR" in section(render(replace(facts, costs=costs)), "costs")
    assert len(facts.alert_days) == 30
    still_open = one(truth, "SELECT count(*) FROM predictions.alerts WHERE mine AND closed_at IS NULL")
    assert facts.alert_days[-1]["open"] == still_open
    assert section(page, "alerts").count("<rect") == 30


def test_no_two_parts_of_the_page_have_one_name() -> None:
    """On phones the names of a table's cells hang on its id."""
    root = Path(__file__).parents[2]
    template = (root / "services/reports/templates/fleet.html.j2").read_text()
    ids = re.findall(r' id="([^"{]+)"', template)
    assert len(ids) > 20
    assert len(ids) == len(set(ids))


def test_charts_come_for_phones_too_and_tables_name_their_cells(page: str) -> None:
    assert page.count('<source media="screen and (max-width: 600px)" srcset="data:image/svg+xml') == 2
    for table in re.findall(r'<table id="(table-\d+)">', page):
        assert f"#{table} td:nth-child(1)::before" in page


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    assert "http://" not in page
    assert "https://" not in page
    assert "javascript:" not in page.lower()
    assert "url(" not in page
    assert "@import" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 2
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "default-src 'none'" in page
    assert not re.search(r"<[^>]*\son\w+\s*=", page)


def test_the_note_on_the_data_is_shown_prominently(facts: FleetFacts, page: str) -> None:
    assert '<p class="note">synthetic data</p>' in page
    assert 'class="note"' not in render(replace(facts, note=""))


def test_the_other_organization_is_not_in_it(page: str) -> None:
    assert "8988280666000000130" not in page


def test_the_dashboard_is_told_what_the_report_says(facts: FleetFacts) -> None:
    told = json.loads(summarize(facts))
    assert told["figures"] == facts.figures
    last = facts.daily.row(-1, named=True)
    assert (told["daily"]["day"][-1], told["daily"]["bytes"][-1]) == (last["day"].isoformat(), last["bytes"])
    assert told["forecast"]["mean"] == facts.fleet["mean"].to_list()
    assert all(low < high for low, high in zip(told["forecast"]["low"], told["forecast"]["high"], strict=True))
    assert [row["iccid"] for row in told["first_ends"]] == facts.first_ends["iccid"].to_list()
    differences = [abs(row["bytes"] - row["before"]) for row in told["changes"]]
    assert len(differences) == 5
    assert differences == sorted(differences, reverse=True)


def test_a_second_run_changes_nothing(runtime: Runtime) -> None:
    first = make_report(runtime, AS_OF)
    path = runtime.settings.report_folder / f"fleet-{AS_OF}.html"
    before = path.read_bytes()
    second = make_report(runtime, AS_OF)
    assert (first["changed"], second["changed"]) == (True, False)
    assert path.read_bytes() == before
    with runtime.database.transaction() as transaction:
        values = {"as_of": AS_OF, "content": summarize(read_facts(runtime, AS_OF)), "now": runtime.clock()}
        assert transaction.execute("save_fleet_summary", values) == 0
    stored = runtime.database.row("api_report", {"as_of": AS_OF})
    assert stored is not None
    assert stored["html"].encode() == before == path.with_name("fleet-latest.html").read_bytes()


def test_status_names_the_rows_that_the_report_counts_beside_those_of_all_days(runtime: Runtime) -> None:
    make_report(runtime, AS_OF)

    found = runtime.database.row("status", {"now": NOW})

    assert found is not None
    assert found["report_as_of"] == AS_OF
    assert found["usage_rows_up_to_report"] == read_facts(runtime, AS_OF).data["usage_rows"]
    assert found["usage_rows"] > found["usage_rows_up_to_report"], "it counts the rows of the day after too"


def test_the_asset_says_where_the_page_is(runtime: Runtime) -> None:
    made = dg.materialize(
        [fleet_report], partition_key=AS_OF.isoformat(), resources={"runtime": runtime}, selection=[fleet_report]
    )
    metadata = made.asset_materializations_for_node("fleet_report")[0].metadata
    assert Path(str(metadata["report"].value)).read_text().startswith("<!DOCTYPE html>")
    assert "data:image/png;base64" in str(metadata["fleet"].value)


def test_a_day_without_predictions_shows_the_usage_and_says_so(runtime: Runtime) -> None:
    page = render(read_facts(runtime, AS_OF - timedelta(days=10)))
    assert "There is no forecast as of this day" in section(page, "usage")
    assert section(page, "usage").count("<rect") == 90
    assert "no predictions as of this day" in section(page, "first-ends")
    assert card(page, "Ending, exhausted, expired")[0] == "unknown"


def test_without_enough_history_no_change_is_claimed(runtime: Runtime) -> None:
    page = render(read_facts(runtime, AS_OF - timedelta(days=100)))
    assert card(page, "MB in the last 30 days")[1] == "no 30 days before to compare with"


def test_an_empty_database_gives_a_page_that_says_so(empty_runtime: Runtime) -> None:
    made = make_report(empty_runtime, EMPTY_DAY)
    page = made["report"].read_text()
    for text in (
        "No SIMs yet",
        "No usage is stored",
        "no predictions",
        "No SIM is silent",
        "No alert is open",
        "No model",
    ):
        assert text in page


def test_an_older_report_does_not_become_the_latest(tmp_path: Path) -> None:
    write_report(tmp_path, AS_OF, "new")
    write_report(tmp_path, AS_OF - timedelta(days=1), "old")
    assert (tmp_path / "fleet-latest.html").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fleet-2026-06-27.html",
        "fleet-2026-06-28.html",
        "fleet-latest.html",
    ]


def test_a_reader_sees_the_old_file_or_the_new_one_never_a_part(tmp_path: Path) -> None:
    path = write_report(tmp_path, AS_OF, "old")
    with path.open() as reader:
        write_report(tmp_path, AS_OF, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = write_report(tmp_path, AS_OF, "old")
    with pytest.raises(UnicodeEncodeError):
        write_report(tmp_path, AS_OF, "a lone surrogate: \ud800")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


# --- the report of a period ---


def report_of(runtime: Runtime, wanted: Wanted) -> Report:
    with runtime.database.transaction() as transaction:
        return collect(transaction, wanted, probability=0.5)


@pytest.fixture(scope="module")
def month(runtime: Runtime) -> Report:
    return report_of(runtime, Wanted(AS_OF - timedelta(days=29), AS_OF))


def part(report: Report, name: str) -> Section:
    return next(section for section in report.sections if section.name == name)


def figures(report: Report) -> dict[str, float]:
    return {row["figure"]: row["value"] for row in part(report, "key_figures").frame.iter_rows(named=True)}


def test_its_figures_are_those_of_the_fleet_page(month: Report, facts: FleetFacts) -> None:
    told = figures(month)
    for figure, name in (
        ("SIMs", "sims"),
        ("Active in the last 7 days of the period", "active_7"),
        ("End within 7 days", "ends_7"),
        ("End within 14 days", "ends_14"),
        ("End within 30 days", "ends_30"),
        ("Exhausted", "exhausted"),
        ("Expired", "expired"),
    ):
        assert told[figure] == facts.figures[name], figure
    assert told["Open alerts on the last day"] == sum(row["alerts"] for row in facts.alert_counts)
    assert told["Usage rows up to the last day"] == facts.data["usage_rows"]
    last_30 = facts.daily["bytes"].tail(30)
    assert told["Usage in the period"] == last_30.sum() / 1e6
    assert part(month, "usage").frame["usage_mb"].to_list() == [volume / 1e6 for volume in last_30]
    for one in fleet_expected(facts.fleet):
        assert told[f"Usage expected in the next {one.days} days"] == one.expected / 1e6
        assert one.text in part(month, "forecast").reading
    assert part(month, "forecast").frame["expected_mb"].to_list() == [mean / 1e6 for mean in facts.fleet["mean"]]
    shown = part(month, "first_ends").frame.head(20)
    assert shown["iccid"].to_list() == facts.first_ends["iccid"].to_list()
    assert shown["ends_on"].to_list() == facts.first_ends["ends_on"].to_list()
    assert part(month, "top_consumers").frame["iccid"].to_list()[:20] == [row["iccid"] for row in facts.top_consumers]
    assert {row["state"]: row["sims"] for row in facts.states} == dict(
        part(month, "states").frame.select("state", "sims").iter_rows()
    )
    assert part(month, "models").reading == describe_backtest(facts.model["metrics"] if facts.model else {})
    graded: dict[str, int] = {}
    for row in facts.grades:
        graded[row["data_grade"] or "unknown"] = graded.get(row["data_grade"] or "unknown", 0) + row["sims"]
    assert month.grades == graded
    assert sum(graded.values()) == 29, "all but the SIM that never sent"
    assert (month.as_of, month.newest_day, month.note) == (AS_OF, AS_OF, "synthetic data")


def test_every_format_of_it_names_no_sim_of_another_organization(month: Report) -> None:
    for format in FORMATS:
        content = written(month, format)
        assert b"8988280666000000130" not in content
        assert len(content) > 5_000, format


def test_a_choice_of_sims_holds_in_every_section(runtime: Runtime, month: Report) -> None:
    chosen = report_of(runtime, Wanted(month.first_day, AS_OF, label="meter 1"))
    ours = {f"8988280666{n:09d}" for n in (1, *range(10, 20))}
    told = figures(chosen)
    assert told["SIMs"] == 11
    used = [row["usage_mb"] for row in part(month, "top_consumers").frame.iter_rows(named=True) if row["iccid"] in ours]
    assert told["Usage in the period"] == pytest.approx(sum(used))
    assert part(chosen, "places").frame["sims"].sum() == 11
    assert part(chosen, "coverage").frame["activated"].to_list() == [11] * 30
    assert part(chosen, "states").frame["sims"].sum() == 11
    assert 1 <= sum(chosen.grades.values()) <= 11
    named = [section for section in chosen.sections if "iccid" in section.columns]
    for section in named:
        assert set(section.frame["iccid"].drop_nulls()) <= ours, section.name
    assert {section.name for section in named if section.frame.height} >= {"top_consumers", "first_ends", "alerts"}
    assert part(chosen, "alerts").frame["iccid"].null_count() == 0, "alerts of the fleet are of no SIM chosen"
    assert part(chosen, "incidents").frame.is_empty()
    assert part(chosen, "forecast").frame["low_mb"].null_count() == 30
    assert 0 < part(chosen, "forecast").frame["expected_mb"].sum() < part(month, "forecast").frame["expected_mb"].sum()


def test_a_country_chooses_the_sims_last_seen_there(runtime: Runtime, truth: psycopg.Connection[Any]) -> None:
    seen = (
        "INSERT INTO core.sim_connectivity (sim_key, day, organization_id, observed_at, status, operator, country)"
        " SELECT sim_key, %(as_of)s::date - n, organization_id, now(), 'ONLINE', 'A1',"
        " CASE WHEN n = 40 THEN 'Austria' WHEN right(iccid, 2) = '12' THEN 'Austria' ELSE 'Italy' END"
        " FROM core.sims, unnest(ARRAY[3, 40]) AS n WHERE right(iccid, 2) IN ('11', '12') RETURNING 1"
    )
    truth.execute(seen.encode(), {"as_of": AS_OF})
    try:
        found = report_of(runtime, Wanted(AS_OF - timedelta(days=6), AS_OF, country="Austria"))
        assert part(found, "top_consumers").frame["iccid"].to_list() == ["8988280666000000012"]
        assert part(found, "places").frame.rows() == [
            ("Austria", "A1", 1, pytest.approx(figures(found)["Usage in the period"]))
        ]
        both = Wanted(AS_OF - timedelta(days=6), AS_OF, label="meter 11", country="Austria")
        assert figures(report_of(runtime, both))["SIMs"] == 0
        before = report_of(runtime, Wanted(AS_OF - timedelta(days=36), AS_OF - timedelta(days=30), country="Austria"))
        assert figures(before)["SIMs"] == 2, "both were there then"
    finally:
        truth.execute("DELETE FROM core.sim_connectivity")


def test_where_nothing_is_there_every_section_says_so(runtime: Runtime, empty_runtime: Runtime) -> None:
    nobody = report_of(runtime, Wanted(AS_OF, AS_OF, label="no such label"))
    nothing = report_of(empty_runtime, Wanted(EMPTY_DAY, EMPTY_DAY))
    for report in (nobody, nothing):
        for section in report.sections:
            assert section.reading, section.name
            if section.name not in ("key_figures", "models", "forecast_scores"):
                assert section.frame.is_empty(), section.name
        for format in FORMATS:
            assert written(report, format)
    assert "no prediction" in part(nobody, "exhaustion").reading
    assert (nothing.as_of, nothing.newest_day) == (None, None)


def test_a_period_before_the_predictions_has_their_newest_day_up_to_it_and_no_later(runtime: Runtime) -> None:
    before = report_of(runtime, Wanted(AS_OF - timedelta(days=200), AS_OF - timedelta(days=60)))
    assert before.as_of is None
    assert part(before, "usage").frame["day"].min() == AS_OF - timedelta(days=119), "the history begins there"
    assert "Usage in as many days before" not in figures(before), "the history does not reach back so far"
    assert "Usage of 60 of its 141 days is known." in part(before, "key_figures").reading


def test_days_that_are_not_stored_are_unknown_and_not_zero(runtime: Runtime, month: Report) -> None:
    newest = AS_OF + timedelta(days=1)
    for label in (None, "meter 1"):
        longer = report_of(runtime, Wanted(month.first_day, AS_OF + timedelta(days=10), label=label))
        assert part(longer, "usage").frame["day"].max() == newest
        assert "Usage of 31 of its 40 days is known." in part(longer, "key_figures").reading
    for first in (AS_OF + timedelta(days=20), AS_OF - timedelta(days=300)):
        unknown = report_of(runtime, Wanted(first, first + timedelta(days=5)))
        assert part(unknown, "usage").frame.is_empty()
        assert part(unknown, "key_figures").reading.startswith("No usage of the ")
        assert not figures(unknown).keys() & {"Usage in the period", "Active in the last 7 days of the period"}


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [(AS_OF, AS_OF - timedelta(days=1), "ends before that"), (AS_OF - timedelta(days=800), AS_OF, "801 days")],
)
def test_a_period_that_is_none_is_refused(first: date, last: date, message: str) -> None:
    with pytest.raises(ReportError, match=message):
        Wanted(first, last)
