"""The questions of a first set-up, put to a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import typer

from vault.cli.setup import found
from vault.cli.setup.answers import (
    LibraryAnswer,
    VolumeAnswer,
    distinct_names,
    slug,
)
from vault.cli.text import plain
from vault.i18n import _, current_language
from vault.units import format_bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person said, before anything was filled in."""

    name: str
    volumes: tuple[VolumeAnswer, ...]
    libraries: tuple[LibraryAnswer, ...]
    disk: int
    tape: int
    token: str


def ask(name: str, site: str, token: str, *, tapes: bool) -> Asked:
    """Ask everything, and ask again where an answer cannot be used. What is given is what is suggested; tapes are left
    out unless ``tapes``."""
    name = _name(_("What is this node called?"), name)
    places = _show_places()
    site = _name(_("Where does this machine stand (a name for the building)?"), site)
    chosen = _choose(places)
    volumes = tuple(_describe(volume, site) for volume in distinct_names([VolumeAnswer(path) for path in chosen]))
    domains = len({volume.domain for volume in volumes})
    question = _("How many good copies on disk before a deposit is acknowledged?")
    disk = _number(question, min(2, domains), domains)
    libraries = found.libraries(found.devices()) if tapes else ()
    tape = 0
    if libraries:
        typer.echo(_("Tape: {names}").format(names=", ".join(one.name for one in libraries)), err=True)
        if typer.confirm(_("Use it?"), default=True, err=True):
            tape = _number(_("How many copies on tape, each in a set of its own?"), 1, 9)
        else:
            libraries = ()
    token = typer.prompt(_("A name for the first program that deposits (it gets a token)"), token, err=True)
    return Asked(name, volumes, libraries, disk, tape, token)


def confirm(text: str) -> bool:
    """Show the configuration, and ask whether it is to be so."""
    typer.echo(f"\n{text}", err=True)
    return typer.confirm(_("Write this, and make the node?"), default=True, err=True)


def _show_places() -> list[found.Place]:
    places = found.places()
    if places:
        typer.echo(_("File systems that could be volumes:"), err=True)
    for number, place in enumerate(places, 1):
        typer.echo(f"  {number}  {plain(place.path)}   ({plain(place.stands_on)})", err=True)
    for disk in found.unmounted_disks():
        size = format_bytes(disk.size_bytes or 0, current_language())
        text = _("The disk {name} ({model}, {size}) has nothing mounted; a volume needs a file system on it first.")
        typer.echo(text.format(name=f"/dev/{disk.name}", model=disk.model or "?", size=size), err=True)
    return places


def _choose(places: Sequence[found.Place]) -> list[str]:
    question = _("Which are to be volumes? Numbers or paths, with spaces between them")
    while True:
        words = typer.prompt(question, " ".join(str(n + 1) for n in range(len(places))) or None, err=True).split()
        chosen: list[str] = []
        for word in words:
            if word.isdecimal() and 1 <= int(word) <= len(places):
                chosen.append(places[int(word) - 1].path)
            elif word.startswith("/"):
                chosen.append(word)
            else:
                typer.echo(_("{word} is neither one of the numbers nor a path.").format(word=repr(word)), err=True)
                break
        else:
            if chosen:
                return list(dict.fromkeys(chosen))


def _describe(volume: VolumeAnswer, site: str) -> VolumeAnswer:
    place = found.place(volume.path)
    name = _name(_("A name for the volume at {path}").format(path=volume.path), volume.name)
    mount = place.mounted
    if not mount:
        what = _("Nothing is mounted at {path}. Is it meant to be a folder of this machine's own disk?")
        mount = not typer.confirm(what.format(path=volume.path), default=False, err=True)
    domain = _name(
        _("What else dies when {name} dies? A name for the chassis or array").format(name=name), place.domain or name
    )
    return VolumeAnswer(volume.path, name, domain, _name(_("Where does it stand?"), site), mount)


def _name(question: str, default: str) -> str:
    """A name of ours; what is typed otherwise is made into one, and said."""
    while True:
        typed = typer.prompt(question, default, err=True)
        made = slug(typed)
        if made == typed:
            return made
        if made and typer.confirm(_("Names have letters a-z, digits and dashes. {name}?").format(name=made), err=True):
            return made


def _number(question: str, default: int, most: int) -> int:
    while True:
        typed = typer.prompt(question, str(default), err=True)
        if typed.isdecimal() and 1 <= int(typed) <= most:
            return int(typed)
        typer.echo(_("Write a number from 1 to {most}.").format(most=most), err=True)
