"""Import files of usage, SIMs, labels or tickets into the tables that ingest fills; name each rejected row by its
line."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from pathlib import Path

import polars as pl

from resources.database.session import Database, Merged, Transaction
from resources.files.csv_form import FOUND, CsvOptions
from resources.files.formats import ImportRejectedError, Source
from resources.files.readers import Table, open_table
from services.ingest.file_schemas import FILE_SCHEMAS, SIMS, USAGE, FileSchema, given, shown
from services.ingest.notation import SETTLED_BY_CELLS, Evidence, Form, Notation
from services.ingest.schemas import QUARANTINE_SCHEMA, RAW_RESPONSE_SCHEMA, RESOLVED_SCHEMA, UTC_TIME, Schema
from services.ingest.waiting_rows import store_waiting_rows

MAX_BYTES = 2_000_000_000
MAX_REJECTED_ROWS = 100_000
MAX_KEPT_BYTES = 64_000_000  # a larger file is read where it stands, and not kept as it came
MERGED_ROWS = 1_000_000  # rows a statement
MAX_SHOWN_ERRORS = 20
VOLUMES = {column.name for column in USAGE.columns if column.form == "volume"}
OTHER_UNIT = re.compile(r"\b(bytes?|octets?|[kgmt]i?b)\b", re.I)
TOTAL = re.compile(r"\W*(grand |sub)?(totals?|sums?|summe|gesamt(summe)?|somme|totale|suma|totaal)\b.*", re.I | re.S)
SIM_KEYS: Schema = {"iccid": pl.String, "sim_key": pl.Int32}


@dataclass(frozen=True)
class Parsed:
    """A parsed file.

    accepted   line and the values of the schema
    rejected   line, reason, record, about
    unit       how a person counts the rows: line or row
    ignored    columns of the file that were not used
    notation   how its numbers and dates were read
    read_as    how it was read, in words; empty for the usual form of a workbook or of Parquet
    notes      what a person should know of rows that are taken, or left out
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    unit: str
    ignored: list[str]
    notation: Notation
    read_as: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Imported:
    """What an import did; `rejected`, `unit`, `ignored`, `read_as` and `notes` as in Parsed.

    waited   rows of other files that waited in quarantine for the SIMs of this one, and are stored now
    """

    merged: Merged
    rejected: pl.DataFrame
    unit: str
    ignored: list[str]
    read_as: list[str]
    notes: list[str]
    waited: int = 0


def match_columns(
    schema: FileSchema, header: list[str], mapping: Mapping[str, str]
) -> tuple[dict[str, int], list[str]]:
    """Which column of the file is which of ours, by place, and the file's columns that are none.

    mapping   the file's names to ours, for what is named differently there
    Case and blanks around a name do not matter. Raises ImportRejectedError when a column is missing, unknown or
    ambiguous.
    """
    ours = [*schema.needed, *schema.optional]
    names = [_plain_name(name) for name in header]
    wanted: dict[str, str] = {}
    for theirs, target in mapping.items():
        plain = _plain_name(target)
        if plain not in ours:
            raise ImportRejectedError(
                f"{theirs}={target}: {schema.name} have no column {target}; known: {', '.join(ours)}"
            )
        if _plain_name(theirs) not in names:
            raise ImportRejectedError(f"{theirs}={target}: the file has no column {theirs}; it has {', '.join(header)}")
        if plain in wanted:
            raise ImportRejectedError(f"two columns are mapped to {plain}: {wanted[plain]} and {theirs}; keep one")
        if plain in VOLUMES and OTHER_UNIT.search(theirs) and "mb" not in theirs.lower():
            raise ImportRejectedError(
                f"{theirs}={target}: a column of that name counts another unit; {plain} is MB, of 1,000,000 bytes"
            )
        wanted[plain] = theirs
    mapped = {_plain_name(theirs) for theirs in wanted.values()}
    wanted = {name: name for name in ours if name in names and name not in mapped} | wanted
    missing = [name for name in schema.needed if name not in wanted]
    if missing:
        raise ImportRejectedError(
            f"the header lacks {', '.join(missing)}; it has {', '.join(names)}. Needed for {schema.name}: "
            f"{', '.join(schema.needed)}; optional: {', '.join(schema.optional) or 'none'}. "
            "A column of another name: --map theirs=ours; another separator: --separator"
        )
    repeated = [theirs for theirs in wanted.values() if names.count(_plain_name(theirs)) > 1]
    if repeated:
        raise ImportRejectedError(f"the header names a column twice: {', '.join(repeated)}; keep one of each")
    places = {name: names.index(_plain_name(theirs)) for name, theirs in wanted.items()}
    return places, [name for place, name in enumerate(header) if name.strip() and place not in places.values()]


