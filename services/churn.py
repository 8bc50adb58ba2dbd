"""Churn: which SIMs will leave, when and why. A hazard is trained every month, and scores every day over blocks."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml.churn import (
    CAUSES,
    FACT_SCHEMA,
    OUTER_SCHEMA,
    Evaluation,
    Hazard,
    Histories,
    NotEnoughHistoryError,
    RiskRules,
    evaluate_churn,
    reasons_of,
    retention_actions,
    risks_of,
    snapshot,
    train_hazard,
)
from ml.churn.actions import VALUE_SCHEMA, importance
from ml.churn.competing import HORIZONS
from ml.churn.ends import out_of_sight_on
from ml.churn.evaluation import ANY, LINEAR, MAIN_DAYS, OURS, PLAIN, SINCE
from ml.churn.features import (
    ANOMALY_SCHEMA,
    CONNECTION_SCHEMA,
    QUOTA_SCHEMA,
    SIM_SCHEMA,
    TICKET_SCHEMA,
    WINDOW_DAYS,
    heard_and_silent,
)
from ml.churn.hazard import labels_of
from ml.churn.learner import LEAVES
from ml.churn.model import MIN_ENDS, enough
from ml.churn.starter import STARTER, starter_hazard
from ml.plots.churn import plot_churn_calibration, plot_churn_lift, plot_churn_reasons
from ml.spread import relaid
from resources.database.session import Database, Transaction
from resources.runtime import Runtime
from resources.settings import SYNTHETIC
from services.inputs import HISTORY_DAYS, HISTORY_SCHEMA, evenly, sims_between
from services.model_specs import CHURN, Champion, Log, Metric, ModelSpec, Trained, TrainingInputs, register
from services.models import registry_of, train_and_register
from services.scoring import Block, predictions

TRAINING_SIMS = 10_000
# a SIM that 1NCE was not asked about for so many days is not taken for silent
UNASKED_DAYS = 7
# a version whose Brier score is worse than another's by more than this share does not take its place
MAX_LOSS = 0.1
BASELINES = {LINEAR: "logistic", SINCE: "since_activity", PLAIN: "plain"}
SIMS_SCHEMA = {**SIM_SCHEMA, "asked_to": pl.Date}
ENDS_SCHEMA = {
    "sim_key": pl.Int32,
    "p_30": pl.Float64,
    "p_90": pl.Float64,
    **dict.fromkeys(("p10_date", "p50_date", "p90_date", "expires_on"), pl.Date),
}
INVOICED_SCHEMA = {"sim_key": pl.Int32, "value_minor": pl.Int64, "currency": pl.String}
FRAMES = {
    "quota": ("churn_quota", QUOTA_SCHEMA),
    "connection": ("churn_connection", CONNECTION_SCHEMA),
    "tickets": ("churn_tickets", TICKET_SCHEMA),
    "anomalies": ("churn_anomalies", ANOMALY_SCHEMA),
}


def load_histories(database: Database | Transaction, as_of: date, sim_keys: pl.Series, *, days: int) -> Histories:
    """What was known of some SIMs at the end of `as_of`, so many days back. Usage is that of today's book: a corrected
    day counts as corrected.

    SIMs about which 1NCE was not asked for a week are left out, unless it had said that they are out of service: that
    nothing is known of them is no silence.
    """
    which = {"as_of": as_of, "days": days, "sim_keys": sim_keys.to_list()}
    facts = database.frame("churn_facts", FACT_SCHEMA, which)
    sims = database.frame("churn_sims", SIMS_SCHEMA, which)
    gone = pl.col("sim_key").is_in(out_of_sight_on(facts, as_of)["sim_key"].implode())
    asked = (pl.col("asked_to") >= as_of - timedelta(days=UNASKED_DAYS)).fill_null(value=True)
    sims = sims.filter(asked | gone).drop("asked_to")
    usage = relaid(database.frame("usage_history", HISTORY_SCHEMA, which))
    frames = {name: database.frame(query, schema, which) for name, (query, schema) in FRAMES.items()}
    return Histories(sims, usage, facts, **frames).of(sims["sim_key"])


def training_inputs(runtime: Runtime, as_of: date) -> TrainingInputs:
    """The histories of TRAINING_SIMS SIMs at most, and whether enough of them ended. A simulated fleet of which too few
    ended begins with the starter model; a real one never does."""
    with runtime.database.transaction() as transaction:
        keys = evenly(sims_between(transaction), TRAINING_SIMS)
        histories = load_histories(transaction, as_of, keys, days=HISTORY_DAYS)
    names = ("sims", "usage", "facts", *FRAMES)
    inputs = {name: getattr(histories, name) for name in names}
    ends = labels_of(histories, as_of=as_of).ends.height if histories.usage.height else 0
    try:
        enough(ends, histories.sims.height - ends, MIN_ENDS)
    except NotEnoughHistoryError as error:
        if runtime.data_note == SYNTHETIC and _needs_starter(runtime):
            return TrainingInputs({}, {STARTER: str(error)})
        return TrainingInputs(inputs, missing=str(error))
    return TrainingInputs(inputs)


def _needs_starter(runtime: Runtime) -> bool:
    """Whether no champion can score, or one of an earlier starter model does."""
    registry = registry_of(runtime, CHURN)
    champion = registry.champion()
    if champion is None:
        return True
    try:
        kept = registry.load(champion)
        return STARTER in Hazard.from_dict(kept).facts and kept != starter_hazard()
    except (ValueError, KeyError):  # saved by another version of the code
        return True


def train_churn_model(
    runtime: Runtime, as_of: date, inputs: TrainingInputs, champion: Champion | None, log: Log
) -> Trained:
    """Train the hazard on all that is closed, and say what such a training is worth on later months.

    Raises NotEnoughHistoryError.
    """
    if STARTER in inputs.settings:
        return starter(inputs.settings[STARTER])
    histories = Histories(**inputs.frames)
    seed = runtime.settings.seed
    try:
        model = train_hazard(histories, as_of=as_of, seed=seed, leaves=LEAVES)
    except NotEnoughHistoryError as error:
        if champion is None and runtime.data_note == SYNTHETIC:
            return starter(str(error))
        raise
    log(f"trained on {model.facts['sim_months']} SIM-months, ends {model.facts['ends']}")
    before: Hazard | None = champion.read() if champion else None
    tested = evaluate_churn(histories, as_of=as_of, seed=seed, leaves=LEAVES, champion=before)
    log(tested.note)
    role, why = judged(tested, first=before is None)
    metrics = figures(tested)
    weights = importance(model, snapshot(histories, as_of))
    plots = {
        "calibration.png": plot_churn_calibration(tested.calibration, note=runtime.data_note),
        "lift.png": plot_churn_lift(tested.lift, note=runtime.data_note),
        "reasons.png": plot_churn_reasons(weights, note=runtime.data_note),
    }
    counts = {"sims": model.facts["sims"], "sim_months": model.facts["sim_months"]}
    counts |= {f"ends_{cause}": ends for cause, ends in model.facts["ends"].items()}
    return Trained(
        model=model.to_dict(),
        metrics={**{name: float(value) for name, value in counts.items()}, **metrics},
        role=role,
        why=why,
        parameters={name: str(model.facts[name]) for name in ("closing_days", "leaves")},
        comparison=tested.against,
        frames={"evaluation.csv": tested.frame, "importance.csv": weights},
        figures=plots,
        metadata={"tested": tested.note, **{name.removesuffix(".png"): plot for name, plot in plots.items()}},
    )


def starter(lacking: str) -> Trained:
    """The starter model as a version. Its figures are those of simulated fleets that it had not seen.

    lacking  why there is no model of this fleet's own
    """
    model = starter_hazard()
    about = model["facts"][STARTER]
    return Trained(
        model=model,
        metrics={STARTER: 1.0, **about["tested"]},
        role="champion",
        why=f"the starter model, learnt from other simulated fleets (synthetic data); of this fleet there is {lacking}",
        learnt_from=f"{about['fleets']} simulated fleets (synthetic data), none of them this one: "
        f"{model['facts']['sims']:,} SIMs, ends {model['facts']['ends']}. It comes with Simsight, and only a simulated "
        "fleet is scored with it, until its own history is enough.",
    )


def judged(tested: Evaluation, *, first: bool) -> tuple[str, str]:
    """The role of a version, and why: the newest is champion, since it knows the latest months, unless its risks are
    clearly worse than the champion's or than those of a logistic regression.
    """
    if tested.status != "ok":
        return "champion", f"{'the first' if first else 'the newest'}, not tested: {tested.note}"
    main = {
        row["model"]: row["brier"]
        for row in tested.frame.filter(cause=ANY, horizon_days=int(tested.summary["horizon_days"])).iter_rows(
            named=True
        )
    }
    if LINEAR in main and main[OURS] > (1 + MAX_LOSS) * main[LINEAR]:
        return "challenger", f"Brier score {main[OURS]:.4f} is worse than a logistic regression's {main[LINEAR]:.4f}"
    if tested.against:
        ours, theirs = tested.against["brier"], tested.against["champion_brier"]
        if ours > (1 + MAX_LOSS) * theirs:
            return "challenger", f"Brier score {ours:.4f} on later months is worse than the champion's {theirs:.4f}"
        return "champion", f"Brier score {ours:.4f} on later months, the champion's {theirs:.4f}"
    return "champion", "the first" if first else "the newest; no month that the champion has not seen is closed"


def figures(tested: Evaluation) -> dict[str, float]:
    """The evaluation as metrics: those of all three causes at the main horizon without a suffix, baselines beside them,
    and area under the curve and Brier score by cause and horizon."""
    if tested.status != "ok":
        return {}
    main = int(tested.summary["horizon_days"])
    found = {name: value for name, value in tested.summary.items() if name not in ("n", "ends")}
    found |= {"tested_rows": tested.summary["n"], "tested_ends": tested.summary["ends"]}
    for row in tested.frame.iter_rows(named=True):
        if row["model"] in BASELINES and row["horizon_days"] == main and row["cause"] == ANY:
            prefix = "baseline" if row["model"] == LINEAR else BASELINES[row["model"]]
            found |= {f"{prefix}_{name}": row[name] for name in ("auc", "auc_pr", "lift10", "brier", "ece")}
        elif row["model"] == OURS and (row["cause"] != ANY or row["horizon_days"] != main):
            of = f"{row['cause']}_{row['horizon_days']}"
            found |= {f"{name}_{of}": row[name] for name in ("auc", "auc_pr", "lift10", "brier", "ece")}
    return found


def _prepare(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """What a SIM without an order is taken to be worth: the median of the others, in the commonest currency."""
    whole = {"as_of": as_of, "first_key": 0, "last_key": 2**31 - 1}
    known = runtime.database.frame("churn_values", INVOICED_SCHEMA, whole)
    if known.is_empty():
        return {"value_minor": None, "currency": None}
    (currency,) = known.group_by("currency").len().sort("len", "currency", descending=[True, False])["currency"].head(1)
    median = known.filter(currency=currency)["value_minor"].median()
    return {"value_minor": int(median), "currency": currency}  # type: ignore[arg-type]


def _inputs(runtime: Runtime, block: Block) -> pl.DataFrame:
    """The SIMs of a block. What one's risk rests on, its group included, is much: in every run all are scored anew."""
    keys = sims_between(runtime.database, block.first_key, block.last_key)
    return pl.DataFrame({"sim_key": keys, "work_id": [block.work_id] * len(keys)})


