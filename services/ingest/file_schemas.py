"""What can be imported from files, one `FileSchema` a table: columns, parsers, rules, and the merge that takes the
rows.

Everything here is declarative and set-based: a cell is text, `parse` makes a value of it or null, and a rule is an
expression that says in words what is wrong, or null.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from services.ingest.notation import Form, Notation, unless

EARLIEST_DAY = date(2000, 1, 1)  # an earlier one is a slip of the pen: 1NCE is younger
TODAY = pl.col("today")
Need = Literal["value", "column", "none"]
ZONED = r":[0-9]{2}(?:\.[0-9]+)? ?[+-][0-9]{2}:?(?:[0-9]{2})?$"
ROUNDED = r"^[0-9]{15}0{4,5}$"  # what a spreadsheet leaves of 19 or 20 digits


@dataclass(frozen=True)
class Column:
    """A column of a file.

    parse     from the text to the value, named `to`; null for what is malformed
    expected  what is expected, in words (or an expression that gives them)
    need      value: each row must have one; column: it must be in the header, its cells may be empty; none: optional
    rules     what is wrong with a value, in words, or null
    form      what the notation of the file applies to: parse sees plain text
    """

    name: str
    to: str
    parse: Callable[[pl.Expr], pl.Expr]
    expected: str | pl.Expr
    need: Need = "none"
    rules: tuple[pl.Expr, ...] = ()
    form: Form = "text"

    @property
    def given(self) -> pl.Expr:
        """The text as it stood in the file, while the row is validated."""
        return given(self.name)

    def reasons(self, notation: Notation) -> list[pl.Expr]:
        expected = self.expected if isinstance(self.expected, pl.Expr) else pl.lit(self.expected)
        malformed = pl.format("{}: got '{}', expected {}", pl.lit(self.name), shown(self.name), expected)
        lacking = [pl.when(self.given.is_null()).then(pl.lit(f"{self.name}: missing"))] if self.need == "value" else []
        unread = pl.when(self.given.is_not_null() & pl.col(self.to).is_null()).then(malformed)
        in_doubt = pl.when(pl.col(self.to).is_null()).then(self.given)
        return [*lacking, *notation.doubts(self.form, self.name, in_doubt, shown(self.name)), unread, *self.rules]


@dataclass(frozen=True)
class FileSchema:
    """The columns and rules of a file that can be imported.

    key    columns (as parsed) of which the same values may stand in one row only; `duplicate` says so in words
    about  columns (as given) that name a row in quarantine
    merge  query that takes the parsed columns and known_at
    sims   whether each row is about a SIM that must be known: its iccid becomes sim_key
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    duplicate: str
    about: tuple[str, ...]
    merge: str
    table: str
    sims: bool = False
    rules: tuple[pl.Expr, ...] = ()
    derived: tuple[pl.Expr, ...] = ()

    @property
    def needed(self) -> list[str]:
        return [column.name for column in self.columns if column.need != "none"]

    @property
    def optional(self) -> list[str]:
        return [column.name for column in self.columns if column.need == "none"]

    def validate(self, rows: pl.DataFrame, *, today: date, notation: Notation) -> pl.DataFrame:
        """Rows of text (line and all columns by name) with their values, the text as given, `reason` (null: accepted)
        and `rounded` (whether a volume has places that are not stored)."""
        named = rows.rename({column.name: f"given_{column.name}" for column in self.columns})
        parsed = named.with_columns(
            pl.lit(today).alias("today"),
            *(column.parse(notation.plain(column.form, column.given)).alias(column.to) for column in self.columns),
            *self.derived,
        )
        # the usual form has no more than six places
        volumes = [
            unless(r"^[0-9]*(?:\.[0-9]{0,6})?$", column.given, functools.partial(notation.plain, column.form))
            for column in self.columns
            if column.form == "volume"
        ]
        rounded = pl.any_horizontal(pl.lit(False), *(text.str.contains(r"\.[0-9]{6}0*[1-9]") for text in volumes))
        reasons = [reason for column in self.columns for reason in column.reasons(notation)]
        return parsed.with_columns(
            pl.coalesce(*reasons, *self.rules).alias("reason"), rounded.fill_null(False).alias("rounded")
        )

    def values(self) -> list[str]:
        """The names of the parsed columns, as the merge takes them."""
        derived = [expr.meta.output_name() for expr in self.derived]
        return [
            *(column.to if column.to != "iccid" or not self.sims else "sim_key" for column in self.columns),
            *derived,
        ]


