"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import problems
from api.schemas.common import Problem

DESCRIPTION = (
    "SIMs, usage, forecasts, exhaustion dates, alerts and reports. Volumes are exact in bytes (accounting "
    "bytes: millionths of a MB) and readable in MB; times are UTC, days are UTC days. Every prediction says which "
    "model made it and what it knew. An API key opens one organization: send it as `Authorization: Bearer ss_...` or "
    "`X-API-Key: ss_...`; a token of the identity provider, where one is set, goes the first way. A key has scopes, "
    "and each route says which it needs: `read`; `alerts` acts on alerts, writes rules, corrects tickets and decides "
    "on recommendations; `actions` requests and approves actions at 1NCE, of the kinds that are switched on; `admin` "
    "makes, rotates and revokes keys. Nothing else can be changed here. "
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


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "h2{font-size:1.05rem;border-top:1px solid #ccd;padding-top:1rem}h3{font-size:1rem;margin-bottom:.2rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.15rem .6rem .15rem 0;vertical-align:top}"
    "code{background:#f2f4f7;padding:.1rem .25rem}pre{overflow-x:auto}"
)


def docs_page(document: dict[str, Any], address: str) -> str:
    """The routes, their bodies and answers as one page without scripts or outside files, so that it works offline.

    address   the URL under which the service was called
    """
    schemas = document["components"]["schemas"]
    base = address if address != "/" else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Simsight API</title><style>{STYLE}</style><h1>Simsight API</h1>"
        + "".join(f"<p>{escape(part)}</p>" for part in document["info"]["description"].split("\n\n"))
        + '<p>The whole description for tools: <a href="openapi.json">openapi.json</a>. An example:</p>'
        f'<pre><code>curl -H "X-API-Key: $KEY" "{escape(base)}/v1/exhaustions?limit=10"</code></pre>'
        + "".join(
            _route(verb, path, route, schemas)
            for path, verbs in document["paths"].items()
            for verb, route in verbs.items()
        )
        + "<h2>What is sent and answered</h2>"
        + "".join(_schema(name, schema) for name, schema in sorted(schemas.items()))
        + "</html>"
    )


def _route(verb: str, path: str, route: dict[str, Any], schemas: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{item['in']}{', needed' if item.get('required') else ''}"
        f"</td><td>{_type(item['schema'])}</td><td>{_meaning(item['schema'], item.get('description', ''))}</td></tr>"
        for item in route.get("parameters", [])
    )
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}</td>"
        f"<td>{'<br>'.join(_content(kind, content) for kind, content in answer.get('content', {}).items())}</td></tr>"
        for status, answer in route["responses"].items()
    )
    body = route.get("requestBody", {})
    sent = "".join(
        f"<p>Body: {_type(content['schema'])}{'' if body.get('required') else ', may be left out'}, as {escape(kind)}. "
        f"{escape(body.get('description', ''))}</p>{_example(content['schema'], schemas)}"
        for kind, content in body.get("content", {}).items()
    )
    return (
        f"<section><h2><code>{verb.upper()} {escape(path)}</code></h2><p><b>{escape(route['summary'])}.</b> "
        f"{escape(route.get('description', ''))}</p>"
        + (f"<table><tr><th>Parameter<th>In<th>Type<th>Meaning</tr>{parameters}</table>" if parameters else "")
        + f"{sent}<table><tr><th>Answer<th>Meaning<th>Body</tr>{answers}</table></section>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    fields = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(part)}{', needed' if field in needed else ''}</td>"
        f"<td>{_meaning(part, part.get('description', ''))}</td></tr>"
        for field, part in schema.get("properties", {}).items()
    )
    return (
        f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>'
        f"<table><tr><th>Field<th>Type<th>Meaning</tr>{fields}</table>"
    )


def _content(kind: str, content: dict[str, Any]) -> str:
    schema = content.get("schema", {})
    return (f"{_type(schema)}, as " if "$ref" in schema else "") + escape(kind)


def _type(schema: dict[str, Any]) -> str:
    """The type in a word, with a link where it is a schema of its own."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"<code>{escape(str(word))}</code>" for word in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(schema.get("format") or schema.get("type") or "anything")


def _meaning(schema: dict[str, Any], description: str) -> str:
    said = [description] if description else []
    if schema.get("default") not in (None, ""):
        said.append(f"Default: {schema['default']}")
    if schema.get("examples"):
        said.append(f"Example: {json.dumps(schema['examples'][0])}")
    return escape(". ".join(text.rstrip(".") for text in said))


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A body of a schema's own examples, fields without one left out."""
    name = next((part["$ref"] for part in [schema, *schema.get("anyOf", [])] if "$ref" in part), "").rpartition("/")[2]
    fields = schemas.get(name, {}).get("properties", {})
    body = {field: part["examples"][0] for field, part in fields.items() if part.get("examples")}
    return f"<pre><code>{escape(json.dumps(body, indent=2))}</code></pre>" if body else ""