def _plain_name(name: str) -> str:
    return name.removeprefix("\ufeff").strip().lower()


def parse_file(
    source: Source,
    schema: FileSchema,
    *,
    name: str,
    today: date,
    sims: pl.DataFrame,
    mapping: Mapping[str, str] | None = None,
    sheet: str | None = None,
    csv: CsvOptions = FOUND,
    told: Notation = SETTLED_BY_CELLS,
) -> Parsed:
    """Parse a file of one schema, a batch of rows at a time.

    sims   iccid and sim_key of all known SIMs
    csv    what the user says of a CSV
    told   what the user says of numbers and dates; the rest is found in the cells
    A row is rejected when a value is missing, malformed, impossible or can be read in two ways, when its SIM is
    unknown, or when an earlier accepted row has the same key. A last row of totals is left out. Raises
    ImportRejectedError when the file is no such table, or has more than 100,000 rejected rows.
    """
    table, places, ignored = _open(source, schema, name, mapping or {}, sheet, csv)
    evidence = _evidence(table, places, schema, told)
    notation = evidence.notation()
    accepted, rejected, notes = [], _RejectedRows(schema, table.unit), _Notes(table.unit)
    last = 0
    for rows in _validated(table, places, schema, today, sims, notation):
        good = rows.filter(pl.col("reason").is_null())
        notes.add(good)
        accepted.append(good.select("line", *schema.values()))
        rejected.add(rows.filter(pl.col("reason").is_not_null()))
        last = rows.item(-1, "line") if rows.height else last
    total = rejected.take_total(last)
    values = pl.concat(accepted)
    duplicates = _duplicates(values, schema)
    if duplicates.len():  # rare: the file is read once more for what stood in those rows
        reason = pl.lit(f"{schema.duplicate} stood in an earlier {table.unit}; keep one of them").alias("reason")
        for rows in _validated(table, places, schema, today, sims, notation):
            rejected.add(rows.filter(pl.col("line").is_in(duplicates.implode())).with_columns(reason))
        values = values.filter(~pl.col("line").is_in(duplicates.implode()))
    said = [f"{table.unit} {last} is a total: left out"] if total else []
    read_as = [*(table.csv.read_as if table.csv else ()), *evidence.read_as(notation)]
    return Parsed(values, rejected.all(), table.unit, ignored, notation, read_as, [*said, *notes.all()])


def _evidence(table: Table, places: dict[str, int], schema: FileSchema, told: Notation) -> Evidence:
    """What the cells say of how numbers and dates are written: a pass over the columns that hold some."""
    forms: dict[str, Form] = {
        column.name: column.form for column in schema.columns if column.form != "text" and column.name in places
    }
    evidence = Evidence(forms, told, usual_point=table.csv is None or table.csv.separator == ",")
    if forms:
        for rows in table.batches({name: places[name] for name in forms}):
            evidence.add(rows)
    return evidence


def _duplicates(values: pl.DataFrame, schema: FileSchema) -> pl.Series:
    """The lines of rows whose key stood in an earlier row."""
    doubled = (
        values.lazy().group_by(schema.key).agg(pl.col("line").min().alias("first"), pl.len()).filter(pl.col("len") > 1)
    )
    duplicates = values.join(doubled.collect(engine="streaming"), on=schema.key).filter(
        pl.col("line") > pl.col("first")
    )
    return duplicates["line"]


def _validated(
    table: Table, places: dict[str, int], schema: FileSchema, today: date, sims: pl.DataFrame, notation: Notation
) -> Iterator[pl.DataFrame]:
    """The rows of a file, validated; an empty frame first, so that a file without rows has its columns too."""
    absent = [pl.lit(None, pl.String).alias(column.name) for column in schema.columns if column.name not in places]
    nothing = pl.DataFrame(schema={"line": pl.Int64, **dict.fromkeys(places, pl.String)})
    for rows in chain([nothing], table.batches(places)):
        validated = schema.validate(rows.with_columns(absent), today=today, notation=notation)
        if schema.sims:
            unknown = pl.format(
                "iccid: {} is not in the SIM list; ingest the account first, import it as sims, or correct it", "iccid"
            )
            validated = validated.join(sims, on="iccid", how="left", maintain_order="left").with_columns(
                pl.coalesce("reason", pl.when(pl.col("sim_key").is_null()).then(unknown)).alias("reason")
            )
        yield validated


