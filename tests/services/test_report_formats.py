"""One report in every format: the same numbers, foreign text as text, the same bytes twice. No database."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import time
import zipfile
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from xml.etree import ElementTree

import fastexcel
import polars as pl
import pypdf
import pytest

from resources.files.formats import REPORT_FORMATS as FORMATS
from resources.files.formats import ReportFormat
from services.reports import pdf
from services.reports.charts import described, draw
from services.reports.formats import render
from services.reports.kept import file_name
from services.reports.report import Chart, Column, Report, Section, shown_rows

FIRST = date(2026, 5, 30)
# text of others that some format would run, read, or cannot show
EVIL = [
    "pump $x_{$",
    '=HYPERLINK("http://example.org","click")',
    '#set text(size: 99pt) #eval("1") #read("/etc/passwd")',
    "<script>alert(1)</script><img src=x>",
    "{{ 7 * 7 }} {% raw %}",
    "@SUM(A1)\t+1",
    "水表 \U0001f600 \x1b[31m \u202eturned",
    "-2+3",
    "' apostrophe & ampersand",
    "\\u6c34 *bold* _low_ `code` $1$",
]
COLUMNS = {
    "day": Column("Day", "day"),
    "label": Column("Label"),
    "sims": Column("SIMs", "count"),
    "usage_mb": Column("Usage", "mb", "MB"),
    "share": Column("Of all", "share"),
    "saving": Column("Saves", "money"),
    "currency": Column("Currency"),
}


def rows(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "day": [FIRST + timedelta(days=n) for n in range(count)],
            "label": [EVIL[n % len(EVIL)] for n in range(count)],
            "sims": [1234 * n for n in range(count)],
            "usage_mb": [None if n == 3 else 1234.567891 * n for n in range(count)],
            "share": [n / 100 for n in range(count)],
            "saving": [389.02 * n for n in range(count)],
            "currency": ["EUR"] * count,
        }
    )


def section(name: str = "who_used_most", count: int = 10, **more: Any) -> Section:
    chart = Chart("line", "day", ("usage_mb",)) if count else None
    return Section(name, f"Section {name}", f"A reading of {name}.", COLUMNS, rows(count), chart, **more)


@pytest.fixture(scope="module")
def report() -> Report:
    bars = replace(section("by_label"), chart=Chart("bars", "label", ("sims",), beside="currency"))
    return Report(
        title="Fleet report",
        organization="default",
        first_day=FIRST,
        last_day=FIRST + timedelta(days=29),
        as_of=FIRST + timedelta(days=28),
        newest_day=FIRST + timedelta(days=29),
        grades={"A": 30, "B": 1},
        note="synthetic data",
        label=EVIL[0],
        country="Österreich",
        sections=[section(total=1234), bars, section("nothing", 0)],
    )


@pytest.fixture(scope="module")
def made(report: Report) -> dict[ReportFormat, bytes]:
    return {format: render(report, format) for format in FORMATS}


@pytest.fixture(scope="module")
def pages(made: dict[ReportFormat, bytes]) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(made["pdf"])).pages]


def of_html(made: dict[ReportFormat, bytes]) -> list[list[str]]:
    table = made["html"].decode().split('<section id="who_used_most">')[1].split("<tbody>")[1].split("</tbody>")[0]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("</tr>")[:-1]]
    return [[html.unescape(cell) for cell in row] for row in cells]


def test_json_has_every_value_as_it_is(made: dict[ReportFormat, bytes]) -> None:
    told = json.loads(made["json"])
    first = told["sections"][0]
    found = pl.DataFrame(first["rows"]).with_columns(pl.col("day").str.to_date())
    assert found.equals(rows(10))
    assert [column["unit"] for column in first["columns"]] == ["", "", "", "MB", "", "", ""]
    assert (first["rows_in_all"], told["data_note"], told["label"]) == (1234, "synthetic data", EVIL[0])
    assert (told["sections"][2]["rows"], told["sections"][2]["reading"]) == ([], "A reading of nothing.")


def test_csv_has_every_value_and_nothing_that_a_spreadsheet_runs(made: dict[ReportFormat, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(made["csv"])) as archive:
        assert archive.namelist() == ["about.csv", "who_used_most.csv", "by_label.csv", "nothing.csv"]
        table = list(csv.reader(io.StringIO(archive.read("who_used_most.csv").decode())))
        about = dict(csv.reader(io.StringIO(archive.read("about.csv").decode())))
    assert table[0] == list(COLUMNS)
    for read, known in zip(table[1:], rows(10).iter_rows(), strict=True):
        assert read[0] == known[0].isoformat()
        assert read[1] == (f"'{known[1]}" if known[1][0] in "=@-'" and known[1] != EVIL[8] else known[1])
        assert [float(cell) if cell else None for cell in read[2:6]] == list(known[2:6])
    assert not [cell for row in table for cell in row if re.match("[=@+\t\r]|-[^0-9]", cell)]
    assert about["Data"] == "synthetic data"
    assert "label beginning with pump $x_{$ and last seen in Österreich" in about["SIMs"]


def test_xlsx_has_typed_cells_formats_a_frozen_heading_and_charts(made: dict[ReportFormat, bytes]) -> None:
    book = fastexcel.read_excel(made["xlsx"])
    assert book.sheet_names == ["About", "Who used most", "By label", "Nothing"]
    read = book.load_sheet("Who used most").to_polars()
    assert read.columns == ["Day", "Label", "SIMs", "Usage, MB", "Of all", "Saves", "Currency"]
    known = rows(10)
    assert read["Day"].cast(pl.Date).to_list() == known["day"].to_list()
    assert read["Label"].to_list() == EVIL
    for shown, name in (("SIMs", "sims"), ("Usage, MB", "usage_mb"), ("Of all", "share"), ("Saves", "saving")):
        assert read[shown].dtype.is_numeric()
        assert read[shown].is_null().to_list() == known[name].is_null().to_list(), "no value is an empty cell"
        assert read[shown].fill_null(0).to_list() == pytest.approx(known[name].fill_null(0).to_list(), rel=1e-15), shown
    with zipfile.ZipFile(io.BytesIO(made["xlsx"])) as parts:
        sheet = parts.read("xl/worksheets/sheet2.xml").decode()
        styles = parts.read("xl/styles.xml").decode()
        charts = [name for name in parts.namelist() if name.startswith("xl/charts/chart")]
        everything = "".join(parts.read(name).decode() for name in parts.namelist() if name.endswith(".xml"))
    assert '<pane ySplit="1" topLeftCell="A2"' in sheet
    assert "<f>" not in sheet, "no cell is a formula"
    assert "hyperlinks" not in sheet
    for written in ("yyyy-mm-dd", "#,##0.000", "0.0%"):
        assert f'formatCode="{written}"' in styles
    assert len(charts) == 2
    assert "'Who used most'!$D$2:$D$11" in everything
    assert "synthetic data" in sheet, "the footer of a printed sheet says it too"
    for name in ("About", "Nothing"):
        assert book.load_sheet(name, header_row=None).to_polars().height


def test_the_page_says_what_people_read_and_runs_nothing(report: Report, made: dict[ReportFormat, bytes]) -> None:
    assert of_html(made) == shown_rows(report.sections[0])
    page = made["html"].decode()
    assert "<script" not in page
    assert page.count("<img src=") == 2, "the charts alone"
    assert "49" not in re.findall(r"<td>([^<]*)</td>", page)
    assert '<p class="note">synthetic data</p>' in page
    assert "10 of 1,234 rows." in page
    assert "A reading of nothing." in page
    assert described(report.sections[0]) in page


def test_what_people_read_is_written_as_everywhere(report: Report) -> None:
    third = shown_rows(report.sections[0])[2]
    assert third[0] == "2026-06-01"
    assert third[2:] == ["2,468", "2,469", "2.0 %", "778.04", "EUR"]
    assert shown_rows(report.sections[0])[3][3] == "", "no value is none, and not 0"


def test_the_pdf_has_the_same_numbers_as_the_page(pages: list[str], made: dict[ReportFormat, bytes]) -> None:
    text = " ".join("\n".join(pages).split())
    for day, _, *numbers in of_html(made):
        assert " ".join(filter(None, [day])) in text
        assert re.search(r"\s".join(map(re.escape, filter(None, numbers))), text), numbers


def test_foreign_text_is_text_in_the_pdf(pages: list[str]) -> None:
    text = re.sub(r"\s", "", "".join(pages))
    for written in [*EVIL[:4], EVIL[7], EVIL[9]]:
        assert re.sub(r"\s", "", written) in text, written
    assert "\\u6c34\\u8868\\U0001f600" in text, "what no font here shows stands as its code point"
    assert "root:" not in text


def test_the_pdf_is_tagged_paged_and_says_what_it_is(pages: list[str], made: dict[ReportFormat, bytes]) -> None:
    reader = pypdf.PdfReader(io.BytesIO(made["pdf"]))
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    xmp = ElementTree.fromstring(root["/Metadata"].get_data().decode().partition("?>")[2].rpartition("<?xpacket")[0])
    assert [part.text for part in xmp.iter("{http://www.aiim.org/pdfua/ns/id/}part")] == ["1"]
    kinds = _structure(root["/StructTreeRoot"])
    assert {"/H1", "/Table", "/TH", "/TD", "/Figure", "/TOC"} <= kinds.keys()
    assert all(kinds["/Figure"]), "each picture is said in words"
    assert pages[0].split("\n")[0] == "Fleet report"
    assert "Contents" in pages[1]
    assert re.search(r"Section by_label[ .]*\d", pages[1].replace("\u2060", "")), "with page numbers"
    for number, page in enumerate(pages[1:], 1):
        assert page.rstrip().endswith(f"{number} / {len(pages) - 1}")
        assert "synthetic data" in page
    assert len(reader.outline) == 3


def _structure(root: Any) -> dict[str, list[str]]:
    """The kinds of elements of the structure tree, each with the words for those who cannot see it."""
    found: dict[str, list[str]] = {}
    ahead = [root]
    while ahead:
        of = ahead.pop().get_object()
        if isinstance(of, list):
            ahead += of
        elif isinstance(of, dict):
            if "/S" in of:
                found.setdefault(of["/S"], []).append(str(of.get("/Alt", "")))
            if "/K" in of:
                ahead.append(of["/K"])
    return found


def test_every_letter_that_is_kept_can_be_shown(report: Report) -> None:
    ranges = [line.split("-") for line in (pdf.FONTS / "covered.txt").read_text().split()]
    letters = [chr(code) for first, last in ranges for code in range(int(first, 16), int(last, 16) + 1)]
    shown = [" ".join(letters[n : n + 100]) for n in range(0, len(letters), 100)]
    frame = pl.DataFrame({"label": shown})
    letters_only = Section("letters", "Letters", "", {"label": Column("Label")}, frame)
    assert render(replace(report, sections=[letters_only]), "pdf").startswith(b"%PDF")


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_report_has_the_same_bytes(
    report: Report, made: dict[ReportFormat, bytes], format: ReportFormat
) -> None:
    assert render(report, format) == made[format]


def test_a_report_of_real_data_does_not_call_it_synthetic(report: Report) -> None:
    for format in FORMATS:
        content = render(replace(report, note=""), format)
        if format == "pdf":
            content = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages).encode()
        if format in ("csv", "xlsx"):
            with zipfile.ZipFile(io.BytesIO(content)) as parts:
                content = b"".join(parts.read(name) for name in parts.namelist())
        assert b"synthetic" not in content


def test_thirty_pages_take_less_than_three_seconds_of_a_processor(report: Report) -> None:
    long = replace(report, sections=[section(f"section_{n}", 90) for n in range(15)])
    before = time.process_time()
    content = render(long, "pdf")
    spent = time.process_time() - before
    assert len(pypdf.PdfReader(io.BytesIO(content)).pages) >= 30
    assert spent < 3


@pytest.mark.parametrize(
    "chart", [Chart("line", "day", ("usage_mb",), ("share", "saving")), Chart("bars", "label", ("sims",))]
)
@pytest.mark.parametrize("count", [1, 2, 40])
def test_a_chart_is_sound_whatever_its_table(chart: Chart, count: int) -> None:
    drawn = draw(replace(section(count=count), chart=chart), width=360)
    elements = list(ElementTree.fromstring(drawn).iter())
    assert not [element for element in elements if element.tag.endswith("script")]
    assert "nan" not in drawn


def test_a_chart_of_nothing_but_zeros_has_an_axis() -> None:
    nothing = section(count=4).frame.with_columns(usage_mb=pl.lit(0.0))
    assert "nan" not in draw(replace(section(count=4), frame=nothing))


def test_without_the_extra_a_pdf_says_what_to_install(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    with pytest.raises(pdf.MissingPartError, match=r"extra \[reports\]: pip install 'simsight\[reports\]'"):
        render(report, "pdf")


def test_the_file_of_each_format_has_a_name_of_its_own(report: Report) -> None:
    assert file_name(report, "csv") == "simsight-default-2026-05-30-to-2026-06-28.zip"
    assert len({file_name(report, format) for format in FORMATS}) == len(FORMATS)
