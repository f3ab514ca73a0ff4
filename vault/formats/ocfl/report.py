"""What a validation says."""

from __future__ import annotations

from dataclasses import dataclass

from vault.errors import Fault
from vault.formats.ocfl.inventory import Inventory


@dataclass(frozen=True, slots=True)
class ObjectReport:
    """The verdict on one object. Codes are OCFL's; paths of faults are relative to the object root.

    ``missing`` and ``damaged`` are the content paths that the inventory lists and that are not there, or whose bytes
    have another digest; each has its fault in ``errors`` too. ``files`` and ``bytes_read`` count content that was
    read. ``suppressed`` counts faults beyond the first thousand. ``inventory`` is None unless it could be read at all,
    and is to be trusted only when the report is ``sound``.
    """

    path: str
    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    suppressed: int
    id: str | None
    spec: str | None
    head: str | None
    inventory: Inventory | None
    missing: tuple[str, ...]
    damaged: tuple[str, ...]
    files: int
    bytes_read: int

    @property
    def sound(self) -> bool:
        """Whether the object breaks no MUST."""
        return not self.errors


@dataclass(frozen=True, slots=True)
class RootReport:
    """The verdict on a storage root. Paths of faults are relative to the storage root.

    ``errors`` and ``warnings`` are those of the root and its hierarchy; what objects have goes to the caller object by
    object. ``objects`` counts those found, ``unsound`` those of them with errors.
    """

    path: str
    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    suppressed: int
    spec: str | None
    layout: str | None
    objects: int
    unsound: int

    @property
    def sound(self) -> bool:
        """Whether neither the root nor one of its objects breaks a MUST."""
        return not self.errors and not self.unsound
