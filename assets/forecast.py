"""Usage forecasts: train with a backtest, promote, score the fleet."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days, picture
from ml.evaluation import Backtest, backtest
from ml.forecasting import QUANTILES, Forecast, ForecastModel, fit, forecast_usage, quantile_column
from ml.plots import plot_backtest, plot_coverage, plot_fleet_forecast
from resources.database import Database, Merged, Transaction
from resources.registry import Registry, Version
from resources.runtime import Runtime

MODEL = "usage-forecaster"
HORIZON = 30
HISTORY_DAYS = 730
PATH_SAMPLES = 500
HISTORY_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64}
QUALITY_SCHEMA = {"sim_key": pl.Int32, "data_age_hours": pl.Int16, "data_grade": pl.Int16}
QUOTA_SCHEMA = {"sim_key": pl.Int32, "quota_left": pl.Int64, "quota_total": pl.Int64, "expires_on": pl.Date}
# the forecast frame's columns as the table names them: q0.025 is q025
COLUMNS = {"mean": "mean"} | {quantile_column(level): f"q{str(level)[2:]:0<2}" for level in QUANTILES}


class NoUsageError(Exception):
    """There is nothing to learn from; the message says what to run first."""


def load_history(database: Database, as_of: date) -> pl.DataFrame:
    """Daily usage of every SIM up to `as_of`: sim_key, day, bytes. Raises NoUsageError when there is none."""
    history = database.frame("usage_history", HISTORY_SCHEMA, {"as_of": as_of, "days": HISTORY_DAYS})
    if history.is_empty():
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    return history


def load_quotas(database: Database, as_of: date) -> pl.DataFrame:
    """Data quota of every SIM at the end of `as_of`: sim_key, quota_left and quota_total in bytes, expires_on."""
    return database.frame("quota_as_of", QUOTA_SCHEMA, {"as_of": as_of})


@dg.asset(
    deps=["sim_usage"],
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "timescaledb"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.sim_usage"},
)
def usage_history(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The daily usage that models and alerts see as of a day (the partition): all complete days up to it.

    It stores nothing of its own: it says what there is, and its blocking check stops predictions on incomplete usage.
    """
    history = load_history(runtime.database, as_of_days(context)[-1])
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": history.height,
            "sims": history["sim_key"].n_unique(),
            "first day": str(history["day"].min()),
            "last day": str(history["day"].max()),
            "MB": round(int(history["bytes"].sum()) / 1e6, 1),
        }
    )


