"""Tapes: cartridges, libraries, what is asked for, recalls."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from vault import wire
from vault import wire_tapes as tapes
from vault.cli.render.parts import copies, facts, table
from vault.cli.text import NONE, Speech, plain, word
from vault.i18n import _
from vault.tape_model import Adopted, CartridgeState, CleaningNeed, Whereabouts

_WORRYING = (CartridgeState.SUSPECT, CartridgeState.FOREIGN)


def everything(found: tapes.TapeList, say: Speech) -> RenderableType:
    """All cartridges, a line each, and how the libraries stand."""
    made = table(_("Cartridge"), _("state"), _("pool"), _("set"), _("where"), _("free"), _("copies"), right=(5,))
    for tape in found.items:
        made.add_row(
            plain(tape.barcode),
            _state(tape),
            plain(tape.pool) or NONE,
            plain(tape.set) or NONE,
            _where(tape),
            say.size(tape.free_bytes),
            copies(tape.copies, say),
        )
    parts: list[RenderableType] = [made] if found.items else [Text(_("No cartridge was ever seen."))]
    parts += [_library(library, say) for library in found.libraries]
    if not found.libraries:
        parts.append(Text(_("The configuration has no tape library.")))
    return Group(*parts)


def _library(library: tapes.TapeLibrary, say: Speech) -> Text:
    line = Text(_("Library {name}: ").format(name=plain(library.name)))
    if library.problem:
        line.append(plain(library.problem), style="bold red")
    else:
        line.append(plain(library.doing) or _("idle"))
    if library.unwritable:
        text = _("Nothing can be written: {reason}").format(reason=plain(library.unwritable))
        line.append("\n    " + text, style="bold red")
    for pool, waiting in library.waiting_bytes.items():
        if waiting:
            text = _("{size} wait for the pool {pool}").format(size=say.size(waiting), pool=plain(pool))
            line.append("\n    " + text)
    for pool in library.lacking:
        text = _("No cartridge has room for the pool {pool}: put a blank one into the library.")
        line.append("\n    " + text.format(pool=plain(pool)), style="yellow")
    for note in library.notes:
        line.append("\n    " + plain(note), style="yellow")
    return line


def _state(tape: tapes.Tape) -> Text:
    return Text(word(tape.state), style="yellow" if tape.state in _WORRYING else "")


def _where(tape: tapes.Tape) -> str:
    if tape.whereabouts is Whereabouts.LIBRARY:
        return plain(f"{tape.library}, {tape.element}")
    return f"{word(tape.whereabouts)}{', ' if tape.shelf else ''}{plain(tape.shelf)}"


def one(found: tapes.Tape, say: Speech) -> RenderableType:
    """All that is known of one cartridge."""
    alerts = [f"{plain(str(alert.get('time', '')))} {plain(str(alert.get('flag', '')))}" for alert in found.alerts]
    rows: list[tuple[str, str | Text]] = [
        (_("Barcode"), plain(found.barcode)),
        (_("State"), f"{word(found.state)}{': ' if found.reason else ''}{plain(found.reason)}"),
        (_("Read through"), _read_through(found.clearing, say)),
        (_("Where"), _where(found)),
        (_("Asked for"), plain(found.requested_for)),
        (_("Generation"), plain(found.generation)),
        (_("Pool"), plain(found.pool)),
        (_("Set"), plain(found.set)),
        (_("Site"), plain(found.site)),
        ("UUID", plain(found.uuid or "")),
        (_("Size"), say.size(found.size_bytes)),
        (_("Free"), say.size(found.free_bytes)),
        (_("Copies"), copies(found.copies, say)),
        (_("From elsewhere"), plain(found.origin)),
        (_("Files"), say.number(found.files) if found.files is not None else ""),
        (_("Uses left"), say.number(found.uses_left) if found.uses_left is not None else ""),
        (_("Loads"), say.number(found.loads)),
        (_("Errors"), say.number(found.errors)),
        (_("Formatted"), say.moment(found.formatted_at)),
        (_("Written"), say.moment(found.written_at)),
        (_("Next check"), say.moment(found.due_at)),
        (_("To be converted"), say.moment(found.convert_at)),
        ("TapeAlert", ", ".join(alerts[-10:])),
    ]
    return facts(rows)


def left(found: tapes.CheckedIn) -> str:
    """What else stands in the import/export slots."""
    names = ", ".join(plain(barcode) or _("one without a label") for barcode in found.left)
    text = _("Still in the import/export slots: {names}. Scan what was brought, and take out what was checked out.")
    return text.format(names=names)


def _read_through(clearing: tapes.TapeReading | None, say: Speech) -> str:
    """How far the reading is that is to end the doubt about a cartridge."""
    if clearing is None:
        return ""
    if not clearing.total_files:
        return _("ordered {moment}").format(moment=say.moment(clearing.since))
    return _("{files} of {of_files} files, {bytes} of {of_bytes}").format(
        files=say.number(clearing.files), of_files=say.number(clearing.total_files),
        bytes=say.size(clearing.bytes), of_bytes=say.size(clearing.total_bytes),
    )  # fmt: skip


def imported(found: tapes.TapeImport, say: Speech) -> RenderableType:
    """What an import came to."""
    barcode = plain(found.tape.barcode)
    if found.kind is Adopted.FOREIGN:
        text = _("{barcode} is an LTFS cartridge of somebody else ({origin}), with {files} files. It is only read.")
        lines = [text.format(barcode=barcode, origin=plain(found.tape.origin), files=say.number(found.files))]
        lines.append(_("For the list: vaultctl tapes files {barcode}").format(barcode=barcode))
        return Text("\n".join(lines))
    text = _("{barcode} was written by a node like this ({origin}). It is only read.")
    lines = [text.format(barcode=barcode, origin=plain(found.tape.origin))]
    text = _("{parts} versions are on it: {versions} were new, {copies} copies were entered, {known} were known.")
    lines.append(
        text.format(
            parts=say.number(found.parts), versions=say.number(found.versions_added),
            copies=say.number(found.copies_added), known=say.number(found.known),
        )
    )  # fmt: skip
    if found.copies_added:
        lines.append(_("They count once they were read back, which follows by itself: vaultctl tasks"))
    for one in found.told:
        lines.append(f"{plain(one.identifier)} v{one.version}: {plain(one.message)} ({plain(one.code)})")
    if found.troubles > len(found.told):
        lines.append(_("… and {n} more").format(n=say.number(found.troubles - len(found.told))))
    return Text("\n".join(lines))


def stopped(barcode: str, seen: tapes.TapeReading, say: Speech) -> RenderableType:
    """An import that ends before its next file."""
    text = _(
        "The import of {barcode} stops after {files} of {of_files} files. To go on: vaultctl tapes import {barcode}"
    )
    return Text(
        text.format(barcode=plain(barcode), files=say.number(seen.files), of_files=say.number(seen.total_files))
    )


def files(found: Iterable[tapes.TapeFile], say: Speech) -> RenderableType:
    """Files on a cartridge, a line each."""
    made = table(_("File"), _("size"), _("changed"), _("block"), right=(1, 3))
    for file in found:
        size = f"→ {plain(file.target)}" if file.target else say.size(file.bytes)
        block = f"{plain(file.partition)} {file.start_block}" if file.partition else NONE
        made.add_row(plain(file.path), size, say.moment(file.modified_at), block)
    return made


def requests(found: tapes.MountRequestList, say: Speech) -> RenderableType:
    """What is asked for."""
    made = table(_("Cartridge"), _("shelf"), _("what for"), _("since"))
    for request in found.items:
        made.add_row(
            plain(request.barcode),
            plain(request.shelf) or NONE,
            plain(request.reason),
            say.moment(request.requested_at),
        )
    for wish in found.cleaning:
        what = _("drive {number} ({serial}) of the library {library} asks to be cleaned")
        text = what.format(number=wish.drive, serial=plain(wish.serial), library=plain(wish.library))
        made.add_row(_("any cleaning cartridge"), NONE, text, say.moment(wish.requested_at))
    return made if made.row_count else Text(_("No cartridge is asked for."))


def drives(found: Iterable[tapes.TapeDrive], say: Speech) -> RenderableType:
    """The drives, a line each."""
    made = table(
        _("Drive"), _("serial number"), _("model"), _("cartridge"), _("state of cleaning"), _("errors"),
        _("TapeAlert, last"), right=(5,),
    )  # fmt: skip
    for drive in found:
        newest = sorted(drive.alerts.items(), key=lambda pair: pair[1], reverse=True)[:3]
        made.add_row(
            plain(f"{drive.library} {drive.number}"),
            plain(drive.serial),
            Text(_("held: {reason}").format(reason=plain(drive.held)), style="bold red")
            if drive.held
            else plain(drive.problem or drive.model),
            plain(drive.loaded) or NONE,
            _cleaning(drive, say),
            say.number(drive.errors),
            ", ".join(f"{plain(name)} ({plain(time[:10])})" for name, time in newest) or NONE,
        )
    return made if made.row_count else Text(_("No tape drive was ever seen."))


def _cleaning(drive: tapes.TapeDrive, say: Speech) -> Text:
    if drive.cleaning is CleaningNeed.NOW:
        return Text(_("asks to be cleaned now"), style="bold red")
    if drive.cleaning is CleaningNeed.SOON:
        return Text(_("asks to be cleaned soon"), style="yellow")
    if drive.cleaned_at is None:
        return Text(NONE)
    return Text(_("cleaned {moment}").format(moment=say.moment(drive.cleaned_at)))


def cleaned(done: tapes.Cleaned, say: Speech) -> RenderableType:
    """What a cleaning came to."""
    line = Text(f"{plain(done.drive.library)} {done.drive.number} ({plain(done.drive.serial)}): ")
    line.append_text(_cleaning(done.drive, say))
    line.append(f"\n{plain(done.message)}")
    return line


def recall(found: wire.Recall, say: Speech) -> RenderableType:
    """How far a recall is."""
    line = f"{plain(found.id)}  {plain(found.identifier)} v{found.version}  {word(found.state)}"
    if found.message:
        line += f": {plain(found.message)}"
    if found.kept_until:
        line += "  " + _("kept until {moment}").format(moment=say.moment(found.kept_until))
    return Text(line)
