"""What can be read with the daemon dead: packages on a volume, the catalogue, checkpoints. Nothing is written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vault.catalog.engine import Catalogue
from vault.catalog.migration import newest_revision
from vault.client.body import Progress, no_progress
from vault.config import Settings
from vault.custody.checkpoints import FOLDER
from vault.durable import describe_os_error
from vault.errors import ConfigError, Corrupted, NotFound, VaultError
from vault.formats.ocfl import (
    INVENTORY_FILE,
    MAX_INVENTORY_BYTES,
    Inventory,
    object_id,
    object_path,
    parse_inventory,
    parse_sidecar,
    sidecar_name,
)
from vault.formats.tar_writer import TarWriter
from vault.i18n import _
from vault.intake.unpack import RESERVED
from vault.recovery.directory import DirectorySource
from vault.recovery.sources import RebuildSource
from vault.volumes.directory import NODE, OCFL, DirectoryVolume
from vault.volumes.tree import Tree

_SMALL = 64 * 1024


def open_volume(settings: Settings, name: str) -> DirectoryVolume:
    """The volume of that name as its folder. Raises NotFound where the configuration has none."""
    found = settings.volume(name)
    return DirectoryVolume(
        name=found.name, path=str(found.path), domain=found.domain, site=found.site, mount=found.mount
    )


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version as it lies on a volume. ``files`` are the depositor's: logical path -> (digest, content path)."""

    volume: DirectoryVolume
    identifier: str
    object_id: str
    number: int
    algorithm: str
    created: datetime
    files: dict[str, tuple[str, str]]

    def size(self, path: str) -> int:
        """Bytes of a file."""
        descriptor = self.volume.open(self.object_id, self.files[path][1])
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def chunks(self, path: str, progress: Progress = no_progress) -> Iterator[bytes]:
        """A file's bytes from the medium. Raises Corrupted after the last one if they are not what they must be."""
        digest, content_path = self.files[path]
        found = hashlib.new(self.algorithm)
        for chunk in self.volume.read(self.object_id, content_path):
            found.update(chunk)
            progress(len(chunk))
            yield bytes(chunk)
        if found.hexdigest() != digest:
            raise Corrupted(
                f"{path} of {self.identifier} v{self.number} is damaged on the volume {self.volume.name!r}.",
                remedy=_("Take it from another volume, and order a repair once vaultd runs again."),
            )

    def write_tar(self, write: Callable[[bytes], object], progress: Progress = no_progress) -> None:
        """All files as the tar that the API makes of them, byte for byte."""
        writer = TarWriter(write)
        mtime = int(self.created.timestamp())
        for path in sorted(self.files):
            writer.file(path, self.size(path), self.chunks(path, progress), mtime=mtime)
        writer.close()


def find_version(volume: DirectoryVolume, identifier: str, number: int | None) -> StoredVersion:
    """A version on a volume, the newest there where ``number`` is None.

    Raises NotFound, Unreachable, and Corrupted where the object's inventory is not what its sidecar says.
    """
    name = object_id(identifier)
    place = f"{OCFL}/{object_path(name)}"
    with volume.session() as tree:
        try:
            data = tree.read_small(f"{place}/{INVENTORY_FILE}", MAX_INVENTORY_BYTES)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(
                f"There is no package {identifier!r} on the volume {volume.name!r}.",
                remedy=_("Look at its spelling, and on the other volumes."),
                code="no-such-package",
            ) from error
        except OSError as error:
            raise describe_os_error(error, f"reading {place}/{INVENTORY_FILE} on {volume.name!r}") from error
        inventory = _checked_inventory(tree, place, data, volume.name)
    version = inventory.head_number if number is None else number
    files = inventory.files_of_version(version)
    created = inventory.versions[inventory.version_name(version)].created
    return StoredVersion(
        volume=volume,
        identifier=identifier,
        object_id=name,
        number=version,
        algorithm=inventory.digest_algorithm,
        created=datetime.fromisoformat(created.upper()),
        files={path: file for path, file in files.items() if path != RESERVED},
    )


