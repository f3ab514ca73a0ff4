"""What a rebuild came to, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from vault.model import Json
from vault.recovery.sources import Trouble

LISTED = 1000
"""So many troubles stand in the report; the rest are counted."""


@dataclass
class SourceRead:
    """One medium that was read: how many parts it has, and what became of them."""

    name: str
    kind: str
    uuid: str
    parts: int = 0
    known: int = 0
    copies_added: int = 0
    versions_added: int = 0
    doubted: int = 0
    whole: bool = True

    def as_json(self) -> dict[str, Json]:
        """For programs."""
        return {
            "name": self.name, "kind": self.kind, "uuid": self.uuid, "parts": self.parts, "known": self.known,
            "copies_added": self.copies_added, "versions_added": self.versions_added, "doubted": self.doubted,
            "whole": self.whole,
        }  # fmt: skip


@dataclass
class RebuildReport:
    """``base`` says what the catalogue was begun with; ``lost_events`` are the first and last number of events that a
    checkpoint signed and no backup has, 0 and 0 where there are none."""

    base: Mapping[str, Json] = field(default_factory=dict)
    sources: list[SourceRead] = field(default_factory=list)
    packages: int = 0
    versions: int = 0
    lost_events: tuple[int, int] = (0, 0)
    troubles: list[Trouble] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    moved_aside: str = ""

    def trouble(self, trouble: Trouble) -> None:
        """Note one; the first of them are kept in full."""
        self.counts[trouble.code] += 1
        if len(self.troubles) < LISTED:
            self.troubles.append(trouble)

    def summary(self) -> dict[str, Json]:
        """All but the single troubles, for the ledger."""
        return {
            "base": dict(self.base),
            "sources": [source.as_json() for source in self.sources],
            "packages": self.packages,
            "versions": self.versions,
            "lost_events": list(self.lost_events),
            "troubles": dict(self.counts),
        }

    def as_json(self) -> dict[str, Json]:
        """All of it, for programs."""
        return {
            **self.summary(),
            "listed": [trouble.as_json() for trouble in self.troubles],
            "moved_aside": self.moved_aside,
        }
