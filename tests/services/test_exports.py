"""Exports of views: what is in the file in every format, what is refused, and that nothing half-written is left."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import fastexcel
import polars as pl
import psycopg
import pytest
from sqlalchemy import URL

from resources.database.server import DatabaseUnavailableError, driver_url
from resources.database.session import Database
from resources.files import writers
from resources.files.formats import ExportError, ExportFileError, Format, format_of
from services import exports
from services.exports import Export, UnknownViewError, export, export_file
from services.ingest.file_import import import_file
from services.ingest.file_schemas import LABELS, SIMS, USAGE
from tests.conftest import administer, copy_database

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 12, 6, tzinfo=UTC)
A, B, C = "8988228066000000001", "8988228066000000002", "8988228066000000003"
FORMATS: list[Format] = ["csv", "xlsx", "parquet"]
LABELLED = {A: "=SUM(A1:A9)", B: '+49 "Brücke", north\nof the river', C: None}
SEED = """
INSERT INTO core.sims (organization_id, iccid, label, status, quota_total, first_seen_at, changed_at)
SELECT organization_id, iccid, label, 'Enabled', 500000000, '2026-01-01T12:00:00.123456Z', '2026-01-01T12:00:00.123456Z'
FROM core.organizations, unnest(%(iccids)s::text[], %(labels)s::text[]) AS t (iccid, label) WHERE slug = 'default';
"""
MORE = """
INSERT INTO core.sims (organization_id, iccid, label, first_seen_at, changed_at)
SELECT organization_id, repeat('7', 19), 'secret', now(), now() FROM core.organizations WHERE slug = 'other';
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
SELECT organization_id, sim_key, day, 1250001 + sim_key, CASE WHEN extract(day FROM day) > 3 THEN 250000 END, 1,
    NULL, now()
FROM core.sims, generate_series(date '2026-01-01', date '2026-01-10', '1 day') AS day;
INSERT INTO predictions.scorings (organization_id, model_name, model_version, run_id, as_of, created_at)
SELECT organization_id, 'usage-forecaster', 3, 'run', as_of, '2026-01-11T06:00Z'
FROM core.organizations, (VALUES (date '2026-01-09'), (date '2026-01-10')) AS days (as_of);
INSERT INTO predictions.exhaustions (organization_id, sim_key, scoring_id, as_of, status, p_14, p50_date, remaining)
SELECT organization_id, sim_key, scoring_id, as_of, 'ok', 1 / 3.0, as_of + 5, -5
FROM predictions.scorings JOIN core.sims USING (organization_id);
"""


def fill(url: URL) -> None:
    """Three SIMs with awkward labels, ten days of usage and two scorings; another organization with one SIM."""
    with psycopg.connect(driver_url(url, "").render_as_string(hide_password=False)) as connection:
        connection.execute(SEED, {"iccids": list(LABELLED), "labels": list(LABELLED.values())})
        connection.execute(MORE)


@pytest.fixture
def stored(database_url: URL, database: Database) -> Database:
    """A filled database, to change at will."""
    fill(database_url)
    return database


@pytest.fixture(scope="module")
def shared(postgres: URL, template: str) -> Iterator[Database]:
    """A filled database of all tests that only read."""
    name = f"{template}_exports"
    copy_database(postgres, template, name)
    fill(postgres.set(database=name))
    opened = Database(postgres.set(database=name), "default")
    yield opened
    opened.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def rows_in(path: Path) -> list[dict[str, Any]]:
    """The rows of an exported file, as its format types them."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".xlsx":
        return fastexcel.read_excel(path).load_sheet(0, schema_sample_rows=None).to_polars().to_dicts()
    return pl.read_parquet(path).to_dicts()


def exported(database: Database, path: Path, view: str, *where: str, columns: list[str] | None = None) -> list[Any]:
    written = export_file(database, Export(view, format_of(path), where, columns or []), path)
    found = rows_in(path)
    assert written == len(found)
    return found


