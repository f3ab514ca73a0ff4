"""The reference names every address with its scopes, and the OpenAPI document is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from fastapi import FastAPI

from vault.api.app import create_app
from vault.api.docs_page import render
from vault.api.parts import NodeParts
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


def test_every_operation_tells_what_it_answers_when_it_goes_wrong(app: FastAPI) -> None:
    document = app.openapi()
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        problem = operation["responses"]["default"]["content"]["application/problem+json"]
        assert problem["schema"]["$ref"] == "#/components/schemas/Problem"
        assert problem["example"]["code"]
        assert "422" not in operation["responses"], (method, path)
    text = str(document)
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in document["components"]["schemas"], name


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
