"""Registered models: which there are, which version scores, and the way back to an earlier one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ml.anomaly import AnomalyModel
from ml.forecasting import ForecastModel
from resources.errors import SimsightError
from resources.registry import DETECTOR, FORECASTER, Registry, Version
from resources.runtime import Runtime

# the asset that trains a model
TRAINED_BY = {FORECASTER: "usage_forecaster", DETECTOR: "anomaly_detector"}


class NoChampionError(SimsightError):
    """No version of a model is registered that could score; the message says what to run first."""


def registry_of(runtime: Runtime, model: str = FORECASTER) -> Registry:
    """A registered model of the organization."""
    return Registry(runtime.mlflow, model, runtime.settings.organization, runtime.mlflow_artifacts)


def champion_of(runtime: Runtime, model: str = FORECASTER) -> Version:
    """The version that scores. Raises NoChampionError when there is none."""
    champion = registry_of(runtime, model).champion()
    if champion is None:
        raise NoChampionError(
            f"no champion of {model} is registered: materialize {TRAINED_BY[model]} first (`simsight run`)"
        )
    return champion


# what makes a model of its saved form; refuses what other code saved
READERS: dict[str, Callable[[dict[str, Any]], object]] = {
    FORECASTER: ForecastModel.from_dict,
    DETECTOR: AnomalyModel.from_dict,
}


class RollbackError(SimsightError):
    """A version cannot become champion; the message says why, and which can."""


def write_down(
    runtime: Runtime,
    registry: Registry,
    chosen: Version,
    before: Version | None,
    *,
    role: str,
    why: str,
    by: str,
    record: dict[str, Any] | None = None,
) -> None:
    """Set a version's role in the registry and in the database, or in neither.

    before  the champion until now
    record  of a version that is new: as_of, metrics and comparison (JSON)
    Raises RollbackError when a version that is to be champion was never recorded.
    """
    which = {"model_name": registry.model, "model_version": chosen.version, "now": runtime.clock(), "why": why}
    try:
        with runtime.database.transaction() as transaction:
            if record is not None:
                transaction.execute("record_backtest", which | {"run_id": chosen.run_id} | record)
            if role == "champion":
                transaction.execute("retire_champion", {"model_name": registry.model})
                promotion = which | {"from_version": before.version if before else None, "decided_by": by}
                if not transaction.execute("promote_version", promotion):
                    raise RollbackError(f"version {chosen.version} has no backtest in the database")
            registry.point(role, chosen, before if role == "champion" else None)
    except BaseException:
        # the registry came last: only a commit that failed can have left it ahead
        if role == "champion" and before is not None and registry.champion() == chosen:
            registry.point(role, before, chosen)
        raise


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did: the version that scores now, and the one before."""

    version: int
    before: int


def rollback(
    runtime: Runtime, *, to: int | None, by: str, why: str = "rolled back", model: str = FORECASTER
) -> RolledBack:
    """Make an earlier version of a model champion again, in the registry and in the database.

    to  a version; by default the newest one below the present champion that was champion before
    by  who decides it, kept with the promotion
    Raises RollbackError, and changes nothing, when there is no such version or today's code cannot score with it.
    """
    versions = {row["model_version"]: row for row in runtime.database.rows("model_versions", {"model_name": model})}
    registry = registry_of(runtime, model)
    champion = registry.champion()
    if champion is None or not versions:
        raise RollbackError(f"no champion of {model} is registered: `simsight run` trains the first")
    if to is None:
        earlier = [n for n, row in versions.items() if row["champion_since"] and n < champion.version]
        if not earlier:
            raise RollbackError(f"no version before {champion.version}, the champion, was champion: name one with --to")
        to = max(earlier)
    if to not in versions:
        raise RollbackError(f"there is no version {to}; there are {', '.join(map(str, sorted(versions)))}")
    if to == champion.version:
        raise RollbackError(f"version {to} is the champion already")
    chosen = Version(to, versions[to]["run_id"])
    try:
        READERS[model](registry.load(chosen))
    except (ValueError, KeyError) as error:
        raise RollbackError(f"version {to} was made by other code and cannot score: {error}") from error
    write_down(runtime, registry, chosen, champion, role="champion", why=why, by=by)
    return RolledBack(to, champion.version)
