"""The kinds of volume that the suite runs on, and what a test needs to look behind them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.support import faults
from tests.support.parts import WHEN
from vault.volumes.base import VolumeIdentity
from vault.volumes.directory import DirectoryVolume
from vault.volumes.tree import Tree


@dataclass
class Place:
    """A place on which a volume lives. A new object each time, as after a restart; nothing is kept in memory."""

    root: Path
    facts: dict[str, object] = field(default_factory=dict)
    uuid: UUID = field(default_factory=uuid4)

    def open(self, **facts) -> DirectoryVolume:
        """The volume as a program that has just started sees it."""
        settings = {"name": "a", "domain": "d", "site": "s", "mount": False, "uuid": self.uuid} | self.facts | facts
        return DirectoryVolume(path=str(self.root), **settings)

    def identity(self) -> VolumeIdentity:
        return VolumeIdentity(self.uuid, "a", "d", "s", "node-1", WHEN)

    def initialised(self) -> Place:
        self.open().initialise(self.identity())
        return self

    def objects(self) -> list[str]:
        """Whatever stands below the storage root and is not the root's own."""
        below = (path.relative_to(self.root).as_posix() for path in (self.root / "ocfl").rglob("*"))
        return sorted(p for p in below if not p.startswith(("ocfl/extensions", "ocfl/0=", "ocfl/ocfl_layout")))

    def left_in_staging(self) -> list[str]:
        return sorted(path.name for path in (self.root / "staging").iterdir())


@pytest.fixture(scope="module")
def ext4(tmp_path_factory) -> Iterator[Path]:
    """One small ext4 for all tests of a module, each in a folder of its own."""
    with faults.loop_ext4(tmp_path_factory.mktemp("ext4"), 32 * faults.MIB) as loop:
        yield loop.point


def no_exchange(_tree: Tree, one: str, _other: str) -> None:
    """What NFS and SMB answer when two names are to be swapped."""
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), one)


def _folder(request: pytest.FixtureRequest, facts: dict[str, object]) -> Place:
    root = request.getfixturevalue("tmp_path") / "volume"
    root.mkdir()
    return Place(root, facts)


def _on_tmpfs(request: pytest.FixtureRequest) -> Iterator[Place]:
    with faults.tmpfs(request.getfixturevalue("tmp_path") / "mounted") as point:
        yield Place(point, {"mount": True})


def _on_ext4(request: pytest.FixtureRequest) -> Iterator[Place]:
    root = request.getfixturevalue("ext4") / request.node.name[:100].replace("/", "_")
    root.mkdir()
    yield Place(root, {"sync": "files"})


def _without_exchange(request: pytest.FixtureRequest) -> Iterator[Place]:
    request.getfixturevalue("monkeypatch").setattr(Tree, "exchange", no_exchange)
    yield _folder(request, {"sync": "files"})


KINDS: dict[str, Callable[[pytest.FixtureRequest], Iterator[Place]]] = {
    "folder": lambda request: iter([_folder(request, {"sync": "filesystem"})]),
    "without-exchange": _without_exchange,
    "tmpfs": _on_tmpfs,
    "ext4": _on_ext4,
}


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place on which no volume is yet."""
    made = KINDS[request.param](request)
    yield next(made)
    next(made, None)


@pytest.fixture
def place(empty: Place) -> Place:
    """A place with a volume that holds nothing."""
    return empty.initialised()


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    """A volume in a plain folder, for what does not depend on the kind."""
    root = tmp_path / "volume"
    root.mkdir()
    return Place(root).initialised()
