"""How well ends of SIMs are foreseen on simulated fleets, and how honest the stated risks are.

    python -m benchmarks.churn [--sims 4000] [--seeds 31 32] [--days 640] [--scenario signs]
    python -m benchmarks.churn --starter [--write]

Each fleet lives for `--days` days with everything that is done to it on purpose: devices die, sites fade and are
switched off, devices are swapped into other SIMs, quotas run out. In the scenario "signs" about half of the ends give
signs before, as `simulator.signs` assumes; in "ends" deaths and swaps give none. What is trained sees the histories of
seven of ten SIMs as they were known months ago; what is scored are the other SIMs, in the months after, against the
simulator's own truth. Beside the models stands the "true hazard": the risk that the simulator itself would state, of
all that had happened up to the day, seen and unseen. What comes by chance it cannot foresee either, so its AUC is the
most that a model can hope for. All data is synthetic. The same lines are made by `ml.churn.evaluation` at each
training,
where the labels are those of the histories.

--starter trains the starter model, which a simulated fleet is scored with until it has an own one, on fleets like the
demo's, and scores it on other such fleets on their demo's day; --write keeps it with the code. The same seeds make the
same file, to the byte on one machine with one version of LightGBM and NumPy.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from ml.churn.competing import HORIZONS
from ml.churn.ends import CAUSES, DEAD_DEVICE, END_SCHEMA, SWAPPED, SWITCHED_OFF, silent_after, usual_gaps
from ml.churn.evaluation import Evaluation, evaluate_churn, lines, outcomes, scored
from ml.churn.features import Histories
from ml.churn.hazard import GAP_DAYS, Hazard, Labels, labels_of, month_ends, predict_hazard, train_hazard
from ml.churn.starter import FILE, STARTER
from ml.history import FloatArray
from pipelines.demo import PLATFORM2_SHARE
from services.churn import figures
from simulator.catalog import DEVICES
from simulator.demand import Demand
from simulator.fleet import Fleet
from simulator.hashing import NEVER, Ints
from simulator.ledger import DAY_SECONDS
from simulator.signs import CAUSES as SIGN_CAUSES
from simulator.signs import SIGNS, Signs
from simulator.swaps import ENDS

START = date(2024, 3, 1)
# the demo's fleet, and its as-of day, so long after the fleet's start
DEMO_SIMS, DEMO_SEED, DEMO_DAY = 500, 7, 178
# fleets that the starter model learns from, and for how long: after 545 days nobody of them is switched off any more
STARTER_SEEDS, STARTER_DAYS = range(101, 117), 540
# fleets that it is scored on, from spring or autumn on
OTHER_SEEDS, OTHER_STARTS = range(301, 361), (date(2024, 3, 1), date(2024, 9, 1))
FLEET_KEYS = 10_000  # keys of SIMs of one fleet among several
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
    beside = {} if demand.signs is None else _signs_seen(demand, demand.signs, volume, first, last)
    return Histories(
        sims=sims.with_columns(pl.col("activated_on").cast(pl.Date), pl.col("peer_group").cast(pl.String)),
        usage=usage,
        facts=told.select("sim_key", day=_day(pl.col("ordinal")), fact="fact").sort("sim_key", "day"),
        **beside,
    ).checked()


def _signs_seen(demand: Demand, signs: Signs, volume: Ints, first: date, last: date) -> dict[str, pl.DataFrame]:
    """The frames `connection` and `tickets` of an account with a Data Streamer and a look at each SIM a week."""
    everyone, days = np.arange(len(volume)), np.arange(first.toordinal(), last.toordinal() + 1)
    well = copy.copy(demand)
    well.signs = None
    parts = []
    for rows in np.array_split(everyone, max(len(everyone) // 500, 1)):
        used = volume[rows] > 0
        missed = (well.wanted(rows, days).volume > 0) & (demand.wanted(rows, days).volume == 0)
        missed &= days < signs.gone[rows, None]
        sessions, empty, reached = signs.connection(rows, days, used, missed)
        reached = np.where((days >= demand.activation[rows, None]) & (days < signs.gone[rows, None]), reached, -1)
        sim, at = np.nonzero((sessions > 0) | (reached >= 0))
        seen = {"sim_key": rows[sim], "ordinal": days[at], "reached": reached[sim, at]}
        parts.append(pl.DataFrame(seen | {"sessions": sessions[sim, at], "empty_sessions": empty[sim, at]}))
    told = pl.when(pl.col("reached") >= 0).then("reached").cast(pl.Float64)
    connection = pl.concat(parts).with_columns(day=_day(pl.col("ordinal")), quality=told)
    sim, at = np.nonzero(signs.tickets & (signs.begin + np.arange(signs.tickets.shape[1]) < signs.gone[:, None]))
    opened = pl.DataFrame({"sim_key": sim, "ordinal": signs.begin + at}).with_columns(day=_day(pl.col("ordinal")))
    return {"connection": connection, "tickets": opened.filter(pl.col("day").is_between(first, last))}


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


def true_risks(signs: Signs, snapshots: pl.DataFrame) -> FloatArray:
    """What `evaluate_churn` calls a ceiling: frame sim_key, snapshot, silent_after."""
    assert SIGN_CAUSES == CAUSES
    days = snapshots["snapshot"].to_physical().to_numpy().astype(np.int64) + EPOCH
    # an end counts from the day on which it can be seen
    before = GAP_DAYS - snapshots["silent_after"].to_numpy()
    ahead = np.maximum(before[:, None] + np.array(HORIZONS), 0)
    return signs.true_risks(snapshots["sim_key"].to_numpy().astype(np.int64), days, ahead)


def tested(seed: int, sims: int, days: int, scenario: str) -> Evaluation:
    """The evaluation of one fleet."""
    fleet = Fleet(seed=seed, sims=sims, start=START, scenario=scenario)
    signs = fleet.demand.signs
    return evaluate_churn(
        histories_of(fleet, days),
        as_of=START + timedelta(days=days - 1),
        seed=seed,
        truth=lambda delays: true_ends(fleet, delays),
        ceiling=None if signs is None else lambda snapshots: true_risks(signs, snapshots),
    )


def summed_up(found: list[Evaluation]) -> pl.DataFrame:
    """Mean and standard deviation over fleets, one row a cause, horizon and model."""
    frames = pl.concat([one.frame.with_columns(fleet=at) for at, one in enumerate(found)])
    figures = ("auc", "auc_pr", "lift10", "brier", "ece")
    spread = [pl.col(name).std().alias(f"{name}_spread") for name in figures]
    return (
        frames.group_by("cause", "horizon_days", "model")
        .agg(pl.len().alias("fleets"), pl.col("ends").sum(), *(pl.col(name).mean() for name in figures), *spread)
        .sort("horizon_days", "cause", "model")
    )


def demo_fleet(seed: int, start: date) -> Fleet:
    """A fleet like the demo's."""
    return Fleet(seed=seed, sims=DEMO_SIMS, start=start, platform2_share=PLATFORM2_SHARE)


