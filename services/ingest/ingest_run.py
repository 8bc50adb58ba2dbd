"""From 1NCE's answers to rows: each answer is kept as it came, checked, and merged, a batch of SIMs a transaction.

A pass over the fleet (a sweep) keeps its place in the database: what a batch has committed is not asked for again when the
pass is interrupted and begun anew.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from resources.database.session import Database, Merged, Transaction
from resources.once.client import OnceClient
from resources.once.errors import OnceError
from resources.once.responses import Answer
from resources.runtime import Runtime
from services.ingest.endpoints import ORDERS, PRODUCTS, QUOTA, SIMS, USAGE, Sim, Source
from services.ingest.poll_planner import STATE_SCHEMA, fleet_cost, pass_budget, plan
from services.ingest.schemas import LANDING_SCHEMA, QUARANTINE_SCHEMA, SETTLED_SCHEMA, UTC_TIME, Schema


def poll_budget(runtime: Runtime) -> int | None:
    """Requests that an hourly pass may spend on single SIMs; None: no limit."""
    settings = runtime.settings
    if settings.once_unlimited or settings.once_requests_per_second is None:
        return None
    sims = (runtime.database.row("fleet_size") or {"sims": 0})["sims"]
    return pass_budget(settings.ingest_minutes, settings.once_requests_per_second, sims)


BATCH_SIMS = 100
BATCH_SECONDS = 10.0
TAKE_UP_WITHIN = timedelta(days=1)
# 1NCE answers for the last six months at most; a few days less keeps clear of the edge
USAGE_REACH = timedelta(days=180)
# how far back the days already covered are asked for again, because they may have been corrected
CORRECTED_DAYS = 3

Clock = Callable[[], datetime]
Progress = Callable[[int, int], None]
MakeClient = Callable[[], OnceClient]


@dataclass
class Landed:
    """What a pass brought."""

    source: str
    sims: int = 0
    already: int = 0
    requests: int = 0
    retries: int = 0
    merged: Merged = field(default_factory=Merged)
    rejected: int = 0
    waiting: int = 0
    problems: dict[str, int] = field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        """The figures by name, for the Dagster UI."""
        return {
            "sims asked": self.sims,
            "sims asked before an interruption": self.already,
            "sims left for a later pass": self.waiting,
            "requests": self.requests,
            "retries": self.retries,
            "dagster/row_count": self.merged.rows,
            "rows new": self.merged.new,
            "rows changed": self.merged.changed,
            "rows unchanged": self.merged.unchanged,
            "records quarantined": self.rejected,
            "sims without an answer": {**self.problems} if self.problems else 0,
        }


POLL_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    "source": pl.String,
    "sweep_id": pl.Int64,
    "polled_at": UTC_TIME,
    "covered_to": pl.Date,
    "problem": pl.String,
}


def _asked(source: Source, answer: Answer[Any], sim: Sim | None) -> dict[str, Any]:
    """What a replay needs to know besides the record."""
    if sim is None:
        return {}
    if source is USAGE:
        return {"iccid": sim.iccid, "first_day": sim.first_day.isoformat(), "last_day": sim.last_day.isoformat()}
    if source is QUOTA:
        return {"iccid": sim.iccid, "kind": answer.path.rsplit("/", 1)[-1]}
    return {"iccid": sim.iccid}


def store(
    transaction: Transaction,
    source: Source,
    answers: Sequence[tuple[Sim | None, Answer[Any]]],
    *,
    suspects: set[str],
) -> tuple[Merged, int]:
    """Land, check and merge answers of one source; returns what changed and how many records were quarantined.

    `suspects` are the record keys now in quarantine: a good record for one of them settles it.
    """
    landings = [
        (
            source.name,
            answer.path
            + ("?" + "&".join(f"{k}={v}" for k, v in sorted(answer.params.items())) if answer.params else ""),
            answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd"),
            answer.received_at,
        )
        for _, answer in answers
    ]
    transaction.merge("merge_landings", pl.DataFrame(landings, schema=LANDING_SCHEMA, orient="row"))
    keys = {sim.iccid: sim.sim_key for sim, _ in answers if sim is not None}
    frames = [source.frame(answer.items, keys, answer.received_at) for _, answer in answers if answer.items]
    merged = Merged()
    if frames:
        rows = pl.concat(frames).unique(subset=source.key, keep="last", maintain_order=True)
        merged = transaction.merge(source.merge, rows)
    bad = []
    for sim, answer in answers:
        asked = _asked(source, answer, sim) if answer.rejected else {}
        for rejected in answer.rejected:
            key = source.record_key(rejected.record, asked)
            record = json.dumps({"record": rejected.record, "asked": asked}, default=str)
            bad.append((source.name, key, rejected.reason, record.replace("\\u0000", "\\ufffd"), answer.received_at))
    if suspects:
        good = [
            (source.name, key, answer.received_at, "superseded")
            for _, answer in answers
            for key in map(source.item_key, answer.items)
            if key in suspects
        ]
        transaction.merge("settle_quarantine", pl.DataFrame(good, schema=SETTLED_SCHEMA, orient="row"))
        suspects.difference_update(key for _, key, _, _ in good)
    transaction.merge("merge_quarantine", pl.DataFrame(bad, schema=QUARANTINE_SCHEMA, orient="row"))
    suspects.update(key for _, key, _, _, _ in bad)
    return merged, len(bad)


def _suspects(database: Database, source: Source) -> set[str]:
    return {row["record_key"] for row in database.rows("quarantine_open") if row["source"] == source.name}


def land_account(database: Database, make_client: MakeClient, source: Source, *, clock: Clock) -> Landed:
    """Ask for one of the account's lists (sims, products, orders, tickets) and store it page by page. Raises OnceError."""
    today = clock().date()
    with database.transaction() as transaction:
        begun = transaction.row(
            "begin_sweep", {"source": source.name, "first_day": today, "last_day": today, "now": clock()}
        )
        assert begun is not None
    listed: list[str] = []
    landed = asyncio.run(_land_account(database, make_client, source, listed))
    with database.transaction() as transaction:
        # an empty list, or one with records that could not be read, says of nobody that it is gone
        if source is SIMS and listed and not landed.rejected:
            transaction.stage("mark_unlisted", pl.DataFrame({"iccid": listed}).unique())
            transaction.row("mark_unlisted", {"begun": begun["started_at"], "now": clock()})
        transaction.execute("finish_sweep", {"sweep_id": begun["sweep_id"], "now": clock()})
    return landed


