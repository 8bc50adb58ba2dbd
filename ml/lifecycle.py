"""What state each SIM is in: one state machine over the whole fleet, from facts as of a day, with the evidence in words.

The first state below whose condition holds is the SIM's state. 1NCE itself knows only Enabled and Disabled; the rest follows
from dates, usage and quota.

| state | holds when |
| --- | --- |
| expired | the validity is over, or 1NCE no longer answers for the SIM because it has expired |
| deactivated | Disabled for DEACTIVATED_DAYS or longer: taken for final (our inference) |
| suspended | Disabled, or no data volume is left |
| issued | listed, with no activation yet |
| activated | activated, with no usage yet |
| silent | without usage for far longer than its habit (ml.alerts.silence) |
| active | none of these |

A SIM that only stands in an order, not in the SIM list, is "ordered"; it has no facts yet and is no row here.
Where usage has not been asked up to the day, nobody is called silent and nobody is heard of again: a gap of ours is not the SIM's.
"""

from __future__ import annotations

from datetime import date

import polars as pl

STATES = ("ordered", "issued", "activated", "active", "silent", "suspended", "expired", "deactivated")
MACHINE = "state machine 1"  # named beside every decision; a change of the rules is another number
DEACTIVATED_DAYS = 90
_BEGUN = ("activated", "active", "silent", "suspended", "expired", "deactivated")
# from which state a SIM may come into which; a SIM cannot become new again
TRANSITIONS = {
    "issued": ("ordered",),
    "activated": ("ordered", "issued", "suspended", "expired", "deactivated"),
    **dict.fromkeys(("active", "silent", "suspended", "expired", "deactivated"), ("ordered", "issued", *_BEGUN)),
}

FACTS_SCHEMA = {
    "sim_key": pl.Int32,
    "status": pl.String,
    "activated_on": pl.Date,
    "expires_on": pl.Date,
    "refused": pl.Boolean,
    "quota_left": pl.Int64,
    "disabled_on": pl.Date,
    "covered_to": pl.Date,
    "first_day": pl.Date,
    "last_active_day": pl.Date,
    "days_silent": pl.Int32,
    "usual_gap_days": pl.Float64,
    "is_silent": pl.Boolean,
    "was": pl.String,
    "was_since": pl.Date,
}
"""One row a SIM.

status, activated_on, expires_on   by the SIM list and the quota; null: unknown
refused                            1NCE answers that it has expired
quota_left                         bytes left at the end of the day; null: unknown
disabled_on                        since when it is Disabled, as far as is known
covered_to                         last usage day that was asked successfully
first_day ... is_silent            as in ml.alerts.SILENCE_SCHEMA; null without any usage
was, was_since                     its state by the evaluation before, and since when; null: first time
"""

STATE_SCHEMA = {
    "sim_key": pl.Int32,
    "state": pl.String,
    "since": pl.Date,
    "evidence": pl.String,
    "held": pl.Boolean,
}
"""held: the facts call for a state that the SIM cannot come into from the one it had, which therefore stays."""


def lifecycle(facts: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """The state of every SIM as of a day (STATE_SCHEMA), in the order of the facts (FACTS_SCHEMA).

    Raises ValueError when a column is missing or a SIM comes twice.
    """
    missing = [name for name in FACTS_SCHEMA if name not in facts.columns]
    if missing:
        raise ValueError(
            f"lifecycle facts lack the column(s) {', '.join(missing)}; they need {', '.join(FACTS_SCHEMA)}"
        )
    if facts["sim_key"].is_duplicated().any():
        raise ValueError("lifecycle facts hold a SIM twice: give one row a SIM")
    day = pl.lit(as_of)
    disabled = (pl.col("status") == "Disabled").fill_null(value=False)
    disabled_on = pl.min_horizontal(pl.coalesce("disabled_on", day), day)
    over = (pl.col("expires_on") <= day).fill_null(value=False)
    empty = (pl.col("quota_left") <= 0).fill_null(value=False)
    used = pl.col("last_active_day").is_not_null()
    known = (pl.col("covered_to") >= day).fill_null(value=False)
    kept = ~known & pl.col("was").is_in(["active", "silent"]).fill_null(value=False)
    quiet_since = pl.col("last_active_day") + pl.duration(days=1)
    # a SIM of which usage was seen has been activated, whatever the list says
    issued = (pl.col("activated_on").is_null() | (pl.col("activated_on") > day)) & ~used

    found = facts.with_columns(
        pl.when(over | pl.col("refused"))
        .then(_found("expired", pl.when(over).then("expires_on").otherwise(day), _expired(over)))
        .when(disabled & (disabled_on <= day - pl.duration(days=DEACTIVATED_DAYS)))
        .then(
            _found(
                "deactivated",
                disabled_on + pl.duration(days=DEACTIVATED_DAYS),
                pl.format(
                    "Disabled since {}, {} days or longer: taken for final", disabled_on, pl.lit(DEACTIVATED_DAYS)
                ),
            )
        )
        .when(disabled)
        .then(_found("suspended", disabled_on, pl.format("Disabled since {} or earlier", disabled_on)))
        .when(empty)
        .then(_found("suspended", day, pl.format("no data volume left ({} MB)", pl.col("quota_left") / 1e6)))
        .when(issued)
        .then(_found("issued", day, pl.lit("in the SIM list without an activation date")))
        .when(~used)
        .then(
            _found(
                "activated", pl.col("activated_on"), pl.format("activated on {}, no usage yet", pl.col("activated_on"))
            )
        )
        .when(kept)
        .then(_found(pl.col("was"), pl.col("was_since"), pl.format("usage of {} has not been asked yet", day)))
        .when(known & pl.col("is_silent").fill_null(value=False))
        .then(
            _found(
                "silent",
                quiet_since,
                pl.format(
                    "no usage for {} days since {}, where its gaps are of {} days",
                    "days_silent",
                    "last_active_day",
                    pl.col("usual_gap_days").cast(pl.Int64),
                ),
            )
        )
        .otherwise(
            _found(
                "active",
                pl.when(pl.col("was").is_null()).then("first_day").otherwise("last_active_day"),
                pl.format("last usage on {}", "last_active_day"),
            )
        )
        .alias("found")
    ).unnest("found")
    allowed = pl.col("was").is_null() | (pl.col("was") == pl.col("state"))
    for state, before in TRANSITIONS.items():
        allowed |= (pl.col("state") == state) & pl.col("was").is_in(before)
    same = (pl.col("was") == pl.col("state")).fill_null(value=False)
    return found.select(
        "sim_key",
        state=pl.when(allowed).then("state").otherwise("was"),
        since=pl.min_horizontal(
            pl.when(same | ~allowed).then(pl.coalesce("was_since", "since")).otherwise("since"), day
        ),
        evidence="evidence",
        held=~allowed,
    ).select(pl.col(name).cast(kind) for name, kind in STATE_SCHEMA.items())


def _found(state: str | pl.Expr, since: pl.Expr, evidence: pl.Expr) -> pl.Expr:
    named = pl.lit(state) if isinstance(state, str) else state
    return pl.struct(state=named, since=since.cast(pl.Date), evidence=evidence)


def _expired(over: pl.Expr) -> pl.Expr:
    return (
        pl.when(over)
        .then(pl.format("valid until {}", "expires_on"))
        .otherwise(pl.lit("1NCE answers that it has expired"))
    )
