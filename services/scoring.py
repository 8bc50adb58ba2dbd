"""Scoring over blocks of SIMs: planned, scored one by one wherever there is room, and published together.

A block reads the data of its own SIMs only and leaves its rows in ops.staged_blocks; the last step writes all blocks of
an as-of day in one transaction, so that readers see the old day or the new one. Of predictions, a SIM whose data and
model version are those it was scored from last (ops.scored_sims) is left as it is.
"""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from resources.database.session import Merged, Transaction
from resources.registry import Version
from resources.runtime import Runtime
from resources.settings import Settings
from services.block_leases import Lease
from services.inputs import NoUsageError
from services.models import champion_of, registry_of
from services.packing import pack, unpack

# what another run left staged so long ago will not be published any more
LEFT_BEHIND = timedelta(days=3)
LOOK_AGAIN_S = 2.0
SCORED_SCHEMA = {"sim_key": pl.Int32, "input_hash": pl.Int64}


@dataclass(frozen=True)
class Block:
    """SIMs of neighbouring keys that are scored together, as of a day, by one version. Small: it travels between
    processes.

    part            the scoring task's name
    work_id         the run that planned it, under which its rows, and what it shares with other blocks, wait in the
                    database
    invalidated_at  the latest correction that made the day's predictions stale when it was planned
    """

    part: str
    as_of: date
    number: int
    first_key: int
    last_key: int
    version: Version
    work_id: str
    invalidated_at: datetime | None

    @property
    def range(self) -> dict[str, Any]:
        """The parameters that queries of a block have in common."""
        return {"as_of": self.as_of, "first_key": self.first_key, "last_key": self.last_key}

    @property
    def place(self) -> dict[str, Any]:
        """Where its rows wait."""
        return {"work_id": self.work_id, "part": self.part, "as_of": self.as_of, "block": self.number}

    @property
    def summary_place(self) -> dict[str, Any]:
        """Where its summary waits."""
        return {"work_id": self.work_id, "name": f"{self.part}, block {self.number} as of {self.as_of}"}

    @property
    def shared_place(self) -> dict[str, Any]:
        """Where that waits which all blocks of its as-of day have in common."""
        return _shared_place(self.part, self.as_of, self.work_id)


@dataclass(frozen=True)
class Scored:
    """What scoring a block came to: its rows, SIMs they are of, SIMs that were left as they are, and counts to be
    summed up by name.

    summary  what the block is as a whole, for `ScoringTask.write`: what `services.packing` can pack, or nothing
    """

    rows: pl.DataFrame
    sims: int
    as_before: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] | None = None


@dataclass(frozen=True)
class Staged:
    """A block that is scored, as `Scored`; its rows, and its summary if it has one, wait for publication."""

    block: Block
    rows: int
    scored: int
    as_before: int
    counts: dict[str, int]
    summarised: bool = False


@dataclass(frozen=True)
class PublishContext:
    """An as-of day that is written: by which version, in which run, and when.

    last_day   the last complete day at that moment
    settings   the organization's
    shared     what the blocks of the day share
    summaries  those of the blocks that have one, in the order of the blocks
    """

    as_of: date
    version: Version
    run_id: str
    now: datetime
    last_day: date
    settings: Settings
    shared: dict[str, Any]
    summaries: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class ScoringTask:
    """One kind of result that is computed over blocks.

    name     as in ops.staged_blocks, and in ops.stale_predictions where corrections make it stale
    model    the registered model whose champion computes it
    prepare  (runtime, as_of, champion) -> what all blocks of a day share, of what `services.packing` can pack, at most
             a few MB
    score    (runtime, block, what prepare gave) -> Scored
    write    (transaction, context, rows of the blocks, one block at a time) -> metadata; it runs where all of the day
             is written
    show     (runtime, as_of) -> metadata of what is published as of a day
    optional  whether a fleet may have no champion of the model, being too young: then nothing is scored, and no error
    """

    name: str
    model: str
    prepare: Callable[[Runtime, date, Version], dict[str, Any]]
    score: Callable[[Runtime, Block, dict[str, Any]], Scored]
    write: Callable[[Transaction, PublishContext, Iterator[pl.DataFrame]], dict[str, Any]]
    show: Callable[[Runtime, date], dict[str, Any]]
    optional: bool = False