class _RejectedRows:
    """The rejected rows of a file, as far as it makes sense to list them."""

    def __init__(self, schema: FileSchema, unit: str) -> None:
        self._schema, self._unit, self._count = schema, unit, 0
        self._frames: list[pl.DataFrame] = []

    def add(self, validated: pl.DataFrame) -> None:
        schema = self._schema
        record = pl.struct(given(column.name).alias(column.name) for column in schema.columns)
        rejected = validated.select(
            "line",
            "reason",
            record.struct.json_encode().alias("record"),
            pl.concat_str(*(shown(name).fill_null("?") for name in schema.about), separator=" ").alias("about"),
        )
        self._frames.append(rejected)
        self._count += rejected.height
        if self._count > MAX_REJECTED_ROWS:
            first = self.all().row(0, named=True)
            raise ImportRejectedError(
                f"more than {MAX_REJECTED_ROWS} rows are rejected, the first in {self._unit} {first['line']}: "
                f"{first['reason']}"
            )

    def take_total(self, last: int) -> bool:
        """Take out the row of the last line if it is a total: it names no SIM and a cell of it says so."""
        *others, final = self._frames
        row = final.row(-1, named=True) if final.height else None
        if row is None or row["line"] != last or "iccid" not in self._schema.needed:
            return False
        cells = json.loads(row["record"])
        if any(digit.isdigit() for digit in cells["iccid"] or "") or not any(
            TOTAL.fullmatch(cell) for cell in cells.values() if cell
        ):
            return False
        self._frames, self._count = [*others, final.head(-1)], self._count - 1
        return True

    def all(self) -> pl.DataFrame:
        return pl.concat(self._frames).sort("line")


