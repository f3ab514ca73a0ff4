"""Examples for the OpenAPI document: one for each answer and body, made from its schema and what is known of names.

They are for people and for generated clients' documentation; a test holds each to the model that it illustrates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vault.api.problems import PROBLEMS, TYPE_PREFIX

_TIME: Final = "2026-11-22T10:40:42.123456Z"
_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_SHA512: Final = (
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
    "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
)
_INGEST: Final = "4f1c6f0e-6b57-4a54-8f1e-0f0f4a8a4f5e"
_PACKAGE: Final = "H49.61.8/2025/0012"

_BY_NAME: Final[Mapping[str, object]] = {
    "identifier": _PACKAGE, "fonds": "UBND tỉnh Sơn La", "agency": "H49.61.8", "agency_name": "Sở Nội vụ",
    "batch": "", "title": "Hồ sơ tuyển dụng công chức năm 2025", "retention": "70 năm", "access": "Công khai",
    "class": "default", "priority_class": "default", "policy": "default", "name": "v1", "version": 1, "head": 1,
    "agent": "token:hoso-sonoivu", "volume": "nas-a", "volumes": ["nas-a", "nas-b"], "domain": "nas-a",
    "site": "kho-chinh", "ingest_id": _INGEST, "ingest": _INGEST, "id": _INGEST, "algorithm": "sha512",
    "content_digest": _SHA512, "inventory_digest": _SHA512, "digest": _SHA512, "list_sha256": _SHA256,
    "deposit_digests": {"sha256": _SHA256}, "digests": {"sha256": _SHA256}, "hash": _SHA256, "previous": _SHA256,
    "files": 12, "bytes": 5242880, "part_bytes": 5246976, "bytes_received": 5242880, "size_bytes": 30000000000000,
    "free_bytes": 12000000000000, "path": "data/Quyết định Đ-012.pdf", "type": "fixity-check", "seq": 4711,
    "last": 4711,
    "events": f"/v1/events?identifier={_PACKAGE.replace('/', '%2F')}", "receipt": None, "problem": None, "message": "",
    "reason": "", "condition_reason": "", "last_error": "", "next_cursor": None, "node": "sonla-1", "more": False,
    "networks": ["10.20.1.0/24"], "prefix": "H49.61.8/", "scopes": ["deposit", "read"], "kind": "bag",
    "token": "khoso_… (shown once)", "registration_code": "NL-2026-0007", "delivery_number": 1,
    "key_id": "0123456789abcdef",
    "detail": {}, "metadata": {}, "below_policy": {}, "policy_held": True, "ready": True, "reasons": [],
    "uuid": "7f6c9b1e-2f0b-4c62-9a55-0a3f3a1f6b11", "missing": {"disk": 0, "tape": 0}, "good": {"disk": 2, "tape": 0},
    "tasks": {"verify": {"done": 42}}, "copies": {"good": 1042}, "expires_at": "2027-11-22T00:00:00Z",
    "limits": {"rate": 20, "bytes_per_day": 200000000000, "packages_per_day": 2000, "open_uploads": 20},
    "fault": None, "revoked_at": None, "released_at": None, "subject": "",
    "remedy": "", "differences": [], "faults": [], "all": False,
}  # fmt: skip
"""What people would see under such a name. Where it does not fit the type there, the type decides."""

GIVEN: Final[Mapping[str, object]] = {
    "make_checkpoint": {
        "format": "khoso-checkpoint/1",
        "node": "sonla-1",
        "seq": 4711,
        "hash": _SHA256,
        "time": _TIME,
        "signature": {"algorithm": "Ed25519", "key_id": "0123456789abcdef", "public_key": "…", "value": "…"},
    },
    "metrics": 'vault_packages 1042.0\nvault_copies{volume="nas-a",state="good"} 1042.0\n',
}
"""For answers whose members are not ours to name, by operation."""


def problem(code: str) -> dict[str, object]:
    """A problem document with that code."""
    entry = PROBLEMS[code]
    return {
        "type": TYPE_PREFIX + code,
        "title": entry.title,
        "status": entry.status,
        "detail": f"{entry.title}.",
        "code": code,
        "remedy": "What to do about it.",
        "faults": [],
        "instance": "5f3a90c1d2e4b687",
    }


_OF_MODEL: Final[Mapping[str, Mapping[str, object]]] = {
    "Volume": {"name": "nas-a", "kind": "directory"},
    "Token": {"name": "hoso-sonoivu", "id": 7},
    "CreatedToken": {"name": "hoso-sonoivu", "id": 7},
    "TokenOrder": {"name": "hoso-sonoivu"},
    "Status": {"version": "0.1.0", "packages": 1042},
    "Task": {"id": 815},
    "Alert": {"code": "volume-offline", "subject": "nas-a", "severity": "critical"},
    "VerificationOrder": {"identifier": "", "volume": "nas-a"},
}
"""Members that mean something else there, by the model's title."""


def of_schema(  # noqa: PLR0911 - a table of cases
    schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str = ""
) -> object:
    """An example that fits a JSON schema of ours; ``name`` is the member that it is for."""
    if "$ref" in schema:
        return of_schema(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    if "examples" in schema:
        return schema["examples"][0]
    if name in _BY_NAME and _fits(_BY_NAME[name], schema):
        return _BY_NAME[name]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return of_schema(schema[choice][0], schemas, name)
    if schema.get("type") == "object" and "properties" in schema:
        own = _OF_MODEL.get(str(schema.get("title")), {})
        return {
            member: own[member] if member in own else of_schema(value, schemas, member)
            for member, value in schema["properties"].items()
        }
    if schema.get("type") == "array":
        return [of_schema(schema["items"], schemas, name.removesuffix("s"))] if "items" in schema else []
    if schema.get("format") == "date-time":
        return _TIME
    return schema.get("default", _BY_TYPE.get(str(schema.get("type")), {}))


_BY_TYPE: Final[Mapping[str, object]] = {"string": "", "integer": 1, "number": 1.0, "boolean": True, "object": {}}
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,),
    "array": (list,), "null": (type(None),),
}  # fmt: skip


def _fits(value: object, schema: Mapping[str, Any]) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return any(_fits(value, one) for one in schema[choice])
    if schema.get("properties") or ("items" in schema and "$ref" in schema["items"]):
        return False
    if isinstance(value, bool) and schema.get("type") != "boolean":
        return False
    return isinstance(value, _TYPES.get(str(schema.get("type")), ()))