def predictions(
    name: str,
    model: str,
    merge: str,
    inputs: Callable[[Runtime, Block], pl.DataFrame],
    score: Callable[[Runtime, Block, dict[str, Any], pl.DataFrame], pl.DataFrame],
    show: Callable[[Runtime, date], dict[str, Any]],
    prepare: Callable[[Runtime, date], dict[str, Any]] = lambda runtime, as_of: {},
    *,
    optional: bool = False,
) -> ScoringTask:
    """A task that predicts something of every SIM, each row with its scoring (predictions.scorings). SIMs whose data
    did not change are not scored again. Rows that change have a new scoring; the same values keep theirs.

    name     as in ops.stale_predictions
    model    the registered model whose champion predicts
    merge    the query that writes its rows
    inputs   (runtime, block) -> one row a SIM that can be scored, with all that its rows rest on; column sim_key first
    score    (runtime, block, what prepare gave, inputs of the SIMs to score) -> the merge's rows but for scoring_id
    prepare  (runtime, as_of) -> what all blocks of a day share; SIMs are not scored again for its sake
    optional  as `ScoringTask.optional`
    """

    def scored(runtime: Runtime, block: Block, shared: dict[str, Any]) -> Scored:
        # the hash of a SIM's data is read before the data: a correction that comes in between is scored now and once
        # more later
        given = inputs(runtime, block)
        hashed = given.select("sim_key").with_columns(input_hash=given.hash_rows(seed=0).reinterpret(signed=True))
        which = {**block.range, "part": name, "model_name": model, "model_version": block.version.version}
        known = runtime.database.frame("scored_sims", SCORED_SCHEMA, which)
        changed = hashed.join(known, on=["sim_key", "input_hash"], how="anti")
        if changed.is_empty():
            return Scored(pl.DataFrame(), 0, hashed.height)
        rows = score(runtime, block, shared, given.join(changed, on="sim_key", how="semi", maintain_order="left"))
        rows = rows.join(changed, on="sim_key", how="left", maintain_order="left")
        return Scored(rows, changed.height, hashed.height - changed.height)

    def written(transaction: Transaction, day: PublishContext, blocks: Iterator[pl.DataFrame]) -> dict[str, Any]:
        what = {"model_name": model, "model_version": day.version.version, "as_of": day.as_of}
        merged = Merged()
        scoring_id: int | None = None
        for rows in blocks:
            if scoring_id is None:
                scoring = transaction.row("new_scoring", {**what, "run_id": day.run_id, "now": day.now})
                assert scoring is not None
                scoring_id = int(scoring["scoring_id"])
            named = rows.with_columns(pl.lit(scoring_id, pl.Int32).alias("scoring_id"), pl.lit(name).alias("part"))
            merged += transaction.merge(merge, named)
            # without statistics of the rows just written, the next merge may look at all of a day for each SIM
            transaction.rows("analyze_new_tables")
            scored_sims = named.select("part", "as_of", "sim_key", "scoring_id", "input_hash").unique("sim_key")
            transaction.merge("merge_scored_sims", scored_sims)
        if scoring_id is not None and not merged.new + merged.changed:
            transaction.execute("remove_scoring", {"scoring_id": scoring_id})
        return {"dagster/row_count": merged.rows, "rows new": merged.new, "rows changed": merged.changed}

    return ScoringTask(name, model, lambda runtime, as_of, _: prepare(runtime, as_of), scored, written, show, optional)


