"""Every index of a cartridge is also kept off it: in the state folder each, on the disk volumes the newest."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import structlog

from hardware.tape.reading import TapeReader
from vault.catalog import volumes as catalog_volumes
from vault.durable import write_durably
from vault.errors import VaultError
from vault.model import Condition
from vault.tapes.context import Tapes

log = structlog.get_logger(__name__)


def keep_index(tapes: Tapes, barcode: str, reader: TapeReader) -> Path:
    """Keep the index that was just read, unless that generation is kept already; return where."""
    folder = tapes.state / barcode
    path = folder / f"index-{reader.header.generation:08}.xml.gz"
    if path.exists():
        return path
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed:
        reader.capture_index(packed.write)
    data = buffer.getvalue()
    write_durably(path, data)
    with tapes.custodian.catalogue.read() as tx:
        online = [volume.name for volume in catalog_volumes.all(tx) if volume.condition is Condition.ONLINE]
    for name in online:
        volume = tapes.custodian.volumes.get(name)
        if volume is None:
            continue
        try:
            volume.write_note(f"tapes/{barcode}.xml.gz", data)
        except VaultError as error:
            log.warning("index-not-kept", volume=name, barcode=barcode, code=error.code, reason=str(error))
    return path