def answered(database: Database, view: str, *where: str, columns: list[str] | None = None) -> list[tuple[str, ...]]:
    """The rows of an export as sorted tuples of text."""
    buffer = io.BytesIO()
    with database.transaction() as transaction:
        export(transaction.connection, Export(view, "csv", where, columns or []), buffer)
    _, *rows = csv.reader(io.StringIO(buffer.getvalue().decode()))
    return sorted(tuple(row) for row in rows)


def test_types_are_kept_where_the_format_has_them(shared: Database, tmp_path: Path) -> None:
    columns = ["iccid", "as_of", "p_14", "p50_date", "p90_date", "remaining", "created_at", "cause"]
    made = datetime(2026, 1, 11, 6, tzinfo=UTC)
    where = ("as_of=2026-01-10", f"iccid={A}")

    (parquet,) = exported(shared, tmp_path / "a.parquet", "exhaustions", *where, columns=columns)
    (xlsx,) = exported(shared, tmp_path / "a.xlsx", "exhaustions", *where, columns=columns)
    (text,) = exported(shared, tmp_path / "a.csv", "exhaustions", *where, columns=columns)

    day = date(2026, 1, 10)
    expected = [A, day, 1 / 3, day + timedelta(5), None, -5, made, None]
    assert list(parquet.values()) == expected
    midnight = datetime(2026, 1, 10)
    assert list(xlsx.values()) == [
        *(A, midnight, 1 / 3, midnight + timedelta(5), None, -5, made.replace(tzinfo=None), None)
    ]
    assert list(text) == columns
    assert (text["iccid"], text["as_of"], text["cause"]) == (A, "2026-01-10", "")
    assert text["created_at"] == "2026-01-11 06:00:00+00"


@pytest.mark.parametrize("format", FORMATS)
def test_usage_exported_and_imported_elsewhere_is_the_same(
    stored: Database, database_url: URL, tmp_path: Path, format: Format
) -> None:
    other = Database(database_url, "other")
    sims, usage = tmp_path / f"sims.{format}", tmp_path / f"usage.{format}"
    exported(stored, sims, "sims")
    exported(stored, usage, "sim_usage")

    import_file(other, sims, SIMS, now=NOW, only_all=True)
    done = import_file(other, usage, USAGE, now=NOW, only_all=True)
    other_labels = import_file(other, sims, LABELS, now=NOW, only_all=True)

    assert done.merged.new == 30
    assert done.ignored == [
        "bytes",
        "bytes_rx",
        "bytes_tx",
        "known_at",
        "source",
        "grade",
        "spread_from",
        "spread_to",
        "sms_unsplit",
    ]
    columns = ["iccid", "day", "bytes", "bytes_rx", "sms_mt", "sms_mo"]
    iccids = [f"iccid={iccid}" for iccid in LABELLED]
    assert answered(other, "sim_usage", *iccids, columns=columns) == answered(stored, "sim_usage", columns=columns)
    assert answered(other, "sims", *iccids, columns=["iccid", "label"]) == answered(
        stored, "sims", columns=["iccid", "label"]
    )
    assert other_labels.merged.new == 2
    other.close()


def test_text_that_looks_like_a_formula_is_none(shared: Database, tmp_path: Path) -> None:
    for format in FORMATS:
        found = {row["iccid"]: row["label"] for row in exported(shared, tmp_path / f"a.{format}", "sims")}
        expected = {iccid: label for iccid, label in LABELLED.items() if label}
        if format == "csv":
            expected = {iccid: f"'{label}" for iccid, label in expected.items()}
        assert {iccid: label for iccid, label in found.items() if label} == expected

    book = (tmp_path / "a.xlsx").read_bytes()
    sheet = zipfile.ZipFile(io.BytesIO(book)).read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "=SUM" in sheet


def test_numbers_in_csv_have_no_idle_zeros(shared: Database) -> None:
    assert answered(shared, "sims", f"iccid={A}", columns=["quota_total_mb"]) == [("500",)]