def plan(runtime: Runtime, task: ScoringTask, as_of: date, *, work_id: str) -> list[Block]:
    """The blocks of SIMs to look at as of a day; what they share is staged first. None without a champion of an
    optional task. Raises NoChampionError, and NoUsageError without usage.
    """
    if task.optional and registry_of(runtime, task.model).champion() is None:
        return []
    champion = champion_of(runtime, task.model)
    with runtime.database.transaction() as transaction:
        invalidated = transaction.row("invalidation", {"as_of": as_of, "part": task.name})
        ranges = transaction.rows("sim_blocks", {"as_of": as_of, "size": runtime.settings.block_sims})
    if not ranges:
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    since = invalidated["marked_at"] if invalidated else None
    shared = task.prepare(runtime, as_of, champion)
    stage_value(runtime, task.name, _shared_place(task.name, as_of, work_id), shared)
    with runtime.database.transaction() as transaction:  # planned anew, the day is to be written anew
        place = {"part": task.name, "as_of": as_of, **_published_place(task.name, as_of, work_id)}
        for statement in ("unstage_values", "forget_leases"):
            transaction.execute(statement, place | {"before": runtime.clock() - LEFT_BEHIND})
    return [
        Block(task.name, as_of, row["block"], row["first_key"], row["last_key"], champion, work_id, since)
        for row in ranges
    ]


def score_block(runtime: Runtime, task: ScoringTask, block: Block) -> Staged:
    """Score a block and stage its rows. Handed out twice, it is scored once: the second waits for the first, and takes
    over when that one dies; of a finished block it says what came of it. Raises RuntimeError when what it shares with
    others is not staged.
    """
    lease = Lease.of(runtime.database, block.place)
    while True:
        is_mine, outcome = lease.take()
        if outcome is not None:
            return Staged(block, **outcome)
        if is_mine and (staged := _score_held(runtime, task, block, lease)) is not None:
            return staged
        time.sleep(LOOK_AGAIN_S)


def _score_held(runtime: Runtime, task: ScoringTask, block: Block, lease: Lease) -> Staged | None:
    """Score a block whose lease is held; None when another has taken it over, after a standstill of this process."""
    with lease.kept():
        # read anew for every block: a task may add to what it is given, and no block is to depend on those before it
        done = task.score(runtime, block, staged_value(runtime, block.shared_place))
        staged = Staged(block, done.rows.height, done.sims, done.as_before, done.counts, done.summary is not None)
        outcome = {name: value for name, value in vars(staged).items() if name != "block"}
        now = runtime.clock()
        with runtime.database.transaction() as transaction:
            if not lease.finish(transaction, outcome):
                return None
            if done.sims:
                buffer = io.BytesIO()
                done.rows.write_ipc(buffer, compression="zstd")
                content = {"rows": done.rows.height, "content": buffer.getvalue(), "now": now}
                transaction.execute("stage_block", block.place | content)
            if done.summary is not None:
                content = {"part": block.part, "content": pack(done.summary), "now": now}
                transaction.execute("stage_value", block.summary_place | content)
    return staged


def publish(
    runtime: Runtime, task: ScoringTask, as_of: date, staged: Sequence[Staged], *, run_id: str, show: bool = True
) -> dict[str, Any]:
    """Write all blocks of an as-of day at once and clear its invalidation; returns metadata.

    Blocks are read back one at a time. A step that failed after its commit is tried again: what is published already
    stays, and its metadata are returned. Without blocks nothing is written, and the metadata say why. Raises
    RuntimeError, and writes nothing, when something staged is missing.
    """
    if not staged and task.optional:
        return {"as of": as_of.isoformat(), "scored": f"no: there is no champion of {task.model} yet"}
    now = runtime.clock()
    blocks = sorted(staged, key=lambda done: done.block.number)
    versions = {done.block.version for done in blocks}
    if len(versions) != 1:
        raise RuntimeError(f"{task.name} as of {as_of}: blocks of {len(versions)} versions; score the day again")
    (version,) = versions
    work_id = blocks[0].block.work_id
    published = _published_place(task.name, as_of, work_id)
    with runtime.database.transaction() as transaction:
        before = transaction.row("staged_value", published)
        if before is not None:
            written = unpack(before["content"])
        else:
            summarised = [done.block.summary_place for done in blocks if done.summarised]
            shared, *summaries = (_staged(transaction, at) for at in (blocks[0].block.shared_place, *summarised))
            day = PublishContext(
                as_of, version, run_id, now, runtime.last_complete_day(), runtime.settings, shared, summaries
            )
            written = task.write(transaction, day, (_staged_rows(transaction, done) for done in blocks if done.scored))
            used_up = {"part": task.name, "work_id": work_id, "as_of": as_of, "before": now - LEFT_BEHIND}
            for statement in ("unstage_blocks", "forget_leases"):
                transaction.execute(statement, used_up)
            for place in (blocks[0].block.shared_place, *summarised):
                transaction.execute("unstage_values", used_up | place)
            content = {"part": task.name, "content": pack(written), "now": now}
            transaction.execute("stage_value", published | content)
            oldest = now.date() - timedelta(days=runtime.settings.recompute_days + 1)
            transaction.execute("forget_scored_sims", {"first": oldest})
            if (since := blocks[0].block.invalidated_at) is not None:
                transaction.execute("clear_invalidation", {"as_of": as_of, "part": task.name, "marked_at": since})
            transaction.rows("analyze_new_tables")
    names = {name for done in blocks for name in done.counts}
    return {
        "model version": version.version,
        "as of": as_of.isoformat(),
        **written,
        "blocks": len(blocks),
        "SIMs scored": sum(done.scored for done in blocks),
        "SIMs as before": sum(done.as_before for done in blocks),
        **{name: sum(done.counts.get(name, 0) for done in blocks) for name in sorted(names)},
        **(task.show(runtime, as_of) if show else {}),
    }


