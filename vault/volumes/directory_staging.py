"""Building one part in a directory volume's ``staging/``, unseen until a rename puts it in place.

A staging folder already looks like the object it will become: declaration, inventory and sidecar beside ``vN/``. For a
first version the folder itself is renamed; for a later one its ``vN/`` and then the newest inventory.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import threading
from pathlib import PurePosixPath
from typing import BinaryIO

from vault.durable import describe_os_error
from vault.errors import Conflict, Full, Invalid, Refused, VaultError
from vault.formats.ocfl import layout
from vault.model import DigestAlgorithm
from vault.volumes import directory_check
from vault.volumes.base import Cancelled, CheckReport, Part, Sink
from vault.volumes.medium import Progress, never_cancelled, no_progress
from vault.volumes.reading_back import ReadBack
from vault.volumes.tree import Tree

STAGING = "staging"
OCFL = "ocfl"
_CANNOT_LINK = directory_check.NO_FILE | {
    errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV,
}  # fmt: skip
"""Why a file cannot be given a second name: the file system knows no links (SMB, exFAT), or no file is there."""

_SPOOL = "spool"
_CHECK_SPACE_EVERY = 64 * 1024 * 1024
_WRITE_BACK_EVERY = 8 * 1024 * 1024
_MOST_FOLDERS_HELD = 16


class SyncHow(enum.Enum):
    """How a finished staging is made durable: file by file, or with one syncfs(2) for all of them."""

    FILES = "files"
    FILESYSTEM = "filesystem"


def root_files(algorithm: DigestAlgorithm) -> tuple[str, str, str]:
    """The files in an object's root, in the order in which they are renamed: the sidecar last."""
    return layout.OBJECT_DECLARATION, "inventory.json", f"inventory.json.{algorithm}"


