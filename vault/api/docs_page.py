"""The reference page, made of the OpenAPI document: plain HTML that loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final, cast

_METHODS: Final = ("get", "head", "put", "post", "patch", "delete", "options")
_STYLE: Final = """
:root{color-scheme:light dark;--line:#8886;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:0 auto;padding:1rem 1.25rem 4rem}
h1{margin-bottom:0}h2{border-bottom:1px solid var(--line);margin-top:2.5rem}
code,pre{font-family:ui-monospace,monospace;font-size:.92em}
pre{background:var(--soft);padding:.75rem;overflow:auto;border-radius:4px}
details{border:1px solid var(--line);border-radius:6px;margin:.6rem 0;padding:.4rem .8rem}
summary{cursor:pointer}summary code{font-weight:600}
.m{display:inline-block;min-width:4.2rem;font-weight:700;font-family:ui-monospace,monospace}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line)}
nav a{margin-right:1rem}.q{opacity:.75}
"""

_Node = Mapping[str, object]


def render(document: _Node) -> str:
    """Return the page of an OpenAPI 3.1 document."""
    info = _node(document.get("info"))
    title, version = str(info.get("title", "")), str(info.get("version", ""))
    groups: dict[str, list[str]] = {}
    for path, item in _node(document.get("paths")).items():
        for method in _METHODS:
            operation = _node(_node(item).get(method))
            if operation:
                tags = _list(operation.get("tags"))
                groups.setdefault(str(tags[0]) if tags else "other", []).append(_operation(method, path, operation))
    schemas = _node(_node(document.get("components")).get("schemas"))
    nav = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in [*groups, "models"])
    body = "".join(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(parts)}' for tag, parts in groups.items())
    models = "".join(_schema(name, _node(schema)) for name, schema in sorted(schemas.items()))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>'
        f'<h1>{escape(title)}</h1><p class="q">{escape(version)} · <a href="/openapi.json">openapi.json</a></p>'
        f"{_prose(str(info.get('description', '')))}<nav>{nav}</nav>{body}"
        f'<h2 id="models">models</h2>{models}</body></html>'
    )


def _operation(method: str, path: str, operation: _Node) -> str:
    parts = [_prose(str(operation.get("description", "")))]
    parameters = [_node(p) for p in _list(operation.get("parameters"))]
    if parameters:
        rows = "".join(
            f"<tr><td><code>{escape(str(p.get('name')))}</code></td><td>{escape(str(p.get('in')))}</td>"
            f"<td>{escape(_type(_node(p.get('schema'))))}</td><td>{_inline(str(p.get('description', '')))}</td></tr>"
            for p in parameters
        )
        parts.append(f"<table><tr><th>Parameter<th>In<th>Type<th>Meaning</tr>{rows}</table>")
    body = _node(operation.get("requestBody"))
    if body:
        kinds = ", ".join(f"{escape(name)}: {_reference(_node(m))}" for name, m in _node(body.get("content")).items())
        parts.append(f"<p>Body: {kinds}. {_inline(str(body.get('description', '')))}</p>")
    parts.append("<table><tr><th>Answer<th>Meaning<th>Content</tr>")
    for status, answer in _node(operation.get("responses")).items():
        content = _node(_node(answer).get("content"))
        kinds = ", ".join(f"{escape(name)} {_reference(_node(m))}" for name, m in content.items())
        parts.append(
            f"<tr><td><code>{escape(status)}</code></td><td>{_inline(str(_node(answer).get('description', '')))}</td>"
            f"<td>{kinds}</td></tr>"
        )
    parts.append("</table>")
    parts.extend(
        f"<pre>{escape(str(_node(sample).get('source')))}</pre>" for sample in _list(operation.get("x-codeSamples"))
    )
    parts.extend(_examples(operation))
    summary = escape(str(operation.get("summary", "")))
    head = f'<span class="m">{method.upper()}</span><code>{escape(path)}</code> <span class="q">{summary}</span>'
    return f"<details><summary>{head}</summary>{''.join(parts)}</details>"


def _examples(operation: _Node) -> Iterator[str]:
    for status, answer in _node(operation.get("responses")).items():
        for media in _node(_node(answer).get("content")).values():
            example = _node(media).get("example")
            if example is not None and status != "default":
                shown = escape(json.dumps(example, ensure_ascii=False, indent=2))
                yield f"<p>Example of {escape(status)}:</p><pre>{shown}</pre>"
                return


def _schema(name: str, schema: _Node) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(member)}</code></td><td>{_linked(_node(value))}</td>"
        f"<td>{_inline(str(_node(value).get('description', '')))}</td></tr>"
        for member, value in _node(schema.get("properties")).items()
    )
    if not rows:
        rows = f"<tr><td colspan=3>{escape(_type(schema))}</td></tr>"
    return (
        f'<details id="model-{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"{_prose(str(schema.get('description', '')))}<table>{rows}</table></details>"
    )


def _reference(media: _Node) -> str:
    return _linked(_node(media.get("schema")))


def _linked(schema: _Node) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name:
        return f'<a href="#model-{escape(name)}">{escape(name)}</a>'
    if schema.get("type") == "array":
        return f"list of {_linked(_node(schema.get('items')))}"
    variants = [_node(variant) for variant in _list(schema.get("anyOf"))]
    if variants:
        return " or ".join(_linked(variant) for variant in variants)
    return escape(_type(schema))


def _type(schema: _Node) -> str:
    values = _list(schema.get("enum"))
    if values:
        return " | ".join(str(value) for value in values)
    variants = [_node(variant) for variant in _list(schema.get("anyOf"))]
    if variants:
        return " or ".join(_type(variant) for variant in variants)
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    kind = reference or str(schema.get("type", "any"))
    form = schema.get("format")
    return f"{kind} ({form})" if form else kind


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(part)}</p>" for part in text.split("\n\n") if part.strip())


def _inline(text: str) -> str:
    pieces = escape(text).replace("``", "`").split("`")
    return "".join(f"<code>{piece}</code>" if at % 2 else piece for at, piece in enumerate(pieces))


def _node(value: object) -> _Node:
    return cast("_Node", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
