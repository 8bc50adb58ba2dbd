"""What to do about each SIM's quota, and what following that saved."""

from datetime import timedelta
from typing import Any

import dagster as dg

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_metadata, as_of_day
from assets.scoring_ops import scoring_ops
from services.quota.policy import train
from services.quota.realized import measure
from services.quota.recommending import RECOMMENDATIONS


@dg.asset(
    deps=["usage_history", "sim_quota", "products", "orders"],
    group_name="recommendations",
    kinds={"python", "mlflow"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.backtests"},
)
def quota_policy(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The registered model `quota-policy`: the recommendations, replayed on the fleet's own last two months beside
    the plain rules and doing nothing.

    Champion only where it is not dearer than the plain rules at no more outage days. Replayed every month, on at most
    2,000 SIMs; with less than 150 days of history, or without prices, it says so and nothing is registered.

    If it is red: the last champion stays in use. Open the failed run and mend what its last message says; too short
    a history and missing prices do not turn it red. It is replayed again next month, or by `simsight run`.
    """
    metadata = train(runtime, as_of_day(context, runtime), log=context.log.info)
    return dg.MaterializeResult(metadata=as_metadata(context, metadata))


AFTER = ("quota_exhaustions", "churn_risks", "products", "orders")
_plan, _score_block, _publish = scoring_ops(RECOMMENDATIONS, AFTER)


@dg.graph_asset(
    ins={name: dg.AssetIn(name, dagster_type=dg.Nothing) for name in AFTER},
    partitions_def=AS_OF_DAYS,
    group_name="recommendations",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.quota_recommendations"},
)
def quota_recommendations(quota_exhaustions: Any, churn_risks: Any, products: Any, orders: Any) -> Any:
    """The action on every SIM's quota with the least expected cost: nothing, top up now or later, automatic top-up
    on or off, extend, swap or retire. Evaluated over blocks of SIMs, chosen for the fleet as a whole.

    One row a SIM and as-of day (the partition), from sampled futures of the usage forecast and the prices of 1NCE's
    products, within the budget and the limit of risk of the settings; and the fleet's money as a whole. Where prices
    are missing the metadata say which, and nothing is recommended. Read it through
    `predictions.quota_recommendations_v1`.

    If it is red: the recommendations of the day before stay until they end. Open the failed run and use "Re-execute
    from failure"; if `products` or `orders` is red, begin there, for prices come from them.
    """
    blocks = _plan(quota_exhaustions=quota_exhaustions, churn_risks=churn_risks, products=products, orders=orders)
    return _publish(blocks.map(_score_block).collect())


@dg.asset(
    deps=["quota_recommendations"],
    group_name="recommendations",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.realized_savings"},
)
def realized_savings(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """What the recommendations of the month before promised, against what they came to: of those that were accepted,
    and of all.

    The same measure as the expected saving, with the use that came in place of the futures.

    If it is red: recommendations are not touched, only what they came to is unknown. Open the failed run, mend what
    its last message says, and start the job `measure_savings` again.
    """
    today = runtime.clock().date()
    month = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    return dg.MaterializeResult(metadata=as_metadata(context, measure(runtime, month)))
