"""The backups of the catalogue that can be found, and whose word for them is believed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from vault.clock import from_text
from vault.custody.backups import DATA_END, FOLDER, KIND, SEAL_END
from vault.durable import describe_os_error
from vault.errors import VaultError
from vault.model import Json
from vault.recovery.sources import RebuildSource, Trouble
from vault.signing import verify_document

_LARGEST_SEAL = 1024 * 1024
_CHUNK = 1024 * 1024

Opener = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class FoundBackup:
    """A backup by its seal. ``places`` say where it lies, each with what reads it. ``believed``: one of the keys that
    were given, or the node's own, sealed it."""

    name: str
    seal: Mapping[str, Json]
    time: datetime
    seq: int
    key_id: str
    public_key: bytes
    believed: bool
    places: list[tuple[str, Opener]] = field(default_factory=list)


def find_backups(
    state: Path, sources: list[RebuildSource], node: str, trusted: Collection[bytes]
) -> tuple[list[FoundBackup], list[Trouble]]:
    """All of this node's that can be reached, the newest first; and what is wrong with the others."""
    found: dict[object, FoundBackup] = {}
    troubles: list[Trouble] = []
    places: list[tuple[str, list[str], Callable[[str], Iterator[bytes]]]] = []
    asked = [("state", partial(_names_in, state / FOLDER), _reader(state))]
    asked += [(source.name, partial(source.notes, FOLDER), source.read_note) for source in sources]
    for place, names_of, read in asked:
        try:
            places.append((place, names_of(), read))
        except VaultError as error:
            troubles.append(Trouble("not-read", place, error.message))
    for place, names, read in places:
        for name in names:
            data = name.removesuffix(SEAL_END) + DATA_END
            if not name.endswith(SEAL_END) or data not in names:
                continue
            try:
                backup = _sealed(read(f"{FOLDER}/{name}"), data, node, trusted)
            except VaultError as error:
                troubles.append(Trouble("not-read", place, error.message))
                continue
            if backup is None:
                troubles.append(Trouble("damaged-backup", place, f"The seal {name} is damaged, or of another node."))
                continue
            known = found.setdefault((backup.seal.get("sha256"), backup.public_key), backup)
            known.places.append((place, _opener(read, f"{FOLDER}/{data}")))
    return sorted(found.values(), key=lambda backup: (backup.time, backup.name), reverse=True), troubles


def _sealed(pieces: Iterator[bytes], name: str, node: str, trusted: Collection[bytes]) -> FoundBackup | None:
    data = b""
    for piece in pieces:
        data += piece
        if len(data) > _LARGEST_SEAL:
            return None
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    signature = verify_document(document)
    if not signature.ok or not isinstance(document, dict) or document.get("type") != KIND:
        return None
    time, seq = document.get("time"), document.get("seq")
    if document.get("node") != node or not isinstance(time, str) or not isinstance(seq, int):
        return None
    try:
        moment = from_text(time)
    except ValueError:
        return None
    believed = signature.public_key in trusted
    return FoundBackup(name, document, moment, seq, signature.key_id, signature.public_key, believed)


def _opener(read: Callable[[str], Iterator[bytes]], path: str) -> Opener:
    return lambda: read(path)


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise describe_os_error(error, f"looking for backups in {folder}") from error


def _reader(state: Path) -> Callable[[str], Iterator[bytes]]:
    def read(path: str) -> Iterator[bytes]:
        try:
            with (state / path).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise describe_os_error(error, f"reading {state / path}") from error

    return read
