"""The usage forecaster over the fleet: trained, scored over blocks of SIMs, held against what then happened; and
forecasts of totals.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from ml.forecasting import QUANTILES, Forecast, ForecastModel, fit, predict, predict_panel, quantile_column
from ml.forecasting.aggregates import forecast_aggregate
from ml.forecasting.backtest import backtest
from ml.forecasting.comparison import compare
from ml.forecasting.drift import SCORES_SCHEMA
from ml.forecasting.promotion import MAX_COVERAGE, MIN_COVERAGE, decide
from ml.history import Panel, dense
from ml.plots.forecasting import plot_backtest, plot_coverage, plot_drift, plot_total_forecast
from ml.words import megabytes, percent
from resources.database.session import Database, Transaction
from resources.registry import Signature, Version
from resources.runtime import Runtime
from services.inputs import HISTORY_DAYS, HORIZON, NoUsageError, load_history, load_sample
from services.model_specs import (
    FORECASTER,
    Champion,
    Log,
    Metric,
    ModelSpec,
    Trained,
    TrainingInputs,
    as_of_option,
    register,
)
from services.models import registry_of, train_and_register
from services.outlooks import FORECASTS, HASH_SCHEMA, Outlook, history_state, stage_outlook
from services.scoring import Block, predictions

# with the fleet at most 20 series: each is forecast several times
LABELS, COUNTRIES = 12, 7
EXPECTED_DAYS = (7, 30)
TOTALS_SCHEMA = {"kind": pl.String, "name": pl.String, "sims": pl.Int32, "day": pl.Date, "bytes": pl.Int64}


def forecast_totals(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Forecast the totals as of a day and store them; returns metadata. Raises NoUsageError when there is no usage."""
    which = {"as_of": as_of, "days": HISTORY_DAYS, "labels": LABELS, "countries": COUNTRIES}
    totals = runtime.database.frame("aggregate_usage", TOTALS_SCHEMA, which)
    if totals.is_empty():
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    totals = totals.with_columns(group=pl.format("{} {}", "kind", "name"))
    forecast = forecast_aggregate(totals, as_of, HORIZON, seed=runtime.settings.seed)
    sums = {f"sum_{name}": f"sum_{column}_bytes" for name, column in COLUMNS.items()}
    groups = totals.group_by("group").agg(pl.col("kind", "name", "sims").first())
    rows = forecast.frame.join(groups, on="group", maintain_order="left").select(
        pl.lit(as_of).alias("as_of"),
        *("kind", "name", "day", "method", "sims"),
        *(pl.col(name).round().cast(pl.Int64).alias(column) for name, column in (COLUMNS | sums).items()),
        pl.lit(runtime.clock()).alias("created_at"),
    )
    with runtime.database.transaction() as transaction:
        merged = transaction.merge("merge_aggregate_forecasts", rows)
    fleet = pl.col("group") == "fleet fleet"
    plot = plot_total_forecast(
        totals.filter(fleet), forecast.frame.filter(fleet), of="the fleet", note=runtime.data_note
    )
    chosen = forecast.choices.group_by("method").len().sort("method")
    return {
        "dagster/row_count": merged.rows,
        "rows new": merged.new,
        "rows changed": merged.changed,
        "series": groups.height,
        **{f"series by {method}": count for method, count in chosen.iter_rows()},
        **{f"fleet, next {of.days} days": of.text for of in fleet_expected(fleet_forecast(runtime.database, as_of))},
        "fleet": plot,
    }


@dataclass(frozen=True)
class Expected:
    """What the fleet will use in the next `days` days: bytes, with the 80 % interval of the sum (None: not known)."""

    days: int
    expected: int
    low: int | None
    high: int | None

    @property
    def text(self) -> str:
        """The forecast in words, such as "5,264 MB (80 % interval 4,900 to 5,700 MB)"."""
        if self.low is None or self.high is None:
            return f"{megabytes(self.expected)} MB"
        low, high = megabytes(self.low), megabytes(self.high)
        return f"{megabytes(self.expected)} MB ({percent(0.8)} interval {low} to {high} MB)"


def fleet_forecast(database: Database | Transaction, as_of: date | None = None) -> pl.DataFrame:
    """The one forecast of the fleet as of a day, or as of the latest (FLEET_SCHEMA, one row a day ahead); empty where
    there is none.
    """
    return database.frame("fleet_forecast", FLEET_SCHEMA, {"as_of": as_of})


def fleet_expected(forecast: pl.DataFrame) -> list[Expected]:
    """The fleet's next 7 and 30 days, of a `fleet_forecast`; nothing of an empty one."""
    if forecast.is_empty():
        return []
    found = []
    for days in EXPECTED_DAYS:
        ahead = forecast.filter(pl.col("days") <= days)
        last = ahead.row(-1, named=True)
        # rows from before the sums were stored have none
        total = int(ahead["mean"].sum()) if last["sum_mean_bytes"] is None else last["sum_mean_bytes"]
        found.append(Expected(days, total, last["sum_q10_bytes"], last["sum_q90_bytes"]))
    return found


