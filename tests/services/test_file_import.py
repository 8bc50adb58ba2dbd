"""Usage from CSV files: what is understood, what is refused and in which line, and what is written."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import URL

from resources.database.session import Database
from resources.files.formats import ImportRejectedError
from services.ingest.file_import import Imported, Parsed, import_file, match_columns, parse_file
from services.ingest.file_schemas import USAGE
from services.ingest.notation import told_notation
from tests.fleet import Truth

NOW = datetime(2025, 9, 24, 6, tzinfo=UTC)
TODAY = NOW.date()
A, B = "8988228066000000001", "8988228066000000002"
STORED = """
SELECT s.iccid, u.day, u.bytes, u.bytes_rx, u.sms_mt, u.sms_mo
FROM core.sim_usage AS u JOIN core.sims AS s USING (sim_key) ORDER BY 1, 2
"""
GOOD = (
    "iccid,day,mb,mb_rx,sms_mt,sms_mo\n"
    f"{A},2025-09-01,1.25,0.25,3,4\n{A},2025-09-02,0,,,\n{B},2025-09-01,12.000001,,1,\n"
)
MIXED = f"iccid,day,mb\n{A},2025-09-01,1.5\n{A},2025-09-02,much\n8988228066000000009,2025-09-01,2\n{B},2025-09-03,3\n"


@pytest.fixture
def truth(database_url: URL) -> Iterator[Truth]:
    """An administrator's view of a database with the SIMs A and B."""
    opened = Truth(database_url)
    opened.rows(
        """
        INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)
        SELECT ops.organization('default'), iccid, now(), now() FROM unnest(%s::text[]) AS iccid
        """,
        ([A, B],),
    )
    yield opened
    opened.close()


