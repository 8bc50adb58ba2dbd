"""What a customer holds elsewhere: files of usage, SIMs, labels or tickets into the same tables, each bad row named by its line."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from pathlib import Path

import polars as pl

from resources.database.session import Database, Merged, Transaction
from resources.files.readers import ImportRefusedError, Source, Table, open_table
from services.ingest.file_schemas import KINDS, Kind, given, shown
from services.ingest.schemas import LANDING_SCHEMA, QUARANTINE_SCHEMA, SETTLED_SCHEMA, UTC_TIME, Schema

MAX_BYTES = 2_000_000_000
MAX_BAD_ROWS = 100_000
KEPT_BYTES = 64_000_000  # a larger file is read where it stands, and not kept as it came
MERGED_ROWS = 1_000_000  # rows a statement
SHOWN_ERRORS = 20
SIM_KEYS: Schema = {"iccid": pl.String, "sim_key": pl.Int32}


@dataclass(frozen=True)
class Parsed:
    """A file's good rows (line and the kind's values) and bad ones (line, reason, record, about); `ignored`: columns not used."""

    good: pl.DataFrame
    bad: pl.DataFrame
    unit: str
    ignored: list[str]


@dataclass(frozen=True)
class Imported:
    """What an import did. `unit` is how `bad` counts its rows; `ignored` are the columns of the file that were not used."""

    merged: Merged
    bad: pl.DataFrame
    unit: str
    ignored: list[str]


def match_columns(kind: Kind, header: list[str], mapping: Mapping[str, str]) -> tuple[dict[str, int], list[str]]:
    """Which column of the file is which of ours, by place, and the file's columns that are none.

    mapping   the file's names to ours, for what is named differently there
    Case and blanks around a name do not matter. Raises ImportRefusedError when a column is missing, unknown or ambiguous.
    """
    ours = [*kind.needed, *kind.optional]
    names = [_plain_name(name) for name in header]
    wanted: dict[str, str] = {}
    for theirs, target in mapping.items():
        plain = _plain_name(target)
        if plain not in ours:
            raise ImportRefusedError(
                f"{theirs}={target}: {kind.name} have no column {target}; known: {', '.join(ours)}"
            )
        if _plain_name(theirs) not in names:
            raise ImportRefusedError(f"{theirs}={target}: the file has no column {theirs}; it has {', '.join(header)}")
        if plain in wanted:
            raise ImportRefusedError(f"two columns are mapped to {plain}: {wanted[plain]} and {theirs}; keep one")
        wanted[plain] = theirs
    mapped = {_plain_name(theirs) for theirs in wanted.values()}
    wanted = {name: name for name in ours if name in names and name not in mapped} | wanted
    missing = [name for name in kind.needed if name not in wanted]
    if missing:
        raise ImportRefusedError(
            f"the header lacks {', '.join(missing)}; it has {', '.join(names)}. Needed for {kind.name}, separated by commas: "
            f"{', '.join(kind.needed)}; optional: {', '.join(kind.optional) or 'none'}. A column of another name: "
            "--map theirs=ours"
        )
    twice = [theirs for theirs in wanted.values() if names.count(_plain_name(theirs)) > 1]
    if twice:
        raise ImportRefusedError(f"the header names a column twice: {', '.join(twice)}; keep one of each")
    places = {name: names.index(_plain_name(theirs)) for name, theirs in wanted.items()}
    return places, [name for place, name in enumerate(header) if name.strip() and place not in places.values()]


def _plain_name(name: str) -> str:
    return name.removeprefix("\ufeff").strip().lower()


def parse_file(
    source: Source,
    kind: Kind,
    *,
    name: str,
    today: date,
    sims: pl.DataFrame,
    mapping: Mapping[str, str] | None = None,
    sheet: str | None = None,
) -> Parsed:
    """Parse a file of one kind, a batch of rows at a time.

    sims   iccid and sim_key of all known SIMs
    A row is bad when a value is missing, malformed or impossible, when its SIM is unknown, or when an earlier good row was
    about the same. Raises ImportRefusedError when the file is no such table at all, or has more than 100,000 bad rows.
    """
    table = open_table(source, name=name, sheet=sheet)
    places, ignored = match_columns(kind, table.header, mapping or {})
    good, bad = [], _BadRows(kind, table.unit)
    for rows in _judged(table, places, kind, today, sims):
        good.append(rows.filter(pl.col("reason").is_null()).select("line", *kind.values()))
        bad.add(rows.filter(pl.col("reason").is_not_null()))
    values = pl.concat(good)
    again = _again(values, kind)
    if again.len():  # rare: the file is read once more for what stood in those rows
        reason = pl.lit(f"{kind.twice} stood in an earlier {table.unit}; keep one of them").alias("reason")
        for rows in _judged(table, places, kind, today, sims):
            bad.add(rows.filter(pl.col("line").is_in(again.implode())).with_columns(reason))
        values = values.filter(~pl.col("line").is_in(again.implode()))
    return Parsed(values, bad.all(), table.unit, ignored)


def _again(values: pl.DataFrame, kind: Kind) -> pl.Series:
    """The lines of rows whose key stood in an earlier row."""
    doubled = (
        values.lazy().group_by(kind.key).agg(pl.col("line").min().alias("first"), pl.len()).filter(pl.col("len") > 1)
    )
    again = values.join(doubled.collect(engine="streaming"), on=kind.key).filter(pl.col("line") > pl.col("first"))
    return again["line"]


def _judged(
    table: Table, places: dict[str, int], kind: Kind, today: date, sims: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """The rows of a file, judged; an empty frame first, so that a file without rows has its columns too."""
    absent = [pl.lit(None, pl.String).alias(column.name) for column in kind.columns if column.name not in places]
    nothing = pl.DataFrame(schema={"line": pl.Int64, **dict.fromkeys(places, pl.String)})
    for rows in chain([nothing], table.batches(places)):
        judged = kind.judge(rows.with_columns(absent), today=today)
        if kind.sims:
            unknown = pl.format(
                "iccid: {} is not in the SIM list; ingest the account first, import it as sims, or correct it", "iccid"
            )
            judged = judged.join(sims, on="iccid", how="left", maintain_order="left").with_columns(
                pl.coalesce("reason", pl.when(pl.col("sim_key").is_null()).then(unknown)).alias("reason")
            )
        yield judged


class _BadRows:
    """The bad rows of a file, as far as it makes sense to list them."""

    def __init__(self, kind: Kind, unit: str) -> None:
        self._kind, self._unit, self._count = kind, unit, 0
        self._frames: list[pl.DataFrame] = []

    def add(self, judged: pl.DataFrame) -> None:
        kind = self._kind
        record = pl.struct(given(column.name).alias(column.name) for column in kind.columns)
        bad = judged.select(
            "line",
            "reason",
            record.struct.json_encode().alias("record"),
            pl.concat_str(*(shown(name).fill_null("?") for name in kind.about), separator=" ").alias("about"),
        )
        self._frames.append(bad)
        self._count += bad.height
        if self._count > MAX_BAD_ROWS:
            first = self.all().row(0, named=True)
            raise ImportRefusedError(
                f"more than {MAX_BAD_ROWS} rows are bad, the first in {self._unit} {first['line']}: {first['reason']}"
            )

    def all(self) -> pl.DataFrame:
        return pl.concat(self._frames).sort("line")


def import_file(
    database: Database,
    path: Path,
    kind: Kind,
    *,
    now: datetime,
    only_all: bool,
    dry_run: bool = False,
    mapping: Mapping[str, str] | None = None,
    sheet: str | None = None,
) -> Imported:
    """Import a file in one transaction: every row, or with `only_all=False` the good ones, the others to quarantine.

    An ICCID that the SIM list does not have makes a row of usage or labels bad. The same file again changes nothing; a mended
    one of the same name settles what waited in quarantine.
    Raises ImportRefusedError naming the bad rows, or when the file cannot be read.
    """
    source = _read(path)
    sims = database.frame("sim_keys", SIM_KEYS) if kind.sims else pl.DataFrame(schema=SIM_KEYS)
    parsed = parse_file(source, kind, name=path.name, today=now.date(), mapping=mapping, sheet=sheet, sims=sims)
    if only_all and parsed.bad.height:
        raise ImportRefusedError(_bad_rows(path, parsed))
    if dry_run:
        return Imported(Merged(), parsed.bad, parsed.unit, parsed.ignored)
    merged = Merged()
    with database.transaction() as transaction:
        for rows in parsed.good.iter_slices(MERGED_ROWS):
            merged += transaction.merge(kind.merge, rows.with_columns(pl.lit(now).cast(UTC_TIME).alias("known_at")))
        landing = [("file", path.name, _body(source), now)]
        transaction.merge("merge_landings", pl.DataFrame(landing, schema=LANDING_SCHEMA, orient="row"))
        waiting = _quarantined(path, kind, parsed, now)
        transaction.merge("settle_quarantine", _settled(transaction, path, waiting, now))
        transaction.merge("merge_quarantine", waiting)
    return Imported(merged, parsed.bad, parsed.unit, parsed.ignored)


def _read(path: Path) -> Source:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImportRefusedError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB; split it")
        if size > KEPT_BYTES:
            with path.open("rb"):
                return path
        return path.read_bytes()
    except OSError as error:
        raise ImportRefusedError(f"{path} cannot be read: {error.strerror}") from None


def _body(source: Source) -> str:
    """A file as it is kept: text as it came, other formats in base64, of a large one what identifies it."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"too large to keep: {source.stat().st_size} bytes, SHA-256 {digest}"
    try:
        text = source.decode()
    except UnicodeDecodeError:
        text = "\x00"
    return base64.b64encode(source).decode() if "\x00" in text else text


