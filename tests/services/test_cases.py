"""Small real-life inputs in tests/cases, as users met them: what each of them expects."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, LiteralString

import orjson
import polars as pl
import pytest

from resources.files.formats import ImportRejectedError
from services.ingest.file_import import parse_file
from services.ingest.file_schemas import LABELS, USAGE
from services.ingest.stream import process_batches
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
