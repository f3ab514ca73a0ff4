"""A volume that falls ill: its system calls fail, lie, hang or forget, while the node that uses it runs on.

A passthrough in this process rather than a file system of its own: the functions of :mod:`os` that volumes are read and
written with are wrapped, and what happens below the sick folder is decided here, by the file descriptor's own path. So
it needs neither root nor FUSE, and a test sees exactly which calls were spoilt. ::

    with Sickness(bench.path("a")) as sick:
        sick.fails("read", errno.EIO)           # every read of a content file; also "write", "sync", "rename", "list"
        sick.short("read")                      # half of what was asked for, as a busy server does
        sick.flips(times=1)                     # one bit of what is read, silently
        sick.hangs("read")                      # until sick.heal()
        sick.heal()
        sick.power_cut()                        # what was written and never synced is torn or gone
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

from vault.volumes.tree import Tree

CALLS = ("read", "write", "sync", "rename", "list")
_CALLED = {"read": ("preadv",), "write": ("write",), "sync": ("fsync", "fdatasync"), "rename": ("rename", "link"),
           "list": ("scandir",)}  # fmt: skip
PATIENCE_SECONDS = 60.0


@dataclasses.dataclass
class _Ill:
    """What happens to one kind of call, so many times (None: until it is healed)."""

    how: Callable[[], object] | None = None
    short: bool = False
    flip: bool = False
    times: int | None = None


class Sickness:
    """The illness of the volume whose folder is ``root``. ``seen`` counts the calls that were spoilt, by kind."""

    def __init__(self, root: Path, chance: random.Random | None = None) -> None:
        self.root = str(root.resolve())
        self.seen: Counter[str] = Counter()
        self._chance = chance or random.Random(7)
        self._ill: dict[str, _Ill] = {}
        self._healed = threading.Event()
        self._lock = threading.Lock()
        self._unsynced: dict[int, int] = {}
        """By inode: how many bytes of the file were surely on the medium when it was last synced."""
        self._patches = contextlib.ExitStack()

    # --- what befalls it

    def fails(self, call: str, error: int, times: int | None = None) -> None:
        """These calls raise OSError with this errno."""

        def how() -> object:
            raise OSError(error, os.strerror(error), self.root)

        self._ill[call] = _Ill(how, times=times)

    def short(self, call: str) -> None:
        """These calls ("read", "write") do half of what they are asked for, which POSIX allows."""
        self._ill[call] = _Ill(short=True)

    def flips(self, times: int | None = None) -> None:
        """One bit of what is read is another, and nobody says so."""
        self._ill["read"] = _Ill(flip=True, times=times)

    def hangs(self, call: str) -> None:
        """These calls do not return before :meth:`heal`."""
        healed = self._healed = threading.Event()
        self._ill[call] = _Ill(lambda: healed.wait(PATIENCE_SECONDS))

    def heal(self) -> None:
        """Everything works again; what hangs goes on."""
        self._ill.clear()
        self._healed.set()

    def power_cut(self) -> int:
        """Of what was written and never synced only a part is there, or nothing; returns how many files that befell.

        To be called while nobody works on the volume: after the node was abandoned, before the next one starts.
        """
        torn = 0
        for path in Path(self.root).rglob("*"):
            facts = path.lstat()
            if path.is_file() and not path.is_symlink() and facts.st_ino in self._unsynced:
                kept = self._unsynced[facts.st_ino]
                if facts.st_size > kept:
                    path.chmod(0o644)
                    os.truncate(path, self._chance.randint(kept, facts.st_size - 1))
                    torn += 1
        self._unsynced.clear()
        return torn

    # --- how

    def __enter__(self) -> Self:
        for call, names in _CALLED.items():
            for name in names:
                real = getattr(os, name)
                self._patches.enter_context(mock.patch.object(os, name, self._wrapped(call, name, real)))
        real_sync = Tree.sync_filesystem

        def sync_filesystem(tree: Tree) -> None:
            if self._is_here(tree.fd):
                self._befall("sync")
                self._unsynced.clear()
            real_sync(tree)

        self._patches.enter_context(mock.patch.object(Tree, "sync_filesystem", sync_filesystem))
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        self.heal()
        self._patches.close()

    def _wrapped(self, call: str, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def spoilt(*arguments: Any, **more: Any) -> Any:
            fd = more.get("src_dir_fd") if call == "rename" else arguments[0] if arguments else None
            if not isinstance(fd, int) or not self._is_here(fd):
                return real(*arguments, **more)
            ill = self._befall(call)
            if ill is not None and ill.short:
                arguments = self._halved(call, arguments)
            result = real(*arguments, **more)
            if call == "write":
                self._written(fd, result)
            elif call == "sync":
                self._unsynced.pop(os.fstat(fd).st_ino, None)
            elif ill is not None and ill.flip and result:
                view = memoryview(arguments[1][0]).cast("B")
                view[self._chance.randrange(result)] ^= 1 << self._chance.randrange(8)
            return result

        return spoilt

    def _is_here(self, fd: int) -> bool:
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            return False
        # The identity stays readable: a volume without it is another fault, which others test.
        return (path == self.root or path.startswith(f"{self.root}/")) and not path.endswith("vault-volume.json")

    def _befall(self, call: str) -> _Ill | None:
        with self._lock:
            ill = self._ill.get(call)
            if ill is None:
                return None
            if ill.times is not None:
                ill.times -= 1
                if ill.times <= 0:
                    del self._ill[call]
            self.seen[call] += 1
        if ill.how is not None:
            ill.how()
        return ill

    @staticmethod
    def _halved(call: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        data = arguments[1]
        if call == "write":
            view = memoryview(data)
            return (arguments[0], view[: max(1, len(view) // 2)], *arguments[2:])
        view = data[0]
        # A direct read ends at a page.
        half = max(4096, len(view) // 2 // 4096 * 4096)
        return (arguments[0], [view[:half]], *arguments[2:])

    def _written(self, fd: int, count: int) -> None:
        facts = os.fstat(fd)
        with self._lock:
            self._unsynced.setdefault(facts.st_ino, max(0, facts.st_size - count))


@contextlib.contextmanager
def sick(root: Path) -> Iterator[Sickness]:
    """A :class:`Sickness` for the block."""
    with Sickness(root) as ill:
        yield ill
