"""Files that users drop into the landing folder."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.common import OWNERS, RuntimeParam
from services.ingest.file_import import import_file, schema_named
from services.ingest.file_schemas import FILE_SCHEMAS, schema_of


class ImportedFile(dg.Config):
    """Which file to import; a name without folders is looked for in the landing folder.

    kind is usage, sims, labels or tickets, by default what the file's name begins with, or usage. mapping gives the
    file's column names ours where they differ; sheet is the one of a workbook, by default the first.
    """

    path: str
    kind: str | None = None
    mapping: dict[str, str] = Field({})
    sheet: str | None = None


@dg.asset(
    group_name="ingest",
    kinds={"python", "csv", "excel", "parquet"},
    owners=OWNERS,
    metadata={"tables": sorted({schema.table for schema in FILE_SCHEMAS.values()})},
)
def imported_files(config: ImportedFile, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Usage, SIMs, labels or tickets from a CSV, XLSX or Parquet file: valid rows are stored, rejected ones
    quarantined.

    The kind is what the file's name begins with (usage where it says nothing); the columns of each are in docs/data.md.
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
        }
    )