def _score(runtime: Runtime, block: Block, shared: dict[str, Any], inputs: pl.DataFrame) -> pl.DataFrame:
    model = Hazard.from_dict(registry_of(runtime, CHURN).load(block.version))
    as_of = block.as_of
    with runtime.database.transaction() as transaction:
        histories = load_histories(transaction, as_of, inputs["sim_key"], days=WINDOW_DAYS).checked()
        ends = transaction.frame("churn_ends", ENDS_SCHEMA, block.range)
        invoiced = transaction.frame("churn_values", INVOICED_SCHEMA, block.range)
    heard, silent = heard_and_silent(histories, as_of)
    risks = risks_of(model, heard, silent, outer=outer_risks(ends, as_of))
    values = inputs.select("sim_key").join(invoiced, on="sim_key", how="left")
    known = pl.col("value_minor").is_not_null()
    values = values.with_columns(
        pl.when(known).then("value_minor").otherwise(pl.lit(shared["value_minor"], pl.Int64)).alias("value_minor"),
        pl.when(known).then("currency").otherwise(pl.lit(shared["currency"], pl.String)).alias("currency"),
    )
    settings = runtime.settings
    rules = RiskRules(high=settings.churn_high, medium=settings.churn_medium, hold_out=settings.churn_holdout)
    at_stake = values.select("sim_key", pl.col("value_minor").fill_null(0).alias("value_at_stake")).cast(VALUE_SCHEMA)  # type: ignore[arg-type]
    actions = retention_actions(risks, at_stake, rules=rules, seed=settings.seed)
    by_horizon = risks.pivot("horizon_days", index="sim_key", values="risk").rename(
        {str(days): f"p_{days}" for days in HORIZONS}
    )
    main = risks.filter(horizon_days=MAIN_DAYS).drop("horizon_days", "risk")
    table = (
        main.join(by_horizon, on="sim_key")
        .join(actions.select("sim_key", "level", "cause", "action", "worth", "held_out"), on="sim_key")
        .join(_reasons(model, heard, silent, risks), on="sim_key", how="left")
        .join(values, on="sim_key", how="left")
    )
    chances = pl.col("^p_.*$", "any_end")
    return table.sort("sim_key").select(
        "sim_key",
        pl.lit(as_of).alias("as_of"),
        # of a model, no more is known; only what is certain is 1
        pl.when(chances < 1).then(chances.round(4).clip(0, 0.9999)).otherwise(chances.clip(0, 1)),
        pl.col("level").alias("risk_level"),
        "cause",
        "reasons",
        "contributions",
        "action",
        "value_minor",
        "currency",
        pl.col("worth").round(2),
        "held_out",
    )


