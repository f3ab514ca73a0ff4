"""Putting sealed parts in their place in a directory volume, setting damaged ones aside, and clearing up after a kill.

All of it is renames, each made durable before the next. A kill between two of them leaves the object as it was, or as
it will be, or with a new ``vN/`` that its newest inventory does not name yet, which :func:`settle` takes away again.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping

from vault.errors import Conflict, Invalid
from vault.formats.ocfl import layout
from vault.formats.ocfl.inventory import INVENTORY_FILE, MAX_INVENTORY_BYTES, Inventory, sidecar_name
from vault.formats.ocfl.reading import parse_inventory
from vault.model import DigestAlgorithm, Json
from vault.volumes.base import KeptEvidence, Part
from vault.volumes.directory_check import NO_FILE, SMALL_LIMIT, belongs_in_root, digest_of, sidecar_text, small_digest
from vault.volumes.directory_staging import OCFL, STAGING, root_files
from vault.volumes.tree import Tree

EVIDENCE = "evidence"
ABOUT = "about.json"
KEPT = "object"
"""The folder beside a piece of evidence's ABOUT that holds what was set aside, named as it was in the object."""

_CANNOT_SWAP = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def object_folder(object_id: str) -> str:
    """Where the object is, from the volume's root."""
    return f"{OCFL}/{layout.object_path(object_id)}"


def put(tree: Tree, staged: str, part: Part, *, head: bool, volume: str) -> None:
    """See :meth:`vault.volumes.base.Volume.put`. ``staged`` is the staging's folder; what remains in it may go."""
    target = object_folder(part.object_id)
    kind = tree.kind(target)
    if not kind:
        if part.number != 1:
            raise _no_earlier_version(part, volume)
        _place_whole(tree, staged, target)
        return
    if kind == "folder" and _has(tree, part):
        if not head or _settled_as_newest(tree, part):
            _make_durable(tree, target)
            return
    else:
        _place_version(tree, staged, part, kind, volume)
    if head:
        for name in root_files(part.algorithm):
            tree.rename(f"{staged}/{name}", f"{target}/{name}")
        tree.sync_folder(target)


def _place_version(tree: Tree, staged: str, part: Part, kind: str, volume: str) -> None:
    target = object_folder(part.object_id)
    version = f"{target}/v{part.number}"
    if kind != "folder" or tree.exists(version):
        _refuse_other_object(tree, target, part, volume)
        raise Conflict(
            f"On {volume!r} something else stands where {part.object_id} v{part.number} should be put.",
            remedy="Verify the package; if it is damaged there, it will be repaired and the stranger kept.",
            code="occupied",
        )
    if part.number > 1 and not tree.exists(f"{target}/v{part.number - 1}"):
        raise _no_earlier_version(part, volume)
    tree.rename_durably(f"{staged}/v{part.number}", version)


def _no_earlier_version(part: Part, volume: str) -> Conflict:
    return Conflict(
        f"{part.object_id} v{part.number} cannot be put on {volume!r}: its earlier versions are not there.",
        remedy="They come first; where one of them is missing, it will be repaired.",
        code="earlier-version-missing",
    )


def _refuse_other_object(tree: Tree, target: str, part: Part, volume: str) -> None:
    """Where case is ignored, two ids can meet in one folder (see :mod:`vault.formats.ocfl.layout`)."""
    inventory = _root_inventory(tree, target)
    if inventory is not None and inventory.id != part.object_id:
        raise Conflict(
            f"On {volume!r} the object {inventory.id} stands where {part.object_id} should be put.",
            remedy="Their names differ by case only, which that file system ignores. Use another identifier.",
            code="other-object",
        )


_ATTEMPTS = 5


def _place_whole(tree: Tree, staged: str, target: str) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        tree.make_folders_durably(target.rpartition("/")[0])
        try:
            tree.rename_durably(staged, target)
        except FileNotFoundError:
            # Somebody who settles another object removed the folders above, which were empty, just between the two.
            if attempt == _ATTEMPTS or not tree.exists(staged):
                raise
        else:
            return


def _prune(tree: Tree, target: str) -> None:
    """Remove the folders above an object that is not there, as far as they are empty: OCFL knows no such (E073)."""
    folder = target.rpartition("/")[0]
    while folder != OCFL:
        try:
            with tree.parent(folder) as (above, name):
                os.rmdir(name, dir_fd=above)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.ELOOP):
                return
            raise
        folder = folder.rpartition("/")[0]


