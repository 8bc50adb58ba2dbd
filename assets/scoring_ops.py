"""The ops that score a task over blocks of SIMs: plan, score a block, publish."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from assets.common import RuntimeParam, as_metadata, as_of_days
from resources.registry import Version
from resources.runtime import Runtime
from services.scoring import (
    Block,
    ScoringTask,
    Staged,
    plan,
    publish,
    score_block,
    stage_value,
    staged_value,
)

RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL)
IO_MANAGER = "staged_values"
BLOCKS = "blocks"  # the queue of Celery workers that take nothing else


class StagedValues(dg.IOManager):
    """Keeps the blocks that the ops hand each other in the database: their processes need no disk in common."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def handle_output(self, context: dg.OutputContext, obj: Block | Staged) -> None:
        part = obj.part if isinstance(obj, Block) else obj.block.part
        stage_value(self._runtime, part, _place(context), asdict(obj))

    def load_input(self, context: dg.InputContext) -> Block | Staged:
        assert context.upstream_output is not None
        values = staged_value(self._runtime, _place(context.upstream_output))
        return _block(values) if "version" in values else Staged(**values | {"block": _block(values["block"])})


def _place(context: dg.OutputContext) -> dict[str, Any]:
    run_id, *step = context.get_identifier()
    return {"work_id": run_id, "name": "/".join(step)}


def _block(values: dict[str, Any]) -> Block:
    return Block(**values | {"version": Version(**values["version"])})


def scoring_ops(task: ScoringTask, after: Sequence[str]) -> tuple[dg.OpDefinition, dg.OpDefinition, dg.OpDefinition]:
    """The three ops of a task's graph: plan the blocks of all as-of days of a run, score one, publish them.

    after  the assets that must be there before, as inputs without a value
    """

    @dg.op(
        name=f"plan_{task.name}",
        ins={name: dg.In(dg.Nothing) for name in after},
        out=dg.DynamicOut(Block, io_manager_key=IO_MANAGER),
        description="Divide the SIMs into blocks of SIMSIGHT_BLOCK_SIMS.",
    )
    def planned(context: dg.OpExecutionContext, runtime: RuntimeParam) -> Any:
        for as_of in as_of_days(context):
            for block in plan(runtime, task, as_of, work_id=context.run_id):
                yield dg.DynamicOutput(block, mapping_key=f"{as_of:%Y%m%d}_{block.number}")

    @dg.op(
        name=f"score_{task.name}",
        out=dg.Out(Staged, io_manager_key=IO_MANAGER),
        retry_policy=RETRY,
        description="Score one block of SIMs and stage its rows. A block that fails is tried again alone.",
        tags={"dagster-celery/queue": BLOCKS},
    )
    def scored(context: dg.OpExecutionContext, runtime: RuntimeParam, block: Block) -> Staged:
        done = score_block(runtime, task, block)
        context.log.debug(f"as of {block.as_of}, block {block.number}: {done.scored} SIMs, {done.as_before} as before")
        return done

    @dg.op(
        name=f"publish_{task.name}",
        out=dg.Out(dg.Nothing),
        retry_policy=RETRY,
        description="Write all blocks of an as-of day in one transaction: readers see the old day or the new one.",
    )
    def published(context: dg.OpExecutionContext, runtime: RuntimeParam, staged: list[Staged]) -> None:
        # an optional task without a champion has no blocks, and says so
        days = sorted({done.block.as_of for done in staged}) or as_of_days(context)
        metadata: dict[str, Any] = {}
        for as_of in days:
            of_day = [done for done in staged if done.block.as_of == as_of]
            metadata = publish(runtime, task, as_of, of_day, run_id=context.run_id, show=as_of == days[-1])
            if len(days) > 1:
                context.log.info(f"{task.name} as of {as_of}")
        context.add_output_metadata(as_metadata(context, metadata) | {"as-of days": len(days)})

    return planned, scored, published
