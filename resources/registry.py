"""One registered model in MLflow: every fit a run, every run a version, the champion an alias."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_FILE = "model.json"


@dataclass(frozen=True)
class Version:
    """A version of the registered model and the run that made it."""

    version: int
    run_id: str


class Registry:
    """The registered model of one organization; `artifacts` is where a new experiment keeps its files."""

    def __init__(self, client: MlflowClient, model: str, organization: str, artifacts: str) -> None:
        self._client = client
        self.model = model
        # an organization has models of its own; the default one has the plain name
        self.name = model if organization == "default" else f"{model}-{organization}"
        self._artifacts = artifacts

    def champion(self) -> Version | None:
        """The version that scores; None when there is none yet."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version_by_alias(self.name, "champion")
        except MlflowException as error:
            # no such model, or a model without that alias; a registry that cannot answer is not one without a champion
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return Version(int(found.version), str(found.run_id))

    def with_fingerprint(self, fingerprint: str) -> int | None:
        """The version made from exactly these data and parameters, if there is one."""
        quoted = self.name.replace("'", "''")
        found = self._client.search_model_versions(f"name = '{quoted}' AND tags.fingerprint = '{fingerprint}'")
        return max((int(version.version) for version in found), default=None)

    def load(self, version: Version) -> dict[str, Any]:
        """What a version was saved as."""
        folder = self._client.download_artifacts(version.run_id, MODEL_FILE)
        values: dict[str, Any] = json.loads(Path(folder).read_text())
        return values

    def point(self, role: str, version: Version, before: Version | None = None, *, why: str | None = None) -> None:
        """Make a version the one of a role, such as champion, and tag it with why; the one `before` is tagged as
        retired.
        """
        if why is not None:
            self._client.set_model_version_tag(self.name, str(version.version), "why", why)
        self._client.set_model_version_tag(self.name, str(version.version), "role", role)
        if before is not None:
            self._client.set_model_version_tag(self.name, str(before.version), "role", "retired")
        self._client.set_registered_model_alias(self.name, role, str(version.version))

    def register(
        self,
        *,
        folder: Path,
        parameters: dict[str, Any],
        metrics: dict[str, float],
        fingerprint: str,
        role: str,
        why: str,
        card: str = "",
    ) -> Version:
        """Log a run with the files of `folder` (model.json among them) and make a version of it; `card` describes it
        and the registered model. `point` gives it its role.
        """
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        run = self._client.create_run(self._experiment(), run_name=f"{self.name} {parameters.get('as_of', '')}".strip())
        run_id = str(run.info.run_id)
        try:
            start = int(run.info.start_time)
            self._client.log_batch(
                run_id,
                metrics=[Metric(name, value, start, 0) for name, value in metrics.items()],
                params=[Param(name, str(value)) for name, value in parameters.items()],
            )
            self._client.log_artifacts(run_id, str(folder))
            try:
                self._client.create_registered_model(self.name, description=card or None)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                self._client.update_registered_model(self.name, description=card or None)
            made = self._client.create_model_version(
                self.name,
                source=f"{run.info.artifact_uri}",
                run_id=run_id,
                tags={"fingerprint": fingerprint, "role": role, "why": why},
                description=card or None,
            )
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id)
        return Version(int(made.version), run_id)

    def end_killed(self) -> int:
        """Mark runs as KILLED that never ended: their process was killed. Returns how many.

        Nobody else may be registering a version of the model meanwhile.
        """
        known = self._client.get_experiment_by_name(self.name)
        if known is None:
            return 0
        left = self._client.search_runs([known.experiment_id], "attributes.status = 'RUNNING'")
        for run in left:
            self._client.set_terminated(run.info.run_id, "KILLED")
        return len(left)

    def page(self, ui: str, version: Version) -> str:
        """The address of the page of a version's run in the MLflow UI at `ui`."""
        return f"{ui}/#/experiments/{self._experiment()}/runs/{version.run_id}"

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(self.name)
        if known is not None:
            return str(known.experiment_id)
        return str(self._client.create_experiment(self.name, artifact_location=f"{self._artifacts}/{self.name}"))
