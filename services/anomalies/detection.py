"""Anomalies over the whole fleet: the detector is fitted every week, and scores every day over blocks of SIMs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from ml.anomaly import (
    ANOMALY_SCHEMA,
    ATTRIBUTES,
    EVENT_SCHEMA,
    FEEDBACK_SCHEMA,
    PEER_SCHEMA,
    PERIOD_SCHEMA,
    STATE_SCHEMA,
    AnomalyModel,
    Detection,
    FleetStatistics,
    detect,
    fit,
    group,
    limits,
)
from ml.anomaly.injection_trial import DAYS, run_injection_test
from ml.plots.anomaly import plot_injection_test, plot_worst
from ml.silence import severity, silence
from ml.words import percent
from resources.database.session import Transaction
from resources.registry import Signature, Version
from resources.runtime import Runtime
from services.anomalies.incidents import save_incidents
from services.anomalies.seasons import seasonal_idle_periods
from services.inputs import TRAINING_SIMS, training_sims, with_unknown_days
from services.model_specs import (
    DETECTOR,
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
from services.scoring import Block, PublishContext, Scored, ScoringTask

HISTORY_DAYS = 200
EVENT_DAYS = 200
SHOWN = 6
USAGE_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64, "sms": pl.Int32, "spread_from": pl.Date}
LABELLED_SCHEMA = {
    "sim_key": pl.Int32,
    "label": pl.String,
    **{name: kind for name, kind in PEER_SCHEMA.items() if name != "sim_key"},
}
HOURS_SCHEMA = {name: EVENT_SCHEMA[name] for name in ("sim_key", "day", "hours")}
FORECAST_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "q0.5": pl.Float64, "q0.975": pl.Float64}
WRITTEN = [name for name in ANOMALY_SCHEMA if name != "is_anomaly"]
WORSE = 4.0  # a version that flags so many times the SIM-days it may is not trusted: real anomalies are among them


def training_inputs(runtime: Runtime, as_of: date) -> TrainingInputs:
    """What the detector is trained from: usage, events, peers and explained periods."""
    with runtime.database.transaction() as transaction:
        frames = _read(transaction, runtime, as_of, training_sims(transaction))
    missing = f"no usage is stored up to {as_of}" if frames["history"].is_empty() else ""
    return TrainingInputs(frames, {"false_alarms_per_1000": runtime.settings.false_alarms}, missing)


def train_detector(
    runtime: Runtime, as_of: date, inputs: TrainingInputs, champion: Champion | None, log: Log
) -> Trained:
    """Fit the detector and test it by injected anomalies. The newest scores, unless it flags far more than it may."""
    data, seed, allowed = inputs.frames, runtime.settings.seed, runtime.settings.false_alarms
    model = fit(data["history"], data["events"], as_of, peers=data["peers"], periods=data["periods"], seed=seed)
    tested = run_injection_test(
        history=data["history"],
        events=data["events"],
        peers=data["peers"],
        periods=data["periods"],
        as_of=as_of,
        false_alarms_per_1000=allowed,
        seed=seed,
    )
    flagged = tested.summary.get("flagged_per_1000", 0.0)
    role = "challenger" if champion is not None and flagged > WORSE * allowed else "champion"
    why = f"{tested.note}; " + (
        "the newest knows the most"
        if role == "champion"
        else f"more than {WORSE:.0f} times what it may: the version before stays"
    )
    figure = plot_injection_test(tested.frame, note=runtime.data_note)
    return Trained(
        model=model.to_dict(),
        metrics=tested.summary | model.fitted_on,
        role=role,
        why=why,
        frames={"injected.csv": tested.frame},
        figures={"injected.png": figure},
        metadata={"injected anomalies": figure},
    )


@dataclass(frozen=True)
class SharedContext:
    """What all blocks of a day have in common: statistics of the fleet, and the false alarms that people acknowledged
    by then.
    """

    fleet: FleetStatistics
    feedback: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """The context as plain values, arrays and frames."""
        return {"fleet": self.fleet.fitted, "feedback": self.feedback}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SharedContext:
        """The context that `to_dict` gave."""
        return cls(FleetStatistics(values["fleet"]), values["feedback"])


def _prepare(runtime: Runtime, as_of: date, champion: Version) -> dict[str, Any]:
    """The shared context of a day. A fleet of one block is its own statistics; those of a larger one are of at most
    TRAINING_SIMS SIMs.
    """
    database = runtime.database
    context = SharedContext(
        FleetStatistics(), database.frame("anomaly_feedback", FEEDBACK_SCHEMA, {"now": runtime.clock()})
    )
    size = (database.row("fleet_size") or {"sims": 0})["sims"]
    if size > min(runtime.settings.block_sims, TRAINING_SIMS):
        chosen = database.rows("sims_of_types", {"sims": TRAINING_SIMS})
        _look(runtime, as_of, champion, context, [row["sim_key"] for row in chosen])
    return context.to_dict()


def _look(
    runtime: Runtime, as_of: date, version: Version, context: SharedContext, sim_keys: list[int]
) -> tuple[dict[str, pl.DataFrame], Detection, pl.DataFrame]:
    """What is known of some SIMs, the anomalies among them, and their limits of the days under way (STATE_SCHEMA)."""
    allowed = runtime.settings.false_alarms
    with runtime.database.transaction() as transaction:
        data = _read(transaction, runtime, as_of, sim_keys, context.fleet)
        forecast = transaction.frame("anomaly_forecasts", FORECAST_SCHEMA, {"day": as_of, "sim_keys": sim_keys})
    model = AnomalyModel.from_dict(registry_of(runtime, DETECTOR).load(version))
    found = detect(
        model,
        data["history"],
        data["events"],
        as_of,
        false_alarms_per_1000=allowed,
        peers=data["peers"],
        periods=data["periods"],
        forecast=forecast if forecast.height else None,
        feedback=context.feedback,
        labels=data["peers"].select("sim_key", "label"),
        fleet=context.fleet,
    )
    if found.frame.is_empty():  # SIMs of which nothing was heard yet
        return data, found, pl.DataFrame(schema=STATE_SCHEMA)
    return data, found, limits(model, found.signals, data["events"], false_alarms_per_1000=allowed)


def _score(runtime: Runtime, block: Block, shared: dict[str, Any]) -> Scored:
    """One row a SIM of a block: what it has in common with others, its limits where it has any, and its anomaly where
    it has one.
    """
    sim_keys = [row["sim_key"] for row in runtime.database.rows("block_keys", block.range)]
    data, found, state = _look(runtime, block.as_of, block.version, SharedContext.from_dict(shared), sim_keys)
    odd = _silences_as_alerts(found.frame.filter("is_anomaly"), data["history"], block.as_of).select(WRITTEN)
    rows = (
        data["peers"]
        .select("sim_key", *ATTRIBUTES)
        .join(_as_text(state), on="sim_key", how="left", maintain_order="left")
        .join(odd, on="sim_key", how="left", maintain_order="left")
    )
    counts = {
        "SIMs looked at": found.frame["sim_key"].n_unique(),
        "kept quiet by feedback": found.suppressed,
        "silences explained": found.frame.filter(~pl.col("is_anomaly") & pl.col("reasons").is_not_null()).height,
        "rows refused": int(found.signals.problems["rows"].sum()),
    }
    return Scored(rows, rows.height, counts=counts)


def _silences_as_alerts(odd: pl.DataFrame, history: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The anomalies with silences as loud as their alerts say (`ml.silence.severity`), by the SIM's own habits."""
    habits = silence(history, as_of=as_of).select("sim_key", "days_silent", "usual_gap_days")
    loud = severity(pl.col("days_silent"), "usual_gap_days")
    quiet = pl.col("kind").is_in(["silence", "dead"]) & (pl.col("day") == as_of) & loud.is_not_null()
    joined = odd.join(habits, on="sim_key", how="left", maintain_order="left")
    return joined.with_columns(severity=pl.when(quiet).then(loud).otherwise("severity"))