# every day of the next week; of the weeks after it one day each: forecasts of one as-of day lie together, each costs a
# scan of them
LEADS = [1, 2, 3, 4, 5, 6, 7, 14, 21, 28]
LOOK_BACK_DAYS = 10
SHOWN_DAYS = 90


def score_drift(runtime: Runtime, as_of: date, *, show: bool = True) -> dict[str, Any]:
    """Hold forecasts of closed days up to `as_of` against what happened; returns metadata, with a plot if `show`."""
    last = min(as_of, runtime.last_complete_day())
    which = {"model_name": FORECASTER, "first": last - timedelta(days=LOOK_BACK_DAYS - 1), "last": last}
    days = [row["day"] for row in runtime.database.rows("unscored_days", which)]
    rows = 0
    for day in days:
        what = {"model_name": FORECASTER, "day": day, "leads": LEADS, "now": runtime.clock()}
        rows += (runtime.database.row("score_forecasts", what) or {"rows": 0})["rows"]
    metadata: dict[str, Any] = {"days scored": len(days), "rows written": rows}
    if not show:
        return metadata
    scores = runtime.database.frame(
        "forecast_scores", SCORES_SCHEMA, {"model_name": FORECASTER, "as_of": last, "days": SHOWN_DAYS}
    )
    metadata["dagster/row_count"] = scores.height
    newest = scores.filter(horizon="1-7").tail(1)
    for name in ("rmase", "coverage_80", "coverage_95", "bias"):
        if newest.height and newest[name].item() is not None:
            metadata[name] = round(newest[name].item(), 4)
    return metadata | {"over time": plot_drift(scores, note=runtime.data_note)}


QUALITY_SCHEMA = {"sim_key": pl.Int32, "data_age_hours": pl.Int16, "data_grade": pl.Int16}
FLEET_SCHEMA = {"day": pl.Date, "days": pl.Int32, "as_of": pl.Date} | dict.fromkeys(
    ("mean", "q025", "q10", "q50", "q90", "q975", "sum_mean_bytes", "sum_q10_bytes", "sum_q90_bytes"), pl.Int64
)
# the forecast frame's columns as the table names them: q0.025 is q025
COLUMNS = {"mean": "mean"} | {quantile_column(level): f"q{str(level)[2:]:0<2}" for level in QUANTILES}


def load_inputs(runtime: Runtime, block: Block) -> pl.DataFrame:
    """What a forecast of each SIM of a block rests on: sim_key, usage_hash, data_age_hours, data_grade (1 to 4 for A to
    D).
    """
    with runtime.database.transaction() as transaction:
        usage = transaction.frame("usage_hashes", HASH_SCHEMA, block.range | {"days": HISTORY_DAYS})
        quality = transaction.frame("data_quality", QUALITY_SCHEMA, block.range)
    return usage.join(quality, on="sim_key", how="left", maintain_order="left")


def load_model(runtime: Runtime, version: Version) -> ForecastModel:
    """A registered version as it was saved."""
    return ForecastModel.from_dict(registry_of(runtime).load(version))


def forecast_block(runtime: Runtime, block: Block, sim_keys: pl.Series) -> tuple[Panel, Forecast]:
    """The history and the forecast of some SIMs of a block."""
    panel = dense(load_history(runtime.database, block.as_of, sim_keys.to_list()), as_of=block.as_of)
    return panel, predict_panel(load_model(runtime, block.version), panel, horizon=HORIZON)


def _score(runtime: Runtime, block: Block, shared: dict[str, Any], inputs: pl.DataFrame) -> pl.DataFrame:
    state = history_state(runtime, block, inputs)
    panel, forecast = forecast_block(runtime, block, inputs["sim_key"])
    stage_outlook(runtime, block, state, Outlook.of(panel, forecast))
    return forecast.frame.select(
        "sim_key",
        "day",
        pl.lit(block.as_of).alias("as_of"),
        *(pl.col(name).round().cast(pl.Int64).alias(column) for name, column in COLUMNS.items()),
    ).join(inputs.select("sim_key", "data_age_hours", "data_grade"), on="sim_key", how="left", maintain_order="left")


