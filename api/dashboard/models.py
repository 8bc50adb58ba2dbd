"""Models: what scores and why, how good it was, and whether it still holds."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api.dashboard.routing import router
from api.dashboard.signing import SignedIn
from api.dashboard.web import page

CHALLENGERS = 3  # of a model


@router.get("/models")
async def models(request: Request, asked: SignedIn) -> Response:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in await asked.rows("api_models", {"challengers": CHALLENGERS}):
        found.setdefault(row["model_name"], []).append(row)
    return page(request, "models.html", models=found)
