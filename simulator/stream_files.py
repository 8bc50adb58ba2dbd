"""The records of 1NCE's Data Streamer as files, as it leaves them in a folder or bucket: JSON arrays or CSV, packed or
not."""

import csv
import gzip
import io
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson

from simulator.account import Json
from simulator.ledger import tick
from simulator.record_ids import EVENT
from simulator.stream_feed import REPORT_SECONDS, Feed
from simulator.stream_http import INTERVAL, MAX_RECORDS, Disturbance, batches

Form = Literal["json", "csv"]


def write_files(
    feed: Feed,
    folder: Path,
    after: datetime,
    until: datetime,
    *,
    form: Form = "json",
    packed: bool = False,
    disturbance: Disturbance | None = None,
) -> list[Path]:
    """Write what happened later than `after` and not later than `until`; returns the files, of at most 3,000 records
    each.

    form     "json", an array; or "csv", whose header has the JSON's names with dots (sim.iccid) and where null is empty
    packed   with gzip
    A file has one type of records and is there when it is complete; the same interval gives the same files again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    while after < until:
        end = min(after + INTERVAL, until)
        found = feed.between(after, end)
        for name in feed.types:
            some = found.take(np.flatnonzero((found.kind == EVENT) == (name == "events")))
            for number, batch in enumerate(batches(feed, some, disturbance or Disturbance(), MAX_RECORDS), 1):
                body = orjson.dumps(batch) if form == "json" else _csv(batch)
                path = folder / f"{name}-{after:%Y%m%dT%H%M%SZ}-{number:04d}.{form}{'.gz' if packed else ''}"
                content = gzip.compress(body, 1, mtime=0) if packed else body
                if not (path.exists() and path.read_bytes() == content):  # else a reader would take it for a new one
                    part = path.with_name(path.name + ".part")
                    part.write_bytes(content)
                    os.replace(part, path)
                written.append(path)
        after = end
    return written


class Folder:
    """A folder that gets the records of each quarter of an hour once it is over; see `write_files`."""

    def __init__(self, feed: Feed, folder: Path, *, place: datetime, form: Form = "json", packed: bool = True) -> None:
        self._feed, self._folder, self._form, self._packed = feed, folder, form, packed
        self.place, self.shape = _quarter(place), feed.stream

    def send_until(self, until: datetime) -> int:
        """Write the quarters that are over by then; returns the number of files. Raises OSError when it cannot."""
        end = _quarter(until)
        written = write_files(self._feed, self._folder, self.place, end, form=self._form, packed=self._packed)
        self.place = max(self.place, end)
        return len(written)


def _quarter(moment: datetime) -> datetime:
    return moment - timedelta(seconds=tick(moment) % REPORT_SECONDS, microseconds=moment.microsecond)


def _csv(batch: list[Json]) -> bytes:
    rows = [dict(_flat("", record)) for record in batch]
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(names), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """The leaves of a record by their dotted names, as text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, bool):
        yield path, str(value).lower()
    elif isinstance(value, float):
        yield path, f"{value:.6f}"  # never 1e-06
    elif value is not None:
        yield path, str(value)