def together(found: list[Histories]) -> Histories:
    """The histories of several fleets, whose SIMs and sites stay apart. Of device types nothing is said: that one of
    the simulator's ends sooner would be chance."""

    def joined(name: str) -> pl.DataFrame:
        frames = [getattr(one, name).with_columns(pl.col("sim_key") + at * FLEET_KEYS) for at, one in enumerate(found)]
        return pl.concat(frames).sort("sim_key", maintain_order=True)

    place = pl.format("{} {}", pl.col("sim_key") // FLEET_KEYS, "label_group")
    sims = joined("sims").with_columns(label_group=place, device_type=pl.lit(None, pl.String))
    return Histories(sims, joined("usage"), joined("facts")).checked()


def later_ends(fleet: Fleet) -> tuple[Histories, date, pl.DataFrame]:
    """The history of a fleet like the demo's, its as-of day, and what became of its SIMs afterwards, by the simulator's
    truth (`ml.churn.evaluation.outcomes`)."""
    as_of = fleet.start + timedelta(days=DEMO_DAY)
    whole = together([histories_of(fleet, DEMO_DAY + GAP_DAYS + HORIZONS[-1] + 30)])
    delays = usual_gaps(whole.until(as_of).usage).select("sim_key", silent_after=silent_after())
    closed = whole.sims.select("sim_key", closed_on=pl.lit(date(2100, 1, 1)))
    labels = Labels(true_ends(fleet, delays), closed, pl.DataFrame())
    return whole, as_of, outcomes(whole, labels, [as_of], GAP_DAYS)


def starter_model() -> tuple[Hazard, Evaluation]:
    """The starter model, and how it does on other fleets. Beside it stand the simple ways, which learnt from the same
    fleets."""
    day = START + timedelta(days=STARTER_DAYS - 1)
    taught = together([histories_of(demo_fleet(seed, START), STARTER_DAYS) for seed in STARTER_SEEDS])
    model = train_hazard(taught, as_of=day)
    known = labels_of(taught, as_of=day)
    past = outcomes(taught, known, month_ends(taught, as_of=day), GAP_DAYS)
    others = [later_ends(demo_fleet(seed, OTHER_STARTS[seed % 2])) for seed in OTHER_SEEDS]
    rows = pl.concat([rows.with_columns(pl.col("sim_key") + at * FLEET_KEYS) for at, (_, _, rows) in enumerate(others)])
    found = scored(model, rows, past, taught, day, None, None)
    model.facts[STARTER] = {
        "fleets": len(STARTER_SEEDS),
        "other_fleets": len(OTHER_SEEDS),
        "tested": {name: round(value, 4) for name, value in figures(found).items()},
    }
    return model, found


def starter(write: bool) -> None:
    """Print how the starter model does, on other fleets and on the demo's own; write it if asked."""
    began = time.process_time()
    model, found = starter_model()
    print(f"Starter model, synthetic: {found.note}")
    print("\n".join(lines(found)))
    for (horizon,), bins in found.calibration.filter(model="hazard").group_by("horizon_days", maintain_order=True):
        told = ", ".join(f"{row['stated']:.3f} {row['ended']:.3f} ({row['n']})" for row in bins.iter_rows(named=True))
        print(f"{horizon:4} days: stated and achieved (SIMs) in tenths of risk: {told}")
    whole, as_of, rows = later_ends(demo_fleet(DEMO_SEED, START))
    risks = predict_hazard(model, whole, as_of=as_of)
    for horizon in HORIZONS:
        stated = rows.join(risks.filter(horizon_days=horizon).select("sim_key", "risk"), on="sim_key")
        stated = stated.filter(pl.col(f"ended_{horizon}").is_not_null())
        ended, risk = stated[f"ended_{horizon}"].to_numpy(), stated["risk"].to_numpy()
        pairs = np.sign(risk[ended][:, None] - risk[~ended][None, :])
        print(
            f"the demo's own fleet, {horizon} days: {len(ended)} SIMs, {ended.sum()} ended, {risk.sum():.1f} expected, "
            f"AUC {(pairs.mean() + 1) / 2:.3f}"
        )
    text = json.dumps(model.to_dict(), separators=(",", ":"))
    print(f"{len(text):,} bytes; {time.process_time() - began:.0f} CPU seconds, simulation included")
    if write:
        (Path(__file__).parent.parent / "ml" / "churn" / FILE).write_text(text + "\n")
    summary = found.summary
    print(f"starter auc={summary['auc']:.3f} ece={summary['ece']:.3f} lift10={summary['lift10']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=4000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 32])
    parser.add_argument("--days", type=int, default=640)
    parser.add_argument("--scenario", choices=(SIGNS, ENDS), default=SIGNS)
    parser.add_argument("--starter", action="store_true", help="the starter model instead")
    parser.add_argument("--write", action="store_true", help="keep the starter model with the code")
    given = parser.parse_args()
    if given.starter:
        starter(given.write)
        return
    every = []
    for seed in given.seeds:
        began = time.process_time()
        found = tested(seed, given.sims, given.days, given.scenario)
        print(f"Synthetic fleet, {given.sims} SIMs, seed {seed}, {given.days} days: {found.note}")
        print("\n".join(lines(found)))
        print(f"{time.process_time() - began:.0f} CPU seconds, simulation included\n", flush=True)
        every.append(found)
    print(f"Mean and standard deviation over the fleets of the seeds {given.seeds}")
    print(
        f"{'cause':14}{'days':>5} {'model':26}{'fleets':>7}{'ends':>6}  AUC          AUC-PR lift10        Brier   ECE"
    )
    for row in summed_up(every).iter_rows(named=True):
        print(
            f"{row['cause']:14}{row['horizon_days']:5} {row['model']:26}{row['fleets']:7}{row['ends']:6}  "
            f"{row['auc']:.3f} ±{row['auc_spread'] or 0:.3f} {row['auc_pr']:.3f}  "
            f"{row['lift10']:5.2f} ±{row['lift10_spread'] or 0:4.2f}  "
            f"{row['brier']:.4f}  {row['ece']:.4f} ±{row['ece_spread'] or 0:.4f}"
        )
    auc, ece, lift = (np.mean([one.summary[name] for one in every]) for name in ("auc", "ece", "lift10"))
    print(f"churn auc={auc:.3f} ece={ece:.3f} lift10={lift:.2f}")


if __name__ == "__main__":
    main()
