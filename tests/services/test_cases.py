"""Small real-life inputs in tests/cases, as users met them: what each of them expects."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, LiteralString

import orjson
import polars as pl
import pytest
from pydantic import SecretStr

from resources.files.formats import ImportRejectedError
from resources.once.client import Answer, OnceClient
from services.ingest.file_import import import_file, parse_file
from services.ingest.file_schemas import FILE_SCHEMAS, LABELS, USAGE
from services.ingest.stream import process_batches
from services.ingest.stream_files import new_files, store_file
from tests.services.test_stream import Receiver, receiver

__all__ = ["receiver"]
CASES = Path(__file__).parent.parent / "cases"
NOW = datetime(2026, 11, 27, 6, tzinfo=UTC)
# what is looked for in the database, and found
STREAMS: dict[str, tuple[LiteralString, list[Any]]] = {
    "01-stream-operator-at-detail-name": (
        "SELECT DISTINCT operator FROM core.sim_events ORDER BY 1",
        ["EE", "T-Mobile"],
    ),
    "02-stream-event-names": (
        "SELECT event_type FROM core.sim_events ORDER BY record_id",
        [
            "Status of SIM changed from 'Activated' to 'Suspended'",
            "Data quota threshold reached",
            "Data quota status changed from 'ACTIVE' to 'EXHAUSTED'",
            "Data quota topped up",
        ],
    ),
    "04-stream-flat-platform2": (
        "SELECT record_id FROM core.stream_usage UNION SELECT record_id FROM core.sim_events ORDER BY 1",
        [9001, 9002],
    ),
    "05-stream-events-without-sim": (
        "SELECT event_type FROM core.account_events ORDER BY record_id",
        ["Data quota enabled", "Generic"],
    ),
    "07-stream-space-timestamp": (
        "SELECT occurred_at FROM core.sim_events",
        [datetime(2026, 11, 27, 4, 11, 18, tzinfo=UTC)],
    ),
}
# how many rows are taken; a text: why none is
FILES: dict[str, int | str] = {
    "20-csv-european-excel/a-semicolon-comma.csv": 2,
    "20-csv-european-excel/b-sep-line.csv": 1,
    "20-csv-european-excel/c-german-date.csv": 1,
    "20-csv-european-excel/d-thousands.csv": 1,
    "20-csv-european-excel/e-tab.txt": 1,
    "20-csv-european-excel/f-utf16.csv": 1,
    "20-csv-european-excel/g-cr-only.csv": 2,
    "20-csv-european-excel/h-trailing-total.csv": 2,
    "20-csv-european-excel/i-trailing-comma.csv": 1,
    "20-csv-european-excel/j-bom-quoted-header.csv": 1,
    **{f"21-iccid-spellings/{path.name}": 1 for path in sorted((CASES / "21-iccid-spellings").iterdir())},
    "21-iccid-spellings/a-scientific.csv": "a spreadsheet has rounded this number",
    "21-iccid-spellings/h-wrong-luhn.csv": "check digit",
    "23-carrier-usage-exports/hologram.csv": "the header lacks",
    "23-carrier-usage-exports/negative.csv": "not negative",
    "23-carrier-usage-exports/sci-mb.csv": 2,
    "23-carrier-usage-exports/unit-suffix.csv": 1,
    "23-carrier-usage-exports/us-date.csv": 1,
    "23-carrier-usage-exports/utc-time.csv": 2,
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_body_gives_what_its_user_expects(receiver: Receiver, case: str) -> None:
    query, expected = STREAMS[case]
    body = orjson.loads((CASES / case / "body.json").read_bytes())
    for number in range(9960, 9980):
        receiver.truth.rows(
            "INSERT INTO core.sims (organization_id, iccid, status, first_seen_at, changed_at)"
            " VALUES (ops.organization('default'), %s, 'Enabled', now(), now())",
            (f"898822806603396{number}",),
        )
    receiver.receive(body if isinstance(body, list) else [body], at=NOW)
    process_batches(receiver.database, now=NOW)
    assert receiver.reasons() == []
    assert receiver.truth.column(query) == expected


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_what_its_user_expects(name: str) -> None:
    expected, path = FILES[name], CASES / name
    sims = pl.DataFrame(
        {"iccid": ["8988228066033969972", "8988228066033969973"], "sim_key": [1, 2]},
        schema={"iccid": pl.String, "sim_key": pl.Int32},
    )
    schema = LABELS if name.startswith("21") else USAGE
    try:
        parsed = parse_file(path.read_bytes(), schema, name=path.name, today=date(2026, 11, 27), sims=sims)
        got: int | str = parsed.accepted.height or parsed.rejected.item(0, "reason")
    except ImportRejectedError as error:
        got = str(error)
    assert got == expected if isinstance(expected, int) else expected in str(got)


def test_an_object_of_firehose_is_read_whatever_its_name_and_its_separators(receiver: Receiver, tmp_path: Path) -> None:
    receiver.truth.rows(
        "INSERT INTO core.sims (organization_id, iccid, status, first_seen_at, changed_at)"
        " VALUES (ops.organization('default'), '8988228066033969976', 'Enabled', now(), now())"
    )
    shutil.copytree(CASES / "42-firehose-files" / "in", tmp_path / "in")
    for file in new_files(receiver.database, str(tmp_path)):
        store_file(receiver.database, str(tmp_path), file, now=NOW)
    process_batches(receiver.database, now=NOW)
    assert receiver.reasons() == []
    stored = receiver.truth.column("SELECT record_id FROM core.stream_usage ORDER BY 1")
    assert stored == [*range(900004200, 900004204), 900004210, 900004211]


def test_a_label_that_came_before_its_sim_is_taken_up_with_it(receiver: Receiver) -> None:
    case = CASES / "28-landing-unknown-sim-later"
    import_file(receiver.database, case / "labels-new-site.csv", LABELS, now=NOW, only_all=False)
    label = "SELECT own_label FROM core.sims WHERE iccid = '8988228066777000017'"
    assert receiver.truth.column(label) == []
    import_file(receiver.database, case / "sims.csv", FILE_SCHEMAS["sims"], now=NOW, only_all=False)
    assert receiver.truth.column(label) == ["gate-17"]
    assert receiver.reasons() == []


FAKE = (
    Path(os.environ.get("SIMSIGHT_CASES_DIR", Path(__file__).parents[3] / "shared" / "cases"))
    / "09-real-quota-and-usage-shapes"
    / "fake1nce.py"
)


@pytest.mark.skipif(not FAKE.exists(), reason=f"no {FAKE}: the cases lie outside the repository (SIMSIGHT_CASES_DIR)")
@pytest.mark.parametrize("mode", ["real", "docs"])
def test_answers_as_other_clients_parse_them_are_understood(mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(FAKE), str(port), mode, "6"])
    try:
        until = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < until:
            time.sleep(0.1)
        answers = asyncio.run(_all_answers(f"http://127.0.0.1:{port}/management-api"))
    finally:
        server.terminate()
        server.wait()
    assert [rejected for answer in answers for rejected in answer.rejected] == []
    assert [note for answer in answers for note in answer.notes] == []
    usage, data, status, *events = answers
    assert (len(usage.items), usage.items[-1].day) == (20, date(2026, 11, 27))
    assert data.items[0].expires_at == datetime(2035, 6, 1, tzinfo=UTC)
    assert status.items[0].located_at == datetime(2026, 11, 27, 3, 10, tzinfo=UTC)
    kinds = Counter(event.event_type for page in events for event in page.items)
    assert (kinds["Create PDP Context"], kinds["Delete PDP Context"], kinds["Update location"]) == (28, 28, 28)
    of_quota = ("quota threshold reached", "quota status changed from 'ACTIVE' to 'EXHAUSTED'", "quota topped up")
    assert [kinds[f"Data {kind}"] for kind in of_quota] == [1, 1, 1]


async def _all_answers(base_url: str) -> list[Answer[Any]]:
    """Of the case's SIM 5: usage, data quota, status, and events by page."""
    sim = "8988228066680000005"
    password = SecretStr("p")
    async with OnceClient(base_url=base_url, username="u", password=password, requests_per_second=None) as once:
        return [
            await once.usage(sim, date(2026, 11, 8), date(2026, 11, 27)),
            await once.quota(sim, "data"),
            await once.status(sim),
            *[page async for page in once.events(sim, None)],
        ]