def _reasons(model: Hazard, heard: pl.DataFrame, silent: pl.DataFrame, risks: pl.DataFrame) -> pl.DataFrame:
    """sim_key, reasons and contributions (JSON) of the SIMs in service."""
    found = reasons_of(model, heard, risks, horizon_days=MAIN_DAYS)
    silent = silent.select(
        "sim_key",
        reasons=pl.format(
            "nothing was heard of it for {} days, longer than is usual for it", "days_since_activity"
        ).str.replace("for 1 days", "for 1 day"),
        contributions=pl.lit("[]"),
    )
    return pl.concat([found.select("sim_key", "reasons", _json(found["contributions"])), silent])


def _json(contributions: pl.Series) -> pl.Series:
    """The contributions of each SIM as the database keeps them; a value in six digits."""
    rows = contributions.to_frame("one").with_row_index("row").explode("one").unnest("one")
    texts = {text: json.dumps(text) for text in rows["text"].unique().drop_nulls()}
    value = pl.coalesce(
        pl.col("number").round_sig_figs(6).cast(pl.String),
        pl.col("text").replace_strict(texts, return_dtype=pl.String),
        pl.lit("null"),
    )
    one = pl.format('{{"feature":"{}","value":{},"log_odds":{}}}', "feature", value, pl.col("log_odds").round(3))
    by_row = rows.group_by("row").agg(pl.format("[{}]", one.str.join(",")).alias(contributions.name))
    every = contributions.to_frame().with_row_index("row").select("row")
    return every.join(by_row, on="row", how="left", maintain_order="left")[contributions.name].fill_null("[]")


