"""One deployment, many organizations: the runtime of a run, and a run request for each organization.

A run says in a tag whose it is; one without the tag, such as one started in the Dagster UI, is of the organization of
SIMSIGHT_ORGANIZATION.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import dagster as dg

from pipelines.common import UNDER_WAY
from resources.errors import in_words
from resources.runtime import Runtime

ORGANIZATION = "simsight/organization"  # dagster.yaml limits how many runs of one are under way
INGEST = "simsight/ingest"  # and how many of these: one

Context = dg.ScheduleEvaluationContext | dg.SensorEvaluationContext
Wanted = dg.RunRequest | dg.SkipReason
Requested = list[dg.RunRequest] | dg.RunRequest | dg.SkipReason
Asked = Callable[[Runtime], Iterable[Wanted]]


def runtime_resource(base: Runtime) -> dg.ResourceDefinition:
    """What assets and ops work with: for a run, the runtime of its organization; for schedules and sensors, `base`."""

    def of_run(context: dg.InitResourceContext) -> Runtime:
        if context.run is None or context.run.run_id is None:
            return base
        return base.for_organization(context.run.tags.get(ORGANIZATION))

    return dg.ResourceDefinition(of_run)


def for_each(context: Context, base: Runtime, asked: Asked) -> Requested:
    """The run requests of every organization that is not paused, or why there are none.

    asked  what is to run for the organization of a runtime
    An organization that fails holds up no other: why is in the log of the tick.
    """
    names = [str(row["name"]) for row in base.database.rows("active_organizations")]
    requests: list[dg.RunRequest] = []
    skipped: list[str] = []
    for name in names:
        try:
            with _working_for(base, name) as runtime:
                found = list(asked(runtime))
        except Exception as error:
            if len(names) == 1:
                raise
            context.log.exception(f"{name}: nothing could be asked for it: {in_words(error)}")
            skipped.append(f"{name}: {in_words(error)}")
            continue
        for one in found:
            if isinstance(one, dg.RunRequest):
                requests.append(_of(context, one, name, base, is_one_of_many=len(names) > 1))
            else:
                skipped.append(f"{name}: {one.skip_message}" if len(names) > 1 else str(one.skip_message))
    if not requests:
        return dg.SkipReason("; ".join(skipped) or "every organization is paused")
    return requests if len(requests) > 1 else requests[0]


def one_by_one(requested: Requested) -> list[Wanted]:
    """The same as a list, for a sensor that answers otherwise."""
    return [*requested] if isinstance(requested, list) else [requested]


def under_way(context: dg.SensorEvaluationContext, job: str, runtime: Runtime, base: Runtime) -> bool:
    """Whether a run of a job waits or runs for the organization of a runtime."""
    runs = context.instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNDER_WAY))
    return any(organization_of(run, base) == runtime.settings.organization for run in runs)


def organization_of(run: dg.DagsterRun, base: Runtime) -> str:
    """The organization whose run it is."""
    return run.tags.get(ORGANIZATION, base.settings.organization)


@contextmanager
def _working_for(base: Runtime, name: str) -> Iterator[Runtime]:
    runtime = base.for_organization(name)
    try:
        yield runtime
    finally:
        if runtime is not base:
            runtime.close()


def _of(context: Context, request: dg.RunRequest, name: str, base: Runtime, *, is_one_of_many: bool) -> dg.RunRequest:
    """A request with the tag of its organization; its key, if it has one or a schedule asks for many, names it too."""
    key = request.run_key
    if name != base.settings.organization and key is not None:
        key = f"{name}: {key}"
    elif key is None and is_one_of_many and isinstance(context, dg.ScheduleEvaluationContext):
        key = name
    return request.with_replaced_attrs(run_key=key, tags={**request.tags, ORGANIZATION: name})
