"""Trees in memory, objects made by our own builder, the fixtures of others, and ocfl-py as a second opinion."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from vault.errors import NotFound
from vault.formats.ocfl import (
    ContentPaths,
    Entry,
    Inventory,
    Kind,
    User,
    first_version,
    next_version,
    object_declaration,
    object_id,
    sidecar_bytes,
    sidecar_name,
)

FIXTURES = Path(__file__).parents[5] / "shared" / "fixtures" / "ocfl" / "1.1"
NO_FIXTURES = "the OCFL fixtures are not at ../shared/fixtures/ocfl/1.1"
USER = User("Nguyễn Văn A", "mailto:a@example.org")
WHEN = datetime(2025, 7, 1, 10, 0, tzinfo=UTC)


class MemoryTree:
    """A tree of files in a dict; ``folders`` may be empty ones, ``links`` are symbolic links."""

    def __init__(self, files: Mapping[str, bytes], folders: Sequence[str] = (), links: Sequence[str] = ()) -> None:
        self.files = dict(files)
        self.links = set(links)
        self.below: dict[str, dict[str, Entry]] = {"": {}}
        for path in folders:
            self._folder(path)
        for path in self.links:
            self._put(path, Kind.LINK, 0)
        for path, data in self.files.items():
            self._put(path, Kind.FILE, len(data))

    def _folder(self, path: str) -> dict[str, Entry]:
        if path not in self.below:
            self.below[path] = {}
            parent, _, name = path.rpartition("/")
            self._folder(parent)[name] = Entry(name, Kind.DIRECTORY)
        return self.below[path]

    def _put(self, path: str, kind: Kind, size: int) -> None:
        parent, _, name = path.rpartition("/")
        self._folder(parent)[name] = Entry(name, kind, size)

    def list_dir(self, path: str) -> Sequence[Entry]:
        if path not in self.below:
            raise NotFound(path)
        return list(self.below[path].values())

    def open(self, path: str) -> BinaryIO:
        if path not in self.files:
            raise NotFound(path)
        return io.BytesIO(self.files[path])


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


def build_object(
    versions: Sequence[Mapping[str, bytes]], *, identifier: str = "H49/2025", algorithm: str = "sha512"
) -> dict[str, bytes]:
    """Store states one after another as a depositing program does; return the object's files."""
    files: dict[str, bytes] = {}
    inventory: Inventory | None = None
    for number, state in enumerate(versions, 1):
        paths = ContentPaths(f"v{number}")
        staged: dict[str, bytes] = {}
        logical: dict[str, str] = {}
        content: dict[str, str] = {}
        for path, data in state.items():
            digest = hashlib.new(algorithm, data).hexdigest()
            place = paths.assign(path)
            staged[place] = data
            logical[path] = digest
            content[digest] = place
        if inventory is None:
            inventory = first_version(
                object_id=object_id(identifier),
                state=logical,
                content=content,
                created=WHEN,
                message="thu nộp",
                user=USER,
                digest_algorithm=algorithm,
            )
        else:
            inventory = next_version(inventory, state=logical, content=content, created=WHEN, message="", user=USER)
        part = inventory.content_of_version_part(number)
        files |= {path: staged[path] for path in part}
        data = inventory.to_bytes()
        for folder in (f"v{number}/", ""):
            files[f"{folder}inventory.json"] = data
            files[folder + sidecar_name(algorithm)] = sidecar_bytes(data, algorithm)
    name, text = object_declaration()
    return {name: text, **files}


def reseal(files: dict[str, bytes], old: str, new: str) -> dict[str, bytes]:
    """Return the files with ``old`` replaced in every inventory, and the sidecars made to match."""
    made = dict(files)
    for path, data in files.items():
        if path.endswith("inventory.json"):
            changed = data.replace(old.encode(), new.encode())
            made[path] = changed
            made[f"{path}.sha512"] = sidecar_bytes(changed, "sha512")
    return made


def write(files: Mapping[str, bytes], folder: Path) -> None:
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def oracle(folder: Path) -> tuple[bool, str]:
    """Return what ocfl-py says of the object: whether it is valid, and all errors and warnings as text.

    It stumbles over some broken inventories; that is a verdict too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ocfl.validator import Validator

        validator = Validator(log_warnings=True)
        try:
            return validator.validate_object(str(folder)), validator.status_str()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return False, repr(error)
