"""SHA-2 whose state can be kept and taken up again, so that a check of a large file need not begin anew.

``hashlib`` cannot do that; the functions of libcrypto below it can, as their context is plain memory
(SHA256_Init(3ssl); deprecated there for new programs, and kept for old ones). The library's build is tried once against
``hashlib``. Where it is missing or differs, :func:`resumable` gives None, and a check goes on at a file's beginning.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from typing import Final

_CONTEXT_BYTES: Final = {"sha512": 216, "sha256": 112}
_DIGEST_BYTES: Final = {"sha512": 64, "sha256": 32}
_NAMES: Final = ("libcrypto.so.3", "libcrypto.so.1.1")
_ROOM = 512  # more than any context has


class ResumableHash:
    """A running digest. Not for several threads at once."""

    def __init__(self, library: ctypes.CDLL, algorithm: str, state: bytes = b"") -> None:
        self._algorithm = algorithm
        self._update = getattr(library, f"{algorithm.upper()}_Update")
        self._final = getattr(library, f"{algorithm.upper()}_Final")
        self._context = ctypes.create_string_buffer(_ROOM)
        if state:
            if len(state) != _CONTEXT_BYTES[algorithm]:
                raise ValueError(f"a state of {algorithm} has {_CONTEXT_BYTES[algorithm]} bytes, not {len(state)}")
            ctypes.memmove(self._context, state, len(state))
        else:
            getattr(library, f"{algorithm.upper()}_Init")(self._context)

    def update(self, data: memoryview) -> None:
        """Take in the next bytes; the view must be writable (ctypes asks for it), and is not written."""
        if data.nbytes:
            held = (ctypes.c_char * data.nbytes).from_buffer(data)
            self._update(self._context, held, ctypes.c_size_t(data.nbytes))

    def state(self) -> bytes:
        """All that is needed to go on from here, on a machine of the same kind."""
        return self._context.raw[: _CONTEXT_BYTES[self._algorithm]]

    def hexdigest(self) -> str:
        """The digest of all that was taken in, lower-case hexadecimal. The running digest can go on."""
        last = ctypes.create_string_buffer(self._context.raw, _ROOM)
        digest = ctypes.create_string_buffer(_DIGEST_BYTES[self._algorithm])
        self._final(digest, last)
        return digest.raw.hex()


def resumable(algorithm: str, state: bytes = b"") -> ResumableHash | None:
    """A digest that begins, or goes on from ``state``; None where this machine has none that can be trusted.

    Raises ValueError for a state that is none of this algorithm's.
    """
    library = _library()
    if library is None or algorithm not in _CONTEXT_BYTES:
        return None
    return ResumableHash(library, algorithm, state)


@functools.cache
def _library() -> ctypes.CDLL | None:
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name)
            if all(_agrees(library, algorithm) for algorithm in _CONTEXT_BYTES):
                return library
        except (OSError, AttributeError):
            continue
    return None


def _agrees(library: ctypes.CDLL, algorithm: str) -> bool:
    """Whether a digest that was kept in the middle of a block, and taken up, comes to what hashlib says."""
    data = bytearray(range(256)) * 40
    for cut in (0, 1, 111, 129, 5000):
        first = ResumableHash(library, algorithm)
        first.update(memoryview(data)[:cut])
        second = ResumableHash(library, algorithm, first.state())
        second.update(memoryview(data)[cut:])
        if second.hexdigest() != hashlib.new(algorithm, data, usedforsecurity=False).hexdigest():
            return False
    return True
