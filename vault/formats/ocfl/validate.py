"""Validation of one OCFL object, over any :class:`~.tree.Tree`.

Source: OCFL 1.1 section 3 and its validation codes; objects of OCFL 1.0 are held to the same rules where both agree.
It goes on after an error as far as what follows still means something. A medium that does not answer is no verdict:
``Unreachable`` passes through, and so does whatever ``on_progress`` raises to stop it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from vault.errors import Invalid, NotFound
from vault.formats.ocfl import digests
from vault.formats.ocfl.compare import compare_with_prior
from vault.formats.ocfl.content_check import (
    ContentCheck,
    Progress,
    join,
    list_sorted,
    read_chunks,
    read_small,
)
from vault.formats.ocfl.findings import Findings
from vault.formats.ocfl.inventory import (
    INVENTORY_FILE,
    MAX_INVENTORY_BYTES,
    Inventory,
    parse_sidecar,
    sidecar_name,
)
from vault.formats.ocfl.layout import REGISTERED_EXTENSIONS
from vault.formats.ocfl.reading import Reading, read_inventory
from vault.formats.ocfl.report import ObjectReport
from vault.formats.ocfl.tree import Entry, Kind, Tree

_SMALL = 4096  # bytes of a declaration or sidecar that are worth reading
_VERSION_DIRECTORY = re.compile(r"v\d+", re.ASCII)
_DECLARATION = re.compile(r"0=ocfl_object_(1\.[01])", re.ASCII)


def validate_object(
    tree: Tree,
    path: str = "",
    *,
    check_digests: bool = True,
    on_progress: Progress | None = None,
    max_inventory_bytes: int = MAX_INVENTORY_BYTES,
) -> ObjectReport:
    """Validate the object whose root is ``path`` in ``tree``.

    With ``check_digests`` each content file is read once, and every digest that any inventory states of it is compared.
    Without, only names are compared; inventories are always compared with their sidecars.

    Raises:
        Unreachable: the medium stopped to answer, which says nothing about the object.
    """
    return _ObjectCheck(tree, path, on_progress, max_inventory_bytes).run(check_digests=check_digests)


class _ObjectCheck:
    """One validation. Paths in here are relative to the object root."""

    def __init__(self, tree: Tree, root: str, on_progress: Progress | None, max_inventory_bytes: int) -> None:
        self._tree = tree
        self._root = root
        self._on_progress = on_progress
        self._max_inventory_bytes = max_inventory_bytes
        self._findings = Findings()
        self._spec: str | None = None
        self._reading: Reading | None = None
        self._inventory_digests: dict[str, str] = {}
        self._content: ContentCheck | None = None

    def run(self, *, check_digests: bool) -> ObjectReport:
        entries = self._list("")
        if entries is None:
            self._findings.error("E003", "There is no such folder, or it cannot be opened.")
            return self._report()
        self._check_declaration(entries)
        files = {entry.name: entry for entry in entries if entry.kind is Kind.FILE}
        if INVENTORY_FILE in files:
            self._reading = self._read_inventory(INVENTORY_FILE, files[INVENTORY_FILE].size)
        else:
            self._findings.error("E063", "The object has no inventory.", INVENTORY_FILE)
        inventory = self._reading.inventory if self._reading else None
        if inventory is not None and self._spec and inventory.spec and inventory.spec != self._spec:
            self._findings.error(
                "E038", f"The inventory is of OCFL {inventory.spec}, the declaration of {self._spec}.", INVENTORY_FILE
            )
        if INVENTORY_FILE in files:
            self._check_sidecar("", files, inventory)
        self._check_root_entries(entries, inventory)
        present = {entry.name for entry in entries if entry.kind is Kind.DIRECTORY}
        if self._reading is not None and inventory is not None:
            content = ContentCheck(self._tree, self._root, inventory, self._findings, self._on_progress)
            self._content = content
            self._check_versions(inventory, present, content)
            content.finish(inventory, whole=self._reading.whole, check_digests=check_digests)
        return self._report()

    # -- the object root

    def _check_declaration(self, entries: Sequence[Entry]) -> None:
        specs: list[str] = []
        declared = 0
        for entry in entries:
            if entry.kind is not Kind.FILE or "=" not in entry.name[:2]:
                continue
            declared += 1
            match = _DECLARATION.fullmatch(entry.name)
            if match is not None:
                specs.append(match[1])
                self._check_declaration_text(entry.name)
            elif not entry.name.startswith("0="):
                self._findings.error("E005", "The declaration's name does not begin with '0='.", entry.name)
            else:
                self._findings.error("E006", "The file declares no version of OCFL that is known.", entry.name)
        if not specs:
            self._findings.error("E003", "The object has no declaration of conformance.")
        elif declared > 1:
            self._findings.error("E003", "The object has more than one declaration of conformance.")
        self._spec = max(specs, default=None)

    def _check_declaration_text(self, name: str) -> None:
        if self._small(name) != f"{name[2:]}\n".encode():
            self._findings.error("E007", "The declaration's text is not what its name says.", name)

    def _check_root_entries(self, entries: Sequence[Entry], inventory: Inventory | None) -> None:
        names = set(inventory.versions) if inventory else set()
        sidecar = sidecar_name(inventory.digest_algorithm) if inventory and inventory.digest_algorithm else ""
        for entry in entries:
            name = entry.name
            if entry.kind in (Kind.LINK, Kind.OTHER):
                self._findings.error("E090", "Links and special files have no place in an object.", name)
            elif entry.kind is Kind.FILE:
                if name.startswith(f"{INVENTORY_FILE}."):
                    if sidecar and name != sidecar:
                        self._findings.error("E059", f"The sidecar should be {sidecar}.", name)
                elif name != INVENTORY_FILE and "=" not in name[:2]:
                    self._findings.error("E001", "The file has no place in an object root.", name)
            elif name == "extensions":
                self._check_extensions(name)
            elif name in names or name == "logs":
                continue
            elif not _VERSION_DIRECTORY.fullmatch(name):
                self._findings.error("E001", "The folder has no place in an object root.", name)
            elif inventory is not None and names:
                self._findings.error("E046", "The inventory does not know this version directory.", name)

    def _check_extensions(self, path: str) -> None:
        for entry in self._list(path) or ():
            below = f"{path}/{entry.name}"
            if entry.kind in (Kind.LINK, Kind.OTHER):
                self._findings.error("E090", "Links and special files have no place in an object.", below)
            elif entry.kind is Kind.FILE:
                self._findings.error("E067", "Only folders may lie in extensions.", below)
            elif entry.name not in REGISTERED_EXTENSIONS:
                self._findings.warning("W013", "The extension is not registered.", below)

    # -- inventories

    def _read_inventory(self, path: str, size: int) -> Reading | None:
        """Read an inventory, keep its digests, and record its faults; None where it vanished."""
        if size > self._max_inventory_bytes:
            message = f"The inventory has {size} bytes; the limit is {self._max_inventory_bytes}."
            self._findings.error("too-large", message, path)
            return None
        try:
            data = read_small(self._tree, self._full(path), self._max_inventory_bytes)
        except NotFound:
            self._findings.error("E063", "The inventory cannot be opened.", path)
            return None
        reading = read_inventory(data, limit=self._max_inventory_bytes, where=path)
        for fault in reading.errors:
            self._findings.error(fault.code, fault.message, fault.path)
        for fault in reading.warnings:
            self._findings.warning(fault.code, fault.message, fault.path)
        self._findings.suppressed += reading.suppressed
        algorithm = (reading.inventory.digest_algorithm if reading.inventory else "") or "sha512"
        hasher = digests.new_hasher(algorithm) or hashlib.sha512()
        hasher.update(data)
        self._inventory_digests[path] = hasher.hexdigest()
        return reading

    def _check_sidecar(self, folder: str, files: dict[str, Entry], inventory: Inventory | None) -> None:
        if inventory is None or not inventory.digest_algorithm:
            return  # which sidecar, and which digest, cannot be told
        path = join(folder, sidecar_name(inventory.digest_algorithm))
        if sidecar_name(inventory.digest_algorithm) not in files:
            self._findings.error("E058", "The inventory has no sidecar with its digest.", path)
            return
        try:
            stated = parse_sidecar(self._small(path))
        except Invalid as error:
            self._findings.error("E061", error.message, path)
            return
        if stated != self._inventory_digests[join(folder, INVENTORY_FILE)]:
            message = "The inventory's digest is not the one its sidecar states."
            self._findings.error("E060", message, join(folder, INVENTORY_FILE))

    def _check_versions(self, inventory: Inventory, present: set[str], content: ContentCheck) -> None:
        spec = "1.0"
        missing_before = ""
        for name in inventory.versions:
            if name not in present:
                self._findings.error("E046", "The version directory is not there.", name)
                missing_before = missing_before or name
                continue
            if missing_before:
                message = f"There is no {missing_before}, but later versions: the sequence has a gap."
                self._findings.error("E010", message, missing_before)
                missing_before = ""
            spec = self._check_version(name, inventory, content, spec)

    def _check_version(self, name: str, root: Inventory, content: ContentCheck, spec_before: str) -> str:
        """Check one version directory; return the specification it conforms to."""
        entries = self._list(name) or ()
        files = {entry.name: entry for entry in entries if entry.kind is Kind.FILE}
        reading: Reading | None = None
        if INVENTORY_FILE not in files:
            self._findings.warning("W010", "The version directory has no inventory.", name)
        elif name == root.head:
            self._check_newest(name, files, root)
        else:
            reading = self._check_prior(name, files[INVENTORY_FILE].size, root)
        prior = reading.inventory if reading else None
        if prior is not None:
            self._check_sidecar(name, files, prior)
        inventory = root if name == root.head else prior
        self._check_version_entries(name, entries, inventory)
        self._check_content_directory(name, entries, root, content)
        if reading is not None and prior is not None:
            content.expect_prior(prior, f"{name}/{INVENTORY_FILE}", whole=reading.whole)
        if inventory is None or not inventory.spec or INVENTORY_FILE not in files:
            return spec_before
        if inventory.spec < spec_before:
            message = f"The inventory is of OCFL {inventory.spec}, the version before of {spec_before}."
            self._findings.error("E103", message, f"{name}/{INVENTORY_FILE}")
        return max(inventory.spec, spec_before)

    def _check_newest(self, name: str, files: dict[str, Entry], root: Inventory) -> None:
        path = f"{name}/{INVENTORY_FILE}"
        hasher = digests.new_hasher(root.digest_algorithm or "sha512") or hashlib.sha512()
        try:
            for chunk in read_chunks(self._tree, self._full(path)):
                hasher.update(chunk)
        except NotFound:
            self._findings.error("E064", "The inventory cannot be opened.", path)
            return
        self._inventory_digests[path] = hasher.hexdigest()
        if self._inventory_digests[path] != self._inventory_digests[INVENTORY_FILE]:
            self._findings.error("E064", "The inventory is not the same as that in the object root.", path)
        self._check_sidecar(name, files, root)

    def _check_prior(self, name: str, size: int, root: Inventory) -> Reading | None:
        path = f"{name}/{INVENTORY_FILE}"
        reading = self._read_inventory(path, size)
        if reading is None or reading.inventory is None:
            return None
        prior = reading.inventory
        if prior.id and root.id and prior.id != root.id:
            message = f"The id is {prior.id!r}, but {root.id!r} in the object root (E110)."
            self._findings.error("E037", message, path)
        if prior.head and prior.head != name:
            self._findings.error("E040", f"The head is {prior.head!r} in the inventory of {name}.", path)
        first = name == next(iter(root.versions))
        differs = prior.content_name != root.content_name
        if (prior.content_directory is None and root.content_directory is not None) or (first and differs):
            self._findings.error("E019", f"The contentDirectory was not set so in {name}.", path)
        if differs:
            self._findings.error("E020", "The contentDirectory is not that of the object root.", path)
        compare_with_prior(root, prior, path, self._findings)
        return reading

    def _check_version_entries(self, name: str, entries: Sequence[Entry], inventory: Inventory | None) -> None:
        """Check what lies in a version directory, all but the content; ``inventory`` is the one in it."""
        expected = {INVENTORY_FILE}
        if inventory is not None and inventory.digest_algorithm:
            expected.add(sidecar_name(inventory.digest_algorithm))
        else:
            expected |= {sidecar_name(algorithm) for algorithm in digests.CONTENT_ALGORITHMS}
        for entry in entries:
            path = f"{name}/{entry.name}"
            if entry.kind in (Kind.LINK, Kind.OTHER):
                self._findings.error("E090", "Links and special files have no place in an object.", path)
            elif entry.kind is Kind.FILE and entry.name not in expected:
                self._findings.error("E015", "The file has no place in a version directory.", path)

    def _check_content_directory(
        self, name: str, entries: Sequence[Entry], root: Inventory, content: ContentCheck
    ) -> None:
        has_content = False
        for entry in entries:
            if entry.kind is not Kind.DIRECTORY:
                continue
            path = f"{name}/{entry.name}"
            if entry.name == root.content_name:
                has_content = True
                content.walk(path)
            else:
                self._findings.warning("W002", "The folder has no place in a version directory.", path)
        if not has_content and any(path.startswith(f"{name}/") for path, _ in root.content()):
            self._findings.error("E016", "The version has content, but no content directory.", name)

    # -- small things

    def _report(self) -> ObjectReport:
        content = self._content
        inventory = self._reading.inventory if self._reading else None
        return ObjectReport(
            path=self._root,
            errors=tuple(self._findings.errors),
            warnings=tuple(self._findings.warnings),
            suppressed=self._findings.suppressed,
            id=(inventory.id if inventory else None) or None,
            spec=self._spec,
            head=(inventory.head if inventory else None) or None,
            inventory=inventory,
            missing=tuple(content.missing) if content else (),
            damaged=tuple(content.damaged) if content else (),
            files=content.files if content else 0,
            bytes_read=content.bytes_read if content else 0,
        )

    def _full(self, path: str) -> str:
        return join(self._root, path)

    def _list(self, path: str) -> list[Entry] | None:
        return list_sorted(self._tree, self._full(path))

    def _small(self, path: str) -> bytes:
        try:
            return read_small(self._tree, self._full(path), _SMALL)
        except NotFound:
            return b""
