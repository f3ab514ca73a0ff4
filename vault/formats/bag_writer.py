"""Making the tag files of a BagIt 1.0 bag (RFC 8493), the same bytes for the same content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from vault.formats.bagit import encode_path

_LABEL = re.compile(r"[^\s:]([^:\r\n]*[^\s:])?")
_SHA512 = re.compile("[0-9a-f]{128}")


def bag_manifests(
    payload: Iterable[tuple[str, str, int]], bag_info: Iterable[tuple[str, str]] = ()
) -> dict[str, bytes]:
    """The tag files of a bag: bagit.txt, bag-info.txt, manifest-sha512.txt and tagmanifest-sha512.txt, by name.

    ``payload`` gives (path below ``data/``, sha512 in lowercase hex, bytes) in any order; ``bag_info`` labels and
    values in their order, to which Payload-Oxum is added. No date is added: the same folder bagged twice is the same
    bag.
    Raises ValueError for a label or digest that cannot be written.
    """
    lines: list[tuple[bytes, str]] = []
    total = 0
    for path, digest, size in payload:
        if not _SHA512.fullmatch(digest):
            raise ValueError(f"not a sha512 in lowercase hex: {digest!r}")
        lines.append((path.encode(), f"{digest}  data/{encode_path(path)}\n"))
        total += size
    lines.sort()
    info = [_element(label, value) for label, value in bag_info]
    info.append(f"Payload-Oxum: {total}.{len(lines)}\n")
    files = {
        "bag-info.txt": "".join(info).encode(),
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "manifest-sha512.txt": "".join(line for _, line in lines).encode(),
    }
    tags = "".join(f"{hashlib.sha512(data).hexdigest()}  {name}\n" for name, data in files.items())
    return files | {"tagmanifest-sha512.txt": tags.encode()}


def _element(label: str, value: str) -> str:
    if not _LABEL.fullmatch(label) or label.lower() == "payload-oxum":
        raise ValueError(f"not a label for bag-info.txt: {label!r}")
    # A value over several lines is continued by indenting; a blank line cannot be written.
    parts = [part.strip() for part in re.split("\r\n|\r|\n", value)]
    return f"{label}: " + "\n  ".join(part for part in parts if part) + "\n"
