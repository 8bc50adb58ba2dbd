"""First commands on an empty MLflow store, at once, each with a folder of its own for temporary files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import URL

from resources.database.server import driver_url
from tests.forked import run_code

# two processes make the client at the same moment, and answer
BOTH = """
import json, os, sys, tempfile
import mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from resources.runtime import Runtime
from resources.settings import Settings
home, database, store = sys.argv[1:]
settings = Settings(
    _env_file=None, home=home, database_url=database, dagster_database_url=database, mlflow_tracking_uri=store
)
begin, go = os.pipe()
children = []
for number in range(2):
    answer, say = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(dir=home)
        try:
            with Runtime(settings) as runtime:
                runtime.server
                os.read(begin, 1)  # ends when the parent closes its side
                found = sorted(experiment.name for experiment in runtime.mlflow.search_experiments())
        except BaseException as error:
            found = repr(error)
        os.write(say, json.dumps(found).encode())
        os._exit(0)
    os.close(say)
    children.append((child, answer))
os.close(go)
answers = []
for child, answer in children:
    with os.fdopen(answer) as pipe:
        answers.append(json.load(pipe))
    os.waitpid(child, 0)
print(json.dumps(answers))
"""


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_two_processes_at_once_make_the_client_of_an_empty_store(empty_url: URL, tmp_path: Path, kind: str) -> None:
    database = driver_url(empty_url, "").render_as_string(hide_password=False)
    store = driver_url(empty_url, "psycopg2").render_as_string(hide_password=False)
    if kind == "sqlite":
        store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ended = run_code(BOTH, str(tmp_path), database, store, TMPDIR=str(tmp_path))
    assert ended.code == 0, ended.errors
    assert json.loads(ended.output.splitlines()[-1]) == [["Default"], ["Default"]]