def test_conditions_choose_by_equality_range_list_and_absence(shared: Database) -> None:
    def days(*where: str) -> list[str]:
        return sorted({row[0] for row in answered(shared, "sim_usage", *where, columns=["day"])})

    assert days("day>=2026-01-03", "day<2026-01-05") == ["2026-01-03", "2026-01-04"]
    assert days("day > 2026-01-08", "day!=2026-01-09") == ["2026-01-10"]
    assert len(answered(shared, "sim_usage", f"iccid={A}", f"iccid={C}")) == 20
    assert days("bytes_rx=") == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert days("bytes_rx!=", "day<=2026-01-04") == ["2026-01-04"]
    assert len(answered(shared, "exhaustions", "as_of=2026-01-10")) == 3
    assert answered(shared, "sims", "label=", columns=["iccid"]) == [(C,)]


def test_the_label_chooses_sims_in_views_that_do_not_show_it(shared: Database) -> None:
    assert {row[0] for row in answered(shared, "sim_usage", "label==SUM(A1:A9)", columns=["iccid"])} == {A}
    assert {row[0] for row in answered(shared, "sim_usage", "label=", columns=["iccid"])} == {C}


def test_a_view_has_a_short_name_for_its_newest_version_and_is_there_as_soon_as_it_is_made(
    stored: Database, database_url: URL
) -> None:
    with psycopg.connect(driver_url(database_url, "").render_as_string(hide_password=False)) as admin:
        for version in (2, 10):
            admin.execute(
                f"CREATE VIEW core.sims_v{version} WITH (security_invoker = true) AS"
                f" SELECT iccid, {version} AS version, "
                "numeric(8, 3) '1.500' AS share, '{a,b}'::text[] AS tags, '{\"a\": 1}'::jsonb AS more FROM core.sims; "
                f"GRANT SELECT ON core.sims_v{version} TO simsight_pipeline".encode()
            )
        admin.execute("CREATE VIEW core.loose_v1 AS SELECT iccid FROM core.sims")
        admin.execute("GRANT SELECT ON core.loose_v1 TO simsight_pipeline")

    assert answered(stored, "sims", f"iccid={A}", "version>2") == [(A, "10", "1.5", "{a,b}", '{"a": 1}')]
    assert len(answered(stored, "sims_v1")[0]) == 18
    with pytest.raises(UnknownViewError, match="there is no view 'loose' to export"):
        answered(stored, "loose")  # it would show the rows of every organization


@pytest.mark.parametrize("format", FORMATS)
def test_odd_types_and_empty_texts_survive(stored: Database, database_url: URL, tmp_path: Path, format: Format) -> None:
    with psycopg.connect(driver_url(database_url, "").render_as_string(hide_password=False)) as admin:
        admin.execute(
            "CREATE VIEW core.odd_v1 WITH (security_invoker = true) AS SELECT true AS yes,"
            " NULL::boolean AS unknown, ''::text AS "
            "empty, 9007199254740993 AS large, '2026-01-01T00:00:00.000001Z'::timestamptz AS moment, "
            "'[2026-01-01,2026-02-01)'::daterange AS span, 0.1::real AS part, E'tab\\there, \"quoted\"\\nline' AS words"
        )
        admin.execute("GRANT SELECT ON core.odd_v1 TO simsight_pipeline")

    (row,) = exported(stored, tmp_path / f"odd.{format}", "odd")

    assert row["words"] == 'tab\there, "quoted"\nline'
    assert row["span"] == "[2026-01-01,2026-02-01)"
    if format == "parquet":
        assert (row["yes"], row["unknown"], row["empty"], row["large"]) == (True, None, "", 9007199254740993)
        assert row["moment"] == datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    elif format == "xlsx":
        assert (row["yes"], row["unknown"], row["large"]) == (True, None, "9007199254740993")
    else:
        assert (row["yes"], row["unknown"], row["empty"], row["large"]) == ("true", "", "", "9007199254740993")