def _as_text(state: pl.DataFrame) -> pl.DataFrame:
    """Limits with their lists as PostgreSQL writes arrays: COPY knows no lists."""
    quoted = pl.element().cast(pl.String).str.replace_all(r'(["\\])', r"\$1")
    return state.with_columns(
        pl.concat_str(
            pl.lit("{"), pl.col(name).list.eval(pl.lit('"') + quoted + '"').list.join(","), pl.lit("}")
        ).alias(name)
        for name, kind in STATE_SCHEMA.items()
        if isinstance(kind, pl.List)
    )  # fmt: skip


def _write(transaction: Transaction, day: PublishContext, blocks: Iterator[pl.DataFrame]) -> dict[str, Any]:
    """Write the limits block by block, then all anomalies of the day with their incidents; returns metadata."""
    which = {"as_of": day.as_of, "model_version": day.version.version, "now": day.now}
    found, alike = [pl.DataFrame(schema={name: ANOMALY_SCHEMA[name] for name in WRITTEN})], []
    for rows in blocks:
        known = rows.filter(pl.col("bytes_limits").is_not_null())
        transaction.merge("merge_anomaly_state", known.with_columns(**{name: pl.lit(of) for name, of in which.items()}))
        found.append(rows.filter(pl.col("kind").is_not_null()).select(WRITTEN))
        # of SIMs with nothing odd it is enough to know how many are alike
        alone = pl.when(pl.col("kind").is_not_null()).then("sim_key").alias("sim_key")
        alike.append(rows.group_by(alone, *ATTRIBUTES).agg(sims=pl.len()))
    odd = pl.concat(found)
    grouped = group(odd, pl.concat(alike))
    transaction.rows("anomaly_lock")
    members = save_incidents(transaction, grouped, model_version=day.version.version, now=day.now)
    transaction.stage("write_anomalies", odd.join(members, on=["sim_key", "day", "kind"], how="left"))
    counts = transaction.row("write_anomalies", which) or {}
    transaction.execute("settle_incidents", which)
    return {
        "dagster/row_count": odd.height,
        **{f"rows {name}": count for name, count in counts.items()},
        **{f"kind {kind}": count for kind, count in odd["kind"].value_counts(sort=True).iter_rows()},
        "incidents": grouped.incidents["title"].to_list(),
    }


