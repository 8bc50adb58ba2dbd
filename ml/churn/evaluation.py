"""How well ends are foreseen: on later months, of SIMs that the training did not see, beside simpler ways.

The model that is scored is trained as the real one is, on what was known at an earlier day, of seven SIMs in ten. The
other SIMs are scored at the month ends from that day on. Beside it stand a logistic regression on the same features,
the days since the last activity alone, and the plain recipe: LightGBM with 31 leaves whose label is the status of that
day. Horizons are counted from the end of the gap after each snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml.churn.competing import HORIZONS, cumulative_incidence, months_of
from ml.churn.ends import CAUSES, silent_after, usual_gaps
from ml.churn.features import Histories, snapshot
from ml.churn.hazard import AHEAD, GAP_DAYS, Hazard, Labels, labels_of, month_ends, train_hazard
from ml.churn.learner import LEAVES
from ml.churn.model import MIN_ENDS, NotEnoughHistoryError
from ml.history import FloatArray

OURS, LINEAR, SINCE, PLAIN = "hazard", "logistic regression", "days since last activity", "plain recipe"
CEILING = "true hazard"  # of a simulated fleet
ANY = "any"
TRAINED_SHARE = 0.7
TEST_SNAPSHOTS = 6
MIN_SCORED_ENDS = 10
BINS = 10
MAIN_DAYS = 90

SCORE_SCHEMA = {
    "model": pl.String,
    "cause": pl.String,
    "horizon_days": pl.Int32,
    "n": pl.UInt32,
    "ends": pl.UInt32,
    "auc": pl.Float64,
    "auc_pr": pl.Float64,
    "lift10": pl.Float64,
    "brier": pl.Float64,
    "ece": pl.Float64,
}
CALIBRATION_SCHEMA = {
    "model": pl.String,
    "horizon_days": pl.Int32,
    "bin": pl.Int32,
    "n": pl.UInt32,
    "stated": pl.Float64,
    "ended": pl.Float64,
}
LIFT_SCHEMA = {"model": pl.String, "horizon_days": pl.Int32, "share": pl.Float64, "found": pl.Float64}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a training would have been worth.

    status       "ok", or "not tested", and note says why or what was scored
    frame        one row a model, cause ("any" of the three learnt ones, or one) and horizon (SCORE_SCHEMA): n
                 SIM-snapshots and ends among them, area under the ROC curve and under the precision-recall curve, how
                 many times as many ends are in the tenth with the highest risk as in a random one, Brier score and
                 pooled calibration error of ten bins of equal width. Horizons with fewer than MIN_SCORED_ENDS ends are
                 left out
    calibration  stated and achieved risk in each bin (CALIBRATION_SCHEMA)
    lift         share of ends found in the share of SIMs with the highest risk (LIFT_SCHEMA)
    summary      auc, auc_pr, lift10, brier, ece and horizon_days of the hazard at MAIN_DAYS, or at the next horizon
    against      brier of the hazard and champion_brier of another model on the same rows, of months that began when it
                 was trained or later; n and ends of these. Empty where there are too few, or no other model
    """

    status: str
    note: str
    frame: pl.DataFrame
    calibration: pl.DataFrame
    lift: pl.DataFrame
    summary: dict[str, float] = field(default_factory=dict)
    against: dict[str, float] = field(default_factory=dict)


def not_tested(note: str) -> Evaluation:
    """An evaluation that says why there is none."""
    scores, bins, lifts = (pl.DataFrame(schema=schema) for schema in (SCORE_SCHEMA, CALIBRATION_SCHEMA, LIFT_SCHEMA))
    return Evaluation("not tested", note, scores, bins, lifts)