def written(folder: Path, text: str, name: str = "usage.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def import_usage(database: Database, path: Path, **how: Any) -> Imported:
    return import_file(database, path, USAGE, **how)


def parse_usage_file(data: bytes, *, today: date) -> Parsed:
    """Parse a CSV of usage; the SIMs A and B are known."""
    known = pl.DataFrame({"iccid": [A, B], "sim_key": [1, 2]}, schema_overrides={"sim_key": pl.Int32})
    return parse_file(data, USAGE, name="usage.csv", today=today, sims=known)


def reasons(text: str | bytes) -> dict[int, str]:
    """Why each rejected line of a file is rejected."""
    data = text.encode() if isinstance(text, str) else text
    return dict(parse_usage_file(data, today=TODAY).rejected.select("line", "reason").iter_rows())


def test_every_row_of_a_good_file_is_stored_exactly(database: Database, truth: Truth, tmp_path: Path) -> None:
    done = import_usage(database, written(tmp_path, GOOD), now=NOW, only_all=True)

    assert [tuple(row.values()) for row in truth.rows(STORED)] == [
        (A, date(2025, 9, 1), 1_250_000, 250_000, 3, 4),
        (A, date(2025, 9, 2), 0, None, None, None),
        (B, date(2025, 9, 1), 12_000_001, None, 1, None),
    ]
    assert (done.merged.new, done.rejected.height) == (3, 0)
    assert truth.column("SELECT body FROM raw.landings WHERE source = 'file' AND request = 'usage.csv'") == [GOOD]
    assert truth.column("SELECT DISTINCT known_at FROM core.sim_usage") == [NOW]


def test_the_same_file_twice_changes_nothing(database: Database, truth: Truth, tmp_path: Path) -> None:
    tables = ["core.sim_usage", "core.sim_usage_replaced", "raw.landings"]
    path = written(tmp_path, MIXED)
    import_usage(database, path, now=NOW, only_all=False)
    before = truth.versions(tables)
    waiting = truth.rows("SELECT record_key, reason, resolved_at FROM ops.quarantine ORDER BY 1")

    again = import_usage(database, path, now=NOW + timedelta(hours=1), only_all=False)

    assert truth.versions(tables) == before
    assert truth.rows("SELECT record_key, reason, resolved_at FROM ops.quarantine ORDER BY 1") == waiting
    assert (again.merged.new, again.merged.changed, again.merged.unchanged) == (0, 0, 2)


def test_all_or_nothing_writes_nothing_and_names_the_bad_lines(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    with pytest.raises(ImportRejectedError) as refused:
        import_usage(database, written(tmp_path, MIXED), now=NOW, only_all=True)

    message = str(refused.value)
    assert "2 of 4 rows are rejected, nothing was imported" in message
    assert "line 3: mb: got 'much'" in message
    assert "line 4: iccid: 8988228066000000009 is not in the SIM list" in message
    assert "--good-rows" in message
    for table in ("core.sim_usage", "raw.landings", "ops.quarantine"):
        assert truth.versions([table])[table] == set()


def test_a_long_list_of_bad_lines_is_cut(database: Database, truth: Truth, tmp_path: Path) -> None:
    rows = "".join(f"{A},2025-09-01,x{n}\n" for n in range(30))

    with pytest.raises(ImportRejectedError, match="and 10 more") as refused:
        import_usage(database, written(tmp_path, "iccid,day,mb\n" + rows), now=NOW, only_all=True)

    assert str(refused.value).count("line ") == 20


def test_good_rows_are_stored_and_the_others_wait_with_their_line(
    database: Database, truth: Truth, tmp_path: Path
) -> None:
    done = import_usage(database, written(tmp_path, MIXED), now=NOW, only_all=False)

    assert [(row["iccid"], row["bytes"]) for row in truth.rows(STORED)] == [(A, 1_500_000), (B, 3_000_000)]
    waiting = truth.rows("SELECT * FROM ops.quarantine WHERE source = 'file' AND resolved_at IS NULL ORDER BY reason")
    assert [row["reason"] for row in waiting] == [
        "usage.csv line 3: mb: got 'much', expected MB as a decimal, not negative, such as 1.250000",
        "usage.csv line 4: iccid: 8988228066000000009 is not in the SIM list; ingest the account first, import it "
        "as sims, or correct it",
    ]
    assert waiting[0]["record"] == {
        "record": {"iccid": A, "day": "2025-09-02", "mb": "much", "mb_rx": None, "sms_mt": None, "sms_mo": None},
        "asked": {"file": "usage.csv", "kind": "usage", "line": 3},
    }
    assert list(done.rejected["line"]) == [3, 4]


def test_a_fixed_file_resolves_its_quarantined_rows(database: Database, truth: Truth, tmp_path: Path) -> None:
    import_usage(database, written(tmp_path, MIXED), now=NOW, only_all=False)
    import_usage(database, written(tmp_path, MIXED, "another.csv"), now=NOW, only_all=False)
    later = NOW + timedelta(hours=1)

    import_usage(database, written(tmp_path, MIXED.replace("much", "7")), now=later, only_all=False)

    rows = truth.rows("SELECT record->'asked'->>'file' AS file, reason, resolution, resolved_at FROM ops.quarantine")
    resolved = [(row["resolution"], row["resolved_at"]) for row in rows if "usage.csv line 3" in row["reason"]]
    assert resolved == [("superseded", later)]
    assert sum(row["resolution"] is None for row in rows) == 3


def test_a_dry_run_reports_and_writes_nothing(database: Database, truth: Truth, tmp_path: Path) -> None:
    tables = ["core.sim_usage", "raw.landings", "ops.quarantine"]

    tried = import_usage(database, written(tmp_path, MIXED), now=NOW, only_all=False, dry_run=True)

    assert list(tried.rejected["line"]) == [3, 4]
    assert not any(truth.versions(tables).values())
    with pytest.raises(ImportRejectedError, match="line 3"):
        import_usage(database, written(tmp_path, MIXED), now=NOW, only_all=True, dry_run=True)


def test_a_file_corrects_a_day_and_keeps_what_was_known(database: Database, truth: Truth, tmp_path: Path) -> None:
    import_usage(database, written(tmp_path, GOOD), now=NOW, only_all=True)

    import_usage(
        database, written(tmp_path, f"iccid,day,mb\n{A},2025-09-01,2\n"), now=NOW + timedelta(1), only_all=True
    )

    kept = truth.rows("SELECT day, bytes, known_from, known_to FROM core.sim_usage_replaced")
    expected = {"day": date(2025, 9, 1), "bytes": 1_250_000, "known_from": NOW, "known_to": NOW + timedelta(1)}
    assert kept == [expected]
    assert truth.rows(STORED)[0]["bytes"] == 2_000_000


MB = "expected MB as a decimal, not negative"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{A},2025-09-01,-1", f"mb: got '-1', {MB}"),
        (f'{A},2025-09-01,"1,500"', "mb: got '1,500', and nothing in the file says whether it is 1.500 or 1500; say "),
        (f'{A},2025-09-01,"1,50,0"', f"mb: got '1,50,0', {MB}"),
        (f"{A},2025-09-01,12 MiB", f"mb: got '12 MiB', {MB}"),
        (
            f"{A},03/04/2025,1",
            "day: got '03/04/2025', and nothing in the file says whether it is 2025-04-03 or",
        ),
        (f"{A},31.02.2025,1", "day: got '31.02.2025', expected a date as YYYY-MM-DD"),
        (
            f"{A},2025-09-01T00:00:00+02:00,1",
            "day: got '2025-09-01T00:00:00+02:00', expected a date as YYYY-MM-DD, or a time that is midnight in UTC",
        ),
        (f"{A},2025-09-01,NaN", f"mb: got 'NaN', {MB}"),
        (f"{A},2025-09-01,١.٥", f"mb: got '١.٥', {MB}"),  # digits, but not ASCII ones
        (f"{A},2025-09-01,9999999999999", f"mb: got '9999999999999', {MB}"),
        (f"{A},2025-09-01,", "mb: missing"),
        (f"{A},2025-09-01", "mb: missing"),
        (f"{A},2025-02-30,1", "day: got '2025-02-30', expected a date as YYYY-MM-DD"),
        (f"{A},2025-09-25,1", "day: got 2025-09-25, which has not come yet"),
        (f"{A},0205-09-01,1", "day: got 0205-09-01, expected a day from 2000-01-01 on"),
        (f"{A},,1", "day: missing"),
        (",2025-09-01,1", "iccid: missing"),
        (f"{A}7,2025-09-01,1", f"iccid: got '{A}7', expected 19 digits (without the check digit)"),
    ],
)
def test_a_bad_row_is_named_by_line_field_and_value(row: str, reason: str) -> None:
    found = reasons(f"iccid,day,mb\n{B},2025-09-01,1\n{row}\n{B},2025-09-02,1\n")

    assert list(found) == [3]
    assert found[3].startswith(reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,1.5,0,0", "mb_rx: more than mb"),
        ("1,x,0,0", "mb_rx: got 'x'"),
        ("1,0,-1,0", "sms_mt: got '-1', expected a whole number, not negative"),
        ("1,0,0,1.5", "sms_mo: got '1.5', expected a whole number, not negative"),
        ("1,0,40000,0", "sms: more than 32767 on one day"),
    ],
)
def test_an_optional_value_must_be_right_when_it_is_there(row: str, reason: str) -> None:
    found = reasons(f"iccid,day,mb,mb_rx,sms_mt,sms_mo\n{A},2025-09-01,{row}\n")

    assert found[2].startswith(reason)


