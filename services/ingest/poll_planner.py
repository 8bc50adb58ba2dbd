"""Whom to ask next: a budget of requests spent where an answer is worth most.

1NCE answers 10 requests a second and one SIM a request, so a big fleet cannot be asked everything every hour. Every
SIM has a class by what is known of it, every class and source a target interval, and a SIM's lateness is the time
since it was last asked as a multiple of that interval: the latest are asked first.

A SIM whose usage call does not answer (API v2 has none) is known by looks at its quota instead: what is used between
two looks is exact, so its looks are as close as its days matter (`resolution`). A look asks for the data quota, and
once in SMS_LOOK_DAYS for the SMS quota too. The usage call of such a SIM is not planned.

Source: earliest deadline first (Liu and Layland, "Scheduling algorithms for multiprogramming in a hard-real-time
environment", 1973) with the lateness relative to the interval, as the response ratio of Brinch Hansen's highest
response ratio next (1971): an overloaded fleet is then late by the same factor everywhere, instead of falling apart
where deadlines are long. The budget is divided among sources by weighted max-min fairness (Bertsekas and Gallager,
"Data networks", 1992, 6.5.2).

What holds, whatever the fleet (tests/services/test_poll_planner.py):
- A plan never costs more than the budget, and no SIM stands in it twice for a source.
- Where the whole fleet fits into the budget, the whole fleet is asked, except for usage calls that do not answer.
- Urgent SIMs come first for usage and quota, up to URGENT_SHARE of the source's budget. Lateness alone, which grows
  without bound, decides about the rest: nobody is starved, as long as the budget holds one SIM for every source.
- The same state gives the same plan, in whatever order its rows come.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# requests that asking one SIM takes; quota is asked for data and for SMS, by a look mostly for data alone
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

RESOLUTIONS = ("call", "stream", "several a day", "daily", "weekly", "none")
CALL, STREAM, SEVERAL, DAILY, WEEKLY, NONE = range(len(RESOLUTIONS))
# hours between two looks that are aimed at, where the usage call does not answer
LOOK_HOURS = {"stream": 168.0, "several a day": 4.0, "daily": 24.0, "weekly": 168.0}
# a fleet known by looks alone: what a request for quota is worth then, so that 100,000 SIMs get their six looks a day
# before status, events and SMS get what is left
LOOK_WEIGHT = 40.0
SMS_LOOK_DAYS = 7
# a steady SIM is on pace, its days do not matter, when it is less likely than this to end within 30 days
ON_PACE_PROBABILITY = 0.01
# days by which a SIM's days are known before looks once a week are enough: their sums are laid out as it used its days
# (ml.spread); benchmarks/sources.py measures it
LEARN_DAYS = 56

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
    "p_30": pl.Float64,
    "exhausted": pl.Boolean,
    "refused": pl.Boolean,
    "alerting": pl.Boolean,
    "active": pl.Boolean,
    "steady": pl.Boolean,
    "call_gone": pl.Boolean,
    "looked_at": _TIME,
}
"""What is known of the fleet, one row a SIM.

usage_at ... sms_at  when it was last asked for this source; null: never
answered_at          since when there is an answer both for usage and for quota, the older of the two latest; null: not
                     yet
changed_at           when the SIM list last showed something new (status, quota status, device ...)
streamed_at          when its newest record in the Data Streamer came; null: the stream does not cover it
quota_status         by the SIM list: 0 more than 20 % left, 1 less, 2 none; null: unknown
p_14, p_30           probability of the end within 14 and 30 days by the latest prediction; null: none
exhausted            ended already by the latest prediction; null: no prediction
refused              1NCE no longer answers for it: expired, unknown or of another account
alerting             has an open alert
active               had traffic in the last 7 days
steady               no day of the last three weeks is far above their mean, and its habits are known from LEARN_DAYS
                     days; null: not known
call_gone            the usage call does not answer for this SIM
looked_at            when its quota was last answered; null: never
"""

_CLASS = pl.Enum(CLASSES)
PLAN_SCHEMA: Schema = {
    "source": pl.String,
    "sim_key": pl.Int32,
    "class": _CLASS,
    "lateness": pl.Float64,
    "requests": pl.Int64,
}
"""Whom to ask: by source, in the order of asking.

