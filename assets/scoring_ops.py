"""The ops that score a task over blocks of SIMs: plan, score a block, publish."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.common import RuntimeParam, as_metadata, as_of_days
from services.scoring import Block, Part, Staged, plan, publish, score_block

RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL)


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
        description="Score one block of SIMs and stage its rows. A block that fails is tried again alone.",
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
        context.add_output_metadata(as_metadata(metadata) | {"as-of days": len(days)})

    return planned, scored, published
