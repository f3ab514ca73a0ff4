"""What schemathesis cannot know of this API: how a body of tus is sent, and the names of things that are there.

``KHOSO_KNOWN`` is JSON: the package and ingest that were made for it, and the name of the token that it uses.
"""

from __future__ import annotations

import json
import os
import random

import schemathesis

KNOWN: dict[str, str] = json.loads(os.environ["KHOSO_KNOWN"])
_choice = random.Random(4711)


@schemathesis.serializer("application/offset+octet-stream")
def offset_stream(_context: object, value: object) -> bytes:
    raw = getattr(value, "data", value)
    return raw if isinstance(raw, bytes) else str(raw).encode("utf-8", "replace")


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: dict[str, object] | None) -> object:
    """Half of the time what is there; and never what the run itself stands on."""
    if not isinstance(path_parameters, dict):
        return path_parameters
    operation = context.operation.definition.raw["operationId"]
    found = dict(path_parameters)
    if operation in ("revoke_token", "change_mode", "initialise_volume") and found.get("name") != "no-such":
        found["name"] = _choice.choice(["spare", "nas-c", "no-such", str(found.get("name", ""))])
        if found["name"] in (KNOWN["token"], "nas-a", "nas-b"):
            found["name"] = "no-such"
    for name in ("identifier", "ingest_id", "batch_id"):
        if name in found and _choice.random() < 0.5:
            found[name] = KNOWN[name]
    return found
