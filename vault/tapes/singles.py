"""Single files of adopted cartridges of somebody else: brought to the recall cache, from where they are handed out.

They are nobody's package: nothing says what their digests must be, so the digest of what came from tape is kept beside
them. A recall of one has the cartridge's barcode for an identifier, and the version 0, which no package has.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from typing import Final

from hardware.ltfs.model import FileEntry
from hardware.tape.reading import TapeReader
from vault.catalog import cartridges, recalls
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.errors import Full, Interrupted, NotFound, Refused
from vault.ledger import append
from vault.model import DigestAlgorithm, EventType, NewEvent, Outcome, Volume
from vault.tape_model import Adopted, CartridgeState, Recall, Whereabouts
from vault.tapes import indexes
from vault.tapes.cache import RecallCache
from vault.tapes.context import Doing, Tapes

OF_A_CARTRIDGE: Final = 0
"""The version of a recall that is of no package."""

_UNUSABLE: Final = (CartridgeState.RETIRED, CartridgeState.CLEANING)


def order(tapes: Tapes, cache: RecallCache, barcode: str, path: str, agent: str) -> Recall:
    """Order a file of a foreign cartridge, unless it is ordered already.

    Raises NotFound (``no-such-cartridge``, ``not-on-tape``, ``no-index``), Refused (``tape-refused``: it is no
    adopted cartridge of somebody else, or the path is a link), Full.
    """
    with tapes.custodian.catalogue.read() as tx:
        cartridge, volume = cartridges.need(tx, barcode), catalog_volumes.get(tx, barcode)
    if cartridge.adopted is not Adopted.FOREIGN or volume is None:
        raise Refused(
            f"The cartridge {barcode} was not adopted as somebody else's: single files are not handed out from it.",
            remedy="What is of a package is fetched as a package (vaultctl get, vaultctl recall); a cartridge of others"
            f" is adopted first: vaultctl tapes import {barcode}",
            code="tape-refused",
        )
    entry = indexes.find(tapes, volume, path)
    if entry.target is not None:
        raise Refused(f"{path[:200]!r} is a link to {entry.target[:200]!r}; ask for that.", code="tape-refused")
    if entry.length > cache.max_bytes:
        raise Full(
            f"The recall cache holds {cache.max_bytes} bytes, and this file has {entry.length}.",
            remedy="Raise max_bytes of [recall].",
        )
    with tapes.custodian.catalogue.write() as tx:
        row, new = recalls.order(tx, barcode, OF_A_CARTRIDGE, [path], agent, entry.length)
        if new:
            detail = {"recall": row.id, "file": path}
            append(tx, NewEvent(EventType.RECALL_REQUESTED, Outcome.SUCCESS, agent, volume=barcode, detail={**detail}))
    return row


def opened(tapes: Tapes, cache: RecallCache, barcode: str, path: str) -> tuple[int, str] | None:
    """A file that was brought back, opened for reading, with its sha512; None where it is not in the cache."""
    with tapes.custodian.catalogue.read() as tx:
        volume = catalog_volumes.get(tx, barcode)
    if volume is None:
        return None
    digest = cache.open(*_place(volume, path, "sha512"))
    if digest is None:
        return None
    with os.fdopen(digest, "rb") as file:
        told = file.read(200).decode("ascii", "replace")
    descriptor = cache.open(*_place(volume, path, "content"))
    return None if descriptor is None else (descriptor, told)


def lacking(
    tx: Tx, cache: RecallCache, recall: Recall, present: Collection[str], failed: Collection[tuple[str, int]]
) -> tuple[str, bool, str | None]:
    """How a recall of a single file stands: the barcode, whether it is to be asked for, and why it ended ("" where it
    is in the cache, None where it did not end)."""
    barcode = recall.identifier
    cartridge, volume = cartridges.get(tx, barcode), catalog_volumes.get(tx, barcode)
    if cartridge is None or volume is None or cartridge.state in _UNUSABLE or cartridge.adopted is not Adopted.FOREIGN:
        return barcode, False, "There is no such cartridge any more."
    if cache.has(*_place(volume, recall.files[0], "sha512")) and cache.has(*_place(volume, recall.files[0], "content")):
        return barcode, False, ""
    if (recall.id, OF_A_CARTRIDGE) in failed:
        return barcode, False, "The tape could not be read there."
    away = barcode not in present and cartridge.whereabouts is not Whereabouts.LIBRARY
    return barcode, away, None


def fetch(
    tapes: Tapes, cache: RecallCache, reader: TapeReader, entry: FileEntry | None, recall: Recall, doing: Doing
) -> int:
    """Read one from tape into the cache; return its bytes. Raises NotFound, Full, and what reading raises."""
    with tapes.custodian.catalogue.read() as tx:
        volume = catalog_volumes.get(tx, recall.identifier)
    if entry is None or volume is None:
        raise NotFound(f"{recall.identifier} has no such file any more.")
    cache.make_room(entry.length)
    digest = hashlib.sha512(usedforsecurity=False)

    def pieces() -> Iterator[bytes]:
        for piece in reader.read(entry, 0, entry.length):
            if doing.cancelled():
                raise Interrupted("Reading the tape was stopped.")
            digest.update(piece)
            doing.progress(len(piece))
            yield piece

    total = cache.put(*_place(volume, entry.path, "content"), pieces(), DigestAlgorithm.SHA512, None)
    told = digest.hexdigest().encode()
    cache.put(*_place(volume, entry.path, "sha512"), [told], DigestAlgorithm.SHA512, None)
    return total


def _place(volume: Volume, path: str, name: str) -> tuple[str, str]:
    """Object id and content path in the cache, of which each file goes by itself when room is needed."""
    return f"urn:uuid:{volume.uuid}", f"v{hashlib.sha256(path.encode('utf-8', 'surrogatepass')).hexdigest()}/{name}"
