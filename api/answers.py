"""Answers made straight from rows: as their documented model would write them, without validating each row.

Rows come from queries of our own, whose columns and types the database ensures. tests/api/test_answers.py holds the
answers of every route against their models.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import orjson
from fastapi import Request, Response
from pydantic import BaseModel

from api.connections import Row
from api.kept import LIST, Kept, OfMoment
from api.schemas.common import BYTES_PER_MB, Volume


@cache
def _fields(model: type[BaseModel]) -> tuple[frozenset[str], list[str]]:
    """The fields of a model, and those of them that are volumes."""
    fields = model.model_fields
    return frozenset(fields), [name for name, field in fields.items() if _is_volume(field.annotation)]


def shaped(model: type[BaseModel], rows: list[Row]) -> list[Row]:
    """Make rows of a query what a model would write: volumes in bytes and MB, columns that are no fields left out.

    Changes the rows themselves. A query selects its columns in the order of the model's fields.
    """
    names, volumes = _fields(model)
    other = rows[0].keys() - names if rows else ()
    for row in rows:
        for name in other:
            del row[name]
        for name in volumes:
            if (value := row[name]) is not None:
                row[name] = volume(value)
    return rows


def volume(value: int) -> dict[str, float]:
    """A volume as answers write it."""
    return {"bytes": value, "mb": value / BYTES_PER_MB}


def with_runs(request: Request, rows: list[Row]) -> list[Row]:
    """Make the ids of MLflow runs in rows addresses, where it is known at which address people reach MLflow."""
    if address := request.app.state.mlflow_url:
        for row in rows:
            if row["mlflow_run"] is not None:
                row["mlflow_run"] = f"{address}/#/runs/{row['mlflow_run']}"
    return rows


def _is_volume(annotation: Any) -> bool:
    return annotation is Volume or any(_is_volume(part) for part in get_args(annotation))


def answer(
    values: Mapping[str, Any], following: str | None = None, *, kept: int | None = None, of_moment: bool = False
) -> Response:
    """Answer with JSON.

    following   Link to the next page (api.dependencies.link) where there is one
    kept        seconds for which the client may keep it (api.kept); None: not at all
    of_moment   of one that is not kept: whether it is OfMoment
    """
    headers = {"Link": following} if following else None
    body = orjson.dumps(values, option=orjson.OPT_UTC_Z)
    if kept is None:
        return (OfMoment if of_moment else Response)(body, media_type="application/json", headers=headers)
    return Kept(body, kept, headers)


def page(
    model: type[BaseModel],
    rows: list[Row],
    following: str | int | None,
    link: str | None,
    *,
    kept: int | None = LIST,
    of_moment: bool = False,
) -> Response:
    """Answer with a page of items of a model and the cursor of the next one."""
    return answer({"items": shaped(model, rows), "next": following}, link, kept=kept, of_moment=of_moment)
