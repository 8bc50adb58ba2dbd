"""Usage that a customer holds elsewhere: from a CSV file into the same tables, with every bad row named by its line."""

import hashlib
import io
import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import polars as pl

from assets.common import OWNERS, RuntimeParam
from assets.landing import LANDING_SCHEMA, QUARANTINE_SCHEMA, SETTLED_SCHEMA
from assets.sources import UTC_TIME
from resources.database import Database, Merged, Transaction

REQUIRED = ("iccid", "day", "mb")
OPTIONAL = ("mb_rx", "sms_mt", "sms_mo")
MAX_BYTES = 512_000_000
SHOWN_ERRORS = 20
EARLIEST_DAY = date(2000, 1, 1)  # an earlier one is a slip of the pen: 1NCE is younger


class ImportRefusedError(Exception):
    """A file cannot be imported; nothing of it was. The message says what, in which line, and what to do."""


@dataclass(frozen=True)
class Parsed:
    """A usage file: good rows (line, iccid, day, bytes, bytes_rx, sms_mt, sms_mo) and bad ones (line, reason, record)."""

    good: pl.DataFrame
    bad: pl.DataFrame


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    merged: Merged
    bad: pl.DataFrame


def parse_usage_file(text: bytes, *, today: date) -> Parsed:
    """Parse a CSV of daily usage with the columns iccid, day (YYYY-MM-DD), mb, and if known mb_rx, sms_mt, sms_mo.

    `mb` is a decimal with at most six places; line numbers count the header as line 1. A row is bad when a value is missing,
    malformed, negative or impossible, when its day has not come, or when the same SIM and day stood in an earlier line.
    Raises ImportRefusedError when the file is no such CSV at all.
    """
    if b"\x00" in text:
        raise ImportRefusedError("the file holds NUL bytes: it is no text, or text in UTF-16; save it as CSV in UTF-8")
    columns = [*REQUIRED, *OPTIONAL]
    header = [name.strip().lower() for name in _csv(text, n_rows=0).columns]
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise ImportRefusedError(
            f"the header lacks {', '.join(missing)}; it has {', '.join(header)}. Needed, separated by commas: "
            f"{', '.join(REQUIRED)}; optional: {', '.join(OPTIONAL)}"
        )
    if len(set(header)) < len(header):
        raise ImportRefusedError(f"the header names a column twice: {', '.join(header)}; keep one of each")
    rows = _csv(text)
    rows.columns = header
    rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in OPTIONAL if name not in header)
    rows = rows.select(pl.col(columns).str.strip_chars().replace("", None)).with_row_index("line", offset=2)
    rows = rows.filter(~pl.all_horizontal(pl.col(columns).is_null()))  # an empty line, as at the end of many files
    parsed = rows.select(
        pl.col("line").cast(pl.Int64),
        pl.struct(columns).struct.json_encode().alias("record"),
        pl.col("iccid"),
        pl.col("day").str.to_date("%Y-%m-%d", strict=False).alias("day"),
        _megabytes("mb").alias("bytes"),
        _megabytes("mb_rx").alias("bytes_rx"),
        *(pl.col(name).str.extract(r"^([0-9]{1,9})$").cast(pl.Int64).alias(name) for name in ("sms_mt", "sms_mo")),
        *(pl.col(name).alias(f"{name}_text") for name in columns if name != "iccid"),
    )
    judged = parsed.with_columns(_reason(today).alias("reason"))
    good = judged.filter(pl.col("reason").is_null())
    return Parsed(
        good.select("line", "iccid", "day", "bytes", "bytes_rx", pl.col("sms_mt", "sms_mo").cast(pl.Int16)),
        judged.filter(pl.col("reason").is_not_null()).select("line", "reason", "record", "iccid", "day_text"),
    )


