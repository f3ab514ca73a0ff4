"""A depositor's list from a file: CSV as a spreadsheet writes it, or JSON as the API takes it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping

from pydantic import ValidationError

from vault import wire
from vault.durable import describe_os_error
from vault.errors import Fault, Invalid
from vault.i18n import _

_LARGEST = 64 * 1024 * 1024
_COLUMNS = frozenset({"identifier", "files", "bytes", "sha256", "sha512"})


def read_list(path: str, said: Mapping[str, str]) -> wire.BatchOrder:
    """Read a list. ``said`` (registration code, agency, …) counts before what a JSON file says.

    Raises Invalid (``bad-batch``) with every fault, by line where it is CSV; NotFound, Unreachable.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    if len(data) > _LARGEST:
        raise _bad([Fault("bad-batch", "it is too large for a list", path)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad([Fault("bad-batch", "it is not UTF-8", path)]) from None
    document = _json(text) if text.lstrip().startswith(("{", "[")) else {"items": _csv(text)}
    try:
        return wire.BatchOrder.model_validate({**document, **said})
    except ValidationError as error:
        raise _bad(
            [
                Fault("bad-batch", str(found["msg"]), ".".join(str(part) for part in found["loc"]))
                for found in error.errors(include_url=False, include_context=False, include_input=False)
            ]
        ) from None


def _json(text: str) -> dict[str, object]:
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad([Fault("bad-batch", f"it is no JSON: {error}")]) from None
    if isinstance(document, list):
        return {"items": document}
    assert isinstance(document, dict), "it begins with a brace"  # noqa: S101
    return document


def _csv(text: str) -> list[dict[str, object]]:
    first = text.partition("\n")[0]
    reader = csv.DictReader(
        io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True
    )
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        if not {"identifier", "files", "bytes"} <= set(names) <= _COLUMNS:
            why = "its first line must name the columns identifier, files, bytes, and if need be sha256, sha512"
            raise _bad([Fault("bad-batch", why)])
        reader.fieldnames = names
        return [_row(row) for row in reader]
    except csv.Error as error:
        raise _bad([Fault("bad-batch", f"it is no CSV: {error}", f"line {reader.line_num}")]) from None


def _row(row: Mapping[str | None, str | None]) -> dict[str, object]:
    digests = {name: text.strip() for name in ("sha256", "sha512") if (text := row.get(name))}
    more = {"too many columns": True} if None in row else {}
    return {
        "identifier": row.get("identifier") or "",
        "files": (row.get("files") or "").strip(),
        "bytes": (row.get("bytes") or "").strip(),
        "digests": digests,
        **more,
    }


def _bad(faults: list[Fault]) -> Invalid:
    return Invalid(
        f"The list cannot be read: {f'{faults[0].path}: ' if faults[0].path else ''}{faults[0].message}.",
        faults=faults,
        remedy=_("Write it as docs/reference/cli.md shows."),
        code="bad-batch",
    )
