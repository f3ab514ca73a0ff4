"""The curl command of each call, made from what the OpenAPI document says of it: on ``/docs``, and in the document as
``x-codeSamples``, which renderers of other people show too."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from vault.api import examples

_WITHOUT_BODY: Final = {"get": "", "head": "--head"}
_BINARY: Final = "application/octet-stream"


def command(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Return a command for a shell where ``NODE`` is the node's address and ``TOKEN`` a token; everything else is an
    example. An optional header or query is left out."""
    words = ["curl", _WITHOUT_BODY.get(method, f"--request {method.upper()}")]
    if {} not in operation.get("security", ()):
        words.append('--header "Authorization: Bearer $TOKEN"')
    asked = [parameter for parameter in operation.get("parameters", ()) if parameter.get("required")]
    words += [
        "--header " + shlex.quote(f"{parameter['name']}: {_value(parameter, schemas)}")
        for parameter in asked
        if parameter["in"] == "header"
    ]
    words += _body(operation)
    named = {parameter["name"]: parameter for parameter in asked if parameter["in"] == "path"}

    def example(match: re.Match[str]) -> str:
        name = match.group(1)
        return quote(_value(named.get(name, {"name": name}), schemas), safe="/")

    query = "&".join(f"{p['name']}={quote(_value(p, schemas), safe='')}" for p in asked if p["in"] == "query")
    address = re.sub(r"\{([^}]*)\}", example, path) + (f"?{query}" if query else "")
    return " ".join([*filter(None, words), f'"$NODE{address}"'])


def _body(operation: Mapping[str, Any]) -> list[str]:
    """The body as JSON where it is some, else out of a file."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        text = json.dumps(content["application/json"].get("example", {}), ensure_ascii=False)
        return ["--header 'Content-Type: application/json'", f"--data {shlex.quote(text)}"]
    for kind in content:
        media = "" if kind in (_BINARY, "*/*") else f"--header {shlex.quote(f'Content-Type: {kind}')}"
        return [media, "--upload-file package.tar"]
    return []


def _value(parameter: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    name = str(parameter["name"])
    if "example" in parameter:
        return str(parameter["example"])
    # A "name" is a volume's, a library's or a token's: no example is right for all.
    found = "" if name == "name" else examples.of_schema(parameter.get("schema", {}), schemas, name)
    return str(found) if isinstance(found, str | int) and found != "" else name.upper()
