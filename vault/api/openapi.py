"""What the OpenAPI document says of answers beside their models: problem documents, examples, and bytes."""

from __future__ import annotations

from typing import Any, Final

from vault import wire

Responses = dict[int | str, dict[str, Any]]

PROBLEM_MEDIA: Final = "application/problem+json"

_RECEIPT_EXAMPLE: Final = {
    "format": "khoso-receipt/1",
    "node": "sonla-1",
    "ingest": "4f1c6f0e-6b57-4a54-8f1e-0f0f4a8a4f5e",
    "identifier": "H49.61.8/2025/0012",
    "version": "v1",
    "copies": [{"volume": "nas-a", "state": "good", "proved_at": "2026-11-22T10:40:42.123456Z"}],
    "signature": {"algorithm": "Ed25519", "key_id": "0123456789abcdef", "public_key": "…", "value": "…"},
}
_OBJECT: Final = {"type": "object", "additionalProperties": True}


def problem(description: str) -> dict[str, Any]:
    """An answer that is a problem document; :mod:`vault.api.contract` adds an example."""
    return {
        "description": description,
        "content": {PROBLEM_MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


PROBLEM: Final[Responses] = {}
"""What holds for every address is added by :mod:`vault.api.contract`."""

_RECEIPT: Final = {"application/json": {"schema": _OBJECT, "example": _RECEIPT_EXAMPLE}}
RECEIPT: Final[Responses] = {200: {"description": "The receipt, as it was signed.", "content": _RECEIPT}}
INGEST: Final[Responses] = {200: {"description": "The deposit.", "model": wire.Ingest}}
DEPOSIT: Final[Responses] = {
    201: {"description": "Stored; the body is the signed receipt.", "content": _RECEIPT},
    200: {"description": "The same content was stored before; the body is its receipt.", "content": _RECEIPT},
    202: {"description": "Stored; not enough copies are good yet. Ask at `Location`.", "model": wire.Ingest},
    400: problem("What was sent is not right; `faults` lists everything that was found."),
    409: problem("Other content is stored under this identifier."),
    412: problem("`If-Match` or `If-None-Match` does not hold."),
    413: problem("It is larger than this node accepts."),
    415: problem("The body has a `Content-Encoding`."),
    422: problem("It is marked as a state secret, and nothing of it was kept."),
    503: problem("No volume can be written to, or too many deposits are on their way; see `Retry-After`."),
    507: problem("No volume has room."),
    **PROBLEM,
}
BYTES: Final[Responses] = {
    200: {
        "description": "The bytes; without `file` and `format` a page of the list of files.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "application/x-tar": {"schema": {"type": "string", "format": "binary"}},
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/FileList"}},
        },
    },
    202: {"description": "Only tape has it; it is being brought back. Ask at `Location`.", "model": wire.Recall},
    206: {"description": "The part that `Range` asked for."},
    304: {"description": "`If-None-Match` names these bytes."},
    412: problem("`If-Match` does not name these bytes."),
    416: problem("There is no such part, or `Range` cannot be read."),
    **PROBLEM,
}