@pytest.mark.parametrize("format", FORMATS)
def test_no_rows_are_a_file_with_its_columns(shared: Database, tmp_path: Path, format: Format) -> None:
    path = tmp_path / f"none.{format}"

    assert export_file(shared, Export("alerts", format, columns=["iccid", "kind"]), path) == 0
    if format == "parquet":
        assert pl.read_parquet(path).columns == ["iccid", "kind"]
    elif format == "csv":
        assert path.read_text() == "iccid,kind\n"
    else:
        cells = fastexcel.read_excel(path).load_sheet(0, header_row=None).to_polars()
        assert cells.rows() == [("iccid", "kind")]


def test_only_the_rows_of_the_own_organization_are_exported(stored: Database, database_url: URL) -> None:
    other = Database(database_url, "other")

    assert {row[0] for row in answered(stored, "sim_usage", columns=["iccid"])} == set(LABELLED)
    assert answered(other, "sims", columns=["iccid", "label"]) == [("7" * 19, "secret")]
    assert answered(other, "sims", f"iccid={A}") == []
    other.close()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            Export("nothing", "csv"),
            "there is no view 'nothing' to export; there are account_events, aggregate_forecasts, alert_history, ",
        ),
        (Export("api_keys", "csv"), "there is no view 'api_keys'"),
        (
            Export("sims", "csv", columns=["iccid", "key_sha256"]),
            "sims has no column 'key_sha256'; it has organization_id",
        ),
        (Export("sims", "csv", columns=["iccid", "iccid"]), "a column is named twice: iccid, iccid"),
        (Export("sims", "csv", ["colour=red"]), "sims has no column 'colour'; it has organization_id, iccid"),
        (Export("sims", "csv", ["iccid"]), "'iccid' is no condition; expected column=value, with one of = !="),
        (Export("sims", "csv", ["iccid~x"]), "'iccid~x' is no condition"),
        (Export("sim_usage", "csv", ["day>="]), "day>=: a value is missing"),
        (Export("sim_usage", "csv", ["day=yesterday's"]), "day=yesterday's: expected a value of the type date"),
        (Export("sim_usage", "csv", ["day=2026-01-01", "day=2026-02-30"]), "expected a value of the type date"),
        (Export("sim_usage", "csv", ["bytes>1e99"]), "bytes>1e99: expected a value of the type bigint"),
        (Export("sims", "csv", ["label=a\x00b"]), "expected a value of the type text"),
        (Export("sims", "csv", ["label=\udcff"]), "expected a value of the type text"),
        (Export("sims", "csv", ["label=x"] * 1001), "1001 conditions: at most 1000"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_what_can(shared: Database, wanted: Export, message: str) -> None:
    with shared.transaction() as transaction, pytest.raises(ExportError) as refused:
        export(transaction.connection, wanted, io.BytesIO())
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "x' OR '1'='1",
        "'; DROP TABLE core.sims; --",
        "x') OR true --",
        "\\'; SELECT 1; --",
        "%s %(iccid)s {} {name} $1",
        "COPY x TO PROGRAM 'id'",
    ],
)
def test_a_value_is_a_value_whatever_it_says(shared: Database, text: str) -> None:
    assert answered(shared, "sims", f"label={text}") == []
    assert len(answered(shared, "sims", f"label!={text}")) == 2
    for wanted in (
        Export(text, "csv"),
        Export("sims", "csv", columns=[text]),
        Export("sims", "csv", [f"{text}=1"]),
        Export("sim_usage", "csv", [f"day={text}"]),
        Export(f"sims_v1 {text}", "csv"),
    ):
        with shared.transaction() as transaction, pytest.raises(ExportError):
            export(transaction.connection, wanted, io.BytesIO())
    assert len(answered(shared, "sims")) == 3


def test_the_name_of_a_file_says_its_format() -> None:
    assert format_of(Path("Fleet.XLSX")) == "xlsx"
    with pytest.raises(ExportError, match=r"fleet\.xls: the name must end with \.csv, \.xlsx or \.parquet"):
        format_of(Path("fleet.xls"))