def stage_value(runtime: Runtime, part: str, place: dict[str, Any], value: Any) -> None:
    """Leave a value for later steps, which may run elsewhere. place: work_id and name; the same place again replaces
    it.
    """
    content = {"part": part, "content": pack(value), "now": runtime.clock()}
    with runtime.database.transaction() as transaction:
        transaction.execute("stage_value", place | content)


def staged_value(runtime: Runtime, place: dict[str, Any]) -> Any:
    """A value that an earlier step left. Raises RuntimeError when it is not there any more."""
    with runtime.database.transaction() as transaction:
        return _staged(transaction, place)


def _staged(transaction: Transaction, place: dict[str, Any]) -> Any:
    found = transaction.row("staged_value", place)
    if found is None:
        raise RuntimeError(
            f"{place['name']} of run {place['work_id']} is not staged; run the task again from its plan on"
        )
    return unpack(found["content"])


def _shared_place(part: str, as_of: date, work_id: str) -> dict[str, Any]:
    return {"work_id": work_id, "name": f"{part}, shared as of {as_of}"}


def _published_place(part: str, as_of: date, work_id: str) -> dict[str, Any]:
    """Where it is noted that a day of a work is published, until LEFT_BEHIND: its blocks are gone by then."""
    return {"work_id": work_id, "name": f"{part}, published as of {as_of}"}


def _staged_rows(transaction: Transaction, done: Staged) -> pl.DataFrame:
    block = done.block
    found = transaction.row("staged_block", block.place)
    if found is None or found["rows"] != done.rows:
        raise RuntimeError(
            f"{block.part} as of {block.as_of}: block {block.number} is not staged; run the step again from its "
            f"blocks on"
        )
    return pl.read_ipc(io.BytesIO(found["content"]))


def score_day(runtime: Runtime, task: ScoringTask, as_of: date, *, run_id: str) -> dict[str, Any]:
    """Plan, score and publish one as-of day in this process; returns metadata."""
    blocks = plan(runtime, task, as_of, work_id=run_id)
    return publish(runtime, task, as_of, [score_block(runtime, task, block) for block in blocks], run_id=run_id)


def invalidated_days(runtime: Runtime) -> list[tuple[date, date, datetime]]:
    """Stretches of as-of days to be computed again: first day, last day, and when the latest correction came."""
    first = runtime.clock().date() - timedelta(days=runtime.settings.recompute_days)
    stretches: list[tuple[date, date, datetime]] = []
    for row in runtime.database.rows("stale_predictions", {"first": first}):
        day, marked_at = row["as_of"], row["marked_at"]
        if stretches and stretches[-1][1] + timedelta(days=1) == day:
            begun, _, newest = stretches.pop()
            stretches.append((begun, day, max(newest, marked_at)))
        else:
            stretches.append((day, day, marked_at))
    return stretches
