"""Digest algorithms of OCFL: names, written form, and the objects that compute them.

Sources: OCFL 1.1 section 3.4 (the controlled vocabulary) and community extension 0009-digest-algorithms.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

CONTENT_ALGORITHMS = ("sha512", "sha256")
"""What may name content (OCFL 1.1, E025)."""


class Hasher(Protocol):
    """Takes bytes as they come, and says their digest in the form OCFL writes it."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes taken so far, in lower case."""


class _Size:
    """The "size" of extension 0009: the number of bytes, in decimal."""

    def __init__(self) -> None:
        self._bytes = 0

    def update(self, data: bytes, /) -> None:
        self._bytes += len(data)

    def hexdigest(self) -> str:
        return str(self._bytes)


@dataclass(frozen=True, slots=True)
class _Algorithm:
    form: re.Pattern[str]
    begin: Callable[[], Hasher]


def _hex(digits: int, begin: Callable[[], Hasher]) -> _Algorithm:
    return _Algorithm(re.compile(f"[0-9A-Fa-f]{{{digits}}}"), begin)


_ALGORITHMS = {
    "sha512": _hex(128, hashlib.sha512),
    "sha256": _hex(64, hashlib.sha256),
    "sha1": _hex(40, lambda: hashlib.sha1(usedforsecurity=False)),
    "md5": _hex(32, lambda: hashlib.md5(usedforsecurity=False)),
    "blake2b-512": _hex(128, hashlib.blake2b),
    "blake2b-384": _hex(96, lambda: hashlib.blake2b(digest_size=48)),
    "blake2b-256": _hex(64, lambda: hashlib.blake2b(digest_size=32)),
    "blake2b-160": _hex(40, lambda: hashlib.blake2b(digest_size=20)),
    "sha512/256": _hex(64, lambda: hashlib.new("sha512_256")),
    "size": _Algorithm(re.compile("[0-9]{1,20}"), _Size),
}


def is_known(algorithm: str) -> bool:
    """Tell whether ``algorithm`` is in the specification's list or in extension 0009."""
    return algorithm in _ALGORITHMS


def new_hasher(algorithm: str) -> Hasher | None:
    """Begin a digest; None where the algorithm is unknown, or this machine's OpenSSL does not offer it.

    OCFL clients must ignore fixity algorithms that they do not support (E028).
    """
    known = _ALGORITHMS.get(algorithm)
    if known is None:
        return None
    try:
        return known.begin()
    except ValueError:  # hashlib's word for "not in this OpenSSL"
        return None


def well_formed(algorithm: str, digest: str) -> bool:
    """Tell whether ``digest`` has the length and letters of ``algorithm``; unknown algorithms accept anything."""
    known = _ALGORITHMS.get(algorithm)
    return known is None or known.form.fullmatch(digest) is not None
