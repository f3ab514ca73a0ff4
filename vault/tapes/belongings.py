"""What a cartridge carries of itself: with these files it explains itself to whoever finds it alone.

``khoso/volume.json`` says which cartridge it is, ``khoso/contents.json`` what stands on it, ``khoso/ledger.json`` is a
signed checkpoint of the ledger and ``khoso/catalog.db.gz`` the newest snapshot of the catalogue. They are written at
the end of each session, so that they tell of it too.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from vault.catalog import cartridges, copies, packages
from vault.catalog.engine import Tx
from vault.clock import to_text
from vault.config import PoolSettings
from vault.errors import VaultError
from vault.ledger import make_checkpoint
from vault.model import CopyState, Json, Version, Volume
from vault.tapes.context import Tapes

log = structlog.get_logger(__name__)

FOLDER: Final = "khoso"
IDENTITY: Final = f"{FOLDER}/volume.json"
CONTENTS: Final = f"{FOLDER}/contents.json"
CHECKPOINT: Final = f"{FOLDER}/ledger.json"
CATALOGUE: Final = f"{FOLDER}/catalog.db.gz"
README: Final = "READ-ME.txt"

_LISTED: Final = (CopyState.WRITING, CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT)
_PAGE: Final = 500
_PER_ENTRY: Final = 1024
_README_TEXT: Final = """This tape is an LTFS volume of a digital archive's storage node (khoso).

packages/   a tar file for each version of each package. Unpacked over one another, v1.tar to vN.tar, they give
            the package as an OCFL 1.1 object (https://ocfl.io/1.1/spec/): inventory.json names every file and digest.
khoso/      what this tape is, a list of what is on it, the node's catalogue and a signed checkpoint of its ledger.

Any program that reads LTFS, and any tar, can read it.
"""


@dataclass(frozen=True, slots=True)
class Belonging:
    """A file that a cartridge carries of itself: its bytes, or where they lie."""

    path: str
    data: bytes = b""
    source: Path | None = None

    @property
    def length(self) -> int:
        """In bytes."""
        return len(self.data) if self.source is None else self.source.stat().st_size


def snapshot(tapes: Tapes, folder: Path) -> Path | None:
    """A compressed copy of the catalogue in this folder; None where there is none to be had (PostgreSQL, no room)."""
    if not tapes.custodian.catalogue.is_sqlite:
        return None
    plain, packed = folder / "catalog.db", folder / "catalog.db.gz"
    try:
        tapes.custodian.catalogue.backup(plain)
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except (VaultError, OSError) as error:
        log.warning("snapshot-not-made", reason=str(error))
        packed.unlink(missing_ok=True)
        return None
    finally:
        plain.unlink(missing_ok=True)
    return packed


def reserve(number_of_copies: int, packed: Path | None) -> int:
    """Bytes to keep free for what comes at the end of a session."""
    return 4 * (1 << 20) + number_of_copies * _PER_ENTRY + (packed.stat().st_size if packed else 0)


def belongings(tapes: Tapes, volume: Volume, pool: PoolSettings, packed: Path | None) -> list[Belonging]:
    """All of it, as things stand now."""
    with tapes.custodian.catalogue.read() as tx:
        identity: dict[str, Json] = {
            "type": "khoso-tape",
            "version": 1,
            "uuid": str(volume.uuid),
            "barcode": volume.name,
            "pool": pool.name,
            "set": pool.set,
            "site": pool.site,
            "node": tapes.settings.node.name,
            "time": to_text(tx.now),
        }
        contents: dict[str, Json] = {**identity, "type": "khoso-tape-contents", "copies": list(_listed(tx, volume))}
        checkpoint = make_checkpoint(tx, tapes.key, tapes.settings.node.name)
    found = [
        Belonging(README, _README_TEXT.encode()),
        Belonging(IDENTITY, _json(identity)),
        Belonging(CONTENTS, _json(contents)),
        Belonging(CHECKPOINT, _json(checkpoint)),
    ]
    return found if packed is None else [*found, Belonging(CATALOGUE, source=packed)]


def _listed(tx: Tx, volume: Volume) -> Iterable[dict[str, Json]]:
    after = 0
    while True:
        page = copies.in_states(tx, _LISTED, _PAGE, volume.id, after)
        files = cartridges.files(tx, [copy.id for copy in page])
        for copy in page:
            if copy.id in files:
                yield _entry(packages.need_version(tx, copy.version_id), files[copy.id].path, files[copy.id].length)
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _entry(version: Version, path: str, length: int) -> dict[str, Json]:
    return {
        "identifier": version.identifier,
        "version": version.number,
        "path": path,
        "bytes": length,
        "algorithm": str(version.algorithm),
        "inventory_digest": version.inventory_digest,
        "content_digest": version.content_digest,
    }


def number_of_copies(tx: Tx, volume: Volume) -> int:
    """How many copies a cartridge bears or once bore: its list will not be longer."""
    return sum(number for (name, _), number in copies.counts(tx).items() if name == volume.name)


def _json(document: dict[str, Json]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
