"""Which SIMs are anomalous on which days, what kind of anomaly it is, how bad, and why, in a sentence with numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, get_args

import numpy as np
import polars as pl

from ml.anomaly.control import corrected
from ml.anomaly.explanations import bits, explained_silences, in_words
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.hours import spans
from ml.anomaly.model import AnomalyModel, classes_of, isolation
from ml.anomaly.places import Bools, Floats
from ml.anomaly.schemas import ANOMALY_SCHEMA
from ml.anomaly.signals import CHANNELS, LOG_OFFSET_BYTES, Signals, signals
from ml.anomaly.tails import anomaly_scores
from ml.enums import AnomalyKind
from ml.history import BYTES_PER_MB

KINDS: tuple[str, ...] = get_args(AnomalyKind)
# the kind that a channel alone stands for; what rises and what is silent may be of another
KIND_OF = {
    **dict.fromkeys(("high", "busy"), "spike"),
    **dict.fromkeys(("growth", "fall"), "drift"),
    **dict.fromkeys(("silence", "missed", "rarer", "turns"), "silence"),
    "messages": "sms_flood",
    "sessions": "flapping",
    "hours": "unusual_hours",
    "device": "imei_change",
    "country": "unexpected_country",
    "operator": "unexpected_operator",
    "pattern": "new_pattern",
}
PERSISTENCE = 14  # days that are looked back for its beginning
# states that may last: a SIM is flagged on the first day of one, and counts as reported until it is WORSE than it was,
# or has been out of it for PERSISTENCE days
LASTING = {
    "silence": ("silence", "missed"),
    "dead": ("silence", "missed"),
    "rarer": ("rarer", "turns"),
    "more": ("growth",),
    "less": ("fall",),
}
ADD_UP = ("rarer", "more", "less")
WORSE, WORST = 1.5, 6.0  # decades: thirty times rarer is news, but beyond one in a million nothing is
TOLD_AGAIN = 5  # days: a silence that has lasted for so long is told once more
# permanently inactive (kind "dead"): silent for that many days, and that many times the usual gap
INACTIVE_DAYS, INACTIVE_GAPS = 14, 4
LONG_SILENCE = 3  # days: a shorter one may be one of ever rarer reports
LEAST_SPIKE = 0.9  # log units: less than two and a half times the usual is no spike
FLAPPING_DECADES = 2.0  # decades: a SIM with so unusually many sessions flaps, whatever its hours
FEEDBACK_PENALTY = 1.0  # decades that an acknowledged false alarm adds to what is needed, at most MAX_FEEDBACK_PENALTY
MAX_FEEDBACK_PENALTY = 3.0
PRICE_PER_MB = 0.02  # euros: a top-up of 500 MB costs 10


@dataclass(frozen=True, eq=False)
class Detection:
    """What was found.

    frame    one row a SIM and day (ANOMALY_SCHEMA), by SIM and day; kind, severity and reasons where it is an anomaly,
             reasons also where a silence is explained
    signals  what it rests on
    suppressed  SIM-days that acknowledged false alarms kept from being anomalies
    """

    frame: pl.DataFrame
    signals: Signals
    suppressed: int


def detect(
    model: AnomalyModel,
    history: pl.DataFrame,
    events: pl.DataFrame | None,
    as_of: date,
    *,
    days: int = 1,
    false_alarms_per_1000: float = 1.0,
    peers: pl.DataFrame | None = None,
    periods: pl.DataFrame | None = None,
    forecast: pl.DataFrame | None = None,
    feedback: pl.DataFrame | None = None,
    labels: pl.DataFrame | None = None,
    fleet: FleetStatistics | None = None,
) -> Detection:
    """Look for anomalies on the last `days` days up to `as_of`, over the whole fleet at once, or over a block of its
    SIMs.

    history, events, peers, periods, fleet  as of `signals`
    false_alarms_per_1000  the only threshold: at most so many SIM-days of 1,000 of a clean fleet are called anomalies
    forecast  sim_key, day, q0.5, q0.975 in bytes, made before the day: high use is then held against it too
    feedback  acknowledged false alarms (FEEDBACK_SCHEMA, one row each; null: any), labels: sim_key, label. Each that
              fits a SIM and kind lets it be called an anomaly only when it is ten times rarer still
    Raises ValueError for a threshold that is not above 0, or a history without its columns.
    """
    if not 0 < false_alarms_per_1000 <= 1000:
        raise ValueError(f"false_alarms_per_1000 is {false_alarms_per_1000}; give a number above 0, such as 1")
    found = signals(history, events, as_of, days=days + PERSISTENCE, peers=peers, periods=periods, fleet=fleet)
    shown = min(days, found.days)
    if not len(found.sim_keys):
        return Detection(pl.DataFrame(schema=ANOMALY_SCHEMA), found, 0)
    if forecast is not None:
        _against(found, forecast)
    fits = ~np.isnan(found.bytes) & ~found.explained
    scores = _channel_scores(model, found, shown)
    needed = -np.log10(false_alarms_per_1000 / 1000)
    for name in ("high", "busy"):
        scores[name][found.extra["above"] < least_spike(needed)] = 0
    reported = _already_reported(model, found, scores, fits, needed)
    for name, decades in found.shared.items():  # what the group has lasts as long as it does
        scores[name] = np.maximum(scores[name], decades)
    combined = np.maximum.reduce(list(scores.values()))
    score = np.where(fits | _placed(found), model.score(combined), 0)
    channel = np.argmax(np.stack([scores[name] for name in CHANNELS]), axis=0)
    # who connects again and again does so at all hours
    channel[(channel == CHANNELS.index("hours")) & (scores["sessions"] >= FLAPPING_DECADES)] = CHANNELS.index(
        "sessions"
    )
    # who has been silent for longer than ever is told to be so, however rare its reports were before
    long = (found.silent >= LONG_SILENCE) & (found.silent > found.gap) & (channel == CHANNELS.index("rarer"))
    channel[long] = CHANNELS.index("silence")
    penalty = _feedback_penalties(found, channel, feedback, labels)
    flagged = score - penalty >= needed
    suppressed = int(((score >= needed) & ~flagged)[:, -shown:].sum())
    frame = _frame(found, score, flagged, channel, reported, shown)
    return Detection(explained_silences(_described(frame, needed), found, periods, shown), found, suppressed)


def least_spike(needed: float) -> float:
    """How far, in log units, a day lies above the usual at least to be a spike: LEAST_SPIKE where one false alarm in
    1,000 is allowed, less where more are, and nothing where ten are."""
    return LEAST_SPIKE * min(max(needed - 2, 0.0), 1.0)


def _channel_scores(model: AnomalyModel, found: Signals, shown: int) -> dict[str, Floats]:
    """How anomalous each channel is, as scores by name; the Isolation Forest looks at the last `shown` days only."""
    classes, channels = classes_of(found), found.channels
    scores = {
        name: anomaly_scores(name, model.tails[name], channels[name], classes[name], found.types)
        for name in CHANNELS[:-1]
    }
    scores["pattern"] = np.zeros_like(scores["high"])
    forest = model.grown()
    if forest is not None:
        rows = np.nonzero(np.pad(np.ones((len(found.sim_keys), shown), bool), ((0, 0), (found.days - shown, 0))))
        pattern = np.zeros_like(scores["high"])
        pattern[rows] = isolation(forest, found, rows)
        scores["pattern"] = anomaly_scores("pattern", model.tails["pattern"], pattern, classes["pattern"], found.types)
        scores["pattern"][:, : found.days - shown] = 0
        scores["pattern"][found.updates] = 0
    scores = {name: corrected(values, model.corrections.get(name, {}), found.types) for name, values in scores.items()}
    return scores


def _already_reported(
    model: AnomalyModel, found: Signals, scores: dict[str, Floats], fits: Bools, needed: float
) -> Bools:
    """Where a lasting state was already reported for long enough: its scores become 0, so that a day shows what is
    new."""
    reported, inactive = np.zeros_like(fits), _permanently_inactive(found)
    alone = {
        names: fits & (model.score(np.maximum.reduce([scores[name] for name in names])) >= needed)
        for names in LASTING.values()
    }
    for state, names in LASTING.items():
        flagged = alone[names] & {"silence": ~inactive, "dead": inactive}.get(state, fits)
        decades = np.maximum.reduce([scores[name] for name in names])
        # the evidence of a level adds up day by day, without its being worse
        value = np.where(flagged, 1 if state in ADD_UP else np.minimum(decades, WORST), 0)
        long = flagged & _goes_on(value) & (found.silent != TOLD_AGAIN)
        for name in names:
            scores[name][long] = 0
        reported |= long
    scores["pattern"][reported] = 0  # of which it may be a part
    return reported


def _goes_on(value: Floats) -> Bools:
    """Where a state, of which value is above 0 while it lasts, is not WORSE than in the PERSISTENCE days before."""
    found = np.zeros(value.shape, dtype=bool)
    for day in range(1, value.shape[1]):
        before = value[:, max(day - PERSISTENCE, 0) : day].max(axis=1)
        found[:, day] = (before > 0) & (value[:, day] < before + WORSE)
    return found


def _permanently_inactive(found: Signals) -> Bools:
    return np.asarray(found.silent >= np.maximum(INACTIVE_DAYS, INACTIVE_GAPS * found.gap))


def _placed(found: Signals) -> Bools:
    """Where it was seen somewhere it is not expected: that is anomalous on days out of service too."""
    return np.asarray(np.maximum.reduce([found.channels[name] for name in ("device", "country", "operator")]) > 0)


def _against(found: Signals, forecast: pl.DataFrame) -> None:
    """Where there is a forecast, use is high only as far as it is above what was forecast as well."""
    keys = forecast["sim_key"].to_numpy().astype(np.int64)
    row = np.minimum(np.searchsorted(found.sim_keys, keys), len(found.sim_keys) - 1)
    back = (np.datetime64(found.as_of, "D") - forecast["day"].to_numpy().astype("M8[D]")).astype(np.int64)
    column = found.days - 1 - back
    here = (found.sim_keys[row] == keys) & (column >= 0) & (column < found.days)
    row, column = row[here], column[here]
    middle, top = (np.log(forecast[name].to_numpy()[here] + LOG_OFFSET_BYTES) for name in ("q0.5", "q0.975"))
    far = np.log(found.bytes[row, column] + LOG_OFFSET_BYTES) - middle
    limit = far / np.maximum((top - middle) / 1.96, 0.2)
    for name in ("high", "busy"):
        found.channels[name][row, column] = np.clip(np.nan_to_num(limit), 0, found.channels[name][row, column])


def _feedback_penalties(
    found: Signals, channel: Any, feedback: pl.DataFrame | None, labels: pl.DataFrame | None
) -> Floats:
    """What acknowledged false alarms add to the score that each SIM-day needs; channel: the most anomalous one of
    each."""
    penalty = np.zeros_like(found.channels["high"])
    if feedback is None or feedback.is_empty():
        return penalty
    keys = pl.DataFrame({"sim_key": found.sim_keys.astype(np.int32)})
    label = (
        keys.join(labels, on="sim_key", how="left", maintain_order="left")["label"].fill_null("")
        if labels is not None
        else pl.Series(np.full(len(keys), ""))
    )
    for about in feedback.iter_rows(named=True):  # a handful, said by people
        sims = np.ones(len(keys), dtype=bool)
        if about["sim_key"] is not None:
            sims &= found.sim_keys == about["sim_key"]
        if about["label"] is not None:
            sims &= label.str.starts_with(about["label"]).to_numpy()
        kinds = [i for i, name in enumerate(CHANNELS) if about["kind"] in (None, *_kinds_of(name))]
        penalty += FEEDBACK_PENALTY * (sims[:, None] & np.isin(channel, kinds))
    return np.minimum(penalty, MAX_FEEDBACK_PENALTY)


def _kinds_of(channel: str) -> tuple[str, ...]:
    both = {
        "growth": ("drift", "runaway"),
        **dict.fromkeys(("silence", "missed", "rarer", "turns"), ("silence", "dead")),
    }
    return both.get(channel, (KIND_OF[channel],))


def _frame(found: Signals, score: Floats, flagged: Bools, channel: Any, reported: Bools, shown: int) -> pl.DataFrame:
    """One row a SIM and day with all that the reasons are made of."""
    sims = len(found.sim_keys)
    last = found.days - shown
    until = np.datetime64(found.as_of, "D")
    day = until - np.arange(found.days)[::-1]
    begun = np.broadcast_to(np.arange(found.days), flagged.shape).copy()
    for at in range(1, found.days):  # a day between does not make it another anomaly
        goes_on = flagged[:, at] & (flagged[:, at - 1] | (flagged[:, at - 2] if at > 1 else False))
        before = np.where(flagged[:, at - 1], begun[:, at - 1], begun[:, at - 2] if at > 1 else at)
        begun[:, at] = np.where(goes_on, before, at)
    part = slice(last, None)
    lasting = np.arange(found.days)[part] - begun[:, part]
    names = np.array(CHANNELS)[channel[:, part]]
    silent, gap = found.silent[:, part], found.gap[:, part]
    kind = np.array([KIND_OF[name] for name in CHANNELS])[channel[:, part]].astype(object)
    kind[(names == "growth") & (found.extra["rising"][:, part] > 0)] = "runaway"
    kind[np.isin(names, ("silence", "missed")) & _permanently_inactive(found)[:, part]] = "dead"
    first = day[begun[:, part]]
    first = np.where(
        np.isin(names, ("silence", "missed")), day[part][None] - np.maximum(silent.astype(np.int64) - 1, 0), first
    )
    by_shift = np.isin(names, ("growth", "fall"))
    usual = np.where(by_shift, found.bytes[:, part] / found.extra["shifted"][:, part], found.usual[:, part])
    shift = np.zeros((sims, shown), np.float32)
    for name, of_type in found.type_shifts.items():
        shift[found.types == name] = of_type[part]
    at_hours = flagged[:, part] & (names == "hours")
    from_hour, to_hour = (np.zeros((sims, shown), np.int64) for _ in range(2))
    from_hour[at_hours], to_hour[at_hours] = spans(found.extra["unusual_hours"][:, part][at_hours].astype(np.int64))
    columns = {
        "sim_key": np.repeat(found.sim_keys.astype(np.int32), shown),
        "day": np.tile(day[part], sims),
        "score": score[:, part].ravel().astype(np.float64),
        "is_anomaly": flagged[:, part].ravel(),
        "already_reported": reported[:, part].ravel(),
        "channel": names.ravel(),
        "kind": kind.ravel(),
        "lasting": lasting.ravel().astype(np.int64),
        "first_day": first.ravel(),
        "bytes": found.bytes[:, part].ravel().astype(np.float64),
        "usual": usual.ravel().astype(np.float64),
        "silent": silent.ravel().astype(np.int64),
        "gap": gap.ravel().astype(np.int64),
        "peers": shift.ravel().astype(np.float64),
        "device": found.channels["device"][:, part].ravel().astype(np.float64),
        **{name: found.extra[name][:, part].ravel().astype(np.float64) for name in found.extra},
        "from_hour": from_hour.ravel(),
        "to_hour": to_hour.ravel(),
    }
    return pl.DataFrame(columns).with_columns(pl.col("kind").cast(pl.String), pl.col("day", "first_day").cast(pl.Date))


def _described(frame: pl.DataFrame, needed: float) -> pl.DataFrame:
    """Severity and reasons of the anomalies."""
    by_bytes = pl.col("kind").is_in(["spike", "runaway", "drift", "new_pattern"])
    value = (
        pl.when(by_bytes)
        .then("bytes")
        .when(pl.col("kind").is_in(["silence", "dead"]))
        .then("silent")
        .when(pl.col("kind") == "sms_flood")
        .then("sms")
        .when(pl.col("kind") == "flapping")
        .then("sessions")
        .when(pl.col("kind") == "unusual_hours")
        .then(bits("unusual_hours"))
    )
    expected = (
        pl.when(by_bytes)
        .then("usual")
        .when(pl.col("kind").is_in(["silence", "dead"]))
        .then("gap")
        .when(pl.col("kind") == "sms_flood")
        .then("usual_sms")
        .when(pl.col("kind") == "flapping")
        .then("usual_sessions")
        .when(pl.col("kind") == "unusual_hours")
        .then(0)
    )
    unit = (
        pl.when(by_bytes)
        .then(pl.lit("bytes"))
        .when(pl.col("kind").is_in(["silence", "dead"]))
        .then(pl.lit("days"))
        .when(pl.col("kind") == "sms_flood")
        .then(pl.lit("messages"))
        .when(pl.col("kind") == "flapping")
        .then(pl.lit("sessions"))
        .when(pl.col("kind") == "unusual_hours")
        .then(pl.lit("hours"))
    )
    frame = frame.with_columns(pl.col("bytes", "usual").fill_nan(None)).with_columns(
        value=value.cast(pl.Float64), expected=expected.cast(pl.Float64), unit=unit
    )
    a_month = 30 * (pl.col("bytes") - pl.col("usual")).fill_null(0) / BYTES_PER_MB * PRICE_PER_MB
    points = (
        (pl.col("score") >= needed + 1.5).cast(pl.Int32)
        + (pl.col("lasting") >= 3).cast(pl.Int32)
        + (a_month >= 1).cast(pl.Int32)
        + (a_month >= 10).cast(pl.Int32)
        + pl.col("kind").is_in(["dead", "imei_change", "unexpected_country"]).cast(pl.Int32)
    )
    severity = (
        pl.when(points >= 3)
        .then(pl.lit("critical"))
        .when(points >= 1)
        .then(pl.lit("warning"))
        .otherwise(pl.lit("info"))
    )
    reasons = in_words().str.replace_all(r"\b1 days\b", "1 day")
    anomalous = frame.filter("is_anomaly").with_columns(severity=severity, reasons=reasons)
    ordinary = frame.filter(~pl.col("is_anomaly")).with_columns(
        pl.lit(None, pl.String).alias(name) for name in ("kind", "severity", "reasons", "unit")
    )
    ordinary = ordinary.with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("value", "expected"))
    ordinary = ordinary.with_columns(pl.lit(None, pl.Date).alias("first_day"))
    return pl.concat([anomalous, ordinary], how="diagonal").sort("sim_key", "day")
