"""When every SIM ends, by volume or by expiry; its SMS, its monthly limit and its automatic top-ups."""

from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from assets.common import DAYS, OWNERS, RuntimeParam, picture
from assets.exhaustion_backtest import Basis, load_basis
from assets.forecast import (
    PATH_SAMPLES,
    champion_forecast,
    load_quotas,
    quality,
    score_partitions,
    scored_metadata,
    scoring_id_of,
)
from ml.exhaustion import quota_exhaustion, sms_exhaustion
from ml.forecasting import Forecast
from ml.history import BYTES_PER_MB, dense
from ml.outlook import LEVEL_DAYS
from ml.plots import plot_exhaustion
from resources.database import Database
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


@dg.asset(
    deps=["usage_forecasts", "sim_quota", "exhaustion_backtest"],
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.exhaustions"},
)
def quota_exhaustions(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """When every SIM ends, by volume or by expiry, whichever comes first: probabilities and dates. And when its SMS are used up,
    its monthly limit stops it, and its next automatic top-up comes.

    One row a SIM and as-of day (the partition), from sampled futures of the usage forecast, gone on beyond its horizon as SIMs of
    the same kind did and calibrated by `exhaustion_backtest`; read it through `predictions.exhaustions_v1`.
    """
    return score_partitions(context, runtime, "exhaustions", score_exhaustion)


def score_exhaustion(runtime: Runtime, as_of: date, *, run_id: str) -> dict[str, Any]:
    """When every SIM ends, as of a day, stored all or nothing; returns metadata."""
    champion, history, forecast = champion_forecast(runtime, as_of)
    basis = load_basis(runtime, as_of, history)
    known = load_quotas(runtime.database, as_of).join(
        load_facts(runtime.database, as_of), on="sim_key", how="full", coalesce=True
    )
    limit = runtime.settings.monthly_limit_mb
    ends = exhaustion(
        forecast,
        history,
        known,
        as_of,
        basis=basis,
        monthly_limit=None if limit is None else limit * BYTES_PER_MB,
    )
    ends = with_expired(runtime.database, ends, as_of)
    with runtime.database.transaction() as transaction:
        scoring = scoring_id_of(transaction, champion.version, as_of, run_id, runtime)
        ends = ends.join(quality(transaction, as_of), on="sim_key", how="left")
        merged = transaction.merge(
            "merge_exhaustions", ends.with_columns(pl.lit(scoring, pl.Int32).alias("scoring_id"))
        )
        iccids = {row["sim_key"]: row["iccid"] for row in transaction.rows("sim_keys")}
    labels = [iccids[key] for key in ends["sim_key"]]
    plot = plot_exhaustion(ends, as_of=as_of, labels=labels, note=runtime.data_note)
    by_status = {f"status {name}": count for name, count in ends["status"].value_counts().sort("status").iter_rows()}
    grades = ends["data_grade"].value_counts().drop_nulls().sort("data_grade")
    by_grade = {f"SIMs on data of grade {'ABCD'[grade - 1]}": count for grade, count in grades.iter_rows()}
    return {**scored_metadata(champion, as_of, merged), **by_status, **by_grade, "who runs out first": picture(plot)}


def load_facts(database: Database, as_of: date, first_key: int = 0, last_key: int = 2**31 - 1) -> pl.DataFrame:
    """What the end of a SIM rests on beside its data quota, as of a day (FACTS_SCHEMA; see sql/queries/exhaustion_facts.sql)."""
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


def with_expired(database: Database, ends: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """With the SIMs for which 1NCE no longer answers because they expired: without a quota, there is nothing to forecast."""
    expired = database.frame("expired_sims", {"sim_key": pl.Int32}, {"as_of": as_of})
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
