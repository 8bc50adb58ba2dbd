"""Registered models: training a version, which version scores, and the way back to an earlier one."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from resources.errors import SimsightError, UsageError
from resources.registry import MODEL_FILE, Dataset, Flavour, Registry, Version
from resources.runtime import Runtime
from resources.version import code_version
from services.model_cards import model_card
from services.model_specs import FORECASTER, Champion, Log, ModelSpec, Trained, TrainingInputs, spec_of, specs

# columns' types as MLflow names them; of any other kind "string"
TYPES: dict[Any, str] = {
    pl.Int16: "integer",
    pl.Int32: "integer",
    pl.Int64: "long",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.Date: "datetime",
    pl.Datetime: "datetime",
}


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
            f"no champion of {model} is registered: materialize {spec_of(model).asset} first (`simsight run`)"
        )
    return champion


def purge_runs(runtime: Runtime, before: datetime) -> int:
    """Delete MLflow's runs that ended before a time and that no version of any model needs; returns how many."""
    return sum(registry_of(runtime, spec.name).purge(before) for spec in specs())


class RollbackError(UsageError):
    """A version cannot become champion; the message says why, and which can."""


def train_and_register(
    runtime: Runtime, spec: ModelSpec, as_of: date, *, log: Log = lambda text: None
) -> dict[str, Any]:
    """Train a version of a model on what was known on a day, register and record it, and make it champion where it is
    accepted.

    Returns metadata. The same data, settings and code again train nothing.
    """
    inputs = spec.inputs(runtime, as_of)
    if inputs.missing:
        log(f"trained nothing: {inputs.missing}")
        return {"trained": f"no: {inputs.missing}"}
    registry, seed, code = registry_of(runtime, spec.name), runtime.settings.seed, code_version()
    registry.hide_default()
    fingerprint = _fingerprint(inputs, as_of, seed, code)
    recorded = {row["model_version"] for row in runtime.database.rows("model_versions", {"model_name": spec.name})}
    known = registry.with_fingerprint(fingerprint)
    if known in recorded:  # a version without its record is left from a training that was cut off
        return {"model version": known, "trained": "no: this version was trained on the same data"}
    champion = registry.champion()
    present = None if champion is None else _champion(registry, spec, champion)
    trained = spec.train(runtime, as_of, inputs, present, log)
    compared = {f"compared_{name}": float(value) for name, value in trained.comparison.items()}
    # one at a time: a run of MLflow that is still going has lost its process
    with tempfile.TemporaryDirectory() as folder, runtime.database.transaction() as alone:
        _write_files(Path(folder), spec, trained)
        alone.rows("lock_registering", {"model_name": spec.name})
        registry.end_killed()
        registered = registry.register(
            folder=Path(folder),
            parameters={
                "as_of": as_of.isoformat(),
                **inputs.settings,
                **trained.parameters,
                "seed": seed,
                "simsight": version("simsight"),
                "code": code,
                "data": runtime.data_note or "1NCE account",
            },
            metrics=trained.metrics | compared,
            fingerprint=fingerprint,
            role=trained.role,
            why=trained.why,
            card=model_card(spec, as_of, inputs, trained, runtime.data_note),
            about=f"{spec.card} {spec.limits}".strip(),
            datasets=[_dataset(name, frame) for name, frame in inputs.frames.items() if frame.height],
        )
    record = {
        "as_of": as_of,
        "metrics": json.dumps(trained.metrics),
        "comparison": json.dumps(trained.comparison) if trained.comparison else None,
    }
    record_version(
        runtime, registry, registered, champion, role=trained.role, why=trained.why, by="training", record=record
    )
    return {
        "model version": registered.version,
        "role": f"{trained.role}: {trained.why}",
        "MLflow run": registry.page(runtime.mlflow_ui, registered),
        "code": code,
        **{name: round(value, 4) for name, value in trained.metrics.items()},
        **{name.replace("_", " ", 1): round(value, 4) for name, value in compared.items()},
        **trained.metadata,
    }


def _fingerprint(inputs: TrainingInputs, as_of: date, seed: int, code: str) -> str:
    """The same for the same data, whatever the order of their rows, and the same seed, settings and code."""
    hashed = {name: _hash(frame) for name, frame in sorted(inputs.frames.items())}
    return hashlib.sha256(f"{as_of} {seed} {code} {inputs.settings} {hashed}".encode()).hexdigest()


def _hash(frame: pl.DataFrame) -> tuple[int, int, int]:
    rows = frame.hash_rows(seed=0).to_numpy() if frame.height else np.empty(0, np.uint64)
    return frame.height, int(np.bitwise_xor.reduce(rows)), int(rows.sum())


def _champion(registry: Registry, spec: ModelSpec, champion: Version) -> Champion:
    def read() -> Any:
        try:
            return spec.read(registry.load(champion))
        except (ValueError, KeyError):  # saved by another version of the code
            return None

    return Champion(champion, read)


def _dataset(name: str, frame: pl.DataFrame) -> Dataset:
    """What MLflow is told of a frame that a model is trained on."""
    columns = {column: TYPES.get(kind.base_type(), "string") + "?" for column, kind in frame.schema.items()}
    return Dataset(name, hashlib.sha256(str(_hash(frame)).encode()).hexdigest()[:16], columns, frame.height)


def _write_files(folder: Path, spec: ModelSpec, trained: Trained) -> None:
    """The files that are kept with a version."""
    if spec.signature is not None:
        Flavour("services.mlflow_loader", spec.name, spec.signature).write(folder)
    (folder / MODEL_FILE).write_text(json.dumps(trained.model))
    for name, frame in trained.frames.items():
        frame.write_csv(folder / name)
    for name, figure in trained.figures.items():
        figure.savefig(folder / name)


def record_version(
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
            registry.point(role, chosen, before if role == "champion" else None, why=why)
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
    Raises RollbackError, and changes nothing, when there is no such version or today's code cannot score with it, and
    UnknownModelError for a model that there is not.
    """
    spec = spec_of(model)
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
        spec.read(registry.load(chosen))
    except (ValueError, KeyError) as error:
        raise RollbackError(f"version {to} was made by other code and cannot score: {error}") from error
    record_version(runtime, registry, chosen, champion, role="champion", why=why, by=by)
    return RolledBack(to, champion.version)
