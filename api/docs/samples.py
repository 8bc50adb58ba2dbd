"""Examples in the OpenAPI document, and samples of code made of them: curl, Python (httpx) and JavaScript (fetch)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from shlex import quote as shell
from typing import Any
from urllib.parse import quote, urlencode

KEY = "SIMSIGHT_KEY"  # the environment variable of the samples
JSON = "application/json"
EVENTS = "text/event-stream"


def give_examples(document: dict[str, Any]) -> None:
    """Name in the document the example of each body and of each part of a path, as they stand in its schemas."""
    schemas = document["components"]["schemas"]
    for verbs in document["paths"].values():
        for route in verbs.values():
            for item in route.get("parameters", []):
                if item.get("required") and (examples := item["schema"].get("examples")):
                    item["example"] = examples[0]
            for content in route.get("requestBody", {}).get("content", {}).values():
                if (example := example_of(content["schema"], schemas)) is not None:
                    content["example"] = example


def example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """The example of a schema, or one made of those of its fields, without fields that have none; None without any."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    for part in [*schema.get("oneOf", []), *schema.get("anyOf", [])]:
        if (example := example_of(part, schemas)) is not None:
            return example
    body = {name: example_of(part, schemas) for name, part in schema.get("properties", {}).items()}
    return {name: value for name, value in body.items() if value is not None} or None


def with_samples(document: dict[str, Any], address: str) -> dict[str, Any]:
    """The document for a caller, with samples that call the service at an address; the given one is not changed."""
    base = address if address != "/" else ""
    paths = {
        path: {verb: route | {"x-codeSamples": samples(verb, path, route, base)} for verb, route in verbs.items()}
        for path, verbs in document["paths"].items()
    }
    return document | {"servers": [{"url": address}], "paths": paths}


@dataclass(frozen=True)
class Call:
    """A call of a route: its example as it stands in the document.

    kind   media type of the answer
    keyed  whether it needs a key
    body   what is sent, as JSON; None: nothing
    """

    method: str
    url: str
    kind: str
    keyed: bool
    body: Any


def samples(verb: str, path: str, route: dict[str, Any], base: str) -> list[dict[str, str]]:
    """The samples of a route, as many tools know them (x-codeSamples)."""
    call = _call(verb, path, route, base)
    return [
        {"lang": "Shell", "label": "curl", "source": _curl(call)},
        {"lang": "Python", "label": "Python (httpx)", "source": _python(call)},
        {"lang": "JavaScript", "label": "JavaScript (fetch)", "source": _javascript(call)},
    ]


def _call(verb: str, path: str, route: dict[str, Any], base: str) -> Call:
    query = {}
    for item in route.get("parameters", []):
        if item["in"] == "path":
            path = path.replace(f"{{{item['name']}}}", quote(str(item["example"]), safe=""))
        elif item["in"] == "query" and item.get("required"):
            query[item["name"]] = item["example"]
    contents = route.get("requestBody", {}).get("content", {})
    responses = route["responses"]
    answers: dict[str, Any] = (responses.get("200") or responses.get("201") or {}).get("content", {})
    return Call(
        verb.upper(),
        f"{base}{path}{'?' + urlencode(query) if query else ''}",
        next(iter(answers), ""),
        bool(route.get("security")),
        contents.get(JSON, {}).get("example"),
    )


def _curl(call: Call) -> str:
    parts = ["curl"]
    parts += ["-N"] if call.kind == EVENTS else []
    parts += (
        [f"-X {call.method}"]
        if call.method not in ("GET", "POST") or (call.method == "POST" and call.body is None)
        else []
    )
    lines = [" ".join([*parts, shell(call.url)])]
    if call.keyed:
        lines.append(f'-H "X-API-Key: ${KEY}"')
    if call.body is not None:
        lines += [f'-H "Content-Type: {JSON}"', f"-d {shell(json.dumps(call.body, ensure_ascii=False))}"]
    if _is_file(call):
        lines.append(f"-o {_file(call)}")
    return " \\\n  ".join(lines)


def _python(call: Call) -> str:
    arguments = [f'"{call.method}"', f'"{call.url}"']
    arguments += [f'headers={{"X-API-Key": os.environ["{KEY}"]}}'] if call.keyed else []
    arguments += [f"json={_indented(_literal(call.body))}"] if call.body is not None else []
    arguments += ["timeout=None"] if call.kind == EVENTS else ["timeout=120"] if _is_file(call) else []
    given = "".join(f"    {argument},\n" for argument in arguments)
    imports = ("import os\n\n" if call.keyed else "") + "import httpx\n\n"
    if call.kind == EVENTS:
        lines = "    for line in answer.iter_lines():\n        print(line)\n"
        return f"{imports}with httpx.stream(\n{given}) as answer:\n{lines}"
    shown = "print(answer.status_code)"
    if call.kind == JSON:
        shown = "print(answer.json())"
    elif _is_file(call):
        shown = f'with open("{_file(call)}", "wb") as file:\n    file.write(answer.content)'
    return f"{imports}answer = httpx.request(\n{given})\nanswer.raise_for_status()\n{shown}\n"


def _javascript(call: Call) -> str:
    headers = [f'"X-API-Key": process.env.{KEY}'] if call.keyed else []
    headers += [f'"Content-Type": "{JSON}"'] if call.body is not None else []
    options = [f'method: "{call.method}"'] if call.method != "GET" else []
    options += [f"headers: {{{', '.join(headers)}}}"] if headers else []
    if call.body is not None:
        options.append(f"body: JSON.stringify({_indented(json.dumps(call.body, indent=2, ensure_ascii=False), 2)})")
    given = ", {\n" + "".join(f"  {option},\n" for option in options) + "}" if options else ""
    shown = "console.log(answer.status);"
    if call.kind == JSON:
        shown = "console.log(await answer.json());"
    elif call.kind == EVENTS:
        shown = (
            "const text = new TextDecoder();\nfor await (const piece of answer.body) console.log(text.decode(piece));"
        )
    elif _is_file(call):
        shown = 'console.log((await answer.arrayBuffer()).byteLength, "bytes");'
    return (
        f'const answer = await fetch("{call.url}"{given});\n'
        f"if (!answer.ok) throw new Error(await answer.text());\n{shown}\n"
    )


def _is_file(call: Call) -> bool:
    return call.method == "GET" and call.kind not in (JSON, EVENTS, "")


def _file(call: Call) -> str:
    """A name for the answer of a route that gives a file."""
    endings = {"text/csv": "csv", "application/x-ndjson": "ndjson", "text/html": "html", "application/pdf": "pdf"}
    name = call.url.partition("?")[0].rstrip("/").rpartition("/")[2]
    return f"{name}.{endings.get(call.kind.partition(';')[0], 'bin')}"


def _literal(value: Any, depth: int = 0) -> str:
    """A value of JSON as Python writes it."""
    inside, outside = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict) and value:
        rows = "".join(f"{inside}{json.dumps(name)}: {_literal(part, depth + 1)},\n" for name, part in value.items())
        return f"{{\n{rows}{outside}}}"
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        return "[\n" + "".join(f"{inside}{_literal(part, depth + 1)},\n" for part in value) + f"{outside}]"
    if isinstance(value, list):
        return f"[{', '.join(_literal(part) for part in value)}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _indented(text: str, spaces: int = 4) -> str:
    return text.replace("\n", "\n" + " " * spaces)
