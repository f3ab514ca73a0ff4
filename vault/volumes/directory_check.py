"""Reading a copy back from a directory volume, and saying exactly what is wrong with it."""

from __future__ import annotations

import errno
import hashlib

from vault.durable import describe_os_error
from vault.errors import Invalid
from vault.formats.ocfl import layout
from vault.formats.ocfl.inventory import INVENTORY_FILE
from vault.formats.ocfl.reading import parse_inventory
from vault.model import DigestAlgorithm
from vault.volumes.base import Cancelled, CheckReport, Finding, FindingKind, Part
from vault.volumes.medium import Progress, digest_file, never_cancelled, no_progress, read_chunks
from vault.volumes.tree import Entry, Tree

_SMALL = 64 * 1024
_INVENTORY_LIMIT = 512 * 1024 * 1024

_GONE = {errno.ENOENT, errno.ENOTDIR}
"""The file is not there, on a volume that answers."""

_VOLUME_ERRORS = {errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN,
                  errno.EHOSTUNREACH, errno.ECONNRESET, errno.ESHUTDOWN}  # fmt: skip
"""Not this file but the whole volume fails: an outage, which says nothing of the copy."""


def digest_of(data: bytes, algorithm: DigestAlgorithm) -> str:
    """The digest of bytes in memory, lower-case hexadecimal."""
    return hashlib.new(str(algorithm), data, usedforsecurity=False).hexdigest()


def sidecar_text(inventory_digest: str) -> bytes:
    """The sidecar of an inventory whose digest is known (OCFL 1.1, section 3.7)."""
    return f"{inventory_digest}  {INVENTORY_FILE}\n".encode()


def small_digest(tree: Tree, path: str, algorithm: DigestAlgorithm, limit: int) -> str:
    """The digest of a file that is read whole; "" where it is not there."""
    try:
        return digest_of(tree.read_small(path, limit), algorithm)
    except OSError as error:
        if error.errno in _GONE:
            return ""
        raise


def root_head(tree: Tree, target: str, limit: int, part: Part) -> int:
    """The number of the newest version by the object's root inventory; 0 where that cannot be told."""
    try:
        inventory = parse_inventory(tree.read_small(f"{target}/inventory.json", limit))
    except Invalid:
        return 0
    except OSError as error:
        if error.errno in _GONE:
            return 0
        raise
    return inventory.head_number if inventory.id == part.object_id else 0


def belongs_in_root(entry: Entry, head: Part) -> bool:
    """Whether this name may stand in the root of an object whose newest version is ``head``."""
    versions = {f"v{number}" for number in range(1, head.number + 1)}
    if entry.kind == "folder":
        return entry.name in versions
    return entry.kind == "file" and entry.name in (
        layout.OBJECT_DECLARATION,
        "inventory.json",
        f"inventory.json.{head.algorithm}",
    )


class _Checker:
    """One check of one part: collects findings, and reads a second time what did not agree."""

    def __init__(self, tree: Tree, target: str, part: Part, progress: Progress, cancelled: Cancelled) -> None:
        self.tree = tree
        self.target = target
        self.part = part
        self.progress = progress
        self.cancelled = cancelled
        self.findings: list[Finding] = []
        self.files = 0
        self.bytes = 0

    def report(self, *, absent: bool = False) -> CheckReport:
        return CheckReport(tuple(self.findings), self.files, self.bytes, absent)

    def trouble(self, error: OSError, path: str) -> None:
        """Record that a file could not be read, unless the whole volume is what fails."""
        if error.errno in _VOLUME_ERRORS:
            raise describe_os_error(error, f"reading {path}") from error
        if error.errno in _GONE:
            self.findings.append(Finding(FindingKind.MISSING, path))
        elif error.errno in (errno.ELOOP, errno.EXDEV) or error.errno == errno.EINVAL:
            self.findings.append(Finding(FindingKind.EXTRA, path, error="not a regular file"))
        else:
            self.findings.append(
                Finding(FindingKind.UNREADABLE, path, error=errno.errorcode.get(error.errno or 0, str(error.errno)))
            )

    def file(self, path: str, expected: str) -> bool:
        """Read one file and compare; True when it is intact."""
        algorithm = str(self.part.algorithm)
        try:
            reading = digest_file(self.tree, f"{self.target}/{path}", [algorithm], self.progress, self.cancelled)
            self.files += 1
            self.bytes += reading.size
            found = reading.digests[algorithm]
            if found == expected:
                return True
            again = digest_file(self.tree, f"{self.target}/{path}", [algorithm], cancelled=self.cancelled)
        except OSError as error:
            self.trouble(error, path)
            return False
        second = again.digests[algorithm]
        kind = FindingKind.INTERMITTENT if second == expected else FindingKind.MISMATCH
        self.findings.append(Finding(kind, path, expected, found))
        return kind is FindingKind.INTERMITTENT

    def exact(self, path: str, wanted: bytes) -> None:
        """Compare a small file with what it must say, from the medium."""
        try:
            data = bytearray()
            for chunk in read_chunks(self.tree, f"{self.target}/{path}"):
                data += chunk
                if len(data) > _SMALL:
                    break
        except OSError as error:
            self.trouble(error, path)
            return
        if bytes(data) != wanted:
            algorithm = self.part.algorithm
            self.findings.append(
                Finding(FindingKind.MISMATCH, path, digest_of(wanted, algorithm), digest_of(bytes(data), algorithm))
            )


