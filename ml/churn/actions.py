"""What to do about a risk: its level, its reasons in words, and the actions that are worth most.

Actions are ranked by risk x value at stake x what can be done about the cause. No uplift is claimed: who is most at
risk is not who is helped most (Ascarza 2018). A hold-out, for which nothing is done, lets it be measured later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.churn.competing import MONTH_DAYS, MONTHS
from ml.churn.ends import CAUSES, DEAD_DEVICE, SWAPPED, SWITCHED_OFF
from ml.churn.hazard import AHEAD, Hazard
from ml.history import FloatArray
from ml.words import churn_fact

HIGH, MEDIUM, LOW = "high", "medium", "low"
ACTIONS: Mapping[str, Mapping[str, str]] = {
    HIGH: {
        DEAD_DEVICE: "call the customer and send a technician or another device",
        SWITCHED_OFF: "call the customer about staying: tariff, pooling or a pause instead of the end",
        SWAPPED: "ask the customer which SIM the device is to keep, and move what is left of the quota",
    },
    MEDIUM: {
        DEAD_DEVICE: "check power, antenna and network from afar, and restart the connection",
        SWITCHED_OFF: "write to the customer and offer a fitting tariff",
        SWAPPED: "check where the device is, and whether two SIMs are paid for one device",
    },
    LOW: dict.fromkeys(CAUSES, "watch"),
}
ACTIONABILITY = {DEAD_DEVICE: 0.5, SWITCHED_OFF: 0.6, SWAPPED: 0.3}
REASONS = 3
CONTRIBUTIONS = 5  # that are kept of a SIM
MIN_REASON = 0.05  # log odds that are worth a word
NO_REASON = "nothing stands out"

# the value of a feature is a number or a text; neither where it is not known
CONTRIBUTION = {"feature": pl.String, "number": pl.Float64, "text": pl.String, "log_odds": pl.Float64}
REASON_SCHEMA = {
    "sim_key": pl.Int32,
    "cause": pl.String,
    "reasons": pl.String,
    "contributions": pl.List(pl.Struct(CONTRIBUTION)),
}
ACTION_SCHEMA = {
    "sim_key": pl.Int32,
    "level": pl.String,
    "cause": pl.String,
    "risk": pl.Float64,
    "value_at_stake": pl.Int64,
    "worth": pl.Float64,
    "action": pl.String,
    "held_out": pl.Boolean,
    "rank": pl.UInt32,
}
VALUE_SCHEMA = {"sim_key": pl.Int32, "value_at_stake": pl.Int64}


@dataclass(frozen=True)
class RiskRules:
    """From which risk on a level holds, what can be done about a cause (0 nothing, 1 all), and the share of SIMs for
    which nothing is done, so that uplift can be measured; 0 switches that off. Raises ValueError for levels that are
    not in order, or numbers that are not within 0 and 1."""

    high: float = 0.7
    medium: float = 0.4
    actionability: Mapping[str, float] = field(default_factory=lambda: dict(ACTIONABILITY))
    hold_out: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.medium <= self.high <= 1:
            raise ValueError(f"risk levels must be 0 <= medium <= high <= 1, not {self.medium} and {self.high}")
        if not all(0 <= share <= 1 for share in (self.hold_out, *self.actionability.values())):
            raise ValueError("shares of the hold-out and of what can be done must be within 0 and 1")


def risk_level(risk: pl.Expr, rules: RiskRules | None = None) -> pl.Expr:
    """high, medium or low."""
    rules = rules or RiskRules()
    return pl.when(risk >= rules.high).then(pl.lit(HIGH)).when(risk >= rules.medium).then(pl.lit(MEDIUM)).otherwise(
        pl.lit(LOW)
    )  # fmt: skip


def retention_actions(
    risks: pl.DataFrame,
    values: pl.DataFrame,
    *,
    horizon_days: int = 90,
    rules: RiskRules | None = None,
    seed: int = 17,
) -> pl.DataFrame:
    """One action a SIM (ACTION_SCHEMA), the one that is worth most first.

    risks   `ml.churn.hazard.RISK_SCHEMA`
    values  VALUE_SCHEMA: what would be lost with a SIM, in the smallest unit of a currency; 0 of a SIM without a row
    worth is risk x value at stake x what can be done, over the causes. held_out: nothing is to be done, drawn by SIM
    and seed, the same each day.
    """
    rules = rules or RiskRules()
    chances = [pl.col(f"p_{cause}") for cause in CAUSES]
    most = pl.concat_list(chances).list.arg_max()
    doable = pl.sum_horizontal(
        chance * rules.actionability.get(cause, 0.0) for chance, cause in zip(chances, CAUSES, strict=True)
    )
    table = {f"{level} {cause}": text for level, by_cause in ACTIONS.items() for cause, text in by_cause.items()}
    found = risks.filter(pl.col("horizon_days") == horizon_days).join(values, on="sim_key", how="left")
    found = found.with_columns(
        pl.col("value_at_stake").fill_null(0),
        level=risk_level(pl.col("risk"), rules),
        cause=most.replace_strict(dict(enumerate(CAUSES)), return_dtype=pl.String),
        held_out=pl.Series(_draws(found["sim_key"].to_numpy(), seed) < rules.hold_out),
    ).with_columns(
        worth=doable * pl.col("value_at_stake"),
        action=pl.format("{} {}", "level", "cause").replace_strict(table, return_dtype=pl.String),
    )
    found = found.sort(["worth", "risk", "sim_key"], descending=[True, True, False]).with_row_index("rank", offset=1)
    return found.select(pl.col(name).cast(kind) for name, kind in ACTION_SCHEMA.items())


def _draws(sim_keys: npt.NDArray[Any], seed: int) -> FloatArray:
    """One number from 0 to 1 a SIM, the same for ever: the finalizer of splitmix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = sim_keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray((mixed ^ (mixed >> np.uint64(31))) / 2.0**64, dtype=np.float64)


