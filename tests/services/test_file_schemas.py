"""Files of SIMs, labels and tickets, in CSV, workbooks and Parquet, under other column names; each rejected row by its
number."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from api.database import Store
from assets.imports import ImportedFile, imported_files
from resources.database.session import Database
from resources.files.formats import ImportRejectedError
from resources.runtime import Runtime
from services.access.api_keys import create_key
from services.ingest import file_import
from services.ingest.file_import import import_file, match_columns, read_mapping
from services.ingest.file_schemas import FILE_SCHEMAS, ICCID, LABELS, SIMS, TICKETS, USAGE, FileSchema, schema_of
from services.ingest.replay import replay
from tests.conftest import administer, copy_database
from tests.fleet import Account, Truth, ingest, settings_for
from tests.resources.test_readers import workbook

NOW = datetime(2025, 9, 24, 6, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
A, B, NEW = "8988228066000000001", "8988228066000000002", "8988228066000000003"
NEW_WITH_LUHN = "89882280660000000031"
TABLES = ["core.sims", "core.sim_usage", "core.tickets", "raw.landings", "ops.quarantine"]

Cells = list[list[Any]]
Write = Callable[[Path, Cells], Path]


def as_csv(folder: Path, cells: Cells) -> Path:
    path = folder / "file.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(cells)
    return path


def as_xlsx(folder: Path, cells: Cells) -> Path:
    path = folder / "file.xlsx"
    path.write_bytes(workbook({"Sheet": cells}))
    return path


def as_parquet(folder: Path, cells: Cells) -> Path:
    path = folder / "file.parquet"
    columns = {name: [row[place] for row in cells[1:]] for place, name in enumerate(cells[0])}
    pl.DataFrame(columns, strict=False).write_parquet(path)
    return path


def luhn(digits: str) -> str:
    """The check digit, the slow and obvious way."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


FORMATS = pytest.mark.parametrize("write", [as_csv, as_xlsx, as_parquet])


def with_sims(url: URL) -> Truth:
    """An administrator's view of a database, in which are now the SIMs A, which has a label, and B."""
    opened = Truth(url)
    opened.rows(
        """
        INSERT INTO core.sims (organization_id, iccid, label, imei, status, first_seen_at, changed_at)
        SELECT ops.organization('default'), iccid, label, '353500720000001', 'Enabled', now(), now()
        FROM unnest(%s::text[], ARRAY['pump', NULL]) AS t (iccid, label)
        """,
        ([A, B],),
    )
    return opened


