"""Whom to ask next: a budget of requests spent where an answer is worth most.

1NCE answers 10 requests a second and one SIM a request, so a big fleet cannot be asked everything every hour. Every
SIM has a class by what is known of it, every class and source a target interval, and a SIM's lateness is the time
since it was last asked as a multiple of that interval: the latest are asked first.

Source: earliest deadline first (Liu and Layland, "Scheduling algorithms for multiprogramming in a hard-real-time
environment", 1973) with the lateness relative to the interval, as the response ratio of Brinch Hansen's highest
response ratio next (1971): an overloaded fleet is then late by the same factor everywhere, instead of falling apart
where deadlines are long. The budget is divided among sources by weighted max-min fairness (Bertsekas and Gallager,
"Data networks", 1992, 6.5.2).

What holds, whatever the fleet (tests/services/test_poll_planner.py):
- A plan never costs more than the budget, and no SIM stands in it twice for a source.
- Where the whole fleet fits into the budget, the whole fleet is asked.
- Urgent SIMs come first for usage and quota, up to URGENT_SHARE of the source's budget. Lateness alone, which grows
  without bound, decides about the rest: nobody is starved, as long as the budget holds one SIM for every source.
- The same state gives the same plan, in whatever order its rows come.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# requests that asking one SIM takes; quota is asked for data and for SMS
COST = {"usage": 1, "quota": 2, "status": 1, "events": 1, "sms": 1}
SOURCES = tuple(COST)
# what a request is worth when there is not enough for all: usage and quota decide predictions, the rest adds to them
WEIGHT = {"usage": 8.0, "quota": 4.0, "status": 2.0, "events": 1.0, "sms": 1.0}
CLASSES = ("urgent", "watched", "active", "quiet", "ended")
URGENT, WATCHED, ACTIVE, QUIET, ENDED = range(len(CLASSES))
# hours between two answers that are aimed at, by class and source
INTERVAL_HOURS = {
    "urgent": {"usage": 1.0, "quota": 1.0, "status": 6.0, "events": 12.0, "sms": 44.0},
    "watched": {"usage": 12.0, "quota": 24.0, "status": 12.0, "events": 24.0, "sms": 44.0},
    "active": {"usage": 12.0, "quota": 40.0, "status": 12.0, "events": 44.0, "sms": 44.0},
    "quiet": {"usage": 24.0, "quota": 44.0, "status": 44.0, "events": 44.0, "sms": 44.0},
    "ended": {"usage": 44.0, "quota": 44.0, "status": 44.0, "events": 44.0, "sms": 44.0},
}
PROMISED_HOURS = 48.0  # no SIM's usage and quota are older, in a fleet that the budget can carry
URGENT_PROBABILITY = 0.1
# of the budget for usage and for quota, before anybody else: small, since lateness serves urgent SIMs well as long as
# there is enough
URGENT_SHARE = {"usage": 0.12, "quota": 0.12}
# the stream shows usage within minutes: the usage call is then needed for the system of record only
STREAMED_WITHIN_HOURS = 24.0
STREAMED_USAGE_HOURS = 24.0
RUN_HOURS = 1.0  # an ingest run's budget is for so long

_TIME = pl.Datetime("us", "UTC")
Schema = dict[str, "pl.DataType | type[pl.DataType]"]
STATE_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    **{f"{source}_at": _TIME for source in SOURCES},
    "answered_at": _TIME,
    "changed_at": _TIME,
    "streamed_at": _TIME,
    "quota_status": pl.Int16,
    "p_14": pl.Float64,
    "exhausted": pl.Boolean,
    "refused": pl.Boolean,
    "alerting": pl.Boolean,
    "active": pl.Boolean,
}
"""What is known of the fleet, one row a SIM.

usage_at ... sms_at  when it was last asked for this source; null: never
answered_at          since when there is an answer both for usage and for quota, the older of the two latest; null: not
                     yet
