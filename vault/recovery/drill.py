"""Rehearsing the day on which the server is gone: the catalogue and random packages restored to scratch, and verified.

Nothing that the running node has is used but its volumes and their backups: the catalogue is made from the newest
sealed backup, packages are read from a volume's own objects, every digest checked on the way.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol, cast

from vault.catalog import copies, export, packages
from vault.catalog.engine import Catalogue
from vault.clock import Clock, to_text, utcnow
from vault.config import Settings
from vault.custody.backups import check_digest
from vault.durable import describe_os_error
from vault.errors import Full, Refused, VaultError
from vault.ledger import verify
from vault.model import CopyState, EventType, Json, NewEvent, Outcome
from vault.recovery.found_backups import FoundBackup, find_backups
from vault.recovery.patience import Asking, Media
from vault.recovery.sources import RebuildSource


class Stored(Protocol):
    """A version as it lies on a volume; see :class:`vault.cli.offline.StoredVersion`."""

    @property
    def files(self) -> Collection[str]:
        """The depositor's files."""

    def write_tar(self, write: Callable[[bytes], object]) -> None:
        """All files as a tar, every digest checked on the way. Raises Corrupted, NotFound, Unreachable."""


Finder = Callable[[str, str, int], Stored]
"""Given a volume's name, an identifier and a number, finds the version on that volume."""


@dataclass(frozen=True, slots=True)
class Restored:
    """One package that was to be restored. ``reason`` says why it was not, "" where it was."""

    identifier: str
    version: int
    volume: str
    files: int
    bytes: int
    seconds: float
    reason: str = ""


@dataclass
class Minutes:
    """What a drill came to. ``catalogue`` says which backup was restored; ``catalogue_reason`` why none could be."""

    node: str
    began: datetime
    ended: datetime
    agent: str
    catalogue: dict[str, Json] = field(default_factory=dict)
    catalogue_reason: str = ""
    asked: int = 0
    packages: list[Restored] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether something was tried, and all of it could be restored: a drill of nothing has shown nothing."""
        return not self.catalogue_reason and bool(self.packages) and not any(one.reason for one in self.packages)

    def as_json(self) -> dict[str, Json]:
        """For programs, and for the ledger."""
        return {
            "ok": self.ok,
            "node": self.node,
            "agent": self.agent,
            "began": to_text(self.began),
            "ended": to_text(self.ended),
            "catalogue": {**self.catalogue, "reason": self.catalogue_reason},
            "asked": self.asked,
            "packages": [
                {
                    "identifier": one.identifier, "version": one.version, "volume": one.volume, "files": one.files,
                    "bytes": one.bytes, "seconds": round(one.seconds, 3), "reason": one.reason,
                }
                for one in self.packages
            ],
        }  # fmt: skip

    def event(self) -> NewEvent:
        """What the ledger is told."""
        outcome = Outcome.SUCCESS if self.ok else Outcome.FAILURE
        return NewEvent(EventType.DRILL, outcome, self.agent, detail=self.as_json())


def drill(
    settings: Settings,
    media: Media,
    find: Finder,
    *,
    agent: str,
    trusted: Collection[bytes],
    number: int,
    scratch: Path,
    clock: Clock = utcnow,
) -> Minutes:
    """Do it in a folder of its own below ``scratch``, which is gone afterwards. What fails is in the minutes, not
    raised, except that the scratch folder cannot be used: Refused, Full, Unreachable."""
    if not scratch.is_dir():
        raise Refused(
            f"There is no folder {scratch} to restore to.",
            remedy="Make it, on a file system with room for the largest package, or name another with --scratch.",
        )
    minutes = Minutes(settings.node.name, clock(), clock(), agent, asked=number)
    try:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="khoso-drill-") as name:
            folder = Path(name)
            with closing(Catalogue.open(f"sqlite:///{folder / 'catalog.db'}", clock)) as catalogue:
                if _restore_catalogue(settings, media.sources, trusted, catalogue, folder, minutes):
                    readable = {source.name for source in media.sources}
                    for identifier, version, volume in _chosen(catalogue, number, readable):
                        target = folder / "package.tar"
                        minutes.packages.append(_restore(media.ask, find, identifier, version, volume, target))
    except OSError as error:
        # Of the media they are explained already.
        raise describe_os_error(error, f"writing to the scratch folder {scratch}") from error
    minutes.ended = clock()
    return minutes


def _restore_catalogue(
    settings: Settings,
    sources: list[RebuildSource],
    trusted: Collection[bytes],
    catalogue: Catalogue,
    folder: Path,
    minutes: Minutes,
) -> bool:
    found, _ = find_backups(folder, sources, settings.node.name, trusted)
    believed = [backup for backup in found if backup.believed]
    if not believed:
        minutes.catalogue_reason = "no volume has a backup of the catalogue that this node sealed"
        return False
    newest, began = believed[0], time.monotonic()
    where, pieces = newest.places[0]
    minutes.catalogue = {"file": newest.name, "time": to_text(newest.time), "from": where, "events": newest.seq}
    try:
        _load(newest, pieces(), catalogue, folder)
        chain = verify(catalogue)
    except Full:
        # The scratch is too small, which says nothing of the backup.
        raise
    except VaultError as error:
        minutes.catalogue_reason = f"{where}: {error}"
        return False
    minutes.catalogue["seconds"] = round(time.monotonic() - began, 3)
    minutes.catalogue_reason = "" if chain.ok else chain.reason
    return True


def _load(backup: FoundBackup, pieces: Iterator[bytes], catalogue: Catalogue, folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        check_digest(pieces, backup.seal, cast("IO[bytes]", file))
        file.seek(0)
        export.load(catalogue, cast("IO[bytes]", file))


def _chosen(catalogue: Catalogue, number: int, readable: Collection[str]) -> list[tuple[str, int, str]]:
    """Versions at random, each with a volume that has a good copy of it, the volumes in turn."""
    chosen: list[tuple[str, int, str]] = []
    with catalogue.read() as tx:
        for turn, version in enumerate(packages.sample(tx, number)):
            of_version = copies.of_version(tx, version.id)
            good = sorted(c.volume for c in of_version if c.state is CopyState.GOOD and c.volume in readable)
            chosen.append((version.identifier, version.number, good[turn % len(good)] if good else ""))
    return chosen


def _restore(ask: Asking, find: Finder, identifier: str, version: int, volume: str, target: Path) -> Restored:
    began, written = time.monotonic(), 0
    if not volume:
        return Restored(identifier, version, "", 0, 0, 0.0, "no volume that can be read has a good copy")

    def restore() -> int:
        nonlocal written
        stored = find(volume, identifier, version)
        with target.open("wb") as file:

            def write(data: bytes) -> None:
                nonlocal written
                written += file.write(data)

            stored.write_tar(write)
        return len(stored.files)

    try:
        files = ask(volume, restore, lambda: written)
    except VaultError as error:
        return Restored(identifier, version, volume, 0, 0, time.monotonic() - began, str(error))
    finally:
        # A thread that hangs may still have it open.
        target.unlink(missing_ok=True)
    return Restored(identifier, version, volume, files, written, time.monotonic() - began)