def test_a_sheet_that_would_overflow_is_refused_and_nothing_is_left(
    stored: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "BLOCK_ROWS", 4)
    path = tmp_path / "usage.xlsx"
    monkeypatch.setattr(writers, "EXCEL_ROWS", 31)
    assert len(exported(stored, path, "sim_usage")) == 30
    before = path.read_bytes()

    monkeypatch.setattr(writers, "EXCEL_ROWS", 30)
    with pytest.raises(ExportError, match="an Excel sheet holds 29 rows and a header, and there are more"):
        exported(stored, path, "sim_usage")

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert len(answered(stored, "sims")) == 3, "the connection is good for more"


def test_a_text_too_long_for_a_cell_is_refused_instead_of_left_out(stored: Database, tmp_path: Path) -> None:
    with stored.transaction() as transaction:
        transaction.connection.execute("UPDATE core.sims SET own_label = repeat('x', 32768)")

    with pytest.raises(ExportError, match="label of row 1 has 32768 characters, and a cell of Excel holds 32767"):
        exported(stored, tmp_path / "a.xlsx", "sims")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_when_the_connection_breaks_in_the_middle_nothing_is_left(
    stored: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: URL, format: Format
) -> None:
    with psycopg.connect(driver_url(database_url, "").render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute(
            "CREATE VIEW core.endless_v1 WITH (security_invoker = true) AS "
            "SELECT n FROM generate_series(1, 100000) AS n, generate_series(1, 100000)"
        )
        admin.execute("GRANT SELECT ON core.endless_v1 TO simsight_pipeline")
        write = writers.WRITERS[format]

        def interrupted(file: Any, columns: Any, blocks: Any) -> int:
            def until_killed() -> Iterator[list[bytes]]:
                yield next(blocks)
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query LIKE 'COPY%'"
                )
                yield from blocks

            return write(file, columns, until_killed())

        monkeypatch.setitem(writers.WRITERS, format, interrupted)
        with pytest.raises(DatabaseUnavailableError):
            export_file(stored, Export("endless", format), tmp_path / f"a.{format}")

    assert list(tmp_path.iterdir()) == []
    assert (stored.row("fleet_size") or {})["sims"] == 3


def test_a_folder_that_is_not_there_is_named(shared: Database, tmp_path: Path) -> None:
    with pytest.raises(ExportFileError, match=r"nowhere/a\.csv cannot be written: No such file or directory"):
        export_file(shared, Export("sims", "csv"), tmp_path / "nowhere" / "a.csv")


PROGRAM = """
import resource, sys
from pathlib import Path
from sqlalchemy import make_url
from resources.files import writers
from resources.database.session import Database
from services.exports import Export, export_file
from resources.files.formats import format_of
database = Database(make_url(sys.argv[1]), "default")
path = Path(sys.argv[2])
for most in sys.argv[3:]:
    rows = export_file(database, Export("many", format_of(path), [f"n<={most}"]), path)
    print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize(("format", "rows"), [("csv", 300_000), ("parquet", 300_000), ("xlsx", 30_000)])
def test_memory_does_not_grow_with_the_rows(
    stored: Database, database_url: URL, tmp_path: Path, format: str, rows: int
) -> None:
    with psycopg.connect(driver_url(database_url, "").render_as_string(hide_password=False)) as admin:
        admin.execute(
            "CREATE VIEW core.many_v1 WITH (security_invoker = true) AS SELECT n, '8988228066' || lpad(n::text, 9, '0')"
            " AS iccid, "
            "date '2026-01-01' + n % 30 AS day, n * 1000 AS bytes, n / 1e6::numeric AS mb, 'label ' || n AS label "
            "FROM generate_series(1, 1000000) AS n"
        )
        admin.execute("GRANT SELECT ON core.many_v1 TO simsight_pipeline")

    address = database_url.render_as_string(hide_password=False)

    # the small export first, in the same process: what its libraries hold is then in both peaks
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, address, str(tmp_path / f"many.{format}"), str(rows // 3), str(rows)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    (written_first, few), (written, many) = (map(int, line.split()) for line in done.stdout.splitlines())

    assert (written_first, written) == (rows // 3, rows)
    assert many < few + 12, f"{few} MB for a third, {many} MB for {rows}"
    sys.stderr.write(f"{format} {few} {many}\n")