def _bad_rows(path: Path, parsed: Parsed) -> str:
    bad, unit = parsed.bad, parsed.unit
    listed = [
        f"  {unit} {line}: {reason}" for line, reason in bad.select("line", "reason").head(SHOWN_ERRORS).iter_rows()
    ]
    more = [f"  and {bad.height - SHOWN_ERRORS} more"] if bad.height > SHOWN_ERRORS else []
    return "\n".join(
        [
            f"{path}: {bad.height} of {parsed.good.height + bad.height} rows are bad, nothing was imported:",
            *listed,
            *more,
            "Mend them, or import the good ones with --good-rows (the bad ones then wait in quarantine).",
        ]
    )


def _quarantined(path: Path, kind: Kind, parsed: Parsed, now: datetime) -> pl.DataFrame:
    file = hashlib.sha256(path.name.encode()).hexdigest()[:8]
    asked = json.dumps({"file": path.name, "kind": kind.name})[:-1]
    line = pl.col("line").cast(pl.String)
    record = pl.concat_str(
        pl.lit('{"record": '), "record", pl.lit(f', "asked": {asked}, "{parsed.unit}": '), line, pl.lit("}}")
    )
    return parsed.bad.select(
        pl.lit("file").alias("source"),
        pl.concat_str("about", pl.lit(f" {file}:"), line).alias("record_key"),
        pl.concat_str(pl.lit(f"{path.name} {parsed.unit} "), line, pl.lit(": "), "reason").alias("reason"),
        record.alias("record"),
        pl.lit(now).cast(UTC_TIME).alias("seen_at"),
    ).select(list(QUARANTINE_SCHEMA))


