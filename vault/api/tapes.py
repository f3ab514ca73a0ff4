"""Tapes: cartridges, libraries, what is asked for, and what is done with a cartridge by order."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from hardware.ltfs.model import FileEntry
from hardware.tape import barcodes
from vault import wire as recall_wire
from vault import wire_tapes as wire
from vault.api import streaming, threads
from vault.api.auth import MayLook, MayOperate
from vault.api.headers import content_disposition, repr_digest
from vault.api.openapi import BYTES, PROBLEM
from vault.api.parts import Node, NodeParts
from vault.api.paths import make_cursor, read_cursor
from vault.api.problems import bad_request
from vault.errors import Invalid, Unreachable
from vault.formats.ocfl import identifier_of
from vault.tape_model import CleaningNeed, TapeDrive
from vault.tapes.desk import Shown
from vault.tapes.drives import uses_left

router = APIRouter(tags=["tapes"], responses=PROBLEM)

LISTED_FILES: Final = 1000
_CHUNK: Final = 1 << 18

DriveNumber = Annotated[int, Path(ge=0, le=65535, description="Its number in the library.")]
"""Libraries count their drives by element addresses, of 16 bits (SMC-3)."""


@router.get("/tapes", summary="Every cartridge and tape library")
def list_tapes(node: Node, _who: MayLook) -> wire.TapeList:
    """What is known of every cartridge, and how the libraries stand."""
    libraries = [wire.TapeLibrary.model_validate(view) for view in node.tapes.libraries()]
    items = [shown(one) for one in node.tapes.all()]
    return wire.TapeList(items=items, libraries=libraries, drives=[_drive(node, one) for one in node.tapes.drives()])


@router.get("/tapes/requests", summary="Cartridges that are asked for")
def list_requests(node: Node, _who: MayLook) -> wire.MountRequestList:
    """What is needed in a library and is not there, the longest asked for first. A checkin answers it."""
    shelves = {one.cartridge.barcode: one.cartridge.shelf for one in node.tapes.all()}
    return wire.MountRequestList(
        items=[
            wire.MountRequest(
                id=request.id,
                barcode=request.barcode,
                shelf=shelves.get(request.barcode, ""),
                reason=request.reason,
                requested_at=request.requested_at,
            )
            for request in node.tapes.requests()
        ],
        cleaning=[
            wire.CleaningRequest(
                library=drive.library,
                drive=drive.number,
                serial=drive.serial,
                urgent=drive.cleaning is CleaningNeed.NOW,
                requested_at=drive.asked_at,
            )
            for library in node.tapes.libraries()
            for drive in library.unclean
        ],
    )


@router.get("/tapes/{barcode}", summary="One cartridge")
def get_tape(node: Node, _who: MayLook, barcode: str) -> wire.Tape:
    """All that is known of a cartridge."""
    return shown(node.tapes.one(barcode))


@router.post("/tapes/{barcode}/format", summary="Make a cartridge one of a pool")
async def format_tape(node: Node, who: MayOperate, barcode: str, order: wire.FormatOrder) -> wire.Tape:
    """Write an empty LTFS volume. Refused where anything is on it, unless ``erase`` is the barcode typed again; refused
    always where it holds copies that count."""
    return shown(await threads.run("tape-format", node.tapes.format, barcode, order.pool, order.erase, who.agent))


@router.post("/tapes/{barcode}/load", summary="Put a cartridge into a drive")
async def load_tape(node: Node, who: MayOperate, barcode: str) -> wire.Tape:
    """It is loaded, and its label compared with its barcode."""
    return shown(await threads.run("tape-load", node.tapes.load, barcode, who.agent))


@router.post("/tapes/{barcode}/unload", summary="Put a cartridge back into its slot")
async def unload_tape(node: Node, who: MayOperate, barcode: str) -> wire.Tape:
    """Nothing happens where it is in no drive."""
    return shown(await threads.run("tape-unload", node.tapes.unload, barcode, who.agent))


@router.post("/tapes/{barcode}/checkout", summary="Take a cartridge out of its library")
async def checkout_tape(node: Node, who: MayOperate, barcode: str, order: wire.CheckoutOrder) -> wire.Tape:
    """It is moved to the import/export slot, and from then on known to be on that shelf. Its copies count as before."""
    return shown(await threads.run("tape-checkout", node.tapes.checkout, barcode, order.shelf, who.agent))


@router.post("/tapes/{barcode}/checkin", summary="Take a cartridge into its library")
async def checkin_tape(node: Node, who: MayOperate, barcode: str) -> wire.CheckedIn:
    """It was put into the library and its label scanned. That answers a request for it. Only this one is taken in:
    ``left`` names what else stands in the import/export slots."""
    done = await threads.run("tape-checkin", node.tapes.checkin, barcode, who.agent)
    return wire.CheckedIn(**shown(done).model_dump(), left=list(done.left))


@router.post("/tapes/{barcode}/clear", status_code=202, summary="Have a suspect cartridge read through, and used again")
async def clear_tape(node: Node, who: MayOperate, barcode: str) -> wire.Tape:
    """Everything on it is read back; where all of it is right, the cartridge is no longer suspect. Until then
    ``clearing`` says how far it is, and afterwards ``reason`` what was wrong."""
    return shown(await threads.run("tape-clear", node.tapes.clear, barcode, who.agent))


@router.post("/tapes/{barcode}/import", summary="Adopt a cartridge that this node did not write")
async def import_tape(node: Node, who: MayOperate, barcode: str) -> wire.TapeImport:
    """It is read and never written to. What a node like this wrote becomes packages and copies, which count once they
    were read; what somebody else wrote is inventoried. The same again goes on where it was cut off."""
    one, found = await threads.run("tape-import", node.tape_import.adopt, barcode, who.agent)
    return wire.TapeImport(
        tape=shown(one),
        kind=found.kind,
        files=found.files,
        parts=found.parts,
        versions_added=found.versions_added,
        copies_added=found.copies_added,
        known=found.known,
        troubles=found.troubles,
        told=[
            wire.ImportTrouble(
                code=trouble.code, identifier=_named(trouble.object_id), version=trouble.number, message=trouble.message
            )
            for trouble in found.told
        ],
    )


@router.get("/tapes/{barcode}/import", summary="How far the import of a cartridge is")
def get_import(node: Node, _who: MayOperate, barcode: str) -> wire.TapeReading:
    """404 (``no-such-import``) where none goes on."""
    return wire.TapeReading.model_validate(node.tape_import.progress(barcode))


@router.delete("/tapes/{barcode}/import", status_code=202, summary="Stop the import of a cartridge")
def stop_import(node: Node, _who: MayOperate, barcode: str) -> wire.TapeReading:
    """Before its next file; the order to import is then answered with 503 (``interrupted``). What was entered stays,
    and the same order again goes on behind it."""
    return wire.TapeReading.model_validate(node.tape_import.stop(barcode))


@router.get("/tapes/{barcode}/files", summary="The files on a cartridge, by its index")
def list_tape_files(
    node: Node,
    _who: MayOperate,
    barcode: str,
    prefix: Annotated[str, Query(description="Only paths that begin so.")] = "",
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=LISTED_FILES, description="Files on a page.")] = LISTED_FILES,
) -> wire.TapeFileList:
    """In the order of the index that was kept when the cartridge was last read; it need not be in the library."""
    page = node.tapes.files(barcode, prefix, _start(cursor), limit)
    return wire.TapeFileList(
        items=[_file(entry) for entry in page.files],
        next_cursor=None if page.next is None else make_cursor(str(page.next)),
    )


@router.get(
    "/tapes/{barcode}/content",
    responses=BYTES,
    response_model=None,
    summary="The bytes of a file on an adopted cartridge",
)
async def get_tape_file(
    node: Node,
    who: MayOperate,
    barcode: str,
    file: Annotated[str, Query(description="Its path, as the list of files has it.")],
) -> Response:
    """Of a cartridge of somebody else. Where it was not brought back yet, the answer is 202 and a recall; ask again
    after ``Retry-After``. ``Repr-Digest`` is that of what came from tape: nobody knows what it should be."""
    found = await threads.run("tape-file", node.tapes.file, barcode, file)
    if found is None:
        recall = await threads.run("tape-recall", node.tapes.order_file, barcode, file, who.agent)
        seconds = max(1, round(recall.retry_after.total_seconds()))
        headers = {"Location": f"/v1/recalls/{recall.id}", "Retry-After": str(seconds)}
        body = recall_wire.Recall.model_validate(recall).model_dump_json()
        return Response(body, 202, headers, media_type="application/json")
    descriptor, digest = found
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(os.fstat(descriptor).st_size),
        "Content-Disposition": content_disposition(file),
        "Repr-Digest": repr_digest({"sha512": digest}),
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    }
    patience = node.settings.api.idle_timeout.total_seconds()
    return streaming.Streamed(200, headers, partial(_pour, descriptor), _Cache(), patience)


class _Cache:
    """The recall cache, as what bytes are read from."""

    def silent(self, seconds: float, /) -> Unreachable:
        """Its disk hangs."""
        return Unreachable(
            f"The recall cache could not be read for {seconds:.0f} seconds.", remedy="Look at its disk; ask again."
        )


def _pour(descriptor: int, write: Callable[[bytes], None]) -> None:
    with os.fdopen(descriptor, "rb") as source:
        while chunk := source.read(_CHUNK):
            write(chunk)


@router.post("/libraries/{name}/inventory", summary="Take inventory of a tape library now")
async def take_inventory(node: Node, _who: MayOperate, name: str) -> wire.TapeList:
    """Ask the library what is where, and note what came and went."""
    await threads.run("tape-inventory", node.tapes.inventory, name)
    return list_tapes(node, _who)


@router.post("/libraries/{name}/drives/{number}/clean", summary="Clean a drive now")
async def clean_drive(node: Node, who: MayOperate, name: str, number: DriveNumber) -> wire.Cleaned:
    """With the cleaning cartridge in its library that has the fewest uses left. Drives that ask for it are cleaned by
    themselves."""
    message = await threads.run("tape-clean", node.tapes.clean, name, number, who.agent)
    drive = next(one for one in node.tapes.drives() if (one.library, one.number) == (name, number))
    return wire.Cleaned(message=message, drive=_drive(node, drive))


@router.post("/libraries/{name}/drives/{number}/release", summary="Use a drive again that was held")
async def release_drive(node: Node, who: MayOperate, name: str, number: DriveNumber) -> wire.TapeDrive:
    """A drive in which one cartridge after another failed is held; a person says that it is in order again."""
    await threads.run("tape-release", node.tapes.release, name, number, who.agent)
    return _drive(node, next(one for one in node.tapes.drives() if (one.library, one.number) == (name, number)))


@router.post("/libraries/{name}/cartridges", status_code=201, summary="Make a blank cartridge in a virtual library")
async def make_cartridge(node: Node, _who: MayOperate, name: str, order: wire.PracticeOrder) -> wire.Tape:
    """For practice and demonstrations; refused for real libraries."""
    made = await threads.run("tape-practice", node.tapes.make_practice, name, order.barcode, order.capacity_bytes)
    return shown(made)


def _start(cursor: str | None) -> int:
    after = read_cursor(cursor)
    if after is None:
        return 0
    if not after.isdecimal() or len(after) > 12:
        raise bad_request(
            "bad-cursor", "The cursor cannot be read.", "Send next_cursor of the page before as it came.", "cursor"
        )
    return int(after)


def _file(entry: FileEntry) -> wire.TapeFile:
    try:
        modified = datetime.fromtimestamp(entry.times.modified / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        modified = None
    return wire.TapeFile(
        path=entry.path,
        bytes=entry.length,
        modified_at=modified,
        partition=entry.start.partition,
        start_block=entry.start.block,
        extents=len(entry.extents),
        target=entry.target or "",
    )


def _named(object_id: str) -> str:
    try:
        return identifier_of(object_id)
    except Invalid:
        return object_id


def _drive(node: NodeParts, drive: TapeDrive) -> wire.TapeDrive:
    element = f"drive {drive.number}"
    in_it = (
        one.cartridge.barcode
        for one in node.tapes.all()
        if (one.cartridge.library, one.cartridge.element) == (drive.library, element)
    )
    return wire.TapeDrive(
        serial=drive.serial,
        library=drive.library,
        number=drive.number,
        model=f"{drive.vendor} {drive.product}".strip(),
        firmware=drive.revision,
        problem=drive.problem,
        loaded=next(in_it, ""),
        cleaning=drive.cleaning,
        asked_at=drive.asked_at,
        cleaned_at=drive.cleaned_at,
        cleanings=drive.cleanings,
        alerts=drive.alerts,
        loads=drive.loads,
        errors=drive.errors,
        bytes_read=drive.bytes_read,
        bytes_written=drive.bytes_written,
        life=drive.life,
        seen_at=drive.seen_at,
        held=drive.held,
        held_at=drive.held_at,
        failing=drive.failing,
    )


def shown(one: Shown) -> wire.Tape:
    """A cartridge as the API shows it."""
    cartridge, volume = one.cartridge, one.volume
    return wire.Tape(
        barcode=cartridge.barcode,
        library=cartridge.library,
        generation=cartridge.generation,
        pool=cartridge.pool,
        set=volume.domain if volume else "",
        site=volume.site if volume else "",
        state=cartridge.state,
        reason=cartridge.reason,
        whereabouts=cartridge.whereabouts,
        element=cartridge.element,
        shelf=cartridge.shelf,
        uuid=str(volume.uuid) if volume else None,
        index_generation=cartridge.index_generation,
        size_bytes=volume.size_bytes if volume else None,
        free_bytes=volume.free_bytes if volume else None,
        copies=dict(one.copies),
        loads=cartridge.loads,
        errors=cartridge.errors,
        alerts=[alert for alert in cartridge.alerts if isinstance(alert, dict)],
        requested_for=one.request.reason if one.request else "",
        seen_at=cartridge.seen_at,
        formatted_at=cartridge.formatted_at,
        written_at=cartridge.written_at,
        due_at=one.due_at,
        added_at=cartridge.added_at,
        adopted=cartridge.adopted,
        origin=cartridge.origin,
        files=cartridge.files,
        convert_at=one.convert_at,
        uses_left=uses_left(cartridge) if barcodes.is_cleaning(cartridge.barcode) else None,
        clearing=wire.TapeReading.model_validate(one.clearing) if one.clearing else None,
    )
