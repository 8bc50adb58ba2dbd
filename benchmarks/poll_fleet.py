"""The synthetic fleet of the benchmark of the planner: what every SIM uses, when it runs out, when its device stops."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

START = datetime(2026, 6, 1, tzinfo=UTC)
WARM_UP_DAYS, DAYS, HISTORY = 1, 7, 14
QUOTA = 500e6  # bytes (millionths of a MB) of the plan
LITTLE_LEFT = 0.2
NEVER = np.inf
# kinds of device: share, bytes a day, spread of the level (log), noise of a day (log), longest usual gap between
# reports in hours
KINDS = (
    ("meter", 0.34, 30e3, 0.6, 0.05, 6.0),
    ("tracker", 0.25, 400e3, 0.7, 0.5, 3.0),
    ("camera", 0.04, 4e6, 0.6, 0.6, 1.0),
    ("vending machine", 0.16, 500e3, 0.7, 0.4, 4.0),
    ("gateway", 0.05, 1e6, 0.4, 0.3, 1.0),
    ("unused", 0.12, 0.0, 0.0, 0.0, 24.0),
    ("expired", 0.04, 0.0, 0.0, 0.0, 24.0),
)
SILENT_SHARE, RUNAWAY_SHARE = 0.01, 0.002  # of the SIMs in use, during the run


class Fleet:
    """The truth: what every SIM uses (synthetic), when its volume runs out, when its device stops. Hours count from
    START.

    cumulated  (sims, days + 1) bytes used up to the beginning of each day, the first HISTORY of them before START
    """

    def __init__(self, sims: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.sims = sims
        shares = np.array([kind[1] for kind in KINDS])
        kind = random.choice(len(KINDS), sims, p=shares / shares.sum())
        of_kind = [np.array([row[i] for row in KINDS], dtype=np.float64)[kind] for i in range(2, 6)]
        mean, spread, noise, self.gap = of_kind
        self.refused: Flags = np.array([row[0] == "expired" for row in KINDS])[kind]
        level = mean * np.exp(spread * random.standard_normal(sims) - spread**2 / 2)
        days = HISTORY + WARM_UP_DAYS + DAYS + 1
        volume = level[:, None] * np.exp(noise[:, None] * random.standard_normal((sims, days), dtype=np.float32))
        in_use = mean > 0
        happens = 24.0 * (WARM_UP_DAYS + DAYS * random.random(sims))  # when what happens to it happens
        fate = np.where(in_use, random.random(sims), 1.0)
        self.silent_at = np.where(fate < SILENT_SHARE, happens, NEVER)
        hours = 24.0 * (np.arange(days) - HISTORY)
        for chosen, factor in (
            (fate < SILENT_SHARE, 0.0),
            ((fate >= SILENT_SHARE) & (fate < SILENT_SHARE + RUNAWAY_SHARE), 50.0),
        ):
            rows = np.flatnonzero(chosen)
            after = np.clip((hours[None, :] + 24 - happens[rows, None]) / 24, 0, 1)  # share of each day after it
            volume[rows] *= 1 + after * (factor - 1)
        cumulated = np.zeros((sims, days + 1))
        np.cumsum(volume, axis=1, out=cumulated[:, 1:])
        # old fleets have SIMs at every level, some of them empty
        self.budget = cumulated[:, HISTORY] + QUOTA * (random.random(sims) * 1.02 - 0.02).clip(0)
        over = cumulated >= self.budget[:, None]
        day = np.argmax(over, axis=1)
        runs_out = over.any(axis=1) & (day > HISTORY)
        before = np.maximum(day - 1, 0)
        rows = np.arange(sims)
        into = (self.budget - cumulated[rows, before]) / np.maximum(volume[rows, before], 1e-9)
        self.empty_at = np.where(runs_out, 24.0 * (before - HISTORY + into), NEVER)
        self.empty_at[over[:, HISTORY]] = 0.0  # empty from the start: its device has nothing to fall silent with
        self.silent_at = np.where(self.silent_at < self.empty_at, self.silent_at, NEVER)
        self.cumulated = np.minimum(cumulated, self.budget[:, None])
        self.squares = np.zeros_like(self.cumulated)
        np.cumsum(np.diff(self.cumulated, axis=1) ** 2, axis=1, out=self.squares[:, 1:])

    def left(self, rows: Ints | slice, at: Floats | float) -> Floats:
        """What is left of the quota of some SIMs, each at its own hour."""
        day = np.floor(np.asarray(at) / 24).astype(np.int64)
        known = self.cumulated[rows]
        place = np.broadcast_to(day + HISTORY, (len(known),))
        at_row = np.arange(len(known))
        begun = known[at_row, place]
        used = begun + (known[at_row, place + 1] - begun) * (np.asarray(at) / 24 - day)
        return np.asarray(self.budget[rows] - used)
