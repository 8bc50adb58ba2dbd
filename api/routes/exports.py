"""Whole views as files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from api.dependencies import ReadingForExport
from api.errors import LOST, ProblemError
from resources.files.formats import ExportError, Format
from services.exports import MAX_CONDITIONS, Export, UnknownViewError

router = APIRouter()


MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}
PIECE_BYTES = 256 * 1024


@router.get(
    "/v1/export/{view}",
    tags=["exports"],
    summary="A view of the data or the predictions as a file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file, as an attachment",
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
        },
        **LOST,
    },
)
def export_view(
    reading: ReadingForExport,
    view: Annotated[
        str,
        Path(
            max_length=63,
            description="A documented view without its version, such as sims, sim_usage, sim_quota, sim_events, "
            "usage_forecasts, exhaustions or alerts; 404 lists those there are",
            examples=["exhaustions"],
        ),
    ],
    format: Annotated[Format, Query(description="csv, xlsx or parquet")] = "csv",
    where: Annotated[
        list[str] | None,
        Query(
            max_length=MAX_CONDITIONS,
            description="column=value, with one of = != >= <= > <; repeatable. Several = of one column: any of the "
            "values; all else must hold together; an empty value means none. label= works for every view with an iccid",
            examples=["as_of=2026-01-10"],
        ),
    ] = None,
    columns: Annotated[
        str, Query(max_length=5000, description="Columns, separated by commas; default: all", examples=["iccid,p_14"])
    ] = "",
) -> StreamingResponse:
    """Return all rows, in no particular order. The file is made before the first byte is sent: an answer of 200 is a
    whole file. An export that takes longer than 120 seconds is stopped. In CSV, text that a spreadsheet would run as a
    formula has an apostrophe before it."""
    chosen = [name.strip() for name in columns.split(",")] if columns else []
    file = tempfile.TemporaryFile(prefix="simsight-")  # noqa: SIM115  # without a name: gone when it is closed
    wanted = Export(view, format, where or [], chosen)
    try:
        reading.do(lambda session: session.export(wanted, emptied(file)))
    except UnknownViewError as error:
        file.close()
        raise ProblemError(404, f"{error}.") from None
    except ExportError as error:
        file.close()
        raise ProblemError(422, f"{error}.") from None
    except BaseException:
        file.close()
        raise
    size = file.tell()
    return StreamingResponse(
        pieces_of(file),
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{view}.{format}"', "Content-Length": str(size)},
    )


def emptied(file: IO[bytes]) -> IO[bytes]:
    """A file without what work that failed left in it."""
    file.seek(0)
    file.truncate()
    return file


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(PIECE_BYTES):
            yield piece
