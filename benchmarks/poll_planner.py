"""How stale a fleet gets at 1NCE's 10 requests a second, asked by the planner and, with the same requests, in turn.

    python -m benchmarks.poll_planner [--sims 100000 ...] [--seed 7]
    python -m benchmarks.poll_planner --no-usage-call [--sims 100000] [--seed 7]

A simulation in discrete time, a synthetic fleet, 7 days after a day of running in: every hour the SIM list, then a pass
for each source, planned from what is known at its beginning (`services.ingest.poll_planner`, the budget of the default
settings). SIMs run out of volume (steady use, and runaways nobody could foresee), devices stop. The planner knows only
what the list and its own answers show: usage up to a SIM's last answer, the quota of its last answer, and daily at
02:00 a probability of the end within 14 days from these two.

Round robin asks as many SIMs for each source at the same moments, in turn: same budget, other order.

- throttled: requests that 1NCE would have answered with 429. Every request of the run goes through the client's own
  pacing (`resources.once.transport.RateLimiter`) in virtual time, over a network with delays of its own on each way;
  the server counts arrivals within any second.
- stale hours: age of the older of usage and quota, the greatest that any SIM had at any pass's beginning or end;
  urgent: of those that were known for an hour to be likely to end within 14 days. SIMs that 1NCE refuses (expired)
  don't count.
- seen: an exhaustion is seen by the first usage or quota answer after it, a stopped device by the first usage or status
  answer after its usual gap between reports has passed. Only what happened at least a day before the end of the run
  counts.

With --no-usage-call no usage call answers: looks at the quota are all that is known of usage. Two days are counted
after a day of running in; requests are answered at an even pace. In turn: the same requests for quota, SIM after SIM,
both quotas each. Looks a day, age of the last look at every full hour, and hours from a midnight to the nearest look,
by resolution (`services.ingest.poll_planner.resolution`).
"""

from __future__ import annotations

import argparse
import heapq
import time
from math import erf
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.poll_fleet import (
    DAYS,
    HISTORY,
    LITTLE_LEFT,
    NEVER,
    QUOTA,
    START,
    WARM_UP_DAYS,
    Flags,
    Fleet,
    Floats,
    Ints,
)
from resources.once import transport as once_wire
from resources.once.responses import RATE_LIMITS
from resources.settings import Settings
from services.ingest.poll_planner import (
    COST,
    RESOLUTIONS,
    SOURCES,
    STATE_SCHEMA,
    classify,
    pass_budget,
    plan,
    resolution,
)


class Asked:
    """What one way of asking has asked and seen."""

    def __init__(self, fleet: Fleet, random: np.random.Generator) -> None:
        self.fleet = fleet
        # the fleet was polled before: everybody at some moment of the two days before
        self.at = {source: -48 * random.random(fleet.sims) for source in SOURCES}
        self.left = fleet.left(slice(None), 0.0)
        self.empty_seen, self.silent_seen = np.full((2, fleet.sims), NEVER)

    def answers(self, source: str, rows: Ints, at: Floats) -> None:
        """The answers about `rows` for a source that came at the hours `at`."""
        fleet = self.fleet
        self.at[source][rows] = at
        if source == "quota":
            self.left[rows] = fleet.left(rows, at)
        if source in ("usage", "quota"):
            _note(self.empty_seen, rows, at, fleet.empty_at)
        if source in ("usage", "status"):
            _note(self.silent_seen, rows, at, fleet.silent_at + fleet.gap)

    def ages(self, now: float) -> Floats:
        return now - np.minimum(self.at["usage"], self.at["quota"])


def _note(seen: Floats, rows: Ints, at: Floats, visible_from: Floats) -> None:
    now_seen = (at >= visible_from[rows]) & np.isinf(seen[rows])
    seen[rows[now_seen]] = at[now_seen]


