"""How honest exhaustion dates are: the simulated fleet's true ends against P10 to P90, baselines beside.

    python -m benchmarks.exhaustion [--sims 1000] [--seed 500] [--history 180] [--plot reliability.png]

All data is synthetic: the simulator knows each SIM's use for the next ten years, with devices that stop, run away and
grow. From several as-of days, with `--history` days of usage (as much as 1NCE gives a new customer is 180), every SIM
with volume and time left is scored: its end is the day on which its use since reaches what was left (whoever tops it up
later), or its expiry. Open SIMs are those whose P10 comes before the expiry: only they can be wrong.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ml.exhaustion.backtest import HORIZONS, SAMPLES, Scores, exhaustion_backtest, score_dates
from ml.exhaustion.extrapolation import fit_extrapolation
from ml.exhaustion.model import quota_exhaustion, sms_exhaustion
from ml.forecasting import fit_predict
from ml.history import FloatArray, dense
from ml.plots.exhaustion import plot_reliability
from simulator.catalog import ARCHETYPES
from simulator.fleet import Fleet

START = date(2025, 1, 1)
AS_OF_DAYS = (90, 150, 210, 270, 330, 390, 450)
FUTURE_DAYS = 3_660
NAIVE_DAYS = 28
SMS_DAYS = 182
METHODS = ("exhaustion dates", "path's own mean goes on", "left / mean of 28 days", "climatology")


class Truth:
    """The simulated fleet's use, from `before` days ahead of its start until long after the last as-of day."""

    def __init__(self, seed: int, sims: int, before: int) -> None:
        self.fleet = Fleet(seed=seed, sims=sims, start=START)
        self.first = START - timedelta(days=before)
        everyone = np.arange(sims)
        used = self.fleet.usage(everyone, self.first, START + timedelta(days=AS_OF_DAYS[-1] + FUTURE_DAYS))
        self.volume, self.messages = used.volume, used.sms_mt + used.sms_mo
        self.names = np.array([kind.name for kind in ARCHETYPES])[self.fleet.demand.archetype]

    def column(self, day: date) -> int:
        """Index of a day in `volume`."""
        return (day - self.first).days

    def history(self, as_of: date, days: int) -> pl.DataFrame:
        """Usage of the last days, from each SIM's first use in them on."""
        end = self.column(as_of) + 1
        past = self.volume[:, max(end - days, 0) : end]
        dates = pl.date_range(as_of - timedelta(days=past.shape[1] - 1), as_of, "1d", eager=True)
        frame = pl.DataFrame(
            {
                "sim_key": np.repeat(np.arange(len(past), dtype=np.int32), past.shape[1]),
                "day": dates[np.tile(np.arange(past.shape[1]), len(past))],
                "bytes": past.ravel(),
            }
        )
        return frame.filter((np.cumsum(past, axis=1) > 0).ravel())

    def left(self, as_of: date) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Bytes and messages left at the end of a day, and days to the expiry."""
        midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC) + timedelta(days=1)
        data, sms = self.fleet.remaining(np.arange(len(self.volume)), midnight)
        expiry = self.fleet.demand.expiry - as_of.toordinal()
        return data.astype(np.float64), sms.astype(np.float64), expiry.astype(np.float64)

    def reached(self, use: np.ndarray, as_of: date, left: FloatArray) -> FloatArray:
        """The day, from 1, on which use since `as_of` reaches what was left; inf for not in ten years."""
        after = use[:, self.column(as_of) + 1 :].cumsum(axis=1)
        day = 1.0 + (after < left[:, None]).sum(axis=1)
        return np.where(day <= after.shape[1], day, np.inf)


def dates_of(truth: Truth, as_of: date, history_days: int) -> tuple[pl.DataFrame, dict[str, FloatArray]]:
    """Sampled ends of one as-of day by method, and of each row archetype, true end and expiry."""
    history = truth.history(as_of, history_days)
    _, forecast = fit_predict(history, as_of=as_of)
    extrapolation = fit_extrapolation(history, as_of=as_of)
    calibration = exhaustion_backtest(history, as_of=as_of).calibration
    values = dense(history, as_of=as_of).values
    data, _, expiry = (amount[forecast.sim_keys] for amount in truth.left(as_of))
    end = np.minimum(truth.reached(truth.volume, as_of, truth.left(as_of)[0]), truth.left(as_of)[2])[forecast.sim_keys]
    parts: dict[str, list[FloatArray]] = {name: [] for name in METHODS[:2]}
    kept = []
    for block, paths in forecast.path_blocks(SAMPLES):
        facts = {"as_of": as_of, "history_days": forecast.history_days[block], "ever_used": forecast.ever_used[block]}
        later = extrapolation.extrapolate(paths, values[block])
        ours = quota_exhaustion(
            paths,
            data[block],
            expiry[block],
            later=later,
            step_days=extrapolation.step_days,
            calibration=calibration,
            **facts,
        )
        flat = quota_exhaustion(paths, data[block], expiry[block], **facts)
        scored = ours.frame["status"].is_in(["ok", "extrapolated"]).to_numpy()
        kept.append(scored)
        for name, found in zip(METHODS, (ours, flat), strict=False):
            parts[name].append(found.days[scored])
    rows = np.concatenate(kept)
    days = {name: np.concatenate(found) for name, found in parts.items()}
    mean = np.nan_to_num(np.nanmean(values[:, -NAIVE_DAYS:], axis=1))
    with np.errstate(divide="ignore"):
        days[METHODS[2]] = np.minimum(np.ceil(data / mean), expiry)[rows][:, None]
    facts_frame = pl.DataFrame({"archetype": truth.names[forecast.sim_keys], "end": end, "expiry": expiry})
    return facts_frame.filter(rows), days


def sms_dates(truth: Truth, as_of: date) -> tuple[float, float, int]:
    """Of the SIMs whose SMS are open: shares of true ends before P10 and after P90, and how many they are."""
    _, left, expiry = truth.left(as_of)
    end = truth.column(as_of) + 1
    counts = truth.messages[:, end - SMS_DAYS : end].astype(np.float64)
    known = np.minimum(as_of.toordinal() + 1 - truth.fleet.demand.activation, SMS_DAYS)
    frame = sms_exhaustion(
        left,
        expiry,
        as_of=as_of,
        known_days=known,
        messages=counts.sum(axis=1),
        squares=(counts**2).sum(axis=1),
        sim_keys=np.arange(left.size),
    )
    true = np.minimum(truth.reached(truth.messages, as_of, left), expiry)
    p10, p90 = ((frame[f"sms_p{share}_date"] - as_of).dt.total_days().to_numpy() for share in (10, 90))
    is_open = (frame["sms_status"] == "ok").to_numpy() & (p10 < expiry)
    return float((true < p10)[is_open].mean()), float((true > p90)[is_open].mean()), int(is_open.sum())


def shown(scores: Scores) -> str:
    lines = [f"{'':22}     n  open  P10-P90  early   late  soon  error, days"]
    for row in scores.frame.sort(pl.col("group") == "all", "group").iter_rows(named=True):
        figures = [row[name] if row[name] is not None else float("nan") for name in ("coverage_80", "early", "late")]
        error = row["error_days"] if row["error_days"] is not None else float("nan")
        lines.append(
            f"{row['group']:22} {row['n']:5} {row['open']:5}  {figures[0]:7.3f} {figures[1]:6.3f} {figures[2]:6.3f} "
            f"{row['soon']:5} {error:8.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=500)
    parser.add_argument("--history", type=int, default=180)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    truth = Truth(given.seed, given.sims, before=max(given.history - AS_OF_DAYS[0], SMS_DAYS))
    started = time.process_time()
    found = [dates_of(truth, START + timedelta(days=day), given.history) for day in AS_OF_DAYS]
    seconds = time.process_time() - started
    facts = pl.concat([frame for frame, _ in found])
    ends = facts["end"].to_numpy()
    days = {name: np.concatenate([part[name] for _, part in found]) for name in METHODS[:3]}
    # what the fleet did on the whole, in hindsight: a baseline that knows too much
    days[METHODS[3]] = np.tile(np.quantile(ends, (np.arange(SAMPLES) + 0.5) / SAMPLES), (ends.size, 1))
    scores = {
        name: score_dates(
            ended,
            ends,
            groups=facts["archetype"].to_list(),
            known=np.full(ends.size, np.inf),
            certain=facts["expiry"].to_numpy(),
        )
        for name, ended in days.items()
    }
    print(
        f"Synthetic fleet, {given.sims} SIMs, seed {given.seed}, {len(AS_OF_DAYS)} as-of days, {given.history} days "
        f"of history\n"
    )
    print(shown(scores[METHODS[0]]))
    print(f"\n{'':26}" + "".join(f"Brier {within:>4} " for within in HORIZONS) + "    RPS  error, days  P10-P90")
    for name, score in scores.items():
        row = score.frame.row(by_predicate=pl.col("group") == "all", named=True)
        error = row["error_days"] if row["error_days"] is not None else float("nan")
        briers = "".join(f"{row[f'brier_{within}']:10.4f} " for within in HORIZONS)
        print(f"{name:26}{briers} {row['rps']:6.4f} {error:12.1f} {row['coverage_80']:8.3f}")
    sms = np.array([sms_dates(truth, START + timedelta(days=day)) for day in AS_OF_DAYS])
    early, late = np.average(sms[:, :2], axis=0, weights=sms[:, 2])
    print(
        f"\nSMS: {1 - early - late:.3f} of {int(sms[:, 2].sum())} open SIMs within P10 and P90, {early:.3f} before, "
        f"{late:.3f} after"
    )
    as_of = START + timedelta(days=AS_OF_DAYS[-1])
    tested = exhaustion_backtest(truth.history(as_of, given.history), as_of=as_of)
    print(f"Backtest on the fleet's own past, as the asset check runs it: {tested.note}")
    print(f"{seconds:.0f} CPU seconds for {len(AS_OF_DAYS)} as-of days, training of the forecast included")
    if given.plot:
        note = f"synthetic fleet, {given.sims} SIMs, {given.history} days of history"
        plot_reliability(scores[METHODS[0]].calibration, note=note).savefig(given.plot)
    row = scores[METHODS[0]].frame.row(by_predicate=pl.col("group") == "all", named=True)
    worst = scores[METHODS[0]].frame.filter(pl.col("open") >= 30)["coverage_80"]
    print(
        f"exhaustion coverage={row['coverage_80']:.3f} archetypes={worst.min():.3f}..{worst.max():.3f} "
        f"error_days={row['error_days']:.1f} rps={row['rps']:.4f}"
    )


if __name__ == "__main__":
    main()