changed_at           when the SIM list last showed something new (status, quota status, device ...)
streamed_at          when its newest record in the Data Streamer came; null: the stream does not cover it
quota_status         by the SIM list: 0 more than 20 % left, 1 less, 2 none; null: unknown
p_14                 probability of the end within 14 days by the latest prediction; null: none
exhausted            ended already by the latest prediction; null: no prediction
refused              1NCE no longer answers for it: expired, unknown or of another account
alerting             has an open alert
active               had traffic in the last 7 days
"""

_CLASS = pl.Enum(CLASSES)
PLAN_SCHEMA: Schema = {"source": pl.String, "sim_key": pl.Int32, "class": _CLASS, "lateness": pl.Float64}
"""Whom to ask: by source, in the order of asking. lateness: time since last asked as a multiple of the target; inf:
never."""

STALENESS_SCHEMA: Schema = {
    "class": pl.String,
    "sims": pl.Int64,
    "never_answered": pl.Int64,
    "median_hours": pl.Float64,
    "max_hours": pl.Float64,
}
"""Age of the older of usage and quota, by class, then "all"; hours are null where no SIM of the class has had both
answers."""


def plan(state: pl.DataFrame, *, now: datetime, budget: int | None, sources: tuple[str, ...] = SOURCES) -> pl.DataFrame:
    """Whom to ask for what with `budget` requests, most valuable first (PLAN_SCHEMA).

    state    STATE_SCHEMA; the order of its rows does not matter
    budget   requests of a whole ingest run over all of SOURCES; None: as many as it takes to ask everyone
    sources  which sources' part of the plan to give; the budget is divided among all of them even so
    Raises ValueError for a negative budget.
    """
    if budget is not None and budget < 0:
        raise ValueError(f"a budget of {budget} requests cannot be planned; give 0 or more")
    keys = state["sim_key"].to_numpy().astype(np.int64)
    classes = _classes(state, now)
    lateness = {source: _lateness(state, source, classes[source], now) for source in sources}
    counts = _sims_by_source(_known_class(state), len(keys), budget, _streamed(state, now))
    parts = []
    for source in sources:
        share = URGENT_SHARE.get(source, 0.0)
        chosen = _chosen(lateness[source], classes[source] == URGENT, keys, counts[source], share)
        parts.append(
            pl.DataFrame(
                {
                    "source": pl.repeat(source, len(chosen), dtype=pl.String, eager=True),
                    "sim_key": keys[chosen].astype(np.int32),
                    "class": _named(classes[source][chosen]),
                    "lateness": lateness[source][chosen],
                }
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=PLAN_SCHEMA)


def cost(plan: pl.DataFrame) -> int:
    """Requests that a plan takes."""
    return int(plan["source"].replace_strict(COST, return_dtype=pl.Int64).sum())


def pass_budget(minutes: float, requests_per_second: float, sims: int) -> int:
    """Requests that so many minutes leave for single SIMs, after the list of `sims` SIMs, 100 a request."""
    return max(0, int(minutes * 60 * requests_per_second) - -(-sims // 100))


def fleet_cost(sims: int) -> int:
    """Requests that asking every SIM for everything takes."""
    return sims * sum(COST.values())


def classify(state: pl.DataFrame) -> pl.Series:
    """The class of every SIM by what is known of it now (CLASSES), whatever it was last asked for.

    ended    1NCE refuses it, or nothing is left: by the SIM list, which is newer than a prediction, where it says
    urgent   likely to end within 14 days (URGENT_PROBABILITY), or less than 20 % left and no prediction that says
             otherwise
    watched  an open alert, or less than 20 % left of a quota that will last
    active   traffic in the last 7 days
    quiet    none
    """
    return _named(_known_class(state))


def staleness(state: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
    """How old the fleet's usage and quota are, by class and in all (STALENESS_SCHEMA).

    SIMs that 1NCE refuses don't count.
    """
    ages = state.select(
        classify(state).cast(pl.String).alias("class"),
        "refused",
        (pl.lit(now).dt.cast_time_unit("us") - pl.col("answered_at")).dt.total_seconds().alias("seconds"),
    ).filter(~pl.col("refused"))
    hours = pl.col("seconds").clip(lower_bound=0) / 3600
    of_class = ages.group_by("class").agg(
        pl.len().cast(pl.Int64).alias("sims"),
        pl.col("seconds").null_count().cast(pl.Int64).alias("never_answered"),
        hours.median().alias("median_hours"),
        hours.max().alias("max_hours"),
    )
    in_all = ages.select(
        pl.lit("all").alias("class"),
        pl.len().cast(pl.Int64).alias("sims"),
        pl.col("seconds").null_count().cast(pl.Int64).alias("never_answered"),
        hours.median().alias("median_hours"),
        hours.max().alias("max_hours"),
    )
    order = {name: place for place, name in enumerate((*CLASSES, "all"))}
    both = pl.concat([of_class, in_all]).sort(pl.col("class").replace_strict(order, return_dtype=pl.Int8))
    return both.select(pl.col(name).cast(kind) for name, kind in STALENESS_SCHEMA.items())


# --- classes and lateness --------------------------------------------------------------------------------------------


def _known_class(state: pl.DataFrame) -> Ints:
    status, p_14 = pl.col("quota_status"), pl.col("p_14")
    nothing_left = (status == 2).fill_null(pl.col("exhausted").fill_null(value=False))
    likely = (p_14 >= URGENT_PROBABILITY).fill_null(status == 1).fill_null(value=False)
    found = state.select(
        pl.when(pl.col("refused") | nothing_left)
        .then(ENDED)
        .when(likely)
        .then(URGENT)
        .when(pl.col("alerting") | (status == 1).fill_null(value=False))
        .then(WATCHED)
        .when("active")
        .then(ACTIVE)
        .otherwise(QUIET)
        .alias("class")
    )
    return found["class"].to_numpy().astype(np.int64)


def _named(classes: Ints) -> pl.Series:
    return pl.Series(CLASSES, dtype=_CLASS).gather(classes)


def _classes(state: pl.DataFrame, now: datetime) -> dict[str, Ints]:
    """Class of every SIM for each source: what the SIM list shows anew, and who was never asked, is urgent until
    asked."""
    known = _known_class(state)
    changed = _microseconds(state["changed_at"])
    found = {}
    for source in SOURCES:
        asked = _microseconds(state[f"{source}_at"])
        # asked in the same moment as listed counts as asked after it: an ingest run lists first
        found[source] = np.where(changed > asked, URGENT, known)
    found["usage"] = np.where(_streamed(state, now), np.maximum(found["usage"], QUIET), found["usage"])
    return found


def _streamed(state: pl.DataFrame, now: datetime) -> Flags:
    covered: Flags = _microseconds(state["streamed_at"]) >= _instant(now - timedelta(hours=STREAMED_WITHIN_HOURS))
    return covered


def _intervals(source: str, classes: Ints, streamed: Flags) -> Floats:
    by_class = np.array([INTERVAL_HOURS[name][source] for name in CLASSES])[classes]
    if source == "usage":
        by_class = np.where(streamed, np.maximum(by_class, STREAMED_USAGE_HOURS), by_class)
    hours: Floats = by_class
    return hours


def _lateness(state: pl.DataFrame, source: str, classes: Ints, now: datetime) -> Floats:
    asked = _microseconds(state[f"{source}_at"])
    hours = np.maximum((_instant(now) - asked) / 3.6e9, 0.0)
    late: Floats = np.where(asked == NEVER, np.inf, hours / _intervals(source, classes, _streamed(state, now)))
    return late


NEVER = np.iinfo(np.int64).min


def _microseconds(times: pl.Series) -> Ints:
    return times.dt.timestamp("us").fill_null(NEVER).to_numpy()


def _instant(moment: datetime) -> int:
    return int(pl.Series([moment]).dt.timestamp("us").item())


# --- dividing the budget ---------------------------------------------------------------------------------------------


def _sims_by_source(classes: Ints, sims: int, budget: int | None, streamed: Flags) -> dict[str, int]:
    """How many SIMs each source may ask.

    First every source gets what its intervals call for in the time of a run, by weight where that is too much, then
    what is left goes towards asking everyone. The result depends on the fleet's classes only, not on when a SIM was
    last asked: the runs over the sources, one after another, divide the same budget in the same way.
    """
    everyone = np.array([COST[source] * sims for source in SOURCES], dtype=np.float64)
    if budget is None or everyone.sum() <= budget:
        return dict.fromkeys(SOURCES, sims)
    prices = np.array([COST[source] for source in SOURCES], dtype=np.float64)
    weights = np.array([WEIGHT[source] for source in SOURCES])
    called_for = np.array([COST[s] * RUN_HOURS * (1 / _intervals(s, classes, streamed)).sum() for s in SOURCES]).clip(
        max=everyone
    )
    given = np.where(np.cumsum(prices) <= budget, prices, 0.0)  # one SIM each: a small budget starves no source
    for wanted in (called_for, everyone):
        given += _fair(budget - given.sum(), weights, np.maximum(wanted - given, 0.0))
    counts = np.floor(given / prices + 1e-9).astype(np.int64)
    return dict(zip(SOURCES, counts.tolist(), strict=True))


def _fair(amount: float, weights: Floats, wanted: Floats) -> Floats:
    """`amount` divided in proportion to `weights`, nobody getting more than wanted, what one does not want going to
    the others."""
    given = np.zeros_like(wanted)
    for _ in range(len(wanted)):
        still = wanted - given > 1e-9
        if amount <= 1e-9 or not still.any():
            break
        shares = np.where(still, amount * weights / weights[still].sum(), 0.0)
        step = np.minimum(shares, wanted - given)
        given, amount = given + step, amount - step.sum()
    return given


# --- choosing --------------------------------------------------------------------------------------------------------


def _chosen(lateness: Floats, urgent: Flags, keys: Ints, count: int, share: float) -> Ints:
    """Positions of the SIMs to ask, in order: urgent ones up to their share, then by lateness whoever it is."""
    first = _latest(np.flatnonzero(urgent), lateness, keys, int(count * share))
    others = np.ones(len(keys), dtype=np.bool_)
    others[first] = False
    rest = _latest(np.flatnonzero(others), lateness, keys, count - len(first))
    also_urgent = urgent[rest]
    return np.concatenate([first, rest[also_urgent], rest[~also_urgent]])


def _latest(among: Ints, lateness: Floats, keys: Ints, count: int) -> Ints:
    """The `count` latest of the positions `among`, the latest first, of equally late ones the lower key."""
    if count < len(among):
        late = lateness[among]
        bound = np.partition(late, len(late) - count)[len(late) - count] if count else np.inf
        above, equal = among[late > bound], among[late == bound]
        missing = count - len(above)
        if missing < len(equal):
            equal = equal[np.argsort(keys[equal])[:missing]] if missing > 0 else equal[:0]
        among = np.concatenate([above, equal])
    order: Ints = among[np.lexsort((keys[among], -lateness[among]))]
    return order
