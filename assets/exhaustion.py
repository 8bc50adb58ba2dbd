"""When every SIM ends, by volume or by expiry; its SMS, its monthly limit and its automatic top-ups."""

from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from assets.blocks import LAST_KEY, Block, block_ops, predictions, score_day
from assets.common import DAYS, OWNERS, picture
from assets.exhaustion_backtest import Basis, load_basis
from assets.forecast import PATH_SAMPLES, forecast_block, load_inputs, load_quotas, load_sample
from ml.exhaustion.extrapolation import LEVEL_DAYS
from ml.exhaustion.model import EXHAUSTION_SCHEMA, SMS_SCHEMA, quota_exhaustion, sms_exhaustion
from ml.forecasting import Forecast
from ml.history import BYTES_PER_MB, dense
from ml.plots.exhaustion import plot_exhaustion
from resources.database.session import Database
from resources.runtime import Runtime

FACTS_SCHEMA = {
    "sim_key": pl.Int32,
    "topup": pl.Int64,
    "topup_at": pl.Int64,
    "used_this_month": pl.Int64,
    "sms_remaining": pl.Int32,
    "sms_days": pl.Int32,
    "sms_messages": pl.Int64,
    "sms_squares": pl.Int64,
}

LEFT_SCHEMA = {"remaining": pl.Int64, "expires_on": pl.Date, "sms_remaining": pl.Int32}
SHOWN_SCHEMA = {
    "sim_key": pl.Int32,
    "label": pl.String,
    **{name: EXHAUSTION_SCHEMA[name] for name in ("status", "cause", "p10_date", "p50_date", "p90_date")},
}


def load_facts(database: Database, as_of: date, first_key: int = 0, last_key: int = LAST_KEY) -> pl.DataFrame:
    """What the end of a SIM rests on beside its data quota, as of a day (FACTS_SCHEMA; see exhaustion_facts.sql)."""
    which = {"as_of": as_of, "first_key": first_key, "last_key": last_key}
    return database.frame("exhaustion_facts", FACTS_SCHEMA, which)


