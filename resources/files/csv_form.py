"""How a CSV file is written: its encoding, separator and line ends, found in what it holds or told by the user."""

from __future__ import annotations

import codecs
import csv
import io
import mmap
import re
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, get_args

from resources.files.formats import ImportRejectedError, Source

Encoding = Literal["utf-8", "utf-16", "windows-1252"]

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
SEPARATOR_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}
SHOWN = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "windows-1252": "Windows-1252"}
SAMPLE_BYTES = 65_536
CHUNK_BYTES = 4_000_000
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?,*', re.IGNORECASE)


@dataclass(frozen=True)
class CsvOptions:
    """What the user says of a CSV file; None: found in the file. `separator` is the character."""

    encoding: Encoding | None = None
    separator: str | None = None


FOUND = CsvOptions()


@dataclass(frozen=True)
class CsvForm:
    """A CSV file as UTF-8, and how to read it.

    text        the file, or its text in UTF-8 where it is written otherwise
    separator   the character between two cells
    line_end    the last character of a line
    above       lines before the header: Excel's `sep=;`, and empty ones
    read_as     the same in words, for the user
    """

    text: Source
    separator: str
    line_end: Literal["\n", "\r"]
    above: int
    read_as: tuple[str, ...]
    _kept: IO[bytes] | None = None  # a temporary file lives as long as what reads it

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line that each row ends on, and its cells: slow, for finding what is wrong. Raises csv.Error."""
        opened = io.BytesIO(self.text) if isinstance(self.text, bytes) else self.text.open("rb")
        with io.TextIOWrapper(opened, encoding="utf-8-sig", newline="") as text:
            for _ in range(self.above):
                text.readline()
            reader = csv.reader(text, delimiter=self.separator)
            for row in reader:
                yield self.above + reader.line_num, row


def csv_options(encoding: str | None, separator: str | None) -> CsvOptions:
    """What a user says in words. Raises ImportRejectedError naming what can be said."""
    known = next((name for name in ENCODINGS if name == encoding), None)
    if encoding is not None and known is None:
        raise ImportRejectedError(f"encoding {encoding!r}: expected {', '.join(ENCODINGS)}")
    return CsvOptions(known, None if separator is None else separator_of(separator))


def separator_of(text: str) -> str:
    """The character that a separator is told by: itself or its name. Raises ImportRejectedError."""
    found = SEPARATOR_NAMES.get(text.lower(), text)
    if found not in SEPARATORS:
        raise ImportRejectedError(f"separator {text!r}: expected comma, semicolon, tab or pipe")
    return found


def csv_form(source: Source, told: CsvOptions, *, expected: Collection[str]) -> CsvForm:
    """How a file is written. `expected` are names of columns (in small letters) that tell a separator from a comma in
    a name.

    Raises ImportRejectedError for what is no text.
    """
    encoding = _encoding(source, told.encoding)
    text, kept = (source, None) if encoding == "utf-8" else _as_utf8(source, encoding)
    sample = _begin(text, SAMPLE_BYTES).decode("utf-8", "replace").removeprefix("\ufeff")
    line_end: Literal["\n", "\r"] = "\r" if "\r" in sample and "\n" not in sample else "\n"
    lines = sample.splitlines()
    above = 0
    separator = told.separator
    while above < len(lines) and not lines[above].strip():
        above += 1
    stated = _SEPARATOR_LINE.fullmatch(lines[above].strip(" ")) if above < len(lines) else None
    if stated is not None:
        above += 1
        separator = separator or separator_of(stated[1])
        while above < len(lines) and not lines[above].strip():
            above += 1
    if separator is None:
        separator = _separator(lines[above:], expected)
    read_as = (SHOWN[encoding], SEPARATORS[separator])
    return CsvForm(text, separator, line_end, above, read_as, kept)


def _separator(lines: list[str], expected: Collection[str]) -> str:
    """The separator that gives a header most of the columns expected, then most columns; a comma if none does."""

    def columns(separator: str) -> tuple[int, int]:
        try:
            header = next(csv.reader((line + "\n" for line in lines), delimiter=separator), [])
        except csv.Error:
            return 0, 0
        return sum(name.strip().lower() in expected for name in header), len(header)

    return max(SEPARATORS, key=columns)


def _begin(source: Source, size: int) -> bytes:
    if isinstance(source, bytes):
        return source[:size]
    with source.open("rb") as file:
        return file.read(size)


def _chunks(source: Source) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _encoding(source: Source, told: Encoding | None) -> str:
    """The encoding, as Python names it. Raises ImportRejectedError for what is no text."""
    begin = _begin(source, 4096)
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and told in (None, "utf-16"):
        return "utf-16-le" if begin.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
    if told == "utf-16":  # without a mark: a digit or a separator has its zero second or first
        return "utf-16-be" if begin[::2].count(0) > begin[1::2].count(0) else "utf-16-le"
    if _holds_nul(source):
        raise ImportRejectedError(
            "the file holds NUL bytes: it is no text, or text in UTF-16 without a mark; say --encoding utf-16, or save "
            "it as CSV in UTF-8"
        )
    if told is not None:
        return told
    return "utf-8" if begin.startswith(codecs.BOM_UTF8) or _is_utf8(source) else "windows-1252"


def _is_utf8(source: Source) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(source):
            if not chunk.isascii() or decoder.getstate()[0]:
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _holds_nul(source: Source) -> bool:
    if isinstance(source, bytes):
        return b"\x00" in source
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(b"\x00") >= 0


def _as_utf8(source: Source, encoding: str) -> tuple[Source, IO[bytes] | None]:
    """A file in UTF-8: in memory when it came from there, else in a temporary file."""
    decoder = codecs.getincrementaldecoder(encoding)()
    if isinstance(source, bytes):
        return _decoded(decoder, source, encoding, final=True), None
    kept = tempfile.NamedTemporaryFile(suffix=".csv")  # noqa: SIM115  (its reader closes it)
    for chunk in _chunks(source):
        kept.write(_decoded(decoder, chunk, encoding))
    kept.write(_decoded(decoder, b"", encoding, final=True))
    kept.flush()
    return Path(kept.name), kept


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, encoding: str, *, final: bool = False) -> bytes:
    try:
        text = decoder.decode(data, final)
    except UnicodeDecodeError:
        raise ImportRejectedError(
            f"the file is no text in UTF-8 or {SHOWN[encoding]}; save it as CSV in UTF-8"
        ) from None
    if "\x00" in text:
        raise ImportRejectedError("the file holds NUL characters: it is no text; save it as CSV in UTF-8")
    return text.encode("utf-8", "replace")
