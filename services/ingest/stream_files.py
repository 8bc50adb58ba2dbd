"""Read record files of 1NCE's Data Streamer from a folder or bucket and store them like POSTs, in slices, for
stream_records.

JSON (an array, or objects one behind the other, with or without line breaks, as Firehose writes them) or CSV whose
header has the JSON's names with dots (sim.iccid) or underscores (sim_iccid); gzip or not. The content says which it is,
not the name: objects of Firehose have no ending. A file of another kind is noted in quarantine. The transaction that
stores a file also notes its version in raw.stream_files: a file that comes late with an old date is found all the same,
and a file whose reading broke off is read again.
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import IO, Any, NamedTuple, cast

import fsspec
import orjson
import polars as pl

from resources.database.session import Database
from resources.errors import SimsightError
from services.ingest.schemas import QUARANTINE_SCHEMA, RESOLVED_SCHEMA

SLICE_RECORDS = 3_000
MAX_ARRAY_BYTES = 256_000_000  # of a JSON array, which is read whole; lines and CSV are read as they come
PEEKED = 4_096  # bytes of a file that are looked at to tell what it is
GZIP = b"\x1f\x8b"
_DECODER = json.JSONDecoder()


class StreamFile(NamedTuple):
    """A version of a file: its path in the file system, and what changes when it does."""

    path: str
    version: str
    size: int


class UnreadableFileError(SimsightError):
    """A file does not hold records; nothing of it was stored. The message says why."""


def new_files(database: Database, where: str) -> list[StreamFile]:
    """Files under a path or URL that have not been read as they are now, by path."""
    system, root = fsspec.core.url_to_fs(where)
    system.invalidate_cache()
    found = [
        (path, f"{about['size']} {about.get('ETag') or about.get('mtime')}", about["size"])
        for path, about in system.find(root, detail=True).items()
        if not path.rsplit("/", 1)[-1].startswith(".")  # of the system, or of a copy under way
    ]
    schema = {"path": pl.String, "version": pl.String, "size": pl.Int64}
    with database.transaction() as transaction:
        transaction.stage("new_stream_files", pl.DataFrame(found, schema=schema, orient="row"))
        return [StreamFile(**row) for row in transaction.rows("new_stream_files")]


def store_file(database: Database, where: str, file: StreamFile, *, now: datetime) -> int:
    """Store a file's records in one transaction; returns how many. The same records again change nothing.

    Raises UnreadableFileError, after noting in quarantine what is wrong; such a version is not read again.
    """
    system, _ = fsspec.core.url_to_fs(where)
    problem = None
    try:
        with system.open(file.path, "rb") as opened, database.transaction() as transaction:
            records = 0
            rows = _records(opened)
            while slice_ := list(islice(rows, SLICE_RECORDS)):
                body = orjson.dumps(slice_)
                transaction.execute("add_stream_slice", {"body": body, "records": len(slice_), "now": now})
                records += len(slice_)
            about = {"path": file.path, "version": file.version, "records": records, "now": now}
            transaction.execute("add_stream_file", about)
            resolved = [("file", file.path, now, "superseded")]
            transaction.merge("resolve_quarantine", pl.DataFrame(resolved, schema=RESOLVED_SCHEMA, orient="row"))
            return records
    except UnreadableFileError as error:
        problem = error
    with database.transaction() as transaction:
        kept = json.dumps({"record": {"path": file.path}, "asked": {"file": file.path, "line": 0}})
        rejected = [("file", file.path, f"{file.path}: {problem}", kept, now)]
        transaction.merge("merge_quarantine", pl.DataFrame(rejected, schema=QUARANTINE_SCHEMA, orient="row"))
        transaction.execute("add_stream_file", {"path": file.path, "version": file.version, "records": 0, "now": now})
    raise problem


def _records(opened: IO[bytes]) -> Iterator[Any]:
    """The records of a file as they stand in it. Raises UnreadableFileError."""
    try:
        if _beginning(opened).startswith(GZIP):
            with gzip.open(opened) as unpacked:
                yield from _rows(cast(IO[bytes], unpacked))
        else:
            yield from _rows(opened)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableFileError(f"not gzip, or cut off ({error})") from error


def _rows(opened: IO[bytes]) -> Iterator[Any]:
    begin = _beginning(opened).removeprefix(codecs.BOM_UTF8).lstrip()
    return _json(opened) if begin[:1] in (b"[", b"{", b"") else _csv(opened)


def _beginning(opened: IO[bytes]) -> bytes:
    begin = opened.read(PEEKED)
    opened.seek(0)
    return begin


def _json(lines: IO[bytes]) -> Iterator[Any]:
    first = b""
    while not first.strip():
        first = lines.readline()
        if not first:
            return
    if first.lstrip().startswith(b"["):
        whole = first + lines.read(MAX_ARRAY_BYTES)
        if len(whole) > MAX_ARRAY_BYTES:
            raise UnreadableFileError(
                f"an array larger than {MAX_ARRAY_BYTES // 1_000_000} MB: split it, or write one object a line"
            )
        try:
            yield from orjson.loads(whole)
        except orjson.JSONDecodeError as error:
            raise UnreadableFileError(f"not JSON ({error}): expected an array, or one object a line") from error
        return
    line = first
    while line:
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                yield from _one_behind_the_other(line.decode("utf-8", "replace").strip())
        line = lines.readline()


def _one_behind_the_other(text: str) -> Iterator[Any]:
    """The JSON values of a line; what is none is given as text, and quarantined under it."""
    at = 0
    while at < len(text):
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            yield text[at:]
            return
        yield value
        while at < len(text) and text[at] in " \t,":
            at += 1


def _csv(opened: IO[bytes]) -> Iterator[Any]:
    rows = csv.DictReader(io.TextIOWrapper(opened, "utf-8-sig", newline=""))
    try:
        if "id" not in (rows.fieldnames or []):
            raise UnreadableFileError(
                "not records of 1NCE's Data Streamer: expected JSON, or a CSV with a header like "
                "id,start_timestamp,sim.iccid"
            )
        for row in rows:
            if None in row:
                yield f"line {rows.line_num} has more fields than the header"
            else:
                yield _nested(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"not a CSV in UTF-8 ({error})") from error


def _nested(row: dict[str, str]) -> dict[str, Any]:
    """A row with dotted names as the object it stands for; an empty field is none."""
    record: dict[str, Any] = {}
    for name, value in row.items():
        if not value:
            continue
        *path, last = name.split(".")
        inside = record
        for step in path:
            if not isinstance(inside.get(step), dict):
                inside[step] = {}
            inside = inside[step]
        inside.setdefault(last, value)
    return record
