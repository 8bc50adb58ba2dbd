"""How good a detector is, on any fleet: known anomalies are put into copies of the fleet's own days, and looked for.

They are called injected wherever they are shown: real faults may be milder, or other. Nothing of the days tested is
known to the model that is tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from ml.anomaly.detection import detect
from ml.anomaly.model import fit
from ml.anomaly.signals import EVENT_SCHEMA
from ml.words import percent

INJECTION_TEST_SCHEMA = {
    "kind": pl.String,
    "events": pl.Int32,
    "found": pl.Int32,
    "recall": pl.Float64,
    "delay_days": pl.Float64,
}
DAYS = 14
INJECTED_SHARE = 0.02  # of the SIMs, for each kind
KINDS = ("spike", "silence", "drift", "sms_flood", "flapping", "unusual_hours", "imei_change")


@dataclass(frozen=True)
class InjectionTest:
    """frame: one row a kind (INJECTION_TEST_SCHEMA); summary: recall, flagged_per_1000 (SIM-days without an injection),
    sims; note: a sentence."""

    frame: pl.DataFrame
    summary: dict[str, float]
    note: str


def run_injection_test(
    history: pl.DataFrame,
    events: pl.DataFrame,
    as_of: date,
    *,
    peers: pl.DataFrame | None = None,
    periods: pl.DataFrame | None = None,
    false_alarms_per_1000: float = 1.0,
    seed: int = 0,
) -> InjectionTest:
    """Fit DAYS days before `as_of`, put anomalies into the days after in some SIMs, and look for them. Arguments as of
    `signals`."""
    begin = as_of - timedelta(days=DAYS)
    earlier = history.filter(pl.col("day") <= begin)
    recent = history.filter(pl.col("day") > begin - timedelta(days=28), pl.col("bytes") > 0)
    active = recent.group_by("sim_key").len().filter(pl.col("len") >= 28)["sim_key"].sort().to_numpy()
    each = max(int(len(active) * INJECTED_SHARE), 1)
    if earlier.is_empty() or len(active) < each * len(KINDS) * 2:
        return InjectionTest(
            pl.DataFrame(schema=INJECTION_TEST_SCHEMA), {}, "not tested: too few SIMs that report daily"
        )
    before = events.filter(pl.col("day") <= begin)
    model = fit(
        earlier, before, begin, peers=_peers_then(peers, before), periods=_periods_then(periods, begin), seed=seed
    )
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(active)[: each * len(KINDS)]
    kinds = np.repeat(KINDS, each)
    first = begin + timedelta(days=1)
    injected = pl.DataFrame(
        {"sim_key": chosen.astype(np.int32), "what": kinds, "start": rng.integers(1, DAYS - 4, len(chosen))}
    )
    injected = injected.with_columns(start=pl.lit(first) + pl.duration(days=pl.col("start")))
    changed, seen = _injected(history, events, injected)
    found = detect(
        model,
        changed,
        seen,
        as_of,
        days=DAYS,
        false_alarms_per_1000=false_alarms_per_1000,
        peers=peers,
        periods=periods,
    ).frame
    flagged = found.filter("is_anomaly").select("sim_key", "day")
    hits = flagged.join(injected, on="sim_key").filter(pl.col("day") >= pl.col("start"))
    delay = hits.group_by("sim_key").agg(delay=(pl.col("day").min() - pl.col("start").first()).dt.total_days())
    by_sim = injected.join(delay, on="sim_key", how="left")
    frame = by_sim.group_by("what").agg(
        events=pl.len(),
        found=pl.col("delay").count(),
        recall=pl.col("delay").count() / pl.len(),
        delay_days=pl.col("delay").median(),
    )
    frame = (
        frame.rename({"what": "kind"})
        .sort("kind")
        .select(pl.col(name).cast(kind) for name, kind in INJECTION_TEST_SCHEMA.items())
    )
    others = found.join(injected.select("sim_key"), on="sim_key", how="anti")
    per_1000 = 1000 * others["is_anomaly"].sum() / max(others.height, 1)
    summary = {"recall": float(by_sim["delay"].count() / by_sim.height), "flagged_per_1000": float(per_1000)}
    summary |= {f"recall_{row['kind']}": row["recall"] for row in frame.iter_rows(named=True)}
    note = (
        f"{by_sim.height} anomalies injected into the last {DAYS} days: {percent(summary['recall'])} found; "
        f"{per_1000:.2f} of 1,000 other SIM-days flagged, true anomalies among them"
    )
    return InjectionTest(frame, summary, note)


def _periods_then(periods: pl.DataFrame | None, day: date) -> pl.DataFrame | None:
    """The periods as they were known at the end of a day: what ended later still lasted, and what peers did later said
    nothing yet."""
    if periods is None:
        return None
    ended = pl.when(pl.col("last_day") <= day).then("last_day").alias("last_day")
    known = (pl.col("first_day") <= day) & pl.col("state").ne_missing("seasonal_peers")
    return periods.filter(known).with_columns(ended)


def _peers_then(peers: pl.DataFrame | None, events: pl.DataFrame) -> pl.DataFrame | None:
    """The peers with the device and the place that the events up to a day tell last; what no event tells stays as it
    is."""
    if peers is None:
        return None
    last = {
        "device_type": pl.col("imei").str.slice(0, 8),
        "country": pl.col("country"),
        "operator": pl.col("operator"),
    }
    then = (
        events.sort("day").group_by("sim_key").agg(**{name: value.drop_nulls().last() for name, value in last.items()})
    )
    known = peers.join(then, on="sim_key", how="left", suffix="_then", maintain_order="left")
    return known.with_columns(pl.coalesce(f"{name}_then", name).alias(name) for name in last).select(peers.columns)


def _injected(history: pl.DataFrame, events: pl.DataFrame, injected: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = history.join(injected, on="sim_key", how="left", maintain_order="left")
    since = (pl.col("day") - pl.col("start")).dt.total_days()
    what = pl.when(since >= 0).then("what")
    rows = rows.with_columns(
        bytes=pl.when((what == "spike") & (since < 2))
        .then(pl.col("bytes") * 12)
        .when(what == "drift")
        .then(pl.col("bytes") * 3)
        .otherwise("bytes"),
        sms=pl.when((what == "sms_flood") & (since < 2)).then(pl.col("sms") + 25).otherwise("sms"),
    )
    rows = rows.filter(((what == "silence") & (since < 6)).fill_null(value=False).not_())
    half_a_day = pl.col("hours") % 4096 * 4096 + pl.col("hours") // 4096  # later: 24 bits turned by twelve
    seen = events.join(injected, on="sim_key", how="left", maintain_order="left").with_columns(
        sessions=pl.when((what == "flapping") & (since < 3)).then(pl.col("sessions") + 25).otherwise("sessions"),
        hours=pl.when((what == "unusual_hours") & (since < 7)).then(half_a_day).otherwise("hours").cast(pl.Int32),
        imei=pl.when(what == "imei_change").then(pl.lit("9900001100000000")).otherwise("imei"),
    )
    return rows.select(history.columns), seen.select(list(EVENT_SCHEMA))
