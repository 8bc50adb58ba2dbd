"""When every SIM ends, by volume or by expiry, over blocks of SIMs."""

from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from assets.blocks import Block, Part, block_ops, score_day
from assets.common import DAYS, OWNERS, picture
from assets.forecast import PATH_SAMPLES, forecast_block, load_inputs, load_quotas
from ml.exhaustion import EXHAUSTION_SCHEMA, quota_exhaustion
from ml.forecasting import Forecast
from ml.plots import plot_exhaustion
from resources.runtime import Runtime

SHOWN_SCHEMA = {
    "sim_key": pl.Int32,
    "label": pl.String,
    **{name: EXHAUSTION_SCHEMA[name] for name in ("status", "cause", "p10_date", "p50_date", "p90_date")},
}


def _inputs(runtime: Runtime, block: Block) -> pl.DataFrame:
    """What the end of each SIM of a block rests on: `load_inputs`, its quota, and whether 1NCE calls it expired.

    An expired SIM need have no usage: there is nothing to forecast, and its end is known.
    """
    quotas = load_quotas(runtime.database, block.as_of, block.first_key, block.last_key)
    expired = runtime.database.frame("expired_sims", {"sim_key": pl.Int32}, block.range)
    inputs = load_inputs(runtime, block).join(
        expired.with_columns(expired=pl.lit(True)), on="sim_key", how="full", coalesce=True
    )
    return (
        inputs.join(quotas, on="sim_key", how="left").with_columns(pl.col("expired").fill_null(False)).sort("sim_key")
    )


def _score(runtime: Runtime, block: Block, inputs: pl.DataFrame) -> pl.DataFrame:
    used = inputs.filter(pl.col("usage_hash").is_not_null())
    ends = pl.DataFrame(schema=EXHAUSTION_SCHEMA | {"remaining": pl.Int64, "expires_on": pl.Date})
    if used.height:
        ends = exhaustion(forecast_block(runtime, block, used["sim_key"]), used, block.as_of)
    ends = with_expired(ends, inputs.filter("expired").select("sim_key"), block.as_of)
    return ends.join(
        inputs.select("sim_key", "data_age_hours", "data_grade"), on="sim_key", how="left", maintain_order="left"
    )


def exhaustion(forecast: Forecast, quotas: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Exhaustion of every forecast SIM, with the volume and expiry day it rests on."""
    known = pl.DataFrame({"sim_key": forecast.sim_keys}, schema={"sim_key": pl.Int32}).join(
        quotas, on="sim_key", how="left", maintain_order="left"
    )
    remaining = known["quota_left"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    expiry = (known["expires_on"] - as_of).dt.total_days().cast(pl.Float64).fill_null(np.nan).to_numpy()
    blocks = [
        quota_exhaustion(
            paths,
            remaining[block],
            expiry[block],
            as_of=as_of,
            history_days=forecast.history_days[block],
            ever_used=forecast.ever_used[block],
            sim_keys=forecast.sim_keys[block],
        ).frame
        for block, paths in forecast.path_blocks(PATH_SAMPLES)
    ]
    return pl.concat(blocks).with_columns(known["quota_left"].alias("remaining"), known["expires_on"])


def with_expired(ends: pl.DataFrame, expired: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """With the SIMs for which 1NCE no longer answers because they expired: without a quota, there is nothing to forecast."""
    unsure = pl.col("status") == "not_enough_evidence"
    ends = ends.filter(~(unsure & pl.col("sim_key").is_in(expired["sim_key"].implode())))
    rows = expired.join(ends, on="sim_key", how="anti").with_columns(
        pl.lit(as_of).alias("as_of"),
        pl.lit("expired").alias("status"),
        pl.lit("expiry").alias("cause"),
        *(pl.lit(1.0).alias(name) for name in ("p_7", "p_14", "p_30")),
    )
    return pl.concat([ends, rows], how="diagonal")


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


EXHAUSTIONS = Part("exhaustions", "merge_exhaustions", _inputs, _score, _show)
_plan, _score_block, _publish = block_ops(EXHAUSTIONS, ("usage_forecasts", "sim_quota"))


@dg.graph_asset(
    ins={name: dg.AssetIn(name, dagster_type=dg.Nothing) for name in ("usage_forecasts", "sim_quota")},
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.exhaustions"},
)
def quota_exhaustions(usage_forecasts: Any, sim_quota: Any) -> Any:
    """When every SIM ends, by volume or by expiry, whichever comes first: probabilities and dates; over blocks of SIMs.

    One row a SIM and as-of day (the partition), from sampled futures of the usage forecast; read it through
    `predictions.exhaustions_v1`. SIMs whose usage, quota and model version are those they were scored from are left as they are.
    """
    blocks = _plan(usage_forecasts=usage_forecasts, sim_quota=sim_quota)
    return _publish(blocks.map(_score_block).collect())


def score_exhaustion(runtime: Runtime, as_of: date, *, run_id: str) -> dict[str, Any]:
    """When every SIM ends, as of a day, stored all or nothing; returns metadata."""
    return score_day(runtime, EXHAUSTIONS, as_of, run_id=run_id)
