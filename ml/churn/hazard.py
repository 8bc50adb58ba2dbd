"""Which SIMs will end within 30, 60, 90 and 180 days, and by what: a discrete-time hazard over SIM-months.

A row is a SIM at a month's end and one of the six months of 30 days ahead: what was known of it then (`features`), how
many months ahead, and whether it ended in that month by a cause (`ends`), given that it was there at the month's
beginning. One learner a cause serves all horizons, which are put together by cumulative incidence (`competing`) and so
never fall. The first month ahead begins a gap after the snapshot: what happens within the lateness of the data is no
prediction. Months that reach into the closing lag are used for nobody. Exhausted and expired are arithmetic, and are
handed in.

Source: person-periods (Singer and Willett 1993), cause-specific hazards (Prentice et al. 1978).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml.churn.columns import Columns, learn_columns
from ml.churn.competing import HORIZONS, MONTH_DAYS, MONTHS, by_months, cumulative_incidence, months_of
from ml.churn.ends import CAUSES, chance_of_return, closing_lags, ends_of, rhythm, usual_gaps
from ml.churn.features import Histories, heard_and_silent, snapshot
from ml.churn.learner import LEAVES, Learner, fit_learner, log_odds, odds, shift_to
from ml.churn.model import MIN_ENDS, enough
from ml.history import FloatArray

VERSION = 1
GAP_DAYS = 3  # the lateness of usage
MIN_KNOWN_DAYS = 60  # of history before the first snapshot
SNAPSHOTS = 12
MAX_ROWS = 150_000
MIN_CAUSE_ENDS = 40  # of a cause that is learnt; one with fewer has the same hazard for every SIM
LATEST_MONTHS = 3  # whose ends the intercept is mended on
PRIOR_ENDS = 20.0  # the mend is shrunk as if so many ends had been just as expected
RETURN_DAYS = 60
AHEAD = "months_ahead"
CATEGORIES = ("device_type", "peer_group")  # a device type is told by digits

RISK_SCHEMA = {
    "sim_key": pl.Int32,
    "horizon_days": pl.Int32,
    **{f"p_{cause}": pl.Float64 for cause in (*CAUSES, "exhausted", "expired")},
    "risk": pl.Float64,
    "any_end": pl.Float64,
}
OUTER_SCHEMA = {
    "sim_key": pl.Int32,
    "horizon_days": pl.Int32,
    "p_exhausted": pl.Float64,
    "p_expired": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class Hazard:
    """A trained hazard.

    columns   how the features of a SIM-month become numbers
    learners  one a cause that has enough ends
    shifts    by which each cause's log odds are mended on the latest closed months
    constant  log odds of a month of causes with too few ends to learn from
    returns   P(returns | silent for g days), g from 1: what silent SIMs are judged by
    facts     what it was trained on, for the model card
    """

    as_of: date
    columns: Columns
    learners: dict[str, Learner]
    shifts: dict[str, float]
    constant: dict[str, float]
    returns: FloatArray
    seed: int
    facts: dict[str, Any] = field(default_factory=dict)

    def hazards(self, features: pl.DataFrame) -> FloatArray:
        """Hazard of each SIM, month ahead and cause, (rows, MONTHS, causes)."""
        found = np.empty((features.height, MONTHS, len(CAUSES)))
        for month in range(MONTHS):
            matrix = self.columns.matrix(features.with_columns(pl.lit(float(month + 1)).alias(AHEAD)))
            for at, cause in enumerate(CAUSES):
                if cause in self.learners:
                    found[:, month, at] = odds(self.learners[cause].logit(matrix) + self.shifts[cause])
                else:
                    found[:, month, at] = odds(np.array(self.constant[cause]))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The whole model as JSON-ready values."""
        return {
            "name": "churn-hazard",
            "format": VERSION,
            "as_of": self.as_of.isoformat(),
            "columns": self.columns.to_dict(),
            "learners": {cause: learner.to_dict() for cause, learner in self.learners.items()},
            "shifts": self.shifts,
            "constant": self.constant,
            "returns": [None if np.isnan(value) else float(value) for value in self.returns],
            "seed": self.seed,
            "facts": self.facts,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Hazard:
        """The model that `to_dict` wrote. Raises ValueError for a model of another format."""
        if values.get("format") != VERSION or values.get("name") != "churn-hazard":
            raise ValueError(
                f"the churn model has format {values.get('format')} of {values.get('name')}; this code reads {VERSION}"
            )
        return cls(
            as_of=date.fromisoformat(values["as_of"]),
            columns=Columns.from_dict(values["columns"]),
            learners={cause: Learner.from_dict(kept) for cause, kept in values["learners"].items()},
            shifts=dict(values["shifts"]),
            constant=dict(values["constant"]),
            returns=np.array([np.nan if value is None else value for value in values["returns"]], dtype=np.float64),
            seed=int(values["seed"]),
            facts=dict(values["facts"]),
        )


@dataclass(frozen=True, eq=False)
class Labels:
    """What became of SIMs, as known at a day.

    ends    `ml.churn.ends.END_SCHEMA`
    closed  sim_key, closed_on: up to which day it is known whether the SIM had ended, by its rhythm
    lags    `ml.churn.ends.LAG_SCHEMA`
    """

    ends: pl.DataFrame
    closed: pl.DataFrame
    lags: pl.DataFrame


def labels_of(histories: Histories, *, as_of: date, lags: pl.DataFrame | None = None) -> Labels:
    """Look back from a day. lags: those of another look, for one that sees fewer SIMs."""
    known = histories.until(as_of)
    if lags is None:
        lags = closing_lags(known.usage, known.facts, as_of=as_of)
    ends = ends_of(known.usage, known.facts, as_of=as_of, lags=lags)
    gaps = usual_gaps(known.usage).with_columns(rhythm=rhythm()).join(lags, on="rhythm", how="left")
    closed = gaps.select("sim_key", closed_on=pl.lit(as_of) - pl.duration(days=pl.col("closing_days")))
    return Labels(ends, closed, lags)


def month_ends(histories: Histories, *, as_of: date, most: int = SNAPSHOTS) -> list[date]:
    """The last days of calendar months at which snapshots are taken, ascending: the latest `most` of them with enough
    known before."""
    first = histories.usage["day"].min()
    if not isinstance(first, date):
        return []
    found: list[date] = []
    day = as_of.replace(day=1) - timedelta(days=1)
    while (day - first).days >= MIN_KNOWN_DAYS and len(found) < most:
        found.append(day)
        day = day.replace(day=1) - timedelta(days=1)
    return found[::-1]


def sim_months(histories: Histories, labels: Labels, days: Sequence[date], *, gap_days: int = GAP_DAYS) -> pl.DataFrame:
    """The SIM-months of snapshots that are closed: sim_key, snapshot, the features, months_ahead, month_to (the month's
    last day) and cause: null where the SIM had not ended.

    A SIM is there until the month in which it ends; from the day on which it is exhausted, expired or switched off by
    something that is no end, its months are left out.
    """
    facts = histories.facts.filter(pl.col("fact").is_in(["exhausted", "expired"]))
    parts = []
    for day in days:
        rows = snapshot(histories, day).with_columns(snapshot=pl.lit(day))
        rows = rows.join(labels.ends, on="sim_key", how="left").join(labels.closed, on="sim_key", how="inner")
        after = facts.filter(pl.col("day") > day).group_by("sim_key").agg(out_on=pl.col("day").min())
        rows = rows.join(after, on="sim_key", how="left")
        ahead = pl.duration(days=(pl.col(AHEAD) * MONTH_DAYS).cast(pl.Int64) + gap_days)
        months = pl.DataFrame({AHEAD: np.arange(1.0, MONTHS + 1)}).with_columns(month_to=pl.lit(day) + ahead)
        begin = pl.col("month_to") - pl.duration(days=MONTH_DAYS)
        rows = rows.join(months, how="cross").filter(
            pl.col("month_to") <= pl.col("closed_on"), (pl.col("ended_on") > begin).fill_null(value=True)
        )
        ends = (pl.col("ended_on") <= pl.col("month_to")).fill_null(value=False)
        # of a month in which it went out of sight, half must have been seen
        seen = (pl.col("out_on") > begin + pl.duration(days=MONTH_DAYS // 2)).fill_null(value=True)
        rows = rows.filter(seen | (ends & (pl.col("ended_on") <= pl.col("out_on"))))
        parts.append(rows.with_columns(cause=pl.when(ends).then("cause")).drop("ended_on", "closed_on", "out_on"))
    return pl.concat(parts) if parts else pl.DataFrame()


def train_hazard(
    histories: Histories,
    *,
    as_of: date,
    seed: int = 17,
    gap_days: int = GAP_DAYS,
    min_ends: int = MIN_ENDS,
    leaves: Sequence[int] = LEAVES,
    max_rows: int = MAX_ROWS,
) -> Hazard:
    """Train on all months that are closed at `as_of`.

    Raises NotEnoughHistoryError when fewer than `min_ends` SIMs ended, or fewer did not; ValueError for broken frames.
    """
    histories = histories.checked().until(as_of)
    labels = labels_of(histories, as_of=as_of)
    rows = sim_months(histories, labels, month_ends(histories, as_of=as_of), gap_days=gap_days)
    ended = rows.filter(pl.col("cause").is_not_null())["sim_key"].n_unique() if rows.height else 0
    enough(ended, rows["sim_key"].n_unique() - ended if rows.height else 0, min_ends)
    if rows.height > max_rows:
        rows = rows.sample(max_rows, seed=seed)
    rows = rows.sort("snapshot", "sim_key", AHEAD)
    features = rows.drop("sim_key", "snapshot", "month_to", "cause")
    columns = learn_columns(features, categories=CATEGORIES)
    matrix, groups = columns.matrix(features), rows["sim_key"].to_numpy().astype(np.int64)
    # the latest months of all, whichever snapshot they are seen from
    newest = rows["month_to"].max()
    assert isinstance(newest, date)
    latest = (rows["month_to"] > newest - timedelta(days=LATEST_MONTHS * MONTH_DAYS)).to_numpy()
    learners, shifts, constant, counts = {}, {}, {}, {}
    for cause in CAUSES:
        label = (rows["cause"] == cause).fill_null(value=False).to_numpy().astype(np.float64)
        sims = rows.filter(pl.col("cause") == cause)["sim_key"].n_unique()
        counts[cause] = int(sims)
        if sims < MIN_CAUSE_ENDS:
            constant[cause] = float(log_odds(np.array((label.sum() + 0.5) / (len(label) + 1))))
            continue
        learner = fit_learner(matrix, label, is_number=columns.is_number, groups=groups, leaves=leaves, seed=seed)
        learners[cause] = learner
        shift = shift_to(label[latest], learner.logit(matrix[latest])) if label[latest].any() else 0.0
        shifts[cause] = float(shift * label[latest].sum() / (label[latest].sum() + PRIOR_ENDS))
    facts = {
        "sims": int(rows["sim_key"].n_unique()),
        "sim_months": rows.height,
        "snapshots": [day.isoformat() for day in rows["snapshot"].unique().sort().to_list()],
        "ends": counts,
        "closing_days": {str(row[0]): int(row[2]) for row in labels.lags.iter_rows()},
        "gap_days": gap_days,
        "leaves": {cause: learner.trees.leaves if learner.trees else 0 for cause, learner in learners.items()},
        "intercept mended by": {cause: round(shift, 3) for cause, shift in shifts.items()},
        "log loss in cross-validation": {cause: learner.tried for cause, learner in learners.items()},
    }
    returns = chance_of_return(histories.usage, as_of=as_of, days=RETURN_DAYS)
    return Hazard(as_of, columns, learners, shifts, constant, returns, seed, facts)


def predict_hazard(
    model: Hazard, histories: Histories, *, as_of: date, outer: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The risk of each SIM in service at each of HORIZONS (RISK_SCHEMA), by SIM and horizon.

    outer  OUTER_SCHEMA: probability of being exhausted, and of having expired, by each horizon, each were there no
           other end; SIMs without rows cannot end so. Probabilities of all causes add up to any_end; risk is that of
           the three learnt ones.
    A SIM that is silent for longer than usual is dead with 1 - P(returns | gap), at every horizon.
    """
    return risks_of(model, *heard_and_silent(histories.checked().until(as_of), as_of), outer=outer)


def risks_of(model: Hazard, heard: pl.DataFrame, silent: pl.DataFrame, *, outer: pl.DataFrame | None) -> pl.DataFrame:
    """As `predict_hazard`, of SIMs as `ml.churn.features.heard_and_silent` finds them."""
    risky = _combined(heard["sim_key"], model.hazards(heard), outer)
    gap = np.clip(silent["days_since_activity"].to_numpy(), 1, len(model.returns)).astype(np.int64)
    dead = np.clip(1 - np.nan_to_num(model.returns[gap - 1], nan=0.5), 0, 1)
    hazards = np.zeros((silent.height, MONTHS, len(CAUSES)))
    hazards[:, 0, 0] = dead
    return pl.concat([risky, _combined(silent["sim_key"], hazards, outer)]).sort("sim_key", "horizon_days")


def _combined(keys: pl.Series, hazards: FloatArray, outer: pl.DataFrame | None) -> pl.DataFrame:
    risks = np.zeros((keys.len(), MONTHS, 2))
    if outer is not None and keys.len():
        grid = pl.DataFrame({"sim_key": keys.cast(pl.Int32)}).join(
            pl.DataFrame({"horizon_days": HORIZONS}, schema={"horizon_days": pl.Int32}), how="cross"
        )
        given = outer.select(pl.col(name).cast(kind) for name, kind in OUTER_SCHEMA.items())
        given = grid.join(given, on=["sim_key", "horizon_days"], how="left", maintain_order="left")
        for at, name in enumerate(("p_exhausted", "p_expired")):
            risks[:, :, at] = by_months(given[name].fill_null(0.0).to_numpy().reshape(keys.len(), len(HORIZONS)))
    incidence = cumulative_incidence(hazards, risks)[:, months_of()]
    flat = incidence.reshape(-1, incidence.shape[2])
    names = [name for name in RISK_SCHEMA if name.startswith("p_")]
    columns = {"sim_key": np.repeat(keys.to_numpy(), len(HORIZONS)), "horizon_days": np.tile(HORIZONS, keys.len())}
    columns |= {name: flat[:, at] for at, name in enumerate(names)}
    columns |= {"risk": flat[:, : len(CAUSES)].sum(axis=1), "any_end": flat.sum(axis=1)}
    return pl.DataFrame(columns).select(pl.col(name).cast(kind) for name, kind in RISK_SCHEMA.items())
