"""What a package may be called.

An identifier is the repository's own name for a package (a *mã hồ sơ*, a UUID, a URN): any text in Unicode's
NFC form, dots, slashes, spaces and Vietnamese letters included. It is never used as a path.
"""

from __future__ import annotations

import unicodedata

from vault.errors import Fault, Invalid
from vault.text import fits, normalised

MAX_BYTES = 1024


def parse_identifier(text: str) -> str:
    """Return ``text`` in NFC form, or raise :class:`~vault.errors.Invalid` (code ``bad-identifier``).

    The same identifier typed on different keyboards may arrive composed or decomposed; both name one package.
    Refused: nothing, more than 1,024 bytes of UTF-8, control characters, unpaired surrogates, and white space
    at either end (it cannot be seen, and two packages would look alike).
    """
    problem = _problem(text)
    if problem:
        raise Invalid(
            f"The identifier cannot be used: {problem}.",
            faults=[Fault("bad-identifier", problem)],
            remedy="Send 1 to 1,024 bytes of UTF-8 text without control characters; percent-encode it in a URL.",
            code="bad-identifier",
        )
    return normalised("NFC", text)


def _problem(text: str) -> str:
    if not text:
        return "it is empty"
    try:
        encoded = (normalised("NFC", text) if fits(text, MAX_BYTES) else text).encode("utf-8")
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if len(encoded) > MAX_BYTES:
        return f"it is {len(encoded)} bytes long, and {MAX_BYTES} is the limit"
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text):
        return "it contains a control character"
    if text != text.strip():
        return "it begins or ends with white space"
    return ""


def package_reference(identifier: str, version: int) -> str:
    """How people see one version: ``H49.61.8/2025/Đ-012 v2``."""
    return f"{identifier} v{version}"
