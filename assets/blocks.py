"""Scoring over blocks of SIMs: planned, scored one by one wherever there is room, and published together.

A block reads the data of its own SIMs only and leaves its rows in ops.staged_blocks; the last step writes all blocks of an as-of day
in one transaction, so that readers see the old day or the new one. A SIM whose data and model version are those it was scored
from last (ops.scored_sims) is left as it is.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from assets.common import RuntimeParam, as_of_days
from resources.database import Merged
from resources.registry import FORECASTER, Registry, Version
from resources.runtime import Runtime

LAST_KEY = 2**31 - 1
RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL)
# what another run left staged so long ago will not be published any more
LEFT_BEHIND = timedelta(days=3)
SCORED_SCHEMA = {"sim_key": pl.Int32, "input_hash": pl.Int64}


class NoUsageError(Exception):
    """There is nothing to learn from or nothing that could score; the message says what to run first."""


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
class Staged:
    """A block that is scored: rows that wait for publication, SIMs they are of, and SIMs that were left as they are."""

    block: Block
    rows: int
    scored: int
    as_before: int


@dataclass(frozen=True)
class Part:
    """One kind of prediction.

    name    as in ops.stale_predictions
    merge   the query that writes its rows
    inputs  (runtime, block) -> one row a SIM that can be scored, with all that its rows rest on; column sim_key first
    score   (runtime, block, inputs of the SIMs to score) -> the merge's rows but for scoring_id
    show    (runtime, as_of) -> metadata of what is published as of a day
    learn   (runtime, as_of) -> what all blocks of a day have in common, as Block.basis; SIMs are not scored again for its sake
    """

    name: str
    merge: str
    inputs: Callable[[Runtime, Block], pl.DataFrame]
    score: Callable[[Runtime, Block, pl.DataFrame], pl.DataFrame]
    show: Callable[[Runtime, date], dict[str, Any]]
    learn: Callable[[Runtime, date], Any] = lambda runtime, as_of: None


def registry_of(runtime: Runtime) -> Registry:
    """The registered forecaster of the organization."""
    return Registry(runtime.mlflow, FORECASTER, runtime.settings.organization, runtime.mlflow_artifacts)


def champion_of(runtime: Runtime) -> Version:
    """The version that scores. Raises NoUsageError when there is none."""
    champion = registry_of(runtime).champion()
    if champion is None:
        raise NoUsageError("no champion model is registered: materialize usage_forecaster first (`simsight run`)")
    return champion


def plan(runtime: Runtime, part: Part, as_of: date, *, work_id: str) -> list[Block]:
    """The blocks of SIMs to look at as of a day. Raises NoUsageError without a champion or without usage."""
    champion = champion_of(runtime)
    with runtime.database.transaction() as transaction:
        mark = transaction.row("stale_mark", {"as_of": as_of, "part": part.name})
        ranges = transaction.rows("sim_blocks", {"as_of": as_of, "size": runtime.settings.block_sims})
    if not ranges:
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    stale_mark, basis = (mark["marked_at"] if mark else None), part.learn(runtime, as_of)
    return [
        Block(part.name, as_of, row["block"], row["first_key"], row["last_key"], champion, work_id, stale_mark, basis)
        for row in ranges
    ]


def score_block(runtime: Runtime, part: Part, block: Block) -> Staged:
    """Score the SIMs of a block whose data changed since they were scored, and stage their rows. Again: the same again.

    The hash of a SIM's data is read before the data: a correction that comes in between is scored now and once more later.
    """
    inputs = part.inputs(runtime, block)
    hashed = inputs.select("sim_key").with_columns(input_hash=inputs.hash_rows(seed=0).reinterpret(signed=True))
    known = runtime.database.frame(
        "scored_sims",
        SCORED_SCHEMA,
        {**block.range, "part": part.name, "model_name": FORECASTER, "model_version": block.version.version},
    )
    changed = hashed.join(known, on=["sim_key", "input_hash"], how="anti")
    if changed.is_empty():
        return Staged(block, 0, 0, hashed.height)
    wanted = inputs.join(changed, on="sim_key", how="semi", maintain_order="left")
    rows = part.score(runtime, block, wanted)
    buffer = io.BytesIO()
    rows.join(changed, on="sim_key", how="left", maintain_order="left").write_ipc(buffer, compression="zstd")
    with runtime.database.transaction() as transaction:
        content = {"rows": rows.height, "content": buffer.getvalue(), "now": runtime.clock()}
        transaction.execute("stage_block", block.place | content)
    return Staged(block, rows.height, changed.height, hashed.height - changed.height)


def publish(
    runtime: Runtime, part: Part, as_of: date, staged: Sequence[Staged], *, run_id: str, show: bool = True
) -> dict[str, Any]:
    """Write all blocks of an as-of day at once and settle its stale mark; returns metadata.

    Blocks are read back one at a time. Raises RuntimeError, and writes nothing, when a staged block is missing.
    """
    database, now = runtime.database, runtime.clock()
    blocks = sorted(staged, key=lambda done: done.block.number)
    versions = {done.block.version for done in blocks}
    if len(versions) != 1:
        raise RuntimeError(f"{part.name} as of {as_of}: blocks of {len(versions)} versions; score the day again")
    (version,) = versions
    what = {"model_name": FORECASTER, "model_version": version.version, "as_of": as_of}
    merged = Merged()
    with database.transaction() as transaction:
        scoring_id: int | None = None
        for done in blocks:
            if not done.scored:
                continue
            found = transaction.row("staged_block", done.block.place)
            if found is None or found["rows"] != done.rows:
                raise RuntimeError(
                    f"{part.name} as of {as_of}: block {done.block.number} is not staged; run the step again from its blocks on"
                )
            if scoring_id is None:
                scoring = transaction.row("find_scoring", what) or transaction.row(
                    "new_scoring", {**what, "run_id": run_id, "now": now}
                )
                assert scoring is not None
                scoring_id = int(scoring["scoring_id"])
            rows = pl.read_ipc(io.BytesIO(found["content"])).with_columns(
                pl.lit(scoring_id, pl.Int32).alias("scoring_id"), pl.lit(part.name).alias("part")
            )
            merged += transaction.merge(part.merge, rows)
            scored = rows.select("part", "as_of", "sim_key", "scoring_id", "input_hash").unique("sim_key")
            transaction.merge("merge_scored_sims", scored)
        transaction.execute(
            "unstage_blocks",
            {"part": part.name, "work_id": blocks[0].block.work_id, "as_of": as_of, "before": now - LEFT_BEHIND},
        )
        oldest = now.date() - timedelta(days=runtime.settings.recompute_days + 1)
        transaction.execute("forget_scored_sims", {"first": oldest})
        if (mark := blocks[0].block.stale_mark) is not None:
            transaction.execute("clear_stale_mark", {"as_of": as_of, "part": part.name, "marked_at": mark})
        transaction.rows("analyze_new_tables")
    return {
        "model version": version.version,
        "as of": as_of.isoformat(),
        "dagster/row_count": merged.rows,
        "rows new": merged.new,
        "rows changed": merged.changed,
        "blocks": len(blocks),
        "SIMs scored": sum(done.scored for done in blocks),
        "SIMs as before": sum(done.as_before for done in blocks),
        **(part.show(runtime, as_of) if show else {}),
    }


def score_day(runtime: Runtime, part: Part, as_of: date, *, run_id: str) -> dict[str, Any]:
    """Plan, score and publish one as-of day in this process; returns metadata."""
    blocks = plan(runtime, part, as_of, work_id=run_id)
    return publish(runtime, part, as_of, [score_block(runtime, part, block) for block in blocks], run_id=run_id)


def block_ops(part: Part, after: Sequence[str]) -> tuple[dg.OpDefinition, dg.OpDefinition, dg.OpDefinition]:
    """The three ops of a part's graph: plan the blocks of all as-of days of a run, score one, publish them.

    after  the assets that must be there before, as inputs without a value
    """

    @dg.op(
        name=f"plan_{part.name}",
        ins={name: dg.In(dg.Nothing) for name in after},
        out=dg.DynamicOut(Block),
        description="Divide the SIMs into blocks of SIMSIGHT_BLOCK_SIMS.",
    )
    def planned(context: dg.OpExecutionContext, runtime: RuntimeParam) -> Any:
        for as_of in as_of_days(context):
            for block in plan(runtime, part, as_of, work_id=context.run_id):
                yield dg.DynamicOutput(block, mapping_key=f"{as_of:%Y%m%d}_{block.number}")

    @dg.op(
        name=f"score_{part.name}",
        out=dg.Out(Staged),
        retry_policy=RETRY,
        description="Score the SIMs of one block whose data changed, and stage the rows. A block that fails is tried again alone.",
    )
    def scored(context: dg.OpExecutionContext, runtime: RuntimeParam, block: Block) -> Staged:
        done = score_block(runtime, part, block)
        context.log.debug(f"as of {block.as_of}, block {block.number}: {done.scored} SIMs, {done.as_before} as before")
        return done

    @dg.op(
        name=f"publish_{part.name}",
        out=dg.Out(dg.Nothing),
        retry_policy=RETRY,
        description="Write all blocks of an as-of day in one transaction: readers see the old day or the new one.",
    )
    def published(context: dg.OpExecutionContext, runtime: RuntimeParam, staged: list[Staged]) -> None:
        days = sorted({done.block.as_of for done in staged})
        metadata: dict[str, Any] = {}
        for as_of in days:
            of_day = [done for done in staged if done.block.as_of == as_of]
            metadata = publish(runtime, part, as_of, of_day, run_id=context.run_id, show=as_of == days[-1])
            if len(days) > 1:
                context.log.info(f"{part.name} as of {as_of}")
        context.add_output_metadata(metadata | {"as-of days": len(days)})

    return planned, scored, published