def exhaustion(
    forecast: Forecast,
    history: pl.DataFrame,
    facts: pl.DataFrame,
    as_of: date,
    *,
    basis: Basis,
    monthly_limit: float | None = None,
) -> pl.DataFrame:
    """Exhaustion of every forecast SIM, with the volume, messages and expiry day it rests on.

    history  the usage history that the forecast knew
    facts    `load_quotas` and `load_facts`, one row a SIM
    """
    known = pl.DataFrame({"sim_key": forecast.sim_keys}, schema={"sim_key": pl.Int32}).join(
        facts, on="sim_key", how="left", maintain_order="left"
    )

    def column(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return known[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    recent = dense(history, as_of=as_of, lookback_days=LEVEL_DAYS).values
    expiry = (known["expires_on"] - as_of).dt.total_days().cast(pl.Float64).fill_null(np.nan).to_numpy()
    remaining, topup, topup_at = column("quota_left"), column("topup"), column("topup_at")
    used_this_month = column("used_this_month")
    blocks = [
        quota_exhaustion(
            paths,
            remaining[block],
            expiry[block],
            as_of=as_of,
            history_days=forecast.history_days[block],
            ever_used=forecast.ever_used[block],
            sim_keys=forecast.sim_keys[block],
            later=basis.outlook.beyond(paths, recent[block]),
            step_days=basis.outlook.step_days,
            calibration=basis.calibration,
            topup=topup[block],
            topup_at=topup_at[block],
            monthly_limit=monthly_limit,
            used_this_month=used_this_month[block],
        ).frame
        for block, paths in forecast.path_blocks(PATH_SAMPLES)
    ]
    messages = sms_exhaustion(
        column("sms_remaining"),
        expiry,
        as_of=as_of,
        known_days=np.nan_to_num(column("sms_days")),
        messages=np.nan_to_num(column("sms_messages")),
        squares=np.nan_to_num(column("sms_squares")),
        sim_keys=forecast.sim_keys,
    )
    return pl.concat(
        [
            pl.concat(blocks),
            messages.drop("sim_key"),
            known.select(pl.col("quota_left").alias("remaining"), "expires_on", "sms_remaining"),
        ],
        how="horizontal",
    )


def with_expired(ends: pl.DataFrame, expired: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """With the SIMs for which 1NCE no longer answers because they expired: without a quota, there is nothing to forecast."""
    unsure = pl.col("status") == "not_enough_evidence"
    ends = ends.filter(~(unsure & pl.col("sim_key").is_in(expired["sim_key"].implode())))
    sure = [
        name for name in ends.columns if name in {f"{kind}{d}" for kind in ("p_", "sms_p_") for d in (7, 14, 30, 90)}
    ]
    rows = expired.join(ends, on="sim_key", how="anti").with_columns(
        pl.lit(as_of).alias("as_of"),
        pl.lit("expired").alias("status"),
        pl.lit("expired").alias("sms_status"),
        pl.lit("expiry").alias("cause"),
        *(pl.lit(1.0).alias(name) for name in sure),
    )
    return pl.concat([ends, rows], how="diagonal")


def _learn(runtime: Runtime, as_of: date) -> Basis:
    """What all blocks of an as-of day have in common: learnt once, from the fleet's past, before the first of them."""
    return load_basis(runtime, as_of, load_sample(runtime, as_of))


def _inputs(runtime: Runtime, block: Block) -> pl.DataFrame:
    """What the end of each SIM of a block rests on: `load_inputs`, its quota, `load_facts`, and whether 1NCE calls it expired.

    An expired SIM need have no usage: there is nothing to forecast, and its end is known.
    """
    first, last = block.first_key, block.last_key
    quotas = load_quotas(runtime.database, block.as_of, first, last)
    facts = load_facts(runtime.database, block.as_of, first, last)
    expired = runtime.database.frame("expired_sims", {"sim_key": pl.Int32}, block.range)
    inputs = load_inputs(runtime, block).join(
        expired.with_columns(expired=pl.lit(True)), on="sim_key", how="full", coalesce=True
    )
    return (
        inputs.join(quotas, on="sim_key", how="left")
        .join(facts, on="sim_key", how="left")
        .with_columns(pl.col("expired").fill_null(False), monthly_limit=pl.lit(_monthly_limit(runtime), pl.Float64))
        .sort("sim_key")
    )


def _monthly_limit(runtime: Runtime) -> float | None:
    """Bytes a month after which a SIM is stopped, by the settings."""
    limit = runtime.settings.monthly_limit_mb
    return None if limit is None else limit * BYTES_PER_MB


def _score(runtime: Runtime, block: Block, inputs: pl.DataFrame) -> pl.DataFrame:
    used = inputs.filter(pl.col("usage_hash").is_not_null())
    ends = pl.DataFrame(schema=EXHAUSTION_SCHEMA | SMS_SCHEMA | LEFT_SCHEMA).drop("extrapolated")
    if used.height:
        history, forecast = forecast_block(runtime, block, used["sim_key"])
        limit = _monthly_limit(runtime)
        ends = exhaustion(forecast, history, used, block.as_of, basis=block.basis, monthly_limit=limit)
    ends = with_expired(ends, inputs.filter("expired").select("sim_key"), block.as_of)
    return ends.join(
        inputs.select("sim_key", "data_age_hours", "data_grade"), on="sim_key", how="left", maintain_order="left"
    )


def _show(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """How many SIMs have which status and grade of data, and who runs out first."""
    with runtime.database.transaction() as transaction:
        counts = transaction.rows("exhaustion_counts", {"as_of": as_of})
        first = transaction.frame("exhaustion_first", SHOWN_SCHEMA, {"as_of": as_of, "top": 20})
    by_status: dict[str, int] = {}
    by_grade: dict[str, int] = {}
    for row in counts:
        status, grade = f"status {row['status']}", f"SIMs on data of grade {row['data_grade']}"
        by_status[status] = by_status.get(status, 0) + row["sims"]
        if row["data_grade"]:
            by_grade[grade] = by_grade.get(grade, 0) + row["sims"]
    plot = plot_exhaustion(first, as_of=as_of, labels=first["label"].to_list(), note=runtime.data_note)
    return {**by_status, **dict(sorted(by_grade.items())), "who runs out first": picture(plot)}


EXHAUSTIONS = predictions("exhaustions", "merge_exhaustions", _inputs, _score, _show, _learn)
_plan, _score_block, _publish = block_ops(EXHAUSTIONS, ("usage_forecasts", "sim_quota", "exhaustion_backtest"))


@dg.graph_asset(
    ins={
        name: dg.AssetIn(name, dagster_type=dg.Nothing)
        for name in ("usage_forecasts", "sim_quota", "exhaustion_backtest")
    },
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.exhaustions"},
)
def quota_exhaustions(usage_forecasts: Any, sim_quota: Any, exhaustion_backtest: Any) -> Any:
    """When every SIM ends, by volume or by expiry, whichever comes first: probabilities and dates; over blocks of SIMs. And when its
    SMS are used up, its monthly limit stops it, and its next automatic top-up comes.

    One row a SIM and as-of day (the partition), from sampled futures of the usage forecast, gone on beyond its horizon as SIMs of
    the same kind did and calibrated by `exhaustion_backtest`; read it through `predictions.exhaustions_v1`. SIMs whose usage, quota
    and model version are those they were scored from are left as they are.
    """
    blocks = _plan(usage_forecasts=usage_forecasts, sim_quota=sim_quota, exhaustion_backtest=exhaustion_backtest)
    return _publish(blocks.map(_score_block).collect())


def score_exhaustion(runtime: Runtime, as_of: date, *, run_id: str) -> dict[str, Any]:
    """When every SIM ends, as of a day, stored all or nothing; returns metadata."""
    return score_day(runtime, EXHAUSTIONS, as_of, run_id=run_id)
