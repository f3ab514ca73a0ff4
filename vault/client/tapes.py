"""What the API offers of tapes and recalls, for programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

from vault import wire
from vault import wire_tapes as tapes
from vault.client.answers import encoded
from vault.client.http import Client, Download

_HOURS: Final = 3 * 3600.0
"""A first load of an LTO-9 cartridge takes up to two."""
_LONG_IMPORT: Final = 24 * 3600.0
"""For each package the tape is wound to the beginning of its tar."""


def everything(client: Client) -> tapes.TapeList:
    """Every cartridge and library."""
    return client.ask("/v1/tapes", tapes.TapeList)


def one(client: Client, barcode: str) -> tapes.Tape:
    """A cartridge. Raises NotFound."""
    return client.ask(f"/v1/tapes/{encoded(barcode)}", tapes.Tape)


def requests(client: Client) -> tapes.MountRequestList:
    """What is asked for."""
    return client.ask("/v1/tapes/requests", tapes.MountRequestList)


def act(client: Client, barcode: str, verb: str, order: wire.Model | None = None) -> tapes.Tape:
    """``format``, ``load``, ``unload``, ``checkout`` or ``clear`` a cartridge. Raises Refused, Unreachable."""
    return client.order(f"/v1/tapes/{encoded(barcode)}/{verb}", tapes.Tape, order, patience=_HOURS)


def checkin(client: Client, barcode: str) -> tapes.CheckedIn:
    """Check a cartridge in. Raises Refused, Unreachable."""
    return client.order(f"/v1/tapes/{encoded(barcode)}/checkin", tapes.CheckedIn, None, patience=_HOURS)


def adopt(client: Client, barcode: str) -> tapes.TapeImport:
    """Import a cartridge that the node did not write. Raises Refused, Conflict (``import-running`` among them),
    Unreachable, Corrupted, Interrupted where it was stopped."""
    return client.order(f"/v1/tapes/{encoded(barcode)}/import", tapes.TapeImport, None, patience=_LONG_IMPORT)


def import_progress(client: Client, barcode: str) -> tapes.TapeReading:
    """How far an import is. Raises NotFound where none goes on."""
    return client.ask(f"/v1/tapes/{encoded(barcode)}/import", tapes.TapeReading)


def stop_import(client: Client, barcode: str) -> tapes.TapeReading:
    """Have an import stopped. Raises NotFound where none goes on."""
    return client.cancel(f"/v1/tapes/{encoded(barcode)}/import", tapes.TapeReading)


def files(client: Client, barcode: str, prefix: str = "") -> Iterator[tapes.TapeFileList]:
    """The files on a cartridge, page by page. Raises NotFound."""
    cursor: str | None = ""
    while cursor is not None:
        page = client.ask(f"/v1/tapes/{encoded(barcode)}/files", tapes.TapeFileList, prefix=prefix, cursor=cursor)
        yield page
        cursor = page.next_cursor


def content(client: Client, barcode: str, path: str) -> AbstractContextManager[Download]:
    """A file of an adopted cartridge. Raises NotFound, Refused, and Unreachable (``recall-begun``) until it was brought
    back from tape."""
    return client.download(f"/v1/tapes/{encoded(barcode)}/content", file=path)


def inventory(client: Client, library: str) -> tapes.TapeList:
    """Have a library take inventory now."""
    return client.order(f"/v1/libraries/{encoded(library)}/inventory", tapes.TapeList, None, patience=_HOURS)


def clean(client: Client, library: str, number: int) -> tapes.Cleaned:
    """Have a drive cleaned now. Raises Refused, NotFound, Unreachable."""
    path = f"/v1/libraries/{encoded(library)}/drives/{number}/clean"
    return client.order(path, tapes.Cleaned, None, patience=_HOURS)


def release(client: Client, library: str, number: int) -> tapes.TapeDrive:
    """Have a drive used again that was held. Raises NotFound."""
    path = f"/v1/libraries/{encoded(library)}/drives/{number}/release"
    return client.order(path, tapes.TapeDrive, None)


def practise(client: Client, library: str, order: tapes.PracticeOrder) -> tapes.Tape:
    """Make a blank cartridge in a virtual library."""
    return client.order(f"/v1/libraries/{encoded(library)}/cartridges", tapes.Tape, order)


def recall(client: Client, order: tapes.RecallOrder) -> wire.Recall:
    """Have content brought back from tape."""
    return client.order("/v1/recalls", wire.Recall, order)


def recall_state(client: Client, recall_id: str) -> wire.Recall:
    """How far a recall is. Raises NotFound."""
    return client.ask(f"/v1/recalls/{encoded(recall_id)}", wire.Recall)
