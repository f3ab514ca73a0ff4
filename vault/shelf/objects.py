"""OCFL objects read where they lie on a volume, whoever made them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from vault.errors import Interrupted, Invalid, NotFound
from vault.formats.ocfl import FolderTree, ObjectReport, validate_object
from vault.volumes.base import Cancelled
from vault.volumes.directory import EVIDENCE, NODE, STAGING, DirectoryVolume

UPLOADS = "uploads"
OURS = (STAGING, EVIDENCE, NODE, UPLOADS)
"""Folders of a volume that are the node's own, and in which no foreign object is looked for."""


class MediumTree(FolderTree):
    """A folder whose files are read from the medium as far as the system lets: their pages are dropped first."""

    def open(self, path: str) -> BinaryIO:
        """See :class:`~vault.formats.ocfl.tree.Tree`."""
        file = super().open(path)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file


def tree_of(volume: DirectoryVolume) -> MediumTree:
    """The whole volume, once it is known to be the right one. Raises Unreachable, WrongVolume."""
    with volume.session():
        return MediumTree(volume.path)


def clean_path(path: str) -> str:
    """A path of an object relative to a volume's root in its one form.

    Raises Invalid (``bad-path``) for one that leads out of the volume or into the node's own folders.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in path or parts[0] in OURS:
        raise Invalid(
            f"{path[:200]!r} is no place of an object on the volume.",
            remedy="Give the object's folder relative to the volume's root, as vaultctl volumes scan names it.",
            code="bad-path",
        )
    return "/".join(parts)


def validate(
    tree: FolderTree, path: str, *, content: bool, read: Callable[[int], None], cancelled: Cancelled
) -> ObjectReport:
    """Validate the object at ``path``; ``content``: every byte of it. Raises Unreachable, Interrupted."""

    def progress(_path: str, count: int) -> None:
        read(count)
        if cancelled():
            raise Interrupted("The reading of a foreign object was stopped.")

    return validate_object(tree, path, check_digests=content, on_progress=progress)


def is_there(tree: FolderTree, path: str) -> bool:
    """Whether a folder stands there."""
    try:
        tree.list_dir(path)
    except NotFound:
        return False
    return True
