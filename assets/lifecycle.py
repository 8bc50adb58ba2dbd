"""The life of every SIM: its present state and the history of what moved it there."""

from typing import Any

import dagster as dg

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_metadata, as_of_days
from services.lifecycle import evaluate_lifecycle


@dg.asset(
    deps=["usage_history", "sim_quota", "sim_events", "sim_connectivity", "orders"],
    partitions_def=AS_OF_DAYS,
    group_name="sim_states",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.sim_states"},
)
def sim_lifecycle(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The state of every SIM as of a day (the partition), by one state machine, and the history that led there.

    States are ordered, issued, activated, active, silent, suspended, expired and deactivated. The history says when,
    from what evidence and who decided; changes of device and of visited country and top-ups are in it too. States move
    forward in time only: a day before the last evaluated one changes nothing. Read `core.sim_states_v1` and
    `core.sim_lifecycle_v1`.

    If it is red: the states of the day before stay. Open the failed run, mend what its last message says, and start
    `simsight run` again.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = evaluate_lifecycle(runtime, as_of)
    return dg.MaterializeResult(metadata=as_metadata(context, metadata))
