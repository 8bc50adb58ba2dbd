"""What forecasts rest on, and the daily usage of every SIM 30 days ahead, by the champion model, over blocks of SIMs."""

from datetime import date
from statistics import NormalDist
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from assets.blocks import LAST_KEY, Block, NoUsageError, block_ops, champion_of, predictions, registry_of, score_day
from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days, picture
from ml.forecasting import QUANTILES, Forecast, ForecastModel, predict, quantile_column
from ml.plots.forecasting import plot_fleet_forecast
from resources.database.session import Database, Transaction
from resources.registry import Version
from resources.runtime import Runtime

HORIZON = 30
HISTORY_DAYS = 730
PATH_SAMPLES = 500
# What a fleet has to teach is known from so many SIMs; more take memory and time.
LEARNING_SIMS = 20_000
HISTORY_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64}
QUALITY_SCHEMA = {"sim_key": pl.Int32, "data_age_hours": pl.Int16, "data_grade": pl.Int16}
QUOTA_SCHEMA = {"sim_key": pl.Int32, "quota_left": pl.Int64, "quota_total": pl.Int64, "expires_on": pl.Date}
FLEET_SCHEMA = {"day": pl.Date, "expected": pl.Float64, "spread": pl.Float64}
SHOWN_DAYS = 90
# the forecast frame's columns as the table names them: q0.025 is q025
COLUMNS = {"mean": "mean"} | {quantile_column(level): f"q{str(level)[2:]:0<2}" for level in QUANTILES}


def load_history(database: Database, as_of: date, sim_keys: list[int] | None = None) -> pl.DataFrame:
    """Daily usage up to `as_of` of every SIM, or of those given: sim_key, day, bytes. Raises NoUsageError when there is none."""
    history = database.frame(
        "usage_history", HISTORY_SCHEMA, {"as_of": as_of, "days": HISTORY_DAYS, "sim_keys": sim_keys}
    )
    if history.is_empty():
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    return history


def load_sample(runtime: Runtime, as_of: date) -> pl.DataFrame:
    """The usage history of the fleet, of a large one that of LEARNING_SIMS SIMs evenly spread over it: what models learn from."""
    with runtime.database.transaction() as transaction:
        chosen = learning_sims(transaction)
    return load_history(runtime.database, as_of, chosen)


def learning_sims(transaction: Transaction) -> list[int] | None:
    """The SIMs that models learn from: LEARNING_SIMS, evenly spread over the fleet; None where all are no more."""
    keys = transaction.frame("block_keys", {"sim_key": pl.Int32}, {"first_key": 0, "last_key": LAST_KEY})["sim_key"]
    return keys.gather_every(-(-len(keys) // LEARNING_SIMS)).to_list() if len(keys) > LEARNING_SIMS else None


def load_quotas(database: Database, as_of: date, first_key: int = 0, last_key: int = LAST_KEY) -> pl.DataFrame:
    """Data quota of SIMs at the end of `as_of`: sim_key, quota_left and quota_total in bytes, expires_on."""
    which = {"as_of": as_of, "first_key": first_key, "last_key": last_key}
    return database.frame("quota_as_of", QUOTA_SCHEMA, which)


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
    as_of = as_of_days(context)[-1]
    found = runtime.database.row("usage_extent", {"as_of": as_of, "days": HISTORY_DAYS})
    if not found or not found["rows"]:
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": found["rows"],
            "sims": found["sims"],
            "first day": str(found["first_day"]),
            "last day": str(found["last_day"]),
            "MB": round(int(found["bytes"]) / 1e6, 1),
        }
    )


def load_inputs(runtime: Runtime, block: Block) -> pl.DataFrame:
    """What a forecast of each SIM of a block rests on: sim_key, usage_hash, data_age_hours, data_grade (1 to 4 for A to D)."""
    with runtime.database.transaction() as transaction:
        usage = transaction.frame(
            "usage_hashes", {"sim_key": pl.Int32, "usage_hash": pl.Int64}, block.range | {"days": HISTORY_DAYS}
        )
        quality = transaction.frame("data_quality", QUALITY_SCHEMA, block.range)
    return usage.join(quality, on="sim_key", how="left", maintain_order="left")


