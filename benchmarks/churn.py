"""How well ends of SIMs are foreseen on simulated fleets, and how honest the stated risks are.

    python -m benchmarks.churn [--sims 3000] [--seeds 31 32] [--days 640]

Each fleet lives for `--days` days with everything that is done to it on purpose: devices die, sites fade and are
switched off, devices are swapped into other SIMs, quotas run out. What is trained sees the histories of seven of ten
SIMs as they were known months ago; what is scored are the other SIMs, in the months after, against the simulator's own
truth. All data is synthetic. The same lines are made by `ml.churn.evaluation` at each training, where the labels are
those of the histories.
"""

from __future__ import annotations

import argparse
import time
from datetime import date, timedelta

import numpy as np
import polars as pl

from ml.churn.ends import DEAD_DEVICE, END_SCHEMA, SWAPPED, SWITCHED_OFF
from ml.churn.evaluation import Evaluation, evaluate_churn, lines
from ml.churn.features import Histories
from simulator.catalog import DEVICES
from simulator.fleet import Fleet
from simulator.hashing import NEVER
from simulator.ledger import DAY_SECONDS
from simulator.swaps import ENDS

START = date(2024, 3, 1)
EPOCH = date(1970, 1, 1).toordinal()


def histories_of(fleet: Fleet, days: int, before: int = 60) -> Histories:
    """What the pipeline would know of a fleet after so many days."""
    first, last = fleet.start - timedelta(days=before), fleet.start + timedelta(days=days - 1)
    everyone, demand = np.arange(fleet.sims), fleet.demand
    volume = fleet.usage(everyone, first, last).volume
    sim, at = np.nonzero(volume)
    usage = pl.DataFrame(
        {"sim_key": sim, "day": (first.toordinal() - EPOCH + at).astype("M8[D]"), "bytes": volume[sim, at]}
    ).with_columns(pl.col("sim_key").cast(pl.Int32), pl.col("day").cast(pl.Date))
    end = last.toordinal()
    ledger = fleet.ledger(everyone, end).data
    facts: list[tuple[int, int, str]] = []
    for what, ticks in (("exhausted", ledger.exceeded_at), ("topped_up", ledger.credit_at[:, 1:])):
        rows, places = np.nonzero(ticks < (end + 1) * DAY_SECONDS)
        facts += [
            (int(row), int(ticks[row, place]) // DAY_SECONDS, what) for row, place in zip(rows, places, strict=True)
        ]
    for what, day in (("disabled", demand.churn_last + 14), ("expired", demand.expiry), ("swapped", demand.swap + 1)):
        facts += [(int(row), int(day[row]), what) for row in np.flatnonzero(day <= end)]
    told = pl.DataFrame(facts, schema={"sim_key": pl.Int32, "ordinal": pl.Int64, "fact": pl.String}, orient="row")
    sims = pl.DataFrame(
        {
            "sim_key": everyone.astype(np.int32),
            "activated_on": (demand.activation - EPOCH).astype("M8[D]"),
            "device_type": [DEVICES[kind][0] for kind in demand.device.tolist()],
            "peer_group": None,
            "label_group": [f"site {site}" for site in demand.site.tolist()],
        }
    )
    return Histories(
        sims=sims.with_columns(pl.col("activated_on").cast(pl.Date), pl.col("peer_group").cast(pl.String)),
        usage=usage,
        facts=told.select("sim_key", day=_day(pl.col("ordinal")), fact="fact").sort("sim_key", "day"),
    ).checked()


def true_ends(fleet: Fleet, delays: pl.DataFrame) -> pl.DataFrame:
    """END_SCHEMA: when each SIM really ended and by what. delays: sim_key, silent_after: how many days of silence are
    usual for it, so that an end counts from the day it can be seen."""
    demand = fleet.demand
    days = {DEAD_DEVICE: demand.death, SWITCHED_OFF: demand.churn_last, SWAPPED: demand.swap}
    parts = [
        pl.DataFrame({"sim_key": np.flatnonzero(day < NEVER).astype(np.int32), "ordinal": day[day < NEVER]})
        .filter(pl.col("ordinal") < np.int64(date(2100, 1, 1).toordinal()))
        .with_columns(cause=pl.lit(cause))
        for cause, day in days.items()
    ]
    found = pl.concat(parts).join(delays, on="sim_key", how="inner")
    ended_on = _day(pl.col("ordinal")) + pl.duration(days=pl.col("silent_after"))
    return found.select("sim_key", ended_on=ended_on, cause="cause").cast(END_SCHEMA)  # type: ignore[arg-type]


def _day(ordinal: pl.Expr) -> pl.Expr:
    return (ordinal - EPOCH).cast(pl.Int32).cast(pl.Date)


def tested(seed: int, sims: int, days: int) -> Evaluation:
    fleet = Fleet(seed=seed, sims=sims, start=START, scenario=ENDS)
    histories = histories_of(fleet, days)
    as_of = START + timedelta(days=days - 1)
    return evaluate_churn(histories, as_of=as_of, seed=seed, truth=lambda delays: true_ends(fleet, delays))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 32])
    parser.add_argument("--days", type=int, default=640)
    given = parser.parse_args()
    main_figures = []
    for seed in given.seeds:
        began = time.process_time()
        found = tested(seed, given.sims, given.days)
        print(f"Synthetic fleet, {given.sims} SIMs, seed {seed}, {given.days} days: {found.note}")
        print("\n".join(lines(found)))
        print(f"{time.process_time() - began:.0f} CPU seconds, simulation included\n", flush=True)
        main_figures.append(found.summary)
    auc, ece, lift = (np.mean([one[name] for one in main_figures]) for name in ("auc", "ece", "lift10"))
    print(f"churn auc={auc:.3f} ece={ece:.3f} lift10={lift:.2f}")


if __name__ == "__main__":
    main()