def test_the_same_sim_and_day_twice_is_bad_from_the_second_line_on() -> None:
    row = f"{A},2025-09-01,1\n"

    found = reasons(f"iccid,day,mb\n{row}{B},2025-09-01,1\n{row}{row}")

    assert list(found) == [4, 5]
    assert "stood in an earlier line" in found[4]


@pytest.mark.parametrize(
    "text",
    [
        f"\ufefficcid,day,mb\n{A},2025-09-01,1.5\n",
        f"iccid,day,mb\r\n{A},2025-09-01,1.5\r\n",
        f'"iccid","day","mb"\n"{A}","2025-09-01","1.5"\n',
        f" ICCID , Day ,MB\n {A} , 2025-09-01 , 1.5 \n",
        f"note,mb,line,day,iccid\nwhy? ,1.5,7,2025-09-01,{A}\n",
        f"iccid,day,mb\n{A},2025-09-01,1.500000",
        f"iccid,day,mb\n\n{A},2025-09-01,1.5\n\n\n",
    ],
    ids=["BOM", "Windows newlines", "quotes", "spaces and capitals", "more columns", "no last newline", "empty lines"],
)
def test_a_file_may_be_written_in_many_ways(text: str) -> None:
    parsed = parse_usage_file(text.encode(), today=TODAY)

    assert parsed.rejected.is_empty()
    assert parsed.accepted.select("sim_key", "day", "bytes").rows() == [(1, date(2025, 9, 1), 1_500_000)]


