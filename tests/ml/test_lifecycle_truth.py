"""The state machine against the truth of a simulated fleet: what was done to it on purpose, day after day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml.lifecycle import ACTIVITY_SCHEMA, PREVIOUS_SCHEMA, QUOTA_EVENT_SCHEMA, SIM_SCHEMA, evaluate
from simulator.fleet import Fleet
from simulator.hashing import NEVER
from simulator.ledger import DAY_SECONDS, tick
from simulator.truth import truth

DAY = timedelta(days=1)
START, BEGIN, DAYS = date(2025, 1, 1), date(2025, 5, 1), 210
HOUR = time(2, tzinfo=UTC)  # when the predictions run


def _date(ordinal: int) -> date | None:
    return None if ordinal >= NEVER else date.fromordinal(int(ordinal))


class Replay:
    """What the pipeline would know of a fleet at any time, without the HTTP in between."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.everyone = fleet, np.arange(fleet.sims)
        last = BEGIN + (DAYS + 1) * DAY
        first = START - 90 * DAY
        used = fleet.usage(self.everyone, first, last)
        sims, days = np.nonzero((used.volume > 0) | (used.sms_mo > 0))
        self.activity = pl.DataFrame(
            {
                "sim_key": sims,
                "day": [first + int(n) * DAY for n in days],
                "bytes": used.volume[sims, days],
                "sms_mo": used.sms_mo[sims, days],
                "spread_from": None,
            }
        ).select(pl.col(name).cast(kind) for name, kind in ACTIVITY_SCHEMA.items())
        self.ledger = fleet.ledger(self.everyone, last.toordinal()).data
        events = [
            (sim, _date(at // DAY_SECONDS), "data", kind, kind)
            for kind, table in (("exhausted", self.ledger.exceeded_at), ("top_up", self.ledger.credit_at[:, 1:]))
            for sim, ticks in enumerate(table.tolist())
            for at in ticks
            if at < tick(datetime.combine(last, HOUR))
        ]
        self.quota_events = pl.DataFrame(events, schema=QUOTA_EVENT_SCHEMA, orient="row").unique()

    def facts(self, now: datetime, as_of: date) -> pl.DataFrame:
        """SIM_SCHEMA of the SIMs that are listed at a time, seen on a network up to the day before."""
        demand, ledger, at = self.fleet.demand, self.ledger, tick(now)
        period = np.maximum(ledger.at(at), 0)
        exceeded = ledger.exceeded_at[self.everyone, period]
        seen = self.activity.filter(pl.col("day") < now.date()).group_by("sim_key").agg(last=pl.col("day").max())
        last_seen = dict(seen.iter_rows())
        rows = [
            {
                "sim_key": sim,
                "listed_on": BEGIN,
                "activated_on": _date(demand.activation[sim]),
                "disabled_on": off if (off := _date(demand.churn_last[sim] + 14)) and off <= now.date() else None,
                "exhausted_on": _date(exceeded[sim] // DAY_SECONDS) if exceeded[sim] <= at else None,
                "expires_at": datetime.combine(date.fromordinal(int(demand.expiry[sim])), time.min, UTC),
                "last_word": "answered",
                "last_word_on": now.date(),
                "usage_known_to": as_of,
                "network_last_on": last_seen.get(sim),
            }
            for sim in self.everyone[demand.activation <= now.toordinal()].tolist()
        ]
        return pl.DataFrame([dict.fromkeys(SIM_SCHEMA) | row for row in rows], schema=SIM_SCHEMA)

    def days(self, step: int) -> Iterator[tuple[date, dict[int, str]]]:
        """The state of each SIM, evaluated every `step` days."""
        previous = pl.DataFrame(schema=PREVIOUS_SCHEMA)
        for n in range(0, DAYS, step):
            now = datetime.combine(BEGIN + n * DAY, HOUR)
            as_of = now.date() - 2 * DAY
            activity = self.activity.filter(pl.col("day") <= as_of)
            found = evaluate(self.facts(now, as_of), activity, self.quota_events, previous, as_of=as_of, now=now)
            assert found.refused == 0
            previous = found.states.select(*PREVIOUS_SCHEMA)
            yield now.date(), dict(found.states.select("sim_key", "state").iter_rows())


def expected(sim: dict[str, Any], rhythm: int, day: date) -> tuple[str, set[str]]:
    """What was done to a SIM by a day, and the states that are right then. rhythm: days between its reports at most,
    roughly."""

    def on(text: str | None) -> date:
        return date.fromisoformat(text) if text else date.max

    off = on(sim["churn"]["last_day"]) + 14 * DAY if sim["churn"] else date.max
    gone = min(on(sim["death"]), on(sim["churn"]["last_day"]) if sim["churn"] else date.max)
    dry = [on(text) for text in sim["exhausted"] if on(text) <= day]
    is_dry = bool(dry) and not any(max(dry) <= on(text) <= day for text in sim["topups"])
    silences = [(on(a["first_day"]), on(a["last_day"])) for a in sim["anomalies"] if a["kind"] == "silence"]
    if on(sim["expiry"]) <= day:
        return "expired", {"expired"}
    if off != date.max and off + 30 * DAY < day:
        return "deactivated", {"deactivated"}
    if off <= day:
        return "suspended: disabled", {"suspended"}
    if day in dry or day in [on(text) for text in sim["topups"]]:
        return "turning that day", {"active", "suspended", "silent"}
    if is_dry:
        return "suspended: exhausted", {"suspended"}
    if gone <= day:
        if (day - gone).days > 7 + 3 * rhythm:
            return "silent: dead", {"silent"}
        return "dead or faded away of late", {"active", "silent", "activated"}
    if sim["churn"] and on(sim["churn"]["first_day"]) <= day:
        return "fading", {"active", "silent"}
    if any(first <= day <= last + 4 * DAY for first, last in silences):
        return "in an injected silence", {"active", "silent"}
    if dry and sim["topups"] and 0 < (day - max(on(text) for text in sim["topups"] if on(text) <= day)).days <= 14:
        return "active: topped up", {"active"}
    return "healthy", {"active", "activated", "issued"}


@pytest.fixture(scope="module")
def figures() -> dict[str, Counter[bool]]:
    """SIM-days that are right and wrong, by what was done: 300 SIMs over seven months, evaluated every third day."""
    fleet = Fleet(seed=5, sims=300, start=START)
    told = truth(fleet, days=420)["sims"]
    counts: dict[str, Counter[bool]] = {}
    for day, states in Replay(fleet).days(step=3):
        for sim, state in states.items():
            what, right = expected(told[fleet.iccids[sim]], int(fleet.demand.period[sim]), day)
            counts.setdefault(what, Counter())[state in right] += 1
    return counts


@pytest.mark.parametrize(
    "what", ["expired", "deactivated", "suspended: disabled", "suspended: exhausted", "active: topped up"]
)
def test_what_1nce_says_is_never_mistaken(figures: dict[str, Counter[bool]], what: str) -> None:
    assert figures[what][True] > 20
    assert figures[what][False] == 0


def test_the_dead_fall_silent_within_their_heartbeat(figures: dict[str, Counter[bool]]) -> None:
    assert figures["silent: dead"][True] > 300
    assert figures["silent: dead"][False] <= 0.01 * figures["silent: dead"].total()


def test_few_of_the_healthy_are_called_silent(figures: dict[str, Counter[bool]]) -> None:
    """Machines that stand still for weeks without a habit of it are the ones: 0.4 % of the healthy SIM-days."""
    assert figures["healthy"].total() > 10_000
    assert figures["healthy"][False] <= 0.005 * figures["healthy"].total()
