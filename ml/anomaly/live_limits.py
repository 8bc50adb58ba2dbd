"""What the days under way are held against: limits of each SIM, prepared with the closed days, so that no model is
asked then."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from ml.anomaly.detection import least_spike
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.model import AnomalyModel, classes_of
from ml.anomaly.places import Floats, Types, of_type
from ml.anomaly.signals import LOG_OFFSET_BYTES, Signals
from ml.anomaly.tails import BY_TYPE, LEVELS, OF_TYPE, PRIORS, STEPS, slope_of

STATE_SCHEMA: dict[str, Any] = {
    "sim_key": pl.Int32,
    "bytes_limits": pl.List(pl.Int64),
    "bytes_usual": pl.List(pl.Int64),
    "sms_limit": pl.Int32,
    "sessions_limit": pl.Int32,
    "imei": pl.String,
    "countries": pl.List(pl.String),
    "operators": pl.List(pl.String),
}
NO_LIMIT = 2**62
NO_COUNT = 2**31 - 1
LATE = 1.2  # a day under way is known less well than a closed one: its limit is a fifth higher


def limits(
    model: AnomalyModel, found: Signals, events: pl.DataFrame, *, false_alarms_per_1000: float = 1.0
) -> pl.DataFrame:
    """The state of each SIM (STATE_SCHEMA): the most bytes of a Monday to Sunday, SMS and sessions that are no anomaly,
    its device, and the places where it is expected: where it was, and where its device type goes.

    found   signals of at least the last seven days
    events  as of `signals`, up to the same day. A SIM without a usual has no limit; one never seen has no device and no
            places.
    """
    needed = -np.log10(false_alarms_per_1000 / 1000)
    combined = float(np.interp(needed, -np.log10(model.shares), model.limits))
    classes = classes_of(found)
    days = min(7, found.days)
    sims = len(found.sim_keys)
    # whether more sessions explain a day under way is not known yet
    z = np.maximum.reduce(
        [_inverse(model, name, classes[name][:, -1], found.types, combined) for name in ("high", "busy")]
    )
    shift = np.zeros(sims, np.float32)
    for name, shifts in found.type_shifts.items():
        shift[found.types == name] = max(float(shifts[-1]), 0)
    usual = np.full((sims, 7), np.nan)
    weekday = [(found.as_of.weekday() - back) % 7 for back in range(days)]
    usual[:, weekday] = found.usual[:, -1 : -days - 1 : -1]
    usual = np.where(np.isnan(usual), np.nanmax(np.column_stack([usual, np.full(sims, -1.0)]), axis=1)[:, None], usual)
    known = usual > 0
    with np.errstate(over="ignore"):  # infinite: no limit
        top = (
            (np.maximum(usual, 0) + LOG_OFFSET_BYTES)
            * np.exp(shift + np.maximum(z * found.spread[:, -1], least_spike(needed)))[:, None]
            * LATE
        )
    bytes_limits = np.where(known & np.isfinite(top) & (top < NO_LIMIT), top, NO_LIMIT).astype(np.int64)
    counts = {
        name: _count_limit(
            _inverse(model, channel, classes[channel][:, -1], found.types, combined),
            found.extra[f"usual_{name}"][:, -1],
        )
        for name, channel in (("sms", "messages"), ("sessions", "sessions"))
    }
    state = pl.DataFrame(
        {
            "sim_key": found.sim_keys.astype(np.int32),
            "bytes_limits": bytes_limits,
            "bytes_usual": np.maximum(np.where(known, usual, 0), 0).astype(np.int64),
            "sms_limit": counts["sms"],
            "sessions_limit": counts["sessions"],
        }
    )
    sims_of = pl.DataFrame({"sim_key": found.sim_keys.astype(np.int32), "type": found.types})
    places = _places(events, sims_of, found.fleet)
    state = state.join(places, on="sim_key", how="left", maintain_order="left")
    empty = pl.lit([], dtype=pl.List(pl.String))
    return state.with_columns(pl.col("countries", "operators").fill_null(empty)).select(
        pl.col(name).cast(kind) for name, kind in STATE_SCHEMA.items()
    )


def _inverse(model: AnomalyModel, channel: str, classes: np.ndarray, types: Types, needed: float) -> Floats:
    """The statistic from which a channel alone makes an anomaly, for each SIM by its class and its device type."""

    lowered = model.corrections.get(channel, {})

    def least(tail: list[float], kind: str = "") -> float:
        combined = needed + lowered.get(kind, lowered.get("", 0.0)) - PRIORS.get(channel, (0, 0.0))[1]
        logs, values = -np.log10(LEVELS[: len(tail)]), np.array(tail)
        slope = slope_of(values, STEPS[channel])
        value = np.interp(combined, logs, values) if combined <= logs[-1] else tail[-1] + (combined - logs[-1]) * slope
        return max(float(value), STEPS[channel])

    tails = model.tails[channel]
    found = np.empty(len(classes))
    for number in np.unique(classes):
        found[classes == number] = least(tails.get(str(int(number)), tails["all"]))
    for name, rows in of_type(types, {key.removeprefix(OF_TYPE) for key in tails if key.startswith(OF_TYPE)}):
        of_kind = least(tails[OF_TYPE + name], name)
        found[rows] = of_kind if channel in BY_TYPE else np.maximum(found[rows], of_kind)
    return found.astype(np.float32)


def _count_limit(far: Floats, usual: Floats) -> np.ndarray:
    """The count that lies so far above the usual, on the Anscombe scale of `signals`."""
    top = (far.astype(np.float64) / 2 + np.sqrt(usual + 0.375)) ** 2 - 0.375  # float32 rounds NO_COUNT up beyond Int32
    return np.asarray(np.clip(np.ceil(np.maximum(top, 3) * LATE), 3, NO_COUNT), dtype=np.int64)


def _places(events: pl.DataFrame, sims: pl.DataFrame, fleet: FleetStatistics) -> pl.DataFrame:
    last = events.drop_nulls("imei").group_by("sim_key").agg(pl.col("imei").get(pl.col("day").arg_max()))
    found = sims.join(last, on="sim_key", how="left")
    for name, column in (("country", "countries"), ("operator", "operators")):
        pairs = events.drop_nulls(name).select("sim_key", name).unique().join(sims, on="sim_key", how="inner")
        own = pairs.group_by("sim_key").agg(pl.col(name).sort().alias("own"))
        of_type = fleet.of(f"usual {column}", _usual, pairs, name)
        found = found.join(own, on="sim_key", how="left").join(of_type, on="type", how="left")
        union = (
            pl.col("own").list.set_union(pl.col("of_type").fill_null(pl.lit([], dtype=pl.List(pl.String)))).list.sort()
        )
        found = found.with_columns(pl.when(pl.col("own").is_not_null()).then(union).alias(column)).drop(
            "own", "of_type"
        )
    return found.drop("type")


def _usual(pairs: pl.DataFrame, name: str) -> pl.DataFrame:
    """The places of each device type that are no surprise: it moves, and is often there. pairs: sim_key, its type, a
    place of it."""
    size = pairs.group_by("type").agg(all=pl.col("sim_key").n_unique())
    roam = pairs.group_by("type", "sim_key").len().group_by("type").agg(roam=(pl.col("len") > 1).mean())
    share = pairs.group_by("type", name).len().join(size, on="type").join(roam, on="type")
    usual = share.filter(pl.col("len") / pl.col("all") * pl.col("roam") >= 0.02)
    return usual.group_by("type").agg(pl.col(name).sort().alias("of_type"))
