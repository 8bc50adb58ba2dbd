"""Support tickets: the classifier's training, and what every ticket is about."""

import dagster as dg

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_metadata, as_of_day, as_of_days
from services.tickets import classify_tickets, train


@dg.asset(
    deps=["tickets"],
    group_name="support_tickets",
    kinds={"python", "mlflow", "scikitlearn"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.backtests"},
)
def ticket_classifier(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The registered model `ticket-classifier`: what support tickets are about, by their words.

    Trained on the starter tickets that come with Simsight (synthetic) and on the corrections of people, which weigh
    more. Tested by cross-validation. Trained anew every week; without a new correction the version there is stays.

    If it is red: the last champion stays in use. Open the failed run and mend what its last message says; it is
    trained again within a week, or by `simsight run`.
    """
    metadata = train(runtime, as_of_day(context, runtime), log=context.log.info)
    return dg.MaterializeResult(metadata=as_metadata(context, metadata))


@dg.asset(
    deps=["tickets", "sim_lifecycle", "ticket_classifier"],
    partitions_def=AS_OF_DAYS,
    group_name="support_tickets",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.ticket_classes"},
)
def ticket_classes(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """What every ticket is about, how urgent it is, who is to answer, and the SIM that its text names.

    Tickets that are new, have changed, or were classified by another version of the model. What was known of the SIM
    when the ticket was opened counts as evidence. Read it through `predictions.tickets_v1`.

    If it is red: new tickets are not sorted yet, older ones stay as they are. Open the failed run and mend what its
    last message says; `simsight run` sorts them.
    """
    metadata = classify_tickets(runtime, as_of_days(context)[-1], run_id=context.run_id)
    return dg.MaterializeResult(metadata=as_metadata(context, metadata))