def _show(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """The worst SIMs of the day, in words and as a picture, and how many acknowledged false alarms hold."""
    with runtime.database.transaction() as transaction:
        worst = transaction.rows("worst_anomalies", {"as_of": as_of, "top": SHOWN})
        which = {"as_of": as_of, "days": HISTORY_DAYS, "sim_keys": [row["sim_key"] for row in worst]}
        history = transaction.frame("anomaly_usage", USAGE_SCHEMA, which)
        feedback = transaction.rows("anomaly_feedback", {"now": runtime.clock()})
    return {
        "feedback that holds": len(feedback),
        "worst": [f"{row['iccid']}: {row['reasons']}" for row in worst],
        "worst SIMs": plot_worst(history, worst, as_of=as_of, note=runtime.data_note),
    }


def _read(
    transaction: Transaction,
    runtime: Runtime,
    as_of: date,
    sim_keys: list[int] | None,
    fleet: FleetStatistics | None = None,
) -> dict[str, pl.DataFrame]:
    which = {"as_of": as_of, "sim_keys": sim_keys}
    peers = transaction.frame("anomaly_peers", LABELLED_SCHEMA, which)
    history = transaction.frame("anomaly_usage", USAGE_SCHEMA, which | {"days": HISTORY_DAYS})
    history = with_unknown_days(transaction, history, as_of, sim_keys).with_columns(pl.col("sms").fill_null(0))
    events = transaction.frame("anomaly_events", EVENT_SCHEMA, which | {"days": EVENT_DAYS})
    periods = transaction.frame("anomaly_periods", PERIOD_SCHEMA, which | {"lateness": runtime.settings.lateness_days})
    rests = seasonal_idle_periods(transaction, history, as_of, peers=peers, periods=periods, fleet=fleet)
    return {
        "history": history,
        "events": _with_stream_hours(transaction, history, events, as_of),
        "peers": peers,
        "periods": pl.concat([periods, rests]),
    }


def _with_stream_hours(
    transaction: Transaction, history: pl.DataFrame, events: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    """Events, and the hours of SIMs of which no session is told but usage records are. A SIM's hours come from one
    source: one that told of them later would make hours new that are not.
    """
    used = history.select("sim_key").unique()
    untold = used.join(events.filter(pl.col("sessions") > 0), on="sim_key", how="anti")["sim_key"]
    if untold.is_empty():
        return events
    which = {"as_of": as_of, "days": EVENT_DAYS, "sim_keys": untold.to_list()}
    hours = transaction.frame("anomaly_stream_hours", HOURS_SCHEMA, which)
    return pl.concat([events, hours], how="diagonal")


ANOMALIES = ScoringTask("anomalies", DETECTOR, _prepare, _score, _write, _show)


def describe_injection_test(metrics: dict[str, float]) -> str:
    """How good a version was at finding what was put into the fleet's last days, in a sentence or two.

    metrics  recall (share found; absent where it was not tested), flagged_per_1000, recall_KIND
    """
    if "recall" not in metrics:
        return "It could not be tested: too few SIMs report daily."
    kinds = {name.removeprefix("recall_"): share for name, share in metrics.items() if name.startswith("recall_")}
    by_kind = ", ".join(f"{kind.replace('_', ' ')} {percent(share)}" for kind, share in kinds.items())
    flagged = metrics["flagged_per_1000"]
    by_chance = percent(1 - (1 - flagged / 1000) ** DAYS)
    return (
        f"Of anomalies injected into the last {DAYS} days, by a fit that knew none of these days, it found "
        f"{percent(metrics['recall'])} ({by_kind}). It flagged {flagged:.2f} of 1,000 other SIM-days, true anomalies "
        f"among them. The baseline: as many flags thrown at random would find at most {by_chance}."
    )


def predict_anomalies(model: AnomalyModel, history: pl.DataFrame, options: dict[str, Any]) -> pl.DataFrame:
    """How rare the last days of each SIM of a usage history are, for MLflow's users.

    options  as_of (ISO 8601; by default the newest day), days (1), false_alarms_per_1000 (1)
    """
    if "sms" not in history.columns:
        history = history.with_columns(sms=pl.lit(0, pl.Int32))
    found = detect(
        model,
        history,
        None,
        as_of_option(history, options),
        days=options.get("days", 1),
        false_alarms_per_1000=options.get("false_alarms_per_1000", 1.0),
    )
    return found.frame.select("sim_key", "day", "score", "is_anomaly", "severity", "kind", "reasons")


SPEC = register(
    ModelSpec(
        name=DETECTOR,
        asset="anomaly_detector",
        read=AnomalyModel.from_dict,
        inputs=training_inputs,
        train=train_detector,
        retrain_days=8,  # a day after the Monday on which it failed
        cron="0 3 * * 1",
        metrics=(
            Metric("found", "recall", "%", "of the anomalies put into copies of the last two weeks"),
            Metric("flagged", "flagged_per_1000", ".2f", "of 1,000 SIM-days of these weeks"),
        ),
        card="Says how rare each SIM's day is beside its own past and its peers, from daily usage and events of the "
        "last 200 days.",
        limits="Injected anomalies measure it: real faults may be milder, or other. Loaded by itself it looks at usage "
        "alone, without events, peers and periods out of service, and flags what these would explain.",
        describe=describe_injection_test,
        predict=predict_anomalies,
        signature=Signature(
            takes={"sim_key": "long", "day": "datetime", "bytes": "double", "sms": "double?"},
            gives={
                **{"sim_key": "integer", "day": "datetime", "score": "double", "is_anomaly": "boolean"},
                **dict.fromkeys(("severity", "kind", "reasons"), "string?"),
            },
            options={"as_of": "", "days": 1, "false_alarms_per_1000": 1.0},
        ),
    )
)


def train(runtime: Runtime, as_of: date, *, log: Log = lambda text: None) -> dict[str, Any]:
    """Train a version of the detector, and register it; see `train_and_register`. Without usage it says so and trains
    nothing.
    """
    return train_and_register(runtime, SPEC, as_of, log=log)
