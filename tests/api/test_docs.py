"""The documentation: every example of the OpenAPI document runs as it stands, as the samples of code say it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from sqlalchemy import URL

from api.app import create_app
from api.docs.samples import KEY
from resources.database.session import Database
from services.access.api_keys import SCOPES, create_key
from simulator.fleet import Fleet
from tests.api.conftest import Seeded, _served
from tests.api.test_read_routes import MORE
from tests.conftest import LOCAL, administer, copy_database

# the demo's ids: the SIMs are those of its fleet, of all else the first
DEMO = """
UPDATE core.sims SET iccid = '8988228066' || lpad((33969968 + right(iccid, 2)::integer)::text, 9, '0')
WHERE iccid LIKE '8988280666%';
UPDATE core.tickets SET case_id = '10001' WHERE case_id = 'case 1';
UPDATE predictions.ticket_classes SET case_id = '10001' WHERE case_id = 'case 1'
"""
# what a route needs that there is once only, or what came before took away: done before its example runs
BEFORE = {
    "/v1/alerts/{alert_id}/reopen": ["UPDATE predictions.alerts SET state = 'open', closed_at = NULL"],
    "/v1/actions/{action_id}/approve": ["UPDATE ops.action_requests SET requested_by = 'somebody else'"],
    "/v1/bulk-actions/{bulk_id}/confirm": [  # the first one is what was just prepared
        "UPDATE ops.bulk_actions AS b SET action = m.action, things = m.things, phrase = 'resolve 120 alerts',"
        " state = 'pending', ended_at = NULL, ended_by = NULL"
        " FROM ops.bulk_actions AS m WHERE b.bulk_id = 1 AND m.bulk_id = (SELECT max(bulk_id) FROM ops.bulk_actions)",
        "INSERT INTO ops.bulk_sets SELECT 1, organization_id, things, marks FROM ops.bulk_sets"
        " ORDER BY bulk_id DESC LIMIT 1",
    ],
    "/v1/report-schedules": [
        "INSERT INTO ops.channels (organization_id, name, kind, url_variable, min_severity, direct, resolved,"
        " time_zone, after_crash, created_at, tells_from) VALUES (1, 'ops-mail', 'apprise', 'MAIL_URL',"
        " 'info', true, true, 'UTC', 'park', now(), now()) ON CONFLICT DO NOTHING"
    ],
    "/v1/bulk-actions/{bulk_id}": ["UPDATE ops.bulk_actions SET state = 'pending', ended_at = NULL, ended_by = NULL"],
}
# what no example can be: why
NOT_RUN = {
    ("get", "/v1/alerts/stream"): "never ends: test_alert_stream",
    ("post", "/v1/sql"): "off unless a login is made for it: test_free_sql",
    ("post", "/streams/1nce/{stream_id}"): "needs the secret of a stream: test_streams",
}


@dataclass
class Documented:
    client: httpx.Client
    key: str
    seeded: Seeded
    document: dict[str, Any]

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, verbs in self.document["paths"].items():
            for verb, route in verbs.items():
                yield verb, path, route

    def samples(self, label: str, *verbs: str) -> dict[str, str]:
        """The samples in one language by verb and path."""
        return {
            f"{verb} {path}": sample["source"]
            for verb, path, route in self.operations()
            for sample in route["x-codeSamples"]
            if sample["label"] == label and (verb, path) not in NOT_RUN and verb in verbs
        }


@pytest.fixture(scope="module")
def documented(postgres: URL, seeded_template: Seeded) -> Iterator[Documented]:
    name = f"{seeded_template.url.database}_docs"
    copy_database(postgres, str(seeded_template.url.database), name)
    seeded = Seeded(postgres.set(database=name), seeded_template.keys)
    seeded.run(
        "ALTER TABLE predictions.ticket_classes DROP CONSTRAINT IF EXISTS ticket_classes_organization_id_case_id_fkey",
        *MORE.split(";\n\n"),
        *DEMO.split(";\n"),
    )
    database = Database(seeded.url, "default")
    key = create_key(database, "admin", now=datetime.now(UTC), valid_for=None, scopes=SCOPES)
    database.close()
    app = create_app(seeded.url, clock=lambda: datetime(2026, 1, 11, 12, tzinfo=UTC))
    with (
        _served(app) as stranger,
        httpx.Client(base_url=stranger.base_url, headers={"X-API-Key": key}, timeout=30, **LOCAL) as client,
    ):
        yield Documented(client, key, seeded, stranger.get("/openapi.json").json())
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def test_the_sims_of_the_examples_are_those_of_the_demo(documented: Documented) -> None:
    fleet = Fleet(seed=7, sims=2, start=datetime(2026, 1, 1).date())
    text = json.dumps(documented.document)
    assert all(iccid in text for iccid in fleet.iccids)
    assert "8988280666" not in text


def test_each_body_has_an_example_that_its_schema_allows(documented: Documented) -> None:
    sent = [
        (path, content)
        for _, path, route in documented.operations()
        for kind, content in route.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json"
    ]
    assert len(sent) > 15
    for path, content in sent:
        assert content.get("example") is not None, path
        schema = content["schema"] | {"components": documented.document["components"]}
        jsonschema.Draft202012Validator(schema).validate(content["example"])


def test_every_example_runs_as_it_stands(
    documented: Documented, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(KEY, documented.key)
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    samples = documented.samples("Python (httpx)", "get", "post", "patch", "delete", "put")
    assert len(samples) > 60
    wrong = {}
    for named, source in samples.items():
        if before := BEFORE.get(named.partition(" ")[2]):
            documented.seeded.run("SET session_replication_role = replica", *before)
        try:
            with redirect_stdout(io.StringIO()) as printed:
                exec(compile(source, named, "exec"), {})
            assert printed.getvalue() or "file.write" in source
        except httpx.HTTPStatusError as error:
            wrong[named] = error.response.text
        except httpx.HTTPError as error:
            wrong[named] = repr(error)
    assert wrong == {}


def test_the_samples_of_curl_and_javascript_run_too(documented: Documented, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text('silent\nshow-error\nwrite-out = "\\n%{http_code} "\n')
    environment = {"PATH": os.environ["PATH"], "CURL_HOME": str(tmp_path), KEY: documented.key}
    samples = documented.samples("curl", "get")
    script = "".join(f"{source} && echo '{named}'\n" for named, source in samples.items())
    run: Any = {
        "env": environment,
        "cwd": tmp_path,
        "capture_output": True,
        "text": True,
        "timeout": 120,
    }
    done = subprocess.run(["bash", "-c", script], check=False, **run)
    said = [line for line in done.stdout.splitlines() if line.partition(" ")[2] in samples]
    assert said == [f"200 {named}" for named in samples], done.stderr
    node = shutil.which("node")
    if node is None:
        return
    samples = documented.samples("JavaScript (fetch)", "get")
    calls = "".join(
        f"await (async () => {{\n{source}\n}})().then(() => console.error({json.dumps(named)}));\n"
        for named, source in samples.items()
    )
    done = subprocess.run([node, "--input-type=module", "-e", calls], check=False, **run)
    assert done.stderr.splitlines() == list(samples)
    assert done.stdout