@pytest.fixture
def truth(database_url: URL) -> Iterator[Truth]:
    opened = with_sims(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared(postgres: URL, template: str) -> Iterator[tuple[Database, Truth]]:
    """One database for all files that are refused: these write nothing, which `refused` asserts."""
    name = f"{template}_refused"
    copy_database(postgres, template, name)
    opened, seen = Database(postgres.set(database=name), "default"), with_sims(postgres.set(database=name))
    yield opened, seen
    seen.close()
    opened.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def refused(shared: tuple[Database, Truth], path: Path, kind: FileSchema) -> str:
    """What is said of a file that is refused as a whole; nothing of it is stored."""
    database, seen = shared
    before = seen.versions(TABLES)
    with pytest.raises(ImportRejectedError) as error:
        load(database, path, kind)
    assert seen.versions(TABLES) == before
    assert {table: len(rows) for table, rows in before.items() if rows} == {"core.sims": 2}
    return str(error.value)


def load(database: Database, path: Path, kind: FileSchema, **how: Any) -> file_import.Imported:
    return import_file(database, path, kind, **({"now": NOW, "only_all": True} | how))


@FORMATS
def test_usage_is_the_same_from_every_format(database: Database, truth: Truth, tmp_path: Path, write: Write) -> None:
    cells: Cells = [["iccid", "day", "mb", "sms_mt"], [A, date(2025, 9, 1), 1.25, 3], [B, date(2025, 9, 2), 0.1, None]]

    done = load(database, write(tmp_path, cells), USAGE)

    assert done.merged.new == 2
    rows = truth.rows("SELECT day, bytes, bytes_rx, sms_mt FROM core.sim_usage ORDER BY sim_key")
    assert [tuple(row.values()) for row in rows] == [
        (date(2025, 9, 1), 1_250_000, None, 3),
        (date(2025, 9, 2), 100_000, None, None),
    ]


@FORMATS
def test_bad_rows_have_the_number_a_person_sees_in_every_format(
    database: Database, truth: Truth, tmp_path: Path, write: Write
) -> None:
    cells: Cells = [
        ["iccid", "day", "mb"],
        [A, "2025-09-01", "1"],
        [A, "2025-09-31", "1"],
        [B, "2025-09-01", "-1"],
        [NEW, "2025-09-01", "1"],
        [A, "2025-09-01", "2"],
    ]
    first, unit = {as_csv: (3, "line"), as_xlsx: (3, "row"), as_parquet: (2, "row")}[write]
    path = write(tmp_path, cells)

    with pytest.raises(ImportRejectedError) as refused:
        load(database, path, USAGE)
    done = load(database, path, USAGE, only_all=False)

    assert [line.strip() for line in str(refused.value).splitlines()[1:5]] == [
        f"{unit} {first}: day: got '2025-09-31', expected a date as YYYY-MM-DD",
        f"{unit} {first + 1}: mb: got '-1', expected MB as a decimal, not negative, such as 1.250000",
        f"{unit} {first + 2}: iccid: {NEW} is not in the SIM list; ingest the account first, import it as sims, or "
        "correct it",
        f"{unit} {first + 3}: this SIM and day stood in an earlier {unit}; keep one of them",
    ]
    assert list(done.rejected["line"]) == [first, first + 1, first + 2, first + 3]
    assert done.merged.new == 1
    (waiting,) = truth.rows("SELECT reason, record FROM ops.quarantine WHERE reason LIKE '%%earlier%%'")
    assert waiting["reason"].startswith(f"{path.name} {unit} {first + 3}: this SIM")
    assert waiting["record"]["record"]["mb"] == "2"
    assert waiting["record"]["asked"] == {"file": path.name, "kind": "usage", unit: first + 3}


def test_an_earlier_bad_row_does_not_make_a_good_one_a_repetition(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    cells: Cells = [["iccid", "day", "mb"], [A, "2025-09-01", "much"], [A, "2025-09-01", "2"], [A, "2025-09-01", "3"]]

    done = load(database, as_csv(tmp_path, cells), USAGE, only_all=False)

    assert list(done.rejected["line"]) == [2, 4]
    assert truth.column("SELECT bytes FROM core.sim_usage") == [2_000_000]


@pytest.mark.parametrize("write", [as_xlsx, as_parquet])
def test_an_iccid_that_became_a_number_is_refused_with_what_to_do(
    database: Database, truth: Truth, tmp_path: Path, write: Write
) -> None:
    cells: Cells = [["iccid", "label"], [float(A), "x"], [float(B), "y"]]

    with pytest.raises(ImportRejectedError, match="a spreadsheet has rounded this number; format the column as text"):
        load(database, write(tmp_path, cells), LABELS)


def test_an_iccid_that_a_spreadsheet_wrote_into_a_csv_with_an_exponent_is_refused(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    with pytest.raises(ImportRejectedError, match=r"line 2: iccid: got '8.98823E\+18', expected 19 digits as text"):
        load(database, as_csv(tmp_path, [["iccid", "label"], ["8.98823E+18", "x"]]), LABELS)


@FORMATS
def test_sims_are_added_and_of_known_ones_only_what_is_given_changes(
    database: Database, truth: Truth, tmp_path: Path, write: Write
) -> None:
    cells: Cells = [
        ["iccid", "label", "msisdn", "status", "activated_at", "ip_address"],
        [NEW_WITH_LUHN, "gate", "882285000000003", "enabled", "2025-09-01 10:00:00+02", "10.20.0.3"],
        [A, None, "882285000000001", None, None, None],
        [B, None, None, None, None, None],
    ]
    path = write(tmp_path, cells)

    done = load(database, path, SIMS)

    assert (done.merged.new, done.merged.changed, done.merged.unchanged) == (1, 1, 1)
    columns = (
        "iccid, iccid_with_luhn, label, msisdn, status, activated_at, ip_address, imei, changed_at = "
        "first_seen_at AS same"
    )
    known, other, new = truth.rows(f"SELECT {columns} FROM core.sims ORDER BY iccid")  # type: ignore[arg-type]
    assert (known["label"], known["msisdn"], known["imei"], known["status"], known["same"]) == (
        "pump",
        "882285000000001",
        "353500720000001",
        "Enabled",
        False,
    )
    assert other["same"]
    activated = datetime(2025, 9, 1, 8, tzinfo=UTC)
    assert tuple(new.values()) == (
        NEW, NEW_WITH_LUHN, "gate", "882285000000003", "Enabled", activated, "10.20.0.3", None, True
    )  # fmt: skip
    before = truth.versions(TABLES)
    again = load(database, path, SIMS, now=LATER)
    assert truth.versions(TABLES) == before
    assert again.merged.unchanged == 3


@given(digits=st.lists(st.from_regex(r"\A[0-9]{19}\Z"), min_size=1, max_size=20))
def test_of_twenty_digits_exactly_those_with_the_right_last_one_are_an_iccid(digits: list[str]) -> None:
    cells = pl.DataFrame({"given_iccid": [d + last for d in digits for last in "0123456789"]})

    found = cells.select(ICCID.parse(ICCID.given)).to_series()

    assert list(found) == [d if last == luhn(d) else None for d in digits for last in "0123456789"]


@pytest.mark.parametrize(
    "cell",
    [
        f"{A}F", f"{A}f", "8988 2280 6600 0000 001", "8988-2280-6600-0000-001", f"'{A}", f'="{A}"', f"\u200b{A}",
        f"{A}\u00a0", f"\t{A}", f"+{A}", f"{A}.0", f"\ufeff{A}", "8988\u202f2280\u20116600000 0001",
        A + luhn(A), f"'{A}{luhn(A)}F",
    ],
)  # fmt: skip
def test_an_iccid_is_taken_in_any_spelling(cell: str) -> None:
    assert iccids(cell) == [A]


@pytest.mark.parametrize(
    "cell",
    [
        "8.98823E+18", "8,98823e+18", "8988228066030000000", "89882280660300000000", "'8988228066030000000",
        f"{int(float('8988228066033969972'))}.0", f"{int(float('89882280660339699727'))}.0", f"-{A}", f"{A}.5", f"{A}G",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [USAGE, SIMS, LABELS], ids=lambda kind: kind.name)
def test_what_is_no_iccid_or_a_rounded_one_is_refused_by_every_kind(
    shared: tuple[Database, Truth], tmp_path: Path, cell: str, kind: FileSchema
) -> None:
    row = {"iccid": cell, "label": "x", "day": "2025-09-01", "mb": "1"}

    said = refused(shared, as_csv(tmp_path, [list(row), list(row.values())]), kind)

    assert re.search(r"line 2: iccid: got .* expected 19 digits", said), said


def test_iccids_that_end_in_zeros_are_taken_unless_most_of_the_file_do() -> None:
    zeros, more_zeros = "8988228066030010000", "8988228066030020000"

    assert iccids(zeros, A, zeros + luhn(zeros)) == [zeros, A, zeros]
    assert iccids(zeros, more_zeros, A) == [None, None, A]


def iccids(*cells: str) -> list[str | None]:
    """What is read of cells, stripped as a file reader does."""
    given_cells = pl.DataFrame({"given_iccid": cells}).with_columns(pl.all().str.strip_chars())
    return list(given_cells.select(ICCID.parse(ICCID.given)).to_series())


def test_sims_that_do_not_begin_as_iccids_do_are_said(database: Database, truth: Truth, tmp_path: Path) -> None:
    cells: Cells = [["iccid"], [NEW], ["1234567890123456789"], ["1234567890123456788"]]

    done = load(database, as_csv(tmp_path, cells), SIMS)

    assert done.merged.new == 3
    assert done.notes == ["line 3: an ICCID that does not begin with 89: is it one? (in 2 rows)"]


def test_rows_that_wait_for_their_sim_are_stored_when_the_account_lists_it(account: Account, tmp_path: Path) -> None:
    runtime, truth = account.runtime, account.truth
    iccid, other = account.fleet.iccids[:2]
    labels = tmp_path / "labels.csv"
    labels.write_text(f"iccid,label\n{iccid}F,gate-17\n{other},pump\n8988228066999999999,none\n")
    usage = tmp_path / "usage.csv"
    usage.write_text(f"iccid;day;mb\n{iccid};3.9.2025;1,25\n{iccid};4.9.2025;much\n")
    load(runtime.database, labels, LABELS, only_all=False)
    load(runtime.database, usage, USAGE, only_all=False)

    ingest(runtime, "sims")

    assert truth.one("SELECT own_label FROM core.sims WHERE iccid = %s", (iccid,)) == "gate-17"
    assert truth.rows("SELECT day, bytes, known_at FROM core.sim_usage") == [
        {"day": date(2025, 9, 3), "bytes": 1_250_000, "known_at": NOW}
    ]
    waiting = "SELECT record->'record'->>'iccid' FROM ops.quarantine WHERE source = 'file' AND resolved_at IS NULL"
    assert sorted(truth.column(waiting)) == sorted(["8988228066999999999", iccid])
    assert truth.column("SELECT DISTINCT resolution FROM ops.quarantine WHERE resolved_at IS NOT NULL") == ["replayed"]
    before = truth.versions(TABLES)
    assert replay(runtime.database, now=LATER).passed == 0
    assert truth.versions(TABLES) == before


def test_a_replay_and_an_import_of_sims_store_the_rows_that_waited_and_keep_later_labels(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    later = "8988228066000000004"
    load(database, as_csv(tmp_path, [["iccid", "label"], [NEW, "old"], [later, "gate"]]), LABELS, only_all=False)

    done = load(database, as_csv(tmp_path, [["iccid"], [later]]).rename(tmp_path / "sims.csv"), SIMS, now=LATER)
    truth.rows(
        """
        INSERT INTO core.sims (organization_id, iccid, own_label, first_seen_at, changed_at)
        SELECT organization_id, %s, 'new', now(), now() FROM core.sims WHERE iccid = %s
        """,
        (NEW, A),
    )
    replayed = replay(database, now=LATER)

    assert (done.waited, replayed.tried, replayed.passed) == (1, 1, 0)
    own = "SELECT own_label FROM core.sims WHERE iccid IN (%s, %s) ORDER BY iccid"
    assert truth.column(own, (NEW, later)) == ["new", "gate"]
    assert sorted(truth.column("SELECT resolution FROM ops.quarantine")) == ["replayed", "superseded"]


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("iccid", "89882280660000000039", "expected 19 digits (without the check digit), or 20 with the right check"),
        ("iccid", "898822806600000000", "expected 19 digits"),
        ("imei", "35350072000000A", "imei: got '35350072000000A', expected 14 to 16 digits as text"),
        ("msisdn", "12", "msisdn: got '12', expected 5 to 15 digits"),
        ("imsi", "1", "imsi: got '1', expected 14 or 15 digits"),
        ("ip_address", "10.20.0.300", "ip_address: got '10.20.0.300', expected an IP address"),
        ("ip_address", "10.20.0.3.", "expected an IP address"),
        ("status", "Lost", "status: got 'Lost', expected Enabled or Disabled"),
        ("activated_at", "1.9.25", "activated_at: got '1.9.25', expected a time as"),
        ("activated_at", "01/09/2025", "activated_at: got '01/09/2025', and nothing in the file says whether it is "),
        ("activated_at", "2025-09-01T25:00:00Z", "expected a time as"),
        ("activated_at", "2025-09-25", "activated_at: got 2025-09-25, which has not come yet"),
        ("activated_at", "1925-09-25", "expected a day from 2000-01-01 on"),
        ("label", "x" * 501, "label: longer than 500 characters"),
    ],
)
def test_what_is_wrong_with_a_sim_is_said_in_words(
    shared: tuple[Database, Truth], tmp_path: Path, column: str, cell: str, reason: str
) -> None:
    row = {"iccid": NEW} | {column: cell}

    lines = refused(shared, as_csv(tmp_path, [list(row), list(row.values())]), SIMS).splitlines()

    (said,) = [line for line in lines if line.startswith(f"  line 2: {column}: ")]
    assert reason in said


def test_an_own_label_wins_survives_the_next_ingest_and_can_be_taken_away(account: Account, tmp_path: Path) -> None:
    runtime, truth = account.runtime, account.truth
    ingest(runtime, "sims")
    iccid, other = account.fleet.iccids[:2]
    shown = "SELECT label FROM core.sims_v1 WHERE iccid = %s"
    theirs = truth.one(shown, (iccid,))
    cells: Cells = [["iccid", "label"], [iccid, "Bridge 7, north"], [other, "="]]
    path = as_csv(tmp_path, cells)

    done = load(runtime.database, path, LABELS)
    ingest(runtime, "sims")

    assert (done.merged.new, done.merged.changed, done.merged.unchanged) == (2, 0, 0)
    assert [truth.one(shown, (sim,)) for sim in (iccid, other)] == ["Bridge 7, north", "="]
    assert truth.one("SELECT label FROM core.sims WHERE iccid = %s", (iccid,)) == theirs
    key = create_key(runtime.database, "tests", now=datetime.now(UTC), valid_for=None)
    store = Store(runtime.server.api)
    with store.session(key) as session:
        found = session.rows(
            "api_sims", {"after": "", "label": "Bridge 7, north", "status": None, "state": None, "rows": 2}
        )
    store.close()
    assert [row["iccid"] for row in found] == [iccid]

    before = truth.versions(TABLES)
    load(runtime.database, path, LABELS, now=LATER)
    assert truth.versions(TABLES) == before
    taken = load(runtime.database, as_csv(tmp_path, [["iccid", "label"], [iccid, None]]), LABELS, now=LATER)
    assert taken.merged.changed == 1
    assert truth.one(shown, (iccid,)) == theirs


@FORMATS
def test_tickets_are_merged_by_their_case_and_keep_their_messages(
    database: Database, truth: Truth, tmp_path: Path, write: Write
) -> None:
    truth.rows(
        """
        INSERT INTO core.tickets (organization_id, case_id, subject, status, communications, solved_at, changed_at)
        VALUES (ops.organization('default'), 'C-2', 'old', 'CLOSED', '[{"text": "hello"}]', '2025-09-03T00:00Z', now())
        """
    )
    cells: Cells = [
        ["case_id", "subject", "body", "status", "created_at", "solved_at"],
        ["C-1", "No network", "It is\noffline, since Monday", "open", datetime(2025, 9, 1, 10), None],
        ["C-2", "Invoice", None, "CLOSED", datetime(2025, 9, 2, 10), None],
    ]
    path = write(tmp_path, cells)

    done = load(database, path, TICKETS)

    assert (done.merged.new, done.merged.changed) == (1, 1)
    columns = "case_id, subject, body, status, created_at, solved_at, communications"
    rows = truth.rows(f"SELECT {columns} FROM core.tickets ORDER BY case_id")  # type: ignore[arg-type]
    assert [tuple(row.values()) for row in rows] == [
        ("C-1", "No network", "It is\noffline, since Monday", "OPEN", datetime(2025, 9, 1, 10, tzinfo=UTC), None, []),
        (
            "C-2",
            "Invoice",
            None,
            "CLOSED",
            datetime(2025, 9, 2, 10, tzinfo=UTC),
            datetime(2025, 9, 3, tzinfo=UTC),
            [{"text": "hello"}],
        ),
    ]
    before = truth.versions(TABLES)
    load(database, path, TICKETS, now=LATER)
    assert truth.versions(TABLES) == before


def test_a_ticket_solved_before_it_was_opened_and_one_without_a_case_are_bad(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    cells: Cells = [
        ["case_id", "subject", "body", "status", "created_at", "solved_at"],
        ["C-1", "s", "b", "CLOSED", "2025-09-02T10:00:00Z", "2025-09-01"],
        [None, "s", "b", "NEW", "2025-09-02", None],
        ["C-3", "s", "b", "NEW", "2025-09-02", None],
    ]

    done = load(database, as_csv(tmp_path, cells), TICKETS, only_all=False)

    assert list(done.rejected["reason"]) == [
        "solved_at: got 2025-09-01, which is before created_at",
        "case_id: missing",
        "status: got 'NEW', expected OPEN, IN_PROGRESS or CLOSED",
    ]
    assert truth.column("SELECT count(*) FROM core.tickets") == [0]


def test_columns_of_other_names_are_mapped_and_unknown_ones_named(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    cells: Cells = [["Card No. ", "VOLUME", "mb", "day", "Site", "Site"], [A, "1.5", "9", "2025-09-01", "x", "y"]]

    done = load(database, as_xlsx(tmp_path, cells), USAGE, mapping={"card no.": "ICCID", "Volume": "mb"})

    assert done.ignored == ["mb", "Site", "Site"]
    assert truth.column("SELECT bytes FROM core.sim_usage") == [1_500_000]


@pytest.mark.parametrize(
    ("header", "mapping", "message"),
    [
        (
            ["card", "day", "mb"],
            {},
            "the header lacks iccid; it has card, day, mb. Needed for usage.*--map theirs=ours",
        ),
        (["card", "day", "mb"], {"card": "icc"}, "card=icc: usage have no column icc; known: iccid, day, mb, mb_rx"),
        (["iccid", "day", "mb"], {"card": "iccid"}, "card=iccid: the file has no column card; it has iccid, day, mb"),
        (["a", "b", "day", "mb"], {"a": "iccid", "b": "iccid"}, "two columns are mapped to iccid: a and b"),
        (["iccid", "day", "mb", "Iccid"], {}, "the header names a column twice: iccid"),
        (["card", "card", "day", "mb"], {"card": "iccid"}, "the header names a column twice: card"),
    ],
)
def test_a_mapping_that_cannot_be_followed_is_refused(header: list[str], mapping: dict[str, str], message: str) -> None:
    with pytest.raises(ImportRejectedError, match=message):
        match_columns(USAGE, header, mapping)


def test_a_mapping_comes_from_a_file_and_from_pairs_that_win(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps({"Card": "iccid", "Volume": "mb"}))

    assert read_mapping(path, ["a=b=mb"]) == {"Card": "iccid", "a=b": "mb"}
    for bad in ("iccid", "=iccid", "Card="):
        with pytest.raises(ImportRejectedError, match="expected THEIRS=OURS"):
            read_mapping(None, [bad])
    for text in ("[1]", '{"a": 1}', "{"):
        path.write_text(text)
        with pytest.raises(ImportRejectedError, match="must hold one JSON object"):
            read_mapping(path, [])
    with pytest.raises(ImportRejectedError, match=r"none\.json cannot be read: No such file"):
        read_mapping(tmp_path / "none.json", [])


@pytest.mark.parametrize("kind", FILE_SCHEMAS.values(), ids=FILE_SCHEMAS)
def test_a_dry_run_of_any_kind_writes_nothing(
    database: Database, truth: Truth, tmp_path: Path, kind: FileSchema
) -> None:
    cells: dict[str, Cells] = {
        "usage": [["iccid", "day", "mb"], [A, "2025-09-01", "1"]],
        "sims": [["iccid"], [NEW]],
        "labels": [["iccid", "label"], [A, "x"]],
        "tickets": [["case_id", "subject", "body", "status", "created_at"], ["1", "s", "b", "OPEN", "2025-09-01"]],
    }
    before = truth.versions(TABLES)

    done = load(database, as_csv(tmp_path, cells[kind.name]), kind, dry_run=True)

    assert done.rejected.is_empty()
    assert truth.versions(TABLES) == before
    assert load(database, tmp_path / "file.csv", kind).merged.new == 1


def test_an_error_in_the_middle_leaves_nothing(
    database: Database, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one statement a row, and the second of the two is refused by the database itself
    monkeypatch.setattr(file_import, "MERGED_ROWS", 1)
    truth.rows("ALTER TABLE core.sims ADD CONSTRAINT broken CHECK (own_label <> 'two')")
    before = truth.versions(TABLES)

    with pytest.raises(Exception, match="broken"):
        load(database, as_csv(tmp_path, [["iccid", "label"], [A, "one"], [B, "two"]]), LABELS)

    assert truth.versions(TABLES) == before


def test_labels_of_another_organization_stay_as_they_are(database_url: URL, truth: Truth, tmp_path: Path) -> None:
    other = Database(database_url, "other")
    path = as_csv(tmp_path, [["iccid", "label"], [A, "mine"]])

    with pytest.raises(ImportRejectedError, match="is not in the SIM list"):
        load(other, path, LABELS)
    load(other, as_csv(tmp_path, [["iccid", "label"], [A, "ours"]]), SIMS)
    load(other, path, LABELS)
    other.close()

    labels = (
        "SELECT s.label, s.own_label FROM core.sims AS s JOIN core.organizations USING (organization_id) "
        "ORDER BY slug, iccid"
    )
    assert [tuple(row.values()) for row in truth.rows(labels)] == [("pump", None), (None, None), ("ours", "ours")]


def test_what_a_file_held_is_kept_as_text_or_in_base64_and_of_a_large_one_what_identifies_it(
    database: Database, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "SELECT body FROM raw.landings WHERE request = %s"
    cells: Cells = [["iccid", "label"], [A, "Brücke"]]
    load(database, as_csv(tmp_path, cells), LABELS)
    workbook_path = as_xlsx(tmp_path, cells)
    load(database, workbook_path, LABELS)
    monkeypatch.setattr(file_import, "MAX_KEPT_BYTES", 10)
    large = (tmp_path / "file.csv").rename(tmp_path / "large.csv")
    load(database, large, LABELS)
    load(database, large, LABELS)

    assert truth.one(body, ("file.csv",)) == f"iccid,label\n{A},Brücke\n"
    assert truth.one("SELECT decode(body, 'base64') FROM raw.landings WHERE request = 'file.xlsx'") == (
        workbook_path.read_bytes()
    )
    assert truth.one(body, ("large.csv",)).startswith(f"too large to keep: {large.stat().st_size} bytes, SHA-256 ")


def test_a_file_of_something_else_is_refused_before_its_bad_rows_fill_the_quarantine(
    database: Database, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_import, "MAX_REJECTED_ROWS", 5)
    cells: Cells = [["iccid", "label"], *([str(n), "x"] for n in range(6))]

    with pytest.raises(ImportRejectedError, match="more than 5 rows are rejected, the first in line 2: iccid: got '0'"):
        load(database, as_csv(tmp_path, cells), LABELS, only_all=False)


def test_a_huge_cell_can_wait_in_quarantine(database: Database, truth: Truth, tmp_path: Path) -> None:
    load(database, as_csv(tmp_path, [["iccid", "label"], ["x" * 100_000, "a"]]), LABELS, only_all=False)

    (row,) = truth.rows("SELECT reason, record FROM ops.quarantine")
    assert len(row["reason"]) < 300
    assert len(row["record"]["record"]["iccid"]) == 100_000


def test_formula_like_labels_are_plain_text(database: Database, truth: Truth, tmp_path: Path) -> None:
    cells: Cells = [["iccid", "label"], [A, "=1+1"], [B, "'=1+1"]]

    load(database, as_csv(tmp_path, cells), LABELS)

    # an export puts the apostrophe before a formula, and an import takes it off
    assert truth.column("SELECT own_label FROM core.sims ORDER BY iccid") == ["=1+1", "=1+1"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("labels-2026.csv", "labels"), ("Sims.xlsx", "sims"), ("tickets_old.parquet", "tickets"), ("may.csv", "usage")],
)
def test_the_kind_of_a_file_in_the_landing_folder_is_what_its_name_begins_with(name: str, kind: str) -> None:
    assert schema_of(Path("/landing") / name).name == kind


def test_the_asset_imports_a_workbook_of_labels_from_the_landing_folder(
    database_url: URL, truth: Truth, tmp_path: Path
) -> None:
    with Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:1/management-api")) as runtime:
        folder = runtime.settings.landing_folder
        folder.mkdir(parents=True)
        (folder / "labels.xlsx").write_bytes(workbook({"A": [["Card", "label"], [A, "north"], ["x", "y"]]}))
        config = ImportedFile(path="labels.xlsx", mapping={"Card": "iccid"})

        made = imported_files(config, runtime)

        assert isinstance(made, dg.MaterializeResult)
        assert made.metadata is not None
        figures = {name: made.metadata[name] for name in ("kind", "rows new", "rows quarantined", "columns not used")}
        assert figures == {"kind": "labels", "rows new": 1, "rows quarantined": 1, "columns not used": []}
        with pytest.raises(
            ImportRejectedError, match="'label' is no kind of file; known: usage, sims, labels, tickets"
        ):
            imported_files(ImportedFile(path="labels.xlsx", kind="label"), runtime)
    assert truth.one("SELECT own_label FROM core.sims WHERE iccid = %s", (A,)) == "north"
