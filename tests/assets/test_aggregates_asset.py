"""Forecasts of totals on a real database: which groups there are, what is stored, and that the same day again changes
nothing.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest
from sqlalchemy import URL

from assets.forecasting import aggregate_forecasts
from resources.runtime import Runtime
from services.forecasting import COUNTRIES, LABELS, TOTALS_SCHEMA, forecast_totals
from services.inputs import HISTORY_DAYS, NoUsageError
from tests.fleet import AS_OF, NOW, Filled, Truth, at, copied

TABLE = "predictions.aggregate_forecasts"


@pytest.fixture(scope="module")
def forecast(
    postgres: URL, filled_template: Filled, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Runtime, Truth, dict[str, Any]]]:
    """The filled fleet with its totals forecast once, by the asset."""
    with copied(postgres, filled_template, tmp_path_factory.mktemp("totals")) as (runtime, truth):
        # a label of the customer's own, which counts before 1NCE's
        truth.rows(
            "UPDATE core.sims SET own_label = 'Depot ' || sim_key WHERE sim_key IN (SELECT sim_key FROM core.sims "
            "ORDER BY 1 LIMIT 3)"
        )
        with dg.DagsterInstance.ephemeral() as instance:
            run = dg.materialize(
                [aggregate_forecasts],
                resources={"runtime": runtime},
                partition_key=AS_OF.isoformat(),
                instance=instance,
                selection=[aggregate_forecasts],
            )
            (event,) = run.get_asset_materialization_events()
        yield runtime, truth, {name: value.value for name, value in event.materialization.metadata.items()}


def usage(runtime: Runtime, **which: int) -> pl.DataFrame:
    asked = {"as_of": AS_OF, "days": HISTORY_DAYS, "labels": LABELS, "countries": COUNTRIES} | which
    return runtime.database.frame("aggregate_usage", TOTALS_SCHEMA, asked)


def test_the_fleet_labels_and_countries_are_forecast(forecast: tuple[Runtime, Truth, dict[str, Any]]) -> None:
    _, truth, metadata = forecast
    groups = truth.rows(f"SELECT kind, name, count(*) AS days, min(sims) AS sims FROM {TABLE} GROUP BY kind, name")  # type: ignore[arg-type]

    assert {row["days"] for row in groups} == {30}
    assert [row["name"] for row in groups if row["kind"] == "fleet"] == ["fleet"]
    assert "Depot" in {row["name"] for row in groups if row["kind"] == "label"}
    assert {row["kind"] for row in groups} == {"fleet", "label", "country"}
    assert all(row["sims"] > 1 for row in groups)
    assert len(groups) == metadata["series"] <= 1 + LABELS + COUNTRIES
    assert metadata["dagster/row_count"] == 30 * len(groups)
    assert metadata["fleet"].startswith("![fleet]")
    days = truth.rows("SELECT min(day) AS first, max(day) AS last FROM predictions.aggregate_forecasts_v1")
    assert days == [{"first": AS_OF + timedelta(days=1), "last": AS_OF + timedelta(days=30)}]


def test_the_forecast_of_the_fleet_is_about_what_comes(forecast: tuple[Runtime, Truth, dict[str, Any]]) -> None:
    _, truth, _ = forecast
    recent = truth.one(
        "SELECT sum(bytes) / 28 FROM core.sim_usage WHERE day > %s AND day <= %s", (AS_OF - timedelta(days=28), AS_OF)
    )
    ahead = truth.rows(
        f"SELECT avg(mean) AS mean, bool_and(q025 <= q10 AND q10 <= q50 AND q50 <= q90 AND q90 <= q975) AS ordered "
        f"FROM {TABLE} WHERE kind = 'fleet'"
    )  # type: ignore[arg-type]
    assert ahead[0]["ordered"]
    assert 0.5 < float(ahead[0]["mean"]) / float(recent) < 2


def test_totals_are_those_of_the_sims(forecast: tuple[Runtime, Truth, dict[str, Any]]) -> None:
    runtime, truth, _ = forecast
    totals = usage(runtime)

    fleet = truth.rows(
        "SELECT day, sum(bytes)::bigint AS bytes FROM core.sim_usage WHERE day <= %s GROUP BY day", (AS_OF,)
    )
    assert dict(totals.filter(kind="fleet").select("day", "bytes").iter_rows()) == {r["day"]: r["bytes"] for r in fleet}
    depot = truth.rows(
        "SELECT day, sum(bytes)::bigint AS bytes FROM core.sim_usage JOIN core.sims USING (sim_key)"
        " WHERE own_label LIKE 'Depot%%' AND day <= %s GROUP BY day",
        (AS_OF,),
    )
    of_depot = totals.filter(kind="label", name="Depot")
    assert dict(of_depot.select("day", "bytes").iter_rows()) == {r["day"]: r["bytes"] for r in depot}
    assert of_depot["sims"].unique().to_list() == [3]


def test_the_groups_with_the_most_sims_are_taken(forecast: tuple[Runtime, Truth, dict[str, Any]]) -> None:
    everything = usage(forecast[0], labels=1000, countries=1000)
    few = usage(forecast[0], labels=2, countries=1)

    sizes = (
        everything.filter(kind="label")
        .group_by("name")
        .agg(pl.col("sims").first())
        .sort("sims", "name", descending=[True, False])
    )
    assert sorted(few.filter(kind="label")["name"].unique()) == sorted(sizes["name"][:2])
    assert few.filter(kind="country")["name"].n_unique() == 1


def test_the_same_day_again_changes_nothing_and_a_lost_group_goes(
    forecast: tuple[Runtime, Truth, dict[str, Any]],
) -> None:
    runtime, truth, _ = forecast
    before = truth.versions([TABLE])
    with at(runtime, NOW + timedelta(hours=1)) as later:
        again = forecast_totals(later, AS_OF)
    assert (again["rows new"], again["rows changed"]) == (0, 0)
    assert truth.versions([TABLE]) == before

    truth.rows("UPDATE core.sims SET own_label = NULL")
    forecast_totals(runtime, AS_OF)
    assert truth.one(f"SELECT count(*) FROM {TABLE} WHERE name = 'Depot'") == 0  # type: ignore[arg-type]
    truth.rows(
        "UPDATE core.sims SET own_label = 'Depot ' || sim_key WHERE sim_key IN (SELECT sim_key FROM core.sims ORDER "
        "BY 1 LIMIT 3)"
    )


def test_without_usage_it_says_what_to_do(forecast: tuple[Runtime, Truth, dict[str, Any]]) -> None:
    with pytest.raises(NoUsageError, match="simsight ingest"):
        forecast_totals(forecast[0], AS_OF - timedelta(days=2000))


def test_another_organization_sees_none_of_it(forecast: tuple[Runtime, Truth, dict[str, Any]]) -> None:
    runtime, _, _ = forecast
    with at(runtime, NOW, organization="other") as other, other.database.transaction() as transaction:
        seen = transaction.connection.execute(f"SELECT count(*) FROM {TABLE}".encode()).fetchone()
    assert seen == (0,)
