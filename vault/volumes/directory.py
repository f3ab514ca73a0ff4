"""A directory tree as a volume: a NAS mount or a local disk, holding an OCFL 1.1 storage root.

::

    vault-volume.json   which volume this is
    ocfl/               the storage root: one object per package, one OCFL version per package version
    staging/            parts being built; worth nothing after a crash
    uploads/            bytes of resumable deposits on their way; made when the first comes
    evidence/LABEL/     damaged bytes that were set aside: about.json, and object/ with what stood in the object
    node/               ledger checkpoints, catalogue backups
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal
from uuid import UUID

from hardware.blocks import is_gone
from hardware.mounts import is_mount_point, mount_of
from vault.durable import describe_os_error
from vault.errors import Corrupted, NotFound, Refused, Unreachable, VaultError, WrongVolume
from vault.formats.ocfl import layout
from vault.formats.ocfl.inventory import INVENTORY_FILE, MAX_INVENTORY_BYTES
from vault.model import Condition, Json, MediumClass
from vault.volumes import directory_check, directory_placing
from vault.volumes.base import (
    Cancelled,
    CheckJournal,
    CheckReport,
    KeptEvidence,
    Part,
    Probe,
    Staging,
    VolumeIdentity,
)
from vault.volumes.directory_check import NO_FILE, SMALL_LIMIT
from vault.volumes.directory_placing import ABOUT, EVIDENCE, KEPT, object_folder
from vault.volumes.directory_staging import OCFL, STAGING, DirectoryStaging, SyncHow
from vault.volumes.identity import IDENTITY_FILE, IDENTITY_LIMIT, identity_bytes, parse_identity
from vault.volumes.medium import Progress, never_cancelled, no_progress, read_chunks
from vault.volumes.spool import Spool
from vault.volumes.tree import Nearby, Tree

__all__ = ["EVIDENCE", "NODE", "OCFL", "STAGING", "DirectoryVolume"]

NODE = "node"
_FOLDERS = (OCFL, STAGING, EVIDENCE, NODE)
_NEW_IDENTITY = f"{IDENTITY_FILE}.new"
_MAY_STAND_IN_AN_EMPTY_PLACE = {"lost+found", ".snapshot", ".snapshots", "@eaDir", "#recycle", ".zfs"}


_SCRATCH_SECONDS = 3600.0


class DirectoryVolume:
    """See :class:`vault.volumes.base.Volume` for the contract."""

    kind = "directory"
    medium = MediumClass.DISK

    def __init__(
        self,
        *,
        name: str,
        path: str,
        domain: str,
        site: str,
        mount: bool = True,
        reserve_bytes: int = 0,
        sync: Literal["auto", "files", "filesystem"] = "auto",
        uuid: UUID | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.domain = domain
        self.site = site
        self._mount = mount
        self._reserve_bytes = reserve_bytes
        self._sync = sync
        self._uuid = uuid

    def expect(self, uuid: UUID) -> None:
        """See the protocol."""
        self._uuid = uuid

    # --- who is there

    @contextmanager
    def session(self) -> Iterator[Tree]:
        """The volume's root, opened and known to be ours, for one piece of work."""
        with self._root() as tree:
            self._recognise(tree)
            yield tree

    def _recognise(self, tree: Tree) -> VolumeIdentity:
        identity = self._read_identity(tree)
        if self._uuid is not None and identity.uuid != self._uuid:
            raise WrongVolume(
                f"At {self.path} stands the volume {identity.name!r} ({identity.uuid}), not {self.name!r}"
                f" ({self._uuid}).",
                remedy="Mount the right volume there, or correct the path in the configuration.",
            )
        return identity

    @contextmanager
    def _root(self) -> Iterator[Tree]:
        try:
            if self._mount and not is_mount_point(self.path):
                raise WrongVolume(
                    f"Nothing is mounted at {self.path}, where the volume {self.name!r} should be.",
                    remedy=f"Mount it (mount {self.path}), or set mount = false if it is an ordinary folder.",
                    code="not-mounted",
                )
            tree = Tree(self.path)
        except OSError as error:
            raise Unreachable(
                f"The volume {self.name!r} at {self.path} does not answer: {os.strerror(error.errno or 0)}.",
                remedy="Check that the NAS is on, the network is up and the path is mounted and readable.",
            ) from error
        with tree:
            yield tree

    def _read_identity(self, tree: Tree) -> VolumeIdentity:
        try:
            data = tree.read_small(IDENTITY_FILE, IDENTITY_LIMIT)
        except FileNotFoundError as error:
            if self._uuid is not None:
                raise WrongVolume(
                    f"{self.path} has no {IDENTITY_FILE}: it is not the volume {self.name!r} ({self._uuid}).",
                    remedy="Mount that volume there. If it is lost for good, follow the guide: a disk died"
                    " (docs/howto/a-disk-died.md)",
                    code="not-initialised",
                ) from error
            raise WrongVolume(
                f"{self.path} has no {IDENTITY_FILE}: it is not the volume {self.name!r}, or it was never initialised.",
                remedy=f"Mount the volume there, or for a new one type: vaultctl volumes init {self.name}",
                code="not-initialised",
            ) from error
        except OSError as error:
            raise Unreachable(
                f"The identity of the volume {self.name!r} cannot be read at {self.path}:"
                f" {os.strerror(error.errno or 0)}.",
                remedy="Check the mount, and that the daemon's user may read and write there.",
            ) from error
        return parse_identity(data, self.path)

    def standing_uuid(self) -> UUID | None:
        """Which volume stands at its place just now, whoever is expected; None where none does.

        Raises WrongVolume (``not-mounted``), Unreachable.
        """
        with self._root() as tree:
            try:
                return self._read_identity(tree).uuid
            except WrongVolume as error:
                if error.code != "not-initialised":
                    raise
                return None

    def refuse_unless_empty(self) -> None:
        """Raise Refused (``not-empty``) where the place holds anything, before a volume is made there."""
        with self._root() as tree, tree.explained(f"looking at {self.path}"):
            self._refuse_if_occupied(tree)

    def initialise(self, identity: VolumeIdentity) -> None:
        """See the protocol."""
        with self._root() as tree, tree.explained(f"initialising the volume {self.name!r} at {self.path}"):
            self._refuse_if_occupied(tree)
            for folder in _FOLDERS:
                tree.make_folders(folder)
            for path, data in layout.storage_root_files().items():
                folder, _, _ = f"{OCFL}/{path}".rpartition("/")
                tree.make_folders(folder)
                tree.remove(f"{OCFL}/{path}")
                tree.write_new(f"{OCFL}/{path}", data)
            tree.remove(_NEW_IDENTITY)
            tree.write_new(_NEW_IDENTITY, identity_bytes(identity))
            tree.sync_file(_NEW_IDENTITY)
            for folder in _FOLDERS:
                tree.sync_below(folder)
            tree.sync_folder()
            tree.rename_durably(_NEW_IDENTITY, IDENTITY_FILE)
            self._uuid = identity.uuid

    def _refuse_if_occupied(self, tree: Tree) -> None:
        strangers = [e.name for e in tree.entries() if e.name not in _MAY_STAND_IN_AN_EMPTY_PLACE]
        if IDENTITY_FILE in strangers:
            raise Refused(
                f"{self.path} is a volume already: {self._read_identity(tree).name!r}.",
                remedy="It can be used as it is, under its own name; it is never initialised twice.",
                code="already-initialised",
            )
        # An initialisation that was cut off left some of these.
        if not {*_FOLDERS, _NEW_IDENTITY}.issuperset(strangers):
            raise Refused(
                f"{self.path} is not empty: it holds {', '.join(map(ascii, strangers[:5]))}"
                f"{' and more' if len(strangers) > 5 else ''}.",
                remedy="Give the volume an empty folder of its own.",
                code="not-empty",
            )
        if tree.exists(OCFL) and any(e.kind == "folder" and e.name != "extensions" for e in tree.entries(OCFL)):
            raise Refused(
                f"{self.path}/{OCFL} holds objects already, but no identity stands beside it.",
                remedy=f"Restore {IDENTITY_FILE} from a backup of the volume.",
                code="not-empty",
            )

    def probe(self) -> Probe:
        """See the protocol."""
        try:
            with self._root() as tree:
                identity = self._recognise(tree)
                space = os.fstatvfs(tree.fd)
                size, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
                device = os.fstat(tree.fd).st_dev
                if is_gone(device):
                    return Probe(Condition.OFFLINE, "The disk that it is mounted from is gone from this machine.")
                if space.f_flag & os.ST_RDONLY:
                    return Probe(Condition.READ_ONLY, "It is mounted read-only.", identity, size, free, device)
                return Probe(Condition.ONLINE, "", identity, size, free, device)
        except WrongVolume as error:
            return Probe(Condition.OFFLINE if error.code == "not-mounted" else Condition.FOREIGN, str(error))
        except VaultError as error:
            return Probe(Condition.OFFLINE, str(error))
        except OSError as error:
            return Probe(Condition.OFFLINE, str(describe_os_error(error, f"looking at {self.path}")))

    # --- building and placing

    def spool(self) -> Spool:
        """The resumable deposits on their way that this volume keeps."""
        return Spool(self.session, self.name, self._reserve_bytes)

    def stage(self, token: str, number: int) -> Staging:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"beginning a deposit on the volume {self.name!r}"):
            return DirectoryStaging.begin(
                tree.duplicate(),
                token,
                number,
                reserve_bytes=self._reserve_bytes,
                sync=self._how_to_sync(),
                name=self.name,
            )

    def reopen(self, token: str, number: int) -> Staging:
        """See the protocol."""
        with self.session() as tree:
            sync = self._how_to_sync()
            return DirectoryStaging(
                tree.duplicate(), token, number, reserve_bytes=self._reserve_bytes, sync=sync, name=self.name
            )

    def staged(self) -> list[str]:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"listing the staging of the volume {self.name!r}"):
            # A folder is a part; a file is a scratch of a moment, and left by a crash only if it is old.
            return [e.name for e in tree.entries(STAGING) if e.kind == "folder" or self._is_old(tree, e.name)]

    @staticmethod
    def _is_old(tree: Tree, name: str) -> bool:
        try:
            with tree.parent(f"{STAGING}/{name}") as (folder, last):
                changed = os.stat(last, dir_fd=folder, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return False
        return time.time() - changed > _SCRATCH_SECONDS

    def _how_to_sync(self) -> SyncHow:
        if self._sync == "auto":
            # One syncfs(2) is as good as an fsync(2) of each file, and quicker, where no server stands between.
            mount = mount_of(self.path)
            local = mount is not None and not mount.remote and mount.kind != "fuseblk"
            return SyncHow.FILESYSTEM if local else SyncHow.FILES
        return SyncHow.FILESYSTEM if self._sync == "filesystem" else SyncHow.FILES

    def put(self, staging: Staging, part: Part, *, head: bool) -> None:
        """See the protocol."""
        doing = f"putting {part.object_id} v{part.number} in place on {self.name!r}"
        with self.session() as tree, tree.explained(doing):
            directory_placing.put(tree, f"{STAGING}/{staging.token}", part, head=head, volume=self.name)
        staging.discard()

    def replace(
        self, staging: Staging, part: Part, *, head: bool, label: str, about: Mapping[str, Json]
    ) -> KeptEvidence | None:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"replacing {part.object_id} v{part.number} on {self.name!r}"):
            kept = directory_placing.replace(
                tree, f"{STAGING}/{staging.token}", part, head=head, label=label, about=about
            )
        staging.discard()
        return kept

    def settle(self, part: Part) -> bool:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"settling {part.object_id} v{part.number} on {self.name!r}"):
            return directory_placing.settle(tree, part)

    # --- reading back

    def check(
        self,
        part: Part,
        progress: Progress = no_progress,
        cancelled: Cancelled = never_cancelled,
        journal: CheckJournal | None = None,
    ) -> CheckReport:
        """See the protocol."""
        folder = object_folder(part.object_id)
        with self.session() as tree:
            report = directory_check.check_part(tree, folder, part, progress, cancelled, journal)
        return self._if_still_here(report)

    def check_root(self, head: Part) -> CheckReport:
        """See the protocol."""
        with self.session() as tree:
            report = directory_check.check_root(tree, object_folder(head.object_id), head)
        return self._if_still_here(report)

    def _if_still_here(self, report: CheckReport) -> CheckReport:
        """A finding counts only when the volume is still there, and still the same, after it was made.

        That is asked of the medium: the cache goes on answering for a disk that is gone.
        """
        if report.findings or report.absent:
            with self.session() as tree:
                try:
                    directory_check.prove_answering(tree, (IDENTITY_FILE, f"{OCFL}/{layout.ROOT_DECLARATION}"))
                except OSError as error:
                    raise Unreachable(
                        f"The storage root on {self.name!r} cannot be read any more: {os.strerror(error.errno or 0)}.",
                        remedy="Look at the volume before anything else: nothing was recorded of its copies.",
                        code="storage-root-unreadable",
                    ) from error
        return report

    def standing_head(self, object_id: str) -> int:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"looking at {object_id} on {self.name!r}"):
            return directory_placing.standing_head(tree, object_id)

    def inventory(self, part: Part) -> bytes:
        """See the protocol."""
        path = f"{object_folder(part.object_id)}/v{part.number}/{INVENTORY_FILE}"
        wrong = f"The inventory of {part.object_id} v{part.number} on {self.name!r} is not what it was."
        with self._reading(f"v{part.number}/{INVENTORY_FILE}", part.object_id) as tree:
            try:
                data = tree.read_small(path, MAX_INVENTORY_BYTES)
            except OSError as error:
                if error.errno == errno.EFBIG:
                    raise Corrupted(wrong) from error
                raise
        if directory_check.digest_of(data, part.algorithm) != part.inventory_digest:
            raise Corrupted(wrong)
        return data

    def read(self, object_id: str, content_path: str) -> Iterator[memoryview]:
        """See the protocol."""
        with self.holding(object_id) as held:
            yield from held(content_path)

    @contextmanager
    def holding(self, object_id: str) -> Iterator[Callable[[str], Iterator[memoryview]]]:
        """See the protocol."""
        folder = object_folder(object_id)
        with self.session() as tree, Nearby(tree) as nearby:

            def read(content_path: str) -> Iterator[memoryview]:
                with self._explained(content_path, object_id):
                    yield from read_chunks(*nearby.at(f"{folder}/{content_path}"))

            yield read

    def open(self, object_id: str, content_path: str) -> int:
        """See the protocol."""
        with self._reading(content_path, object_id) as tree:
            fd = tree.open_read(f"{object_folder(object_id)}/{content_path}")
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise OSError(errno.EINVAL, "not a regular file", content_path)
            return fd

    def sizes(self, object_id: str, content_paths: Iterable[str]) -> list[int]:
        """See the protocol."""
        folder, found = object_folder(object_id), []
        with self.session() as tree:
            for path in content_paths:
                with self._explained(path, object_id):
                    found.append(tree.size(f"{folder}/{path}"))
        return found

    @contextmanager
    def _reading(self, path: str, object_id: str) -> Iterator[Tree]:
        with self.session() as tree, self._explained(path, object_id):
            yield tree

    @contextmanager
    def _explained(self, path: str, object_id: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in NO_FILE:
                raise NotFound(
                    f"{path} of {object_id} is not on {self.name!r}.",
                    remedy="Verify the package; what is missing there will be repaired from another copy.",
                ) from error
            raise describe_os_error(error, f"reading {path} of {object_id} on {self.name!r}") from error

    # --- evidence and notes

    def evidence(self) -> list[KeptEvidence]:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"listing the evidence on {self.name!r}"):
            places = [f"{EVIDENCE}/{entry.name}" for entry in tree.entries(EVIDENCE)]
            return [KeptEvidence(place, self._about(tree, place)) for place in places if self._holds(tree, place)]

    @staticmethod
    def _holds(tree: Tree, place: str) -> bool:
        """Whether anything was set aside there: a kill can come before that, and then only the note is there."""
        kept = f"{place}/{KEPT}"
        return bool(tree.entries(kept)) if (kind := tree.kind(kept)) == "folder" else kind != ""

    @staticmethod
    def _about(tree: Tree, place: str) -> dict[str, Json]:
        try:
            about = json.loads(tree.read_small(f"{place}/{ABOUT}", SMALL_LIMIT))
        except (ValueError, RecursionError):
            return {}
        except OSError as error:
            if error.errno in NO_FILE or error.errno == errno.EFBIG:
                return {}
            raise
        return about if isinstance(about, dict) else {}

    @staticmethod
    def _refuse_no_evidence(path: str) -> None:
        folder, _, label = path.partition("/")
        if folder != EVIDENCE or not label or "/" in label or label in (".", ".."):
            raise Refused(f"{path!r} is not a place of evidence.", code="not-evidence")

    def check_evidence(self, path: str, part: Part) -> CheckReport:
        """See the protocol."""
        self._refuse_no_evidence(path)
        with self.session() as tree:
            report = directory_check.check_part(tree, f"{path}/{KEPT}", part)
        return self._if_still_here(report)

    def release_evidence(self, path: str) -> None:
        """See the protocol."""
        self._refuse_no_evidence(path)
        with self.session() as tree, tree.explained(f"releasing {path} on {self.name!r}"):
            tree.remove(path)
            tree.sync_folder(EVIDENCE)

    def write_note(self, path: str, data: bytes | Iterable[bytes]) -> None:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"writing {NODE}/{path} on {self.name!r}"):
            place, fresh = f"{NODE}/{path}", f"{STAGING}/note-{os.urandom(6).hex()}"
            tree.make_folders_durably(place.rpartition("/")[0])
            try:
                tree.write_new(fresh, data)
                tree.sync_file(fresh)
                tree.rename_durably(fresh, place)
            except BaseException:
                with contextlib.suppress(OSError):
                    tree.remove(fresh)
                raise

    def notes(self, folder: str) -> list[str]:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"listing {NODE}/{folder} on {self.name!r}"):
            if tree.kind(f"{NODE}/{folder}") != "folder":
                return []
            return [entry.name for entry in tree.entries(f"{NODE}/{folder}") if entry.kind == "file"]

    def read_note(self, path: str) -> Iterator[bytes]:
        """See the protocol."""
        with self.session() as tree:
            try:
                for chunk in read_chunks(tree, f"{NODE}/{path}"):
                    yield bytes(chunk)
            except OSError as error:
                if error.errno in NO_FILE:
                    raise NotFound(f"There is no {NODE}/{path} on {self.name!r}.") from error
                raise describe_os_error(error, f"reading {NODE}/{path} on {self.name!r}") from error

    def remove_note(self, path: str) -> None:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"removing {NODE}/{path} on {self.name!r}"):
            tree.remove(f"{NODE}/{path}")
