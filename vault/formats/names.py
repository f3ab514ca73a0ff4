"""Names of members inside an archive: what a name may be, and which names cannot live beside one another.

A name is kept exactly as it was given (never normalised); only comparisons use a normal form. The rules are those
of the least able system a package may be copied to in thirty years: one that ignores case, composes accents, and
takes a backslash for a separator.
"""

from __future__ import annotations

import re
from typing import NoReturn

from vault.errors import Fault, Invalid
from vault.text import normalised

MAX_NAME_BYTES = 4096
"""Bytes (UTF-8) in a whole name: PATH_MAX of Linux."""

MAX_COMPONENT_BYTES = 1024
"""Bytes (UTF-8) in one component. Windows allows 255 UTF-16 units, and Vietnamese letters take up to three bytes
each, so a lawful name from there may be 765 bytes long: more than the 255 of Linux file systems. Such a name is
accepted here; where it is stored, the content path is mapped to something shorter."""

MAX_DEPTH = 64
"""Components in one name."""

# C0, DEL, C1, line and paragraph separator, bidi embeddings, overrides and isolates, surrogates (undecodable bytes).
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_DRIVE = re.compile("[A-Za-z]:")
_SHOWN = 200


def shown(text: str, limit: int = _SHOWN) -> str:
    """``text`` made safe for a log, a terminal and JSON: nothing invisible, at most ``limit`` characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return _FORBIDDEN.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), cut)


def refuse(code: str, message: str, path: str = "", *, remedy: str = "") -> NoReturn:
    """Raise Invalid with one fault; ``path`` is made printable."""
    safe = shown(path)
    where = f"“{safe}”: " if safe else ""
    raise Invalid(where + message, faults=[Fault(code, message, safe)], remedy=remedy, code=code)


def check_member_name(
    raw: str,
    *,
    max_bytes: int = MAX_NAME_BYTES,
    max_component_bytes: int = MAX_COMPONENT_BYTES,
    max_depth: int = MAX_DEPTH,
) -> str:
    """The relative POSIX path that an archive member's name stands for.

    Leading ``./`` and one trailing ``/`` are removed; nothing else is changed. Raises Invalid, with one fault whose
    code is ``name-empty``, ``name-absolute``, ``name-parent``, ``name-dot``, ``name-empty-component``,
    ``name-control-character``, ``name-not-utf8``, ``name-backslash``, ``name-drive-letter``, ``name-too-long``,
    ``name-component-too-long`` or ``name-too-deep``.
    """
    # Judged before anything else is done with it: four bytes are the most one character can take.
    if len(raw) > max_bytes:
        refuse("name-too-long", f"the name is longer than {max_bytes} bytes.", raw)
    bad = _FORBIDDEN.search(raw)
    if bad is not None:
        if "\ud800" <= bad.group() <= "\udfff":
            refuse("name-not-utf8", "the name is not valid UTF-8.", raw, remedy="Rename it, or pack with UTF-8 names.")
        refuse("name-control-character", f"the name holds a control character (U+{ord(bad.group()):04X}).", raw)
    if "\\" in raw:
        refuse("name-backslash", "the name holds a backslash.", raw, remedy="Use “/” between folders.")
    name = raw
    while name.startswith("./"):
        name = name[2:]
    if name.endswith("/"):
        name = name[:-1]
        if not name and raw.startswith("/"):
            refuse("name-absolute", "the name is an absolute path.", raw)
    if name in {"", "."}:
        refuse("name-empty", "the name is empty.", raw)
    if name.startswith("/"):
        # “.//x” is an empty component, “/x” an absolute path; both would leave the folder somewhere.
        code = "name-absolute" if raw.startswith("/") else "name-empty-component"
        refuse(code, "the name is an absolute path or begins with an empty component.", raw)
    if _DRIVE.match(name):
        refuse("name-drive-letter", "the name begins with a drive letter.", raw)
    _check_components(name, raw, max_bytes, max_component_bytes, max_depth)
    return name


def _check_components(name: str, raw: str, max_bytes: int, max_component_bytes: int, max_depth: int) -> None:
    components = name.split("/")
    if len(components) > max_depth:
        refuse("name-too-deep", f"the name has more than {max_depth} levels of folders.", raw)
    for component in components:
        if component == "":
            refuse("name-empty-component", "the name holds an empty component (“//”).", raw)
        if component == "..":
            refuse("name-parent", "the name leads out of its folder (“..”).", raw)
        if component == ".":
            refuse("name-dot", "the name holds a “.” component.", raw)
    if len(name) * 4 > max_component_bytes:  # otherwise no byte limit can be broken
        if len(name.encode()) > max_bytes:
            refuse("name-too-long", f"the name is longer than {max_bytes} bytes.", raw)
        for component in components:
            if len(component.encode()) > max_component_bytes:
                refuse("name-component-too-long", f"one component is longer than {max_component_bytes} bytes.", raw)


def comparison_key(name: str) -> str:
    """The form in which two names that some file system could take for one another are equal.

    Canonical caseless matching (Unicode 3.13, D145), composed at the end.
    """
    if name.isascii():
        return name.lower()
    return normalised("NFC", normalised("NFD", name).casefold())


class NameRegister:
    """Notices names that cannot live beside one another.

    Memory is bounded: at most ``max_names`` names (folders that are only implied count too) and ``max_bytes``
    characters of them; beyond that, ``add`` refuses.
    """

    def __init__(self, *, max_names: int = 4_000_000, max_bytes: int = 512 * 1024**2) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._max_names = max_names
        self._room = max_bytes
        self._last_parent = ""

    def add(self, name: str, *, directory: bool = False) -> None:
        """Take note of ``name`` (as `check_member_name` returned it).

        The same folder may come twice: archivers do that, and nothing is lost by it. Raises Invalid with
        ``duplicate-name``, ``names-alike`` (equal after case folding and normalisation, also where only a folder on
        the way is alike), ``file-as-directory`` or ``too-many-names``.
        """
        parent, slash, _ = name.rpartition("/")
        # Members mostly come folder by folder, so the parent has mostly just been looked at.
        if slash and parent != self._last_parent:
            self._add_folders(parent)
            self._last_parent = parent
        if directory:
            self._add_folder(name)
            return
        key = comparison_key(name)
        if key in self._folders:
            refuse("file-as-directory", "is a file here and a folder elsewhere in the archive.", name)
        earlier = self._files.get(key)
        if earlier is not None:
            self._refuse_alike(name, earlier)
        self._keep(self._files, key, name)

    def _add_folders(self, path: str) -> None:
        end = path.find("/")
        while end != -1:
            self._add_folder(path[:end])
            end = path.find("/", end + 1)
        self._add_folder(path)

    def _add_folder(self, path: str) -> None:
        key = comparison_key(path)
        earlier = self._folders.get(key)
        if earlier is not None:
            if earlier != path:
                self._refuse_alike(path, earlier)
            return
        if key in self._files:
            refuse("file-as-directory", "is a folder here and a file elsewhere in the archive.", path)
        self._keep(self._folders, key, path)

    def _keep(self, where: dict[str, str], key: str, name: str) -> None:
        self._room -= len(name)
        if self._room < 0 or len(self._files) + len(self._folders) >= self._max_names:
            refuse("too-many-names", "the archive holds more names than this node accepts.")
        where[key] = name if key != name else key

    @staticmethod
    def _refuse_alike(name: str, earlier: str) -> NoReturn:
        if name == earlier:
            refuse("duplicate-name", "the archive holds this name twice.", name)
        refuse(
            "names-alike",
            f"differs from “{shown(earlier)}” only in upper and lower case or in how accents are encoded.",
            name,
            remedy="Rename one of them: on many systems one would overwrite the other.",
        )
