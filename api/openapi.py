"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.schemas.common import Problem

DESCRIPTION = (
    "SIMs, usage, forecasts, exhaustion dates, alerts and reports. Volumes are exact in bytes (accounting "
    "bytes: millionths of a MB) and readable in MB; times are UTC, days are UTC days. Every prediction says which "
    "model made it and what it knew. An API key opens one organization: send it as `Authorization: Bearer ss_...` or "
    "`X-API-Key: ss_...`. A key made with --write also acknowledges, snoozes and resolves alerts and adds, switches "
    "and deletes alert rules; nothing else can be changed here. "
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
                {"name": "exports", "description": "Whole tables as files"},
                {"name": "service", "description": "How the service is doing"},
            ],
        )
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document["components"]["schemas"]
        schemas |= problem.pop("$defs", {}) | {"Problem": problem}
        app.openapi_schema = document
    return app.openapi_schema


def docs_page(document: dict[str, Any]) -> str:
    """The routes as one page without scripts or outside files, so that it works offline."""
    routes = []
    for path, verbs in document["paths"].items():
        for verb, route in verbs.items():
            parameters = "".join(
                f"<tr><td><code>{escape(item['name'])}</code></td><td>{item['in']}</td>"
                f"<td>{escape(item.get('description', ''))}</td></tr>"
                for item in route.get("parameters", [])
            )
            routes.append(
                f"<section><h2><code>{verb.upper()} {escape(path)}</code></h2><p><b>{escape(route['summary'])}.</b> "
                f"{escape(route.get('description', ''))}</p>"
                + (f"<table><tr><th>Parameter<th>In<th>Meaning</tr>{parameters}</table>" if parameters else "")
                + (f"<p>Answers: {escape(', '.join(route['responses']))}</p></section>")
            )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Simsight API</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;"
        "padding:0 1rem;color:#1b1f24}h2{font-size:1.05rem;border-top:1px solid #ccd;padding-top:1rem}"
        "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.15rem .6rem .15rem 0;"
        "vertical-align:top}code{background:#f2f4f7;padding:.1rem .25rem}</style><h1>Simsight API</h1>"
        + "".join(f"<p>{escape(part)}</p>" for part in document["info"]["description"].split("\n\n"))
        + '<p>The whole description for tools: <a href="/openapi.json">openapi.json</a>. An example:</p>'
        '<pre><code>curl -H "X-API-Key: $KEY" "http://localhost:8000/v1/exhaustions?limit=10"</code></pre>'
        + "".join(routes)
        + "</html>"
    )
