"""Answers made straight from rows: as their documented model would write them, without validating each row.

Rows come from queries of our own, whose columns and types the database ensures. tests/api/test_answers.py holds the
answers of every route against their models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_args

import orjson
from fastapi import Response
from pydantic import BaseModel

from api.database import Row
from api.schemas.common import BYTES_PER_MB, Volume


@cache
def shape_of(model: type[BaseModel]) -> Callable[[Row], dict[str, Any]]:
    """A function that picks the fields of a model from a row and writes volumes in bytes and MB."""
    names = list(model.model_fields)
    volumes = [name for name, field in model.model_fields.items() if _is_volume(field.annotation)]

    def shape(row: Row) -> dict[str, Any]:
        shaped = {name: row[name] for name in names}
        for name in volumes:
            value = shaped[name]
            if value is not None:
                shaped[name] = {"bytes": value, "mb": value / BYTES_PER_MB}
        return shaped

    return shape


def _is_volume(annotation: Any) -> bool:
    return annotation is Volume or any(_is_volume(part) for part in get_args(annotation))


def answer(values: Mapping[str, Any], following: str | None = None) -> Response:
    """Answer with JSON, with a Link to the next page (api.dependencies.link) where there is one."""
    headers = {"Link": following} if following else None
    return Response(orjson.dumps(values, option=orjson.OPT_UTC_Z), media_type="application/json", headers=headers)


def page(model: type[BaseModel], rows: list[Row], following: str | int | None, link: str | None) -> Response:
    """Answer with a page of items of a model and the cursor of the next one."""
    return answer({"items": list(map(shape_of(model), rows)), "next": following}, link)