class _Notes:
    """What is said of rows that are taken: the first of each sort, and how many there are."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, accepted: pl.DataFrame) -> None:
        self._count(accepted.filter("rounded"), "more than six places of MB: rounded")
        if "iccid" in accepted.columns:
            foreign = accepted.filter(~pl.col("iccid").str.starts_with("89"))
            self._count(foreign, "an ICCID that does not begin with 89: is it one?")

    def _count(self, rows: pl.DataFrame, what: str) -> None:
        if rows.height:
            first, count = self._found.get(what, (rows.item(0, "line"), 0))
            self._found[what] = first, count + rows.height

    def all(self) -> list[str]:
        return [
            f"{self._unit} {first}: {what}" + (f" (in {count} rows)" if count > 1 else "")
            for what, (first, count) in self._found.items()
        ]


def import_file(
    database: Database,
    path: Path,
    schema: FileSchema,
    *,
    now: datetime,
    only_all: bool,
    dry_run: bool = False,
    mapping: Mapping[str, str] | None = None,
    sheet: str | None = None,
    csv: CsvOptions = FOUND,
    told: Notation = SETTLED_BY_CELLS,
) -> Imported:
    """Import a file in one transaction: every row, or with `only_all=False` the accepted ones, the others to
    quarantine.

    A row of usage or labels is rejected when the SIM list does not have its ICCID. The same file a second time changes
    nothing. A corrected file of the same name resolves the quarantined rows of the earlier one. SIMs that are new take
    up the rows that wait for them. `csv` and `told` are what the user says of how the file is written. Raises
    ImportRejectedError naming the rejected rows, or when the file cannot be read.
    """
    source = _read(path)
    sims = database.frame("sim_keys", SIM_KEYS) if schema.sims else pl.DataFrame(schema=SIM_KEYS)
    parsed = parse_file(
        source,
        schema,
        name=path.name,
        today=now.date(),
        mapping=mapping,
        sheet=sheet,
        sims=sims,
        csv=csv,
        told=told,
    )
    if only_all and parsed.rejected.height:
        raise ImportRejectedError(_rejection_message(path, parsed))
    if dry_run:
        return Imported(Merged(), parsed.rejected, parsed.unit, parsed.ignored, parsed.read_as, parsed.notes)
    merged, waited = Merged(), 0
    with database.transaction() as transaction:
        for rows in parsed.accepted.iter_slices(MERGED_ROWS):
            merged += transaction.merge(schema.merge, rows.with_columns(pl.lit(now).cast(UTC_TIME).alias("known_at")))
        response = [("file", path.name, _body(source), now)]
        transaction.merge("merge_raw_responses", pl.DataFrame(response, schema=RAW_RESPONSE_SCHEMA, orient="row"))
        pending = _quarantined(path, schema, parsed, now)
        transaction.merge("resolve_quarantine", _resolved(transaction, path, pending, now))
        transaction.merge("merge_quarantine", pending)
        if schema is SIMS:
            waited = store_waiting_rows(transaction, now=now).stored
    return Imported(merged, parsed.rejected, parsed.unit, parsed.ignored, parsed.read_as, parsed.notes, waited)


def check_file(
    path: Path, schema: FileSchema, *, mapping: Mapping[str, str], sheet: str | None = None, csv: CsvOptions = FOUND
) -> None:
    """Check what needs no database: that a file is a table, of the kind of its name, with the columns of the schema.

    Raises ImportRejectedError.
    """
    _open(_read(path), schema, path.name, mapping, sheet, csv)


def _open(
    source: Source, schema: FileSchema, name: str, mapping: Mapping[str, str], sheet: str | None, csv: CsvOptions
) -> tuple[Table, dict[str, int], list[str]]:
    """The table of a file, and its columns as `match_columns` gives them. Raises ImportRejectedError."""
    expected = {_plain_name(name) for name in [*schema.needed, *schema.optional, *mapping]}
    table = open_table(source, name=name, sheet=sheet, told=csv, expected=expected)
    return table, *match_columns(schema, table.header, mapping)


def _read(path: Path) -> Source:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImportRejectedError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB; split it")
        if size > MAX_KEPT_BYTES:
            with path.open("rb"):
                return path
        return path.read_bytes()
    except OSError as error:
        raise ImportRejectedError(f"{path} cannot be read: {error.strerror}") from None


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


def _rejection_message(path: Path, parsed: Parsed) -> str:
    rejected, unit = parsed.rejected, parsed.unit
    listed = [
        f"  {unit} {line}: {reason}"
        for line, reason in rejected.select("line", "reason").head(MAX_SHOWN_ERRORS).iter_rows()
    ]
    more = [f"  and {rejected.height - MAX_SHOWN_ERRORS} more"] if rejected.height > MAX_SHOWN_ERRORS else []
    return "\n".join(
        [
            f"{path}: {rejected.height} of {parsed.accepted.height + rejected.height} rows are rejected, "
            "nothing was imported:",
            *listed,
            *more,
            *([f"It was read as: {', '.join(parsed.read_as)}."] if parsed.read_as else []),
            "Fix them, or import the valid ones with --good-rows (the rejected ones then go to quarantine).",
        ]
    )


def _quarantined(path: Path, schema: FileSchema, parsed: Parsed, now: datetime) -> pl.DataFrame:
    file = hashlib.sha256(path.name.encode()).hexdigest()[:8]
    written = {"decimal": parsed.notation.decimal, "dates": parsed.notation.dates, "groups": parsed.notation.groups}
    usual = {"decimal": (None, "point"), "dates": (None,), "groups": (True,)}
    unusual = {name: value for name, value in written.items() if value not in usual[name]}
    asked = json.dumps({"file": path.name, "kind": schema.name} | unusual)[:-1]
    line = pl.col("line").cast(pl.String)
    record = pl.concat_str(
        pl.lit('{"record": '), "record", pl.lit(f', "asked": {asked}, "{parsed.unit}": '), line, pl.lit("}}")
    )
    return parsed.rejected.select(
        pl.lit("file").alias("source"),
        pl.concat_str("about", pl.lit(f" {file}:"), line).alias("record_key"),
        pl.concat_str(pl.lit(f"{path.name} {parsed.unit} "), line, pl.lit(": "), "reason").alias("reason"),
        record.alias("record"),
        pl.lit(now).cast(UTC_TIME).alias("seen_at"),
    ).select(list(QUARANTINE_SCHEMA))


def _resolved(transaction: Transaction, path: Path, pending: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """What an earlier import of the same file left in quarantine and this one no longer holds: it has been fixed."""
    earlier = [
        ("file", row["record_key"], now, "superseded")
        for row in transaction.rows("quarantine_of_file", {"file": path.name})
    ]
    resolved = pl.DataFrame(earlier, schema=RESOLVED_SCHEMA, orient="row").unique()
    return resolved.join(pending, on="record_key", how="anti")


def read_mapping(file: Path | None, pairs: Sequence[str]) -> dict[str, str]:
    """Column names of a file to ours, from a JSON object in a file and from texts `theirs=ours`, which win.

    Raises ImportRejectedError for what is neither.
    """
    mapping: dict[str, str] = {}
    if file is not None:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ImportRejectedError(f"{file} cannot be read: {error.strerror}") from None
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(ours, str) for ours in found.values()):
            raise ImportRejectedError(f'{file} must hold one JSON object of column names, such as {{"Card": "iccid"}}')
        mapping |= found
    for pair in pairs:
        theirs, equals, ours = pair.rpartition("=")
        if not (equals and theirs and ours):
            raise ImportRejectedError(f"--map {pair}: expected THEIRS=OURS, such as --map Card=iccid")
        mapping = {name: target for name, target in mapping.items() if target != ours} | {theirs: ours}
    return mapping


def schema_named(name: str) -> FileSchema:
    """The schema of a name. Raises ImportRejectedError naming those there are."""
    if name not in FILE_SCHEMAS:
        raise ImportRejectedError(f"{name!r} is no kind of file; known: {', '.join(FILE_SCHEMAS)}")
    return FILE_SCHEMAS[name]
