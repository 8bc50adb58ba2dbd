"""How anomalies are found in fleets of kinds that nobody had in mind: `simulator.field_kinds`, in four parts.

Half A may be looked at while the detector is made; half B says how it does on kinds that are not in A, and half C, the
younger one, on kinds that are in neither. The kinds of D are drawn by its seed: TUNING_SEEDS may be looked at, too.
`python -m benchmarks.anomaly --unseen [--half A] [--sims 600]`; SEEDS of A are those that settings were chosen on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from ml.anomaly import PERIOD_SCHEMA, detect, fit, group
from simulator.field import FieldFleet

STARTS = (date(2025, 8, 1), date(2025, 2, 1))  # with Christmas in the days tested, and with summer
SEEDS = {"A": (1, 2), "B": (101, 102), "C": (201, 202), "D": (401, 402)}
TUNING_SEEDS = (301, 302, 303, 304, 305, 306, 307)  # of half D that settings may be chosen on
BEFORE = 90  # days before the first fit
STEP = 14


def inputs(fleet: FieldFleet, day: date, history_days: int = 180) -> dict[str, pl.DataFrame]:
    """All that is known at the end of a day."""
    known = pl.col("day").is_between(day - timedelta(days=history_days - 1), day)
    return {
        "history": fleet.history.filter(known),
        "events": fleet.events.filter(known),
        "peers": fleet.peers,
        "periods": pl.DataFrame(schema=PERIOD_SCHEMA),
    }


def walk(fleet: FieldFleet, knobs: list[float], history_days: int = 180) -> Iterator[pl.DataFrame]:
    """Anomalies of the days after BEFORE by models that knew the days before only, at each knob."""
    for begin in range(BEFORE, fleet.days, STEP):
        known = fleet.first + timedelta(days=begin - 1)
        as_of = min(known + timedelta(days=STEP), fleet.last)
        model = fit(as_of=known, **inputs(fleet, known, history_days))
        for knob in knobs:
            days = (as_of - known).days
            found = detect(
                model, as_of=as_of, days=days, false_alarms_per_1000=knob,
                **inputs(fleet, as_of, history_days + days),
            ).frame  # fmt: skip
            yield found.with_columns(knob=pl.lit(knob))


def visible(fleet: FieldFleet) -> pl.DataFrame:
    """The events that left a trace: sim_key, what, first_day, last_day."""
    twin = replace(fleet, faulty=False)
    joined = [
        getattr(one, name).join(getattr(other, name), on=getattr(one, name).columns, how="anti", nulls_equal=True)
        for name in ("history", "events")
        for one, other in ((fleet, twin), (twin, fleet))
    ]
    changed = pl.concat([part.select("sim_key", "day") for part in joined]).unique()
    rows = [
        (sim, what, fleet.first + timedelta(days=first), fleet.first + timedelta(days=last))
        for sim, what, first, last in fleet.events_done
    ]
    schema = {"sim_key": pl.Int32, "what": pl.String, "first_day": pl.Date, "last_day": pl.Date}
    events = pl.DataFrame(rows, schema=schema, orient="row").with_row_index("event")
    here = changed.join(events, on="sim_key").filter(pl.col("day").is_between("first_day", "last_day"))
    return events.filter(pl.col("event").is_in(here["event"].unique().implode()))


def recall(fleet: FieldFleet, found: pl.DataFrame) -> pl.DataFrame:
    """By kind of event, without the loop and the outage: events, found."""
    events = visible(fleet).filter(~pl.col("what").is_in(["firmware_loop", "outage"]))
    grace = pl.when(pl.col("what") == "imei_change").then(STEP).otherwise(1)
    hits = found.filter("is_anomaly").select("sim_key", "day").join(events, on="sim_key").filter(
        pl.col("day").is_between("first_day", pl.col("last_day") + pl.duration(days=grace))
    )  # fmt: skip
    events = events.with_columns(hit=pl.col("event").is_in(hits["event"].unique().implode()))
    return events.group_by("what").agg(events=pl.len(), found=pl.col("hit").sum()).sort("what")


def held(fleet: FieldFleet, found: pl.DataFrame) -> list[float]:
    """Of the SIMs whose firmware loops, the share that is in an incident of their device type, on each of its days on
    which any of them is active."""
    sims, first, length = fleet.loop
    if not len(sims):  # a small fleet may have none
        return []
    name = fleet.types[int(sims[0])]
    shares = []
    for at in range(first, first + length):
        day = fleet.first + timedelta(days=at)
        grouped = group(found.filter("is_anomaly", pl.col("day") == day), fleet.peers)
        ours = grouped.incidents.filter(pl.col("scope").struct.field("device_type") == name)["number"]
        members = grouped.members.filter(pl.col("number").is_in(ours.implode()))["sim_key"].to_list()
        active = fleet.history.filter(pl.col("day") == day, pl.col("sim_key").is_in(sims.tolist()))["sim_key"].to_list()
        if active:
            shares.append(len(set(members) & set(active)) / len(active))
    return shares


def outage(fleet: FieldFleet, found: pl.DataFrame) -> tuple[int, int]:
    """Incidents of the days of the outage and the next that name the operator; SIMs in them."""
    day = fleet.first + timedelta(days=fleet.outage[1])
    number, members = 0, 0
    for after in range(2):
        grouped = group(found.filter("is_anomaly", pl.col("day") == day + timedelta(days=after)), fleet.peers)
        ours = grouped.incidents.filter(pl.col("scope").struct.field("operator") == "T-Mobile")
        number, members = number + ours.height, members + int(ours["sims"].sum())
    return number, members


def false_alarms(found: pl.DataFrame) -> tuple[float, float]:
    """Flagged SIM-days of 1,000 of a clean fleet, and the upper 95 % bound: the days of a SIM are taken together."""
    by_sim = found.group_by("sim_key").agg(pl.col("is_anomaly").sum())["is_anomaly"].to_numpy().astype(float)
    total = by_sim.sum()
    bound = total + 1.645 * np.sqrt((by_sim**2).sum()) + 1
    return 1000 * total / found.height, 1000 * bound / found.height


def unseen(half: str = "B", sims: int = 600, knobs: list[float] | None = None, history_days: int = 180) -> None:
    """Print tables of a half's fleets, and one line with false alarms at knob 1, their bound and the recall."""
    knobs = knobs or [0.5, 1.0, 5.0]
    clean_parts, recalls, loops = [], [], []
    for seed, start in zip(SEEDS[half], STARTS, strict=True):
        faulty = FieldFleet(seed, sims, half, faulty=True, first=start)
        clean = replace(faulty, faulty=False)
        names = pl.DataFrame(
            {"sim_key": np.arange(sims, dtype=np.int32), "device": [clean.kinds[k].name for k in clean.of_kind]}
        )
        of_clean = pl.concat(walk(clean, knobs, history_days))
        clean_parts.append(of_clean.join(names, on="sim_key").with_columns(pl.col("sim_key") + 10_000 * seed))
        of_faulty = pl.concat(walk(faulty, [1.0], history_days))
        recalls.append(recall(faulty, of_faulty))
        loops.append(held(faulty, of_faulty))
        print(f"seed {seed}: loop held {' '.join(f'{share:.2f}' for share in loops[-1])}; outage "
              "%d incidents, %d SIMs" % outage(faulty, of_faulty), flush=True)  # fmt: skip
    everything = pl.concat(clean_parts)
    for knob in knobs:
        rate, bound = false_alarms(everything.filter(pl.col("knob") == knob))
        print(f"half {half}, knob {knob}: false {rate:.2f} per 1,000 (bound {bound:.2f})")
    at_one = everything.filter(pl.col("knob") == (1 if 1 in knobs else knobs[0]))
    by_device = at_one.group_by("device").agg(per_1000=1000 * pl.col("is_anomaly").mean()).sort("device")
    print("  by device:", ", ".join(f"{name} {rate:.2f}" for name, rate in by_device.iter_rows()))
    kinds = at_one.filter("is_anomaly")["kind"].value_counts(sort=True)
    print("  by kind:", ", ".join(f"{name} {count}" for name, count in kinds.iter_rows()))
    table = pl.concat(recalls).group_by("what").sum().sort("what")
    print("  found:", ", ".join(f"{what} {found}/{events}" for what, events, found in table.iter_rows()))
    rate, bound = false_alarms(at_one)
    share = table["found"].sum() / max(table["events"].sum(), 1)
    print(f"anomaly unseen_false_at_1={rate:.2f} bound={bound:.2f} unseen_recall={share:.3f}")