def given(name: str) -> pl.Expr:
    """A column's text as it stood in the file."""
    return pl.col(f"given_{name}")


def shown(name: str) -> pl.Expr:
    """The same, cut to what a person wants to read of it (and an index can hold)."""
    return given(name).str.head(80)


def schema_of(path: Path) -> FileSchema:
    """The schema of a file by how its name begins, such as labels-2026.csv; usage where it says nothing."""
    name = path.name.lower()
    return next((schema for schema in FILE_SCHEMAS.values() if name.startswith(schema.name)), FILE_SCHEMAS["usage"])


def _iccid_digits(text: pl.Expr) -> pl.Expr:
    """The 19 or 20 digits of an ICCID in any spelling (see `_spelled`). Null for one that a spreadsheet has rounded."""
    digits = unless(r"^[0-9]{19,20}$", text, _spelled)
    # one ICCID of 10,000 ends in 0000 by itself; most of them do where a spreadsheet has rounded them
    zeros = digits.str.contains(ROUNDED)
    return pl.when(~(zeros & (zeros.mean() > 0.5))).then(digits)


def _spelled(text: pl.Expr) -> pl.Expr:
    """The digits of an ICCID with F padding, ="...", an apostrophe, blanks of any kind, hyphens, a plus or the .0 of a
    spreadsheet."""
    bare = text.str.replace_all(r"[\s\x{ad}\x{200b}-\x{200f}\x{2060}\x{feff}]", "")
    joined = bare.str.replace_all(r"([0-9])[\x{2010}-\x{2015}-]", "$1")
    spelled = joined.str.extract(r'^(?:="?|["\x{27}\x{2019}`]|\+)*([0-9]{19,20})[Ff]?(?:\.0*)?["\x{27}]?$')
    wide = spelled.cast(pl.Int128, strict=False)
    # a binary number keeps some 16 digits: one that it holds exactly was a number before it became text
    through_binary = joined.str.contains(".", literal=True) & (wide.cast(pl.Float64).cast(pl.Int128) == wide)
    return pl.when(~through_binary.fill_null(False)).then(spelled)


def _iccid(text: pl.Expr) -> pl.Expr:
    return _iccid_digits(text).map_batches(_without_check_digit, return_dtype=pl.String)


def _without_check_digit(digits: pl.Series) -> pl.Series:
    """19 digits of 19, or of 20 whose last is their check digit; null of others."""
    long = (digits.str.len_bytes() == 20).arg_true()
    return digits if long.is_empty() else digits.clone().scatter(long, _without_luhn(digits.gather(long)))


def _without_luhn(long: pl.Series) -> pl.Series:
    """The first 19 of 20 digits where the 20th is their Luhn check digit, else null."""
    known = long.drop_nulls()
    digits = np.frombuffer("".join(known).encode(), dtype=np.uint8).reshape(-1, 20) - ord("0")
    doubled = digits[:, -2::-2] * 2
    total = digits[:, -1::-2].sum(axis=1) + np.where(doubled > 9, doubled - 9, doubled).sum(axis=1)
    right = known.filter(pl.Series(total % 10 == 0)).unique()
    return pl.select(pl.when(long.is_in(right.implode())).then(long.str.slice(0, 19))).to_series()


def _megabytes(text: pl.Expr) -> pl.Expr:
    """Decimal text of MB as whole millionths, exact; places past the sixth are rounded. Null for anything else."""
    return unless(
        r"^[0-9]{1,12}(?:\.[0-9]{1,6})?$",
        text,
        _of_any_places,
        fast=lambda cells: cells.cast(pl.Decimal(18, 6)).to_physical(),
        of=pl.Int64(),
    )


def _of_any_places(text: pl.Expr) -> pl.Expr:
    whole = text.str.extract(r"^([0-9]{1,12})(?:\.[0-9]*)?$").cast(pl.Int64)
    places = text.str.extract(r"^[0-9]+\.([0-9]{0,6})").fill_null("").str.pad_end(6, "0").cast(pl.Int64)
    return whole * 1_000_000 + places + text.str.contains(r"\.[0-9]{6}[5-9]").cast(pl.Int64)