class Knowledge:
    """What the planner may know: the SIM list, its own answers, and a prediction of these a day.

    known_by   the source that tells the usage: the usage call, or looks at the quota
    """

    def __init__(self, asked: Asked, known_by: str = "usage") -> None:
        self.asked, self.fleet, self.known_by = asked, asked.fleet, known_by
        sims = self.fleet.sims
        self.changed_at = np.full(sims, -1000.0)
        self.quota_status = _quota_status(self.fleet.left(slice(None), 0.0))
        self.fixed = {
            "sim_key": pl.Series(np.arange(sims, dtype=np.int32)),
            "streamed_at": pl.repeat(None, sims, dtype=STATE_SCHEMA["streamed_at"], eager=True),
            "refused": pl.Series(self.fleet.refused),
            "call_gone": pl.repeat(known_by == "quota", sims, dtype=pl.Boolean, eager=True),
        }
        self.predict(0.0)

    def listed(self, now: float) -> None:
        """The SIM list was read."""
        status = _quota_status(self.fleet.left(slice(None), now))
        self.changed_at[status != self.quota_status] = now
        self.quota_status = status
        self.fixed["quota_status"] = pl.Series(status)

    def predict(self, now: float) -> None:
        """The daily prediction: normal, from mean and variance of the last complete days known and the last quota
        known.
        """
        fleet, usage_at = self.fleet, self.asked.at[self.known_by]
        rows = np.arange(fleet.sims)
        known_to = np.floor(usage_at / 24).astype(np.int64) + HISTORY  # days before this one are known whole
        since = np.maximum(known_to - HISTORY, 0)
        days = np.maximum(known_to - since, 1)
        used, squares = (table[rows, known_to] - table[rows, since] for table in (fleet.cumulated, fleet.squares))
        rate = used / days
        deviation = np.sqrt(np.maximum(squares / days - rate**2, 0))
        left = self.asked.left - rate * (now - self.asked.at["quota"]) / 24
        spread = deviation * np.sqrt(14) + 0.1 * 14 * rate + 1e-6
        p_14 = _normal((14 * rate - left) / spread)
        p_30 = _normal((30 * rate - left) / (deviation * np.sqrt(30) + 0.1 * 30 * rate + 1e-6))
        recent = np.diff(fleet.cumulated[:, : int(now // 24) + HISTORY + 1], axis=1)[:, -7:]
        recent = np.where(np.arange(recent.shape[1]) + int(now // 24) + HISTORY - 7 < known_to[:, None], recent, np.nan)
        steady = np.fmax.reduce(recent, axis=1) <= 2 * rate
        week = fleet.cumulated[rows, known_to] - fleet.cumulated[rows, np.maximum(known_to - 7, 0)]
        two_days = fleet.cumulated[rows, known_to] - fleet.cumulated[rows, np.maximum(known_to - 2, 0)]
        silent = (week > 0) & (two_days <= 0)
        self.fixed |= {
            "p_14": pl.Series(np.where(fleet.refused, 1.0, p_14)),
            "p_30": pl.Series(np.where(fleet.refused, 1.0, p_30)),
            "steady": pl.Series(steady),
            "exhausted": pl.Series(fleet.refused | (self.asked.left <= 0)),
            "alerting": pl.Series((p_14 >= 0.5) | silent),
            "active": pl.Series(week > 0),
            "quota_status": pl.Series(self.quota_status),
        }

    def state(self) -> pl.DataFrame:
        asked = self.asked
        times = {f"{source}_at": _moments(asked.at[source]) for source in SOURCES}
        answered = {"answered_at": _moments(np.minimum(asked.at["usage"], asked.at["quota"]))}
        answered["looked_at"] = times["quota_at"]
        found = self.fixed | times | answered | {"changed_at": _moments(self.changed_at)}
        return pl.DataFrame({name: found[name] for name in STATE_SCHEMA})


def _quota_status(left: Floats) -> npt.NDArray[np.int16]:
    return np.where(left <= 0, 2, np.where(left < LITTLE_LEFT * QUOTA, 1, 0)).astype(np.int16)


def _normal(z: Floats) -> Floats:
    """The normal distribution function, from a table: erf has no vectorised form in NumPy."""
    grid = np.linspace(-6, 6, 2401)
    return np.interp(z, grid, [(1 + erf(x / 2**0.5)) / 2 for x in grid])


def _moments(hours: Floats) -> pl.Series:
    return pl.Series((START.timestamp() * 1e6 + hours * 3.6e9).astype(np.int64)).cast(STATE_SCHEMA["usage_at"])


class Wire:
    """The client's own pacing and 1NCE's limit, in virtual time; `now` in seconds since START."""

    def __init__(self, requests_per_second: float, random: np.random.Generator) -> None:
        self.now = 0.0
        self.requests = self.throttled = 0
        self._random = random
        self._window = once_wire.rate_limiters(requests_per_second)["sims"]
        self._under_way: list[tuple[float, int, Any]] = []
        self._limit, self._seconds = RATE_LIMITS["sims"]
        self._arrived = np.empty(0)

    def send(self, count: int) -> Floats:
        """Send so many requests as fast as the client lets them go; the hours at which their answers came."""
        # each way's delay: a base, a little jitter, and now and then a packet sent again; and the time 1NCE works on it
        there, back = (
            0.03 + self._random.exponential(0.004, count) + (self._random.random(count) < 0.002) * 0.2 for _ in "ab"
        )
        work = 0.02 + self._random.exponential(0.03, count)
        sent = np.empty(count)
        answered_after = (there + work + back).tolist()
        virtual = SimpleNamespace(monotonic=lambda: self.now)
        with patch.object(once_wire, "time", virtual), patch.object(once_wire.asyncio, "sleep", self._sleep):
            for number, takes in enumerate(answered_after):
                ticket = _finish(self._window.enter())
                sent[number] = self.now
                self._window.sent(ticket)
                heapq.heappush(self._under_way, (self.now + takes, self.requests + number, ticket))
        self.requests += count
        # 1NCE sees every request when it arrives, whatever it is about
        arrived = np.sort(np.concatenate([self._arrived, sent + there]))
        over = arrived[self._limit :] - arrived[: -self._limit] < self._seconds
        self.throttled += int(over.sum())
        self._arrived = arrived[-self._limit :]
        return np.asarray((sent + answered_after) / 3600)

    async def _sleep(self, seconds: float) -> None:
        self.wait_until(self.now + seconds)

    def wait_until(self, moment: float) -> None:
        """Let time pass, with the answers that come in it."""
        while self._under_way and self._under_way[0][0] <= moment:
            self.now, _, ticket = heapq.heappop(self._under_way)
            self._window.answered(ticket)
        self.now = max(self.now, moment)


def _finish(coroutine: Any) -> Any:
    """The result of a coroutine that never has to wait for another."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the pacing waited for something but time")


def simulate(sims: int, seed: int) -> dict[str, dict[str, float]]:
    """Run a fleet through all days; the figures of the planner and of round robin."""
    settings = Settings(_env_file=None)
    rate = settings.once_requests_per_second
    assert rate is not None
    random = np.random.default_rng(seed + 1)
    fleet = Fleet(sims, seed)
    planned, in_turn = Asked(fleet, np.random.default_rng(seed + 2)), Asked(fleet, np.random.default_rng(seed + 2))
    knowledge, wire = Knowledge(planned), Wire(rate, random)
    turn = dict.fromkeys(SOURCES, 0)
    budget = pass_budget(settings.ingest_minutes, rate, sims)
    urgent_since = np.full(sims, NEVER)
    worst = {way: {"urgent": 0.0, "max": 0.0} for way in ("planner", "round robin")}
    counted: Flags = ~fleet.refused

    def look(now: float) -> None:
        if now < 24 * WARM_UP_DAYS:
            return
        urgent = counted & (urgent_since <= now - 1)
        for way, asked in (("planner", planned), ("round robin", in_turn)):
            ages = asked.ages(now)
            worst[way]["max"] = max(worst[way]["max"], float(ages[counted].max()))
            worst[way]["urgent"] = max(worst[way]["urgent"], float(ages[urgent].max(initial=0)))

    for hour in range(24 * (WARM_UP_DAYS + DAYS)):
        wire.wait_until(hour * 3600 + 300)  # hourly at five past
        wire.send(-(-sims // 100))
        knowledge.listed(wire.now / 3600)
        if hour % 24 == 2:
            knowledge.predict(wire.now / 3600)
        urgent = (classify(knowledge.state()) == "urgent").to_numpy()
        urgent_since = np.where(urgent, np.minimum(urgent_since, wire.now / 3600), NEVER)
        for source in SOURCES:
            now = wire.now / 3600
            look(now)
            moment = _moments(np.array([now]))[0]
            chosen = plan(knowledge.state(), now=moment, budget=budget, sources=(source,))["sim_key"].to_numpy()
            at = wire.send(len(chosen) * COST[source])[COST[source] - 1 :: COST[source]]
            planned.answers(source, chosen.astype(np.int64), at)
            in_turn.answers(source, (turn[source] + np.arange(len(chosen))) % sims, at)
            turn[source] = (turn[source] + len(chosen)) % sims
        look(wire.now / 3600)

    end = 24.0 * (WARM_UP_DAYS + DAYS - 1)
    figures: dict[str, dict[str, float]] = {}
    for way, asked in (("planner", planned), ("round robin", in_turn)):
        figures[way] = dict(worst[way])
        for what, happened, visible, seen in (
            ("exhaustions", fleet.empty_at, fleet.empty_at, asked.empty_seen),
            ("silences", fleet.silent_at, fleet.silent_at + fleet.gap, asked.silent_seen),
        ):
            real = (happened >= 24 * WARM_UP_DAYS) & (happened < end) & counted
            within = seen[real] <= happened[real] + 24
            figures[way][what] = float(real.sum())
            figures[way][f"{what} seen"] = float(within.mean()) if real.any() else float("nan")
            delays = np.minimum(seen[real], end + 24) - visible[real]
            figures[way][f"{what} delay"] = float(np.median(delays)) if real.any() else float("nan")
    figures["planner"] |= {
        "throttled": wire.throttled,
        "requests": wire.requests,
        "urgent sims": float(urgent.sum()),
    }
    return figures


def simulate_looks(sims: int, seed: int) -> None:
    """Run a fleet without a usage call for two days; print what the planner and asking in turn reach."""
    settings = Settings(_env_file=None)
    rate = settings.once_requests_per_second
    assert rate is not None
    fleet, days = Fleet(sims, seed), 2
    ways = {way: Asked(fleet, np.random.default_rng(seed + 2)) for way in ("planner", "in turn")}
    knowledge = Knowledge(ways["planner"], "quota")
    budget, turn = pass_budget(settings.ingest_minutes, rate, sims), 0
    counted = np.zeros(len(SOURCES), dtype=np.int64)
    hours_as = np.zeros((sims, len(RESOLUTIONS)), dtype=np.int64)  # of the counted days, by resolution
    looks = {way: np.zeros(sims) for way in ways}
    ages: dict[str, list[Floats]] = {way: [] for way in ways}
    nearest = {way: np.full(sims, NEVER) for way in ways}
    began, last_midnight = 24.0 * WARM_UP_DAYS, 24.0 * (WARM_UP_DAYS + 1)
    for hour in range(24 * (WARM_UP_DAYS + days)):
        now, sent = hour + 300 / 3600, -(-sims // 100)
        knowledge.listed(now)
        if hour % 24 == 2:
            knowledge.predict(now)
        if now >= began:
            followed = resolution(knowledge.state(), now=_moments(np.array([now]))[0]).to_physical().to_numpy()
            hours_as[np.arange(sims), followed] += 1
            for way, asked in ways.items():
                ages[way].append(now - asked.at["quota"])
        for place, source in enumerate(SOURCES):
            at = now + sent / rate / 3600
            chosen = plan(knowledge.state(), now=_moments(np.array([at]))[0], budget=budget, sources=(source,))
            prices = chosen["requests"].to_numpy()
            answered_at = at + np.cumsum(prices) / rate / 3600
            rows = chosen["sim_key"].to_numpy().astype(np.int64)
            pairs = int(prices.sum()) // 2
            others = (turn + np.arange(pairs)) % sims
            taken = {
                "planner": (rows, answered_at),
                "in turn": (others, at + 2 * np.arange(1, pairs + 1) / rate / 3600),
            }
            for way, (asked_rows, moments) in taken.items():
                if source != "quota":
                    ways["planner"].at[source][rows] = answered_at
                    break
                ways[way].answers(source, asked_rows, moments)
                looks[way][asked_rows] += now >= began
                distance = np.abs(moments - last_midnight)
                nearest[way][asked_rows] = np.minimum(nearest[way][asked_rows], distance)
            turn = (turn + pairs) % sims if source == "quota" else turn
            sent += int(prices.sum())
            counted[place] += int(prices.sum()) * (now >= began)
    share = counted / (days * 24 * 3600 * rate)
    print(f"{sims} SIMs without a usage call, {days} days; of ten requests a second: ", end="")
    print(", ".join(f"{source} {part:.3f}" for source, part in zip(SOURCES, share, strict=True)))
    followed_as = np.array(RESOLUTIONS)[hours_as.argmax(axis=1)]
    found = {way: (looks[way] / days, np.stack(ages[way]), nearest[way]) for way in ways}
    for name in RESOLUTIONS[1:-1]:
        if (followed_as == name).any():
            _print_looks(name, followed_as == name, found)


def _print_looks(name: str, chosen: Flags, found: dict[str, tuple[Floats, Floats, Floats]]) -> None:
    """The figures of some SIMs by way of asking: looks a day, ages at every hour, hours from midnight to a look."""
    medians = {}
    for way, (a_day, ages, nearest) in found.items():
        medians[way], p95 = np.quantile(ages[:, chosen], [0.5, 0.95])
        print(
            f"{name}, {way}: {int(chosen.sum())} SIMs, looks a day {a_day[chosen].mean():.2f}, age median"
            f" {medians[way]:.1f} h, p95 {p95:.1f} h, nearest to midnight {np.median(nearest[chosen]):.1f} h"
        )
    ratio = medians["planner"] / medians["in turn"]
    print(f"looks sims={len(chosen)} resolution={name.replace(' ', '_')} median_age_ratio={ratio:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-usage-call", action="store_true", help="looks at the quota only")
    arguments = parser.parse_args()
    print("synthetic fleets")
    if arguments.no_usage_call:
        for sims in arguments.sims:
            simulate_looks(sims, arguments.seed)
        return
    for sims in arguments.sims:
        began = time.perf_counter()
        figures = simulate(sims, arguments.seed)
        ours, other = figures["planner"], figures["round robin"]
        print(
            f"\n{sims} SIMs, {DAYS} days: {ours['requests']:.0f} requests, {ours['urgent sims']:.0f} urgent SIMs at "
            f"the end,"
            f" took {time.perf_counter() - began:.0f} s"
        )
        for way, found in figures.items():
            print(
                f"{way}: exhaustions seen within a day {found['exhaustions seen']:.3f} of {found['exhaustions']:.0f}"
                f" (median {found['exhaustions delay']:.1f} h), silences {found['silences seen']:.3f} of"
                f" {found['silences']:.0f} (median {found['silences delay']:.1f} h after they show)"
            )
        print(f"round_robin sims={sims} stale_hours_urgent={other['urgent']:.1f} stale_hours_max={other['max']:.1f}")
        print(
            f"planner sims={sims} throttled={ours['throttled']:.0f} stale_hours_urgent={ours['urgent']:.1f}"
            f" stale_hours_max={ours['max']:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
