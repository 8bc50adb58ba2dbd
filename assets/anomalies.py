"""Anomalies over the whole fleet: the detector, learnt every week, and what it finds every day, with the incidents behind it."""

import hashlib
import json
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days, picture
from assets.forecast import LEARNING_SIMS
from assets.seasons import seasonal_rests
from assets.training import code_version
from ml.anomaly import (
    ANOMALY_SCHEMA,
    EVENT_SCHEMA,
    FEEDBACK_SCHEMA,
    PEER_SCHEMA,
    PERIOD_SCHEMA,
    AnomalyModel,
    Detection,
    Grouped,
    detect,
    fit,
    group,
    limits,
)
from ml.anomaly.incidents import FAMILIES
from ml.anomaly.plots import plot_trial, plot_worst
from ml.anomaly.trial import trial
from resources.database import Transaction
from resources.registry import DETECTOR, Registry, Version
from resources.runtime import Runtime

HISTORY_DAYS = 200
EVENT_DAYS = 200
SHOWN = 6
USAGE_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64, "sms": pl.Int32}
LABELLED_SCHEMA = {
    "sim_key": pl.Int32,
    "label": pl.String,
    **{name: kind for name, kind in PEER_SCHEMA.items() if name != "sim_key"},
}
HOURS_SCHEMA = {name: EVENT_SCHEMA[name] for name in ("sim_key", "day", "hours")}
FORECAST_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "q0.5": pl.Float64, "q0.975": pl.Float64}
WRITTEN = [name for name in ANOMALY_SCHEMA if name != "is_anomaly"]
WORSE = 4.0  # a version that flags so many times the SIM-days it may is not trusted: real anomalies are among them


class NoDetectorError(Exception):
    """No anomaly detector is registered; the message says what to run."""


def registry_of(runtime: Runtime) -> Registry:
    """The registered detector of the organization."""
    return Registry(runtime.mlflow, DETECTOR, runtime.settings.organization, runtime.mlflow_artifacts)


