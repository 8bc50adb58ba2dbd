"""What a fleet's numbers are worth when its usage comes from the Data Streamer or from looks at the quota.

    python -m benchmarks.sources [--sims 800] [--seeds 901 902 903] [--days 180] [--quick]

A simulated fleet, so all is synthetic, whose true daily use is known. Its usage is laid out from each source as the
pipeline does it (services.ingest.quota_days), the models read it as in the pipeline (ml.spread), and all are scored
against the truth:

- usage call: every day as it was; what the other sources are held against
- stream: the same, since every session ends before midnight here
- stream, two days missing: nothing came for two days, weekly looks at the quota close the gap in sum
- quota daily: a look a day within HOURS of midnight, as the poll planner takes them
- quota weekly: a look a day for a SIM's first LEARN_DAYS days, then one a week: what the planner does for meters on
  pace, here for everybody

The quota of the simulator falls evenly within a day, and looks are not late: real ones may do worse.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from benchmarks import anomaly, exhaustion
from benchmarks.forecasting import NAMES, Scored, naive, score, sums_covered
from benchmarks.series import HORIZON
from ml.exhaustion.backtest import score_dates
from ml.forecasting import fit_predict
from ml.forecasting.backtest import rmase
from ml.history import FloatArray, IntArray
from ml.silence import silence
from ml.spread import relaid
from services.ingest.poll_planner import LEARN_DAYS
from services.ingest.quota_days import days_of_looks
from simulator.fleet import Fleet
from simulator.injected_anomalies import ALL, CLEAN

SOURCES = ("usage call", "stream", "stream, two days missing", "quota daily", "quota weekly")
HOURS = 2.8  # 100,000 SIMs at 10 requests a second
DAY_US = 86_400_000_000
OUTAGE_AGO = 20  # the stream was down on the two days that lie so many days before the last
SILENT_DAYS = 60
SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64, "spread_from": pl.Date}


@dataclass
class Book:
    """A fleet's true use and what each source makes of it.

    volume  (sims, days) int64 bytes from `first` on; begun (sims,) the column of a SIM's first day
    seconds, phase  (sims,) when in the day, and on which day of a week, each SIM is looked at
    """

    volume: IntArray
    first: date
    begun: IntArray
    seed: int

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.seconds = rng.integers(0, int(HOURS * 3600), len(self.volume))
        self.phase = rng.integers(0, 7, len(self.volume))

    @cached_property
    def used(self) -> IntArray:
        """(sims, days + 1) what was used up to each midnight."""
        return np.pad(np.cumsum(self.volume, axis=1), ((0, 0), (1, 0)))

    def known(self, source: str, as_of: date) -> pl.DataFrame:
        """The usage history (SCHEMA) that a source gives by the morning after `as_of`, unknown days without bytes."""
        days = (as_of - self.first).days + 1
        sims, column = np.nonzero(np.arange(days)[None, :] >= self.begun[:, None])
        told = self._frame(sims, column, self.volume[sims, column])
        if source in ("usage call", "stream"):
            return told.with_columns(spread_from=pl.lit(None, pl.Date))
        if source == "stream, two days missing":
            missing = as_of - timedelta(days=OUTAGE_AGO)
            told = told.filter(~pl.col("day").is_between(missing, missing + timedelta(days=1)))
            laid = days_of_looks(self.looks(days, weekly=True), told.rename({"bytes": "amount"}))
            laid = laid.filter(pl.col("day").is_between(missing, missing + timedelta(days=1)))
            return pl.concat([told, laid.rename({"amount": "bytes"})], how="diagonal").select(SCHEMA.keys())
        laid = days_of_looks(self.looks(days, weekly=source == "quota weekly")).filter(pl.col("day") <= as_of)
        known = laid.rename({"amount": "bytes"}).select(SCHEMA.keys())
        later = known.group_by("sim_key").agg(pl.col("day").max() + pl.duration(days=1)).filter(pl.col("day") <= as_of)
        later = later.with_columns(pl.date_ranges("day", pl.lit(as_of))).explode("day")
        return pl.concat([known, later], how="diagonal").sort("sim_key", "day")

    def looks(self, days: int, *, weekly: bool) -> pl.DataFrame:
        """Looks up to the morning after `days` days: what was used at each."""
        column = np.arange(days + 1)[None, :]
        since = column - self.begun[:, None]
        taken = since >= 0
        if weekly:
            taken &= (since < LEARN_DAYS) | ((column + self.phase[:, None]) % 7 == 0)
        taken &= column < self.volume.shape[1]
        sims, day = np.nonzero(taken)
        today = self.volume[sims, day] * self.seconds[sims] // 86_400
        seen = self._look(sims, day, self.seconds[sims], self.used[sims, day] + today)
        everyone = np.flatnonzero(self.begun <= days)
        begins = self._look(
            everyone, self.begun[everyone], np.zeros(everyone.size), self.used[everyone, self.begun[everyone]]
        )
        return pl.concat([begins, seen])

    def gap(self, source: str, as_of: date) -> int:
        """By how many bytes the days of all SIMs together differ from what they used, each up to its last look."""
        days = (as_of - self.first).days + 1
        if not source.startswith("quota"):
            return abs(int(self.known(source, as_of)["bytes"].sum() - self.volume[:, :days].sum()))
        looks = self.looks(days, weekly=source == "quota weekly").group_by("sim_key").agg(pl.col("used").max())
        laid = days_of_looks(self.looks(days, weekly=source == "quota weekly"))
        by_sim = laid.group_by("sim_key").agg(pl.col("amount").sum()).join(looks, on="sim_key", how="right")
        begins = self.used[np.arange(len(self.volume)), np.minimum(self.begun, days)]
        start = pl.Series("start", begins)[by_sim["sim_key"]]
        return int((by_sim["amount"].fill_null(0) - by_sim["used"] + start).abs().sum())

    def _look(self, sims: IntArray, day: IntArray, seconds: FloatArray | IntArray, used: IntArray) -> pl.DataFrame:
        at = np.datetime64(self.first, "us").astype(np.int64)
        moment = at + day * DAY_US + (seconds * 1e6).astype(np.int64)
        times = pl.Series("observed_at", moment).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return pl.DataFrame({"sim_key": sims.astype(np.int32), "observed_at": times, "used": used})

    def _frame(self, sims: IntArray, column: IntArray, volume: IntArray) -> pl.DataFrame:
        day = pl.Series("day", np.datetime64(self.first, "D") + column).cast(pl.Date)
        return pl.DataFrame({"sim_key": sims.astype(np.int32), "day": day, "bytes": volume})


# --- forecasts and days ----------------------------------------------------------------------------------------------


def forecasts(seeds: list[int], sims: int, days: int) -> dict[str, dict[str, float]]:
    """By source: daily error, and of the forecast of the following 30 days rMASE and coverage, over all seeds."""
    found: dict[str, list[tuple[Scored, Scored, float, float]]] = {source: [] for source in SOURCES}
    for seed in seeds:
        first = date(2026, 1, 1)
        as_of = first + timedelta(days=days - 1)
        fleet = Fleet(seed=seed, sims=sims, start=first)
        volume = fleet.usage(np.arange(sims), first, as_of + timedelta(days=HORIZON)).volume
        begun = np.maximum(fleet.demand.activation - first.toordinal(), 0)
        volume, begun = volume[begun < days - 14], begun[begun < days - 14]
        book = Book(volume, first, begun, seed)
        actual = volume[:, days:].astype(np.float64)
        truth = np.where(np.arange(days)[None, :] < begun[:, None], np.nan, volume[:, :days])
        base: Scored | None = None
        for source in SOURCES:
            history = book.known(source, as_of)
            laid = relaid(history)
            _, outcome = fit_predict(laid, as_of=as_of, horizon=HORIZON)
            base = base or score(naive(laid, as_of), truth, actual, np.nan)
            quantiles = outcome.frame.select(NAMES).to_numpy().reshape(-1, HORIZON, len(NAMES))
            covered = float(sums_covered(outcome, actual).mean())
            found[source].append((score(quantiles, truth, actual, np.nan), base, covered, _daily_error(history, book)))
    return {
        source: {
            "rMASE": float(np.mean([rmase(_errors(ours), _errors(base)) for ours, base, _, _ in runs])),
            "covers 80 %": float(np.mean([np.mean(ours["inside 80"]) for ours, _, _, _ in runs])),
            "covers 95 %": float(np.mean([np.mean(ours["inside 95"]) for ours, _, _, _ in runs])),
            "30-day sum, 80 %": float(np.mean([covered for _, _, covered, _ in runs])),
            "daily error": float(np.mean([error for _, _, _, error in runs])),
        }
        for source, runs in found.items()
    }


def _errors(scored: Scored) -> FloatArray:
    return np.asarray(scored["error"])


def _daily_error(history: pl.DataFrame, book: Book) -> float:
    """Of the days that a source knows or spreads: the mean distance from the truth, as a share of the mean day."""
    known = history.filter(pl.col("bytes").is_not_null())
    column = (known["day"] - book.first).dt.total_days().to_numpy()
    true = book.volume[known["sim_key"].to_numpy(), column]
    return float(np.abs(known["bytes"].to_numpy() - true).sum() / max(true.sum(), 1))


# --- ends ------------------------------------------------------------------------------------------------------------


class Seen(exhaustion.Truth):
    """The fleet's true ends; its history as a source knows it."""

    source = SOURCES[0]

    def history(self, as_of: date, days: int) -> pl.DataFrame:
        end = self.column(as_of) + 1
        begin = max(end - days, 0)
        window = self.volume[:, begin : end + 1]
        begun = np.argmax(np.cumsum(window, axis=1) > 0, axis=1)
        never = window[:, : end - begin].sum(axis=1) == 0
        begun[never] = window.shape[1]
        book = Book(window, self.first + timedelta(days=begin), begun, seed=1)
        return relaid(book.known(self.source, as_of))