@dg.asset(
    deps=["usage_history"],
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "mlflow"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.backtests"},
)
def usage_forecaster(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The registered model `usage-forecaster`, trained on what was known on the as-of day (the partition).

    Backtested from several past days against seasonal naive (repeating last week). It becomes the champion, which scores,
    when it beats the baseline and its 80 % interval covers about 80 %; otherwise it is kept as challenger.
    """
    as_of = date.fromisoformat(context.partition_key)
    trained = train(runtime, as_of, log=context.log.info)
    return dg.MaterializeResult(metadata=trained)


def train(runtime: Runtime, as_of: date, *, log: Callable[[str], object] = lambda text: None) -> dict[str, Any]:
    """Fit, backtest, register and promote the forecaster; returns metadata. The same data again trains nothing."""
    history = load_history(runtime.database, as_of)
    registry = Registry(runtime.mlflow, MODEL, runtime.settings.organization, runtime.mlflow_artifacts)
    fingerprint = _fingerprint(history, as_of, runtime.settings.seed)
    known = registry.with_fingerprint(fingerprint)
    if known is not None:
        return {"model version": known, "trained": "no: this version was trained on the same data"}
    log(f"backtest over {history['sim_key'].n_unique()} SIMs")
    tested = backtest(history, as_of=as_of, horizon=HORIZON, seed=runtime.settings.seed)
    model = fit(history, as_of=as_of, horizon=HORIZON, seed=runtime.settings.seed)
    role, why = verdict(tested)
    if role == "challenger" and registry.champion() is None:
        role, why = "champion", f"the first version, although {why}"
    plots = {
        "backtest.png": plot_backtest(tested.frame, note=runtime.data_note),
        "coverage.png": plot_coverage(tested.calibration, note=runtime.data_note),
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_text(json.dumps(model.to_dict()))
        tested.frame.write_csv(Path(folder) / "backtest.csv")
        tested.calibration.write_csv(Path(folder) / "calibration.csv")
        for name, figure in plots.items():
            figure.savefig(Path(folder) / name)
        registered = registry.register(
            folder=Path(folder),
            parameters={
                "as_of": as_of.isoformat(),
                "horizon_days": HORIZON,
                "sims": history["sim_key"].n_unique(),
                "rows": history.height,
                "seed": runtime.settings.seed,
                "simsight": version("simsight"),
                "data": runtime.data_note or "1NCE account",
            },
            metrics=tested.summary,
            fingerprint=fingerprint,
            role=role,
            why=why,
        )
    now = runtime.clock()
    with runtime.database.transaction() as transaction:
        if role == "champion":
            transaction.execute("retire_champion", {"model_name": MODEL})
        transaction.execute(
            "record_backtest",
            {
                "model_name": MODEL,
                "model_version": registered.version,
                "run_id": registered.run_id,
                "as_of": as_of,
                "role": role,
                "metrics": json.dumps(tested.summary),
                "now": now,
            },
        )
    return {
        "model version": registered.version,
        "role": f"{role}: {why}",
        "MLflow run": registered.run_id,
        "backtest": tested.note,
        **{name: round(value, 4) for name, value in tested.summary.items()},
        "error by segment": picture(plots["backtest.png"]),
        "stated and achieved probability": picture(plots["coverage.png"]),
    }


def verdict(tested: Backtest) -> tuple[str, str]:
    """Whether a version may score: (role, why). The bounds leave room for a small fleet's noise, not for a broken model."""
    if tested.status != "ok":
        return "challenger", f"it could not be tested: {tested.note}"
    rmase, covered = tested.summary["rmase"], tested.summary["coverage_80"]
    if not rmase < 1:  # NaN included: a fleet without traffic says nothing
        return "challenger", f"its error is {rmase:.2f} times the seasonal naive baseline's"
    if not 0.7 <= covered <= 0.9:
        return "challenger", f"its 80 % interval covered {covered:.0%} of unseen days"
    return "champion", f"error {rmase:.2f} times the baseline's, 80 % interval covered {covered:.0%} of unseen days"


def _fingerprint(history: pl.DataFrame, as_of: date, seed: int) -> str:
    rows = history.hash_rows(seed=0).to_numpy()
    facts = (
        f"{as_of} {seed} {HORIZON} {version('simsight')} {history.height} {np.bitwise_xor.reduce(rows)} {rows.sum()}"
    )
    return hashlib.sha256(facts.encode()).hexdigest()


@dg.asset(
    deps=["usage_forecaster", "usage_history"],
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "timescaledb"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.usage_forecasts"},
)
def usage_forecasts(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Daily usage of every SIM, 30 days ahead, with quantiles, by the champion model.

    One row a SIM, as-of day (the partition) and day ahead; read it through `predictions.usage_forecasts_v1`.
    """
    return score_partitions(context, runtime, "usage_forecasts", score_usage)


def score_partitions(
    context: dg.AssetExecutionContext, runtime: Runtime, part: str, score: Callable[..., dict[str, Any]]
) -> dg.MaterializeResult[None]:
    """Score the as-of days of a run, oldest first, and settle what was stale of them."""
    days = as_of_days(context)
    metadata: dict[str, Any] = {}
    for as_of in days:
        with settling(runtime.database, as_of, part):
            metadata = score(runtime, as_of, run_id=context.run.run_id)
        if len(days) > 1:
            context.log.info(f"{part} as of {as_of}")
    return dg.MaterializeResult(metadata=metadata | {"as-of days": len(days)})


@contextmanager
def settling(database: Database, as_of: date, part: str) -> Iterator[None]:
    """What was stale of these predictions is fresh when the block ends well; a correction that comes meanwhile stays marked."""
    mark = database.row("stale_mark", {"as_of": as_of, "part": part})
    yield
    if mark is not None:
        with database.transaction() as transaction:
            transaction.execute("clear_stale_mark", {"as_of": as_of, "part": part, **mark})


def champion_forecast(runtime: Runtime, as_of: date) -> tuple[Version, pl.DataFrame, Forecast]:
    """The champion, the history it knows and its forecast. Deterministic, so that it need not be stored to be shared."""
    registry = Registry(runtime.mlflow, MODEL, runtime.settings.organization, runtime.mlflow_artifacts)
    champion = registry.champion()
    if champion is None:
        raise NoUsageError("no champion model is registered: materialize usage_forecaster first (`simsight run`)")
    model = ForecastModel.from_dict(registry.load(champion))
    history = load_history(runtime.database, as_of)
    return champion, history, forecast_usage(model, history, as_of=as_of, horizon=HORIZON)


def score_usage(runtime: Runtime, as_of: date, *, run_id: str) -> dict[str, Any]:
    """Forecast every SIM's usage as of a day and store it, all or nothing; returns metadata."""
    champion, history, forecast = champion_forecast(runtime, as_of)
    with runtime.database.transaction() as transaction:
        scoring = scoring_id_of(transaction, champion.version, as_of, run_id, runtime)
        rows = forecast.frame.select(
            "sim_key",
            "day",
            pl.lit(as_of).alias("as_of"),
            pl.lit(scoring, pl.Int32).alias("scoring_id"),
            *(pl.col(name).round().cast(pl.Int64).alias(column) for name, column in COLUMNS.items()),
        ).join(quality(transaction, as_of), on="sim_key", how="left")
        merged = transaction.merge("merge_usage_forecasts", rows)
        transaction.rows("analyze_new_tables")
    total = sum((paths.sum(axis=0, dtype=np.float64) for _, paths in forecast.path_blocks(PATH_SAMPLES)), np.float64(0))
    plot = plot_fleet_forecast(history, np.asarray(total), as_of=as_of, note=runtime.data_note)
    return {**scored_metadata(champion, as_of, merged), "sims": forecast.sim_keys.size, "fleet": picture(plot)}


def quality(transaction: Transaction, as_of: date) -> pl.DataFrame:
    """What a prediction of each SIM stands on: sim_key, data_age_hours, data_grade (1 to 4 for A to D)."""
    return transaction.frame("data_quality", QUALITY_SCHEMA, {"as_of": as_of})


def scored_metadata(champion: Version, as_of: date, merged: Merged) -> dict[str, Any]:
    return {
        "model version": champion.version,
        "as of": as_of.isoformat(),
        "dagster/row_count": merged.rows,
        "rows new": merged.new,
        "rows changed": merged.changed,
    }


def scoring_id_of(transaction: Transaction, model_version: int, as_of: date, run_id: str, runtime: Runtime) -> int:
    """The scoring of this version and day: the same one again when it is scored again, so that nothing changes."""
    what = {"model_name": MODEL, "model_version": model_version, "as_of": as_of}
    found = transaction.row("find_scoring", what) or transaction.row(
        "new_scoring", {**what, "run_id": run_id, "now": runtime.clock()}
    )
    assert found is not None
    return int(found["scoring_id"])


FORECAST = [usage_history, usage_forecaster, usage_forecasts]
