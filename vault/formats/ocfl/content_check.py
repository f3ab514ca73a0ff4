"""The content files of an object: whether each is where an inventory says, and has every digest it says.

Source: OCFL 1.1 sections 3.3.1 and 3.5.4: E023, E024, E092, E093, W003.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vault.errors import NotFound, Unreachable
from vault.formats.ocfl import digests
from vault.formats.ocfl.findings import Findings
from vault.formats.ocfl.inventory import Inventory
from vault.formats.ocfl.tree import Entry, Kind, Tree

Progress = Callable[[str, int], None]
"""Called with the path of the file being read, relative to the tree, and the bytes just read."""

MAX_DEPTH = 200
"""Folders below one another in a content directory."""
_CHUNK = 1 << 20


class ContentCheck:
    """Gathers what is there and what is said of it, then reads every file once. Paths are relative to the object."""

    def __init__(
        self, tree: Tree, root: str, inventory: Inventory, findings: Findings, on_progress: Progress | None
    ) -> None:
        self._tree = tree
        self._root = root
        self._findings = findings
        self._on_progress = on_progress
        self._algorithm = inventory.digest_algorithm
        self._stated = dict(inventory.content())
        self._found: set[str] = set()
        # content path -> (algorithm, digest, code, where it is said) beyond what the root manifest says
        self._further: dict[str, set[tuple[str, str, str, str]]] = {}
        self.missing: list[str] = []
        self.damaged: list[str] = []
        self.files = 0
        self.bytes_read = 0

    def walk(self, top: str) -> None:
        """Take in the files of one version's content directory."""
        pending = [(top, 0)]
        before = len(self._found)
        while pending:
            folder, depth = pending.pop()
            entries = list_sorted(self._tree, join(self._root, folder)) or ()
            if not entries and folder != top:
                self._findings.error("E024", "The folder is empty.", folder)
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if entry.kind is Kind.FILE:
                    self._found.add(path)
                elif entry.kind is not Kind.DIRECTORY:
                    self._findings.error("E090", "Links and special files have no place in an object.", path)
                elif depth >= MAX_DEPTH:
                    self._findings.error("too-deep", f"More than {MAX_DEPTH} folders below one another.", path)
                else:
                    pending.append((path, depth + 1))
        if len(self._found) == before:
            self._findings.warning("W003", "The content directory holds no file.", top)

    def expect_prior(self, prior: Inventory, where: str, *, whole: bool) -> None:
        """Take in what the inventory of an earlier version says, once the content up to that version was walked.

        ``whole`` tells whether its manifest could be read wholly.
        """
        listed = set()
        for path, digest in prior.content():
            listed.add(path)
            if prior.digest_algorithm == self._algorithm and self._stated.get(path) == digest:
                continue
            if path in self._found:
                self._add(path, prior.digest_algorithm, digest, "E092", where)
            elif path not in self._stated:
                self._findings.error("E092", f"The file is in the manifest of {where}, and is not there.", path)
        if whole:
            for path in sorted(self._found - listed):
                if path in self._stated:
                    self._findings.error("E023", f"The file is not in the manifest of {where}.", path)
        self._expect_fixity(prior, where)

    def finish(self, inventory: Inventory, *, whole: bool, check_digests: bool) -> None:
        """Compare what is there with the root inventory, and read it if ``check_digests``."""
        self._expect_fixity(inventory, "the object root's inventory")
        for path in self._stated:
            if path not in self._found:
                self._lost(path)
        if whole:
            for path in sorted(self._found - self._stated.keys()):
                self._findings.error("E023", "The file is in no manifest.", path)
        if check_digests:
            for path in sorted(self._found):
                self._check_file(path)

    def _expect_fixity(self, inventory: Inventory, where: str) -> None:
        for algorithm, block in inventory.fixity.items():
            for digest, paths in block.items():
                for path in paths:
                    if path not in self._found:
                        self._findings.error("E093", f"The fixity block of {where} lists it; it is not there.", path)
                    elif algorithm != self._algorithm or self._stated.get(path) != digest.lower():
                        self._add(path, algorithm, digest.lower(), "E093", where)

    def _add(self, path: str, algorithm: str, digest: str, code: str, where: str) -> None:
        self._further.setdefault(path, set()).add((algorithm, digest, code, where))

    def _lost(self, path: str) -> None:
        self._findings.error("E092", "The file is in the manifest, and is not there.", path)
        self.missing.append(path)

    def _check_file(self, path: str) -> None:
        wanted = set(self._further.get(path, ()))
        if path in self._stated:
            wanted.add((self._algorithm, self._stated[path], "E092", "the object root's inventory"))
        hashers = {name: hasher for name, *_ in wanted if (hasher := digests.new_hasher(name)) is not None}
        if not hashers:
            return
        try:
            for chunk in read_chunks(self._tree, join(self._root, path), self._on_progress):
                self.bytes_read += len(chunk)
                for hasher in hashers.values():
                    hasher.update(chunk)
        except NotFound:
            self._lost(path)
            return
        self.files += 1
        actual = {name: hasher.hexdigest() for name, hasher in hashers.items()}
        wrong = [entry for entry in sorted(wanted) if entry[0] in actual and actual[entry[0]] != entry[1]]
        for algorithm, digest, code, where in wrong:
            message = f"{where} says {algorithm} {digest}; the bytes have {actual[algorithm]}."
            self._findings.error(code, message, path)
        if wrong:
            self.damaged.append(path)


def join(folder: str, name: str) -> str:
    """Join two paths, either of which may be ""."""
    return f"{folder}/{name}" if folder and name else folder or name


def list_sorted(tree: Tree, path: str) -> list[Entry] | None:
    """Return what is in a folder, by name; None where there is no such folder."""
    try:
        return sorted(tree.list_dir(path), key=lambda entry: entry.name)
    except NotFound:
        return None


def read_chunks(tree: Tree, path: str, on_progress: Progress | None = None) -> Iterator[bytes]:
    """Yield the bytes of a file.

    Raises:
        NotFound: there is no such regular file.
        Unreachable: it could not be read to its end.
    """
    with tree.open(path) as file:
        while True:
            try:
                chunk = file.read(_CHUNK)
            except OSError as error:
                raise Unreachable(f"{path!r} could not be read to its end: {error.strerror}.") from error
            if not chunk:
                return
            if on_progress is not None:
                on_progress(path, len(chunk))
            yield chunk


def read_small(tree: Tree, path: str, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a file, and one more where there are more.

    Raises:
        NotFound: there is no such regular file.
        Unreachable: it could not be read.
    """
    data = bytearray()
    for chunk in read_chunks(tree, path):
        data += chunk
        if len(data) > limit:
            del data[limit + 1 :]
            break
    return bytes(data)