def outer_risks(ends: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The probabilities of being exhausted and of having expired by each horizon (OUTER_SCHEMA), of exhaustion dates.

    ends  ENDS_SCHEMA: the probability of either end within 30 and 90 days, the days by which it has come with 10, 50
          and 90 %, and the day of expiry
    A SIM has expired at a horizon or has not: the day is known. The volume is used up by 30 and 90 days with the given
    probabilities; by 60 days at an even rate between the two; by 180 days with 10, 50 or 90 %, by the last of the three
    dates that lies within, and never less than by 90. Where the SIM expires within a horizon, the volume's part is that
    of the horizon before.
    """
    if ends.is_empty():
        return pl.DataFrame(schema=OUTER_SCHEMA)
    expires = (ends["expires_on"] - as_of).dt.total_days().cast(pl.Float64).fill_null(np.inf).to_numpy()
    by_30, by_90 = (ends[name].fill_null(0.0).to_numpy().astype(np.float64) for name in ("p_30", "p_90"))
    by_90 = np.maximum(by_30, by_90)
    by_180 = by_90.copy()
    for name, chance in (("p10_date", 0.1), ("p50_date", 0.5), ("p90_date", 0.9)):
        within = (ends[name] <= as_of + timedelta(days=HORIZONS[-1])).fill_null(value=False).to_numpy()
        by_180 = np.where(within, np.maximum(by_180, chance), by_180)
    used = np.stack([by_30, 1 - np.sqrt((1 - by_30) * (1 - by_90)), by_90, by_180], axis=1)
    expired = np.stack([expires <= days for days in HORIZONS], axis=1)
    before = np.zeros(len(used))
    for at in range(len(HORIZONS)):
        used[:, at] = before = np.where(expired[:, at], before, used[:, at])
    return pl.DataFrame(
        {
            "sim_key": np.repeat(ends["sim_key"].to_numpy(), len(HORIZONS)),
            "horizon_days": np.tile(HORIZONS, len(used)),
            "p_exhausted": used.ravel(),
            "p_expired": expired.ravel().astype(np.float64),
        }
    ).cast(OUTER_SCHEMA)  # type: ignore[arg-type]


def _show(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """How many SIMs are at which risk, and how many ends are expected."""
    counts = runtime.database.rows("churn_counts", {"as_of": as_of})
    shown: dict[str, Any] = {}
    for row in counts:
        if row["cause"] in CAUSES:
            level = f"SIMs at {row['risk_level']} risk"
            shown[level] = shown.get(level, 0) + row["sims"]
        expected = f"expected within 90 days, {row['cause'].replace('_', ' ')}"
        shown[expected] = round(shown.get(expected, 0.0) + row["expected"], 1)
    return shown


CHURN_RISKS = predictions("churn_risks", CHURN, "merge_churn_risks", _inputs, _score, _show, _prepare, optional=True)


def describe_churn(metrics: dict[str, float]) -> str:
    """How good a version is, in a sentence or two; `metrics` as `figures` gives them."""
    if "auc" not in metrics:
        return "Not tested: the fleet has too few ends on months that are closed."
    compared = ""
    if "baseline_auc" in metrics:
        compared = f" A logistic regression: {metrics['baseline_auc']:.3f} and {metrics['baseline_ece']:.3f}."
    where = "On later months of SIMs it had not seen"
    if STARTER in metrics:
        where = "Learnt from simulated fleets (synthetic data), not from this one. On other simulated fleets"
    return (
        f"{where} ({metrics['tested_rows']:.0f} SIM-months with "
        f"{metrics['tested_ends']:.0f} ends, {metrics['horizon_days']:.0f} days ahead): AUC {metrics['auc']:.3f}, "
        f"calibration error {metrics['ece']:.3f}; the tenth of SIMs at highest risk holds {metrics['lift10']:.1f} "
        f"times as many ends as a random tenth.{compared}"
    )


SPEC = register(
    ModelSpec(
        name=CHURN,
        asset="churn_model",
        read=Hazard.from_dict,
        inputs=training_inputs,
        train=train_churn_model,
        metrics=(
            Metric("AUC", "auc", ".3f", "which SIMs leave within 90 days, on later months of other SIMs"),
            Metric("calibration error", "ece", ".3f", "distance of stated risks from what came, 0 is best"),
            Metric("lift", "lift10", ".1f", "ends in the tenth at highest risk, as a multiple of a random tenth's"),
        ),
        retrain_days=32,
        cron="0 4 1 * *",
        card="Says with which probability each SIM leaves within 30, 60, 90 and 180 days, because its device dies, it "
        "is switched off or its device goes on with another SIM.",
        limits="1NCE tells of no such end: ends are inferred from silence, the SIM list and IMEIs. The names of SIMs "
        "count as they are today. Who is most at risk is not who is helped most: no effect of an action is claimed.",
        describe=describe_churn,
    )
)


def train(runtime: Runtime, as_of: date, *, log: Log = lambda text: None) -> dict[str, Any]:
    """Train a version, and register it; see `train_and_register`. With too short a history nothing is trained, the
    metadata say what lacks, and the champion stays."""
    try:
        return train_and_register(runtime, SPEC, as_of, log=log)
    except NotEnoughHistoryError as error:
        log(f"trained nothing: {error}")
        return {"trained": f"no: {error}"}
