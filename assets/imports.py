"""Files that users drop into the landing folder."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.common import OWNERS, RuntimeParam
from services.ingest.file_import import import_file, named_kind
from services.ingest.file_schemas import KINDS, kind_of


class ImportedFile(dg.Config):
    """Which file to import; a name without folders is looked for in the landing folder.

    kind is usage, sims, labels or tickets, by default what the file's name begins with, or usage. mapping gives the file's
    column names ours where they differ; sheet is the one of a workbook, by default the first.
    """

    path: str
    kind: str | None = None
    mapping: dict[str, str] = Field({})
    sheet: str | None = None


@dg.asset(
    group_name="ingest",
    kinds={"python", "csv", "excel", "parquet"},
    owners=OWNERS,
    metadata={"tables": sorted({kind.table for kind in KINDS.values()})},
)
def imported_files(config: ImportedFile, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Usage, SIMs, labels or tickets from a CSV, XLSX or Parquet file: the good rows are stored, the bad ones wait in quarantine.

    The kind is what the file's name begins with (usage where it says nothing); the columns of each are in docs/data.md.
    """
    path = Path(config.path)
    path = path if path.is_absolute() else runtime.settings.landing_folder / path.name
    kind = named_kind(config.kind) if config.kind else kind_of(path)
    imported = import_file(
        runtime.database,
        path,
        kind,
        now=runtime.clock(),
        only_all=False,
        mapping=config.mapping,
        sheet=config.sheet,
    )
    return dg.MaterializeResult(
        metadata={
            "file": path.name,
            "kind": kind.name,
            "dagster/row_count": imported.merged.rows,
            "rows new": imported.merged.new,
            "rows changed": imported.merged.changed,
            "rows quarantined": imported.bad.height,
            "columns not used": imported.ignored,
        }
    )
