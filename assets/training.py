"""Training of the usage forecaster: backtest, comparison with the champion, one MLflow run, one version; and rollback of any model."""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from assets.blocks import registry_of
from assets.common import DAYS, OWNERS, RuntimeParam, picture
from assets.forecast import HORIZON, load_model, load_sample
from ml.anomaly import AnomalyModel
from ml.forecasting import ForecastModel, fit
from ml.forecasting.backtest import Backtest, backtest
from ml.forecasting.comparison import Comparison, compare
from ml.plots.forecasting import plot_backtest, plot_coverage
from resources.errors import SimsightError
from resources.registry import DETECTOR, FORECASTER, Registry, Version
from resources.runtime import Runtime

ROOT = Path(__file__).resolve().parent.parent
# what makes a model of its saved form; refuses what other code saved
READERS: dict[str, Callable[[dict[str, Any]], object]] = {
    FORECASTER: ForecastModel.from_dict,
    DETECTOR: AnomalyModel.from_dict,
}


class RollbackError(SimsightError):
    """A version cannot become champion; the message says why, and which can."""


@dg.asset(
    deps=["usage_history"],
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "mlflow"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.backtests"},
)
def usage_forecaster(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The registered model `usage-forecaster`, trained on what was known on the as-of day (the partition).

    Backtested from several past days against seasonal naive (repeating last week), and compared with the champion on days that
    neither had seen. It becomes the champion, which scores, when it beats the baseline, its 80 % interval covers about 80 % and
    it is not worse than the champion; otherwise it is kept as challenger. Figures and verdict are written down either way.
    """
    as_of = date.fromisoformat(context.partition_key)
    return dg.MaterializeResult(metadata=train(runtime, as_of, log=context.log.info))


def train(runtime: Runtime, as_of: date, *, log: Callable[[str], object] = lambda text: None) -> dict[str, Any]:
    """Fit, backtest, compare, register and perhaps promote the forecaster; returns metadata. The same data again trains nothing."""
    history = load_sample(runtime, as_of)
    registry, seed, code = registry_of(runtime), runtime.settings.seed, code_version()
    fingerprint = _fingerprint(history, as_of, seed, code)
    recorded = {row["model_version"] for row in runtime.database.rows("model_versions", {"model_name": FORECASTER})}
    known = registry.with_fingerprint(fingerprint)
    if known in recorded:  # a version without its record is left from a training that was cut off
        return {"model version": known, "trained": "no: this version was trained on the same data"}
    sims = history["sim_key"].n_unique()
    log(f"backtest over {sims} SIMs")
    tested = backtest(history, as_of=as_of, horizon=HORIZON, seed=seed)
    model = fit(history, as_of=as_of, horizon=HORIZON, seed=seed)
    champion = registry.champion()
    rival = _rival(runtime, champion)
    compared = compare(history, rival, as_of=as_of, horizon=HORIZON, seed=seed) if rival else None
    role, why = decide(tested, as_of=as_of, champion=champion, rival=rival, compared=compared)
    plots = {
        "backtest.png": plot_backtest(tested.frame, note=runtime.data_note),
        "coverage.png": plot_coverage(tested.calibration, note=runtime.data_note),
    }
    comparison = {**compared.summary, "champion_version": champion.version} if compared and champion else {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_text(json.dumps(model.to_dict()))
        tested.frame.write_csv(Path(folder) / "backtest.csv")
        tested.calibration.write_csv(Path(folder) / "calibration.csv")
        if compared:
            compared.frame.write_csv(Path(folder) / "comparison.csv")
        for name, figure in plots.items():
            figure.savefig(Path(folder) / name)
        registered = registry.register(
            folder=Path(folder),
            parameters={
                "as_of": as_of.isoformat(),
                "horizon_days": HORIZON,
                "sims": sims,
                "rows": history.height,
                "seed": seed,
                "simsight": version("simsight"),
                "code": code,
                "data": runtime.data_note or "1NCE account",
            },
            metrics=tested.summary | {f"compared_{name}": float(value) for name, value in comparison.items()},
            fingerprint=fingerprint,
            role=role,
            why=why,
        )
    record = {
        "as_of": as_of,
        "metrics": json.dumps(tested.summary),
        "comparison": json.dumps(comparison) if comparison else None,
    }
    write_down(runtime, registry, registered, champion, role=role, why=why, by="training", record=record)
    return {
        "model version": registered.version,
        "role": f"{role}: {why}",
        "MLflow run": registered.run_id,
        "code": code,
        "backtest": tested.note,
        **{name: round(value, 4) for name, value in tested.summary.items()},
        **({"comparison": compared.note} if compared else {}),
        **{f"compared {name}": round(float(value), 4) for name, value in comparison.items()},
        "error by segment": picture(plots["backtest.png"]),
        "stated and achieved probability": picture(plots["coverage.png"]),
    }


def verdict(tested: Backtest) -> tuple[str, str]:
    """Whether a version may score at all: (role, why). The bounds leave room for a small fleet's noise, not for a broken model."""
    if tested.status != "ok":
        return "challenger", f"it could not be tested: {tested.note}"
    rmase, covered = tested.summary["rmase"], tested.summary["coverage_80"]
    if not rmase < 1:  # NaN included: a fleet without traffic says nothing
        return "challenger", f"its error is {rmase:.2f} times the seasonal naive baseline's"
    if not 0.7 <= covered <= 0.9:
        return "challenger", f"its 80 % interval covered {covered:.0%} of unseen days"
    return "champion", f"error {rmase:.2f} times the baseline's, 80 % interval covered {covered:.0%} of unseen days"


def decide(
    tested: Backtest,
    *,
    as_of: date,
    champion: Version | None,
    rival: ForecastModel | None,
    compared: Comparison | None,
) -> tuple[str, str]:
    """The role of a new version and why: it must pass `verdict`, and not be worse than the champion on days unseen by both.

    champion, rival  the present champion and its model, which is None when today's code cannot use it
    Without such days there is nothing to compare: the version that knows more of the past scores.
    """
    role, why = verdict(tested)
    if champion is None or rival is None or compared is None:
        first = (
            f"the champion, version {champion.version}, was made by other code and cannot score"
            if champion
            else "the first version"
        )
        return "champion", f"{first}{';' if role == 'champion' else ', although'} {why}"
    if role == "champion":
        figures, old = compared.summary, f"version {champion.version}"
        if as_of < rival.as_of:
            role, beside = "challenger", f"it knows less than the champion, {old}, as of {rival.as_of}"
        elif not figures:
            beside = f"not compared with {old}: {compared.note}"
        elif compared.worse:
            role, beside = "challenger", f"{compared.worse}, {old}, over {compared.note}"
        else:
            errors = f"error {figures['rmase']:.3f} against {figures['champion_rmase']:.3f} of the baseline's"
            beside = f"not worse than {old} ({errors}) over {compared.note}"
        why = f"{beside}; {why}"
    return role, why


def _rival(runtime: Runtime, champion: Version | None) -> ForecastModel | None:
    if champion is None:
        return None
    try:
        return load_model(runtime, champion)
    except (ValueError, KeyError):  # saved by another version of the code
        return None


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


def code_version() -> str:
    """The git commit of the code where it is known (SIMSIGHT_COMMIT, or a checkout), else the package's version."""
    if commit := os.environ.get("SIMSIGHT_COMMIT"):
        return commit
    if (ROOT / ".git").exists():  # not a repository that this package merely lies in
        try:
            told = subprocess.run(  # noqa: S603
                ["git", "-C", str(ROOT), "rev-parse", "HEAD"],  # noqa: S607
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            )
        except (OSError, subprocess.SubprocessError):
            pass
        else:
            return told.stdout.strip()
    return version("simsight")


def _fingerprint(history: pl.DataFrame, as_of: date, seed: int, code: str) -> str:
    rows = history.hash_rows(seed=0).to_numpy()
    facts = f"{as_of} {seed} {HORIZON} {code} {history.height} {np.bitwise_xor.reduce(rows)} {rows.sum()}"
    return hashlib.sha256(facts.encode()).hexdigest()