def _csv(text: bytes, n_rows: int | None = None) -> pl.DataFrame:
    """The file as columns of text. Raises ImportRefusedError."""
    try:
        return pl.read_csv(io.BytesIO(text), infer_schema=False, encoding="utf8", null_values="", n_rows=n_rows)
    except pl.exceptions.NoDataError:
        raise ImportRefusedError("the file is empty; it needs a header line: " + ",".join(REQUIRED)) from None
    except pl.exceptions.ComputeError as error:
        if "more fields" in str(error):
            raise ImportRefusedError(
                "a line has more fields than the header: write decimals with a point, and quote text that holds a comma"
            ) from None
        raise ImportRefusedError(f"the file is not a CSV in UTF-8: {str(error).splitlines()[0]}") from None


def _megabytes(column: str) -> pl.Expr:
    """Decimal text of MB, at most six places, as whole millionths; null where it is something else."""
    whole = pl.col(column).str.extract(r"^([0-9]{1,12})(?:\.[0-9]{0,6})?$").cast(pl.Int64)
    places = pl.col(column).str.extract(r"^[0-9]+\.([0-9]{0,6})$").fill_null("").str.pad_end(6, "0").cast(pl.Int64)
    return whole * 1_000_000 + places


def _reason(today: date) -> pl.Expr:
    """The first rule a row breaks, in words; null for a good row."""

    def malformed(column: str, parsed: str, expected: str) -> pl.Expr:
        got = pl.format("{}: got '{}', expected {}", pl.lit(column), pl.col(f"{column}_text"), pl.lit(expected))
        return pl.when(pl.col(f"{column}_text").is_not_null() & pl.col(parsed).is_null()).then(got)

    def lacking(column: str) -> pl.Expr:
        return pl.when(pl.col(column).is_null()).then(pl.lit(f"{column.removesuffix('_text')}: missing"))

    count = "a whole number, not negative"
    return pl.coalesce(
        lacking("iccid"),
        pl.when(~pl.col("iccid").str.contains(r"^[0-9]{19}$")).then(
            pl.format("iccid: got '{}', expected 19 digits (without the check digit)", pl.col("iccid"))
        ),
        lacking("day_text"),
        malformed("day", "day", "a date as YYYY-MM-DD"),
        pl.when(pl.col("day") > today).then(pl.format("day: got {}, which has not come yet", pl.col("day"))),
        pl.when(pl.col("day") < EARLIEST_DAY).then(
            pl.format("day: got {}, expected a day from {} on", pl.col("day"), pl.lit(EARLIEST_DAY))
        ),
        lacking("mb_text"),
        malformed("mb", "bytes", "MB as a decimal, not negative, at most six places, such as 1.250000"),
        malformed("mb_rx", "bytes_rx", "MB as a decimal, not negative, at most six places, or nothing"),
        pl.when(pl.col("bytes_rx") > pl.col("bytes")).then(pl.lit("mb_rx: more than mb")),
        malformed("sms_mt", "sms_mt", count),
        malformed("sms_mo", "sms_mo", count),
        pl.when(pl.max_horizontal("sms_mt", "sms_mo") > 32767).then(pl.lit("sms: more than 32767 on one day")),
        pl.when(pl.cum_count("line").over("iccid", "day") > 1).then(
            pl.lit("this SIM and day stood in an earlier line; keep one of them")
        ),
    )


