"""Validation of an OCFL storage root: its declaration and layout, the hierarchy, and the objects in it.

Source: OCFL 1.1 section 4 and its validation codes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence

from vault.errors import Invalid, NotFound, Unreachable, VaultError
from vault.formats.ocfl.content_check import Progress, join, list_sorted, read_small
from vault.formats.ocfl.findings import Findings
from vault.formats.ocfl.inventory import INVENTORY_FILE, MAX_INVENTORY_BYTES
from vault.formats.ocfl.layout import LAYOUT, LAYOUT_FILE, REGISTERED_EXTENSIONS, HashAndIdLayout
from vault.formats.ocfl.report import ObjectReport, RootReport
from vault.formats.ocfl.tree import Entry, Kind, Tree
from vault.formats.ocfl.validate import validate_object

MAX_DEPTH = 100
"""Folders between a storage root and an object."""
_SMALL = 65536

Unread = Callable[[str, VaultError], None]
"""Told of a folder that cannot be listed: its path and NotFound or Unreachable."""

_DECLARATION = re.compile(r"0=ocfl_(1\.[01])", re.ASCII)


def find_objects(
    tree: Tree, path: str = "", findings: Findings | None = None, unread: Unread | None = None
) -> Iterator[str]:
    """Yield the paths, relative to ``tree``, of all object roots below the storage root ``path``, in order.

    What lies between and belongs to no object goes to ``findings``, with paths relative to ``path``. With ``unread``
    a folder that cannot be listed is passed over, and that is told of it, by its path relative to ``path``.

    Raises:
        Unreachable: the medium stopped to answer, and there is no ``unread``.
    """
    for below in _Hierarchy(tree, path, findings or Findings(), unread).objects():
        yield join(path, below)


def validate_root(
    tree: Tree,
    path: str = "",
    *,
    check_objects: bool = True,
    check_digests: bool = True,
    on_object: Callable[[ObjectReport], None] | None = None,
    on_progress: Progress | None = None,
    max_inventory_bytes: int = MAX_INVENTORY_BYTES,
) -> RootReport:
    """Validate the storage root at ``path`` in ``tree``, and each object in it, which ``on_object`` is told of.

    Raises:
        Unreachable: the medium stopped to answer, which says nothing about the storage root.
    """
    findings = Findings()
    root = _Root(tree, path, findings)
    root.check()
    objects = unsound = 0
    seen: set[bytes] = set()
    depths: set[bool] = set()
    for below in _Hierarchy(tree, path, findings).objects():
        objects += 1
        depths.add("/" in below)
        if not check_objects:
            continue
        report = validate_object(
            tree,
            join(path, below),
            check_digests=check_digests,
            on_progress=on_progress,
            max_inventory_bytes=max_inventory_bytes,
        )
        unsound += not report.sound
        root.check_object(report, below, seen)
        if on_object is not None:
            on_object(report)
    if len(depths) == 2:
        findings.warning("W015", "Some objects lie in the storage root itself, and others in folders of it.")
    return RootReport(
        path=path,
        errors=tuple(findings.errors),
        warnings=tuple(findings.warnings),
        suppressed=findings.suppressed,
        spec=root.spec,
        layout=root.layout_name,
        objects=objects,
        unsound=unsound,
    )


class _Root:
    """The files of the root itself."""

    def __init__(self, tree: Tree, path: str, findings: Findings) -> None:
        self._tree = tree
        self._path = path
        self._findings = findings
        self._layout: HashAndIdLayout | None = None
        self.spec: str | None = None
        self.layout_name: str | None = None

    def check(self) -> None:
        entries = list_sorted(self._tree, self._path)
        if entries is None:
            self._findings.error("E069", "There is no such folder, or it cannot be opened.")
            return
        self._check_declaration(entries)
        for entry in entries:
            if entry.kind in (Kind.LINK, Kind.OTHER):
                self._findings.error("E090", "Links and special files have no place here.", entry.name)
            elif entry.kind is Kind.FILE and entry.name == LAYOUT_FILE:
                self._check_layout()
            elif entry.kind is Kind.DIRECTORY and entry.name == "extensions":
                self._check_extensions()

    def check_object(self, report: ObjectReport, below: str, seen: set[bytes]) -> None:
        """Check what an object has to do with the root: its specification, its id, its place."""
        if self.spec and report.spec and report.spec > self.spec:
            message = f"The object is of OCFL {report.spec}, the storage root of {self.spec}."
            self._findings.error("E081", message, below)
        if not report.id:
            return
        known = hashlib.sha256(report.id.encode()).digest()
        if known in seen:
            self._findings.error("E037", f"The id {report.id!r} occurs more than once in the storage root.", below)
        seen.add(known)
        if self._layout is not None and (place := self._layout.object_path(report.id)) != below:
            self._findings.error("E083", f"By the layout the object {report.id!r} belongs at {place}.", below)

    def _check_declaration(self, entries: Sequence[Entry]) -> None:
        declared = [entry.name for entry in entries if entry.kind is Kind.FILE and "=" in entry.name[:2]]
        for name in declared:
            match = _DECLARATION.fullmatch(name)
            if match is not None:
                self.spec = max(self.spec or "", match[1])
                if self._small(name) != f"{name[2:]}\n".encode():
                    self._findings.error("E080", "The declaration's text is not what its name says.", name)
            elif not name.startswith("0="):
                self._findings.error("E078", "The declaration's name does not begin with '0='.", name)
            else:
                self._findings.error("E079", "The file declares no version of OCFL that is known.", name)
        if self.spec is None:
            self._findings.error("E069", "The storage root has no declaration of conformance.")
        elif len(declared) > 1:
            self._findings.error("E076", "The storage root has more than one declaration of conformance.")

    def _check_layout(self) -> None:
        try:
            layout: object = json.loads(self._small(LAYOUT_FILE).decode("utf-8"))
        except (ValueError, RecursionError):
            self._findings.error("E070", "The layout is not JSON in UTF-8.", LAYOUT_FILE)
            return
        if not isinstance(layout, dict):
            self._findings.error("E070", "The layout is not a JSON object.", LAYOUT_FILE)
            return
        name = layout.get("extension")
        if not isinstance(name, str) or not isinstance(layout.get("description"), str):
            self._findings.error("E070", "The layout lacks its extension or its description.", LAYOUT_FILE)
        elif name not in REGISTERED_EXTENSIONS:
            self._findings.error("E071", f"The layout {name!r} is not a registered extension.", LAYOUT_FILE)
        if not isinstance(name, str):
            return
        self.layout_name = name
        if name == LAYOUT:
            self._read_config()

    def _read_config(self) -> None:
        path = f"extensions/{LAYOUT}/config.json"
        try:
            config = read_small(self._tree, join(self._path, path), _SMALL)
        except NotFound:
            self._layout = HashAndIdLayout()
            return
        try:
            self._layout = HashAndIdLayout.from_config(config)
        except Invalid as error:
            self._findings.error("E071", error.message, path)

    def _check_extensions(self) -> None:
        entries = list_sorted(self._tree, join(self._path, "extensions")) or ()
        for entry in entries:
            path = f"extensions/{entry.name}"
            if entry.kind in (Kind.LINK, Kind.OTHER):
                self._findings.error("E090", "Links and special files have no place here.", path)
            elif entry.kind is Kind.FILE:
                self._findings.error("E112", "Only folders may lie in extensions.", path)
            elif entry.name not in REGISTERED_EXTENSIONS:
                self._findings.warning("W016", "The extension is not registered.", path)

    def _small(self, name: str) -> bytes:
        try:
            return read_small(self._tree, join(self._path, name), _SMALL)
        except NotFound:
            return b""


class _Hierarchy:
    """The folders between the root and its objects. Paths are relative to the root."""

    def __init__(self, tree: Tree, path: str, findings: Findings, unread: Unread | None = None) -> None:
        self._tree = tree
        self._path = path
        self._findings = findings
        self._unread = unread

    def objects(self) -> Iterator[str]:
        top = self._listed("") or ()
        pending = [entry.name for entry in reversed(top) if entry.kind is Kind.DIRECTORY and entry.name != "extensions"]
        while pending:
            path = pending.pop()
            entries = self._listed(path)
            if entries is None:
                self._findings.error("E088", "The folder cannot be opened.", path)
            elif _is_object(entries):
                yield path
            elif path.count("/") >= MAX_DEPTH:
                self._findings.error("too-deep", f"More than {MAX_DEPTH} folders below one another.", path)
            else:
                self._check_folder(path, entries)
                folders = (entry.name for entry in reversed(entries) if entry.kind is Kind.DIRECTORY)
                pending.extend(f"{path}/{name}" for name in folders)

    def _listed(self, path: str) -> list[Entry] | None:
        where = join(self._path, path) if path else self._path
        try:
            entries = list_sorted(self._tree, where)
        except Unreachable as error:
            if self._unread is None:
                raise
            self._unread(path, error)
            return None
        if entries is None and self._unread is not None:
            self._unread(path, NotFound(f"There is no folder {where!r}." if where else "There is no such folder."))
        return entries

    def _check_folder(self, path: str, entries: Sequence[Entry]) -> None:
        if not entries:
            self._findings.error("E073", "The folder is empty.", path)
        for entry in entries:
            below = f"{path}/{entry.name}"
            if entry.kind in (Kind.LINK, Kind.OTHER):
                self._findings.error("E090", "Links and special files have no place here.", below)
            elif entry.kind is Kind.FILE and _DECLARATION.fullmatch(entry.name):
                self._findings.error("E088", "There is a storage root inside the storage root.", below)
            elif entry.kind is Kind.FILE:
                self._findings.error("E072", "The file is not part of an object.", below)


def _is_object(entries: Sequence[Entry]) -> bool:
    """Tell whether a folder is an object's root, be it a broken one: its declaration or its inventory is there."""
    return any(
        entry.kind is Kind.FILE and (entry.name.startswith("0=ocfl_object_") or entry.name == INVENTORY_FILE)
        for entry in entries
    )
