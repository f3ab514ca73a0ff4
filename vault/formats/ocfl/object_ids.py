"""OCFL object ids made of package identifiers, and back.

An OCFL object id should be a URI (OCFL 1.1 section 3.5.1, W005). Ours are URNs, ``urn:khoso:`` and the identifier,
with those characters percent-encoded that a URN may not hold (RFC 8141 section 2, RFC 3986 section 2). Slashes and
the other characters that are legal there stay as they are, so that a person can still read the id.
"""

from __future__ import annotations

import re

from vault.errors import Fault, Invalid
from vault.text import normalised

PREFIX = "urn:khoso:"
MAX_IDENTIFIER_BYTES = 1024

# pchar and "/", without "%": unreserved, sub-delims, ":" and "@" (RFC 3986 section 3.3).
_LEGAL = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


def object_id(identifier: str) -> str:
    """Return the URN of a package: ``H49/2025 Đ`` becomes ``urn:khoso:H49/2025%20%C4%90``.

    Two identifiers never share an id, and :func:`identifier_of` undoes it exactly.

    Raises:
        Invalid: the identifier is empty, over 1,024 bytes of UTF-8, not NFC, or not Unicode text.
    """
    try:
        data = identifier.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _refused(identifier, "it is not Unicode text") from error
    if not data:
        raise _refused(identifier, "it is empty")
    if len(data) > MAX_IDENTIFIER_BYTES:
        raise _refused(identifier, f"it has {len(data)} bytes, and {MAX_IDENTIFIER_BYTES} is the limit")
    if normalised("NFC", identifier) != identifier:
        raise _refused(identifier, "it is not in Unicode's NFC form")
    text = "".join(chr(byte) if byte in _LEGAL else f"%{byte:02X}" for byte in data)
    # A URN's specific part begins with a pchar, which "/" is not.
    return PREFIX + ("%2F" + text[1:] if text.startswith("/") else text)


def identifier_of(ocfl_id: str) -> str:
    """Return the package identifier that :func:`object_id` made ``ocfl_id`` of.

    Raises:
        Invalid: the id is not one of ours, or is written in another way than we write it.
    """
    message = f"The object id {ocfl_id[:200]!r} was not made by this program."
    fault = Fault("E037", message)
    if not ocfl_id.startswith(PREFIX):
        raise Invalid(message, faults=[fault])
    try:
        data = ocfl_id[len(PREFIX) :].encode("ascii")
        identifier = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), data).decode("utf-8")
        same = object_id(identifier) == ocfl_id
    except (UnicodeError, Invalid) as error:
        raise Invalid(message, faults=[fault]) from error
    if not same:
        raise Invalid(message, faults=[fault])
    return identifier


def _refused(identifier: str, why: str) -> Invalid:
    message = f"The identifier {identifier[:200]!r} cannot name an OCFL object: {why}."
    return Invalid(message, faults=[Fault("E037", message)])
