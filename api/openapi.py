"""The OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.docs.samples import give_examples
from api.errors import problems
from api.schemas.common import Problem

DESCRIPTION = (
    "SIMs, usage, forecasts, exhaustion dates, alerts and reports. Volumes are exact in bytes (accounting "
    "bytes: millionths of a MB) and readable in MB; times are UTC, days are UTC days. Every prediction says which "
    "model made it and what it knew. An API key opens one organization: send it as `Authorization: Bearer ss_...` or "
    "`X-API-Key: ss_...`; a token of the identity provider, where one is set, goes the first way. A key has scopes, "
    "and each route says which it needs: `read`; `alerts` acts on alerts, writes rules, corrects tickets, labels SIMs "
    "and decides on recommendations; `actions` requests and approves actions at 1NCE, of the kinds that are switched "
    "on; `admin` makes, rotates and revokes keys and plans reports. Nothing else can be changed here. "
    "Answers with an ETag may be kept for as long as Cache-Control says; If-None-Match asks whether one is still so "
    "(304). "
    "1NCE's Data Streamer alone brings records, with the secret of its stream."
)


def openapi_document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=[
                {"name": "SIMs", "description": "SIM cards and what they used"},
                {"name": "predictions", "description": "What the models and rules say"},
                {"name": "alerts", "description": "Rules, what becomes of alerts, and a live stream of it"},
                {"name": "assistant", "description": "Short answers for apps and assistants"},
                {"name": "actions", "description": "What may be done at 1NCE: off unless switched on"},
                {"name": "access", "description": "Keys and the organization: for administrators"},
                {"name": "exports", "description": "Whole tables as files"},
                {"name": "service", "description": "How the service is doing"},
            ],
        )
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document["components"]["schemas"]
        schemas |= problem.pop("$defs", {}) | {"Problem": problem}
        for verbs in document["paths"].values():
            for route in verbs.values():
                _say_scope(route)
        give_examples(document)
        app.openapi_schema = document
    return app.openapi_schema


def _say_scope(route: dict[str, Any]) -> None:
    """Say in words too which scope a route needs: the security requirements name it."""
    needed = sorted({scope for way in route.get("security", []) for scopes in way.values() for scope in scopes})
    if not needed:
        return
    said = f"Needs the scope {' and '.join(f'`{scope}`' for scope in needed)}."
    route["description"] = f"{route.get('description', '').rstrip()}\n\n{said}".strip()
    for status, problem in problems(403, 429).items():
        route["responses"].setdefault(str(status), problem)
    route["responses"] = dict(sorted(route["responses"].items()))