async def _land_account(database: Database, make_client: MakeClient, source: Source, listed: list[str]) -> Landed:
    """`listed` is filled with the ICCIDs that the SIM list names."""
    landed = Landed(source.name)
    suspects = _suspects(database, source)
    async with make_client() as once:
        async with aclosing(_account_pages(once, source)) as pages:
            async for page in pages:
                with database.transaction() as transaction:
                    merged, rejected = store(transaction, source, [(None, page)], suspects=suspects)
                landed.merged += merged
                landed.rejected += rejected
                if source is SIMS:
                    listed += [sim.iccid for sim in page.items]
        landed.requests, landed.retries = once.stats.requests, once.stats.retries
    return landed


async def _account_pages(once: OnceClient, source: Source) -> AsyncGenerator[Answer[Any], None]:
    if source is PRODUCTS:
        yield await once.products()
        return
    lists = once.sims() if source is SIMS else once.orders() if source is ORDERS else once.tickets()
    async with aclosing(lists) as pages:
        async for page in pages:
            yield page


def land_fleet(
    database: Database,
    make_client: MakeClient,
    source: Source,
    *,
    first_day: date,
    last_day: date,
    clock: Clock,
    progress: Progress = lambda done, of: None,
    budget: int | None = None,
    only: Set[int] | None = None,
) -> Landed:
    """Ask every SIM for one kind of answer, batch by batch, and store it; take up an unfinished pass over the same days.

    budget   requests that a pass over all kinds of answers may take; where that is not enough for the fleet, the planner
             (services.ingest.poll_planner) chooses whom to ask now. None: everyone
    only     ask these SIMs (by sim_key) and no others; the pass stays open, and the next one goes on with it
    Usage is asked from `first_day`, or from earlier where a SIM is not covered up to there, at most six months back.
    A SIM whose call fails is noted with the problem and does not stop the others. Raises OnceCredentialsError and
    OnceUnavailableError, after storing what had come.
    """
    now = clock()
    window = {"source": source.name, "first_day": first_day, "last_day": last_day}
    with database.transaction() as transaction:
        begun = transaction.row("unfinished_sweep", {**window, "since": now - TAKE_UP_WITHIN})
        begun = begun or transaction.row("begin_sweep", {**window, "now": now})
        assert begun is not None
        waiting = transaction.rows("sims_to_poll", {"source": source.name, "sweep_id": begun["sweep_id"]})
        fleet = (transaction.row("fleet_size") or {"sims": 0})["sims"]
        if only is not None:
            waiting = [row for row in waiting if row["sim_key"] in only]
            fleet = len(waiting)
        landed = Landed(source.name, already=fleet - len(waiting))
        if budget is not None and fleet_cost(fleet) > budget:
            state = transaction.frame("poll_state", STATE_SCHEMA, {"now": now})
            chosen = plan(state, now=now, budget=budget, sources=(source.name,))["sim_key"]
            by_key = {row["sim_key"]: row for row in waiting}
            landed.waiting = len(waiting)
            waiting = [by_key[key] for key in chosen if key in by_key]
            landed.waiting -= len(waiting)
    sims = [_sim_to_ask(row, first_day, last_day, now) for row in waiting]
    sweep = _Sweep(database, source, begun["sweep_id"], landed, clock, progress, len(sims), _suspects(database, source))
    asyncio.run(sweep.run(make_client, sims))
    with database.transaction() as transaction:
        if only is None:
            transaction.execute("finish_sweep", {"sweep_id": begun["sweep_id"], "now": clock()})
        if landed.merged.new:
            transaction.rows("analyze_new_tables")
    return landed


