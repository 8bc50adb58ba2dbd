"""Why a SIM-day is anomalous, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from ml.anomaly.places import KNOWN_TYPE, TWO_SIMS, UNKNOWN_TYPE
from ml.anomaly.schemas import ANOMALY_SCHEMA
from ml.anomaly.signals import Signals
from ml.history import BYTES_PER_MB


def in_words() -> pl.Expr:
    on = pl.col("day").dt.strftime("%-d %B")
    since = pl.col("first_day").dt.strftime("%-d %B")
    weekday = pl.col("day").dt.strftime("%A")
    times = pl.when(pl.col("usual") > 0).then(pl.format("{} times", _number(pl.col("bytes") / pl.col("usual"))))
    shifted = pl.col("peers").abs() >= 0.2
    peers = (
        pl.when(~shifted)
        .then(pl.lit("; peers unchanged"))
        .otherwise(pl.format("; its device type is at {} times its usual", _number(pl.col("peers").exp())))
    )
    use = pl.format(
        "{} on {}, {} its usual {} of a {}",
        _volume("bytes"),
        on,
        times.fill_null("far from"),
        _volume("usual"),
        weekday,
    )
    level = pl.format(
        "{} on {}, about {} times what days like it had before", _volume("bytes"), on, _number(pl.col("shifted"))
    )
    lasts = pl.when(pl.col("lasting") > 0).then(pl.format(", since {}", since)).otherwise(pl.lit(""))
    silence = pl.col("kind") == "silence"
    return (
        pl.when(silence & (pl.col("channel") == "rarer"))
        .then(pl.format(
            "It reports ever more rarely: on {} of the last 42 days that it was due on, where {} were usual.",
            whole("reports"),
            pl.col("reports_due").round(1),
        ))
        .when(silence & (pl.col("channel") == "turns"))
        .then(pl.format("It reports on every second day only: on {} it was silent again.", on))
        .when(silence & (pl.col("silent") == 0))
        .then(pl.format("It sent less, as many SIMs of its operator did: {}.", use))
        .when(pl.col("kind") == "spike")
        .then(pl.format("{}{}{}.", use, lasts, peers))
        .when(pl.col("kind") == "runaway")
        .then(pl.format("It keeps rising: {}{}{}.", level, lasts, peers))
        .when(pl.col("kind") == "drift")
        .then(pl.format("A lasting new level: {}{}{}.", level, lasts, peers))
        .when(silence)
        .then(pl.format("Nothing for {} days, since {}; its longest usual gap is {} days.", "silent", since, "gap"))
        .when(pl.col("kind") == "dead")
        .then(pl.format(
            "Nothing for {} days, since {}, where {} days are its longest usual gap: it seems dead.",
            *("silent", since, "gap"),
        ))
        .when(pl.col("kind") == "sms_flood")
        .then(pl.format("{} SMS on {}; usual are {} a day.", whole("sms"), on, pl.col("usual_sms").round(2)))
        .when((pl.col("kind") == "flapping") & (pl.col("sessions") == 0))
        .then(pl.format(
            "No report on {}; many of its device type have more data sessions than usual, as it had with its last.", on
        ))
        .when(pl.col("kind") == "flapping")
        .then(pl.format(
            "{} data sessions on {}; usual are {}.", whole("sessions"), on, pl.col("usual_sessions").round(1)
        ))
        .when(pl.col("kind") == "unusual_hours")
        .then(_hours(on, lasts))
        .when(pl.col("kind") == "imei_change")
        .then(pl.format("It is in another device since {}: {}.", on, _device()))
        .when(pl.col("kind") == "unexpected_country")
        .then(pl.format("On {} it was in a country where neither it nor its device type had been.", on))
        .when(pl.col("kind") == "unexpected_operator")
        .then(pl.format(
            "On {} it was on an operator's network where it had not been, and its device type seldom moves.", on
        ))
        .otherwise(pl.format("An unusual mix on {}: {}{}.", on, use, peers))
    )  # fmt: skip


def _hours(on: pl.Expr, lasts: pl.Expr) -> pl.Expr:
    clock = [pl.col(name).cast(pl.String).str.zfill(2) for name in ("from_hour", "to_hour")]
    often = (
        pl.when(pl.col("days_at_hours") == 0)
        .then(pl.lit("none"))
        .otherwise(pl.format("at most {}", whole("days_at_hours")))
    )
    at_hours = pl.format(
        "Active at unusual hours on {}{}: {} of {}, from {}:00 to {}:00 UTC, "
        "where it was active on {} of {} days before.",
        on,
        lasts,
        bits("unusual_hours"),
        whole("active_hours"),
        *clock,
        often,
        whole("hour_days"),
    )
    weekday = pl.col("day").dt.strftime("%A")
    on_weekday = pl.format("Active on {}, {}{}, as on hardly any of the eight {}s before.", weekday, on, lasts, weekday)
    return pl.when(bits("unusual_hours") > 0).then(at_hours).otherwise(on_weekday)


def whole(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int64)


def bits(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int32).bitwise_count_ones()


def _device() -> pl.Expr:
    return (
        pl.when(pl.col("device") >= TWO_SIMS)
        .then(pl.lit("one that another SIM was in within four weeks"))
        .when(pl.col("device") >= UNKNOWN_TYPE)
        .then(pl.lit("its type is hardly to be found in the fleet"))
        .when(pl.col("device") >= KNOWN_TYPE)
        .then(pl.lit("of another type, which the fleet has"))
        .otherwise(pl.lit("of the same type"))
    )


def _number(value: pl.Expr) -> pl.Expr:
    return (
        pl.when(value >= 10)
        .then(value.round(0).cast(pl.Int64).cast(pl.String))
        .otherwise(value.round(1).cast(pl.String))
    )


def _volume(name: str) -> pl.Expr:
    megabytes = pl.col(name).fill_null(0) / BYTES_PER_MB
    small = pl.format("{} kB", (megabytes * 1000).round(1))
    large = pl.format("{} MB", pl.when(megabytes >= 100).then(megabytes.round(0)).otherwise(megabytes.round(1)))
    return pl.when(megabytes < 1).then(small).otherwise(large)


WORDS = {
    "ordered": "it is ordered and not in the SIM list yet",
    "issued": "it was never activated",
    "activated": "it was never used",
    "exhausted": "its data volume is used up",
    "expired": "it has expired",
    "disabled": "it is disabled",
    "suspended": "it is suspended",
    "deactivated": "it has been off for long",
    "not_asked": "1NCE was not asked for its usage yet",
    "resting": "most SIMs of its label are silent, too",
    "still": "most SIMs of its device type and operator are silent, too, and others of its operator are not",
    "outage": "hardly any SIM was heard of: an outage of ours",
    "seasonal": "it rested in the same weeks a year before",
    "seasonal_peers": "it rests with the season, as most of its peers do",
}


def explained_silences(frame: pl.DataFrame, found: Signals, periods: pl.DataFrame | None, shown: int) -> pl.DataFrame:
    """Silent days that are no anomaly, with the reason in words."""
    reason = pl.DataFrame(
        {
            "sim_key": np.repeat(found.sim_keys.astype(np.int32), shown),
            "outage": np.tile(found.outage[-shown:], len(found.sim_keys)),
            "resting": found.resting[:, -shown:].ravel(),
            "still": found.still[:, -shown:].ravel(),
        }
    )
    frame = frame.with_columns(reason["outage", "resting", "still"])
    why: Any = pl.when("outage").then(pl.lit("outage")).when("resting").then(pl.lit("resting"))
    why = why.when("still").then(pl.lit("still"))
    if periods is not None and periods.height:
        held = frame.select("sim_key", "day").join(
            periods.with_columns(pl.col("last_day").fill_null(found.as_of)), on="sim_key", how="inner"
        )
        held = held.filter(pl.col("day").is_between("first_day", "last_day")).unique(
            ["sim_key", "day"], keep="first", maintain_order=True
        )
        frame = frame.join(
            held.select("sim_key", "day", "state"), on=["sim_key", "day"], how="left", maintain_order="left"
        )
        why = why.when(pl.col("state").is_not_null()).then("state")
    words = why.replace_strict(WORDS, default=why, return_dtype=pl.String)
    explained = pl.format("Nothing on {}: {}.", pl.col("day").dt.strftime("%-d %B"), words)
    reasons = (
        pl.when("is_anomaly")
        .then("reasons")
        .when(words.is_not_null())
        .then(explained)
        .when("already_reported")
        .then(pl.lit("It goes on as it was flagged before."))
    )
    return frame.with_columns(reasons=reasons).select(pl.col(name).cast(kind) for name, kind in ANOMALY_SCHEMA.items())