def _count(text: pl.Expr) -> pl.Expr:
    return unless(
        r"^[0-9]{1,9}$",
        text,
        lambda cells: cells.str.extract(r"^([0-9]{1,9})(?:[.,]0{1,2})?$"),  # 3.0 of a table with empty cells
        of=pl.Int64(),
    )


def _day(text: pl.Expr) -> pl.Expr:
    return unless(
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        text,
        _day_of_midnight,
        fast=lambda cells: cells.str.to_date("%Y-%m-%d", strict=False),
        of=pl.Date(),
    )


def _day_of_midnight(text: pl.Expr) -> pl.Expr:
    # spreadsheets know no days, only midnights
    day = text.str.extract(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00(?::00(?:\.0+)?)?Z?)?$")
    other = pl.when(day.is_null()).then(text)
    moment = _time(pl.when(other.str.contains(ZONED)).then(other))
    utc_midnight = pl.when(moment.dt.time() == pl.time(0, 0)).then(moment.dt.date())
    return pl.coalesce(day.str.to_date("%Y-%m-%d", strict=False), utc_midnight)


def _time(text: pl.Expr) -> pl.Expr:
    """ISO 8601: a day, or a day and a time, in UTC unless it gives an offset."""
    parts = text.str.extract_groups(
        r"^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(\.[0-9]{1,9})?"
        r"\s*(?:([Zz])|([+-][0-9]{2}):?([0-9]{2})?)?)?$"
    ).struct
    return pl.concat_str(
        parts.field("1"),
        pl.lit("T"),
        parts.field("2").fill_null("00:00"),
        parts.field("3").fill_null(":00"),
        parts.field("4").fill_null(".0"),
        parts.field("6").fill_null("+00"),
        pl.lit(":"),
        parts.field("7").fill_null("00"),
    ).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False)


def _plain(text: pl.Expr) -> pl.Expr:
    """Free text, without the apostrophe that an export puts before what a spreadsheet would take for a formula."""
    return text.str.replace(r"^'('*[=+\-@\t\r])", "$1")


def _digits(min_length: int, max_length: int) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: text.str.extract(rf"^([0-9]{{{min_length},{max_length}}})$")