def _checked_inventory(tree: Tree, place: str, data: bytes, volume: str) -> Inventory:
    inventory = parse_inventory(data)
    try:
        stated = parse_sidecar(tree.read_small(f"{place}/{sidecar_name(inventory.digest_algorithm)}", _SMALL))
    except (OSError, VaultError):
        stated = ""
    if hashlib.new(inventory.digest_algorithm, data).hexdigest() != stated:
        raise Corrupted(
            f"The inventory of {inventory.id} on the volume {volume!r} is not what its sidecar says.",
            remedy=_("Take the package from another volume, and order a repair once vaultd runs again."),
        )
    return inventory


def rebuild_sources(settings: Settings) -> list[RebuildSource]:
    """The media that a rebuild of the catalogue reads: every volume of the configuration."""
    return [DirectorySource(open_volume(settings, volume.name)) for volume in settings.volumes]


@contextlib.contextmanager
def tapes_of(settings: Settings, *, wanted: bool) -> Iterator[list[RebuildSource]]:
    """The cartridges in the tape libraries, for a rebuild; none where they are not ``wanted``."""
    if not wanted:
        yield []
        return
    from vault.recovery.tape import tape_sources

    with tape_sources(settings) as found:
        yield list(found)


# --- the catalogue and the checkpoints


@contextlib.contextmanager
def open_catalogue(settings: Settings) -> Iterator[Catalogue]:
    """The catalogue, whose schema must be this program's. Raises NotFound, ConfigError, Unreachable, Corrupted."""
    catalogue = Catalogue.open(settings.catalog.url)
    try:
        revision, newest = catalogue.schema_revision(), newest_revision()
        if revision is None:
            raise NotFound(
                f"There is no catalogue at {catalogue.place} yet.",
                remedy=_("vaultd makes it when it first starts; look whether catalog.url is right."),
                code="no-catalogue",
            )
        if revision != newest:
            raise ConfigError(
                f"The catalogue at {catalogue.place} has the schema {revision}, and this program needs {newest}.",
                remedy=_("Use the vaultctl that belongs to the vaultd which wrote it, or start this vaultd."),
                code="catalogue-other-schema",
            )
        yield catalogue
    finally:
        catalogue.close()


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A file that should be a checkpoint: where it was found, and the JSON in it (None where it holds none)."""

    where: str
    document: object


def kept_checkpoints(settings: Settings) -> tuple[list[KeptCheckpoint], list[str]]:
    """The checkpoints in the state folder and on every volume that can be reached; and why others could not."""
    found = _from_state(settings.node.state / FOLDER)
    missed: list[str] = []
    for configured in settings.volumes:
        volume = open_volume(settings, configured.name)
        try:
            with volume.session() as tree:
                found += _from_tree(tree, configured.name)
        except VaultError as error:
            missed.append(error.message)
        except OSError as error:
            missed.append(describe_os_error(error, f"reading the checkpoints on {configured.name!r}").message)
    return found, missed


def _from_state(folder: Path) -> list[KeptCheckpoint]:
    try:
        with Tree(folder) as tree:
            return [_kept(str(folder / name), tree, name) for name in _names(tree, ".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise describe_os_error(error, f"reading the checkpoints in {folder}") from error


def _from_tree(tree: Tree, volume: str) -> list[KeptCheckpoint]:
    place = f"{NODE}/{FOLDER}"
    try:
        names = _names(tree, place)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []
        raise
    return [_kept(f"{volume}:{place}/{name}", tree, f"{place}/{name}") for name in names]


def _names(tree: Tree, folder: str) -> list[str]:
    return sorted(entry.name for entry in tree.entries(folder) if entry.kind == "file" and entry.name.endswith(".json"))


def _kept(where: str, tree: Tree, path: str) -> KeptCheckpoint:
    try:
        document: object = json.loads(tree.read_small(path, _SMALL))
    except (ValueError, RecursionError):
        document = None
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        document = None
    return KeptCheckpoint(where, document)
