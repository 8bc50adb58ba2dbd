"""Files that users drop into the landing folder."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.common import OWNERS, RuntimeParam
from resources.files.csv_form import csv_options
from services.ingest.file_import import import_file, schema_named
from services.ingest.file_schemas import FILE_SCHEMAS, schema_of
from services.ingest.notation import told_notation


class ImportedFile(dg.Config):
    """Which file to import; a name without folders is looked for in the landing folder.

    kind is usage, sims, labels or tickets, by default what the file's name begins with, or usage. mapping gives the
    file's column names ours where they differ; sheet is the one of a workbook, by default the first. separator (comma,
    semicolon, tab, pipe), decimal (point, comma), dates (day-first, month-first) and encoding (utf-8, utf-16,
    windows-1252) say how the file is written; by default that is found in it.
    """

    path: str
    kind: str | None = None
    mapping: dict[str, str] = Field({})
    sheet: str | None = None
    separator: str | None = None
    decimal: str | None = None
    dates: str | None = None
    encoding: str | None = None


@dg.asset(
    group_name="files_and_stream",
    kinds={"python", "csv", "excel", "parquet"},
    owners=OWNERS,
    metadata={"tables": sorted({schema.table for schema in FILE_SCHEMAS.values()})},
)
def imported_files(config: ImportedFile, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Usage, SIMs, labels or tickets from a CSV, XLSX or Parquet file: valid rows are stored, rejected ones
    quarantined.

    The kind is what the file's name begins with (usage where it says nothing); the columns of each are in docs/data.md.

    If it is red: nothing of the file was stored. The failed run says which row or column is wrong and how to write
    it; correct the file and drop it again, or try it with `simsight import FILE`.
    """
    path = Path(config.path)
    path = path if path.is_absolute() else runtime.settings.landing_folder / path.name
    schema = schema_named(config.kind) if config.kind else schema_of(path)
    imported = import_file(
        runtime.database,
        path,
        schema,
        now=runtime.clock(),
        only_all=False,
        mapping=config.mapping,
        sheet=config.sheet,
        csv=csv_options(config.encoding, config.separator),
        told=told_notation(config.decimal, config.dates),
    )
    return dg.MaterializeResult(
        metadata={
            "file": path.name,
            "kind": schema.name,
            "dagster/row_count": imported.merged.rows,
            "rows new": imported.merged.new,
            "rows changed": imported.merged.changed,
            "rows quarantined": imported.rejected.height,
            "columns not used": imported.ignored,
            "read as": ", ".join(imported.read_as),
            "notes": imported.notes,
            "rows that waited for these SIMs": imported.waited,
        }
    )