lateness   time since last asked as a multiple of the target; inf: never
requests   what asking this SIM takes; for quota 1 is the data quota alone, 2 that of SMS too
"""


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
    fleet = _Fleet.of(state, now)
    amounts = _amounts(fleet, budget)
    parts = []
    for source in sources:
        classes, lateness = fleet.classes[source], fleet.lateness(source)
        prices = np.full(len(keys), COST[source], dtype=np.int64)
        if source == "quota" and not _fits(fleet, budget):
            prices = np.where(fleet.gone & ~fleet.sms_due, 1, prices)
        asked = fleet.asked_for(source)
        chosen = _chosen(lateness, classes == URGENT, asked, keys, prices, amounts[source], URGENT_SHARE.get(source, 0))
        parts.append(
            pl.DataFrame(
                {
                    "source": pl.repeat(source, len(chosen), dtype=pl.String, eager=True),
                    "sim_key": keys[chosen].astype(np.int32),
                    "class": _named(classes[chosen]),
                    "lateness": lateness[chosen],
                    "requests": prices[chosen],
                }
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=PLAN_SCHEMA)


def cost(plan: pl.DataFrame) -> int:
    """Requests that a plan takes."""
    return int(plan["requests"].sum())


def pass_budget(minutes: float, requests_per_second: float, sims: int) -> int:
    """Requests that so many minutes leave for single SIMs, after the list of `sims` SIMs, 100 a request."""
    return max(0, int(minutes * 60 * requests_per_second) - -(-sims // 100))


def fleet_cost(sims: int, usage_calls: int) -> int:
    """Requests that asking every SIM for everything takes, if the usage call answers for `usage_calls` of them."""
    return sims * (sum(COST.values()) - COST["usage"]) + usage_calls * COST["usage"]


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


def resolution(state: pl.DataFrame, *, now: datetime) -> pl.Series:
    """How closely the usage of every SIM is followed (RESOLUTIONS).

    call           the usage call answers
    stream         it does not, and the Data Streamer covers the SIM: a look at its quota a week checks the totals
    several a day  neither, and the SIM is urgent or watched: a look every four hours
    daily          neither, and it has traffic: a look a day, soon after midnight UTC
    weekly         neither, and it is quiet, ended, or steady and far from its end: a look a week
    none           1NCE refuses it, or has not yet answered for it
    """
    fleet = _Fleet.of(state, now)
    never = np.where(fleet.gone, _microseconds(state["looked_at"]), _microseconds(state["usage_at"])) == NEVER
    silent = never & (fleet.looks != STREAM)
    found = np.where(state["refused"].to_numpy() | silent, NONE, fleet.looks)
    return pl.Series(RESOLUTIONS, dtype=pl.Enum(RESOLUTIONS)).gather(found)


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


@dataclass(frozen=True)
class _Fleet:
    """The fleet as the planner weighs it, one place a SIM in every array.

    known     its class, whatever it was last asked for
    classes   by source: what the SIM list shows anew, and who was never asked, is urgent until asked
    looks     how closely it is followed (RESOLUTIONS, without "none")
    sms_due   its next look asks for the SMS quota too
    """

    now: datetime
    known: Ints
    classes: dict[str, Ints]
    asked_at: dict[str, Ints]
    gone: Flags
    streamed: Flags
    looks: Ints
    sms_due: Flags

    @classmethod
    def of(cls, state: pl.DataFrame, now: datetime) -> _Fleet:
        known, streamed, gone = _known_class(state), _streamed(state, now), state["call_gone"].to_numpy()
        looks = _looks(state, known, gone, streamed)
        changed, looked = _microseconds(state["changed_at"]), _microseconds(state["looked_at"])
        asked_at = {source: _microseconds(state[f"{source}_at"]) for source in SOURCES}
        classes = {}
        for source in SOURCES:
            # who is seen in the stream needs no hurry; its quota does not show there while the usage call answers
            in_no_hurry = gone & (looks == STREAM) & (source == "quota")
            of_source = np.where(in_no_hurry, np.maximum(known, QUIET), known)
            # asked in the same moment as listed counts as asked after it: an ingest run lists first
            classes[source] = np.where(changed > asked_at[source], URGENT, of_source)
        classes["usage"] = np.where(streamed, np.maximum(classes["usage"], QUIET), classes["usage"])
        # a week of its own for every SIM: the SMS quotas are spread over the days
        week = SMS_LOOK_DAYS * DAY
        offset = state["sim_key"].to_numpy().astype(np.int64) % SMS_LOOK_DAYS * DAY
        another_week = (looked + offset) // week != (_instant(now) + offset) // week
        sms_due = (looked == NEVER) | (changed > looked) | another_week
        return cls(now, known, classes, asked_at, gone, streamed, looks, sms_due)

    def asked_for(self, source: str) -> Flags:
        """Who can be asked for a source at all."""
        return ~self.gone if source == "usage" else np.ones(len(self.gone), dtype=np.bool_)

    def intervals(self, source: str, classes: Ints) -> Floats:
        """Hours between two answers that are aimed at."""
        by_class = np.array([INTERVAL_HOURS[name][source] for name in CLASSES])[classes]
        if source == "usage":
            return np.where(self.streamed, np.maximum(by_class, STREAMED_USAGE_HOURS), by_class)
        if source == "quota":
            by_look = np.array([LOOK_HOURS.get(name, np.nan) for name in RESOLUTIONS])[self.looks]
            by_look = np.where(classes == URGENT, LOOK_HOURS["several a day"], by_look)
            return np.where(self.gone, by_look, by_class)
        hours: Floats = by_class
        return hours

    def lateness(self, source: str) -> Floats:
        asked, classes = self.asked_at[source], self.classes[source]
        hours = np.maximum((_instant(self.now) - asked) / 3.6e9, 0.0)
        late: Floats = np.where(asked == NEVER, np.inf, hours / self.intervals(source, classes))
        if source == "quota":
            # a look soon after midnight parts two days: the daily one is due with the day, not a day after the last
            midnight = _instant(self.now) // DAY * DAY
            due = self.gone & (self.looks == DAILY) & (classes != URGENT) & (asked < midnight)
            late = np.where(due, np.maximum(late, 1.0), late)
        return late


def _looks(state: pl.DataFrame, known: Ints, gone: Flags, streamed: Flags) -> Ints:
    on_pace = state.select((pl.col("steady") & (pl.col("p_30") < ON_PACE_PROBABILITY)).fill_null(value=False))
    closely = np.select(
        [
            known == ENDED,
            streamed,
            (known == URGENT) | (known == WATCHED),
            (known == ACTIVE) & ~on_pace.to_numpy()[:, 0],
        ],
        [WEEKLY, STREAM, SEVERAL, DAILY],
        WEEKLY,
    )
    return np.where(gone, closely, CALL)


def _streamed(state: pl.DataFrame, now: datetime) -> Flags:
    covered: Flags = _microseconds(state["streamed_at"]) >= _instant(now - timedelta(hours=STREAMED_WITHIN_HOURS))
    return covered


NEVER = np.iinfo(np.int64).min
DAY = 24 * 3600 * 1_000_000  # in microseconds


def _microseconds(times: pl.Series) -> Ints:
    return times.dt.timestamp("us").fill_null(NEVER).to_numpy()


def _instant(moment: datetime) -> int:
    return int(pl.Series([moment]).dt.timestamp("us").item())


# --- dividing the budget ---------------------------------------------------------------------------------------------


def _fits(fleet: _Fleet, budget: int | None) -> bool:
    """Whether the budget is enough to ask everyone for everything, both quotas of everyone among it."""
    return budget is None or sum(COST[s] * int(fleet.asked_for(s).sum()) for s in SOURCES) <= budget


def _amounts(fleet: _Fleet, budget: int | None) -> dict[str, int]:
    """How many requests each source may take.

    First every source gets what its intervals call for in the time of a run, by weight where that is too much, then
    what is left goes towards asking everyone. The result depends on the fleet's classes only, not on when a SIM was
    last asked: the runs over the sources, one after another, divide the same budget in the same way.
    """
    sims = {source: int(fleet.asked_for(source).sum()) for source in SOURCES}
    if budget is None or _fits(fleet, budget):
        return {source: COST[source] * sims[source] for source in SOURCES}
    # who is seen in the stream is looked at once a week, urgent or not
    in_no_hurry = np.where(fleet.gone & (fleet.looks == STREAM), np.maximum(fleet.known, QUIET), fleet.known)
    hours = {source: fleet.intervals(source, in_no_hurry if source == "quota" else fleet.known) for source in SOURCES}
    # requests of one SIM on average: the SMS quota has a part in every look
    price = {source: np.where(fleet.asked_for(source), float(COST[source]), 0.0) for source in SOURCES}
    sms_part = np.minimum(hours["quota"] / (24.0 * SMS_LOOK_DAYS), 1.0)
    price["quota"] = np.where(fleet.gone, 1.0 + sms_part, price["quota"])
    everyone = np.array([price[source].sum() for source in SOURCES])
    called_for = np.array([RUN_HOURS * (price[s] / hours[s]).sum() for s in SOURCES]).clip(max=everyone)
    by_looks = float((fleet.gone & ~fleet.streamed).mean())
    weights = np.array([WEIGHT[source] for source in SOURCES])
    weights[SOURCES.index("quota")] += by_looks * (LOOK_WEIGHT - WEIGHT["quota"])
    # one SIM each: a small budget starves no source
    least = np.array([COST[source] if sims[source] else 0 for source in SOURCES], dtype=np.float64)
    given = np.where(np.cumsum(least) <= budget, least, 0.0)
    for wanted in (called_for, everyone):
        given += _fair(budget - given.sum(), weights, np.maximum(wanted - given, 0.0))
    steps = {source: 1 if source == "quota" and fleet.gone.any() else COST[source] for source in SOURCES}
    return {s: int(amount / steps[s] + 1e-6) * steps[s] for s, amount in zip(SOURCES, given.tolist(), strict=True)}


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


def _chosen(lateness: Floats, urgent: Flags, asked: Flags, keys: Ints, prices: Ints, amount: int, share: float) -> Ints:
    """Positions of the SIMs to ask for `amount` requests, in order: urgent ones up to their share, then by lateness
    whoever it is.
    """
    cheapest = int(prices.min()) if len(prices) else 1
    first = _latest(np.flatnonzero(urgent & asked), lateness, keys, int(amount // cheapest * share))
    first = _affordable(first, prices, amount * share)
    others = asked.copy()
    others[first] = False
    left = amount - int(prices[first].sum())
    rest = _affordable(_latest(np.flatnonzero(others), lateness, keys, left // cheapest), prices, left)
    also_urgent = urgent[rest]
    return np.concatenate([first, rest[also_urgent], rest[~also_urgent]])


def _affordable(chosen: Ints, prices: Ints, amount: float) -> Ints:
    """As many of the first as `amount` requests are enough for."""
    return chosen[: np.searchsorted(np.cumsum(prices[chosen]), amount, side="right")]


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
