"""When every SIM ends, over blocks of SIMs; and how honest such dates were in the fleet's own past."""

from datetime import date
from typing import Any

import polars as pl

from ml.exhaustion.backtest import ExhaustionBacktest, exhaustion_backtest
from ml.exhaustion.extrapolation import fit_extrapolation
from ml.exhaustion.fleet import LEFT_SCHEMA, SharedContext, exhaustion, with_expired
from ml.exhaustion.model import EXHAUSTION_SCHEMA, SMS_SCHEMA, Calibration
from ml.history import BYTES_PER_MB
from ml.plots.exhaustion import plot_exhaustion
from ml.plots.figures import sim_name
from resources.database.session import Database
from resources.runtime import Runtime
from services.forecasting import load_inputs, load_model
from services.inputs import HORIZON, LAST_KEY, PATH_SAMPLES, load_quotas, load_sample
from services.model_specs import FORECASTER
from services.outlooks import load_outlook
from services.scoring import Block, predictions

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
SHOWN_SCHEMA = {
    "sim_key": pl.Int32,
    "iccid": pl.String,
    "label": pl.String,
    **{name: EXHAUSTION_SCHEMA[name] for name in ("status", "cause", "p10_date", "p50_date", "p90_date")},
}


def load_facts(database: Database, as_of: date, first_key: int = 0, last_key: int = LAST_KEY) -> pl.DataFrame:
    """What the end of a SIM rests on beside its data quota, as of a day (FACTS_SCHEMA; see exhaustion_facts.sql)."""
    which = {"as_of": as_of, "first_key": first_key, "last_key": last_key}
    return database.frame("exhaustion_facts[topup_habit]", FACTS_SCHEMA, which)


def _prepare(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """What all blocks of an as-of day share: taken once, from the fleet's past, before the first of them."""
    return load_context(runtime, as_of, load_sample(runtime, as_of)).to_dict()


def _inputs(runtime: Runtime, block: Block) -> pl.DataFrame:
    """What the end of each SIM of a block rests on: `load_inputs`, its quota, `load_facts`, and whether 1NCE calls it
    expired.

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


def _score(runtime: Runtime, block: Block, shared: dict[str, Any], inputs: pl.DataFrame) -> pl.DataFrame:
    used = inputs.filter(pl.col("usage_hash").is_not_null())
    ends = pl.DataFrame(schema=EXHAUSTION_SCHEMA | SMS_SCHEMA | LEFT_SCHEMA).drop("extrapolated")
    if used.height:
        outlook = load_outlook(runtime, block, load_model(runtime, block.version), used)
        ends = exhaustion(
            outlook.ahead,
            outlook.recent,
            used,
            block.as_of,
            context=SharedContext.from_dict(shared),
            samples=PATH_SAMPLES,
            monthly_limit=_monthly_limit(runtime),
        )
    ends = _rounded(with_expired(ends, inputs.filter("expired").select("sim_key"), block.as_of))
    return ends.join(
        inputs.select("sim_key", "data_age_hours", "data_grade"), on="sim_key", how="left", maintain_order="left"
    )


def _rounded(ends: pl.DataFrame) -> pl.DataFrame:
    """With probabilities to four places: of some hundred samples, no more is known. Only what is certain is 1."""
    chances = pl.col("^(sms_)?p_(7|14|30|90|limit)$")
    return ends.with_columns(pl.when(chances < 1).then(chances.round(4).clip(0, 0.9999)).otherwise(chances))


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
    names = [sim_name(*pair) for pair in first.select("iccid", "label").iter_rows()]
    plot = plot_exhaustion(first, as_of=as_of, labels=names, note=runtime.data_note)
    return {**by_status, **dict(sorted(by_grade.items())), "who runs out first": plot}


EXHAUSTIONS = predictions("exhaustions", FORECASTER, "merge_exhaustions", _inputs, _score, _show, _prepare)


def save_backtest(runtime: Runtime, as_of: date, history: pl.DataFrame) -> ExhaustionBacktest:
    """Test the dates of an as-of day on the history known by then, and store the outcome."""
    tested = exhaustion_backtest(history, as_of=as_of, horizon=HORIZON, seed=runtime.settings.seed)
    with runtime.database.transaction() as transaction:
        transaction.execute(
            "save_exhaustion_backtest",
            {
                "as_of": as_of,
                "status": tested.status,
                "coverage_80": None if tested.scores is None else tested.scores.coverage,
                "lowest": tested.low,
                "highest": tested.high,
                "achieved": None if tested.calibration is None else list(tested.calibration.achieved),
                "note": tested.note,
                "now": runtime.clock(),
            },
        )
    return tested


def load_context(runtime: Runtime, as_of: date, history: pl.DataFrame) -> SharedContext:
    """What the dates of an as-of day rest on. Where the day was never tested, as in a backfill, it is now."""
    extrapolation = fit_extrapolation(history, as_of=as_of, horizon=HORIZON, seed=runtime.settings.seed)
    stored = runtime.database.row("exhaustion_backtest", {"as_of": as_of})
    if stored is None:
        return SharedContext(extrapolation, save_backtest(runtime, as_of, history).calibration)
    return SharedContext(extrapolation, None if stored["achieved"] is None else Calibration(tuple(stored["achieved"])))
