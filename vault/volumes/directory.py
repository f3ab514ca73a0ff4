"""A directory tree as a volume: a NAS mount or a local disk, holding an OCFL 1.1 storage root.

::

    vault-volume.json   which volume this is
    ocfl/               the storage root: one object per package, one OCFL version per package version
    staging/            parts being built; worth nothing after a crash
    evidence/           damaged bytes that were set aside
    node/               ledger checkpoints, catalogue backups
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal
from uuid import UUID

from vault.durable import describe_os_error
from vault.errors import Conflict, Corrupted, NotFound, Refused, Unreachable, VaultError, WrongVolume
from vault.formats.ocfl import layout
from vault.model import Condition, Json, MediumClass
from vault.volumes import directory_check
from vault.volumes.base import Cancelled, CheckReport, KeptEvidence, Part, Probe, Staging, VolumeIdentity
from vault.volumes.directory_staging import STAGING, DirectoryStaging, SyncHow, root_files
from vault.volumes.identity import IDENTITY_FILE, IDENTITY_LIMIT, identity_bytes, parse_identity
from vault.volumes.medium import Progress, never_cancelled, no_progress, read_chunks
from vault.volumes.mounts import is_mount_point, prefers_single_sync
from vault.volumes.tree import Tree

OCFL = "ocfl"
EVIDENCE = "evidence"
NODE = "node"
ABOUT = "about.json"
INVENTORY_LIMIT = 512 * 1024 * 1024
_MAY_STAND_IN_AN_EMPTY_PLACE = {"lost+found", ".snapshot", ".snapshots", "@eaDir", "#recycle", ".zfs"}


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
            identity = self._read_identity(tree)
            if self._uuid is not None and identity.uuid != self._uuid:
                raise WrongVolume(
                    f"At {self.path} stands the volume {identity.name!r} ({identity.uuid}), not {self.name!r}"
                    f" ({self._uuid}).",
                    remedy="Mount the right volume there, or correct the path in the configuration.",
                )
            yield tree

    @contextmanager
    def _root(self) -> Iterator[Tree]:
        try:
            if self._mount and not is_mount_point(self.path):
                raise WrongVolume(
                    f"Nothing is mounted at {self.path}, where the volume {self.name!r} should be.",
                    remedy=f"Mount it (mount {self.path}), or set mount = false if it is an ordinary folder.",
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

    def initialise(self, identity: VolumeIdentity) -> None:
        """See the protocol."""
        with self._root() as tree, tree.explained(f"initialising the volume {self.name!r} at {self.path}"):
            strangers = [e.name for e in tree.entries() if e.name not in _MAY_STAND_IN_AN_EMPTY_PLACE]
            if IDENTITY_FILE in strangers:
                raise Refused(
                    f"{self.path} is a volume already: {self._read_identity(tree).name!r}.",
                    remedy="It can be used as it is, under its own name; it is never initialised twice.",
                    code="already-initialised",
                )
            left_by_us = {OCFL, STAGING, EVIDENCE, NODE}
            if [name for name in strangers if name not in left_by_us]:
                raise Refused(
                    f"{self.path} is not empty: it holds {', '.join(strangers[:5])}"
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
            for folder in (OCFL, STAGING, EVIDENCE, NODE):
                tree.make_folders(folder)
            for path, data in layout.storage_root_files().items():
                folder, _, _ = f"{OCFL}/{path}".rpartition("/")
                tree.make_folders(folder)
                tree.remove(f"{OCFL}/{path}")
                tree.write_new(f"{OCFL}/{path}", data)
            tree.remove(f"{IDENTITY_FILE}.new")
            tree.write_new(f"{IDENTITY_FILE}.new", identity_bytes(identity))
            tree.sync_file(f"{IDENTITY_FILE}.new")
            for folder in (OCFL, STAGING, EVIDENCE, NODE):
                tree.sync_below(folder)
            tree.rename_durably(f"{IDENTITY_FILE}.new", IDENTITY_FILE)
            self._uuid = identity.uuid

    def probe(self) -> Probe:
        """See the protocol."""
        try:
            with self.session() as tree:
                identity = self._read_identity(tree)
                space = os.fstatvfs(tree.fd)
                size, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
                if space.f_flag & os.ST_RDONLY:
                    return Probe(Condition.READ_ONLY, "It is mounted read-only.", identity, size, free)
                return Probe(Condition.ONLINE, "", identity, size, free)
        except WrongVolume as error:
            return Probe(Condition.FOREIGN, str(error))
        except VaultError as error:
            return Probe(Condition.OFFLINE, str(error))
        except OSError as error:
            return Probe(Condition.OFFLINE, str(describe_os_error(error, f"looking at {self.path}")))

    # --- building and placing

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
            return [entry.name for entry in tree.entries(STAGING)]

    def _how_to_sync(self) -> SyncHow:
        if self._sync == "auto":
            return SyncHow.FILESYSTEM if prefers_single_sync(self.path) else SyncHow.FILES
        return SyncHow.FILESYSTEM if self._sync == "filesystem" else SyncHow.FILES

    def put(self, staging: Staging, part: Part, *, head: bool) -> None:
        """See the protocol."""
        with (
            self.session() as tree,
            tree.explained(f"putting {part.object_id} v{part.number} in place on {self.name!r}"),
        ):
            target = _object(part.object_id)
            if self._has(tree, part):
                self._settle_root(tree, part)
                staging.discard()
                return
            staged = f"{STAGING}/{staging.token}"
            if not tree.exists(target):
                if part.number != 1:
                    raise Conflict(
                        f"{part.object_id} v{part.number} cannot be put on {self.name!r}: its earlier versions are not"
                        " there.",
                        code="earlier-version-missing",
                    )
                self._make_parents(tree, target)
                tree.rename_durably(staged, target)
                return
            version = f"{target}/v{part.number}"
            if tree.exists(version):
                raise Conflict(
                    f"On {self.name!r} something else stands where {part.object_id} v{part.number} should be put.",
                    remedy="Verify the package; if it is damaged there, it will be repaired and the stranger kept.",
                    code="occupied",
                )
            tree.rename_durably(f"{staged}/v{part.number}", version)
            if head:
                for name in root_files(part.algorithm):
                    tree.rename(f"{staged}/{name}", f"{target}/{name}")
                tree.sync_folder(target)
        staging.discard()

    def replace(
        self, staging: Staging, part: Part, *, head: bool, label: str, about: Mapping[str, Json]
    ) -> KeptEvidence | None:
        """See the protocol."""
        place = f"{EVIDENCE}/{label}"
        with self.session() as tree, tree.explained(f"replacing {part.object_id} v{part.number} on {self.name!r}"):
            target = _object(part.object_id)
            staged = f"{STAGING}/{staging.token}"
            if not tree.exists(target):
                self._make_parents(tree, target)
                tree.rename_durably(staged, target)
                return None
            note = json.dumps(dict(about), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
            tree.make_folders(place)
            tree.write_new(f"{place}/{ABOUT}", note.encode())
            tree.sync_below(place)
            tree.sync_folder(EVIDENCE)
            version = f"v{part.number}"
            kept = [self._swap(tree, f"{staged}/{version}", f"{target}/{version}", f"{place}/{version}")]
            if head:
                kept += [
                    self._swap(tree, f"{staged}/{name}", f"{target}/{name}", f"{place}/{name}")
                    for name in root_files(part.algorithm)
                ]
                for entry in tree.entries(target):
                    if not directory_check.belongs_in_root(entry, part):
                        tree.rename_durably(f"{target}/{entry.name}", f"{place}/{entry.name}")
                        kept.append(True)
            if not any(kept):
                tree.remove(place)
        staging.discard()
        return KeptEvidence(place, about) if any(kept) else None

    def _swap(self, tree: Tree, new: str, old: str, kept: str) -> bool:
        """Put ``new`` at ``old``, and what was there, if anything was, at ``kept``; tell whether anything was.

        ``new`` is first given the place of the evidence and then exchanged with the damaged one in a single step, so
        that a kill never leaves damaged bytes in staging, where they would be thrown away.
        """
        if not tree.exists(old):
            tree.rename_durably(new, old)
            return False
        tree.rename_durably(new, kept)
        try:
            tree.exchange(kept, old)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                raise
            # NFS and SMB cannot swap. The damaged one steps aside first: a kill here leaves the copy missing, not
            # damaged, and the repair is derived again.
            aside = f"{kept}.damaged"
            tree.rename_durably(old, aside)
            tree.rename_durably(kept, old)
            tree.rename_durably(aside, kept)
            return True
        for path in (old, kept):
            tree.sync_folder(path.rpartition("/")[0])
        return True

    def settle(self, part: Part) -> bool:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"settling {part.object_id} v{part.number} on {self.name!r}"):
            target = _object(part.object_id)
            if not tree.exists(target):
                return False
            if self._has(tree, part):
                # The newest inventory is renamed last but one: a part whose inventory is the root's is in place.
                if self._digest_at(tree, f"{target}/inventory.json", part) == part.inventory_digest:
                    self._settle_root(tree, part)
                    return True
                if self._root_head(tree, part) >= part.number:
                    return True
            version = f"{target}/v{part.number}"
            if part.number > 1 and tree.exists(version):
                undone = f"{STAGING}/undone-{os.urandom(6).hex()}"
                tree.rename_durably(version, undone)
                tree.remove(undone)
            return False

    def _has(self, tree: Tree, part: Part) -> bool:
        path = f"{_object(part.object_id)}/v{part.number}/inventory.json"
        return self._digest_at(tree, path, part) == part.inventory_digest

    def _digest_at(self, tree: Tree, path: str, part: Part) -> str:
        return directory_check.small_digest(tree, path, part.algorithm, INVENTORY_LIMIT)

    def _root_head(self, tree: Tree, part: Part) -> int:
        return directory_check.root_head(tree, _object(part.object_id), INVENTORY_LIMIT, part)

    def _settle_root(self, tree: Tree, part: Part) -> None:
        """A kill between the two last renames leaves the new inventory with the old sidecar: write the right one."""
        target = _object(part.object_id)
        if self._digest_at(tree, f"{target}/inventory.json", part) != part.inventory_digest:
            return
        sidecar = f"inventory.json.{part.algorithm}"
        right = directory_check.sidecar_text(part.inventory_digest)
        try:
            if tree.read_small(f"{target}/{sidecar}", IDENTITY_LIMIT) == right:
                return
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        fresh = f"{STAGING}/sidecar-{os.urandom(6).hex()}"
        tree.write_new(fresh, right)
        tree.sync_file(fresh)
        tree.rename_durably(fresh, f"{target}/{sidecar}")

    def _make_parents(self, tree: Tree, target: str) -> None:
        for made in tree.make_folders(target.rpartition("/")[0]):
            tree.sync_folder(made.rpartition("/")[0] or ".")

    # --- reading back

    def check(
        self, part: Part, progress: Progress = no_progress, cancelled: Cancelled = never_cancelled
    ) -> CheckReport:
        """See the protocol."""
        with self.session() as tree:
            report = directory_check.check_part(tree, _object(part.object_id), part, progress, cancelled)
        return self._if_still_here(report)

    def check_root(self, head: Part) -> CheckReport:
        """See the protocol."""
        with self.session() as tree:
            report = directory_check.check_root(tree, _object(head.object_id), head)
        return self._if_still_here(report)

    def _if_still_here(self, report: CheckReport) -> CheckReport:
        """A finding counts only when the volume is still there, and still the same, after it was made."""
        if report.findings or report.absent:
            with self.session() as tree:
                try:
                    tree.read_small(f"{OCFL}/0=ocfl_1.1", IDENTITY_LIMIT)
                except OSError as error:
                    raise Unreachable(
                        f"The storage root on {self.name!r} cannot be read any more: {os.strerror(error.errno or 0)}.",
                        remedy="Look at the volume before anything else: nothing was recorded of its copies.",
                        code="storage-root-unreadable",
                    ) from error
        return report

    def inventory(self, part: Part) -> bytes:
        """See the protocol."""
        path = f"{_object(part.object_id)}/v{part.number}/inventory.json"
        with self.session() as tree:
            try:
                data = tree.read_small(path, INVENTORY_LIMIT)
            except FileNotFoundError as error:
                raise NotFound(f"The inventory of {part.object_id} v{part.number} is not on {self.name!r}.") from error
            except OSError as error:
                raise describe_os_error(error, f"reading {path} on {self.name!r}") from error
        if directory_check.digest_of(data, part.algorithm) != part.inventory_digest:
            raise Corrupted(f"The inventory of {part.object_id} v{part.number} on {self.name!r} is not what it was.")
        return data

    def read(self, object_id: str, content_path: str) -> Iterator[memoryview]:
        """See the protocol."""
        path = f"{_object(object_id)}/{content_path}"
        with self.session() as tree:
            try:
                yield from read_chunks(tree, path)
            except FileNotFoundError as error:
                raise NotFound(f"{content_path} of {object_id} is not on {self.name!r}.") from error
            except OSError as error:
                raise describe_os_error(error, f"reading {path} on {self.name!r}") from error

    def open(self, object_id: str, content_path: str) -> int:
        """See the protocol."""
        path = f"{_object(object_id)}/{content_path}"
        with self.session() as tree:
            try:
                return tree.open_read(path)
            except FileNotFoundError as error:
                raise NotFound(f"{content_path} of {object_id} is not on {self.name!r}.") from error
            except OSError as error:
                raise describe_os_error(error, f"opening {path} on {self.name!r}") from error

    # --- evidence and notes

    def evidence(self) -> list[KeptEvidence]:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"listing the evidence on {self.name!r}"):
            kept = []
            for entry in tree.entries(EVIDENCE):
                place = f"{EVIDENCE}/{entry.name}"
                try:
                    about = json.loads(tree.read_small(f"{place}/{ABOUT}", IDENTITY_LIMIT))
                except (FileNotFoundError, NotADirectoryError, ValueError):
                    about = {}
                kept.append(KeptEvidence(place, about if isinstance(about, dict) else {}))
            return kept

    def release_evidence(self, path: str) -> None:
        """See the protocol."""
        folder, _, label = path.partition("/")
        if folder != EVIDENCE or not label or "/" in label or label in (".", ".."):
            raise Refused(f"{path!r} is not a place of evidence.", code="not-evidence")
        with self.session() as tree, tree.explained(f"releasing {path} on {self.name!r}"):
            tree.remove(path)
            tree.sync_folder(EVIDENCE)

    def write_note(self, path: str, data: bytes) -> None:
        """See the protocol."""
        with self.session() as tree, tree.explained(f"writing {NODE}/{path} on {self.name!r}"):
            place = f"{NODE}/{path}"
            tree.make_folders(place.rpartition("/")[0])
            tree.remove(f"{place}.new")
            tree.write_new(f"{place}.new", data)
            tree.sync_file(f"{place}.new")
            tree.rename_durably(f"{place}.new", place)


def _object(object_id: str) -> str:
    return f"{OCFL}/{layout.object_path(object_id)}"
