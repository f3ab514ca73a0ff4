"""Which export each volume's share comes from, and whether what is mounted now is another one.

A volume is itself by its identity file, wherever it is mounted from. So the export is remembered with which it was
seen to be itself, and what is mounted later from elsewhere is a move where the identity is there too, and the wrong
export where it is not: then both can be named to whoever looks for the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from hardware.mounts import Mount
from hardware.shares import Share, ShareState
from vault.catalog import facts
from vault.catalog.engine import Tx
from vault.model import READABLE, Json, Volume

_FACT: Final = "mount-sources"


@dataclass(frozen=True, slots=True)
class Move:
    """A volume that is mounted from elsewhere than before, and is itself there."""

    volume: str
    was: str
    now: str


class Sources:
    """Compares what is mounted with what was. One round at a time."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[str, datetime]] = {}
        """By volume: what is mounted, and since when that was seen by this process."""

    def compare(
        self, known: Mapping[str, str], shares: Mapping[str, Share], rows: Mapping[str, Volume], now: datetime
    ) -> tuple[dict[str, Share], dict[str, str], list[Move]]:
        """What the shares are with this in mind, the exports to remember, and the volumes that moved. ``known`` are the
        exports that are remembered, by volume."""
        seen, kept, moves = dict(shares), dict(known), list[Move]()
        for name, share in shares.items():
            row, source = rows.get(name), source_of(share.mount)
            if row is None or not source:
                self._since.pop(name, None)
                continue
            before = known.get(name)
            if self._since.get(name, ("", now))[0] != source:
                self._since[name] = source, now
            # A probe from before this was mounted says nothing of it.
            probed = row.probed_at is not None and row.probed_at > self._since[name][1]
            if before == source or not probed:
                continue
            if row.condition in READABLE:
                kept[name] = source
                moves += [Move(name, before, source)] if before else []
            elif before:
                seen[name] = replace(share, state=ShareState.WRONG_EXPORT, expected=before)
        return seen, kept, moves


def source_of(mount: Mount | None) -> str:
    """The export that a share comes from, in one spelling; "" for what no server gives."""
    if mount is None or not mount.remote:
        return ""
    source = mount.source.rstrip("/") or mount.source
    # Names on Windows servers have no case (MS-SMB2).
    return source.replace("\\", "/").lower() if mount.kind in ("cifs", "smb3", "smbfs") else source


def read(tx: Tx) -> dict[str, str]:
    """The exports that are remembered, by volume."""
    kept = facts.get(tx, _FACT)
    return {name: one for name, one in kept.items() if isinstance(one, str)} if isinstance(kept, dict) else {}


def write(tx: Tx, sources: Mapping[str, str]) -> None:
    """Remember them."""
    kept: dict[str, Json] = dict(sources)
    facts.put(tx, _FACT, kept)
