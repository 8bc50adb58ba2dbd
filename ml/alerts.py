"""Which SIMs deserve a person's attention, and how loud: set-based rules over one row a SIM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from ml.history import BYTES_PER_MB, check_history

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
SILENCE_SCHEMA = {
    "sim_key": pl.Int32,
    "first_day": pl.Date,
    "last_active_day": pl.Date,
    "active_days": pl.UInt32,
    "days_silent": pl.Int32,
    "usual_gap_days": pl.Float64,
    "is_silent": pl.Boolean,
}


@dataclass(frozen=True)
class AlertRules:
    """Thresholds. The kind "exhaustion" has three severities, the others two.

    exhaustion_info, _warning, _critical  probability that the SIM ends within 14 days
    quota_warning, quota_critical         share of the volume used
    silent_days, silent_factor            silent after more days than the larger of silent_days and silent_factor times
                                          the SIM's usual gap; critical after twice that
    silent_active_days                    active days needed before a usual gap is believed
    """

    exhaustion_info: float = 0.2
    exhaustion_warning: float = 0.5
    exhaustion_critical: float = 0.9
    quota_warning: float = 0.8
    quota_critical: float = 1.0
    silent_days: int = 3
    silent_factor: float = 2.0
    silent_active_days: int = 14


def silence(history: pl.DataFrame, *, as_of: date, rules: AlertRules | None = None) -> pl.DataFrame:
    """How long each SIM has been silent, and whether that is far outside its own habits (SILENCE_SCHEMA).

    An active day has bytes above zero; `days_silent` counts from the last one to `as_of` (0: active on `as_of`).
    `usual_gap_days` is the 99 % quantile (the next gap up) of the days between neighbouring active days: 1 for a daily
    reporter, 3 for a machine resting at weekends. It is null with fewer than `rules.silent_active_days` active days, and then
    nothing is called silent; nor is a SIM that was never active. Raises ValueError for a broken history.
    """
    rules = rules or AlertRules()
    check_history(history, as_of=as_of)
    days = history.sort("sim_key", "day").with_columns(active=pl.col("bytes") > 0)
    active = days.filter("active").with_columns(gap=pl.col("day").diff().over("sim_key").dt.total_days())
    by_sim = active.group_by("sim_key").agg(
        last_active_day=pl.col("day").max(),
        active_days=pl.len(),
        usual_gap_days=pl.col("gap").quantile(0.99, interpolation="higher"),
    )
    silent = (
        days.group_by("sim_key")
        .agg(first_day=pl.col("day").min())
        .join(by_sim, on="sim_key", how="left")
        .with_columns(
            pl.col("active_days").fill_null(0),
            days_silent=(pl.lit(as_of) - pl.col("last_active_day")).dt.total_days(),
            usual_gap_days=pl.when(pl.col("active_days") >= rules.silent_active_days).then("usual_gap_days"),
        )
        .with_columns(is_silent=(pl.col("days_silent") > silent_after(rules, "usual_gap_days")).fill_null(value=False))
    )
    return silent.select(pl.col(name).cast(kind) for name, kind in SILENCE_SCHEMA.items()).sort("sim_key")


def alert_candidates(facts: pl.DataFrame, rules: AlertRules | None = None) -> pl.DataFrame:
    """The alerts that the facts of a day call for, one row a SIM and kind (ALERT_SCHEMA), ordered by SIM and kind.

    facts  one row a SIM (FACTS_SCHEMA); any but sim_key and as_of may be null, and a rule without its facts says nothing.
           active_gap_p99_days is `silence`'s usual_gap_days. More columns are welcome and ignored.
    Kinds: "exhaustion" (value: probability that volume or expiry ends the SIM within 14 days), "quota_80" (value: share of
    the volume used), "silent" (value: days). `threshold` is the level that was crossed, in the unit of the value.
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
        "Volume or validity ends within 14 days with a probability of {} %{}.",
        _percent(pl.col("value")),
        when.otherwise(pl.lit("")),
    )
    return _crossed(facts.with_columns(value=pl.col("p_14")), "exhaustion", levels, message)


def _quota(facts: pl.DataFrame, rules: AlertRules) -> pl.DataFrame:
    levels = {"critical": pl.lit(rules.quota_critical), "warning": pl.lit(rules.quota_warning)}
    used_up = pl.format("The volume is used up: nothing is left of {} MB.", _megabytes("quota_total"))
    part = pl.format(
        "{} % of the volume is used: {} MB of {} MB are left.",
        _percent(pl.col("value")),
        _megabytes("quota_left"),
        _megabytes("quota_total"),
    )
    message = pl.when(pl.col("quota_left") <= 0).then(used_up).otherwise(part)
    share = pl.when(pl.col("quota_total") > 0).then(1 - pl.col("quota_left") / pl.col("quota_total"))
    return _crossed(facts.with_columns(value=share), "quota_80", levels, message)


def _silent(facts: pl.DataFrame, rules: AlertRules) -> pl.DataFrame:
    after = silent_after(rules, "active_gap_p99_days")
    # Thresholds here are "more than"; the smallest whole day above it is the one that is crossed.
    levels = {"critical": (2 * after).floor() + 1, "warning": after.floor() + 1}
    message = pl.format(
        "No usage for {} days, since {}; its longest usual gap is {} d.",
        pl.col("value").cast(pl.Int64),
        pl.col("last_active_day").dt.to_string("%Y-%m-%d"),
        pl.col("active_gap_p99_days").ceil().cast(pl.Int64),
    )
    days = (pl.col("as_of") - pl.col("last_active_day")).dt.total_days()
    return _crossed(facts.with_columns(value=days.cast(pl.Float64)), "silent", levels, message)


def silent_after(rules: AlertRules, gap: str) -> pl.Expr:
    """The longest silence, in days, that is still usual; null when the usual gap (the column of that name) is."""
    return pl.max_horizontal(pl.lit(float(rules.silent_days)), rules.silent_factor * pl.col(gap)) + 0 * pl.col(gap)


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
    return (share * 100).floor().cast(pl.Int64)


def _megabytes(column: str) -> pl.Expr:
    return (pl.col(column) / BYTES_PER_MB).round(1)