def _show(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """How many SIMs are forecast. What the fleet will use is said by the totals alone (`forecast_totals`)."""
    return {"sims": (runtime.database.row("report_forecast", {"as_of": as_of}) or {"sims": 0})["sims"]}


USAGE_FORECASTS = predictions(FORECASTS, FORECASTER, "merge_usage_forecasts", load_inputs, _score, _show)


def training_inputs(runtime: Runtime, as_of: date) -> TrainingInputs:
    """What the forecaster is trained from. Raises NoUsageError when there is no usage."""
    return TrainingInputs({"history": load_sample(runtime, as_of)}, {"horizon_days": HORIZON})


def train_forecaster(
    runtime: Runtime, as_of: date, inputs: TrainingInputs, champion: Champion | None, log: Log
) -> Trained:
    """Fit and backtest the forecaster, compare it with the champion on days unseen by both, and decide whether it may
    score.
    """
    history, seed = inputs.frames["history"], runtime.settings.seed
    sims = history["sim_key"].n_unique()
    log(f"backtest over {sims} SIMs")
    tested = backtest(history, as_of=as_of, horizon=HORIZON, seed=seed)
    model = fit(history, as_of=as_of, horizon=HORIZON, seed=seed)
    present = champion.read() if champion else None
    compared = compare(history, present, as_of=as_of, horizon=HORIZON, seed=seed) if present else None
    version = champion.version if champion else None
    role, why = decide(tested, as_of=as_of, champion=version, champion_model=present, compared=compared)
    plots = {
        "backtest.png": plot_backtest(tested.frame, note=runtime.data_note),
        "coverage.png": plot_coverage(tested.calibration, note=runtime.data_note),
    }
    frames = {"backtest.csv": tested.frame, "calibration.csv": tested.calibration}
    return Trained(
        model=model.to_dict(),
        metrics=tested.summary,
        role=role,
        why=why,
        parameters={"sims": sims, "rows": history.height},
        comparison={**compared.summary, "champion_version": version.version} if compared and version else {},
        frames=frames | ({"comparison.csv": compared.frame} if compared else {}),
        figures=plots,
        metadata={
            "backtest": tested.note,
            **({"comparison": compared.note} if compared else {}),
            "error by segment": plots["backtest.png"],
            "stated and achieved probability": plots["coverage.png"],
        },
    )


# how often the 80 % interval of a SIM's 30-day sum holds the truth, by docs/models.md
PROMISED_SUMS = (0.65, 0.9)


def describe_backtest(metrics: dict[str, float]) -> str:
    """How good a model was on days it had not seen, in a sentence or two for everyone.

    metrics  backtest figures by name: rmase (error over seasonal naive's), coverage_80 and coverage_95 (shares of
             days), sum_coverage_80 (share of 30-day sums; absent in old versions)
    """
    if not {"rmase", "coverage_80", "coverage_95"} <= metrics.keys():
        return "It could not be tested on past days yet: the history is too short."
    gain = round(100 * (1 - metrics["rmase"]))
    compared = f"{abs(gain)} % {'smaller' if gain > 0 else 'larger'} than" if gain else "as large as"
    promised = _range(MIN_COVERAGE, MAX_COVERAGE)
    said = (
        f"On past days it had not seen, its error was {compared} that of simply repeating last week. Of single days, "
        f"its 80 % interval held {percent(metrics['coverage_80'])} (promised: {promised}) and its 95 % interval "
        f"{percent(metrics['coverage_95'])}."
    )
    if (sums := metrics.get("sum_coverage_80")) is None:
        return said
    promised = _range(*PROMISED_SUMS)
    return f"{said} Of sums of 30 days of one SIM, its 80 % interval held {percent(sums)} (promised: {promised})."


def _range(low: float, high: float) -> str:
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def predict_usage(model: ForecastModel, history: pl.DataFrame, options: dict[str, Any]) -> pl.DataFrame:
    """The forecast of each SIM of a usage history, for MLflow's users; as_of (ISO 8601): its newest day by default."""
    return predict(model, history, as_of=as_of_option(history, options), horizon=model.horizon).frame


SPEC = register(
    ModelSpec(
        name=FORECASTER,
        asset="usage_forecaster",
        read=ForecastModel.from_dict,
        inputs=training_inputs,
        train=train_forecaster,
        metrics=(
            Metric(
                "error",
                "rmase",
                ".2f",
                "of the median in the version's own backtest, as a share of repeating last week's",
            ),
            Metric("80 % held", "coverage_80", "%", "of single days, by the 80 % interval; a champion held 70 to 90 %"),
            Metric(
                "30-day sums held",
                "sum_coverage_80",
                "%",
                f"of a SIM's sums of 30 days, by their 80 % interval; promised are {_range(*PROMISED_SUMS)}",
            ),
        ),
        card="Forecasts the daily bytes of every SIM for the next 30 days, with quantiles, from the fleet's own daily "
        "usage of up to two years.",
        limits="Quotas, expiry dates and planned changes are not known to it. The 80 % interval of a SIM's sum of 30 "
        "days is a little too narrow, and growing devices use more than half a year of history shows.",
        describe=describe_backtest,
        predict=predict_usage,
        signature=Signature(
            takes={"sim_key": "long", "day": "datetime", "bytes": "double"},
            gives={"sim_key": "integer", "day": "datetime"} | dict.fromkeys(COLUMNS, "double"),
            options={"as_of": ""},
        ),
    )
)


def train(runtime: Runtime, as_of: date, *, log: Log = lambda text: None) -> dict[str, Any]:
    """Train a version of the forecaster, and register it; see `train_and_register`. Raises NoUsageError when there is
    no usage.
    """
    return train_and_register(runtime, SPEC, as_of, log=log)
