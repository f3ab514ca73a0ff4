"""The tape libraries, as far as can be seen without opening them: the daemon has them, and nobody else may."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from hardware.tape.nodes import find_nodes
from hardware.tape.tools.acts import Tools
from hardware.tape.virtual import STATE
from vault.cli.doctor.finding import Finding, Level, in_time
from vault.config import LibrarySettings, Settings
from vault.i18n import _


def libraries(settings: Settings) -> Iterator[Finding]:
    """What each library needs on this machine. Nothing where there is none."""
    for library in settings.libraries:
        found = list(_virtual(library) if library.kind == "virtual" else _real(settings, library))
        found += _spool(settings, library)
        if found:
            yield from found
        else:
            what = _("Everything that it needs on this machine is there.")
            yield Finding(Level.OK, _area(library), what)


def _area(library: LibrarySettings) -> str:
    return _("tape library {name}").format(name=library.name)


def _virtual(library: LibrarySettings) -> Iterator[Finding]:
    if library.path is not None and not os.path.exists(library.path / STATE):
        what = _("The folder of the virtual library is not there yet: {path}").format(path=library.path)
        yield Finding(Level.NOTE, _area(library), what, _("vaultd makes it when it starts."))


def _real(settings: Settings, library: LibrarySettings) -> Iterator[Finding]:
    area = _area(library)
    missing = Tools(work=str(settings.node.state), mounts=str(settings.node.state)).missing()
    if missing:
        what = _("Nothing can be written to its cartridges: the LTFS tools are not installed ({names}).")
        text = what.format(names=", ".join(missing))
        yield Finding(Level.BAD, area, text, _("A real drive needs them: see docs/howto/tape-drive.md."))
    nodes = find_nodes()
    drives = [node.path for node in nodes if not node.changer]
    changers = [node.path for node in nodes if node.changer]
    if not drives:
        what = _("The kernel shows no tape drive.")
        remedy = _("Check power and cables; lsscsi -g must show it. The module sg must be loaded: modprobe sg")
        yield Finding(Level.BAD, area, what, remedy)
    if library.changer != "none":
        if shutil.which("mtx") is None:
            what = _("These programs are not installed: {names}").format(names="mtx")
            yield Finding(Level.BAD, area, what, _("Install it: apt install mtx"))
        if library.changer == "auto" and len(changers) != 1:
            what = _("The kernel shows {n} tape libraries: {names}").format(
                n=len(changers), names=", ".join(changers) or _("none")
            )
            remedy = _('Name it in the configuration (changer = "/dev/tape/by-id/…"), or "none" for a single drive.')
            yield Finding(Level.BAD, area, what, remedy)
    for path in (*drives, *changers):
        if not os.access(path, os.R_OK | os.W_OK):
            what = _("This user may not open {path}.").format(path=path)
            remedy = _("Run doctor as the daemon's user; if it is: see the udev rules in docs/howto/tape-drive.md.")
            yield Finding(Level.NOTE, area, what, remedy)


def _spool(settings: Settings, library: LibrarySettings) -> list[Finding]:
    folder = library.spool or settings.node.state / "spool" / library.name
    try:
        free = in_time(lambda: _free(folder))
    except (OSError, TimeoutError):
        what = _("The disk of the spool does not answer: {path}").format(path=folder)
        return [Finding(Level.BAD, _area(library), what, _("Look at that disk, or set another spool folder."))]
    wanted = min(library.spool_bytes, library.mount_after_bytes)
    if free >= wanted:
        return []
    what = _("The spool {path} has {free} GB free, and a session gathers up to {wanted} GB.")
    text = what.format(path=folder, free=free // 10**9, wanted=wanted // 10**9)
    remedy = _("Sessions will be smaller, and a large package goes past the spool. Give spool a larger disk.")
    return [Finding(Level.NOTE, _area(library), text, remedy)]


def _free(folder: Path) -> int:
    """Free bytes where the folder is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
