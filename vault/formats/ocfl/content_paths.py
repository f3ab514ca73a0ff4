"""Content paths: where the bytes of a logical path are kept, so that any NAS can hold them and a person find them.

OCFL lets content paths differ from logical paths (1.1 section 3.5.2); the inventory joins them. A logical path is kept
as it is wherever that is portable. Where it is not, the offending characters are percent-encoded; and where the
result is too long, or cannot be told from a name already given on a file system that ignores case or normalises
Unicode, it is shortened and marked with ``~`` and a part of the logical path's SHA-256. The way back is not in the
name; it is in the inventory.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field

from vault.errors import Fault, Invalid
from vault.text import normalised

MAX_COMPONENT_BYTES = 240
"""Of one name, in UTF-8. Most file systems end at 255; tools add suffixes such as ``.part``."""
MAX_PATH_BYTES = 800
"""Of a whole content path. With root and layout before it, it stays below the 1,024 of the narrowest systems."""

_PLAIN = re.compile(r"[A-Za-z0-9_\-+=,@#()\[\]{}!&'^~$%;. ]+")
# The same with the letters of Latin scripts, Vietnamese among them: all of these code points are assigned letters.
_LATIN = re.compile(r"[A-Za-z0-9_\-+=,@#()\[\]{}!&'^~$%;. \u00C0-\u024F\u1E00-\u1EFF]+")
_FORBIDDEN = frozenset('<>:"|?*\\')
# Control, format (zero width, reading direction), surrogate, private, unassigned, line and paragraph separators:
# not portable, or not visible.
_BAD_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)
# Folders that NAS makers keep for themselves, and names that NFS and FUSE give to deleted files.
_NAS = re.compile(r"[.~#]snapshot|@eaDir|[#@]recycle|@Recently-Snapshot|\.zfs|\.nfs.*|\.fuse_hidden.*", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z0-9_-]{1,15}")


@dataclass(slots=True)
class _Folder:
    """What has been given out in one folder. Keys of ``children`` are logical names; None is a file."""

    name: str
    children: dict[str, _Folder | None] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)


class ContentPaths:
    """Gives content paths to the logical paths of one new version, one at a time, before their digests are known.

    The same logical paths in the same order give the same content paths. No two content paths are equal, equal but
    for case or Unicode form, or in conflict as file and folder. Memory grows with the number of names.
    """

    def __init__(self, version_directory: str = "v1", content_directory: str = "content") -> None:
        self._top = _Folder(f"{version_directory}/{content_directory}")
        self._flat: set[str] = set()

    def assign(self, logical_path: str) -> str:
        """Return the content path, relative to the object root (``v1/content/...``), for ``logical_path``.

        Raises:
            Invalid: the path is empty, absolute, has ``.``, ``..`` or empty elements (E052, E053), is not Unicode
                text, was assigned before, or is in conflict with one assigned before (E095). Nothing is kept of it.
        """
        parts = split_logical_path(logical_path)
        if logical_path in self._flat:
            raise _conflict(logical_path)
        folder, made, path = self._top, 0, self._top.name
        for index, part in enumerate(parts[:-1]):
            child = folder.children.get(part, self._top)
            if child is self._top:  # no such folder yet
                break
            if child is None:
                raise _conflict(logical_path)
            folder, made, path = child, index + 1, f"{path}/{child.name}"
        if made == len(parts) - 1 and parts[-1] in folder.children:
            raise _conflict(logical_path)
        names = self._new_names(folder, parts, made, MAX_PATH_BYTES - len(path.encode()))
        if names is None:
            return self._flatten(logical_path, parts[-1])
        for part, name in zip(parts[made:-1], names, strict=False):
            child = _Folder(name)
            folder.children[part] = child
            folder.taken.add(_fold(name))
            folder = child
        folder.children[parts[-1]] = None
        folder.taken.add(_fold(names[-1]))
        return "/".join([path, *names])

    def _new_names(self, folder: _Folder, parts: list[str], made: int, room: int) -> list[str] | None:
        """Return names for ``parts[made:]`` below ``folder``, or None when they do not fit into ``room`` bytes."""
        names: list[str] = []
        for index in range(made, len(parts)):
            taken = folder.taken if index == made else set[str]()
            name = _name(parts[index], "/".join(parts[: index + 1]), taken)
            room -= len(name.encode()) + 1
            if room < 0:
                return None
            names.append(name)
        return names

    def _flatten(self, logical_path: str, last: str) -> str:
        """Put a path that is too long, as a whole, directly into the content directory, by its last name."""
        name = _name(last, logical_path, self._top.taken, marked=True)
        self._flat.add(logical_path)
        self._top.taken.add(_fold(name))
        return f"{self._top.name}/{name}"


def split_logical_path(path: str) -> list[str]:
    """Return the elements of a logical path.

    Raises:
        Invalid: OCFL does not allow it (E052, E053), it holds a NUL, or it is not Unicode text.
    """
    code = ""
    if not path or path.startswith("/") or path.endswith("/"):
        code, why = "E053", "is empty, or begins or ends with a slash"
    elif not {"", ".", ".."}.isdisjoint(parts := path.split("/")):
        code, why = "E052", "has an empty element, or one of one or two dots"
    elif "\0" in path or not is_text(path):
        code, why = "E051", "is not Unicode text"
    else:
        return parts
    message = f"The logical path {path[:200]!r} {why}."
    raise Invalid(message, faults=[Fault(code, message, path)])


def is_text(text: str) -> bool:
    """Tell whether ``text`` can be written as UTF-8, that is, holds no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _conflict(path: str) -> Invalid:
    message = f"The logical path {path[:200]!r} occurs twice, or as a file and as a folder."
    return Invalid(message, faults=[Fault("E095", message, path)])


def _fold(name: str) -> str:
    """Return a key that is equal for all names that some file system would take for the same."""
    if name.isascii():
        return name.lower()
    folded = normalised("NFD", name).upper().casefold()
    return normalised("NFD", normalised("NFD", folded).casefold())


def _name(part: str, logical: str, taken: set[str], *, marked: bool = False) -> str:
    name = _portable(part)
    if not marked and len(name.encode()) <= MAX_COMPONENT_BYTES and _fold(name) not in taken:
        return name
    stem, dot, ending = name.rpartition(".")
    extension = dot + ending
    if not stem or not _EXTENSION.fullmatch(extension):
        stem, extension = name, ""
    digest = hashlib.sha256(logical.encode()).hexdigest()
    # Sixteen digits do, but for names made to collide: then more of them, then digests of digests.
    marks = [digest[:16], digest[:32], digest]
    while True:
        for mark in marks:
            room = MAX_COMPONENT_BYTES - len(mark) - 1 - len(extension)
            short = stem.encode()[:room].decode("utf-8", "ignore")
            name = f"{short}~{mark}{extension}"
            if _fold(name) not in taken:
                return name
        marks = [hashlib.sha256(marks[-1].encode()).hexdigest()]


def _portable(part: str) -> str:
    if not _PLAIN.fullmatch(part):
        part = normalised("NFC", part)
        if not _LATIN.fullmatch(part):
            # Once more NFC, as an escape may end in a letter that a following accent would join.
            encoded = "".join(c if _is_portable(c) else _percent(c) for c in part)
            part = normalised("NFC", encoded)
    if part[-1] in ". ":
        part = part[:-1] + _percent(part[-1])
    if _DEVICE.fullmatch(part) or _NAS.fullmatch(part):
        part = _percent(part[0]) + part[1:]
    return part


def _is_portable(character: str) -> bool:
    return character not in _FORBIDDEN and unicodedata.category(character) not in _BAD_CATEGORIES


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