def check_part(
    tree: Tree,
    target: str,
    part: Part,
    progress: Progress = no_progress,
    cancelled: Cancelled = never_cancelled,
) -> CheckReport:
    """Read ``vN/`` below ``target`` from the medium: inventory, sidecar, every content file, and nothing besides.

    Raises Unreachable when the volume, rather than a file, fails; Interrupted when cancelled.
    """
    check = _Checker(tree, target, part, progress, cancelled)
    version = f"v{part.number}"
    try:
        if not tree.exists(f"{target}/{version}"):
            return check.report(absent=True)
        present = dict(tree.walk_files(f"{target}/{version}"))
    except OSError as error:
        if error.errno in _GONE:
            return check.report(absent=True)
        check.trouble(error, version)
        return check.report()
    inventory_name, sidecar_name = "inventory.json", f"inventory.json.{part.algorithm}"
    inventory_ok = check.file(f"{version}/{inventory_name}", part.inventory_digest)
    check.exact(f"{version}/{sidecar_name}", sidecar_text(part.inventory_digest))
    for name in (inventory_name, sidecar_name):
        present.pop(name, None)
    if inventory_ok:
        _check_content(check, version, present)
    return check.report()


def _check_content(check: _Checker, version: str, present: dict[str, Entry]) -> None:
    try:
        inventory = parse_inventory(check.tree.read_small(f"{check.target}/{version}/inventory.json", _INVENTORY_LIMIT))
    except OSError as error:
        check.trouble(error, f"{version}/inventory.json")
        return
    for path, digest in sorted(inventory.content_of_version_part(check.part.number).items()):
        inside = path.removeprefix(f"{version}/")
        entry = present.pop(inside, None)
        if entry is None:
            check.findings.append(Finding(FindingKind.MISSING, path, expected=digest))
        elif entry.kind != "file":
            check.findings.append(Finding(FindingKind.EXTRA, path, error="not a regular file"))
            check.findings.append(Finding(FindingKind.MISSING, path, expected=digest))
        else:
            check.file(path, digest)
    for stranger in sorted(present):
        check.findings.append(Finding(FindingKind.EXTRA, f"{version}/{stranger}"))


def check_root(tree: Tree, target: str, head: Part) -> CheckReport:
    """Check an object's root: its declaration, the newest inventory with its sidecar, and no strangers."""
    check = _Checker(tree, target, head, no_progress, never_cancelled)
    try:
        entries = tree.entries(target)
    except OSError as error:
        if error.errno in _GONE:
            return check.report(absent=True)
        check.trouble(error, ".")
        return check.report()
    check.exact(layout.OBJECT_DECLARATION, layout.object_declaration()[1])
    check.file("inventory.json", head.inventory_digest)
    check.exact(f"inventory.json.{head.algorithm}", sidecar_text(head.inventory_digest))
    for entry in entries:
        if not belongs_in_root(entry, head):
            check.findings.append(Finding(FindingKind.EXTRA, entry.name))
    return check.report()
