"""The whole description of the API as one page without scripts or outside files, so that it works offline."""

from __future__ import annotations

import json
from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "h2{font-size:1.05rem;border-top:1px solid #ccd;padding-top:1rem}h3{font-size:1rem;margin-bottom:.2rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.15rem .6rem .15rem 0;vertical-align:top}"
    "code{background:#f2f4f7;padding:.1rem .25rem}pre{overflow-x:auto}"
)


def plain_page(document: dict[str, Any]) -> str:
    """The routes, their bodies, answers and samples (api.docs.samples: with_samples gave them) as HTML."""
    schemas = document["components"]["schemas"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Simsight API</title><style>{STYLE}</style><h1>Simsight API</h1>"
        + "".join(f"<p>{escape(part)}</p>" for part in document["info"]["description"].split("\n\n"))
        + '<p>The whole description for tools: <a href="../openapi.json">openapi.json</a>; to be tried out: '
        '<a href="../docs">docs</a>.</p>'
        + "".join(
            _route(verb, path, route) for path, verbs in document["paths"].items() for verb, route in verbs.items()
        )
        + "<h2>What is sent and answered</h2>"
        + "".join(_schema(name, schema) for name, schema in sorted(schemas.items()))
        + "</html>"
    )


def _route(verb: str, path: str, route: dict[str, Any]) -> str:
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
        f"{escape(body.get('description', ''))}</p>{_example(content)}"
        for kind, content in body.get("content", {}).items()
    )
    return (
        f"<section><h2><code>{verb.upper()} {escape(path)}</code></h2><p><b>{escape(route['summary'])}.</b> "
        f"{escape(route.get('description', ''))}</p>"
        + (f"<table><tr><th>Parameter<th>In<th>Type<th>Meaning</tr>{parameters}</table>" if parameters else "")
        + f"{sent}<table><tr><th>Answer<th>Meaning<th>Body</tr>{answers}</table>{_samples(route)}</section>"
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
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(part) for part in parts)
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


def _example(content: dict[str, Any]) -> str:
    example = content.get("example")
    return "" if example is None else f"<pre><code>{escape(json.dumps(example, indent=2))}</code></pre>"


def _samples(route: dict[str, Any]) -> str:
    return "".join(
        f"<details><summary>{escape(one['label'])}</summary><pre><code>{escape(one['source'])}</code></pre></details>"
        for one in route["x-codeSamples"]
    )