def _one_of(*words: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: text.str.to_lowercase().replace_strict({word.lower(): word for word in words}, default=None)


def _free(name: str, to: str, *, longest: int, need: Need = "none") -> Column:
    """A column of free text."""
    too_long = pl.when(pl.col(to).str.len_chars() > longest).then(pl.lit(f"{name}: longer than {longest} characters"))
    return Column(name, to, _plain, "text", need, (too_long,))


def _not_yet(name: str, value: pl.Expr) -> pl.Expr:
    day = value.dt.date() if name != "day" else value
    return pl.when(day > TODAY).then(pl.format(f"{name}: got {{}}, which has not come yet", given(name)))


def _too_early(name: str, value: pl.Expr) -> pl.Expr:
    day = value.dt.date() if name != "day" else value
    return pl.when(day < EARLIEST_DAY).then(
        pl.format(f"{name}: got {{}}, expected a day from {EARLIEST_DAY} on", given(name))
    )


def _moment(name: str, need: Need = "none") -> Column:
    value = pl.col(name)
    rules = (_not_yet(name, value), _too_early(name, value))
    return Column(name, name, _time, "a time as YYYY-MM-DDTHH:MM:SSZ, or a date as YYYY-MM-DD", need, rules, "date")


# what is odd about a cell is looked for only where it could not be read: there are few
UNREAD = pl.when(pl.col("iccid").is_null()).then(given("iccid"))
ICCID = Column(
    "iccid",
    "iccid",
    _iccid,
    pl.when(
        UNREAD.str.contains(r"^[\s=\"'+]*[0-9]+[.,]?[0-9]*[eE]\+?[0-9]+[\s\"]*$|^[\s=\"'+]*[0-9]{15}0{4,5}\b")
        | UNREAD.str.contains(r"^[0-9]{19,20}\.0*$")
    )
    .then(
        pl.lit(
            "19 digits as text: a spreadsheet has rounded this number; format the column as text and fill in the "
            "ICCIDs again"
        )
    )
    .otherwise(pl.lit("19 digits (without the check digit), or 20 with the right check digit")),
    "value",
)
MEGABYTES = "MB as a decimal, not negative"
COUNT = "a whole number, not negative"
OCTET = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
DAY = Column(
    "day",
    "day",
    _day,
    pl.when(pl.when(pl.col("day").is_null()).then(given("day")).str.contains(ZONED))
    .then(pl.lit("a date as YYYY-MM-DD, or a time that is midnight in UTC"))
    .otherwise(pl.lit("a date as YYYY-MM-DD")),
    "value",
    (_not_yet("day", pl.col("day")), _too_early("day", pl.col("day"))),
    "date",
)

USAGE = FileSchema(
    "usage",
    (
        ICCID,
        DAY,
        Column("mb", "bytes", _megabytes, f"{MEGABYTES}, such as 1.250000", "value", form="volume"),
        Column(
            "mb_rx",
            "bytes_rx",
            _megabytes,
            f"{MEGABYTES}, or nothing",
            rules=(pl.when(pl.col("bytes_rx") > pl.col("bytes")).then(pl.lit("mb_rx: more than mb")),),
            form="volume",
        ),
        Column("sms_mt", "sms_mt", _count, COUNT),
        Column("sms_mo", "sms_mo", _count, COUNT),
    ),
    ("sim_key", "day"),
    "this SIM and day",
    ("iccid", "day"),
    "merge_usage",
    "core.sim_usage",
    sims=True,
    derived=(
        pl.lit("file").alias("source"),
        pl.lit("A").alias("grade"),
        pl.lit(None, pl.Date).alias("spread_from"),
        pl.lit(None, pl.Date).alias("spread_to"),
        pl.lit(None, pl.Int16).alias("sms_unsplit"),
    ),
    rules=(pl.when(pl.max_horizontal("sms_mt", "sms_mo") > 32767).then(pl.lit("sms: more than 32767 on one day")),),
)
SIMS = FileSchema(
    "sims",
    (
        ICCID,
        Column("imei", "imei", _digits(14, 16), "14 to 16 digits as text"),
        Column("msisdn", "msisdn", lambda text: text.str.extract(r"^\+?([0-9]{5,15})$"), "5 to 15 digits as text"),
        Column("imsi", "imsi", _digits(14, 15), "14 or 15 digits as text"),
        Column(
            "ip_address",
            "ip_address",
            lambda text: text.str.extract(rf"^((?:{OCTET}\.){{3}}{OCTET}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]{{1,38}})$"),
            "an IP address such as 10.20.0.1",
        ),
        _free("label", "label", longest=500),
        Column("status", "status", _one_of("Enabled", "Disabled"), "Enabled or Disabled"),
        _moment("activated_at"),
    ),
    ("iccid",),
    "this SIM",
    ("iccid",),
    "merge_imported_sims",
    "core.sims",
    derived=(_iccid_digits(given("iccid")).str.extract(r"^([0-9]{20})$").alias("iccid_with_luhn"),),
)
LABELS = FileSchema(
    "labels",
    (ICCID, _free("label", "own_label", longest=500, need="column")),
    ("sim_key",),
    "this SIM",
    ("iccid",),
    "merge_labels",
    "core.sims",
    sims=True,
)
TICKETS = FileSchema(
    "tickets",
    (
        _free("case_id", "case_id", longest=200, need="value"),
        _free("subject", "subject", longest=1000, need="value"),
        _free("body", "body", longest=100_000, need="column"),
        Column(
            "status",
            "status",
            _one_of("OPEN", "IN_PROGRESS", "CLOSED"),
            "OPEN, IN_PROGRESS or CLOSED",
            "value",
        ),
        _moment("created_at", "value"),
        _moment("solved_at"),
    ),
    ("case_id",),
    "this case",
    ("case_id",),
    "merge_imported_tickets",
    "core.tickets",
    rules=(
        pl.when(pl.col("solved_at") < pl.col("created_at")).then(
            pl.format("solved_at: got {}, which is before created_at", given("solved_at"))
        ),
    ),
)
FILE_SCHEMAS = {schema.name: schema for schema in (USAGE, SIMS, LABELS, TICKETS)}
