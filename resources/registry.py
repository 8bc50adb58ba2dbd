"""One registered model in MLflow: every fit a run, every run a version, the champion an alias."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_FILE = "model.json"


@dataclass(frozen=True)
class Signature:
    """What a version's `predict` takes and gives, in MLflow's names of types ("long", "double", "datetime", ...).

    takes, gives  columns by name; a column that may be missing has a type that ends with "?"
    options       parameters of `predict` with their defaults: texts, whole numbers or floats
    """

    takes: dict[str, str]
    gives: dict[str, str]
    options: dict[str, str | int | float]


@dataclass(frozen=True)
class Flavour:
    """How MLflow loads a version as a Python function, from its model.json: by importing our code. Nothing is pickled.

    loader  a module with `_load_pyfunc(path, config)`; config is {"model": name}
    """

    loader: str
    model: str
    signature: Signature

    def write(self, folder: Path) -> None:
        """Write the MLmodel file that makes a folder with model.json loadable by `mlflow.pyfunc.load_model`.

        MLflow's own log_model would pickle the code and look for what it imports: seconds, and a risk when it is read.
        """
        import mlflow.pyfunc
        from mlflow.models import Model, ModelSignature
        from mlflow.types import ParamSchema, ParamSpec

        types = {str: "string", int: "long", float: "double"}
        options = [ParamSpec(name, types[type(value)], value) for name, value in self.signature.options.items()]
        about = Model(
            signature=ModelSignature(
                _schema(self.signature.takes), _schema(self.signature.gives), ParamSchema(options) if options else None
            )
        )
        mlflow.pyfunc.add_to_model(
            about, loader_module=self.loader, data=MODEL_FILE, model_config={"model": self.model}
        )
        about.save(str(folder / "MLmodel"))


@dataclass(frozen=True)
class Dataset:
    """What a version was trained on, without the data: a digest, columns with MLflow's types, the number of rows."""

    name: str
    digest: str
    columns: dict[str, str]
    rows: int


def _schema(columns: dict[str, str]) -> Any:
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec(kind.rstrip("?"), name, required=kind[-1] != "?") for name, kind in columns.items()])


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
        # MLflow copies even what lies on this machine, and leaves the copy where it is not told a folder
        with tempfile.TemporaryDirectory() as folder:
            copy = self._client.download_artifacts(version.run_id, MODEL_FILE, folder)
            values: dict[str, Any] = json.loads(Path(copy).read_text())
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
        about: str = "",
        datasets: Sequence[Dataset] = (),
    ) -> Version:
        """Log a run with the files of `folder` (model.json among them) and the datasets it was trained on, and make a
        version of it. `card` describes the version, `about` the registered model. `point` gives it its role.
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
            if datasets:
                self._client.log_inputs(run_id, datasets=[self._input(dataset, parameters) for dataset in datasets])
            self._client.log_artifacts(run_id, str(folder))
            try:
                self._client.create_registered_model(self.name, description=about or None)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                self._client.update_registered_model(self.name, description=about or None)
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

    def _input(self, dataset: Dataset, parameters: dict[str, Any]) -> Any:
        from mlflow.entities import Dataset as Logged
        from mlflow.entities import DatasetInput, InputTag

        # MLflow knows no kind of source for rows of a database: the code that reads them stands for it
        source = {"mlflow.source.name": "simsight", "mlflow.source.git.commit": str(parameters.get("code", ""))}
        logged = Logged(
            name=dataset.name,
            digest=dataset.digest,
            source_type="code",
            source=json.dumps({"tags": source}),
            schema=json.dumps({"mlflow_colspec": _schema(dataset.columns).to_dict()}),
            profile=json.dumps({"num_rows": dataset.rows}),
        )
        return DatasetInput(logged, [InputTag("mlflow.data.context", "training")])

    def hide_default(self) -> bool:
        """Delete MLflow's experiment Default, which it makes in every new store, where nobody but us uses the store.

        It stays where it has runs or where there are experiments with artifacts elsewhere: others' trainings may go
        into it. Returns whether it was deleted.
        """
        from mlflow.entities import ViewType
        from mlflow.exceptions import MlflowException

        found = {one.name: one for one in self._client.search_experiments(view_type=ViewType.ALL)}
        default = found.pop("Default", None)
        if default is None or default.lifecycle_stage != "active":
            return False
        if any(not str(one.artifact_location).startswith(f"{self._artifacts}/") for one in found.values()):
            return False
        if self._client.search_runs([default.experiment_id], run_view_type=ViewType.ALL, max_results=1):
            return False
        try:
            self._client.delete_experiment(default.experiment_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # another process was faster
                return False
            raise
        return True

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

    def purge(self, before: datetime) -> int:
        """Delete runs that ended before a time and that are no version, with their artifacts; returns how many.

        A tracking server only marks them as deleted: `mlflow gc` there removes them.
        """
        from mlflow.entities import ViewType
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        known = self._client.get_experiment_by_name(self.name)
        if known is None:
            return 0
        quoted = self.name.replace("'", "''")
        needed: set[str] = set()
        token: str | None = None
        while token != "":
            page = self._client.search_model_versions(f"name = '{quoted}'", page_token=token)
            needed |= {str(version.run_id) for version in page}
            token = page.token or ""
        ended = f"attributes.end_time < {int(before.timestamp() * 1000)}"
        found = self._client.search_runs([known.experiment_id], ended, run_view_type=ViewType.ALL)
        left = [run for run in found if run.info.run_id not in needed and run.info.status != "RUNNING"]
        gone = 0
        store = self._client._tracking_client.store
        for run in left:
            marked = run.info.lifecycle_stage == "deleted"
            if not marked:
                self._client.delete_run(run.info.run_id)
            if hasattr(store, "_hard_delete_run"):
                get_artifact_repository(run.info.artifact_uri).delete_artifacts()
                store._hard_delete_run(run.info.run_id)
            elif marked:
                continue
            gone += 1
        return gone

    def page(self, ui: str, version: Version) -> str:
        """The address of the page of a version's run in the MLflow UI at `ui`."""
        return f"{ui}/#/experiments/{self._experiment()}/runs/{version.run_id}"

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(self.name)
        if known is not None:
            return str(known.experiment_id)
        return str(self._client.create_experiment(self.name, artifact_location=f"{self._artifacts}/{self.name}"))
