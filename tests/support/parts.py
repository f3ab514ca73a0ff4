"""Packages for volumes: their parts, made by our own OCFL builder as a deposit makes them, and how to store them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from vault.formats.ocfl import ContentPaths, Inventory, User, first_version, next_version, object_id, object_path
from vault.model import DigestAlgorithm
from vault.volumes.base import Part, Staging, Volume

USER = User("Nguyễn Văn A", "mailto:a@example.org")
WHEN = datetime(2026, 11, 22, 10, 40, 42, tzinfo=UTC)

_tokens = itertools.count()


@dataclass(frozen=True)
class Built:
    """One version of a package: its part, the part's inventory, what its folder holds, and its logical state."""

    part: Part
    inventory: bytes
    content: dict[str, bytes]
    state: dict[str, bytes]


@dataclass
class Package:
    """A package that grows by versions, none of which is stored anywhere by this."""

    identifier: str = "H49.61/2025/Đ-012"
    algorithm: DigestAlgorithm = DigestAlgorithm.SHA512
    inventory: Inventory | None = None
    versions: list[Built] = field(default_factory=list)

    def add(self, state: Mapping[str, bytes]) -> Built:
        number = len(self.versions) + 1
        paths = ContentPaths(f"v{number}")
        staged = {paths.assign(logical): data for logical, data in state.items()}
        logical = {path: self.digest(data) for path, data in state.items()}
        content: dict[str, str] = {}
        for path, data in staged.items():
            content.setdefault(self.digest(data), path)
        facts = {"state": logical, "content": content, "created": WHEN, "message": f"v{number}", "user": USER}
        if self.inventory is None:
            name = object_id(self.identifier)
            self.inventory = first_version(object_id=name, digest_algorithm=str(self.algorithm), **facts)
        else:
            self.inventory = next_version(self.inventory, **facts)
        data = self.inventory.to_bytes()
        kept = {path: staged[path] for path in self.inventory.content_of_version_part(number)}
        part = Part(self.inventory.id, number, self.algorithm, self.digest(data))
        self.versions.append(Built(part, data, kept, dict(state)))
        return self.versions[-1]

    def digest(self, data: bytes) -> str:
        return hashlib.new(str(self.algorithm), data).hexdigest()


def usual(identifier: str = "H49.61/2025/Đ-012") -> Package:
    """Two versions: in the second a file is new, one is changed, one renamed, one deleted; one was always empty."""
    package = Package(identifier)
    first = {
        "data/công văn.pdf": b"%PDF-1.7 " + b"x" * 5000,
        "data/empty": b"",
        "data/old name.txt": b"the same words under two names",
        "bagit.txt": b"BagIt-Version: 1.0\n",
    }
    package.add(first)
    second = {
        "data/công văn.pdf": b"%PDF-1.7 " + b"y" * 9000,
        "data/empty": b"",
        "data/new name.txt": first["data/old name.txt"],
        "data/thêm/bổ sung.xml": b"<x/>",
    }
    package.add(second)
    return package


def fill(staging: Staging, built: Built) -> None:
    """Write a part's content in pieces and seal it."""
    for path, data in built.content.items():
        sink = staging.create(path)
        for start in range(0, len(data), 4000):
            sink.write(data[start : start + 4000])
        sink.close()
    staging.seal(built.part, built.inventory)


def staged(volume: Volume, built: Built, token: str = "") -> Staging:
    """A sealed staging with this part, ready to be put."""
    staging = volume.stage(token or f"test-{next(_tokens)}", built.part.number)
    fill(staging, built)
    return staging


def store(volume: Volume, *versions: Built) -> None:
    """Put these parts in place, oldest first, each becoming the newest."""
    for built in versions:
        volume.put(staged(volume, built), built.part, head=True)


def folder(root: Path, part: Part) -> Path:
    """Where the object is on a directory volume."""
    return root / "ocfl" / object_path(part.object_id)