def replace(
    tree: Tree, staged: str, part: Part, *, head: bool, label: str, about: Mapping[str, Json]
) -> KeptEvidence | None:
    """See :meth:`vault.volumes.base.Volume.replace`."""
    if not label or "/" in label or "\0" in label or label in (".", ".."):
        raise Invalid(f"{label!r} cannot name a piece of evidence.", code="bad-label")
    place, target = f"{EVIDENCE}/{label}", object_folder(part.object_id)
    kind = tree.kind(target)
    if not kind:
        _place_whole(tree, staged, target)
        return None
    note = json.dumps(dict(about), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    tree.make_folders(f"{place}/{KEPT}" if kind == "folder" else place)
    tree.write_new(f"{place}/{ABOUT}", note.encode("utf-8", "backslashreplace"))
    tree.sync_below(place)
    tree.sync_folder(EVIDENCE)
    if kind != "folder":
        # A link or a file in the object's stead: it is set aside as it is.
        kept = [_swap(tree, staged, target, f"{place}/{KEPT}")]
    else:
        names = [f"v{part.number}", *(root_files(part.algorithm) if head else ())]
        kept = [_swap(tree, f"{staged}/{name}", f"{target}/{name}", f"{place}/{KEPT}/{name}") for name in names]
        for entry in tree.entries(target) if head else ():
            if not belongs_in_root(entry, part):
                tree.rename_durably(f"{target}/{entry.name}", f"{place}/{KEPT}/{entry.name}")
                kept.append(True)
        _thin(tree, f"{place}/{KEPT}", target, f"v{part.number}")
    if not any(kept):
        tree.remove(place)
        return None
    return KeptEvidence(place, about)


def _thin(tree: Tree, kept: str, target: str, version: str) -> None:
    """Of what was set aside, let the second names go of files that the new part took over: they are no evidence.

    All folders stay: one that is empty may be the damage.
    """
    folders = [version] if tree.kind(f"{kept}/{version}") == "folder" else []
    for folder in folders:
        for entry in tree.entries(f"{kept}/{folder}"):
            path = f"{folder}/{entry.name}"
            if entry.kind == "folder":
                folders.append(path)
            elif tree.is_same_file(f"{kept}/{path}", f"{target}/{path}"):
                tree.remove(f"{kept}/{path}")


def _swap(tree: Tree, new: str, old: str, kept: str) -> bool:
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
        if error.errno not in _CANNOT_SWAP:
            raise
        # NFS and SMB cannot swap. The damaged one steps aside first: a kill here leaves the copy missing, not
        # damaged, and the repair is derived again.
        tree.rename_durably(kept, new)
        tree.rename_durably(old, kept)
        tree.rename_durably(new, old)
        return True
    for path in (old, kept):
        tree.sync_folder(path.rpartition("/")[0])
    return True


def settle(tree: Tree, part: Part) -> bool:
    """See :meth:`vault.volumes.base.Volume.settle`."""
    if not _has(tree, part):
        # Nothing of it is there; whatever else may stand in its place is not ours to remove.
        if not tree.exists(object_folder(part.object_id)):
            _prune(tree, object_folder(part.object_id))
        return False
    if _settled_as_newest(tree, part):
        _make_durable(tree, object_folder(part.object_id))
        return True
    if part.number > 1:
        undone = f"{STAGING}/undone-{os.urandom(6).hex()}"
        tree.rename_durably(f"{object_folder(part.object_id)}/v{part.number}", undone)
        tree.remove(undone)
    return False


def _make_durable(tree: Tree, target: str) -> None:
    """What was renamed before a kill may be known to the cache alone: make every name above the part durable now.

    Its files were synced before the first rename.
    """
    folder = target
    while folder:
        tree.sync_folder(folder)
        folder = folder.rpartition("/")[0]
    tree.sync_folder()


def _settled_as_newest(tree: Tree, part: Part) -> bool:
    """Whether the object's newest inventory is this part's, whose sidecar is then put right, or one after it.

    The newest inventory is renamed last but one, so a part that stands in it is in place.
    """
    if _digest_at(tree, f"{object_folder(part.object_id)}/{INVENTORY_FILE}", part) == part.inventory_digest:
        _settle_sidecar(tree, part)
        return True
    return _root_head(tree, part) >= part.number


def _has(tree: Tree, part: Part) -> bool:
    path = f"{object_folder(part.object_id)}/v{part.number}/{INVENTORY_FILE}"
    return _digest_at(tree, path, part) == part.inventory_digest


def _digest_at(tree: Tree, path: str, part: Part) -> str:
    return small_digest(tree, path, part.algorithm, MAX_INVENTORY_BYTES)


def _root_inventory(tree: Tree, target: str) -> Inventory | None:
    try:
        return parse_inventory(tree.read_small(f"{target}/{INVENTORY_FILE}", MAX_INVENTORY_BYTES))
    except Invalid:
        return None
    except OSError as error:
        if error.errno in NO_FILE or error.errno == errno.EFBIG:
            return None
        raise


def standing_head(tree: Tree, object_id: str) -> int:
    """See :meth:`vault.volumes.base.Volume.standing_head`."""
    target = object_folder(object_id)
    try:
        data = tree.read_small(f"{target}/{INVENTORY_FILE}", MAX_INVENTORY_BYTES)
        inventory = parse_inventory(data)
        algorithm = DigestAlgorithm(inventory.digest_algorithm)
        sidecar = tree.read_small(f"{target}/{sidecar_name(str(algorithm))}", SMALL_LIMIT)
    except (Invalid, ValueError):
        return 0
    except OSError as error:
        if error.errno in NO_FILE or error.errno == errno.EFBIG:
            return 0
        raise
    if inventory.id != object_id or sidecar != sidecar_text(digest_of(data, algorithm)):
        return 0
    folders = {entry.name for entry in tree.entries(target) if entry.kind == "folder"}
    return inventory.head_number if set(inventory.versions) <= folders else 0


def _root_head(tree: Tree, part: Part) -> int:
    """The number of the newest version by the object's root inventory; 0 where that cannot be told."""
    inventory = _root_inventory(tree, object_folder(part.object_id))
    return inventory.head_number if inventory is not None and inventory.id == part.object_id else 0


def _settle_sidecar(tree: Tree, part: Part) -> None:
    """A kill between the two last renames leaves the new inventory with the old sidecar: write the right one."""
    sidecar = f"{object_folder(part.object_id)}/{sidecar_name(str(part.algorithm))}"
    right = sidecar_text(part.inventory_digest)
    if small_digest(tree, sidecar, part.algorithm, SMALL_LIMIT) == digest_of(right, part.algorithm):
        return
    fresh = f"{STAGING}/sidecar-{os.urandom(6).hex()}"
    tree.write_new(fresh, right, 0o444)
    tree.sync_file(fresh)
    tree.rename_durably(fresh, sidecar)
