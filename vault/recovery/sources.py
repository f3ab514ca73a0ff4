"""What a rebuild asks of a medium: which versions' parts it holds, and what the node itself left on it.

A kind of medium that implements :class:`RebuildSource` takes part in ``vaultctl catalog rebuild``. Everything that it
hands out is checked already as far as the medium alone can tell: an inventory agrees with its sidecar, a note with its
digest. Content is not read here: copies that nobody vouches for are proved afterwards, by the daemon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vault.model import Json, MediumClass
from vault.volumes.base import Part, VolumeIdentity


@dataclass(frozen=True, slots=True)
class FoundPart:
    """One version's part as a medium has it.

    ``inventory`` is ``vN/inventory.json``, whose digest ``part`` names; ``note`` what the node wrote of the deposit
    (``khoso-deposit.json``, as JSON), None where it is not there or not readable. ``sound`` is False where the medium
    itself shows that something of the copy is damaged: it is entered, and no earlier proof of it is believed.
    """

    part: Part
    inventory: bytes
    note: Mapping[str, Json] | None = None
    sound: bool = True


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something on a medium, or said by it, that a person should know of.

    ``code`` is stable and kebab-case: ``damaged-inventory``, ``damaged-note``, ``foreign-object``,
    ``misplaced-object``, ``unfinished-version``, ``not-read``; docs/reference/cli.md has them all.
    ``object_id`` and ``number`` are given where they are known ("" and 0 where not).
    """

    code: str
    source: str
    message: str
    object_id: str = ""
    number: int = 0
    detail: Mapping[str, Json] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """For the report of a rebuild."""
        return {
            "code": self.code, "source": self.source, "message": self.message, "object": self.object_id,
            "version": self.number, **self.detail,
        }  # fmt: skip


class RebuildSource(Protocol):
    """One medium: a disk volume, or a tape in a drive. Used by one thread, from ``identity`` to the end of ``parts``.

    ``kind``, ``domain`` and ``site`` are what the catalogue shall say of the volume when it does not know it yet.
    """

    name: str
    kind: str
    medium: MediumClass
    domain: str
    site: str

    def identity(self) -> VolumeIdentity:
        """Who it is. Raises Unreachable (also where nothing is there, or something else)."""

    def notes(self, folder: str) -> list[str]:
        """Names of the node's own files in ``node/FOLDER`` (``catalog``: backups; ``ledger``: checkpoints), sorted."""

    def read_note(self, path: str) -> Iterator[bytes]:
        """One of these (``catalog/NAME``), in pieces. Raises NotFound, Unreachable."""

    def parts(self) -> Iterator[FoundPart | Trouble]:
        """Everything that it holds, each part once; of one object the earlier versions first, where it can.

        Raises Unreachable when the medium stops to answer.
        """

    def size(self, object_id: str, content_path: str) -> int | None:
        """Bytes of a content file of an object, by its content path (``v1/content/…``); None where it has none there.

        Asked for parts that ``parts`` has handed out, and only where no backup of the catalogue knows the version.
        Raises Unreachable where it cannot be told.
        """

    def small_file(self, object_id: str, content_path: str, limit: int) -> bytes | None:
        """A content file of at most ``limit`` bytes; None where there is none, or it is larger or unreadable."""
