"""What stands in addresses: identifiers, and the cursors of listings."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import quote, unquote_to_bytes

from vault.api.problems import bad_request
from vault.errors import Fault, Invalid
from vault.identifiers import parse_identifier

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def decode_identifier(encoded: str) -> str:
    """Return the identifier that stands in an address, as it came over the wire.

    It is decoded exactly once (``%2525`` is ``%25``), and strictly as UTF-8. Raises Invalid (``bad-identifier``).
    """
    if _BAD_ESCAPE.search(encoded):
        raise _bad("it has a % that is not followed by two hexadecimal digits")
    try:
        text = unquote_to_bytes(encoded).decode("utf-8")
    except UnicodeError:
        raise _bad("it is not UTF-8") from None
    return parse_identifier(text)


def decode_key(encoded: str) -> str:
    """Return the key of a disk that stands in an address, decoded once; what cannot be decoded is no disk's."""
    return unquote_to_bytes(encoded).decode("utf-8", "replace")


def _bad(why: str) -> Invalid:
    return Invalid(
        f"The identifier in the address cannot be read: {why}.",
        faults=[Fault("bad-identifier", why, "identifier")],
        remedy="Percent-encode the UTF-8 bytes of the identifier, once.",
        code="bad-identifier",
    )


def encode_identifier(identifier: str) -> str:
    """Write an identifier for an address. Slashes stay; dots that stand alone between them are escaped, since clients
    remove such parts."""
    parts = quote(identifier, safe="/").split("/")
    return "/".join(part.replace(".", "%2E") if part in (".", "..") else part for part in parts)


def make_cursor(after: str) -> str:
    """Write where a page ended, in a form that is not to be taken apart."""
    return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> str | None:
    """Read what :func:`make_cursor` wrote. Raises Invalid (``bad-cursor``)."""
    if not cursor:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError, ValueError):
        raise bad_request(
            "bad-cursor", "The cursor cannot be read.", "Send next_cursor of the page before as it came.", "cursor"
        ) from None


def parse_version(text: str | None) -> int | None:
    """Read ``3`` or ``v3``; None for the newest. Raises Invalid (``bad-query``)."""
    if not text:
        return None
    found = re.fullmatch(r"v?([1-9][0-9]{0,8})", text)
    if found is None:
        raise bad_request("bad-query", f"{text[:40]!r} is no version.", "Write 3 or v3.", "version")
    return int(found[1])
