"""What a first set-up has to know, and how it is written on a command line."""

from __future__ import annotations

import re
import socket
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vault.errors import Invalid
from vault.i18n import _
from vault.text import normalised

NAME_LIMIT = 63
DEFAULT_SITE = "kho-chinh"
_KEYS = ("domain", "site", "mount")
_YES_NO = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class VolumeAnswer:
    """A volume to be. Empty texts and None: as is found, or the default."""

    path: str
    name: str = ""
    domain: str = ""
    site: str = ""
    mount: bool | None = None


@dataclass(frozen=True, slots=True)
class LibraryAnswer:
    """A tape library or a single drive. ``changer`` and ``drives`` are as in ``[[library]]``."""

    name: str
    changer: str = "auto"
    drives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that the configuration is made of. ``tape`` is the number of copies on tape, in sets of their own;
    empty texts and None leave a key out."""

    name: str
    volumes: tuple[VolumeAnswer, ...]
    disk: int
    tape: int = 0
    libraries: tuple[LibraryAnswer, ...] = field(default=())
    language: str = "vi"
    accept_shared_devices: bool = False
    listen: str = ""
    state: Path | None = None
    socket: Path | None = None


def slug(text: str, otherwise: str = "") -> str:
    """``text`` as a name of ours (1 to 63 lower-case letters a-z, digits, dashes); ``otherwise`` if nothing is left."""
    plain = normalised("NFKD", text.lower().replace("đ", "d"))
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9]+", "-", kept).strip("-")[:NAME_LIMIT].strip("-") or otherwise


def machine_name() -> str:
    """This machine's name, as a name of ours."""
    return slug(socket.gethostname().partition(".")[0], "node-1")


def read_volume(text: str) -> VolumeAnswer:
    """``PATH`` or ``NAME=PATH``, followed by ``,domain=D``, ``,site=S``, ``,mount=no``. Raises Invalid."""
    first, *rest = text.split(",")
    name, equals, path = first.partition("=")
    if not equals:
        name, path = "", first
    if not path.startswith("/"):
        raise _wrong(text, _("the path must be absolute"))
    given: dict[str, str] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if key not in _KEYS or not equals or not value or key in given:
            raise _wrong(text, _("{part} is none of domain=D, site=S, mount=yes, mount=no").format(part=repr(part)))
        given[key] = value
    if given.get("mount", "yes") not in _YES_NO:
        raise _wrong(text, _("mount is yes or no"))
    mount = _YES_NO[given["mount"]] if "mount" in given else None
    return VolumeAnswer(str(Path(path)), name, given.get("domain", ""), given.get("site", ""), mount)


def _wrong(text: str, why: str) -> Invalid:
    return Invalid(
        _("{text} describes no volume: {why}.").format(text=repr(text), why=why),
        remedy=_("Write it so: --volume nas-a=/srv/nas-a,domain=synology-1,site=kho-chinh"),
        code="bad-volume",
    )


def distinct_names(volumes: Sequence[VolumeAnswer]) -> tuple[VolumeAnswer, ...]:
    """The volumes, each with a name: the last part of its path where none was given, counted up where that is taken."""
    taken = {volume.name for volume in volumes if volume.name}
    named: list[VolumeAnswer] = []
    for volume in volumes:
        name = volume.name
        if not name:
            wanted = slug(Path(volume.path).name, "volume")
            others = (f"{wanted[: NAME_LIMIT - 4]}-{number}" for number in range(2, 1000))
            name = wanted if wanted not in taken else next(one for one in others if one not in taken)
            taken.add(name)
        named.append(VolumeAnswer(volume.path, name, volume.domain, volume.site, volume.mount))
    return tuple(named)