def reasons_of(model: Hazard, features: pl.DataFrame, risks: pl.DataFrame, *, horizon_days: int = 90) -> pl.DataFrame:
    """Why each SIM is at risk (REASON_SCHEMA): its likeliest learnt cause, in words what raises its risk most, and the
    CONTRIBUTIONS features that move it most, either way, the largest first, in the horizon's middle month.

    features  as `ml.churn.features.snapshot` makes them; risks  of the same SIMs (RISK_SCHEMA)
    """
    chances = [f"p_{cause}" for cause in CAUSES]
    rows = features.select("sim_key").join(
        risks.filter(pl.col("horizon_days") == horizon_days), on="sim_key", how="left", maintain_order="left"
    )
    likeliest = rows.select(chances).fill_null(0.0).to_numpy().argmax(axis=1) if rows.height else np.empty(0, np.int64)
    names = [column.name for column in model.columns.columns]
    added = np.zeros((features.height, len(names)))
    for at, cause in enumerate(CAUSES):
        which = np.flatnonzero(likeliest == at)
        if which.size and cause in model.learners:
            added[which] = contributions(model, cause, features[which], month=(horizon_days // MONTH_DAYS + 1) // 2)
    found = pl.DataFrame(
        [
            features["sim_key"],
            pl.Series("cause", np.array(CAUSES)[likeliest], dtype=pl.String),
            _said(features, names, added).fill_null(NO_REASON).alias("reasons"),
            _largest(features, names, added),
        ]
    )
    return found.cast(REASON_SCHEMA)  # type: ignore[arg-type]


def _largest(features: pl.DataFrame, names: list[str], added: FloatArray) -> pl.Series:
    """The CONTRIBUTIONS columns of `added` that move each SIM's log odds most, as REASON_SCHEMA has them."""
    best = np.argsort(-np.abs(added), axis=1)[:, :CONTRIBUTIONS]
    rows, places = np.nonzero(np.abs(np.take_along_axis(added, best, axis=1)) >= MIN_REASON)
    which = best[rows, places]
    numbers = np.full(rows.size, np.nan)
    texts = np.full(rows.size, None, dtype=object)
    for at in np.unique(which):
        here = which == at
        if names[at] in features.columns:
            values = features[names[at]].gather(rows[here])
            if values.dtype == pl.String:
                texts[here] = values.to_numpy()
            else:
                numbers[here] = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    flat = pl.DataFrame(
        {
            "row": rows,
            "feature": [names[at] for at in which],
            "number": numbers,
            "text": texts.tolist(),
            "log_odds": added[rows, which],
        },
        schema={"row": pl.Int64, **CONTRIBUTION},
    ).with_columns(pl.col("number").fill_nan(None))
    by_row = flat.group_by("row", maintain_order=True).agg(contributions=pl.struct(list(CONTRIBUTION)))
    every = pl.DataFrame({"row": np.arange(features.height)}, schema={"row": pl.Int64})
    return every.join(by_row, on="row", how="left", maintain_order="left")["contributions"].fill_null([])


def _said(features: pl.DataFrame, names: list[str], added: FloatArray) -> pl.Series:
    """The REASONS columns that raise each SIM's risk most, in words; null where none is worth a word.

    names  the columns of `added`
    added  (sims, columns) what each adds to the log odds
    """
    best = np.argsort(-added, axis=1)[:, :REASONS]
    worth = np.take_along_axis(added, best, axis=1) >= MIN_REASON
    words = np.full(best.shape, None, dtype=object)
    for at in np.unique(best[worth]):
        rows, places = np.nonzero((best == at) & worth)
        values = features[names[at]].gather(rows).to_list() if names[at] in features.columns else [None] * rows.size
        by_value = {value: churn_fact(names[at], value) for value in dict.fromkeys(values)}
        words[rows, places] = [by_value[value] for value in values]
    parts = [pl.Series(str(place), words[:, place].tolist(), dtype=pl.String) for place in range(best.shape[1])]
    joined = pl.concat_str([part.name for part in parts], separator="; ", ignore_nulls=True)
    return pl.DataFrame(parts).select(pl.when(pl.lit(pl.Series(worth.any(axis=1)))).then(joined))[:, 0]


def contributions(model: Hazard, cause: str, features: pl.DataFrame, *, month: int = 1) -> FloatArray:
    """What each column adds to the log odds of a cause in a month ahead, (rows, columns); of `months_ahead` nothing."""
    if not 1 <= month <= MONTHS:
        raise ValueError(f"month {month} is not within 1 and {MONTHS}")
    owner = np.array(model.columns.owner)
    names = [column.name for column in model.columns.columns]
    matrix = model.columns.matrix(features.with_columns(pl.lit(float(month)).alias(AHEAD)))
    added = model.learners[cause].contributions(matrix)[:, :-1]
    found = np.stack([added[:, owner == at].sum(axis=1) for at in range(len(names))], axis=1)
    found[:, [at for at, name in enumerate(names) if name == AHEAD]] = 0
    return found


def importance(model: Hazard, features: pl.DataFrame) -> pl.DataFrame:
    """cause, feature, weight: how far each column moves the log odds of a cause, on the mean of these SIMs."""
    names = [column.name for column in model.columns.columns]
    rows = [
        (cause, name, float(weight))
        for cause in model.learners
        for name, weight in zip(names, np.abs(contributions(model, cause, features)).mean(axis=0), strict=True)
        if name != AHEAD
    ]
    return pl.DataFrame(rows, schema={"cause": pl.String, "feature": pl.String, "weight": pl.Float64}, orient="row")
