"""Scoring over blocks of SIMs: planned, scored one by one wherever there is room, and published together.

A block reads the data of its own SIMs only and leaves its rows in ops.staged_blocks; the last step writes all blocks of an as-of day
in one transaction, so that readers see the old day or the new one. Of predictions, a SIM whose data and model version are those it was
scored from last (ops.scored_sims) is left as it is.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from resources.database.session import Merged, Transaction
from resources.registry import FORECASTER, Version
from resources.runtime import Runtime
from services.inputs import NoUsageError
from services.models import champion_of

# what another run left staged so long ago will not be published any more
LEFT_BEHIND = timedelta(days=3)
SCORED_SCHEMA = {"sim_key": pl.Int32, "input_hash": pl.Int64}


@dataclass(frozen=True)
class Block:
    """SIMs of neighbouring keys that are scored together, as of a day, by one version. Small: it travels between processes.

    basis  what the part learnt from the fleet for all blocks of the day, at most a few MB
    """

    part: str
    as_of: date
    number: int
    first_key: int
    last_key: int
    version: Version
    work_id: str
    stale_mark: datetime | None
    basis: Any = None

    @property
    def range(self) -> dict[str, Any]:
        """The parameters that queries of a block have in common."""
        return {"as_of": self.as_of, "first_key": self.first_key, "last_key": self.last_key}

    @property
    def place(self) -> dict[str, Any]:
        """Where its rows wait."""
        return {"work_id": self.work_id, "part": self.part, "as_of": self.as_of, "block": self.number}


@dataclass(frozen=True)
class Scored:
    """What scoring a block came to: its rows, SIMs they are of, SIMs that were left as they are, and counts to be summed up by name."""

    rows: pl.DataFrame
    sims: int
    as_before: int = 0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """A block that is scored, as `Scored`; its rows wait for publication."""

    block: Block
    rows: int
    scored: int
    as_before: int
    counts: dict[str, int]


@dataclass(frozen=True)
class Publication:
    """An as-of day that is written: by which version, in which run, and when."""

    as_of: date
    version: Version
    run_id: str
    now: datetime


@dataclass(frozen=True)
class Part:
    """One kind of result that is computed over blocks.

    name   as in ops.staged_blocks, and in ops.stale_predictions where corrections make it stale
    model  the registered model whose champion computes it
    learn  (runtime, as_of, champion) -> what all blocks of a day have in common, as Block.basis
    score  (runtime, block) -> Scored
    write  (transaction, publication, rows of the blocks, one block at a time) -> metadata; it runs where all of the day is written
    show   (runtime, as_of) -> metadata of what is published as of a day
    """

    name: str
    model: str
    learn: Callable[[Runtime, date, Version], Any]
    score: Callable[[Runtime, Block], Scored]
    write: Callable[[Transaction, Publication, Iterator[pl.DataFrame]], dict[str, Any]]
    show: Callable[[Runtime, date], dict[str, Any]]


def predictions(
    name: str,
    merge: str,
    inputs: Callable[[Runtime, Block], pl.DataFrame],
    score: Callable[[Runtime, Block, pl.DataFrame], pl.DataFrame],
    show: Callable[[Runtime, date], dict[str, Any]],
    learn: Callable[[Runtime, date], Any] = lambda runtime, as_of: None,
) -> Part:
    """A part of the forecaster's predictions, each row with its scoring (predictions.scorings). SIMs whose data did not change are not
    scored again.

    name    as in ops.stale_predictions
    merge   the query that writes its rows
    inputs  (runtime, block) -> one row a SIM that can be scored, with all that its rows rest on; column sim_key first
    score   (runtime, block, inputs of the SIMs to score) -> the merge's rows but for scoring_id
    learn   (runtime, as_of) -> Block.basis; SIMs are not scored again for its sake
    """

    def scored(runtime: Runtime, block: Block) -> Scored:
        # the hash of a SIM's data is read before the data: a correction that comes in between is scored now and once more later
        given = inputs(runtime, block)
        hashed = given.select("sim_key").with_columns(input_hash=given.hash_rows(seed=0).reinterpret(signed=True))
        which = {**block.range, "part": name, "model_name": FORECASTER, "model_version": block.version.version}
        known = runtime.database.frame("scored_sims", SCORED_SCHEMA, which)
        changed = hashed.join(known, on=["sim_key", "input_hash"], how="anti")
        if changed.is_empty():
            return Scored(pl.DataFrame(), 0, hashed.height)
        rows = score(runtime, block, given.join(changed, on="sim_key", how="semi", maintain_order="left"))
        rows = rows.join(changed, on="sim_key", how="left", maintain_order="left")
        return Scored(rows, changed.height, hashed.height - changed.height)

    def written(transaction: Transaction, day: Publication, blocks: Iterator[pl.DataFrame]) -> dict[str, Any]:
        what = {"model_name": FORECASTER, "model_version": day.version.version, "as_of": day.as_of}
        merged = Merged()
        scoring_id: int | None = None
        for rows in blocks:
            if scoring_id is None:
                scoring = transaction.row("find_scoring", what) or transaction.row(
                    "new_scoring", {**what, "run_id": day.run_id, "now": day.now}
                )
                assert scoring is not None
                scoring_id = int(scoring["scoring_id"])
            named = rows.with_columns(pl.lit(scoring_id, pl.Int32).alias("scoring_id"), pl.lit(name).alias("part"))
            merged += transaction.merge(merge, named)
            scored_sims = named.select("part", "as_of", "sim_key", "scoring_id", "input_hash").unique("sim_key")
            transaction.merge("merge_scored_sims", scored_sims)
        return {"dagster/row_count": merged.rows, "rows new": merged.new, "rows changed": merged.changed}

    return Part(name, FORECASTER, lambda runtime, as_of, _: learn(runtime, as_of), scored, written, show)


def plan(runtime: Runtime, part: Part, as_of: date, *, work_id: str) -> list[Block]:
    """The blocks of SIMs to look at as of a day. Raises NoChampionError, and NoUsageError without usage."""
    champion = champion_of(runtime, part.model)
    with runtime.database.transaction() as transaction:
        mark = transaction.row("stale_mark", {"as_of": as_of, "part": part.name})
        ranges = transaction.rows("sim_blocks", {"as_of": as_of, "size": runtime.settings.block_sims})
    if not ranges:
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    stale_mark, basis = (mark["marked_at"] if mark else None), part.learn(runtime, as_of, champion)
    return [
        Block(part.name, as_of, row["block"], row["first_key"], row["last_key"], champion, work_id, stale_mark, basis)
        for row in ranges
    ]


def score_block(runtime: Runtime, part: Part, block: Block) -> Staged:
    """Score a block and stage its rows. Again: the same again."""
    done = part.score(runtime, block)
    if done.sims:
        buffer = io.BytesIO()
        done.rows.write_ipc(buffer, compression="zstd")
        content = {"rows": done.rows.height, "content": buffer.getvalue(), "now": runtime.clock()}
        with runtime.database.transaction() as transaction:
            transaction.execute("stage_block", block.place | content)
    return Staged(block, done.rows.height, done.sims, done.as_before, done.counts)


def publish(
    runtime: Runtime, part: Part, as_of: date, staged: Sequence[Staged], *, run_id: str, show: bool = True
) -> dict[str, Any]:
    """Write all blocks of an as-of day at once and settle its stale mark; returns metadata.

    Blocks are read back one at a time. Raises RuntimeError, and writes nothing, when a staged block is missing.
    """
    now = runtime.clock()
    blocks = sorted(staged, key=lambda done: done.block.number)
    versions = {done.block.version for done in blocks}
    if len(versions) != 1:
        raise RuntimeError(f"{part.name} as of {as_of}: blocks of {len(versions)} versions; score the day again")
    (version,) = versions
    with runtime.database.transaction() as transaction:
        day = Publication(as_of, version, run_id, now)
        written = part.write(transaction, day, (_staged_rows(transaction, done) for done in blocks if done.scored))
        transaction.execute(
            "unstage_blocks",
            {"part": part.name, "work_id": blocks[0].block.work_id, "as_of": as_of, "before": now - LEFT_BEHIND},
        )
        oldest = now.date() - timedelta(days=runtime.settings.recompute_days + 1)
        transaction.execute("forget_scored_sims", {"first": oldest})
        if (mark := blocks[0].block.stale_mark) is not None:
            transaction.execute("clear_stale_mark", {"as_of": as_of, "part": part.name, "marked_at": mark})
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
        **(part.show(runtime, as_of) if show else {}),
    }


def _staged_rows(transaction: Transaction, done: Staged) -> pl.DataFrame:
    block = done.block
    found = transaction.row("staged_block", block.place)
    if found is None or found["rows"] != done.rows:
        raise RuntimeError(
            f"{block.part} as of {block.as_of}: block {block.number} is not staged; run the step again from its blocks on"
        )
    return pl.read_ipc(io.BytesIO(found["content"]))


def score_day(runtime: Runtime, part: Part, as_of: date, *, run_id: str) -> dict[str, Any]:
    """Plan, score and publish one as-of day in this process; returns metadata."""
    blocks = plan(runtime, part, as_of, work_id=run_id)
    return publish(runtime, part, as_of, [score_block(runtime, part, block) for block in blocks], run_id=run_id)


def stale_days(runtime: Runtime) -> list[tuple[date, date, datetime]]:
    """Stretches of as-of days to be computed again: first day, last day, and when the latest correction came."""
    first = runtime.clock().date() - timedelta(days=runtime.settings.recompute_days)
    stretches: list[tuple[date, date, datetime]] = []
    for row in runtime.database.rows("stale_predictions", {"first": first}):
        day, mark = row["as_of"], row["marked_at"]
        if stretches and stretches[-1][1] + timedelta(days=1) == day:
            begun, _, newest = stretches.pop()
            stretches.append((begun, day, max(newest, mark)))
        else:
            stretches.append((day, day, mark))
    return stretches
