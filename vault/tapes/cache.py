"""The recall cache: content that was brought back from tape, on disk for a while. Losing all of it loses nothing.

::

    PATH/376/9db/a5e/urn%3akhoso%3a…/vN/inventory.json    as in an OCFL object
                                     vN/content/…

A file has its name only after its digest was compared; whatever else lies there is not looked at. What was used longest
ago goes first when room is needed, a version's part at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from vault.durable import describe_os_error
from vault.errors import Corrupted, Full
from vault.formats.ocfl import INVENTORY_FILE, object_path
from vault.model import DigestAlgorithm
from vault.volumes.base import Part

_TEMPORARY = ".khoso-recall-"


class RecallCache:
    """A folder of recalled content. May be used from any thread; one thread writes."""

    def __init__(self, path: Path, max_bytes: int, keep: timedelta) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self.keep = keep

    @property
    def max_bytes(self) -> int:
        """How much it may hold."""
        return self._max_bytes

    def open(self, object_id: str, content_path: str) -> int | None:
        """A file of it, opened for reading; None where it is not there."""
        path = self._place(object_id, content_path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(self._part_of(path))
        return descriptor

    def has(self, object_id: str, content_path: str) -> bool:
        """Whether a file is there."""
        return self._place(object_id, content_path).is_file()

    def inventory(self, part: Part) -> bytes | None:
        """The part's inventory, if it is there; its digest is the caller's to compare."""
        try:
            return self._place(part.object_id, f"v{part.number}/{INVENTORY_FILE}").read_bytes()
        except OSError:
            return None

    def put(
        self,
        object_id: str,
        content_path: str,
        pieces: Iterable[bytes],
        algorithm: DigestAlgorithm,
        expected: str | None,
    ) -> int:
        """Keep a file whose digest is what it must be (None: nobody knows); return its bytes. Raises Corrupted, Full,
        Unreachable."""
        target = self._place(object_id, content_path)
        temporary = target.parent / f"{_TEMPORARY}{os.getpid()}-{time.monotonic_ns()}"
        digest = hashlib.new(str(algorithm), usedforsecurity=False)
        total = 0
        try:
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with temporary.open("xb") as out:
                for piece in pieces:
                    digest.update(piece)
                    out.write(piece)
                    total += len(piece)
            if expected is not None and digest.hexdigest() != expected:
                raise Corrupted(f"{content_path} came from tape with another digest.", code="tape-damaged")
            temporary.rename(target)
            # A part that is still coming is in use, however long it takes.
            os.utime(self._part_of(target))
        except OSError as error:
            raise describe_os_error(error, f"keeping {content_path} in the recall cache") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return total

    def make_room(self, need: int) -> list[Path]:
        """Let go of what was used longest ago until so many bytes fit, and of what is older than ``keep``.

        Returns the folders (relative) of the parts that went. Raises Full where it could never hold so much.
        """
        if need > self._max_bytes:
            raise Full(
                f"The recall cache holds {self._max_bytes} bytes, and {need} are to be brought back.",
                remedy="Raise max_bytes of [recall], or recall single files.",
            )
        parts = sorted(self._parts())
        total = sum(size for _, _, size in parts)
        limit = time.time() - self.keep.total_seconds()
        gone = []
        for used, path, size in parts:
            if used >= limit and total + need <= self._max_bytes:
                break
            shutil.rmtree(path, ignore_errors=True)
            total -= size
            gone.append(path.relative_to(self._path))
        return gone

    def expire(self) -> list[Path]:
        """Let go of what nobody has used for ``keep``, and of what is more than ``max_bytes``; as :meth:`make_room`."""
        return self.make_room(0)

    def _parts(self) -> Iterator[tuple[float, Path, int]]:
        for path in self._path.glob("*/*/*/*/v*"):
            size = 0
            for folder, _, names in os.walk(path):
                for name in names:
                    with contextlib.suppress(OSError):
                        size += os.stat(os.path.join(folder, name)).st_size
            with contextlib.suppress(OSError):
                yield path.stat().st_mtime, path, size

    def _place(self, object_id: str, content_path: str) -> Path:
        parts = content_path.split("/")
        if not content_path or any(part in ("", ".", "..") for part in parts) or "\0" in content_path:
            raise Corrupted(f"{content_path!r} is no content path.", code="bad-content-path")
        return self._path / object_path(object_id) / content_path

    def _part_of(self, path: Path) -> Path:
        relative = path.relative_to(self._path)
        return self._path.joinpath(*relative.parts[:5])