def test_line_numbers_count_empty_lines() -> None:
    assert list(reasons(f"iccid,day,mb\n\n{A},2025-09-01,1\n\n{A},2025-09-02,x\n")) == [5]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty; it needs a header line"),
        (b"\n\n", "the file is empty"),
        (b"iccid,megabytes\n1,2\n", "the header lacks day, mb; it has iccid, megabytes"),
        (f"{A},2025-09-01,1.5\n".encode(), "the header lacks iccid, day, mb"),
        (
            f"iccid,day,mb\n{A},2025-09-01,1,5\n".encode(),
            "line 2 has more fields than the header, which has 3",
        ),
        (b"iccid,ICCID,day,mb\n1,2,3,4\n", "names a column twice"),
        (bytes(range(256)) * 9, "NUL bytes"),
        (f'iccid,day,mb\n{A},2025-09-01,"1\n'.encode(), "not a CSV in UTF-8"),
    ],
    ids=[
        "empty",
        "blank",
        "columns missing",
        "no header",
        "decimal comma",
        "a column twice",
        "binary",
        "open quote",
    ],
)
def test_what_is_no_usage_file_is_refused_with_what_to_do(data: bytes, message: str) -> None:
    with pytest.raises(ImportRejectedError, match=message):
        parse_usage_file(data, today=TODAY)


def test_a_header_alone_is_a_file_without_rows(database: Database, truth: Truth, tmp_path: Path) -> None:
    done = import_usage(database, written(tmp_path, "iccid,day,mb\n"), now=NOW, only_all=True)

    assert (done.merged.rows, done.rejected.height) == (0, 0)


def test_a_file_that_cannot_be_read_is_named(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ImportRejectedError, match=r"nowhere\.csv cannot be read: No such file"):
        import_usage(database, tmp_path / "nowhere.csv", now=NOW, only_all=True)
    with pytest.raises(ImportRejectedError, match="cannot be read: Is a directory"):
        import_usage(database, tmp_path, now=NOW, only_all=True)