def ends(seed: int, sims: int, days: int, as_of_days: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """By source, of SIMs that could be wrong: how often P10 to P90 held the true end, the median's error in days."""
    truth = Seen(seed, sims, before=max(days - exhaustion.AS_OF_DAYS[0], exhaustion.SMS_DAYS))
    found = {}
    for source in SOURCES:
        truth.source = source
        parts = [exhaustion.dates_of(truth, exhaustion.START + timedelta(days=day), days) for day in as_of_days]
        facts = pl.concat([frame for frame, _ in parts])
        scores = score_dates(
            np.concatenate([part[exhaustion.METHODS[0]] for _, part in parts]),
            facts["end"].to_numpy(),
            groups=facts["archetype"].to_list(),
            known=np.full(facts.height, np.inf),
            certain=facts["expiry"].to_numpy(),
        )
        row = scores.frame.row(by_predicate=pl.col("group") == "all", named=True)
        found[source] = {"P10 to P90": row["coverage_80"], "error, days": row["error_days"], "open": row["open"]}
    return found


# --- anomalies and silence -------------------------------------------------------------------------------------------


class Watched(anomaly.Data):
    """A fleet with injected faults; its history as a source knows it."""

    source = SOURCES[0]

    @cached_property
    def true_history(self) -> pl.DataFrame:
        return super().history

    @cached_property
    def _book(self) -> Book:
        everyone = np.arange(self.fleet.sims)
        volume = self.fleet.usage(everyone, self.first, self.last + timedelta(days=1)).volume
        begun = np.maximum(self.fleet.demand.activation - self.first.toordinal(), 0)
        return Book(volume, self.first, np.minimum(begun, volume.shape[1] - 1), self.fleet.seed)

    def until(self, day: date) -> dict[str, pl.DataFrame]:
        known = super().until(day)
        if self.source != SOURCES[0]:
            sms = self.true_history.select("sim_key", "day", "sms")
            history = self._book.known(self.source, day).join(sms, on=["sim_key", "day"], how="left")
            known["history"] = history.with_columns(pl.col("sms").fill_null(0))
        return known


def anomalies(seed: int, sims: int) -> dict[str, dict[str, float]]:
    """By source, at knob 1: recall, false alarms of 1,000 clean SIM-days, and silent SIMs that agree with the truth."""
    last = anomaly.START + timedelta(days=anomaly.BEFORE + anomaly.STEP * anomaly.STEPS - 91)
    first = anomaly.START - timedelta(days=90)
    faulty, clean = (
        Watched(Fleet(seed=seed, sims=sims, start=anomaly.START, scenario=scenario), first, last)
        for scenario in (ALL, CLEAN)
    )
    found = {}
    for source in SOURCES:
        faulty.source = clean.source = source
        of_clean = pl.concat(anomaly.walk(clean, [1.0])).filter("looked")
        _, summary = anomaly.scored(faulty, pl.concat(anomaly.walk(faulty, [1.0])), 1)
        found[source] = {
            "recall": summary["recall"],
            "false per 1,000": anomaly.false_alarms(of_clean, 1)["false_per_1000"],
            **_silences(faulty, source),
        }
    return found


def _silences(fleet: Watched, source: str) -> dict[str, float]:
    """Silent SIMs of the last days by the usage call, how many of them the source calls silent, and how many others."""
    true: set[tuple[int, date]] = set()
    told: set[tuple[int, date]] = set()
    for back in range(0, SILENT_DAYS, 7):
        as_of = fleet.last - timedelta(days=back)
        for which, into in ((SOURCES[0], true), (source, told)):
            history = fleet._book.known(which, as_of)
            into.update((sim, as_of) for sim in silence(history, as_of=as_of).filter("is_silent")["sim_key"])
    return {
        "silent found": len(true & told) / max(len(true), 1),
        "silent wrongly": len(told - true) / max(len(true), 1),
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """A table, one row a source."""
    columns = list(next(iter(found.values())))
    lines = [f"{'':26}" + "".join(f"{name:>18}" for name in columns)]
    for source, figures in found.items():
        lines.append(f"{source:26}" + "".join(f"{figures[name]:18.3f}" for name in columns))
    return "\n".join(lines)


def main() -> None:
    """Print the tables and the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[901, 902, 903])
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--quick", action="store_true", help="forecasts and totals only")
    given = parser.parse_args()
    began = time.process_time()
    first = date(2026, 1, 1)
    as_of = first + timedelta(days=given.days - 1)
    print(f"Synthetic fleets of {given.sims} SIMs, {given.days} days of history, seeds {given.seeds}\n")
    fleet = Fleet(seed=given.seeds[0], sims=given.sims, start=first)
    volume = fleet.usage(np.arange(given.sims), first, as_of + timedelta(days=1)).volume
    begun = np.clip(fleet.demand.activation - first.toordinal(), 0, given.days)
    book = Book(volume, first, begun, given.seeds[0])
    gaps = {source: book.gap(source, as_of) for source in SOURCES}
    total = int(volume[:, : given.days].sum())
    print("gap in all, bytes: " + ", ".join(f"{source} {gap}" for source, gap in gaps.items()) + f" of {total}\n")
    by_source = forecasts(given.seeds, given.sims, given.days)
    print(table(by_source), flush=True)
    if not given.quick:
        print("\nends:\n" + table(ends(500, given.sims, given.days, (150, 270, 390))), flush=True)
        print("\nanomalies at knob 1, and silences:\n" + table(anomalies(given.seeds[0], given.sims)), flush=True)
    print(f"\n{time.process_time() - began:.0f} CPU s")
    call = by_source["usage call"]["rMASE"]
    exact = max(gap for source, gap in gaps.items() if source != "stream, two days missing")
    print(
        f"sources quota_daily_rmase={by_source['quota daily']['rMASE'] / call:.3f} "
        f"quota_weekly_rmase={by_source['quota weekly']['rMASE'] / call:.3f} total_gap={exact}"
    )


if __name__ == "__main__":
    main()
