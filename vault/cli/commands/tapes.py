"""``vaultctl tapes``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from vault import wire
from vault import wire_tapes as tapes_wire
from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption, WaitLimitOption, read_duration, read_size
from vault.cli.output import print_json
from vault.cli.render import tapes as render
from vault.cli.session import session_of
from vault.cli.tape_import import imported
from vault.cli.target import Target
from vault.cli.waiting import tape_read, transfer, wait_for
from vault.client import Client
from vault.client import tapes as client_tapes
from vault.errors import NotFound, Refused, Unreachable
from vault.i18n import _
from vault.tape_model import CartridgeState

app = typer.Typer(help=_("Tapes: cartridges, where they are, and what is on them."), rich_markup_mode=None)

_PRACTICE_BYTES = 3 << 30
_LEAST_BYTES = 64 << 20
_PAUSE = 2.0

BarcodeArgument = Annotated[
    str, typer.Argument(metavar="BARCODE", help=_("The cartridge's barcode, such as VLT001L8."))
]
LibraryOption = Annotated[
    str, typer.Option("--library", metavar="NAME", help=_("The library; may be left out where there is only one."))
]

DriveArgument = Annotated[
    str, typer.Argument(metavar="DRIVE", help=_("The drive's serial number, or its number in the library."))
]


@app.callback(invoke_without_command=True)
def tapes(context: typer.Context, json: JsonOption = False) -> None:
    """List the cartridges."""
    if context.invoked_subcommand is not None:
        return
    session = session_of(context)
    with session.client() as client:
        found = client_tapes.everything(client)
    if json:
        print_json(found)
    else:
        session.show(render.everything(found, session.speech))


@app.command("show", help=_("All that is known of one cartridge."))
def show(context: typer.Context, barcode: BarcodeArgument, json: JsonOption = False) -> None:
    """Show a cartridge."""
    session = session_of(context)
    with session.client() as client:
        found = client_tapes.one(client, barcode)
    _print(context, found, json=json)


@app.command("requests", help=_("The cartridges that are needed and not in their library."))
def requests(context: typer.Context, json: JsonOption = False) -> None:
    """List the mount requests."""
    session = session_of(context)
    with session.client() as client:
        found = client_tapes.requests(client)
    if json:
        print_json(found)
    else:
        session.show(render.requests(found, session.speech))


@app.command("drives", help=_("The tape drives: how they are, and whether they ask to be cleaned."))
def drives(context: typer.Context, json: JsonOption = False) -> None:
    """List the drives."""
    session = session_of(context)
    with session.client() as client:
        found = client_tapes.everything(client).drives
    if json:
        for drive in found:
            print_json(drive)
    else:
        session.show(render.drives(found, session.speech))


@app.command("clean", help=_("Clean a drive now. A drive that asks for it is cleaned by itself."))
def clean(context: typer.Context, drive: DriveArgument, library: LibraryOption = "", json: JsonOption = False) -> None:
    """Clean a drive."""
    session = session_of(context)
    with session.client() as client:
        meant = _the_drive(client, drive, library)
        done = client_tapes.clean(client, meant.library, meant.number)
    if json:
        print_json(done)
    else:
        session.show(render.cleaned(done, session.speech))


@app.command("release", help=_("Use a drive again that was held because one cartridge after another failed in it."))
def release(
    context: typer.Context, drive: DriveArgument, library: LibraryOption = "", json: JsonOption = False
) -> None:
    """Release a drive."""
    session = session_of(context)
    with session.client() as client:
        meant = _the_drive(client, drive, library)
        released = client_tapes.release(client, meant.library, meant.number)
    if json:
        print_json(released)
    else:
        session.show(render.drives([released], session.speech))


def _the_drive(client: Client, drive: str, library: str) -> tapes_wire.TapeDrive:
    known = client_tapes.everything(client).drives
    meant = [one for one in known if library in ("", one.library) and drive in (one.serial, str(one.number))]
    if len(meant) != 1:
        listed = ", ".join(f"{one.library} {one.number} ({one.serial})" for one in known) or _("none")
        raise NotFound(
            _("Which drive is meant? There are: {names}.").format(names=listed),
            remedy=_("Name it by its serial number."),
            code="no-such-drive",
        )
    return meant[0]


@app.command("format", help=_("Make a cartridge one of a pool. What is on it is lost."))
def format_tape(
    context: typer.Context,
    barcode: BarcodeArgument,
    pool: Annotated[str, typer.Option("--pool", metavar="NAME", help=_("The pool that it becomes one of."))],
    erase: Annotated[
        str,
        typer.Option("--erase", metavar="BARCODE", help=_("The barcode again, where what is on it may be destroyed.")),
    ] = "",
    json: JsonOption = False,
) -> None:
    """Format a cartridge."""
    _act(context, barcode, "format", tapes_wire.FormatOrder(pool=pool, erase=erase), json=json)


@app.command("load", help=_("Put a cartridge into a drive."))
def load(context: typer.Context, barcode: BarcodeArgument, json: JsonOption = False) -> None:
    """Load a cartridge."""
    _act(context, barcode, "load", None, json=json)


@app.command("unload", help=_("Put a cartridge back into its slot."))
def unload(context: typer.Context, barcode: BarcodeArgument, json: JsonOption = False) -> None:
    """Unload a cartridge."""
    _act(context, barcode, "unload", None, json=json)


@app.command("checkout", help=_("Take a cartridge out of its library, to a shelf."))
def checkout(
    context: typer.Context,
    barcode: BarcodeArgument,
    shelf: Annotated[str, typer.Option("--shelf", metavar="TEXT", help=_("Where it will lie."))] = "",
    json: JsonOption = False,
) -> None:
    """Check a cartridge out."""
    _act(context, barcode, "checkout", tapes_wire.CheckoutOrder(shelf=shelf), json=json)


@app.command("checkin", help=_("A cartridge was brought: scan its label. That answers a request for it."))
def checkin(context: typer.Context, barcode: BarcodeArgument, json: JsonOption = False) -> None:
    """Check a cartridge in."""
    session = session_of(context)
    with session.client() as client:
        found = client_tapes.checkin(client, barcode)
    _print(context, found, json=json)
    if found.left:
        session.err.print(render.left(found), soft_wrap=True)


@app.command("clear", help=_("Read all of a suspect cartridge back, and use it again if nothing is wrong with it."))
def clear(
    context: typer.Context,
    barcode: BarcodeArgument,
    wait: Annotated[bool, typer.Option("--wait", help=_("Wait for its end; 5 if it stays suspect."))] = False,
    timeout: WaitLimitOption = "",
    json: JsonOption = False,
) -> None:
    """Have a suspect cartridge read through."""
    session = session_of(context)
    limit = read_duration(timeout)
    with session.client() as client:
        found = client_tapes.act(client, barcode, "clear")
        if wait:
            with tape_read(session.err, _("Reading")) as tell:
                found = wait_for(
                    lambda: client_tapes.one(client, barcode),
                    lambda seen: seen.clearing is None,
                    what=_("The reading goes on; look with `vaultctl tapes show {barcode}`.").format(barcode=barcode),
                    limit=limit,
                    show=lambda seen: tell(seen.clearing),
                )
    _print(context, found, json=json)
    if wait and found.state is CartridgeState.SUSPECT:
        raise typer.Exit(ExitCode.UNSOUND)


@app.command("import", help=_("Adopt a cartridge that this node did not write. It is only read, ever."))
def import_tape(
    context: typer.Context,
    barcode: BarcodeArgument,
    stop: Annotated[
        bool, typer.Option("--stop", help=_("Stop the import that goes on; the same command without this resumes it."))
    ] = False,
    json: JsonOption = False,
) -> None:
    """Import a cartridge, or stop its import."""
    session = session_of(context)
    if stop:
        with session.client() as client:
            seen = client_tapes.stop_import(client, barcode)
        if json:
            print_json(seen)
        else:
            session.show(render.stopped(barcode, seen, session.speech))
        return
    found = imported(session, barcode)
    if json:
        print_json(found)
    else:
        session.show(render.imported(found, session.speech))


@app.command("files", help=_("The files on a cartridge, by its index that is kept here."))
def files(
    context: typer.Context,
    barcode: BarcodeArgument,
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help=_("Only paths that begin so."))] = "",
    json: JsonOption = False,
) -> None:
    """List the files on a cartridge."""
    session = session_of(context)
    with session.client() as client:
        for page in client_tapes.files(client, barcode, prefix):
            if json:
                for item in page.items:
                    print_json(item)
            elif page.items:
                session.show(render.files(page.items, session.speech))


@app.command("get", help=_("Fetch a file of an adopted cartridge of somebody else."))
def get_file(
    context: typer.Context,
    barcode: BarcodeArgument,
    path: Annotated[str, typer.Argument(metavar="PATH", help=_("The file's path, as `vaultctl tapes files` has it."))],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help=_("The file to write, or a folder to write it into."))
    ],
    force: Annotated[bool, typer.Option("--force", help=_("Replace a file that is there."))] = False,
) -> None:
    """Fetch a file from tape, waiting until it was brought back."""
    session = session_of(context)
    target = Target(output, force=force)
    target.suggest(path.rsplit("/", 1)[-1] or "file")
    told = False
    with session.client() as client, target.opened() as file:
        while True:
            try:
                with (
                    client_tapes.content(client, barcode, path) as download,
                    transfer(session.err, _("Fetching"), download.size) as progress,
                ):
                    for chunk in download.chunks(progress):
                        file.write(chunk)
                break
            except Unreachable as error:
                if error.code != "recall-begun":
                    raise
                if not told:
                    asked = _("It is fetched from tape. Whether a cartridge must be brought: vaultctl tapes requests")
                    session.err.print(asked, soft_wrap=True)
                    told = True
                # The node is asked again: it answers with the bytes once the tape was read, or with why it cannot be.
                time.sleep(_PAUSE)
    session.err.print(_("{path} is written.").format(path=target.path), soft_wrap=True)


@app.command("inventory", help=_("Ask the library what is where, now."))
def inventory(context: typer.Context, library: LibraryOption = "", json: JsonOption = False) -> None:
    """Take inventory."""
    session = session_of(context)
    with session.client() as client:
        name = library or _only(client_tapes.everything(client))
        found = client_tapes.inventory(client, name)
    if json:
        print_json(found)
    else:
        session.show(render.everything(found, session.speech))


@app.command("practise", help=_("Make a blank cartridge in a virtual library."))
def practise(
    context: typer.Context,
    barcode: BarcodeArgument,
    library: LibraryOption = "",
    capacity: Annotated[str, typer.Option("--capacity", metavar="SIZE", help=_("How much it holds."))] = "",
    json: JsonOption = False,
) -> None:
    """Make a cartridge for practice."""
    session = session_of(context)
    size = read_size(capacity, "--capacity") or _PRACTICE_BYTES
    if size < _LEAST_BYTES:
        raise typer.BadParameter(_("A cartridge holds 64 MiB at least."), param_hint="--capacity")
    with session.client() as client:
        name = library or _only(client_tapes.everything(client))
        found = client_tapes.practise(client, name, tapes_wire.PracticeOrder(barcode=barcode, capacity_bytes=size))
    _print(context, found, json=json)


def _only(found: tapes_wire.TapeList) -> str:
    if len(found.libraries) == 1:
        return found.libraries[0].name
    listed = ", ".join(library.name for library in found.libraries) or _("none")
    raise Refused(
        _("Which library is meant? There are: {names}.").format(names=listed),
        remedy=_("Name one with --library."),
        code="no-such-library",
    )


def _act(context: typer.Context, barcode: str, verb: str, order: wire.Model | None, *, json: bool) -> None:
    session = session_of(context)
    with session.client() as client:
        found = client_tapes.act(client, barcode, verb, order)
    _print(context, found, json=json)


def _print(context: typer.Context, found: tapes_wire.Tape, *, json: bool) -> None:
    session = session_of(context)
    if json:
        print_json(found)
    else:
        session.show(render.one(found, session.speech))