class FileSink:
    """A file in staging. Its pages are handed to the disk as they come, so that the sync at the end is short."""

    def __init__(self, staging: DirectoryStaging, fd: int, path: str) -> None:
        self._staging = staging
        self._fd = fd
        self._path = path
        self._written = 0
        self._started = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See :class:`vault.volumes.base.Sink`."""
        view = memoryview(data)
        try:
            while view:
                count = os.write(self._fd, view)
                view = view[count:]
                self._written += count
            if self._written - self._started >= _WRITE_BACK_EVERY:
                # On dirty pages this advice starts their writing and returns at once (mm/fadvise.c).
                os.posix_fadvise(self._fd, self._started, self._written - self._started, os.POSIX_FADV_DONTNEED)
                self._started = self._written
        except OSError as error:
            raise describe_os_error(error, f"writing {self._path} on the volume {self._staging.volume!r}") from error
        self._staging.count(len(data))

    def abandon(self) -> None:
        """Close it without asking how that went: the file is about to be removed."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)

    def close(self) -> None:
        """See :class:`vault.volumes.base.Sink`."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        self._staging.ended(self)
        try:
            os.close(fd)
        except OSError as error:
            raise describe_os_error(error, f"closing {self._path} on the volume {self._staging.volume!r}") from error


class DirectoryStaging:
    """See :class:`vault.volumes.base.Staging` for the contract."""

    def __init__(self, tree: Tree, token: str, number: int, *, reserve_bytes: int, sync: SyncHow, name: str) -> None:
        if not token or "/" in token or "\0" in token or token in (".", ".."):
            tree.close()
            raise Invalid(f"{token!r} cannot name a staging.", code="bad-token")
        self.token = token
        self.number = number
        self.volume = name
        self._tree = tree
        self._place = f"{STAGING}/{token}"
        self._reserve_bytes = reserve_bytes
        self._sync = sync
        self._unchecked_bytes = 0
        self._folders: dict[str, Tree] = {}
        self._sinks: set[FileSink] = set()
        self._lock = threading.RLock()

    @classmethod
    def begin(
        cls, tree: Tree, token: str, number: int, *, reserve_bytes: int, sync: SyncHow, name: str
    ) -> DirectoryStaging:
        """Make the folder. ``tree`` belongs to the staging from here on. Raises Full, Unreachable."""
        staging = cls(tree, token, number, reserve_bytes=reserve_bytes, sync=sync, name=name)
        try:
            staging.check_space()
            with tree.explained(f"beginning a part on the volume {name!r}"):
                made = tree.make_folders(staging._place)
        except VaultError:
            tree.close()
            raise
        if staging._place not in made:
            tree.close()
            raise Conflict(f"On {name!r} a staging is called {token!r} already.", code="token-taken")
        try:
            with tree.explained(f"beginning a part on the volume {name!r}"):
                tree.make_folders(f"{staging._place}/v{number}")
        except VaultError:
            staging.discard()
            raise
        return staging

    def count(self, written: int) -> None:
        """Told by the sinks of what they wrote; looks at the room left now and then."""
        with self._lock:
            self._unchecked_bytes += written
            if self._unchecked_bytes < _CHECK_SPACE_EVERY:
                return
        self.check_space()

    def check_space(self) -> None:
        """Raise Full when less than the reserve is left."""
        self._unchecked_bytes = 0
        with self._tree.explained(f"looking at the room left on the volume {self.volume!r}"):
            space = os.fstatvfs(self._tree.fd)
        if space.f_bavail * space.f_frsize < self._reserve_bytes:
            raise Full(
                f"The volume {self.volume!r} has only its reserve left.",
                remedy="Add a volume, or free or extend this one; what was begun has been removed again.",
            )

    def create(self, content_path: str) -> Sink:
        """See the protocol."""
        self._refuse_other_place(content_path)
        folder, _, name = content_path.rpartition("/")
        try:
            with self._lock:
                return self._sink(self._folder(folder).create(name, 0o444), content_path)
        except OSError as error:
            raise describe_os_error(error, f"creating {content_path} on the volume {self.volume!r}") from error

    def _folder(self, path: str) -> Tree:
        """A folder of the part, made where it is missing, and held open for the files that come next. Under the lock:
        whoever else asks for one may close it."""
        if (held := self._folders.get(path)) is None:
            if len(self._folders) >= _MOST_FOLDERS_HELD:
                self._let_go_of_folders()
            self._tree.make_folders(f"{self._place}/{path}")
            held = self._folders[path] = self._tree.below(f"{self._place}/{path}")
        return held

    def _let_go_of_folders(self) -> None:
        """Before any of them is removed or renamed, and when there are many."""
        while self._folders:
            self._folders.popitem()[1].close()

    def _refuse_other_place(self, content_path: str) -> None:
        inside = content_path.removeprefix(f"v{self.number}/content/")
        if inside == content_path or "\0" in inside or not {"", ".", ".."}.isdisjoint(inside.split("/")):
            raise Invalid(f"{content_path!r} is not content of v{self.number}.", code="bad-content-path")

    def _sink(self, fd: int, path: str) -> FileSink:
        sink = FileSink(self, fd, path)
        with self._lock:
            self._sinks.add(sink)
        return sink

    def ended(self, sink: FileSink) -> None:
        """Told by a sink that its file is closed."""
        with self._lock:
            self._sinks.discard(sink)

    def take(self, object_id: str, content_path: str) -> bool:
        """See the protocol."""
        self._refuse_other_place(content_path)
        place = f"{self._place}/{content_path}"
        with self._tree.explained(f"taking over {content_path} on the volume {self.volume!r}"):
            try:
                self._tree.make_folders(str(PurePosixPath(place).parent))
                self._tree.link(f"{OCFL}/{layout.object_path(object_id)}/{content_path}", place)
            except OSError as error:
                if error.errno in _CANNOT_LINK:
                    return False
                raise
            if self._tree.kind(place) != "file":
                self._tree.remove(place)
                return False
        return True

    def read_back(self, content_path: str, algorithm: DigestAlgorithm) -> ReadBack:
        """See the protocol."""
        return ReadBack(self._tree, f"{self._place}/{content_path}", str(algorithm))

    def open(self, content_path: str) -> BinaryIO:
        """See the protocol."""
        return self._open(content_path)

    def _open(self, path: str) -> BinaryIO:
        with self._tree.explained(f"reading {path} in staging on {self.volume!r}"):
            return os.fdopen(self._tree.open_read(f"{self._place}/{path}"), "rb")

    def lift(self, folder: str) -> None:
        """See the protocol."""
        above = f"{self._place}/v{self.number}/content"
        self._let_go_of_folders()
        with self._tree.explained(f"unpacking {folder} on the volume {self.volume!r}"):
            # Under a name that no content path can have, lest something in the folder is called as the folder is.
            aside = f"{above}/<lifting>"
            self._tree.rename(f"{above}/{folder}", aside)
            for entry in self._tree.entries(aside):
                if self._tree.exists(f"{above}/{entry.name}"):
                    raise Conflict(f"{entry.name} stands beside {folder} and in it.", code="ambiguous-names")
                self._tree.rename(f"{aside}/{entry.name}", f"{above}/{entry.name}")
            self._tree.remove(aside)

    def create_spool(self) -> Sink:
        """See the protocol."""
        with self._tree.explained(f"receiving on the volume {self.volume!r}"):
            return self._sink(self._tree.create(f"{self._place}/{_SPOOL}", 0o444), _SPOOL)

    def open_spool(self) -> BinaryIO:
        """See the protocol."""
        return self._open(_SPOOL)

    def drop_spool(self) -> None:
        """See the protocol."""
        with self._tree.explained(f"removing a scratch file on {self.volume!r}"):
            self._tree.remove(f"{self._place}/{_SPOOL}")

    def adopt_spool(self, content_path: str) -> None:
        """See the protocol."""
        self._refuse_other_place(content_path)
        with self._tree.explained(f"keeping {content_path} on the volume {self.volume!r}"):
            self._tree.make_folders(f"{self._place}/{PurePosixPath(content_path).parent}")
            self._tree.rename(f"{self._place}/{_SPOOL}", f"{self._place}/{content_path}")

    def drop(self, content_path: str) -> None:
        """See the protocol."""
        self._refuse_other_place(content_path)
        with self._lock, self._tree.explained(f"removing {content_path} from staging on {self.volume!r}"):
            self._let_go_of_folders()
            self._tree.remove(f"{self._place}/{content_path}")
            folder = PurePosixPath(content_path).parent
            # OCFL knows no empty folders, so those that this leaves behind go too.
            while len(folder.parts) > 1 and not self._tree.entries(f"{self._place}/{folder}"):
                self._tree.remove(f"{self._place}/{folder}")
                folder = folder.parent

    def seal(self, part: Part, inventory: bytes) -> None:
        """See the protocol."""
        sidecar = directory_check.sidecar_text(part.inventory_digest)
        declaration, inventory_name, sidecar_name = root_files(part.algorithm)
        self._refuse_unfinished()
        self._let_go_of_folders()
        with self._tree.explained(f"making a part durable on the volume {self.volume!r}"):
            for folder in (self._place, f"{self._place}/v{self.number}"):
                self._tree.write_new(f"{folder}/{inventory_name}", inventory, 0o444)
                self._tree.write_new(f"{folder}/{sidecar_name}", sidecar, 0o444)
            self._tree.write_new(f"{self._place}/{declaration}", layout.object_declaration()[1], 0o444)
            if self._sync is SyncHow.FILESYSTEM:
                self._tree.sync_filesystem()
            else:
                self._tree.sync_below(self._place)
                self._tree.sync_folder(STAGING)

    def _refuse_unfinished(self) -> None:
        with self._tree.explained(f"looking at a part on the volume {self.volume!r}"):
            strangers = [e.name for e in self._tree.entries(self._place) if e.name != f"v{self.number}"]
        if strangers or self._sinks:
            raise Refused(
                f"The part in {self._place} on {self.volume!r} is not finished:"
                f" {', '.join(strangers) or 'a file of it is still being written'}.",
                code="staging-not-finished",
            )

    def check(
        self, part: Part, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> CheckReport:
        """See the protocol."""
        return directory_check.check_part(self._tree, self._place, part, progress, cancelled)

    def discard(self) -> bool:
        """See the protocol."""
        self._let_go_of_folders()
        for sink in self._sinks:
            sink.abandon()
        if self._tree.fd < 0:
            return True
        try:
            self._tree.remove(self._place)
        except OSError:
            # The volume is gone or will not; what remains in staging counts for nothing and is cleared later.
            return False
        finally:
            self._tree.close()
        return True