def _sim_to_ask(row: dict[str, Any], first_day: date, last_day: date, now: datetime) -> Sim:
    earliest = (now - USAGE_REACH).date()
    covered: date | None = row["covered_to"]
    resume = earliest if covered is None else covered + timedelta(days=1 - CORRECTED_DAYS)
    first = max(earliest, min(first_day, resume))
    return Sim(row["iccid"], row["sim_key"], first, max(first, last_day), row["polled_at"])


@dataclass
class _Sweep:
    """One pass over the fleet under way."""

    database: Database
    source: Source
    sweep_id: int
    landed: Landed
    clock: Clock
    progress: Progress
    size: int
    suspects: set[str]
    batch: list[tuple[Sim, list[Answer[Any]] | OnceError]] = field(default_factory=list)

    async def run(self, make_client: MakeClient, sims: list[Sim]) -> None:
        ask = self.source.ask
        assert ask is not None, f"{self.source.name} is not asked SIM by SIM"
        async with make_client() as once:
            last_flush = time.monotonic()
            try:
                async with aclosing(once.each(sims, lambda sim: ask(once, sim))) as outcomes:
                    async for sim, outcome in outcomes:
                        self.batch.append((sim, outcome))
                        if len(self.batch) >= BATCH_SIMS or time.monotonic() - last_flush > BATCH_SECONDS:
                            await self.flush()
                            last_flush = time.monotonic()
            except OnceError:
                await self.flush()  # what had come stays; the next run goes on from here
                raise
            await self.flush()
            self.landed.requests, self.landed.retries = once.stats.requests, once.stats.retries

    async def flush(self) -> None:
        if self.batch:
            done, self.batch = self.batch, []
            await asyncio.to_thread(self.store_batch, done)
            self.progress(self.landed.sims, self.size)

    def store_batch(self, batch: list[tuple[Sim, list[Answer[Any]] | OnceError]]) -> None:
        now = self.clock()
        answers: list[tuple[Sim | None, Answer[Any]]] = []
        polls = []
        for sim, outcome in batch:
            problem = None
            if isinstance(outcome, OnceError):
                problem = type(outcome).__name__
                self.landed.problems[problem] = self.landed.problems.get(problem, 0) + 1
            else:
                answers += [(sim, answer) for answer in outcome]
            covered = (
                min(sim.last_day, now.date() - timedelta(days=1)) if self.source is USAGE and not problem else None
            )
            polls.append((sim.sim_key, self.source.name, self.sweep_id, now, covered, problem))
        with self.database.transaction() as transaction:
            if answers:
                merged, rejected = store(transaction, self.source, answers, suspects=self.suspects)
                self.landed.merged += merged
                self.landed.rejected += rejected
            transaction.merge("merge_polls", pl.DataFrame(polls, schema=POLL_SCHEMA, orient="row"))
        self.landed.sims += len(batch)
