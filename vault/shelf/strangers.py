"""The facts that a scan of a volume speaks in."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from vault.clock import from_text, to_text
from vault.model import Json

LISTED = 1000
"""So many finds of a scan are kept one by one; all are counted."""

LISTED_FAULTS = 10


class StrangerKind(enum.StrEnum):
    """What can be between a volume and the catalogue.

    FOREIGN: an OCFL object of others. UNKNOWN: an object or version of this program's that the catalogue does not
    have, or has not on this volume; it can be entered as it stands. DIFFERENT: the catalogue knows that version with
    another inventory. BROKEN: an object whose inventory cannot be read. MISSING: the catalogue has a copy, and nothing
    of it is there. RETIRED: what is left of copies that are no longer wanted there. STRAY: what is no object.
    LEFTOVER: staging, evidence or uploads that nobody works on.
    """

    FOREIGN = "foreign-object"
    UNKNOWN = "unknown-object"
    DIFFERENT = "different-object"
    BROKEN = "broken-object"
    MISSING = "missing-object"
    RETIRED = "retired-copy"
    STRAY = "stray"
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Stranger:
    """One find. ``path`` is relative to the volume's root.

    ``identifier`` is that of the package, where it is one; of a foreign object "" unless it was adopted, and then the
    package's. ``sound`` is the verdict of the OCFL validation, None where it was not asked for; ``faults`` the first
    things that were wrong.
    """

    kind: StrangerKind
    path: str
    object_id: str = ""
    identifier: str = ""
    versions: tuple[int, ...] = ()
    sound: bool | None = None
    faults: tuple[str, ...] = ()
    message: str = ""

    def as_json(self) -> dict[str, Json]:
        """For the kept scan."""
        return {
            "kind": str(self.kind), "path": self.path, "object_id": self.object_id, "identifier": self.identifier,
            "versions": list(self.versions), "sound": self.sound, "faults": list(self.faults), "message": self.message,
        }  # fmt: skip


class ScanState(enum.StrEnum):
    """INTERRUPTED: the daemon was stopped while it ran; it can be ordered again."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass
class Scan:
    """One scan of a volume, filled in while it goes on.

    ``objects`` counts what was found, ``copies`` the catalogue's copies that were looked for, ``read`` the bytes of
    foreign objects that were read; ``ordered`` the packages whose verification was ordered, as something of them was
    missing. ``problem`` says why it failed.
    """

    volume: str
    check: bool
    agent: str
    began_at: datetime
    state: ScanState = ScanState.RUNNING
    ended_at: datetime | None = None
    objects: int = 0
    copies: int = 0
    read: int = 0
    ordered: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    strangers: list[Stranger] = field(default_factory=list)
    problem: str = ""

    def add(self, stranger: Stranger) -> None:
        """Count a find, and keep it as far as anybody would read such a list."""
        self.counts[str(stranger.kind)] += 1
        if len(self.strangers) < LISTED:
            self.strangers.append(stranger)

    def as_json(self) -> dict[str, Json]:
        """For the state folder."""
        return {
            "volume": self.volume, "check": self.check, "agent": self.agent, "began_at": to_text(self.began_at),
            "state": str(self.state), "ended_at": to_text(self.ended_at) if self.ended_at else None,
            "objects": self.objects, "copies": self.copies, "read": self.read, "ordered": self.ordered,
            "counts": dict(self.counts), "strangers": [each.as_json() for each in self.strangers],
            "problem": self.problem,
        }  # fmt: skip


def scan_of(document: dict[str, Json]) -> Scan:
    """The reverse of :meth:`Scan.as_json`. Raises KeyError, TypeError or ValueError for what that did not write."""

    def number(name: str) -> int:
        return int(str(document[name]))

    counts, strangers, ended = document["counts"], document["strangers"], document["ended_at"]
    if not isinstance(counts, dict) or not isinstance(strangers, list):
        raise TypeError("not a scan")
    return Scan(
        str(document["volume"]), document["check"] is True, str(document["agent"]),
        from_text(str(document["began_at"])), ScanState(str(document["state"])),
        None if ended is None else from_text(str(ended)), number("objects"), number("copies"), number("read"),
        number("ordered"), Counter({name: int(str(count)) for name, count in counts.items()}),
        [_stranger(each) for each in strangers], str(document["problem"]),
    )  # fmt: skip


def _stranger(document: Json) -> Stranger:
    if not isinstance(document, dict):
        raise TypeError("not a find")
    versions, faults, sound = document["versions"], document["faults"], document["sound"]
    if not isinstance(versions, list) or not isinstance(faults, list):
        raise TypeError("not a find")
    return Stranger(
        StrangerKind(str(document["kind"])), str(document["path"]), str(document["object_id"]),
        str(document["identifier"]), tuple(int(str(each)) for each in versions),
        sound if isinstance(sound, bool) else None, tuple(str(each) for each in faults), str(document["message"]),
    )  # fmt: skip
