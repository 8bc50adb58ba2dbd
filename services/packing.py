"""Values as bytes, to be kept in the database: JSON, NumPy arrays and Arrow frames in one zip archive. Nothing in it is
ever executed.
"""

import io
import json
import zipfile
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

VALUES = "values.json"


def pack(value: Any) -> bytes:
    """A value as bytes: None, bool, int, float, str, date, datetime, NumPy arrays and scalars, Polars frames, and
    lists, tuples and dictionaries of these. `unpack` gives the same types. Raises TypeError, or ValueError for an array
    of objects, for anything else.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(VALUES, json.dumps(_encoded(value, archive)))
    return buffer.getvalue()


def unpack(content: bytes) -> Any:
    """The value that `pack` was given."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _decoded(json.loads(archive.read(VALUES)), archive)


def _encoded(value: Any, archive: zipfile.ZipFile) -> Any:
    """JSON: plain values as they are, the others as [kind, content]; arrays and frames become files of the archive."""
    encoded: Any
    match value:
        case str():  # of NumPy too
            encoded = str(value)
        case np.ndarray() | np.generic():
            buffer = io.BytesIO()
            np.save(buffer, value, allow_pickle=False)
            encoded = ["array" if isinstance(value, np.ndarray) else "scalar", _added(archive, buffer)]
        case pl.DataFrame():
            buffer = io.BytesIO()
            value.write_ipc(buffer, compression="zstd")  # a tenth of the time that the archive's own takes
            encoded = ["frame", _added(archive, buffer, zipfile.ZIP_STORED)]
        case None | bool() | int() | float():
            encoded = value
        case datetime() | date():
            encoded = ["datetime" if isinstance(value, datetime) else "date", value.isoformat()]
        case list() | tuple():
            encoded = ["list" if isinstance(value, list) else "tuple", [_encoded(item, archive) for item in value]]
        case dict():
            pairs = [[_encoded(key, archive), _encoded(item, archive)] for key, item in value.items()]
            encoded = ["dict", pairs]
        case _:
            raise TypeError(f"a {type(value).__name__} cannot be packed")
    return encoded


def _added(archive: zipfile.ZipFile, buffer: io.BytesIO, compression: int = zipfile.ZIP_DEFLATED) -> str:
    name = str(len(archive.namelist()))
    archive.writestr(name, buffer.getvalue(), compression)
    return name


def _decoded(value: Any, archive: zipfile.ZipFile) -> Any:
    if not isinstance(value, list):
        return value
    kind, content = value
    decoded: Any
    match kind:
        case "array" | "scalar":
            array = np.load(io.BytesIO(archive.read(content)), allow_pickle=False)
            decoded = array if kind == "array" else array[()]
        case "frame":
            decoded = pl.read_ipc(io.BytesIO(archive.read(content)))
        case "datetime" | "date":
            decoded = (datetime if kind == "datetime" else date).fromisoformat(content)
        case "list" | "tuple":
            items = [_decoded(item, archive) for item in content]
            decoded = items if kind == "list" else tuple(items)
        case "dict":
            decoded = {_decoded(key, archive): _decoded(item, archive) for key, item in content}
        case _:
            raise ValueError(f"a packed value of the unknown kind {kind!r}")
    return decoded