def import_usage(database: Database, path: Path, *, now: datetime, only_all: bool, dry_run: bool = False) -> Imported:
    """Import a usage file in one transaction: every row, or with `only_all=False` the good ones, the others to quarantine.

    An ICCID that the SIM list does not have makes a row bad. The same file again changes nothing; a mended one of the same
    name settles what waited in quarantine.
    Raises ImportRefusedError naming the bad lines, or when the file cannot be read.
    """
    text = _read(path)
    parsed = parse_usage_file(text, today=now.date())
    with database.transaction() as transaction:
        known = pl.DataFrame(
            transaction.rows("sim_keys"), schema={"iccid": pl.String, "sim_key": pl.Int32}, orient="row"
        )
        rows = parsed.good.join(known, on="iccid", how="left", maintain_order="left")
        unknown = rows.filter(pl.col("sim_key").is_null()).select(
            "line",
            pl.format("iccid: {} is not in the SIM list; ingest the account first, or correct it", "iccid").alias(
                "reason"
            ),
            pl.struct("iccid", pl.col("day").cast(pl.String), "bytes").struct.json_encode().alias("record"),
            "iccid",
            pl.col("day").cast(pl.String).alias("day_text"),
        )
        bad = pl.concat([parsed.bad, unknown]).sort("line")
        if only_all and bad.height:
            raise ImportRefusedError(_bad_lines(path, bad, rows.height + parsed.bad.height))
        if dry_run:
            return Imported(Merged(), bad)
        good = rows.filter(pl.col("sim_key").is_not_null()).with_columns(pl.lit(now).cast(UTC_TIME).alias("known_at"))
        merged = transaction.merge("merge_usage", good)
        landing = [("file", path.name, text.decode("utf-8", "replace").replace("\x00", "\ufffd"), now)]
        transaction.merge("merge_landings", pl.DataFrame(landing, schema=LANDING_SCHEMA, orient="row"))
        waiting = _quarantined(path, bad, now)
        transaction.merge("settle_quarantine", _settled(transaction, path, waiting, now))
        transaction.merge("merge_quarantine", waiting)
    return Imported(merged, bad)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImportRefusedError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB; split it")
        return path.read_bytes()
    except OSError as error:
        raise ImportRefusedError(f"{path} cannot be read: {error.strerror}") from None


def _bad_lines(path: Path, bad: pl.DataFrame, rows: int) -> str:
    shown = [f"  line {line}: {reason}" for line, reason in bad.select("line", "reason").head(SHOWN_ERRORS).iter_rows()]
    more = [f"  and {bad.height - SHOWN_ERRORS} more"] if bad.height > SHOWN_ERRORS else []
    return "\n".join(
        [
            f"{path}: {bad.height} of {rows} rows are bad, nothing was imported:",
            *shown,
            *more,
            "Mend them, or import the good ones with --good-rows (the bad ones then wait in quarantine).",
        ]
    )


def _quarantined(path: Path, bad: pl.DataFrame, now: datetime) -> pl.DataFrame:
    records = [
        (
            "file",
            f"{iccid or '?'} {day or '?'} {hashlib.sha256(f'{path.name}:{line}'.encode()).hexdigest()[:8]}",
            f"{path.name} line {line}: {reason}",
            json.dumps({"record": json.loads(record), "asked": {"file": path.name, "line": line}}),
            now,
        )
        for line, reason, record, iccid, day in bad.iter_rows()
    ]
    return pl.DataFrame(records, schema=QUARANTINE_SCHEMA, orient="row")


def _settled(transaction: Transaction, path: Path, waiting: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """What an earlier import of the same file left in quarantine and this one no longer holds: it has been mended."""
    earlier = [
        ("file", row["record_key"], now, "superseded")
        for row in transaction.rows("quarantine_open")
        if row["source"] == "file" and row["record"]["asked"]["file"] == path.name
    ]
    settled = pl.DataFrame(earlier, schema=SETTLED_SCHEMA, orient="row").unique()
    return settled.join(waiting, on="record_key", how="anti")


class UsageFile(dg.Config):
    """Which file to import; a name without folders is looked for in the landing folder."""

    path: str


@dg.asset(
    group_name="ingest", kinds={"python", "csv"}, owners=OWNERS, metadata={"dagster/table_name": "core.sim_usage"}
)
def imported_usage(config: UsageFile, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Daily usage from a CSV file of the landing folder: the good rows are stored, the bad ones wait in quarantine.

    Columns: iccid, day (YYYY-MM-DD), mb, and if known mb_rx, sms_mt, sms_mo.
    """
    path = Path(config.path)
    path = path if path.is_absolute() else runtime.settings.landing_folder / path.name
    imported = import_usage(runtime.database, path, now=runtime.clock(), only_all=False)
    return dg.MaterializeResult(
        metadata={
            "file": path.name,
            "dagster/row_count": imported.merged.rows,
            "rows new": imported.merged.new,
            "rows changed": imported.merged.changed,
            "rows quarantined": imported.bad.height,
        }
    )
