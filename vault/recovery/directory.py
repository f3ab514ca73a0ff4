"""A disk volume as a source of a rebuild: its OCFL objects, found by walking the storage root."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

from vault.durable import describe_os_error
from vault.errors import Corrupted, Invalid, NotFound, Unreachable, VaultError, WrongVolume
from vault.formats.ocfl import (
    INVENTORY_FILE,
    MAX_INVENTORY_BYTES,
    FolderTree,
    Inventory,
    object_path,
    parse_inventory,
    parse_sidecar,
    sidecar_name,
)
from vault.formats.ocfl.object_ids import identifier_of
from vault.formats.ocfl.validate_root import find_objects
from vault.intake.unpack import RESERVED
from vault.model import DigestAlgorithm, Json
from vault.recovery.sources import FoundPart, Trouble
from vault.volumes.base import Part, VolumeIdentity
from vault.volumes.directory import OCFL, DirectoryVolume

_VERSION = re.compile(r"v[1-9][0-9]*")
_SMALL = 64 * 1024
_LARGEST_NOTE = 16 * 1024 * 1024


class DirectorySource:
    """See :class:`vault.recovery.sources.RebuildSource`."""

    def __init__(self, volume: DirectoryVolume) -> None:
        self._volume = volume
        self.name = volume.name
        self.kind = volume.kind
        self.medium = volume.medium
        self.domain = volume.domain
        self.site = volume.site
        self._root = Path(volume.path) / OCFL
        self._seen: UUID | None = None

    def identity(self) -> VolumeIdentity:
        """See the protocol."""
        probe = self._volume.probe()
        if probe.identity is None:
            raise Unreachable(probe.reason or f"The volume {self.name!r} does not answer.")
        if self._seen is not None and probe.identity.uuid != self._seen:
            raise WrongVolume(
                f"Another volume ({probe.identity.uuid}) stands at {self._volume.path} than before ({self._seen}).",
                remedy="Mount the right volume there, and begin anew.",
            )
        self._seen = probe.identity.uuid
        return probe.identity

    def notes(self, folder: str) -> list[str]:
        """See the protocol."""
        return self._volume.notes(folder)

    def read_note(self, path: str) -> Iterator[bytes]:
        """See the protocol."""
        return self._volume.read_note(path)

    def parts(self) -> Iterator[FoundPart | Trouble]:
        """See the protocol."""
        self.identity()
        with self.root() as tree:
            unread: list[Trouble] = []
            for place in find_objects(tree, unread=lambda path, error: unread.append(self._unlisted(path, error))):
                yield from unread
                unread.clear()
                yield from self.parts_at(tree, place)
            yield from unread
        # What is not there any more looks like what never was.
        self.identity()

    def _unlisted(self, path: str, error: VaultError) -> Trouble:
        """A folder of the storage root that cannot be listed. What lies beside it may be well, so the walk goes on."""
        self.identity()
        if not path:
            raise Unreachable(
                f"The storage root {self._root} cannot be read: {error.message}",
                remedy="Look at the volume (dmesg, SMART, lost+found of its file system), and make the catalogue anew"
                " again when it is well.",
                code="storage-root-unreadable",
            ) from error
        message = f"{error.message} The packages below it were not read here."
        return Trouble("not-read", self.name, message, detail={"path": f"{OCFL}/{path}"})

    @contextlib.contextmanager
    def root(self) -> Iterator[FolderTree]:
        """The storage root, of the right volume. Raises Unreachable."""
        # Mounted: an empty mount point would look like an empty archive.
        with self._volume.session():
            pass
        try:
            with FolderTree(self._root) as tree:
                yield tree
        except OSError as error:
            raise describe_os_error(error, f"reading the storage root of {self.name!r}") from error

    def parts_at(self, tree: FolderTree, place: str) -> Iterator[FoundPart | Trouble]:
        """The parts of the object at ``place`` in the storage root, the earlier versions first."""
        try:
            for found in _Object(self.name, tree, place).parts():
                if isinstance(found, Trouble):
                    self.identity()
                yield found
        except (NotFound, Unreachable) as error:
            # One object that cannot be read is a fault of that copy; a volume that is gone is an outage.
            self.identity()
            yield Trouble("not-read", self.name, error.message, detail={"path": f"{OCFL}/{place}"})

    def size(self, object_id: str, content_path: str) -> int | None:
        """See the protocol."""
        try:
            descriptor = self._volume.open(object_id, content_path)
        except NotFound:
            return None
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def small_file(self, object_id: str, content_path: str, limit: int) -> bytes | None:
        """See the protocol."""
        try:
            descriptor = self._volume.open(object_id, content_path)
        except (NotFound, Unreachable):
            return None
        with os.fdopen(descriptor, "rb") as file, contextlib.suppress(OSError):
            data = file.read(limit + 1)
            return data if len(data) <= limit else None
        return None


class _Object:
    """One object's folder."""

    def __init__(self, source: str, tree: FolderTree, place: str) -> None:
        self._source = source
        self._tree = tree
        self._place = place
        self._unread = ""
        """Why the file that was last asked for could not be read, if the medium was at fault."""

    def parts(self) -> Iterator[FoundPart | Trouble]:
        root = self._inventory("")
        if root is not None:
            inventory = root[0]
            try:
                identifier_of(inventory.id)
            except Invalid:
                yield self._trouble("foreign-object", f"The object {inventory.id[:200]} was not made by this program.",
                                    inventory.id)  # fmt: skip
                return
            if object_path(inventory.id) != self._place:
                yield self._trouble("misplaced-object", f"{inventory.id} does not lie where it belongs.", inventory.id)
                return
        else:
            code, message = self._wrong("damaged-inventory", "The object's newest inventory is damaged or missing.")
            yield self._trouble(code, message, self._id_by_its_versions())
        numbers = self._numbers()
        for number in numbers:
            yield from self._version(number, root, newest=number == numbers[-1])

    def _version(
        self, number: int, root: tuple[Inventory, bytes] | None, *, newest: bool
    ) -> Iterator[FoundPart | Trouble]:
        found = self._inventory(f"v{number}/")
        sound = found is not None and not (newest and root is None)
        if found is None:
            code, message = self._wrong("damaged-inventory", "The version's inventory is damaged or missing.")
            object_id = root[0].id if root is not None else self._id_by_its_versions()
            yield self._trouble(code, message, object_id, number)
            # Of its newest version an object has the inventory twice, to the letter.
            found = root if root is not None and root[0].head_number == number else None
        if found is None:
            return
        inventory, data = found
        if object_path(inventory.id) != self._place or inventory.head_number != number:
            yield self._trouble("misplaced-object", f"The inventory is that of {inventory.id} {inventory.head}.",
                                inventory.id, number)  # fmt: skip
            return
        if root is not None and number > root[0].head_number:
            yield self._trouble("unfinished-version", "It was being put in place when something cut that off.",
                                inventory.id, number)  # fmt: skip
            return
        algorithm = DigestAlgorithm(inventory.digest_algorithm)
        part = Part(inventory.id, number, algorithm, hashlib.new(str(algorithm), data).hexdigest())
        note = None
        if RESERVED in inventory.files_of_version(number):
            digest, path = inventory.files_of_version(number)[RESERVED]
            note = self._note(path, digest, algorithm)
            if note is None:
                wrong = self._wrong("damaged-note", f"{RESERVED} is damaged or missing.")
                yield self._trouble(*wrong, inventory.id, number)
        yield FoundPart(part, data, note, sound)

    def _numbers(self) -> list[int]:
        return sorted(int(e.name[1:]) for e in self._tree.list_dir(self._place) if _VERSION.fullmatch(e.name))

    def _id_by_its_versions(self) -> str:
        for number in self._numbers():
            found = self._inventory(f"v{number}/")
            if found is not None and object_path(found[0].id) == self._place:
                return found[0].id
        return ""

    def _inventory(self, folder: str) -> tuple[Inventory, bytes] | None:
        """An inventory that is well formed and what its sidecar says."""
        try:
            data = self._read(f"{folder}{INVENTORY_FILE}", MAX_INVENTORY_BYTES)
            inventory = parse_inventory(data)
            stated = parse_sidecar(self._read(f"{folder}{sidecar_name(inventory.digest_algorithm)}", _SMALL))
        except VaultError as error:
            self._ask_why(error)
            return None
        found = hashlib.new(inventory.digest_algorithm, data, usedforsecurity=False).hexdigest()
        return (inventory, data) if found == stated else None

    def _note(self, path: str, digest: str, algorithm: DigestAlgorithm) -> Mapping[str, Json] | None:
        try:
            data = self._read(path, _LARGEST_NOTE)
            document: object = json.loads(data)
        except VaultError as error:
            self._ask_why(error)
            return None
        except (ValueError, RecursionError):
            return None
        right = hashlib.new(str(algorithm), data, usedforsecurity=False).hexdigest() == digest
        return document if right and isinstance(document, dict) else None

    def _ask_why(self, error: VaultError) -> None:
        # Another file of the object may say the same, as another medium may: one bad sector is not the whole disk.
        self._unread = error.message if isinstance(error, Unreachable) else ""

    def _wrong(self, code: str, message: str) -> tuple[str, str]:
        """The code and message for what is not as it must be: what could not be read was not found to be damaged."""
        return ("not-read", self._unread) if self._unread else (code, message)

    def _read(self, path: str, limit: int) -> bytes:
        self._unread = ""
        with self._tree.open(f"{self._place}/{path}") as file:
            try:
                data = file.read(limit + 1)
            except OSError as error:
                doing = f"reading {OCFL}/{self._place}/{path} on {self._source!r}"
                raise describe_os_error(error, doing) from error
        if len(data) > limit:
            raise Corrupted(f"{path} is larger than {limit} bytes.")
        return data

    def _trouble(self, code: str, message: str, object_id: str = "", number: int = 0) -> Trouble:
        return Trouble(code, self._source, message, object_id, number, {"path": f"{OCFL}/{self._place}"})
