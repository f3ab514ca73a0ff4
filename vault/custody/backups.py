"""Backups of the catalogue on every volume, where whoever loses the server still finds them.

A backup is an export (:mod:`vault.catalog.export`) with a seal beside it: a signed note of its SHA-256, its size, and
where the ledger ended. What is sealed by this node's key is believed when the catalogue is rebuilt, proofs included.
The newest few are kept, in the state folder and under ``node/catalog/`` of every volume that can be written.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import structlog

from vault.catalog import export, schedules
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Catalogue
from vault.clock import to_text
from vault.custody.context import Custodian
from vault.durable import TEMP_PREFIX, describe_os_error, rename_durably, write_durably
from vault.errors import Corrupted, Unreachable, VaultError
from vault.ledger import append
from vault.model import Condition, EventType, Json, NewEvent, Outcome
from vault.signing import NodeKey, canonical_json
from vault.volumes.base import Volume

log = structlog.get_logger(__name__)

FOLDER: Final = "catalog"
KIND: Final = "khoso-catalogue-backup"
SCHEDULE: Final = "catalog-backup"
DATA_END: Final = ".jsonl.gz"
SEAL_END: Final = ".json"

_CHUNK: Final = 1024 * 1024


class _Hashed:
    """A file that is written and hashed at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> object:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> object:
        return self._file.flush()


def export_to(catalogue: Catalogue, path: Path, node: str) -> dict[str, Json]:
    """Write an export to ``path``, durably and all at once or not at all; return what a seal says of it.

    Raises Full, Unreachable, Corrupted.
    """
    temp = path.with_name(f"{TEMP_PREFIX}{path.name}")
    try:
        with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            hashed = _Hashed(file)
            with catalogue.read() as tx:
                found = export.write(tx, hashed, node)
            file.flush()
            os.fsync(file.fileno())
        rename_durably(temp, path)
    except OSError as error:
        raise describe_os_error(error, f"writing the backup {path}") from error
    finally:
        with suppress(OSError):
            temp.unlink()
    return {
        "type": KIND,
        "version": 1,
        "node": node,
        "file": path.name,
        "time": to_text(found.time),
        "bytes": hashed.size,
        "sha256": hashed.digest.hexdigest(),
        "schema": found.schema,
        "seq": found.seq,
        "hash": found.hash,
        "rows": cast("dict[str, Json]", dict(found.rows)),
    }


@dataclass
class _Keeping:
    """One volume that is being given a backup."""

    volume: Volume
    thread: threading.Thread | None = None
    moved: int = 0
    failure: VaultError | None = None
    done: bool = False