def _settled(transaction: Transaction, path: Path, waiting: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """What an earlier import of the same file left in quarantine and this one no longer holds: it has been mended."""
    earlier = [
        ("file", row["record_key"], now, "superseded")
        for row in transaction.rows("quarantine_of_file", {"file": path.name})
    ]
    settled = pl.DataFrame(earlier, schema=SETTLED_SCHEMA, orient="row").unique()
    return settled.join(waiting, on="record_key", how="anti")


def read_mapping(file: Path | None, pairs: Sequence[str]) -> dict[str, str]:
    """Column names of a file to ours, from a JSON object in a file and from texts `theirs=ours`, which win.

    Raises ImportRefusedError for what is neither.
    """
    mapping: dict[str, str] = {}
    if file is not None:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ImportRefusedError(f"{file} cannot be read: {error.strerror}") from None
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(ours, str) for ours in found.values()):
            raise ImportRefusedError(f'{file} must hold one JSON object of column names, such as {{"Card": "iccid"}}')
        mapping |= found
    for pair in pairs:
        theirs, equals, ours = pair.rpartition("=")
        if not (equals and theirs and ours):
            raise ImportRefusedError(f"--map {pair}: expected THEIRS=OURS, such as --map Card=iccid")
        mapping = {name: target for name, target in mapping.items() if target != ours} | {theirs: ours}
    return mapping


def named_kind(name: str) -> Kind:
    """The kind of a name. Raises ImportRefusedError naming those there are."""
    if name not in KINDS:
        raise ImportRefusedError(f"{name!r} is no kind of file; known: {', '.join(KINDS)}")
    return KINDS[name]
