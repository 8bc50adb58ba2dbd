"""Which SIMs deserve a person's attention, and how loud: set-based rules over one row a SIM."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from ml.silence import SilenceRules, silent_after, silent_since
from ml.words import megabytes, percent

FACTS_SCHEMA = {
    "sim_key": pl.Int32,
    "as_of": pl.Date,
    "p_14": pl.Float64,
    "p50_date": pl.Date,
    "quota_total": pl.Int64,
    "quota_left": pl.Int64,
    "first_day": pl.Date,
    "last_active_day": pl.Date,
    "active_gap_p99_days": pl.Float64,
}
ALERT_SCHEMA = {
    "sim_key": pl.Int32,
    "kind": pl.String,
    "severity": pl.String,
    "value": pl.Float64,
    "threshold": pl.Float64,
    "message": pl.String,
}


@dataclass(frozen=True)
class AlertRules:
    """Thresholds. The kind "exhaustion" has three severities, the others two.

    exhaustion_info, _warning, _critical  probability that the SIM ends within 14 days
    quota_warning, quota_critical         share of the volume used
    silence                               when a SIM is silent; critical after twice that
    """

    exhaustion_info: float = 0.2
    exhaustion_warning: float = 0.5
    exhaustion_critical: float = 0.9
    quota_warning: float = 0.8
    quota_critical: float = 1.0
    silence: SilenceRules = field(default_factory=SilenceRules)


def alert_candidates(facts: pl.DataFrame, rules: AlertRules | None = None) -> pl.DataFrame:
    """The alerts that the facts of a day call for, one row a SIM and kind (ALERT_SCHEMA), ordered by SIM and kind.

    facts  one row a SIM (FACTS_SCHEMA); any but sim_key and as_of may be null, and a rule without its facts says
           nothing. active_gap_p99_days is `silence`'s usual_gap_days. More columns are welcome and ignored.
    Kinds: "exhaustion" (value: probability that volume or expiry ends the SIM within 14 days), "quota_80" (value: share
    of the volume used), "silent" (value: days). `threshold` is the level that was crossed, in the unit of the value.
    Raises ValueError when a column is missing or a SIM comes twice.
    """
    rules = rules or AlertRules()
    missing = [name for name in FACTS_SCHEMA if name not in facts.columns]
    if missing:
        raise ValueError(f"alert facts lack the column(s) {', '.join(missing)}; they need {', '.join(FACTS_SCHEMA)}")
    twice = facts.filter(pl.col("sim_key").is_duplicated())
    if twice.height:
        raise ValueError(f"alert facts hold SIM {twice['sim_key'][0]} twice; give one row a SIM")
    facts = facts.select(pl.col(name).cast(kind) for name, kind in FACTS_SCHEMA.items())
    found = pl.concat([_exhaustion(facts, rules), _quota(facts, rules), _silent(facts, rules)])
    return found.sort("sim_key", "kind")


def _exhaustion(facts: pl.DataFrame, rules: AlertRules) -> pl.DataFrame:
    levels = {
        "critical": pl.lit(rules.exhaustion_critical),
        "warning": pl.lit(rules.exhaustion_warning),
        "info": pl.lit(rules.exhaustion_info),
    }
    when = pl.when(pl.col("p50_date").is_not_null()).then(
        pl.format("; most likely by {}", pl.col("p50_date").dt.to_string("%Y-%m-%d"))
    )
    message = pl.format(
        "Volume or validity ends within 14 days with a probability of {}{}.",
        _percent(pl.col("value")),
        when.otherwise(pl.lit("")),
    )
    return _crossed(facts.with_columns(value=pl.col("p_14")), "exhaustion", levels, message)


def _quota(facts: pl.DataFrame, rules: AlertRules) -> pl.DataFrame:
    levels = {"critical": pl.lit(rules.quota_critical), "warning": pl.lit(rules.quota_warning)}
    used_up = pl.format("The volume is used up: nothing is left of {} MB.", _megabytes("quota_total"))
    part = pl.format(
        "{} of the volume is used: {} MB of {} MB are left.",
        _percent(pl.col("value")),
        _megabytes("quota_left"),
        _megabytes("quota_total"),
    )
    message = pl.when(pl.col("quota_left") <= 0).then(used_up).otherwise(part)
    share = pl.when(pl.col("quota_total") > 0).then(1 - pl.col("quota_left") / pl.col("quota_total"))
    return _crossed(facts.with_columns(value=share), "quota_80", levels, message)


def _silent(facts: pl.DataFrame, rules: AlertRules) -> pl.DataFrame:
    after = silent_after(rules.silence, "active_gap_p99_days")
    # Thresholds here are "more than"; the smallest whole day above it is the one that is crossed.
    levels = {"critical": (2 * after).floor() + 1, "warning": after.floor() + 1}
    message = pl.format(
        "No usage for {} days, since {}; its longest usual gap is {} days.",
        pl.col("value").cast(pl.Int64),
        silent_since(pl.col("last_active_day")).dt.to_string("%Y-%m-%d"),
        pl.col("active_gap_p99_days").ceil().cast(pl.Int64),
    ).str.replace_all(r"\b1 days\b", "1 day")
    days = (pl.col("as_of") - pl.col("last_active_day")).dt.total_days()
    return _crossed(facts.with_columns(value=days.cast(pl.Float64)), "silent", levels, message)


def _crossed(facts: pl.DataFrame, kind: str, levels: dict[str, pl.Expr], message: pl.Expr) -> pl.DataFrame:
    """The rows whose `value` reaches a level, with the first (loudest) level that it reaches."""
    severity, threshold = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.Float64)
    for name, level in reversed(levels.items()):
        reached = pl.col("value") >= level
        severity = pl.when(reached).then(pl.lit(name)).otherwise(severity)
        threshold = pl.when(reached).then(level).otherwise(threshold)
    rows = facts.with_columns(kind=pl.lit(kind), severity=severity, threshold=threshold, message=message)
    rows = rows.filter(pl.col("severity").is_not_null())
    return rows.select(pl.col(name).cast(dtype) for name, dtype in ALERT_SCHEMA.items())


def _percent(share: pl.Expr) -> pl.Expr:
    return share.map_elements(percent, return_dtype=pl.String)


def _megabytes(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64).map_elements(megabytes, return_dtype=pl.String)