def test_a_file_too_large_is_refused_before_it_is_read(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.file_import.MAX_BYTES", 10)

    with pytest.raises(ImportRejectedError, match=r"larger than .* split it"):
        import_usage(database, written(tmp_path, GOOD), now=NOW, only_all=True)


def test_a_sim_of_another_organization_is_unknown(database_url: URL, truth: Truth, tmp_path: Path) -> None:
    other = Database(database_url, "other")

    with pytest.raises(ImportRejectedError, match="is not in the SIM list"):
        import_usage(other, written(tmp_path, GOOD), now=NOW, only_all=True)

    other.close()


def read_of(header: str, *cells: str, **how: Any) -> tuple[list[Any], list[str], dict[int, str]]:
    """Of a file of one SIM, a day after another where the cells give none: the values, how it was read, what is bad."""
    volumes = header.endswith("mb")
    rows = [f"{A};2025-09-{n:02d};{cell}" if volumes else f"{A};{cell};{n}" for n, cell in enumerate(cells, 1)]
    known = pl.DataFrame({"iccid": [A], "sim_key": [1]}, schema_overrides={"sim_key": pl.Int32})
    data = "\n".join(["iccid;day;mb", *rows, ""]).encode()
    parsed = parse_file(data, USAGE, name="usage.csv", today=TODAY, sims=known, **how)
    values = parsed.accepted["bytes" if volumes else "day"].to_list()
    return values, parsed.read_as[2:], dict(parsed.rejected.select("line", "reason").iter_rows())


@pytest.mark.parametrize(
    ("cells", "sizes", "read_as"),
    [
        (["1,5", "1.234", "2"], [1_500_000, 1_234_000_000, 2_000_000], ["decimal comma"]),
        (["1.5", "1,234", "1,234.25"], [1_500_000, 1_234_000_000, 1_234_250_000], ["decimal point"]),
        (["1.234.567", "1,234"], [1_234_567_000_000, 1_234_000], ["decimal comma"]),
        (["0,500", "1 234,5", "1'234,5"], [500_000, 1_234_500_000, 1_234_500_000], ["decimal comma"]),
        (["1.2e-05", "1e-3", "2.5E2"], [12, 1000, 250_000_000], ["decimal point"]),
        (["12.5 MB", "300 KB", "2GB", "7 b"], [12_500_000, 300_000, 2_000_000_000, 7], ["decimal point"]),
        (["9.5367431640625e-07", "1.2345675", "1.2345674999"], [1, 1_234_568, 1_234_567], ["decimal point"]),
    ],
)
def test_numbers_are_read_as_the_whole_file_writes_them(cells: list[str], sizes: list[int], read_as: list[str]) -> None:
    assert read_of("mb", *cells) == (sizes, read_as, {})


@pytest.mark.parametrize("cell", ["1,234", "1.234"])
def test_a_number_of_two_readings_is_never_guessed_and_an_option_settles_it(cell: str) -> None:
    values, _, bad = read_of("mb", cell, "5")

    assert values == [5_000_000]
    assert bad[2].startswith(
        f"mb: got '{cell}', and nothing in the file says whether it is 1.234 or 1234; say --decimal"
    )
    as_point, as_comma = (read_of("mb", cell, told=told_notation(sign, None))[0] for sign in ("point", "comma"))
    assert {as_point[0], as_comma[0]} == {1_234_000, 1_234_000_000}
    assert as_point[0] == (1_234_000 if cell == "1.234" else 1_234_000_000)


def test_decimals_of_both_signs_in_one_file_are_not_mixed() -> None:
    values, read_as, bad = read_of("mb", "1,5", "2,5", "1.5", "1.234")

    assert (values, read_as, list(bad)) == ([1_500_000, 2_500_000], ["decimal comma"], [4, 5])


@pytest.mark.parametrize(
    ("cells", "days", "read_as"),
    [
        (["09/13/2025", "09/03/2025"], [date(2025, 9, 13), date(2025, 9, 3)], ["dates month first"]),
        (["13/09/2025", "09/03/2025"], [date(2025, 9, 13), date(2025, 3, 9)], ["dates day first"]),
        (["3.9.2025", "03.08.2025 00:00"], [date(2025, 9, 3), date(2025, 8, 3)], ["dates day first"]),
        (["2025/09/03"], [date(2025, 9, 3)], []),
        (["2025-09-03T00:00:00+00:00", "2025-09-02T02:00+0200"], [date(2025, 9, 3), date(2025, 9, 2)], []),
    ],
)
def test_dates_are_read_as_the_whole_file_writes_them(cells: list[str], days: list[date], read_as: list[str]) -> None:
    assert read_of("day", *cells) == (days, read_as, {})


def test_dates_of_two_readings_are_settled_by_an_option() -> None:
    for order, day in (("day-first", date(2025, 4, 3)), ("month-first", date(2025, 3, 4))):
        assert read_of("day", "03/04/2025", told=told_notation(None, order))[0] == [day]
    assert list(read_of("day", "13/09/2025", "09/13/2025", "03/04/2025")[2]) == [2, 3, 4]
    for bad in (("dot", None), (None, "iso")):
        with pytest.raises(ImportRejectedError, match="expected"):
            told_notation(*bad)


def test_a_last_row_of_totals_is_left_out_and_said_and_one_in_the_middle_is_bad() -> None:
    rows = f"iccid,day,mb\n{A},2025-09-01,1\n"
    parsed = parse_usage_file(f"{rows}Total:,,1\n\n,,\n".encode(), today=TODAY)

    assert parsed.rejected.is_empty()
    assert parsed.notes == ["line 3 is a total: left out"]
    assert list(reasons(f"{rows}Total,,1\n{A},2025-09-02,1\n")) == [3]
    assert list(reasons(f"{rows},,1\n")) == [3]


def test_a_column_that_counts_bytes_is_not_taken_for_mb() -> None:
    with pytest.raises(ImportRejectedError, match="Bytes=mb: a column of that name counts another unit; mb is MB"):
        match_columns(USAGE, ["iccid", "day", "Bytes"], {"Bytes": "mb"})