def evaluate_churn(
    histories: Histories,
    *,
    as_of: date,
    seed: int = 17,
    gap_days: int = GAP_DAYS,
    min_ends: int = MIN_ENDS,
    leaves: tuple[int, ...] = LEAVES,
    truth: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ceiling: Callable[[pl.DataFrame], FloatArray] | None = None,
    champion: Hazard | None = None,
) -> Evaluation:
    """Score a training on what was known months ago in the months after.

    truth  for a simulated fleet: the true ends (END_SCHEMA) of a frame sim_key, silent_after; else the ends that the
           histories say
    ceiling  for a simulated fleet: the risks that nobody could state better, (rows, horizons, causes), of a frame
           sim_key, snapshot, silent_after
    champion  a model to compare with, on months that are later than its training
    Never raises for too short a history: the evaluation then says "not tested" and why.
    """
    histories = histories.checked().until(as_of)
    labels = labels_of(histories, as_of=as_of)
    closed = labels.closed["closed_on"].max()
    days = month_ends(histories, as_of=as_of, most=36)
    days = [day for day in days if isinstance(closed, date) and day + timedelta(days=gap_days + HORIZONS[0]) <= closed]
    tested = days[len(days) - min(TEST_SNAPSHOTS, len(days) // 2) :]
    if not tested:
        return not_tested("fewer than two months are closed")
    keys = histories.sims["sim_key"].sort()
    order = np.random.default_rng(seed).permutation(keys.len())
    trained = keys.gather(np.sort(order[: int(TRAINED_SHARE * keys.len())]))
    then = histories.of(trained).until(tested[0])
    try:
        how = {"seed": seed, "gap_days": gap_days, "leaves": leaves}
        model = train_hazard(then, as_of=tested[0], min_ends=round(min_ends * TRAINED_SHARE), **how)  # type: ignore[arg-type]
    except NotEnoughHistoryError as error:
        return not_tested(f"of what was known on {tested[0]}: {error}")
    delays = usual_gaps(histories.usage).select("sim_key", silent_after=silent_after())
    if truth is not None:
        labels = Labels(truth(delays), labels.closed, labels.lags)
    rows = outcomes(histories, labels, tested, gap_days).filter(~pl.col("sim_key").is_in(trained.implode()))
    known = labels_of(then, as_of=tested[0])
    past = outcomes(then, known, month_ends(then, as_of=tested[0]), gap_days)
    best = None
    if ceiling is not None:
        best = ceiling(rows.select("sim_key", "snapshot").join(delays, on="sim_key", how="left", maintain_order="left"))
    return scored(model, rows, past, then, tested[0], champion, best)


def outcomes(histories: Histories, labels: Labels, days: list[date], gap_days: int) -> pl.DataFrame:
    """The features of SIMs at snapshots, and by horizon what became of them: ended_30 ... (null where not closed, or
    out of sight before it ended) and cause."""
    out = histories.facts.filter(pl.col("fact").is_in(["exhausted", "expired"]))
    parts = []
    for day in days:
        begin = day + timedelta(days=gap_days)
        after = out.filter(pl.col("day") > day).group_by("sim_key").agg(out_on=pl.col("day").min())
        rows = snapshot(histories, day).with_columns(snapshot=pl.lit(day)).join(labels.ends, on="sim_key", how="left")
        rows = rows.join(labels.closed, on="sim_key", how="inner").join(after, on="sim_key", how="left")
        rows = rows.filter((pl.col("ended_on") > begin).fill_null(value=True))
        for horizon in HORIZONS:
            until = begin + timedelta(days=horizon)
            ended = (pl.col("ended_on") <= until).fill_null(value=False)
            hidden = (pl.col("out_on") <= pl.min_horizontal("ended_on", pl.lit(until))).fill_null(value=False)
            known = (pl.col("closed_on") >= until) & ~hidden
            rows = rows.with_columns(pl.when(known).then(ended).alias(f"ended_{horizon}"))
        parts.append(rows.drop("ended_on", "closed_on", "out_on"))
    return pl.concat(parts)


def scored(
    model: Hazard,
    rows: pl.DataFrame,
    past: pl.DataFrame,
    then: Histories,
    day: date,
    champion: Hazard | None,
    best: FloatArray | None,
) -> Evaluation:
    beside = ["sim_key", "snapshot", "cause", *(f"ended_{horizon}" for horizon in HORIZONS)]
    features = rows.drop(beside)
    incidence = _incidence(model, features)
    matrix, before = _plain(features), _plain(past.drop(beside), features)
    since = features.columns.index("days_since_activity")
    plain = {cause: _plain_recipe(then, day, features, cause) for cause in (ANY, *CAUSES)}
    scores, bins, lifts = [], [], []
    for at, horizon in enumerate(HORIZONS):
        label, learnt = rows[f"ended_{horizon}"], past[f"ended_{horizon}"]
        known, seen = label.is_not_null().to_numpy(), learnt.is_not_null().to_numpy()
        for cause in (ANY, *CAUSES):
            ended, target = (_ended_by(frame, horizon, cause) for frame in (rows, past))
            if min(ended[known].sum(), (~ended[known]).sum()) < MIN_SCORED_ENDS:
                continue
            risks = {OURS: _of_cause(incidence[:, at], cause)}
            if target[seen].any() and not target[seen].all():
                risks[LINEAR] = _regression(before[seen], target[seen], matrix)
                risks[SINCE] = _regression(before[seen][:, [since]], target[seen], matrix[:, [since]])
            if (status := plain[cause]) is not None:
                risks[PLAIN] = status
            if best is not None:
                alone = best[:, at]
                risks[CEILING] = 1 - np.prod(1 - alone, axis=1) if cause == ANY else _of_cause(alone, cause)
            for name, risk in risks.items():
                scores.append((name, cause, horizon, *_figures(ended[known], risk[known])))
                if cause == ANY:
                    bins += [(name, horizon, *one) for one in _bins(ended[known], risk[known])]
                    lifts += [(name, horizon, *one) for one in _gains(ended[known], risk[known])]
    frame = pl.DataFrame(scores, schema=SCORE_SCHEMA, orient="row")
    ours = frame.filter(model=OURS, cause=ANY)
    if ours.is_empty():
        return not_tested(f"fewer than {MIN_SCORED_ENDS} ends of SIMs held out since {day}")
    main = ours.sort((pl.col("horizon_days") - MAIN_DAYS).abs()).row(0, named=True)
    names = ("auc", "auc_pr", "lift10", "brier", "ece", "horizon_days", "n", "ends")
    note = (
        f"trained on what was known on {day} of {model.facts['sims']:,} SIMs, scored on {rows['sim_key'].n_unique():,} "
        f"other SIMs in the months after; ends learnt from: {model.facts['ends']}"
    )
    return Evaluation(
        "ok",
        note,
        frame,
        pl.DataFrame(bins, schema=CALIBRATION_SCHEMA, orient="row"),
        pl.DataFrame(lifts, schema=LIFT_SCHEMA, orient="row"),
        {name: float(main[name]) for name in names},
        {} if champion is None else _against(champion, rows, features, incidence),
    )


def _ended_by(rows: pl.DataFrame, horizon: int, cause: str) -> Any:
    """Whether each row ended by a cause, or by any; false where it is not known."""
    ended = rows[f"ended_{horizon}"].fill_null(value=False).to_numpy()
    return ended if cause == ANY else ended & (rows["cause"] == cause).fill_null(value=False).to_numpy()


def _of_cause(risks: FloatArray, cause: str) -> FloatArray:
    """Of risks (rows, causes), one cause's, or their sum."""
    return np.asarray(risks.sum(axis=1) if cause == ANY else risks[:, CAUSES.index(cause)], dtype=np.float64)


def _incidence(model: Hazard, features: pl.DataFrame) -> FloatArray:
    """Probability of having ended by each cause at each of HORIZONS, (rows, horizons, causes)."""
    hazards = model.hazards(features)
    return cumulative_incidence(hazards, np.zeros((*hazards.shape[:2], 0)))[:, months_of()]


def _against(champion: Hazard, rows: pl.DataFrame, features: pl.DataFrame, incidence: FloatArray) -> dict[str, float]:
    """`Evaluation.against`, at MAIN_DAYS, or at the longest horizon below that has enough ends."""
    if any(column.name not in (*features.columns, AHEAD) for column in champion.columns.columns):
        return {}
    later = (rows["snapshot"] >= champion.as_of).to_numpy()
    for at, horizon in sorted(enumerate(HORIZONS), key=lambda pair: abs(pair[1] - MAIN_DAYS)):
        label = rows[f"ended_{horizon}"]
        known, ended = later & label.is_not_null().to_numpy(), label.fill_null(value=False).to_numpy()
        if ended[known].sum() >= MIN_SCORED_ENDS:
            theirs = _incidence(champion, features.filter(pl.Series(known)))[:, at].sum(axis=1)
            ours = incidence[known, at].sum(axis=1)
            brier, of_champion = (float(np.mean((risk - ended[known]) ** 2)) for risk in (ours, theirs))
            counts = {"n": float(known.sum()), "ends": float(ended[known].sum()), "horizon_days": float(horizon)}
            return {"brier": brier, "champion_brier": of_champion, **counts}
    return {}


def _plain(features: pl.DataFrame, like: pl.DataFrame | None = None) -> FloatArray:
    """Numbers as they are and words as codes, NaN where not known; columns of `like`."""
    columns = (features if like is None else like).columns
    found = []
    for name in columns:
        column = features[name]
        if column.dtype == pl.String:
            column = column.hash(seed=1) % 97
        found.append(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
    return np.column_stack(found)


def _regression(before: FloatArray, ended: Any, matrix: FloatArray) -> FloatArray:
    """Risk by a linear logistic regression."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    line = make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(solver="newton-cholesky")
    )
    return np.asarray(line.fit(before, ended).predict_proba(matrix)[:, 1], dtype=np.float64)


def _plain_recipe(then: Histories, day: date, features: pl.DataFrame, cause: str) -> FloatArray | None:
    """Risk by LightGBM with 31 leaves of each SIM's features as of a day, the label being its status of that day."""
    import lightgbm

    rows = _all_sims(then, day, cause)
    label = rows["ended"].to_numpy().astype(np.float64)
    if not 0 < label.sum() < len(label):
        return None
    parameters = {"objective": "binary", "num_leaves": 31, "verbosity": -1, "num_threads": 1, "seed": 1}
    data = lightgbm.Dataset(_plain(rows, features), label, params=parameters)
    booster = lightgbm.train(parameters, data, 100)
    return np.asarray(booster.predict(_plain(features), num_threads=1), dtype=np.float64)


def _all_sims(then: Histories, day: date, cause: str) -> pl.DataFrame:
    """The features of every SIM, those that are gone too, and whether it is gone by a cause, or by any: `ended`."""
    ends = labels_of(then, as_of=day).ends
    ended = (ends if cause == ANY else ends.filter(cause=cause))["sim_key"]
    stay = Histories(**(vars(then) | {"facts": then.facts.clear()}))
    rows = snapshot(stay, day, everyone=True)
    return rows.with_columns(ended=pl.col("sim_key").is_in(ended.implode()))


def _figures(ended: Any, risk: FloatArray) -> tuple[float, ...]:
    """n, ends, auc, auc_pr, lift10, brier, ece."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    order = np.argsort(-risk, kind="stable")
    top = ended[order[: max(len(risk) // 10, 1)]].mean()
    return (
        len(risk),
        int(ended.sum()),
        float(roc_auc_score(ended, risk)),
        float(average_precision_score(ended, risk)),
        float(top / ended.mean()),
        float(np.mean((risk - ended) ** 2)),
        calibration_error(ended, risk),
    )


def calibration_error(ended: Any, risk: FloatArray) -> float:
    """Mean distance between stated and achieved risk over bins of equal width, weighted by rows."""
    place = np.minimum((risk * BINS).astype(np.int64), BINS - 1)
    return float(np.abs(np.bincount(place, weights=risk - ended, minlength=BINS)).sum() / len(risk))


def _bins(ended: Any, risk: FloatArray) -> list[tuple[int, int, float, float]]:
    place = np.minimum((risk * BINS).astype(np.int64), BINS - 1)
    inside = [(one, place == one) for one in range(BINS)]
    return [(one, int(at.sum()), float(risk[at].mean()), float(ended[at].mean())) for one, at in inside if at.any()]


def _gains(ended: Any, risk: FloatArray) -> list[tuple[float, float]]:
    found = np.cumsum(ended[np.argsort(-risk, kind="stable")]) / max(ended.sum(), 1)
    shares = np.arange(0.05, 1.0001, 0.05)
    return [(float(share), float(found[max(round(share * len(risk)) - 1, 0)])) for share in shares]


def lines(found: Evaluation) -> list[str]:
    """The evaluation as lines of text."""
    head = f"{'model':26}{'cause':14}{'days':>5}{'n':>7}{'ends':>6}    AUC AUC-PR  lift10   Brier    ECE"
    return [
        head,
        *(
            f"{row['model']:26}{row['cause']:14}{row['horizon_days']:5}{row['n']:7}{row['ends']:6} {row['auc']:6.3f} "
            f"{row['auc_pr']:6.3f} {row['lift10']:7.2f} {row['brier']:7.4f} {row['ece']:6.4f}"
            for row in found.frame.sort("horizon_days", "cause", "model").iter_rows(named=True)
        ),
    ]