def load_model(runtime: Runtime, version: Version) -> ForecastModel:
    """A registered version as it was saved."""
    return ForecastModel.from_dict(registry_of(runtime).load(version))


def champion_forecast(runtime: Runtime, as_of: date) -> tuple[Version, pl.DataFrame, Forecast]:
    """The champion, the history of all SIMs and their forecast, as the blocks compute it piece by piece."""
    champion = champion_of(runtime)
    history = load_history(runtime.database, as_of)
    model = load_model(runtime, champion)
    return champion, history, predict(model, history, as_of=as_of, horizon=HORIZON)


def forecast_block(runtime: Runtime, block: Block, sim_keys: pl.Series) -> tuple[pl.DataFrame, Forecast]:
    """The history and the forecast of some SIMs of a block. Deterministic, so that it need not be stored to be shared."""
    history = load_history(runtime.database, block.as_of, sim_keys.to_list())
    return history, predict(load_model(runtime, block.version), history, as_of=block.as_of, horizon=HORIZON)


def _score(runtime: Runtime, block: Block, inputs: pl.DataFrame) -> pl.DataFrame:
    _, forecast = forecast_block(runtime, block, inputs["sim_key"])
    return forecast.frame.select(
        "sim_key",
        "day",
        pl.lit(block.as_of).alias("as_of"),
        *(pl.col(name).round().cast(pl.Int64).alias(column) for name, column in COLUMNS.items()),
    ).join(inputs.select("sim_key", "data_age_hours", "data_grade"), on="sim_key", how="left", maintain_order="left")


def _show(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """The fleet's days ahead. Its fan takes the SIMs as independent, as the sum of their sampled futures does."""
    with runtime.database.transaction() as transaction:
        ahead = transaction.frame("fleet_forecast", FLEET_SCHEMA, {"as_of": as_of})
        shown = {"as_of": as_of, "days": SHOWN_DAYS}
        daily = transaction.frame("report_fleet_days", {"day": pl.Date, "bytes": pl.Int64}, shown)
        sims = (transaction.row("report_forecast", {"as_of": as_of}) or {"sims": 0})["sims"]
    normal = np.array([NormalDist().inv_cdf((k + 0.5) / PATH_SAMPLES) for k in range(PATH_SAMPLES)])
    futures = ahead["expected"].to_numpy() + normal[:, None] * ahead["spread"].to_numpy()
    daily = daily.filter(pl.col("bytes").cum_sum() > 0)
    plot = plot_fleet_forecast(daily, np.maximum(futures, 0), as_of=as_of, note=runtime.data_note)
    return {"sims": sims, "fleet": picture(plot)}


USAGE_FORECASTS = predictions("usage_forecasts", "merge_usage_forecasts", load_inputs, _score, _show)
_plan, _score_block, _publish = block_ops(USAGE_FORECASTS, ("usage_forecaster", "usage_history"))


@dg.graph_asset(
    ins={name: dg.AssetIn(name, dagster_type=dg.Nothing) for name in ("usage_forecaster", "usage_history")},
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "timescaledb"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.usage_forecasts"},
)
def usage_forecasts(usage_forecaster: Any, usage_history: Any) -> Any:
    """Daily usage of every SIM, 30 days ahead, with quantiles, by the champion model; scored over blocks of SIMs.

    One row a SIM, as-of day (the partition) and day ahead; read it through `predictions.usage_forecasts_v1`. SIMs without new or
    corrected data since they were scored as of that day by the same version are left as they are.
    """
    blocks = _plan(usage_forecaster=usage_forecaster, usage_history=usage_history)
    return _publish(blocks.map(_score_block).collect())


def score_usage(runtime: Runtime, as_of: date, *, run_id: str) -> dict[str, Any]:
    """Forecast every SIM's usage as of a day and store it, all or nothing; returns metadata."""
    return score_day(runtime, USAGE_FORECASTS, as_of, run_id=run_id)
