"""Stream records as files in a folder and in a bucket of a real S3 server: each version read once, late ones too."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import URL

from pipelines.definitions import code_location
from resources.database.session import Database
from resources.runtime import Runtime
from services.ingest.stream import process_batches
from services.ingest.stream_files import UnreadableFileError, new_files, store_file
from tests.fleet import NOW, Truth, settings_for
from tests.stream_records import MINUTE, START, event, iccid, sms, usage

RECORDS = [usage(1), usage(2, 2, mb=1.25), sms(3, 2), event(4), event(5, 2, at=START + MINUTE, kind="Update location")]


@pytest.fixture
def truth(database_url: URL) -> Iterator[Truth]:
    opened = Truth(database_url)
    for number in (1, 2):
        opened.rows(
            "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)"
            " VALUES (ops.organization('default'), %s, now(), now())",
            (iccid(number),),
        )
    yield opened
    opened.close()


def flat(record: dict[str, Any], within: str = "") -> dict[str, Any]:
    columns = {}
    for name, value in record.items():
        if isinstance(value, dict):
            columns |= flat(value, f"{within}{name}.")
        elif value is not None:
            columns[within + name] = value
    return columns


def as_csv(records: list[dict[str, Any]]) -> bytes:
    rows = [flat(record) for record in records]
    text = io.StringIO()
    writer = csv.DictWriter(text, sorted({name for row in rows for name in row}))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_lines(records: list[Any]) -> bytes:
    return b"\n\n".join(json.dumps(record).encode() for record in records)


WRITTEN = {
    "a.json": json.dumps(RECORDS, indent=1).encode(),
    "deep/er/b.jsonl": as_lines(RECORDS),
    "c.csv": as_csv(RECORDS),
    "d.json.gz": gzip.compress(json.dumps(RECORDS).encode()),
    "e.ndjson.gz": gzip.compress(as_lines(RECORDS)),
    "f.CSV.gz": gzip.compress(b"\xef\xbb\xbf" + as_csv(RECORDS)),
}
STORED = """
SELECT record_id, bytes, bytes_rx, sms, NULL AS imsi FROM core.stream_usage
UNION ALL SELECT record_id, NULL, NULL, NULL, imsi || event_type || alert::text FROM core.sim_events ORDER BY 1
"""


def read_all(database: Database, where: str) -> dict[str, int]:
    """Read what is new; records by file name."""
    return {Path(f.path).name: store_file(database, where, f, now=NOW) for f in new_files(database, where)}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_form_gives_the_same_rows(database: Database, truth: Truth, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(WRITTEN[name])

    assert read_all(database, str(tmp_path)) == {path.name: 5}
    done = process_batches(database, now=NOW)

    assert truth.rows(STORED) == [
        {"record_id": 1, "bytes": 500_000, "bytes_rx": 166_666, "sms": 0, "imsi": None},
        {"record_id": 2, "bytes": 1_250_000, "bytes_rx": 416_666, "sms": 0, "imsi": None},
        {"record_id": 3, "bytes": 0, "bytes_rx": None, "sms": 1, "imsi": None},
        {
            "record_id": 4,
            "bytes": None,
            "bytes_rx": None,
            "sms": None,
            "imsi": "901405000000001Create PDP Contextfalse",
        },
        {"record_id": 5, "bytes": None, "bytes_rx": None, "sms": None, "imsi": "901405000000002Update locationfalse"},
    ]
    assert done.quarantined == 0
    assert truth.column("SELECT DISTINCT stream_id FROM raw.stream_batches") == ["files"]


def packed(*parts: bytes) -> bytes:
    return gzip.compress(b"".join(parts))


ONE_BY_ONE = [json.dumps(record).encode() for record in RECORDS]
FLAT_CSV = (
    b"id,start_timestamp,end_timestamp,endpoint_name,sim_id,traffic_type_id,volume_total,volume_rx,volume_tx\n"
    b"9,2025-09-23 10:00:00,2025-09-23 10:10:00," + iccid(1).encode() + b",1,5,0.5,0.4,0.1\n"
)
FIREHOSE = {
    "2026/11/27/04/simstream-1-2026-11-27-04-00-00-0a1b2c3d": (b"".join(ONE_BY_ONE), 5, (3, 2)),
    "lines-without-an-ending": (b"\n".join(ONE_BY_ONE), 5, (3, 2)),
    "packed-without-an-ending": (packed(*ONE_BY_ONE[:2], b"\n", *ONE_BY_ONE[2:]), 5, (3, 2)),
    "packed.json": (packed(json.dumps(RECORDS).encode()), 5, (3, 2)),
    "plain.json.gz": (json.dumps(RECORDS).encode(), 5, (3, 2)),
    "flat.csv": (FLAT_CSV, 1, (1, 0)),
    "flat-without-an-ending": (FLAT_CSV, 1, (1, 0)),
    "a-rest": (ONE_BY_ONE[0] + b"{cut", 2, (1, 0)),
}


@pytest.mark.parametrize("name", FIREHOSE)
def test_the_content_of_a_file_says_what_it_is(database: Database, truth: Truth, tmp_path: Path, name: str) -> None:
    content, records, stored = FIREHOSE[name]
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (tmp_path / ".hidden").write_text("of the system")

    assert read_all(database, str(tmp_path)) == {path.name: records}
    done = process_batches(database, now=NOW)

    assert (done.usage.new, done.events.new) == stored
    assert done.quarantined == records - sum(stored)


def test_the_same_records_in_several_files_are_stored_once(database: Database, truth: Truth, tmp_path: Path) -> None:
    for n, content in enumerate(WRITTEN.values()):
        (tmp_path / f"{n}{''.join(Path(list(WRITTEN)[n]).suffixes)}").write_bytes(content)

    assert sum(read_all(database, str(tmp_path)).values()) == 30
    done = process_batches(database, now=NOW)

    assert (done.usage.new, done.events.new, done.quarantined) == (3, 2, 0)
    assert len(truth.rows(STORED)) == 5


def test_a_file_is_read_once_and_again_when_it_changes_and_an_old_one_that_comes_late_is_found(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    newest = tmp_path / "newest.json"
    newest.write_text(json.dumps([usage(1)]))
    assert read_all(database, str(tmp_path)) == {"newest.json": 1}
    assert read_all(database, str(tmp_path)) == {}

    times = newest.stat().st_mtime_ns
    for name, moment in (("same-time.json", times), ("last-year.json", times - 365 * 86400 * 10**9)):
        (tmp_path / name).write_text(json.dumps([usage(2)]))
        os.utime(tmp_path / name, ns=(moment, moment))
    assert read_all(database, str(tmp_path)) == {"same-time.json": 1, "last-year.json": 1}

    newest.write_text(json.dumps([usage(1), usage(3)]))
    assert read_all(database, str(tmp_path)) == {"newest.json": 2}
    assert read_all(database, str(tmp_path)) == {}
    process_batches(database, now=NOW)
    assert truth.column("SELECT record_id FROM core.stream_usage ORDER BY 1") == [1, 2, 3]


def test_a_big_file_is_landed_in_slices(database: Database, truth: Truth, tmp_path: Path) -> None:
    (tmp_path / "big.jsonl").write_bytes(as_lines([usage(n) for n in range(7_001)]))

    assert read_all(database, str(tmp_path)) == {"big.jsonl": 7_001}

    assert truth.column("SELECT records FROM raw.stream_batches ORDER BY batch_id") == [3000, 3000, 1001]
    assert process_batches(database, now=NOW).usage.new == 7_001


def test_a_reading_that_breaks_off_lands_nothing_and_is_done_again(
    database: Database, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "big.jsonl").write_bytes(as_lines([usage(n) for n in range(10)]))
    monkeypatch.setattr("services.ingest.stream_files.SLICE_RECORDS", 3)
    written = []

    def pulled(document: Any) -> bytes:
        written.append(document)
        if len(written) == 3:
            raise RuntimeError("the plug is pulled")
        return json.dumps(document).encode()

    with monkeypatch.context() as patched:
        patched.setattr("services.ingest.stream_files.orjson.dumps", pulled)
        with pytest.raises(RuntimeError, match="plug"):
            read_all(database, str(tmp_path))
    assert truth.one("SELECT count(*) FROM raw.stream_batches") == 0

    assert read_all(database, str(tmp_path)) == {"big.jsonl": 10}


UNREADABLE = [
    ("cut.json", b'[{"id": 1}', "not JSON"),
    ("cut.csv.gz", gzip.compress(as_csv(RECORDS))[:-20], "not gzip, or cut off"),
    ("cut.json.gz", gzip.compress(b"[]")[:-9], "not gzip, or cut off"),
    ("other.csv", b"iccid,mb\n1,2\n", "not records of 1NCE's Data Streamer"),
    ("notes.json", b"no records", "not records of 1NCE's Data Streamer"),
    ("latin.csv", "id,name\n1,Z\u00fcrich\n".encode("latin-1"), "not a CSV in UTF-8"),
]


@pytest.mark.parametrize(("name", "content", "words"), UNREADABLE, ids=[name for name, _, _ in UNREADABLE])
def test_a_file_that_cannot_be_read_is_noted_and_a_mended_one_settles_it(
    database: Database, truth: Truth, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (file,) = new_files(database, str(tmp_path))

    with pytest.raises(UnreadableFileError, match=words):
        store_file(database, str(tmp_path), file, now=NOW)

    assert new_files(database, str(tmp_path)) == []
    (reason,) = truth.column("SELECT reason FROM ops.quarantine WHERE resolved_at IS NULL")
    assert name in reason
    assert words in reason
    assert truth.one("SELECT count(*) FROM raw.stream_batches") == 0

    good = next(form for written, form in WRITTEN.items() if written.lower()[1:] == name[name.index(".") :])
    (tmp_path / name).write_bytes(good)
    assert read_all(database, str(tmp_path)) == {name: 5}
    assert truth.one("SELECT count(*) FROM ops.quarantine WHERE resolved_at IS NULL") == 0


def test_broken_lines_wait_in_quarantine_and_the_good_ones_are_stored(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(as_lines(RECORDS[:2]) + b'\n{"id": 9, "traf\n' + as_lines(RECORDS[2:]))
    (tmp_path / "b.csv").write_bytes(b"id,timestamp,event_type.description,sim.iccid\n9,2025-09-23T00:00:00Z,x,1,2\n")
    read_all(database, str(tmp_path))

    done = process_batches(database, now=NOW)

    assert (done.usage.new, done.events.new, done.quarantined) == (3, 2, 2)
    reasons = truth.column("SELECT reason FROM ops.quarantine ORDER BY reason")
    assert "expected an object" in reasons[0]
    assert "more fields than the header" in reasons[0] + reasons[1]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a real HTTP S3 server, named by the usual AWS variables."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="records", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield "records"
    server.stop()


def test_a_bucket_is_read_like_a_folder(database: Database, truth: Truth, bucket: str) -> None:
    client = boto3.client("s3")
    for name, content in WRITTEN.items():
        client.put_object(Bucket=bucket, Key=f"streamer/{name}", Body=content)
    client.put_object(Bucket=bucket, Key="elsewhere/x.json", Body=b"[1]")
    where = f"s3://{bucket}/streamer"

    assert read_all(database, where) == {Path(name).name: 5 for name in WRITTEN}
    assert read_all(database, where) == {}
    client.put_object(Bucket=bucket, Key="streamer/late.json", Body=json.dumps([usage(9)]).encode())
    client.put_object(Bucket=bucket, Key="streamer/a.json", Body=json.dumps([usage(10)]).encode())
    assert read_all(database, where) == {"late.json": 1, "a.json": 1}

    process_batches(database, now=NOW)
    assert truth.column("SELECT record_id FROM core.stream_usage ORDER BY 1") == [1, 2, 3, 9, 10]


def test_the_sensor_starts_a_run_when_a_file_is_new_and_the_run_lands_it(
    database_url: URL, truth: Truth, tmp_path: Path
) -> None:
    folder = tmp_path / "records"
    with (
        Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9", stream_files=str(folder))) as runtime,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        location = code_location(runtime)
        sensor = location.get_repository_def().get_sensor_def("stream_files")

        def ask() -> Any:
            return sensor(dg.build_sensor_context(instance=instance, resources={"runtime": runtime}))

        assert "no new file" in ask().skip_message
        folder.mkdir()
        (folder / "a.json").write_bytes(WRITTEN["a.json"])
        (folder / "broken.json").write_bytes(b"{[")
        (folder / "cut.json.gz").write_bytes(b"x")
        assert isinstance(ask(), dg.RunRequest)

        for job, asset in (("read_stream_files", "stream_file_batches"), ("process_stream", "stream_records")):
            run = location.resolve_job_def(job).execute_in_process(
                instance=instance, run_config={"loggers": {"terminal": {}}}
            )
            (made,) = run.asset_materializations_for_node(asset)
            assert run.success
            if job == "read_stream_files":
                assert (made.metadata["files"].value, made.metadata["files unreadable"].value) == (3, 1)
        assert "no new file" in ask().skip_message
    assert len(truth.rows(STORED)) == 5
