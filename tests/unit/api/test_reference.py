"""The reference names every address with its scopes, and the OpenAPI document is whole."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from vault import wire
from vault.api.app import create_app
from vault.api.docs_page import render
from vault.api.parts import NodeParts
from vault.api.problems import PROBLEMS
from vault.clock import utcnow
from vault.config import parse_settings

REPO = Path(__file__).parents[3]
CONFIG = """
[node]
name = "test"
[[volume]]
name = "nas-a"
kind = "directory"
path = "/srv/nas-a"
domain = "nas-a"
site = "one"
[[policy]]
name = "default"
disk = 1
"""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    # Only the routes are looked at; nothing is asked of a node.
    parts = SimpleNamespace(settings=parse_settings(CONFIG, Path("vault.toml")), catalogue=None, clock=utcnow)
    return create_app(cast("NodeParts", parts))


def operations(document: dict) -> Iterator[tuple[str, str, dict]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def documented() -> dict[str, str]:
    text = (REPO / "docs/reference/api.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([A-Z]+ /[^`]*)` \| ([a-z, ]*) ?\|", text, re.MULTILINE))


def test_every_address_is_in_the_reference_and_no_other(app: FastAPI) -> None:
    served = {f"{method} {path}" for method, path, _ in operations(app.openapi())}
    assert set(documented()) == served | {"GET /docs", "GET /openapi.json"}


def resolved(document: dict, node: dict) -> dict:
    while "$ref" in node:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def test_every_operation_tells_what_it_answers_when_it_goes_wrong(app: FastAPI) -> None:
    document = app.openapi()
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert "default" not in operation["responses"], "each status stands there by itself"
        assert {"400", "401", "403", "429", "500", "503"} <= set(operation["responses"]), (method, path)
        for status, answer in operation["responses"].items():
            if int(status) < 400 or (path, status) == ("/readyz", "503"):
                continue
            (media,) = resolved(document, answer)["content"].items()
            assert media[0] == "application/problem+json"
            assert media[1]["schema"]["$ref"] == "#/components/schemas/Problem"
            example = wire.Problem.model_validate(media[1]["example"])
            assert example.status == int(status), (method, path)
            assert PROBLEMS[example.code].status == int(status)
    text = str(document)
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in document["components"]["schemas"], name


def test_every_answer_and_body_has_an_example_that_fits(app: FastAPI) -> None:
    document = app.openapi()
    seen = 0
    for method, path, operation in operations(document):
        medias = [m for a in operation["responses"].values() for m in resolved(document, a).get("content", {}).items()]
        for kind, media in [*medias, *operation.get("requestBody", {}).get("content", {}).items()]:
            schema = media.get("schema", {})
            if schema.get("format") == "binary" or kind == "text/event-stream":
                continue
            assert "example" in media or "examples" in media, (method, path, kind)
            name = schema.get("$ref", "").rpartition("/")[2]
            model = getattr(wire, name, None)
            if model is not None:
                model.model_validate(media["example"])
                assert not isinstance(media["example"], dict) or set(media["example"]) >= set(
                    resolved(document, schema).get("required", ())
                )
                seen += 1
    assert seen > 100


def test_operations_are_named_once_and_say_who_may(app: FastAPI) -> None:
    names = [operation["operationId"] for _, _, operation in operations(app.openapi())]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)
    for _, path, operation in operations(app.openapi()):
        scopes = operation.get("x-khoso-scopes", [])
        listed = documented()[f"{_.upper()} {path}"]
        assert sorted(scopes) == sorted(scope.strip() for scope in listed.split(",") if scope.strip()), path
        assert operation["security"] == ([{"bearer": []}] if scopes else [{}, {"bearer": []}])


def test_each_call_has_its_curl_command(app: FastAPI) -> None:
    document = app.openapi()
    page = render(document)
    for method, path, operation in operations(document):
        (sample,) = operation["x-codeSamples"]
        words = shlex.split(sample["source"])
        # It names this very address with this very method, shows a token where one is needed, and leaves nothing open.
        assert words[0] == "curl"
        said = words[words.index("--request") + 1] if "--request" in words else "HEAD" if "--head" in words else "GET"
        assert said == method
        place = urlsplit(words[-1].removeprefix("$NODE")).path
        pattern = re.sub(r"\\{[^}]*\\}", "[^{}]+", re.escape(path))
        assert re.fullmatch(pattern, place), (path, place)
        assert ("Authorization: Bearer $TOKEN" in words) == ({} not in operation["security"])
        bodies = operation.get("requestBody", {}).get("content", {})
        if "application/json" in bodies:
            assert json.loads(words[words.index("--data") + 1]) == bodies["application/json"]["example"]
        assert ("--upload-file" in words) == bool(bodies and "application/json" not in bodies)
        assert escape(sample["source"]) in page, (method, path)


def test_the_page_loads_nothing_from_anywhere(app: FastAPI) -> None:
    page = render(app.openapi())
    assert "/v1/packages/{identifier}" in page
    assert not re.search(r"<script|<img|<link|@import|url\(|https?://", page)


def test_the_page_escapes_what_it_shows() -> None:
    page = render(
        {
            "info": {"title": "<b>", "version": "1", "description": "a `<i>` & b"},
            "paths": {"/<x>": {"get": {"summary": "<s>", "responses": {"200": {"description": "<d>"}}}}},
        }
    )
    assert "<b>" not in page.replace("<body>", "")
    assert "&lt;x&gt;" in page
    assert "<code>&lt;i&gt;</code> &amp; b" in page


def test_every_whole_number_that_a_client_may_send_is_bounded(app: FastAPI) -> None:
    """The catalogue has 64 bits for a number, JSON 53; what is larger is the client's fault, and told as such."""
    document = app.openapi()
    unbounded: list[str] = []

    def look(where: str, schema: dict, seen: frozenset[str] = frozenset()) -> None:
        name = schema.get("$ref", "").rpartition("/")[2]
        if name and name not in seen:
            look(where, document["components"]["schemas"][name], seen | {name})
        if schema.get("type") == "integer" and schema.get("maximum", 2**63) >= 2**63:
            unbounded.append(where)
        for key, inner in schema.get("properties", {}).items():
            look(f"{where}.{key}", inner, seen)
        for inner in (*schema.get("anyOf", ()), *filter(None, [schema.get("items")])):
            look(where, inner, seen)

    for method, path, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            look(f"{method} {path} {parameter['name']}", parameter["schema"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            look(f"{method} {path}", content["schema"])
    assert unbounded == []
