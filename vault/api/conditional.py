"""Answers that need not be sent again: an entity tag made of the answer itself, and ``If-None-Match``."""

from __future__ import annotations

import hashlib
from typing import Any, Final

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


def answer(request: Request, document: wire.Model) -> Response:
    """Answer with the document, or 304 where the client has it already.

    The tag is weak, so that nobody takes it for that of a version: ``If-Match`` of a deposit wants ``"vN"``.
    """
    body = document.model_dump_json().encode()
    tag = hashlib.sha256(body).hexdigest()[:_TAG_DIGITS]
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, no-cache"}
    known = ", ".join(request.headers.getlist("if-none-match"))
    if known and entity_tag_matches(known, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