class Backups:
    """Makes backups of the catalogue; one at a time."""

    def __init__(self, custodian: Custodian, key: NodeKey) -> None:
        self._custodian = custodian
        self._key = key
        self._lock = threading.Lock()
        self._hanging: dict[str, threading.Thread] = {}

    def make(self) -> dict[str, Json]:
        """Back the catalogue up now, to the state folder and every volume that can be written; return the seal.

        A volume that hangs holds up nobody for longer than ``custody.stalled_after``. Raises Unreachable when no volume
        took it, for the state folder alone dies with the server.
        """
        with self._lock:
            return self._make()

    def _make(self) -> dict[str, Json]:
        custodian = self._custodian
        folder = custodian.settings.node.state / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        # Its time is that of the backup: the newest has the last name.
        path = folder / f"catalog-{custodian.catalogue.clock():%Y%m%dT%H%M%S.%fZ}{DATA_END}"
        document = self._key.sign_document(export_to(custodian.catalogue, path, custodian.settings.node.name))
        seal = canonical_json(document) + b"\n"
        write_durably(seal_beside(path), seal, 0o600)
        _prune_folder(folder, custodian.settings.custody.backup_keep)
        with custodian.catalogue.read() as tx:
            writable = [v.name for v in catalog_volumes.all(tx) if v.condition is Condition.ONLINE]
        kept, failed = self._keep([custodian.volumes[n] for n in writable if n in custodian.volumes], path, seal)
        if not kept:
            raise Unreachable(
                f"No volume took the backup of the catalogue ({_told(failed) or 'none can be written now'}); it is in"
                f" {path} alone, and would be lost with this server.",
                remedy="Look at `vaultctl volumes`; then type: vaultctl catalog backup",
                code="backup-not-kept",
            )
        with custodian.catalogue.write() as tx:
            schedules.succeeded(tx, SCHEDULE)
            detail: dict[str, Json] = {
                "file": path.name, "bytes": document["bytes"], "sha256": document["sha256"], "seq": document["seq"],
                "volumes": list(kept), "failed": cast("dict[str, Json]", failed),
            }  # fmt: skip
            outcome = Outcome.WARNING if failed else Outcome.SUCCESS
            append(tx, NewEvent(EventType.CATALOGUE_BACKUP, outcome, custodian.agent, detail=detail))
        return {**document, "volumes": list(kept)}

    def _keep(self, volumes: list[Volume], path: Path, seal: bytes) -> tuple[list[str], dict[str, str]]:
        """Write it everywhere at once; returns where it is, and why it is not elsewhere."""
        keepings = [_Keeping(volume) for volume in volumes]
        for keeping in keepings:
            before = self._hanging.get(keeping.volume.name)
            if before is not None and before.is_alive():
                keeping.failure = Unreachable("The backup before this one still hangs there.")
                continue
            name = f"backup-{keeping.volume.name}"
            keeping.thread = threading.Thread(target=self._keep_on, args=(keeping, path, seal), name=name, daemon=True)
            keeping.thread.start()
        for keeping in keepings:
            if keeping.thread is not None:
                self._wait(keeping, keeping.thread)
        failed = {k.volume.name: str(k.failure or "It hangs.") for k in keepings if not k.done}
        for name, reason in failed.items():
            log.warning("backup-not-kept", volume=name, reason=reason)
        return sorted(k.volume.name for k in keepings if k.done), failed

    def _wait(self, keeping: _Keeping, thread: threading.Thread) -> None:
        patience = self._custodian.settings.custody.stalled_after.total_seconds()
        moved, since = -1, time.monotonic()
        while thread.is_alive() and time.monotonic() - since < patience:
            if keeping.moved != moved:
                moved, since = keeping.moved, time.monotonic()
            thread.join(min(1.0, patience))
        if thread.is_alive():
            self._hanging[keeping.volume.name] = thread

    def _keep_on(self, keeping: _Keeping, path: Path, seal: bytes) -> None:
        volume = keeping.volume

        def pieces() -> Iterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
                    keeping.moved += len(chunk)

        try:
            volume.write_note(f"{FOLDER}/{path.name}", pieces())
            # The seal comes last: a backup without one is none.
            volume.write_note(f"{FOLDER}/{seal_beside(path).name}", seal)
            keeping.done = True
            for name in outdated(volume.notes(FOLDER), self._custodian.settings.custody.backup_keep):
                volume.remove_note(f"{FOLDER}/{name}")
        except VaultError as error:
            keeping.failure = error


def seal_beside(path: Path) -> Path:
    """Where the seal of a backup is."""
    return path.with_name(path.name.removesuffix(DATA_END) + SEAL_END)


def outdated(names: list[str], keep: int) -> list[str]:
    """Of the files in a folder of backups, those that are not of the newest ``keep`` whole ones: older, or cut off."""
    mine = [name for name in names if name.startswith("catalog-") and name.endswith((DATA_END, SEAL_END))]
    stems = {name.removesuffix(DATA_END).removesuffix(SEAL_END) for name in mine}
    whole = sorted(stem for stem in stems if {f"{stem}{DATA_END}", f"{stem}{SEAL_END}"} <= set(mine))
    if not whole:
        return []
    kept = set(whole[-keep:])
    # One that is newer than all that are whole is being written just now.
    return [name for name in mine if (stem := name.removesuffix(DATA_END).removesuffix(SEAL_END)) not in kept
            and stem < whole[-1]]  # fmt: skip


def _prune_folder(folder: Path, keep: int) -> None:
    for name in outdated(os.listdir(folder), keep):
        with suppress(OSError):
            (folder / name).unlink()


def _told(failed: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in sorted(failed.items()))


def check_digest(pieces: Iterator[bytes], seal: Mapping[str, Json], target: IO[bytes]) -> None:
    """Copy a backup to ``target`` and compare it with its seal. Raises Corrupted, Unreachable."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        target.write(piece)
    if digest.hexdigest() != seal.get("sha256") or size != seal.get("bytes"):
        raise Corrupted(
            f"The backup {seal.get('file')} is not what its seal says.",
            remedy="Take it from another volume, or an older one.",
            code="export-damaged",
        )
