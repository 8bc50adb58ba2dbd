"""How rare each statistic is in this fleet, fitted on the fleet's own past, and one score out of all of them.

The score of a SIM-day is minus the decimal logarithm of the share of ordinary SIM-days that are at least as anomalous:
3 is one in 1,000.
A SIM-day is an anomaly where its share is not above `false_alarms_per_1000` in 1,000: that is the only threshold. The
shares are conformal: counted on the fleet's own past days, by classes of like SIMs, an upper 95 % bound for whole SIMs,
since the days of one SIM are anomalous together. The past holds anomalies too. Days beyond what the body of the
distribution explains, and the two weeks around them, are left out of the counts.

Sources: Vovk, Gammerman and Shafer, "Algorithmic learning in a random world" (2005); Laxhammar and Falkman (2010) for
anomalies; Liu, Ting and Zhou, "Isolation forest" (2008).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ml.anomaly import control, typical
from ml.anomaly.places import Bools, Floats, Types, of_type
from ml.anomaly.signals import CHANNELS, FEATURES, Signals, signals
from ml.anomaly.tails import (
    CLASS_GROUP,
    STEPS,
    bounded,
    drawn_to_typical,
    tails_of,
)
from ml.history import FloatArray

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

VERSION = 10
TRAINING_DAYS = 84
WARMUP_DAYS = 56  # days of history before those that the fit uses
MIN_TRAINING_DAYS = 42  # that the fit uses all the same where there are fewer
FOREST_ROWS = 4096
FOREST_SCORED = 400_000
TREES = 100
EXCLUDED_DAYS = 14  # days around an anomalous one that are left out
EXPECTED = 3e-6  # share of an exponential tail beyond which a day is left out of the counts
MOST_FAULTY, MOST_FAULTY_SIMS = 0.15, 2  # of a device type's SIMs, in TRAINING_DAYS, that faults of one kind may befall
# decades of evidence of a state: more is left out of the counts
STATES = {"missed": 3.0, "rarer": 4.5, "turns": 3.0, "growth": 3.7, "fall": 3.7}
MAX_SILENCE_GAPS = 3.0  # times the usual gap: a longer silence says nothing of usual gaps
DAILY = 2.5  # days: the longest usual gap of a device that reports daily
RATES = np.logspace(-1.3, -5, 75)
NOISY = (0.24, 0.45)  # spreads that part calm from noisy SIMs
OFF_HOURS_BORDERS = (0.005, 0.08)  # surprise of its hours on a mean day: never off hours, now and then, often
QUIET = (0.02, 0.1, 0.4)  # shares of silent days that part classes of heartbeats
NEVER = 1e6
# days to come are anomalous that much more often than the fitted days: for a rate of RATED, and more for a lower one
TO_COME = 4.0
# that all channels together need more than each alone: fitted days that need less were calm by luck, those that need
# more have faults among them
DECADES_TOGETHER = 0.7
MORE_FOR_LESS = 0.3  # the same for each decade that a rate lies below RATED: tails are heavier there than promised
UNKNOWN = (
    0.6  # decades more that a fleet needs of which nothing is known: what is typical promises less than its own past
)
MIN_CAPPED_DAYS = 20_000  # SIM-days counted
RATED, RARER = 1e-3, 0.6


@dataclass(frozen=True)
class AnomalyModel:
    """A fitted detector. `to_dict` and `from_dict` keep it as JSON.

    tails      by channel and class: statistic at each share of LEVELS, falling share; the fleet's own where the class
               is small
    limits     combined anomaly score at each of `shares`, both ascending in it
    corrections  by channel and device type, decades that scores are lowered by (`ml.anomaly.control`)
    forest     rows of features that the Isolation Forest is grown from, and its seed
    fitted_on  how much it saw: sims, sim_days, left_out
    """

    as_of: date
    tails: dict[str, dict[str, list[float]]]
    limits: list[float]
    shares: list[float]
    corrections: dict[str, dict[str, float]]
    forest: list[list[float]]
    seed: int
    fitted_on: dict[str, float]
    _grown: list[Any] = field(default_factory=list, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": VERSION,
            "as_of": self.as_of.isoformat(),
            "tails": self.tails,
            "limits": self.limits,
            "shares": self.shares,
            "corrections": self.corrections,
            "forest": self.forest,
            "seed": self.seed,
            "learnt": self.fitted_on,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AnomalyModel:
        """Raises ValueError for a model saved by another version of the code."""
        if values.get("format") != VERSION:
            raise ValueError(
                f"the anomaly model has format {values.get('format')}; this code reads {VERSION}: "
                "materialize anomaly_detector"
            )
        fields = {name: values[name] for name in ("tails", "limits", "shares", "corrections", "forest", "seed")}
        return cls(as_of=date.fromisoformat(values["as_of"]), fitted_on=values["learnt"], **fields)

    def grown(self) -> IsolationForest | None:
        """The Isolation Forest, the same from the same rows; None where there was too little to grow one."""
        if not self._grown:
            self._grown.append(_grow(np.array(self.forest, dtype=np.float32), self.seed) if self.forest else None)
        found: IsolationForest | None = self._grown[0]
        return found

    def score(self, combined: Floats) -> Floats:
        """The combined anomaly score as a rarity: what is more anomalous than all that was seen goes on with the slope
        of the tail."""
        logs = -np.log10(self.shares)
        score = np.interp(combined, self.limits, logs)
        return np.asarray(
            np.where(combined > self.limits[-1], logs[-1] + (combined - self.limits[-1]), score), np.float32
        )


def fit(
    history: pl.DataFrame,
    events: pl.DataFrame | None,
    as_of: date,
    *,
    peers: pl.DataFrame | None = None,
    periods: pl.DataFrame | None = None,
    seed: int = 0,
) -> AnomalyModel:
    """Fit what is ordinary in a fleet on up to TRAINING_DAYS days before and with `as_of`. Arguments as of `signals`.

    Raises ValueError when no SIM has a usable row.
    """
    first = history["day"].min()
    known = (as_of - first).days + 1 if isinstance(first, date) else 0
    days = min(TRAINING_DAYS, max(known - WARMUP_DAYS, MIN_TRAINING_DAYS))
    found = signals(history, events, as_of, days=days, peers=peers, periods=periods)
    if not len(found.sim_keys):
        raise ValueError("there is no usage to learn from")
    fits = ~np.isnan(found.bytes) & ~found.explained
    lacking = typical.weight(float((fits & (found.age >= typical.KNOWN_DAYS)).sum()))
    channels = dict(found.channels)
    classes = classes_of(found)
    out = np.logical_or.reduce([decades > 0 for decades in found.shared.values()])
    for name in CHANNELS[:-1]:
        beyond = _silences(found, fits) if name == "silence" else _beyond(name, channels[name], classes, fits)
        out |= beyond & ~_usual_in(beyond, fits, found.types)[:, None]
    kept = fits & ~_around(out, EXCLUDED_DAYS)
    rows = _sampled(kept, FOREST_ROWS, seed)
    sample = np.column_stack([found.features[name][rows] for name in FEATURES])
    forest = _grow(sample, seed) if len(sample) >= 256 else None
    scored = _sampled(fits, FOREST_SCORED, seed + 1)
    pattern = np.full(fits.shape, np.nan, np.float32)
    if forest is not None:
        pattern[scored] = isolation(forest, found, scored)
        pattern[found.updates] = np.nan
        beyond = _beyond("pattern", pattern, classes, fits & ~np.isnan(pattern))
        out |= beyond & ~_usual_in(beyond, fits, found.types)[:, None]
        kept &= ~_around(out, EXCLUDED_DAYS)
    channels |= {"pattern": pattern}
    tails = {
        name: tails_of(name, channels[name], classes[name], kept & ~np.isnan(channels[name]), found.types)
        for name in CHANNELS
    }
    if lacking:
        tails |= {name: drawn_to_typical(name, tails[name], lacking) for name in typical.TAILS}
    shared = np.logical_or.reduce([decades > 0 for decades in found.shared.values()])
    corrections = control.corrections(channels, classes, kept, fits & ~shared, found.types)
    combined = control.combine(tails, corrections, channels, classes, found.types)
    counted = kept & ~np.isnan(pattern) if forest is not None else kept
    limits = _limits(combined, counted) + UNKNOWN * lacking
    fitted_on = {
        "sims": float(fits.any(axis=1).sum()),
        "sim_days": float(counted.sum()),
        "left_out": float(1 - kept.sum() / max(fits.sum(), 1)),
    }
    return AnomalyModel(
        as_of,
        tails,
        limits.tolist(),
        RATES.tolist(),
        corrections,
        np.round(sample, 4).tolist(),
        seed,
        fitted_on,
    )


def isolation(forest: IsolationForest, found: Signals, rows: Any) -> Floats:
    """How isolated SIM-days are, larger is more anomalous."""
    features = np.column_stack([found.features[name][rows] for name in FEATURES])
    if not len(features):
        return np.empty(0, np.float32)
    return np.asarray(-forest.score_samples(np.round(features, 4)), np.float32)


def classes_of(found: Signals) -> dict[str, Any]:
    """The class of each SIM-day by channel, as a small number: like SIMs are held against each other."""
    rare = (found.gap > DAILY) * CLASS_GROUP
    noise = rare + np.digitize(found.calm, NOISY)
    # not known, daily, weekly, fortnightly, rarer; with few gaps so far, or many
    habit = rare + np.digitize(found.gap, (0.5, DAILY, 7.5, 21.5)) * 2 + (found.gaps >= 15)
    counts = {
        name: np.digitize(found.extra[f"usual_{key}"], (0.02, 0.2, 1))
        for name, key in (("messages", "sms"), ("sessions", "sessions"))
    }
    quiet = np.digitize(found.extra["quiet"], QUIET)
    off_hours_rate = np.digitize(found.extra["off_hours_rate"], OFF_HOURS_BORDERS)
    plain = np.zeros_like(noise)
    alike = dict.fromkeys(("device", "country", "operator"), plain)
    return {
        "high": noise,
        "busy": noise,
        "growth": noise,
        "fall": noise,
        "silence": habit,
        "pattern": noise,
        "missed": quiet,
        "rarer": quiet,
        "turns": quiet,
        "hours": off_hours_rate,
        **counts,
        **alike,
    }


def _beyond(name: str, values: Floats, classes: dict[str, Any], fits: Bools) -> Bools:
    """Where a statistic lies beyond what its body, carried on as an exponential tail, would show in EXPECTED of
    days."""
    if name in ("device", "country", "operator"):
        return np.zeros_like(fits)  # too rare to spoil a count
    if name in STATES:  # what lasts for weeks is in the body, too
        return fits & (values > STATES[name])
    found = np.zeros_like(fits)
    for number in np.unique(classes[name][fits]):
        part = fits & (classes[name] == number)
        low, high = np.quantile(values[part], (0.90, 0.98))
        step = max((high - low) / np.log(5), STEPS[name])
        found |= part & (values > high + step * np.log(0.02 / EXPECTED))
    return found


def _silences(found: Signals, fits: Bools) -> Bools:
    """Silences that the fit leaves out: long ones of daily devices, and of the others long ones that have not ended."""
    long = fits & (found.channels["silence"] > MAX_SILENCE_GAPS)
    lasts = (found.silent > 0) & (found.silent[:, -1:] >= np.arange(found.days)[::-1] + 1)
    return np.asarray(long & ((found.gap <= DAILY) | lasts))


def _usual_in(beyond: Bools, fits: Bools, types: Types) -> Bools:
    """SIMs of device types in which more than MOST_FAULTY of the SIMs have such days: that is how they are."""
    usual = np.zeros(len(types), dtype=bool)
    for _, rows in of_type(types):
        known = fits[rows].any(axis=1).sum()
        most = MOST_FAULTY * beyond.shape[1] / TRAINING_DAYS * known
        usual[rows] = beyond[rows].any(axis=1).sum() > max(most, MOST_FAULTY_SIMS)
    return usual


def _around(out: Bools, days: int) -> Bools:
    """The days within `days` of a marked one of the same SIM."""
    sums = np.cumsum(np.pad(out, ((0, 0), (1, 0))), axis=1)
    width = out.shape[1]
    at = np.arange(width)
    return np.asarray(sums[:, np.minimum(at + days, width - 1) + 1] - sums[:, np.maximum(at - days, 0)] > 0)


def _sampled(mask: Bools, largest: int, seed: int) -> tuple[Any, Any]:
    """At most so many places of a mask, the same for the same seed."""
    places = np.flatnonzero(mask)
    if len(places) > largest:
        places = np.sort(np.random.default_rng(seed).choice(places, largest, replace=False))
    rows, columns = np.unravel_index(places, mask.shape)
    return rows, columns


def _grow(sample: Floats, seed: int) -> IsolationForest:
    from sklearn.ensemble import IsolationForest

    grown: IsolationForest = IsolationForest(n_estimators=TREES, random_state=seed, n_jobs=1).fit(np.round(sample, 4))
    return grown


def _limits(combined: Floats, counted: Bools) -> FloatArray:
    """The combined anomaly score above which at most each of RATES lies. Rarer than can be estimated goes on in
    decades, and none is less than DECADES_TOGETHER above the score of a channel alone."""
    limits, known = bounded(
        combined[counted], np.nonzero(counted)[0], RATES / (TO_COME * np.maximum(RATED / RATES, 1) ** RARER)
    )
    if not known.any():  # nothing was fitted: nothing can be called anomalous
        limits[:] = NEVER
    elif not known.all():
        last = int(np.flatnonzero(known)[-1])
        limits[last + 1 :] = limits[last] + np.log10(RATES[last] / RATES[last + 1 :])
    needed = -np.log10(RATES)
    needed += DECADES_TOGETHER + MORE_FOR_LESS * np.maximum(needed + np.log10(RATED), 0)
    if counted.sum() >= MIN_CAPPED_DAYS:  # fewer say too little of what is due to chance
        limits = np.minimum(limits, needed)
    limits = np.maximum(limits, needed)
    return np.asarray(np.maximum.accumulate(limits) + np.arange(len(RATES)) * 1e-6)
