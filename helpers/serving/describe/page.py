"""The document as a page: a list of what can be asked, and for each a form that asks it.

The list and the commands are there without JavaScript; the forms need it. Nothing is fetched from elsewhere.
"""

import re
import shlex
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from helpers.serving.describe.operations import JSON
from helpers.serving.describe.schemas import PLACE, Schema

CONTENT_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    b"connect-src 'self'; img-src blob: data:"
)
TEXTS = (JSON, "text/csv")


def page(document: Mapping[str, Any], host: str) -> str:
    """The whole page. ``host`` is how the reader's browser reaches the server."""
    address = f"http://{host}" if re.fullmatch(r"[\w.:\[\]-]+", host) else "http://localhost:3000"
    shown: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    number = 0
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            number += 1
            shown[told["tags"][0]].append(_operation(f"op{number}", method.upper(), path, told, document, address))
    sections = "".join(
        f'<section aria-labelledby="tag{place}"><h2 id="tag{place}">{escape(tag)}</h2>{"".join(operations)}</section>'
        for place, (tag, operations) in enumerate(shown.items())
    )
    return _template().replace("{{title}}", escape(document["info"]["title"])).replace("{{sections}}", sections)


@cache
def _template() -> str:
    return Path(__file__).with_name("page.html").read_text("utf-8")


def _operation(
    ident: str, method: str, path: str, told: Mapping[str, Any], document: Mapping[str, Any], address: str
) -> str:
    body: dict[str, Any] = told.get("requestBody", {}).get("content", {})
    parts = [f"<p>{escape(told['description'])}</p>"] if "description" in told else []
    if body:
        parts.append(_table("Takes", body, document))
    good = {status: response for status, response in told["responses"].items() if "$ref" not in response}
    parts += [
        _table(f"Gives, with status {status}", each.get("content", {}), document) for status, each in good.items()
    ]
    parts.append(_command(ident, method, path, body, address))
    parts.append(_form(ident, method, path, body))
    return (
        f'<details id="{ident}"><summary><h3><code><b>{method}</b> {escape(path)}</code> '
        f"<span>{escape(told['summary'])}</span></h3></summary>{''.join(parts)}</details>"
    )


def _table(title: str, content: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """For JSON objects a line for each property, and a line for each other kind of body."""
    rows = []
    for kind, media in content.items():
        schema = _resolved(media["schema"], document)
        if schema.get("properties") and "description" not in schema:
            needed = schema.get("required", ())
            for name, each in schema["properties"].items():
                optional = "" if name in needed else ", optional"
                rows.append((f"{kind}: {name}", _in_words(_resolved(each, document)) + optional))
        else:
            rows.append((kind, _in_words(schema)))
    if not rows:
        rows.append(("no body", ""))
    lines = "".join(f"<tr><th scope=row>{escape(left)}</th><td>{escape(right)}</td></tr>" for left, right in rows)
    return f"<table><caption>{escape(title)}</caption>{lines}</table>"


def _in_words(schema: Schema) -> str:
    if "$ref" in schema:  # by name only: a type may hold itself
        return str(schema["$ref"].removeprefix(PLACE))
    if "description" in schema:
        return str(schema["description"])
    if "anyOf" in schema:
        return " or ".join(_in_words(each) for each in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("format") == "binary":
        return "the bytes of a file"
    if schema.get("type") == "array" and "items" in schema:
        return f"a list of: {_in_words(schema['items'])}"
    if schema.get("type") == "object" and schema.get("properties"):
        inside = (f"{name}: {_in_words(each)}" for name, each in schema["properties"].items())
        return f"an object with {', '.join(inside)}"
    kind = schema.get("type", "anything")
    return " or ".join(kind) if isinstance(kind, list) else str(schema.get("title", kind))


def _resolved(schema: Schema, document: Mapping[str, Any]) -> Schema:
    reference = schema.get("$ref")
    return document["components"]["schemas"][reference.removeprefix(PLACE)] if reference else schema


def _command(ident: str, method: str, path: str, body: Mapping[str, Any], address: str) -> str:
    """A line for a shell. An example that is too long to be shown is fetched first."""
    told = ["curl", "-X", method] if method == "DELETE" or (method == "POST" and not body) else ["curl"]
    if JSON in body:
        given = body[JSON].get("example")
        if given is None:
            told = ["curl", "-s", shlex.quote(f"{address}/docs/example{path}"), "|", *told]
        data = "@-" if given is None else shlex.quote(msgspec.json.encode(given).decode())
        told += ["-H", f"'Content-Type: {JSON}'", "-d", data]
    line = escape(" ".join([*told, shlex.quote(address + re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), path))]))
    return (
        f'<h4 id="{ident}-curl">On a command line</h4>'
        f'<pre tabindex=0 role=region aria-labelledby="{ident}-curl"><code>{line}</code></pre>'
        f"<button type=button class=copy>Copy<span class=hidden> the command for {escape(path)}</span></button>"
    )


def _form(ident: str, method: str, path: str, body: Mapping[str, Any]) -> str:
    fields = [
        f'<label for="{ident}-{name}">{name}</label><input id="{ident}-{name}" data-part="{name}" required>'
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    if body:
        options = "".join(f"<option>{escape(kind)}</option>" for kind in body)
        fields.append(f'<label for="{ident}-kind">Content type</label><select id="{ident}-kind">{options}</select>')
    for place, (kind, media) in enumerate(body.items()):
        field, given = f"{ident}-body{place}", media.get("example")
        hidden = " hidden" if place else ""
        if kind not in TEXTS:
            inner = f'<label for="{field}">A file</label><input type=file id="{field}">'
        else:
            text = "" if given is None else given if kind != JSON else msgspec.json.encode(given).decode()
            inner = f'<label for="{field}">Body</label>'
            inner += f'<textarea id="{field}" rows=4 spellcheck=false>{escape(text)}</textarea>'
            if given is None:
                inner += f'<p><a class=fill href="docs/example{escape(path)}">The example is long: fill it in</a></p>'
        fields.append(f'<div data-kind="{escape(kind)}"{hidden}>{inner}</div>')
    return (
        f'<h4 id="{ident}-try">Try it</h4><form data-method="{method}" data-path="{escape(path)}" '
        f'aria-labelledby="{ident}-try">{"".join(fields)}<button>Send</button>'
        f"<noscript> Sending needs JavaScript; the command does not.</noscript>"
        f"<div class=answer role=status></div></form>"
    )
