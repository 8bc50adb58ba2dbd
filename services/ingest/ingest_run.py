"""From 1NCE's answers to rows: each answer is kept as it came, checked, and merged, a batch of SIMs a transaction.

An ingest run over the fleet keeps its place in the database: a later run does not ask again for what a batch has
committed before an interruption.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from resources.database.session import Database, Merged, Transaction
from resources.once.calls import REMEMBERED
from resources.once.client import OnceClient
from resources.once.errors import OnceCallGoneError, OnceError, OnceNotOnV1Error, problem_in_words
from resources.once.responses import Answer
from resources.runtime import Runtime
from services.ingest.call_states import load, save
from services.ingest.endpoints import ORDERS, PRODUCTS, QUOTA, SIMS, USAGE, Endpoint, Sim
from services.ingest.poll_planner import LEARN_DAYS, STATE_SCHEMA, fleet_cost, pass_budget, plan
from services.ingest.schemas import QUARANTINE_SCHEMA, RAW_RESPONSE_SCHEMA, RESOLVED_SCHEMA, UTC_TIME, Schema
from services.ingest.waiting_rows import store_waiting_rows


def poll_budget(runtime: Runtime) -> int | None:
    """Requests that an hourly ingest run may spend on single SIMs; None: no limit."""
    settings = runtime.settings
    if settings.once_unlimited or settings.once_requests_per_second is None:
        return None
    sims = (runtime.database.row("fleet_size") or {"sims": 0})["sims"]
    return pass_budget(settings.ingest_minutes, settings.once_requests_per_second, sims)


BATCH_SIMS = 100
BATCH_SECONDS = 10.0
RESUME_WITHIN = timedelta(days=1)
# 1NCE answers for the last six months at most; a few days less keeps clear of the edge
USAGE_REACH = timedelta(days=180)
# how far back the days already covered are asked for again, because they may have been corrected
CORRECTED_DAYS = 3

Clock = Callable[[], datetime]
Progress = Callable[[int, int], None]
MakeClient = Callable[[], OnceClient]


@dataclass
class IngestResult:
    """What an ingest run brought.

    waited  rows of files that waited for the SIMs listed now
    beyond  SIMs that are not asked today, because API v1 does not know them
    gone    why nobody or nobody more was asked: the call is gone; empty: it answers
    notes   how often each field could not be read of a record that was kept
    """

    endpoint: str
    sims: int = 0
    already: int = 0
    requests: int = 0
    retries: int = 0
    merged: Merged = field(default_factory=Merged)
    rejected: int = 0
    pending: int = 0
    waited: int = 0
    beyond: int = 0
    gone: str = ""
    problems: dict[str, int] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def metadata(self) -> dict[str, Any]:
        """The figures by name, for the Dagster UI."""
        return {
            "sims asked": self.sims,
            "sims asked before an interruption": self.already,
            "sims left for a later pass": self.pending,
            "requests": self.requests,
            "retries": self.retries,
            "dagster/row_count": self.merged.rows,
            "rows new": self.merged.new,
            "rows changed": self.merged.changed,
            "rows unchanged": self.merged.unchanged,
            "records quarantined": self.rejected,
            "values not understood": {**self.notes} if self.notes else 0,
            "rows of files that waited for these SIMs": self.waited,
            "sims without an answer": {problem_in_words(name): sims for name, sims in self.problems.items()}
            if self.problems
            else 0,
            **({"sims not asked, unknown to API v1": self.beyond} if self.beyond else {}),
            **({"the call is gone": self.gone} if self.gone else {}),
        }


POLL_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    "source": pl.String,
    "sweep_id": pl.Int64,
    "polled_at": UTC_TIME,
    "covered_to": pl.Date,
    "problem": pl.String,
}


def _asked(endpoint: Endpoint, answer: Answer[Any], sim: Sim | None) -> dict[str, Any]:
    """What a replay needs to know besides the record."""
    if sim is None:
        return {}
    if endpoint is USAGE:
        return {"iccid": sim.iccid, "first_day": sim.first_day.isoformat(), "last_day": sim.last_day.isoformat()}
    if endpoint is QUOTA:
        return {"iccid": sim.iccid, "kind": answer.path.rsplit("/", 1)[-1]}
    return {"iccid": sim.iccid}


def store(
    transaction: Transaction,
    endpoint: Endpoint,
    answers: Sequence[tuple[Sim | None, Answer[Any]]],
    *,
    open_keys: set[str],
) -> tuple[Merged, int]:
    """Store, validate and merge answers of one endpoint; returns what changed and how many records were quarantined.

    open_keys   record keys with an open quarantine row; a valid record for one of them resolves it. Updated in place.
    """
    responses = [
        (
            endpoint.name,
            answer.path
            + ("?" + "&".join(f"{k}={v}" for k, v in sorted(answer.params.items())) if answer.params else ""),
            answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd"),
            answer.received_at,
        )
        for _, answer in answers
    ]
    transaction.merge("merge_raw_responses", pl.DataFrame(responses, schema=RAW_RESPONSE_SCHEMA, orient="row"))
    keys = {sim.iccid: sim.sim_key for sim, _ in answers if sim is not None}
    frames = [endpoint.frame(answer.items, keys, answer.received_at) for _, answer in answers if answer.items]
    merged = Merged()
    if frames:
        rows = pl.concat(frames).unique(subset=endpoint.key, keep="last", maintain_order=True)
        merged = transaction.merge(endpoint.merge, rows)
    rejections = []
    for sim, answer in answers:
        asked = _asked(endpoint, answer, sim) if answer.rejected else {}
        for rejected in answer.rejected:
            key = endpoint.record_key(rejected.record, asked)
            record = json.dumps({"record": rejected.record, "asked": asked}, default=str)
            rejections.append(
                (endpoint.name, key, rejected.reason, record.replace("\\u0000", "\\ufffd"), answer.received_at)
            )
    if open_keys:
        resolved = [
            (endpoint.name, key, answer.received_at, "superseded")
            for _, answer in answers
            for key in map(endpoint.item_key, answer.items)
            if key in open_keys
        ]
        transaction.merge("resolve_quarantine", pl.DataFrame(resolved, schema=RESOLVED_SCHEMA, orient="row"))
        open_keys.difference_update(key for _, key, _, _ in resolved)
    transaction.merge("merge_quarantine", pl.DataFrame(rejections, schema=QUARANTINE_SCHEMA, orient="row"))
    open_keys.update(key for _, key, _, _, _ in rejections)
    return merged, len(rejections)


def _open_quarantine_keys(database: Database, endpoint: Endpoint) -> set[str]:
    return {row["record_key"] for row in database.rows("quarantine_open") if row["source"] == endpoint.name}


def ingest_account(database: Database, make_client: MakeClient, endpoint: Endpoint, *, clock: Clock) -> IngestResult:
    """Ask for one of the account's lists (sims, products, orders, tickets); store it page by page.

    A call that is gone is said in the result, and fails for the list of SIMs alone. Raises OnceError.
    """
    once = make_client()
    load(database, once.calls)
    try:
        if endpoint is SIMS and once.calls.in_use("sims", clock()) is None:
            once.calls.ask_again("sims")  # one request an hour, and nothing works without it
        if once.calls.in_use(endpoint.name, clock()) is None:
            raise once.calls.gone_error(endpoint.name, clock())
        return _account_list(database, once, endpoint, clock)
    except OnceCallGoneError as gone:
        if endpoint is SIMS:  # without it there is nobody to ask about
            raise
        return IngestResult(endpoint.name, requests=once.stats.requests, gone=str(gone))
    finally:
        save(database, once, clock())


def _account_list(database: Database, once: OnceClient, endpoint: Endpoint, clock: Clock) -> IngestResult:
    today = clock().date()
    with database.transaction() as transaction:
        begun = transaction.row(
            "begin_ingest_run", {"source": endpoint.name, "first_day": today, "last_day": today, "now": clock()}
        )
        assert begun is not None
    listed: list[str] = []
    result = asyncio.run(_ingest_account(database, once, endpoint, listed))
    version = once.calls.in_use(endpoint.name, clock())
    with database.transaction() as transaction:
        # no proof that a SIM has left the account: an empty list, one with rejected records, or one of API v1 where v2
        # has answered before, which lacks the SIMs of Platform 2.0
        whole = listed and not result.rejected and version is not None and once.calls.list_is_whole(version)
        if endpoint is SIMS and whole:
            transaction.stage("mark_unlisted", pl.DataFrame({"iccid": listed}).unique())
            transaction.row("mark_unlisted", {"begun": begun["started_at"], "now": clock()})
        if endpoint is SIMS:
            result.waited = store_waiting_rows(transaction, now=clock()).stored
        transaction.execute("finish_ingest_run", {"sweep_id": begun["sweep_id"], "now": clock()})
    return result


async def _ingest_account(
    database: Database, client: OnceClient, endpoint: Endpoint, listed: list[str]
) -> IngestResult:
    """`listed` is filled with the ICCIDs that the SIM list names."""
    result = IngestResult(endpoint.name)
    open_keys = _open_quarantine_keys(database, endpoint)
    async with client as once:
        async with aclosing(_account_pages(once, endpoint)) as pages:
            async for page in pages:
                with database.transaction() as transaction:
                    merged, rejected = store(transaction, endpoint, [(None, page)], open_keys=open_keys)
                result.merged += merged
                result.rejected += rejected
                result.notes.update(note.partition(":")[0] for note in page.notes)
                if endpoint is SIMS:
                    listed += [sim.iccid for sim in page.items]
        result.requests, result.retries = once.stats.requests, once.stats.retries
    return result


async def _account_pages(once: OnceClient, endpoint: Endpoint) -> AsyncGenerator[Answer[Any], None]:
    if endpoint is PRODUCTS:
        yield await once.products()
        return
    lists = once.sims() if endpoint is SIMS else once.orders() if endpoint is ORDERS else once.tickets()
    async with aclosing(lists) as pages:
        async for page in pages:
            yield page


def ingest_fleet(
    database: Database,
    make_client: MakeClient,
    endpoint: Endpoint,
    *,
    first_day: date,
    last_day: date,
    clock: Clock,
    progress: Progress = lambda done, of: None,
    budget: int | None = None,
    only: Set[int] | None = None,
) -> IngestResult:
    """Ask one endpoint for every SIM and store the answers in batches; resume an unfinished run over the same days.

    budget   requests that the runs over all endpoints may take together; where the fleet needs more, the planner
             (services.ingest.poll_planner) chooses whom to ask now. None: everyone
    only     ask these SIMs (by sim_key) and no others; the ingest run stays open, and the next one continues it
    Usage is asked from `first_day`, or from earlier where a SIM is not covered up to there, at most six months back.
    A SIM whose call fails is stored with the problem and does not stop the others. A call that is gone ends the run,
    and is said in the result. Raises OnceCredentialsError and OnceUnavailableError, after storing what had come.
    """
    now = clock()
    once = make_client()
    load(database, once.calls)
    if once.calls.in_use(endpoint.name, now) is None:
        return IngestResult(endpoint.name, gone=str(once.calls.gone_error(endpoint.name, now)))
    window = {"source": endpoint.name, "first_day": first_day, "last_day": last_day}
    with database.transaction() as transaction:
        begun = transaction.row("unfinished_ingest_run", {**window, "since": now - RESUME_WITHIN})
        begun = begun or transaction.row("begin_ingest_run", {**window, "now": now})
        assert begun is not None
        pending = transaction.rows("sims_to_poll", {"source": endpoint.name, "sweep_id": begun["sweep_id"]})
        size = transaction.row("fleet_size") or {"sims": 0, "usage_calls": 0}
        fleet, usage_calls = size["sims"], size["usage_calls"]
        if once.calls.in_use(USAGE.name, now) is None:
            usage_calls = 0
        if only is not None:
            pending = [row for row in pending if row["sim_key"] in only]
            fleet = len(pending)
        result = IngestResult(endpoint.name, already=fleet - len(pending))
        known = [row for row in pending if not _unknown_to_v1(row, now)]
        pending, result.beyond = known, len(pending) - len(known)
        data_alone: set[int] = set()
        over = budget is not None and fleet_cost(fleet, min(usage_calls, fleet)) > budget
        if over or endpoint is USAGE:
            no_usage_call = once.calls.in_use(USAGE.name, now) is None
            state = transaction.frame(
                "poll_state", STATE_SCHEMA, {"now": now, "no_usage_call": no_usage_call, "learn_days": LEARN_DAYS}
            )
            chosen = plan(state, now=now, budget=budget if over else None, sources=(endpoint.name,))
            if endpoint is USAGE:  # a usage call that does not answer is not left for later either
                answering = set(state.filter(~pl.col("call_gone"))["sim_key"])
                known = [row for row in pending if row["sim_key"] in answering]
                pending, result.beyond = known, result.beyond + len(pending) - len(known)
            if over:
                by_key = {row["sim_key"]: row for row in pending}
                result.pending = len(pending)
                pending = [by_key[key] for key in chosen["sim_key"] if key in by_key]
                result.pending -= len(pending)
            if endpoint is QUOTA:
                data_alone = set(chosen.filter(pl.col("requests") == 1)["sim_key"])
    sims = [
        replace(_sim_to_ask(row, first_day, last_day, now), sms_quota=row["sim_key"] not in data_alone)
        for row in pending
    ]
    fleet_run = _FleetRun(
        database,
        endpoint,
        begun["sweep_id"],
        result,
        clock,
        progress,
        len(sims),
        _open_quarantine_keys(database, endpoint),
    )
    try:
        asyncio.run(fleet_run.run(once, sims))
    finally:
        save(database, once, clock())
    with database.transaction() as transaction:
        if only is None and not result.gone:
            transaction.execute("finish_ingest_run", {"sweep_id": begun["sweep_id"], "now": clock()})
        if result.merged.new:
            transaction.rows("analyze_new_tables")
    return result


def _store_silent_days(
    transaction: Transaction, answers: Sequence[tuple[Sim | None, Answer[Any]]], now: datetime
) -> Merged:
    """Correct days that the book has from stream or quotas to zero where the usage call covers them without a row.

    The call may still bring a row of the last CORRECTED_DAYS days: those stay. So do the days of a SIM of whose answer
    a record was rejected, which may be about any of them.
    """
    settled = now.date() - timedelta(days=CORRECTED_DAYS)
    whole = {
        sim.sim_key: (sim.first_day, {item.day for item in answer.items})
        for sim, answer in answers
        if sim is not None and not answer.rejected and sim.first_day <= settled
    }
    if not whole:
        return Merged()
    first = min(first for first, _ in whole.values())
    others = transaction.rows("days_of_other_sources", {"sim_keys": [*whole], "first": first, "last": settled})
    silent = [
        (day["sim_key"], day["day"], 0, 0, 0, 0, now, "call", "A", None, None, None)
        for day in others
        if day["day"] >= whole[day["sim_key"]][0] and day["day"] not in whole[day["sim_key"]][1]
    ]
    if not silent:
        return Merged()
    return transaction.merge(USAGE.merge, pl.DataFrame(silent, schema=USAGE.schema, orient="row"))


def _unknown_to_v1(row: dict[str, Any], now: datetime) -> bool:
    """Whether API v1 said less than a day ago that it does not know this SIM of the account."""
    polled_at: datetime | None = row["polled_at"]
    return row["problem"] == OnceNotOnV1Error.__name__ and polled_at is not None and now - polled_at < REMEMBERED


def _sim_to_ask(row: dict[str, Any], first_day: date, last_day: date, now: datetime) -> Sim:
    earliest = (now - USAGE_REACH).date()
    covered: date | None = row["covered_to"]
    resume = earliest if covered is None else covered + timedelta(days=1 - CORRECTED_DAYS)
    first = max(earliest, min(first_day, resume))
    return Sim(row["iccid"], row["sim_key"], first, max(first, last_day), row["polled_at"], row["listed"])


@dataclass
class _FleetRun:
    """One ingest run over the fleet under way."""

    database: Database
    endpoint: Endpoint
    sweep_id: int
    result: IngestResult
    clock: Clock
    progress: Progress
    size: int
    open_keys: set[str]
    batch: list[tuple[Sim, list[Answer[Any]] | OnceError]] = field(default_factory=list)

    async def run(self, client: OnceClient, sims: list[Sim]) -> None:
        ask = self.endpoint.ask
        assert ask is not None, f"{self.endpoint.name} is not asked SIM by SIM"
        async with client as once:
            last_flush = time.monotonic()
            try:
                async with aclosing(once.each(sims, lambda sim: ask(once, sim))) as outcomes:
                    async for sim, outcome in outcomes:
                        self.batch.append((sim, outcome))
                        if len(self.batch) >= BATCH_SIMS or time.monotonic() - last_flush > BATCH_SECONDS:
                            await self.flush()
                            last_flush = time.monotonic()
            except OnceCallGoneError as gone:
                self.result.gone = str(gone)
            except OnceError:
                await self.flush()  # what had come stays; the next run goes on from here
                raise
            await self.flush()
            self.result.requests, self.result.retries = once.stats.requests, once.stats.retries

    async def flush(self) -> None:
        if self.batch:
            done, self.batch = self.batch, []
            await asyncio.to_thread(self.store_batch, done)
            self.progress(self.result.sims, self.size)

    def store_batch(self, batch: list[tuple[Sim, list[Answer[Any]] | OnceError]]) -> None:
        now = self.clock()
        answers: list[tuple[Sim | None, Answer[Any]]] = []
        polls = []
        for sim, outcome in batch:
            problem = None
            if isinstance(outcome, OnceError):
                problem = type(outcome).__name__
                self.result.problems[problem] = self.result.problems.get(problem, 0) + 1
            else:
                answers += [(sim, answer) for answer in outcome]
                self.result.notes.update(note.partition(":")[0] for answer in outcome for note in answer.notes)
            covered = (
                min(sim.last_day, now.date() - timedelta(days=1)) if self.endpoint is USAGE and not problem else None
            )
            polls.append((sim.sim_key, self.endpoint.name, self.sweep_id, now, covered, problem))
        with self.database.transaction() as transaction:
            if answers:
                merged, rejected = store(transaction, self.endpoint, answers, open_keys=self.open_keys)
                self.result.merged += merged
                self.result.rejected += rejected
                if self.endpoint is USAGE:
                    self.result.merged += _store_silent_days(transaction, answers, now)
            transaction.merge("merge_polls", pl.DataFrame(polls, schema=POLL_SCHEMA, orient="row"))
        self.result.sims += len(batch)
