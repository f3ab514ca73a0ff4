"""Answers that need not be sent again: an entity tag made of the answer itself, and ``If-None-Match``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Self

from fastapi import Request
from fastapi.responses import Response

from vault import wire
from vault.api.headers import entity_tag_matches

Responses = dict[int | str, dict[str, Any]]

_TAG_DIGITS: Final = 32


def described(model: type[wire.Model], what: str) -> Responses:
    """What the OpenAPI document says of such an answer."""
    return {
        200: {"description": what, "model": model},
        304: {"description": "`If-None-Match` names what would be answered: nothing changed."},
    }


@dataclass(frozen=True, slots=True)
class Document:
    """An answer as it is sent, and its entity tag."""

    body: bytes
    tag: str

    @classmethod
    def of(cls, document: wire.Model) -> Self:
        """The document, written out."""
        body = document.model_dump_json().encode()
        return cls(body, hashlib.sha256(body).hexdigest()[:_TAG_DIGITS])


def answer(request: Request, document: wire.Model | Document) -> Response:
    """Answer with the document, or 304 where the client has it already.

    The tag is weak, so that nobody takes it for that of a version: ``If-Match`` of a deposit wants ``"vN"``.
    """
    made = document if isinstance(document, Document) else Document.of(document)
    headers = {"ETag": f'W/"{made.tag}"', "Cache-Control": "private, no-cache"}
    known = ", ".join(request.headers.getlist("if-none-match"))
    if known and entity_tag_matches(known, made.tag):
        return Response(status_code=304, headers=headers)
    return Response(made.body, headers=headers, media_type="application/json")