@dg.asset(
    deps=["usage_history", "sim_lifecycle", "sim_events"],
    partitions_def=DAYS,
    group_name="anomalies",
    kinds={"python", "mlflow", "scikitlearn"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.backtests"},
)
def anomaly_detector(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The registered model `anomaly-detector`: what is ordinary in this fleet, learnt as of a day (the partition).

    Control charts, Isolation Forest and surprise at places and hours, made comparable by the share of the fleet's own past days that were as odd.
    Tested by anomalies injected into the last two weeks. Learnt anew every week; within a week the version there is stays.
    """
    return dg.MaterializeResult(metadata=learn(runtime, date.fromisoformat(context.partition_key)))


def learn(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Fit, test, register and promote the detector; returns metadata. The same data again learn nothing."""
    registry, settings = registry_of(runtime), runtime.settings
    with runtime.database.transaction() as transaction:
        keys = sorted(row["sim_key"] for row in transaction.rows("sim_keys"))
        chosen = keys[:: -(-len(keys) // LEARNING_SIMS)] if len(keys) > LEARNING_SIMS else None
        data = _read(transaction, runtime, as_of, chosen)
    if data["history"].is_empty():
        return {"learnt": f"no: no usage is stored up to {as_of}"}
    code = code_version()
    hashed = (frame.hash_rows(seed=0).sum() if frame.height else 0 for frame in data.values())
    facts = f"{as_of} {settings.seed} {settings.false_alarms} {code} {list(hashed)}"
    fingerprint = hashlib.sha256(facts.encode()).hexdigest()
    recorded = {row["model_version"] for row in runtime.database.rows("model_versions", {"model_name": DETECTOR})}
    if (known := registry.with_fingerprint(fingerprint)) in recorded:
        return {"model version": known, "learnt": "no: this version was learnt from the same data"}
    given = {name: data[name] for name in ("history", "events", "peers", "periods")}
    model = fit(
        given["history"], given["events"], as_of, peers=given["peers"], periods=given["periods"], seed=settings.seed
    )
    knob = settings.false_alarms
    tested = trial(**given, as_of=as_of, false_alarms_per_1000=knob, seed=settings.seed)
    champion = registry.champion()
    flagged = tested.summary.get("flagged_per_1000", 0.0)
    role = "challenger" if champion is not None and flagged > WORSE * knob else "champion"
    why = f"{tested.note}; " + (
        "the newest knows the most"
        if role == "champion"
        else f"more than {WORSE:.0f} times what it may: the version before stays"
    )
    figure = plot_trial(tested.frame, note=runtime.data_note)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_text(json.dumps(model.to_dict()))
        tested.frame.write_csv(Path(folder) / "injected.csv")
        figure.savefig(Path(folder) / "injected.png")
        registered = registry.register(
            folder=Path(folder),
            parameters={
                "as_of": as_of.isoformat(),
                "false_alarms_per_1000": knob,
                "seed": settings.seed,
                "simsight": version("simsight"),
                "code": code,
                "data": runtime.data_note or "1NCE account",
            },
            metrics=tested.summary | model.learnt,
            fingerprint=fingerprint,
            role=role,
            why=why,
        )
    _write_down(
        runtime, registry, registered, champion, as_of=as_of, role=role, why=why, metrics=tested.summary | model.learnt
    )
    return {
        "model version": registered.version,
        "role": f"{role}: {why}",
        "MLflow run": registered.run_id,
        **{name: round(value, 4) for name, value in (tested.summary | model.learnt).items()},
        "injected anomalies": picture(figure),
    }


def _write_down(
    runtime: Runtime,
    registry: Registry,
    made: Version,
    before: Version | None,
    *,
    as_of: date,
    role: str,
    why: str,
    metrics: dict[str, float],
) -> None:
    """Record a version, and make it champion in the database and in the registry, or in neither."""
    which = {"model_name": DETECTOR, "model_version": made.version, "now": runtime.clock(), "why": why}
    with runtime.database.transaction() as transaction:
        row = which | {"run_id": made.run_id, "as_of": as_of, "metrics": json.dumps(metrics), "comparison": None}
        transaction.execute("record_backtest", row)
        if role == "champion":
            transaction.execute("retire_champion", {"model_name": DETECTOR})
            promotion = which | {"from_version": before.version if before else None, "decided_by": "training"}
            transaction.execute("promote_version", promotion)
        registry.point(role, made, before if role == "champion" else None)


@dg.asset(
    deps=["usage_history", "sim_lifecycle", "usage_forecasts", "anomaly_detector"],
    partitions_def=DAYS,
    group_name="anomalies",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.anomalies"},
)
def anomalies(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """What is unlike itself or its peers on a closed day (the partition): kind, severity, and the reason in a sentence with numbers.

    Anomalies with a cause in common are members of one incident. At most SIMSIGHT_FALSE_ALARMS of 1,000 SIM-days of a fleet
    with nothing wrong are flagged. The limits of the days under way are prepared too, for what the Data Streamer brings. The same day
    again writes the same. Read it through `predictions.anomalies_v1` and `predictions.incidents_v1`.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = find_anomalies(runtime, as_of)
    return dg.MaterializeResult(metadata=metadata)


def find_anomalies(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Find and write the anomalies and incidents of a day, all or nothing; returns metadata."""
    registry = registry_of(runtime)
    champion = registry.champion()
    if champion is None:
        raise NoDetectorError("no anomaly detector is registered: materialize anomaly_detector first (`simsight run`)")
    model = AnomalyModel.from_dict(registry.load(champion))
    knob = runtime.settings.false_alarms
    with runtime.database.transaction() as transaction:
        data = _read(transaction, runtime, as_of, None)
        forecast = transaction.frame("anomaly_forecasts", FORECAST_SCHEMA, {"day": as_of})
        feedback = transaction.frame("anomaly_feedback", FEEDBACK_SCHEMA, {"now": runtime.clock()})
    found = detect(
        model,
        data["history"],
        data["events"],
        as_of,
        false_alarms_per_1000=knob,
        peers=data["peers"],
        periods=data["periods"],
        forecast=forecast if forecast.height else None,
        feedback=feedback,
        labels=data["peers"].select("sim_key", "label"),
    )
    odd = found.frame.filter("is_anomaly")
    grouped = group(odd, data["peers"])
    which = {"as_of": as_of, "model_version": champion.version, "now": runtime.clock()}
    with runtime.database.transaction() as transaction:
        transaction.rows("anomaly_lock")
        members = _save_incidents(transaction, grouped, which)
        rows = odd.join(members, on=["sim_key", "day", "kind"], how="left").select(*WRITTEN, "incident_id")
        transaction.stage("write_anomalies", rows)
        counts = transaction.row("write_anomalies", which) or {}
        transaction.execute("settle_incidents", which)
        _prepare_live(transaction, model, found, data["events"], which, knob)
        worst = transaction.rows("worst_anomalies", {"as_of": as_of, "top": SHOWN})
        transaction.rows("analyze_new_tables")
    return {
        "as of": as_of.isoformat(),
        "model version": champion.version,
        "dagster/row_count": odd.height,
        "SIMs looked at": found.frame["sim_key"].n_unique(),
        **{f"rows {name}": count for name, count in counts.items()},
        **{f"kind {kind}": count for kind, count in odd["kind"].value_counts(sort=True).iter_rows()},
        "incidents": [row["title"] for row in grouped.incidents.iter_rows(named=True)],
        "kept quiet by feedback": found.doubted,
        "feedback that holds": feedback.height,
        "silences explained": found.frame.filter(~pl.col("is_anomaly") & pl.col("reasons").is_not_null()).height,
        "rows refused": int(found.signals.problems["rows"].sum()),
        "worst": [f"{row['iccid']}: {row['reasons']}" for row in worst],
        "worst SIMs": picture(plot_worst(data["history"], worst, as_of=as_of, note=runtime.data_note)),
    }


def _read(
    transaction: Transaction, runtime: Runtime, as_of: date, sim_keys: list[int] | None
) -> dict[str, pl.DataFrame]:
    which = {"as_of": as_of, "sim_keys": sim_keys}
    peers = transaction.frame("anomaly_peers", LABELLED_SCHEMA, which)
    peers = peers if sim_keys is None else peers.filter(pl.col("sim_key").is_in(sim_keys))
    history = transaction.frame("anomaly_usage", USAGE_SCHEMA, which | {"days": HISTORY_DAYS})
    events = transaction.frame("anomaly_events", EVENT_SCHEMA, which | {"days": EVENT_DAYS})
    periods = transaction.frame(
        "anomaly_periods", PERIOD_SCHEMA, {"as_of": as_of, "lateness": runtime.settings.lateness_days}
    )
    rests = seasonal_rests(transaction, history, as_of, peers=peers, periods=periods)
    return {
        "history": history,
        "events": _with_stream_hours(transaction, history, events, as_of),
        "peers": peers,
        "periods": pl.concat([periods, rests]),
    }


def _with_stream_hours(
    transaction: Transaction, history: pl.DataFrame, events: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    """Events, and the hours of SIMs of which no session is told but usage records are. A SIM's hours come from one source: one that
    told of them later would make hours new that are not."""
    used = history.select("sim_key").unique()
    untold = used.join(events.filter(pl.col("sessions") > 0), on="sim_key", how="anti")["sim_key"]
    if untold.is_empty():
        return events
    which = {"as_of": as_of, "days": EVENT_DAYS, "sim_keys": untold.to_list()}
    hours = transaction.frame("anomaly_stream_hours", HOURS_SCHEMA, which)
    return pl.concat([events, hours], how="diagonal")


def _save_incidents(transaction: Transaction, grouped: Grouped, which: dict[str, Any]) -> pl.DataFrame:
    """Begin or continue incidents, of which there are few; returns their members with the keys."""
    keys: dict[int, int] = {}
    for row in grouped.incidents.iter_rows(named=True):
        of_it = grouped.members.filter(pl.col("number") == row["number"])
        family = next(kinds for kinds in FAMILIES.values() if of_it["kind"][0] in kinds)
        saved = transaction.row(
            "save_incident",
            which
            | {
                "kinds": [*family, "fleet_event"],
                "kind": row["kind"],
                "title": row["title"],
                "scope": json.dumps({name: value for name, value in row["scope"].items() if value is not None}),
                "severity": row["severity"],
                "sim_keys": of_it["sim_key"].unique().to_list(),
                "last_day": which["as_of"],
            },
        )
        assert saved is not None
        keys[row["number"]] = saved["incident_id"]
    named = pl.DataFrame(
        {"number": list(keys), "incident_id": list(keys.values())}, schema={"number": pl.Int32, "incident_id": pl.Int64}
    )
    return grouped.members.join(named, on="number").drop("number")


def _prepare_live(
    transaction: Transaction,
    model: AnomalyModel,
    found: Detection,
    events: pl.DataFrame,
    which: dict[str, Any],
    knob: float,
) -> None:
    state = limits(model, found.signals, events, false_alarms_per_1000=knob)
    arrays = ("bytes_limits", "bytes_usual", "countries", "operators")
    # array literals: COPY knows no lists
    quoted = {
        name: pl.col(name)
        .cast(pl.List(pl.String))
        .list.eval('"' + pl.element().str.replace_all(r'(["\\])', r"\$1") + '"')
        for name in arrays
    }
    rows = state.with_columns(
        pl.concat_str(pl.lit("{"), text.list.join(","), pl.lit("}")).alias(name) for name, text in quoted.items()
    )
    merged = {"as_of": which["as_of"], "model_version": which["model_version"], "now": which["now"]}
    transaction.merge(
        "merge_anomaly_state", rows.with_columns(pl.lit(value).alias(name) for name, value in merged.items())
    )
