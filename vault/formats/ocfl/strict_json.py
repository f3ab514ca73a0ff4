"""JSON of an inventory, read strictly.

RFC 8259 only advises against duplicate keys; here they are kept account of, as two readers could see two different
objects in one inventory.
"""

from __future__ import annotations

import json
from collections import Counter

from vault.formats.ocfl.findings import Findings

MANY = 1_000_000
"""JSON values that any inventory may have. Beyond that there must be eight bytes for each, as a path with its quotes
has; else small values in a file of the allowed size would fill the memory forty times over."""


class JsonObject(dict[str, object]):
    """A JSON object, with the keys that it holds more than once."""

    __slots__ = ("repeated",)
    repeated: tuple[str, ...]

    @classmethod
    def of(cls, pairs: list[tuple[str, object]]) -> JsonObject:
        """Make one of its members, in the order in which they stand."""
        made = cls(pairs)
        made.repeated = ()
        if len(made) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            made.repeated = tuple(key for key, count in counts.items() if count > 1)
        return made


def _not_json(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def load_json(data: bytes, findings: Findings, where: str) -> object:
    """Return the JSON document; None, with an error recorded, where there is none.

    The depth of nesting is bounded by the interpreter's recursion limit, which the JSON scanner keeps to.
    """
    if sum(map(data.count, (b"[", b"{", b","))) > MANY + len(data) // 8:
        findings.error("too-large", "The inventory has more values than paths can have.", where)
        return None
    try:
        # No number has a place in an inventory: as bytes they are of no valid type, and huge ones are cheap.
        document: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=JsonObject.of,
            parse_int=str.encode,
            parse_float=str.encode,
            parse_constant=_not_json,
        )
    except UnicodeDecodeError as error:
        findings.error("E033", f"The inventory is not UTF-8: {error.reason} at byte {error.start}.", where)
        return None
    except RecursionError:
        findings.error("E033", "The inventory is nested too deep.", where)
        return None
    except ValueError as error:
        findings.error("E033", f"The inventory is not JSON: {error}.", where)
        return None
    if not isinstance(document, JsonObject):
        findings.error("E033", "The inventory is not a JSON object.", where)
        return None
    return document
