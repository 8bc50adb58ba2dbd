"""The ingest assets: what the account says about its SIMs (by API v1 where it has no v2), validated and merged."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import dagster as dg

from assets.common import DAYS, IF_RED, OWNERS, RuntimeParam
from resources.once.errors import OnceCallGoneError, OnceClockError, OnceCredentialsError
from resources.runtime import Runtime
from resources.settings import SettingsError
from services.ingest.endpoints import EVENTS, ORDERS, PRODUCTS, QUOTA, SIMS, SMS, STATUS, TICKETS, USAGE, Endpoint
from services.ingest.ingest_run import IngestResult, Progress, ingest_account, ingest_fleet, poll_budget

RETRY = dg.RetryPolicy(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL)


def _account_asset(endpoint: Endpoint, table: str, description: str) -> dg.AssetsDefinition:
    """An asset made from one of the account's lists."""

    @dg.asset(
        name=table.split(".")[1],
        group_name="from_1nce",
        kinds={"python", "postgres"},
        owners=OWNERS,
        description=f"{description}\n\n{IF_RED}",
        metadata={"dagster/table_name": table},
        retry_policy=RETRY,
    )
    def account_list(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
        return _result(
            context, runtime, lambda: ingest_account(runtime.database, runtime.once, endpoint, clock=runtime.clock)
        )

    return account_list


def _fleet_asset(endpoint: Endpoint, table: str, description: str) -> dg.AssetsDefinition:
    """An asset made by asking about every SIM."""

    @dg.asset(
        name=table.split(".")[1],
        deps=[sims],
        group_name="from_1nce",
        kinds={"python", "postgres"},
        owners=OWNERS,
        description=f"{description}\n\n{IF_RED}",
        metadata={"dagster/table_name": table},
        retry_policy=RETRY,
    )
    def fleet_answers(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
        today = runtime.clock().date()
        return _result(
            context,
            runtime,
            lambda: _ingest_fleet(context, runtime, endpoint, today, today, budget=poll_budget(runtime)),
        )

    return fleet_answers


sims = _account_asset(
    SIMS,
    "core.sims",
    "SIM cards of the account, one row a SIM.\n\nSource: `GET /v2/sims`, 100 a request.",
)
sim_quota = _fleet_asset(
    QUOTA,
    "core.sim_quota",
    "Data and SMS quota of every SIM: what is left, of how much, until when; the last observation of each day.\n\n"
    "Source: `GET /v2/sims/{iccid}/quota/data` and `/quota/sms`.",
)
sim_connectivity = _fleet_asset(
    STATUS,
    "core.sim_connectivity",
    "Whether a SIM is offline, attached or online, and in which network; the last observation of each day.\n\n"
    "Source: `GET /v2/sims/{iccid}/status`.",
)
sim_events = _fleet_asset(
    EVENTS,
    "core.sim_events",
    "Network, quota and management events of every SIM.\n\nSource: `GET /v2/sims/{iccid}/events`.",
)
sim_sms = _fleet_asset(
    SMS, "core.sim_sms", "SMS to and from every SIM, without their text.\n\nSource: `GET /v2/sims/{iccid}/sms`."
)
products = _account_asset(PRODUCTS, "core.products", "Products and prices.\n\nSource: `GET /v1/products`.")
orders = _account_asset(
    ORDERS, "core.orders", "Orders of SIMs, top-ups and tariff changes.\n\nSource: `GET /v1/orders`."
)
tickets = _account_asset(TICKETS, "core.tickets", "Support requests with their messages.\n\nSource: `GET /v1/support`.")


@dg.asset(
    deps=[sims],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="from_1nce",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.sim_usage"},
    retry_policy=RETRY,
)
def sim_usage(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Daily usage of every SIM, one row a SIM and UTC day: the system of record, as long as API v1 answers.

    Source: `GET /v1/sims/{iccid}/usage`; one request covers up to six months, so a range of days is one run. Of a
    fleet too large to be asked within SIMSIGHT_INGEST_MINUTES, those are asked whose answer is worth most
    (`services.ingest.poll_planner`). The present day grows until it ends; later corrections replace a day and what
    they replace is kept. Rows that break a rule are in ops.quarantine. API v2 has no usage call: without
    v1's, the asset asks nobody and says so.

    If it is red: see the failed run's last message. Wrong credentials: set ONCE_USERNAME and ONCE_PASSWORD and
    check them with `simsight doctor`. 1NCE out of reach: the next hourly run goes on where this one stopped. Red
    checks stop predictions, and say themselves what to do.
    """
    days = context.partition_key_range
    first, last = date.fromisoformat(days.start), date.fromisoformat(days.end)
    # whoever asks for the past wants all of it
    budget = poll_budget(runtime) if first >= runtime.clock().date() - timedelta(days=1) else None
    return _result(context, runtime, lambda: _ingest_fleet(context, runtime, USAGE, first, last, budget=budget))


def _ingest_fleet(
    context: dg.AssetExecutionContext,
    runtime: Runtime,
    endpoint: Endpoint,
    first: date,
    last: date,
    *,
    budget: int | None,
) -> IngestResult:
    return ingest_fleet(
        runtime.database,
        runtime.once,
        endpoint,
        first_day=first,
        last_day=last,
        clock=runtime.clock,
        progress=_in_tenths(context, endpoint.name),
        budget=budget,
    )


def _in_tenths(context: dg.AssetExecutionContext, name: str) -> Progress:
    """Log progress about ten times a run: an event a batch would flood the event log of a big fleet."""
    said: Iterator[int] = iter(range(10, 101, 10))
    following = [next(said)]

    def progress(done: int, of: int) -> None:
        percent = 100 * done // max(of, 1)
        if percent >= following[0]:
            context.log.info(f"{name}: {done} of {of} SIMs asked")
            while following[0] <= percent:
                following[0] = next(said, 101)

    return progress


def _result(
    context: dg.AssetExecutionContext, runtime: Runtime, ingest: Callable[[], IngestResult]
) -> dg.MaterializeResult[None]:
    """Run an ingest, one at a time of an account, and report its figures.

    Wrong credentials and settings stay wrong, a gone call gone: no retry.
    """
    try:
        with runtime.account_turn():
            result = ingest()
    except (OnceCredentialsError, OnceClockError, OnceCallGoneError, SettingsError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if result.gone:
        context.log.warning(result.gone)
    return dg.MaterializeResult(metadata=result.metadata())


INGEST = [sims, sim_usage, sim_quota, sim_connectivity, sim_events, sim_sms, products, orders, tickets]
