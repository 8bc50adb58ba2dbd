"""How well anomalies are found on synthetic fleets whose faults are recorded: against the plain Isolation Forest, and
how fast.

    python -m benchmarks.anomaly [--seed 901] [--sims 2000] [--knob 0.5 1 5]
    python -m benchmarks.anomaly --incident [--sims 10000]
    python -m benchmarks.anomaly --speed [--sims 100000]
    python -m benchmarks.anomaly --unseen [--half B] [--sims 600] [--history 180]

The detector is fitted every two weeks on the days so far, and finds on the two weeks after what it had not seen. A
clean fleet of the same seed says what is a false alarm. The fleets' truth scores only; nothing here reads it otherwise.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from sklearn.ensemble import IsolationForest

from benchmarks.unseen_fleets import unseen
from ml.anomaly import PEER_SCHEMA, PERIOD_SCHEMA, detect, fit, group, limits
from simulator.account import SimCards
from simulator.catalog import COUNTRIES
from simulator.events import sessions_of
from simulator.fleet import Fleet
from simulator.hashing import NEVER
from simulator.injected_anomalies import ALL, CLEAN
from simulator.ledger import DAY_SECONDS
from simulator.truth import daily_usage, truth

START = date(2025, 3, 1)
BEFORE = 150  # days of history before the first fit
STEP = 14  # days from fit to fit
STEPS = 6
AFTER = 14  # days after an event in which an alarm is still about it
UNIX = date(1970, 1, 1).toordinal()


@dataclass
class Data:
    """A fleet as the pipeline knows it, with what was done to it."""

    fleet: Fleet
    first: date
    last: date

    @cached_property
    def history(self) -> pl.DataFrame:
        used = daily_usage(self.fleet, self.first, self.last)
        keys = dict(zip(self.fleet.iccids, range(self.fleet.sims), strict=True))
        key = pl.col("iccid").replace_strict(keys, return_dtype=pl.Int32).alias("sim_key")
        return used.select(key, "day", "bytes", sms=pl.col("sms_mt") + pl.col("sms_mo"))

    @cached_property
    def events(self) -> pl.DataFrame:
        cards, parts = SimCards(self.fleet), []
        for rows in np.split(np.arange(self.fleet.sims), range(512, self.fleet.sims, 512)):
            found = sessions_of(self.fleet, rows, self.first.toordinal(), self.last.toordinal())
            day, second = np.divmod(found.begin, DAY_SECONDS)
            begun = pl.DataFrame({"sim": rows[found.which], "at": day, "hours": 1 << second // 3600})
            parts.append(begun.group_by("sim", "at").agg(pl.len(), pl.col("hours").bitwise_or()))
        days = pl.concat(parts).sort("sim", "at")
        sim, at = days["sim"].to_numpy(), days["at"].to_numpy()
        country, operator = cards.locations(sim, at)
        width = max(len(country[7]) for country in COUNTRIES)
        operators = np.array([[name for _, name, _ in c[7]] + [""] * (width - len(c[7])) for c in COUNTRIES])
        return pl.DataFrame(
            {
                "sim_key": sim.astype(np.int32),
                "day": (at - UNIX).astype("M8[D]"),
                "imei": cards.imeis_on(sim, at).astype(str),
                "country": np.array([c[0] for c in COUNTRIES])[country],
                "operator": operators[country, operator],
                "sessions": days["len"].cast(pl.Int32),
                "hours": days["hours"].cast(pl.Int32),
            }
        ).with_columns(pl.col("imei").str.zfill(16))

    def peers(self, day: date) -> pl.DataFrame:
        """What SIMs have in common, as of the end of a day."""
        cards, everyone = SimCards(self.fleet), np.arange(self.fleet.sims)
        days = np.full(len(everyone), day.toordinal())
        country, _ = cards.locations(everyone, days)
        columns = {
            "sim_key": everyone,
            "device_type": [f"{imei:016d}"[:8] for imei in cards.imeis_on(everyone, days).tolist()],
            "label_prefix": [cards.label(i).split("-")[0] for i in everyone.tolist()],
            "country": np.array([c[0] for c in COUNTRIES])[country],
            "operator": [""] * len(everyone),
            "batch": [date.fromordinal(int(day)).strftime("%Y-%m") for day in self.fleet.demand.activation],
        }
        return pl.DataFrame(columns).select(pl.col(name).cast(kind) for name, kind in PEER_SCHEMA.items())

    @cached_property
    def periods(self) -> pl.DataFrame:
        """What the lifecycle would say: exhausted, expired, disabled."""
        through, demand = self.last.toordinal(), self.fleet.demand
        ledger = self.fleet.ledger(np.arange(self.fleet.sims), through).data
        rows: list[tuple[int, date, date | None, str]] = []
        for sim, k in zip(*np.nonzero(ledger.exhausted_from <= through), strict=True):
            until = int(ledger.exhausted_until[sim, k])
            rows.append(
                (int(sim), _day(ledger.exhausted_from[sim, k]), _day(until) if until <= through else None, "exhausted")
            )
        for state, since in (
            ("expired", demand.expiry),
            ("disabled", np.where(demand.churn_last < NEVER, demand.churn_last + 14, NEVER)),
        ):
            rows += [(int(sim), _day(since[sim]), None, state) for sim in np.flatnonzero(since <= through)]
        return pl.DataFrame(rows, schema=PERIOD_SCHEMA, orient="row")

    @cached_property
    def truth(self) -> list[dict[str, object]]:
        sims: dict[str, dict[str, object]] = truth(self.fleet, (self.last - START).days + 1)["sims"]
        return list(sims.values())

    @cached_property
    def clean(self) -> set[int]:
        return {sim for sim, facts in enumerate(self.truth) if facts["clean"]}

    @cached_property
    def done(self) -> pl.DataFrame:
        """One row an event: sim_key, kind, first_day, last_day. Kinds dead and fading (a customer that leaves) last to
        the end.
        """
        rows = []
        for sim, facts in enumerate(self.truth):
            rows += [(sim, a["kind"], a["first_day"], a["last_day"]) for a in facts["anomalies"] if a["visible"]]  # type: ignore[attr-defined]
            if facts["death"]:
                rows.append((sim, "dead", facts["death"], self.last.isoformat()))
            if facts["churn"]:
                rows.append((sim, "fading", facts["churn"]["first_day"], self.last.isoformat()))  # type: ignore[index]
        frame = pl.DataFrame(
            rows,
            schema={"sim_key": pl.Int32, "kind": pl.String, "first_day": pl.String, "last_day": pl.String},
            orient="row",
        )
        return frame.with_columns(pl.col("first_day", "last_day").str.to_date())

    def until(self, day: date) -> dict[str, pl.DataFrame]:
        """All that is known at the end of a day."""
        ended = pl.when(pl.col("last_day") <= day).then("last_day").alias("last_day")
        return {
            "history": self.history.filter(pl.col("day") <= day),
            "events": self.events.filter(pl.col("day") <= day),
            "peers": self.peers(day),
            "periods": self.periods.filter(pl.col("first_day") <= day).with_columns(ended),
        }


def _day(ordinal: int) -> date:
    return date.fromordinal(int(ordinal))


def data(seed: int, sims: int, scenario: str) -> Data:
    last = START + timedelta(days=BEFORE + STEP * STEPS - 91)
    return Data(Fleet(seed=seed, sims=sims, start=START, scenario=scenario), START - timedelta(days=90), last)


def walk(fleet: Data, knobs: list[float]) -> Iterator[pl.DataFrame]:
    """Detections of each stretch of days at each knob by a model that knew the days before only; score 1: an anomaly,
    else 0.
    """
    begin = fleet.last - timedelta(days=STEP * STEPS)
    for step in range(STEPS):
        known = fleet.until(begin + timedelta(days=STEP * step))
        model = fit(
            known["history"],
            known["events"],
            begin + timedelta(days=STEP * step),
            peers=known["peers"],
            periods=known["periods"],
        )
        as_of = begin + timedelta(days=STEP * (step + 1))
        known = fleet.until(as_of)
        for knob in knobs:
            found = detect(model, as_of=as_of, days=STEP, false_alarms_per_1000=knob, **known)
            looked = pl.Series("looked", ~np.isnan(found.signals.bytes[:, -STEP:]).ravel())
            yield found.frame.select(
                "sim_key",
                "day",
                pl.lit(knob).alias("knob"),
                pl.col("is_anomaly").cast(pl.Float64).alias("score"),
                "kind",
                looked,
            )


def plain(fleet: Data) -> pl.DataFrame:
    """The baseline: an Isolation Forest a day, contamination 0.05, over five features of the last seven days."""
    begin = fleet.last - timedelta(days=STEP * STEPS)
    days = pl.DataFrame({"day": pl.date_range(begin - timedelta(days=6), fleet.last, eager=True)})
    sims = fleet.history.select("sim_key").unique().sort("sim_key")
    grid = sims.join(days, how="cross").join(
        fleet.history.select("sim_key", "day", "bytes"), on=["sim_key", "day"], how="left"
    )
    volume = grid.sort("sim_key", "day")["bytes"].fill_null(0).to_numpy().reshape(sims.height, -1).astype(float)
    parts = []
    for at in range(6, volume.shape[1]):
        week = volume[:, at - 6 : at + 1]
        mean = week.mean(axis=1)
        features = np.column_stack(
            [mean, week.std(axis=1), week.max(axis=1), (week > 0).sum(axis=1), week[:, -1] / np.maximum(mean, 1)]
        )
        forest = IsolationForest(contamination=0.05, random_state=0, n_jobs=1).fit(features)
        odd = -forest.decision_function(features)
        parts.append(
            sims.with_columns(
                pl.lit(days["day"][at]).alias("day"),
                pl.Series("score", odd),
                pl.Series("looked", np.ones(len(odd), bool)),
            )
        )
    return pl.concat(parts)


def scored(fleet: Data, found: pl.DataFrame, limit: float) -> tuple[pl.DataFrame, dict[str, float]]:
    """By kind: events, found, delay; and in all: recall, precision of alarms (runs of days), F1, false alarms per 1,000
    clean SIM-days.
    """
    begin, last = found["day"].min(), found["day"].max()
    assert isinstance(begin, date)
    assert isinstance(last, date)
    flagged = found.filter(pl.col("score") >= limit).select("sim_key", "day")
    events = fleet.done.filter(
        pl.col("first_day") >= begin, pl.col("first_day") <= last - timedelta(days=3)
    ).with_row_index("event")
    here = found.filter("looked").select("sim_key", "day").join(events, on="sim_key")
    seen = here.filter(pl.col("day").is_between("first_day", "last_day"))["event"].unique()
    odd_places = (
        fleet.events.join(events, on="sim_key")
        .filter(pl.col("day").is_between("first_day", "last_day"))["event"]
        .unique()
    )
    connected = ~pl.col("kind").is_in(["unexpected_country", "unexpected_operator", "unusual_hours"]) | pl.col(
        "event"
    ).is_in(odd_places.implode())
    events = events.filter(pl.col("event").is_in(seen.implode()) & connected)
    grace = pl.when(pl.col("kind") == "imei_change").then(AFTER).otherwise(1)
    hits = flagged.join(events, on="sim_key").filter(
        pl.col("day").is_between("first_day", pl.col("last_day") + pl.duration(days=grace))
    )
    delay = hits.group_by("event").agg(delay=(pl.col("day").min() - pl.col("first_day").first()).dt.total_days())
    events = events.join(delay, on="event", how="left")
    by_kind = events.group_by("kind").agg(
        events=pl.len(), found=pl.col("delay").count(), delay_days=pl.col("delay").median()
    ).sort("kind")  # fmt: skip
    faults = events.filter(pl.col("kind") != "fading")
    runs = flagged.sort("sim_key", "day").with_columns(
        run=(
            (pl.col("day").diff().dt.total_days().fill_null(99) > 2) | (pl.col("sim_key").diff().fill_null(1) != 0)
        ).cum_sum()
    )
    about = runs.join(fleet.done, on="sim_key").filter(
        pl.col("day").is_between("first_day", pl.col("last_day") + pl.duration(days=AFTER))
    )
    alarms, true = runs["run"].n_unique(), about["run"].n_unique()
    clean = found.filter(pl.col("sim_key").is_in(list(fleet.clean)), pl.col("looked"))
    recall = faults["delay"].count() / max(faults.height, 1)
    precision = true / max(alarms, 1)
    summary = {
        "events": faults.height,
        "recall": recall,
        "alarms": alarms,
        "precision": precision,
        "F1": 2 * recall * precision / max(recall + precision, 1e-9),
        **false_alarms(clean, limit),
    }
    return by_kind, summary


def false_alarms(clean: pl.DataFrame, limit: float) -> dict[str, float]:
    """Flagged SIM-days of 1,000, and the upper 95 % bound of their rate: the days of a SIM are taken together."""
    by_sim = clean.group_by("sim_key").agg(n=(pl.col("score") >= limit).sum().cast(pl.Float64))["n"].to_numpy()
    number, total = clean.height, by_sim.sum()
    return {
        "sim_days": number,
        "false": total,
        "false_per_1000": 1000 * total / number,
        "bound_95": 1000 * (total + 1.645 * np.sqrt((by_sim**2).sum()) + 1) / number,
    }


def at_recall(fleet: Data, found: pl.DataFrame, recall: float) -> dict[str, float]:
    """The baseline with the highest limit that finds as many events."""
    levels = np.unique(np.quantile(found["score"].to_numpy(), np.linspace(0, 1, 400)))
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if scored(fleet, found, levels[middle])[1]["recall"] >= recall:
            low = middle
        else:
            high = middle - 1
    return scored(fleet, found, levels[low])[1]


def quality(seed: int, sims: int, knobs: list[float]) -> None:
    faulty, clean = data(seed, sims, ALL), data(seed, sims, CLEAN)
    begun = time.process_time()
    on_clean = pl.concat(walk(clean, knobs)).filter("looked")
    on_faulty = pl.concat(walk(faulty, knobs))
    print(f"seed {seed}, {sims} SIMs, {STEP * STEPS} days; {time.process_time() - begun:.0f} CPU s")
    for knob in knobs:
        print(f"\nknob {knob} per 1,000")
        print("  clean fleet:", _told(false_alarms(on_clean.filter(pl.col("knob") == knob), 1)))
        by_kind, summary = scored(faulty, on_faulty.filter(pl.col("knob") == knob), 1)
        print("  faulty fleet:", _told(summary))
        if knob == 1:
            ours = summary
            for row in by_kind.iter_rows(named=True):
                print(f"    {row['kind']}: {row['found']} of {row['events']}, delay {row['delay_days']}")
    baseline = plain(faulty)
    print("\nplain Isolation Forest, contamination 0.05:", _told(scored(faulty, baseline, 0.0)[1]))
    print("  on the clean fleet:", _told(false_alarms(plain(clean), 0.0)))
    if 1 in knobs:
        same = at_recall(faulty, baseline, ours["recall"])
        print(
            "  at our recall:",
            _told(same),
            f"{same['false_per_1000'] / max(ours['false_per_1000'], 1e-9):.0f} times our false alarms",
        )


def incident(seed: int, sims: int) -> None:
    """The firmware loop: how many of its SIMs, and how many others, are members of its incident, day after day."""
    fleet = data(seed, sims, ALL)
    demand = fleet.fleet.demand
    begin = date.fromordinal(int(demand.loop_first.min()))
    known = fleet.until(begin - timedelta(days=3))
    model = fit(
        known["history"], known["events"], begin - timedelta(days=3), peers=known["peers"], periods=known["periods"]
    )
    members: set[int] = set()
    for day in range(14):
        as_of = begin + timedelta(days=day)
        found = detect(model, as_of=as_of, **fleet.until(as_of)).frame.filter("is_anomaly")
        grouped = group(found, fleet.peers(as_of))
        ours = grouped.incidents.filter(pl.col("scope").struct.field("device_type") == "86492305")["number"].to_list()
        members |= set(grouped.members.filter(pl.col("number").is_in(ours))["sim_key"].to_list())
        looping = set(np.flatnonzero(demand.loop_first <= as_of.toordinal()).tolist())
        titles = grouped.incidents["title"].to_list()
        print(
            f"day {day}: {len(looping)} loop, {len(members & looping)} are members, {len(members - looping)} "
            f"strangers; {titles}"
        )


def speed(sims: int) -> None:
    """90 days of a fleet, by copies of 5,000 synthetic SIMs: fit (on 20,000 at most), detect, group, limits."""
    base = Data(
        Fleet(seed=11, sims=min(sims, 5_000), start=START, scenario=ALL),
        START + timedelta(days=60),
        START + timedelta(days=149),
    )
    copies = -(-sims // base.fleet.sims)
    one = base.until(base.last)
    many = {
        name: pl.concat([frame.with_columns(pl.col("sim_key") + k * base.fleet.sims) for k in range(copies)])
        for name, frame in one.items()
    }
    sample = {name: frame.filter(pl.col("sim_key") < 20_000) for name, frame in many.items()}
    print(f"{sims} SIMs x 90 days, {many['history'].height} usage rows, {many['events'].height} event rows")
    at, cpu = time.perf_counter(), time.process_time()
    model = fit(sample["history"], sample["events"], base.last, peers=sample["peers"], periods=sample["periods"])
    print(f"fit: {time.perf_counter() - at:.1f} s")
    at = time.perf_counter()
    found = detect(model, as_of=base.last, **many)
    print(f"detect: {time.perf_counter() - at:.1f} s")
    at = time.perf_counter()
    odd = found.frame.filter("is_anomaly")
    grouped = group(odd, many["peers"])
    print(f"group: {time.perf_counter() - at:.1f} s, {odd.height} anomalies, {grouped.incidents.height} incidents")
    at = time.perf_counter()
    limits(model, found.signals, many["events"])
    print(f"limits: {time.perf_counter() - at:.1f} s")
    print(
        f"CPU {time.process_time() - cpu:.0f} s, peak memory "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB"
    )


def _told(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" if value % 1 else f"{name} {value:.0f}" for name, value in values.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--sims", type=int)
    parser.add_argument("--knob", type=float, nargs="+", default=[0.5, 1.0, 5.0])
    parser.add_argument("--incident", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--unseen", action="store_true", help="fleets of kinds that nobody had in mind, alone")
    parser.add_argument("--half", choices=("A", "B", "C", "D"), default="B", help="of these kinds")
    parser.add_argument("--history", type=int, default=180, help="days known of them at most")
    arguments = parser.parse_args()
    if arguments.speed:
        speed(arguments.sims or 100_000)
    elif arguments.incident:
        incident(arguments.seed, arguments.sims or 10_000)
    elif arguments.unseen:
        unseen(arguments.half, arguments.sims or 600, arguments.knob, arguments.history)
    else:
        quality(arguments.seed, arguments.sims or 2_000, arguments.knob)
        unseen()


if __name__ == "__main__":
    main()
