"""Building inventories: the first version of an object, and the next one on a version that exists.

Content that an earlier version already holds is not stored again (OCFL 1.1 section 3.4, de-duplication): the returned
inventory lists under the new version's folder exactly the files to keep there
(:meth:`~.inventory.Inventory.content_of_version_part`); other staged files, and folders that become empty, are removed
before the version is moved into place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from vault.errors import Fault, Invalid
from vault.formats.ocfl import digests
from vault.formats.ocfl.content_paths import is_text, split_logical_path
from vault.formats.ocfl.inventory import (
    INVENTORY_TYPE,
    Inventory,
    User,
    Version,
    rfc3339,
)

Fixity = Mapping[str, Mapping[str, Iterable[str]]]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_MAX_FAULTS = 1000


def first_version(
    *,
    object_id: str,
    state: Mapping[str, str],
    content: Mapping[str, str],
    created: datetime,
    message: str,
    user: User,
    digest_algorithm: str = "sha512",
    fixity: Fixity | None = None,
) -> Inventory:
    """Return the inventory of a new object with one version.

    Args:
        object_id: a URI, see :func:`~.object_ids.object_id`.
        state: logical path -> digest, of every file of the version.
        content: digest -> content path (``v1/content/...``), of every file that was written.
        created: with a time zone.
        message: why the version was made.
        user: who made it, with an address that is a URI.
        digest_algorithm: ``sha512`` or ``sha256``.
        fixity: further algorithm -> digest -> content paths.

    Raises:
        Invalid: something of this OCFL does not allow, or does not agree; ``faults`` carry OCFL codes.
    """
    empty = Inventory(
        id=object_id, type=INVENTORY_TYPE, digest_algorithm=digest_algorithm, head="v0", manifest={}, versions={}
    )
    return _build(
        empty, "v1", state=state, content=content, created=created, message=message, user=user, fixity=fixity or {}
    )


def next_version(
    previous: Inventory,
    *,
    state: Mapping[str, str],
    content: Mapping[str, str],
    created: datetime,
    message: str,
    user: User,
    fixity: Fixity | None = None,
) -> Inventory:
    """Return the inventory of ``previous`` with one version more.

    ``state`` lists all files of the new version: what is not in it is deleted in that version; a file unchanged or
    renamed has a digest that is already known and takes no room. ``content`` may offer files whose digest is known:
    they are left out of the manifest. Algorithm, content directory, form of version numbers and specification stay
    those of ``previous``. The other arguments are those of :func:`first_version`; fixity of before is kept.

    Raises:
        Invalid: something of this OCFL does not allow, or does not agree; ``faults`` carry OCFL codes.
    """
    number = previous.head_number + 1
    name = f"v{number}"
    if previous.head.startswith("v0"):
        name = f"v{number:0{len(previous.head) - 1}d}"
        if not name.startswith("v0"):
            message = f"The object pads its version numbers, and {previous.head} is the last it can have."
            raise Invalid(message, faults=[Fault("E011", message)])
    return _build(
        previous, name, state=state, content=content, created=created, message=message, user=user, fixity=fixity or {}
    )


def _build(
    previous: Inventory,
    name: str,
    *,
    state: Mapping[str, str],
    content: Mapping[str, str],
    created: datetime,
    message: str,
    user: User,
    fixity: Fixity,
) -> Inventory:
    faults: list[Fault] = []
    if previous.digest_algorithm not in digests.CONTENT_ALGORITHMS:
        faults.append(Fault("E025", f"The digest algorithm {previous.digest_algorithm!r} cannot name content."))
    faults += _check_texts(previous.id, message, user)
    form = previous.digest_algorithm
    faults += [
        Fault("E050", f"{digest[:200]!r} is not a digest of {form}.")
        for digest in {*state.values(), *content}
        if not digests.well_formed(form, digest)
    ][:_MAX_FAULTS]
    faults += _check_logical_paths(state)

    written_as = {digest.lower(): digest for digest in previous.manifest}
    used = {digest.lower() for digest in state.values()}
    fresh = {digest.lower(): path for digest, path in content.items() if digest.lower() not in written_as}
    faults += _check_content_paths(content.values(), f"{name}/{previous.content_name}/")
    faults += [
        Fault("E107", "The file is not part of the version.", path)
        for digest, path in content.items()
        if digest.lower() not in used
    ][:_MAX_FAULTS]
    faults += [
        Fault("E050", "The file's content is neither new nor in an earlier version.", path)
        for path, digest in state.items()
        if digest.lower() not in fresh and digest.lower() not in written_as
    ][:_MAX_FAULTS]
    if faults:
        raise _refused(name, faults)

    manifest = {**previous.manifest, **{digest: (path,) for digest, path in fresh.items()}}
    grouped: dict[str, list[str]] = {}
    for path, digest in state.items():
        lower = digest.lower()
        grouped.setdefault(written_as.get(lower, lower), []).append(path)
    version = Version(
        rfc3339(created), message, user, {digest: tuple(sorted(paths)) for digest, paths in grouped.items()}
    )
    return Inventory(
        id=previous.id,
        type=previous.type,
        digest_algorithm=previous.digest_algorithm,
        head=name,
        manifest=manifest,
        versions={**previous.versions, name: version},
        fixity=_merge_fixity(name, previous, fixity, manifest, set(content.values())),
        content_directory=previous.content_directory,
    )


def _refused(name: str, faults: list[Fault]) -> Invalid:
    first = faults[0]
    return Invalid(f"The version {name} cannot be built: {first.message} ({first.code})", faults=faults)


def _check_texts(object_id: str, message: str, user: User) -> list[Fault]:
    faults = []
    if not _URI.fullmatch(object_id) or not is_text(object_id):
        faults.append(Fault("E037", f"The object id {object_id[:200]!r} is not a URI."))
    if not is_text(message):
        faults.append(Fault("E094", "The message is not Unicode text."))
    if not user.name or not is_text(user.name):
        faults.append(Fault("E054", "The user's name is empty, or not Unicode text."))
    if user.address is None or not _URI.fullmatch(user.address) or not is_text(user.address):
        faults.append(Fault("E054", "The user's address is not a URI, such as mailto:name@example.org."))
    return faults


def _check_logical_paths(state: Mapping[str, str]) -> list[Fault]:
    faults: list[Fault] = []
    for path in state:
        try:
            split_logical_path(path)
        except Invalid as error:
            faults += error.faults[: max(0, _MAX_FAULTS - len(faults))]
    return faults + _conflicts(state, "E095")


def _check_content_paths(paths: Iterable[str], start: str) -> list[Fault]:
    listed = list(paths)
    faults = [
        Fault("E042", f"The content path is not under {start}.", path)
        for path in listed
        if not path.startswith(start)
        or not is_text(path)
        or "\0" in path
        or not {"", ".", ".."}.isdisjoint(path.split("/"))
    ][:_MAX_FAULTS]
    return faults + _conflicts(listed, "E101")


def _conflicts(paths: Iterable[str], code: str) -> list[Fault]:
    faults: list[Fault] = []
    previous = ""
    # "/" sorts before all else as NUL: what lies in a folder follows it at once
    for path in sorted(path.replace("/", "\0") for path in paths):
        if path == previous or (previous and path.startswith(previous + "\0")):
            faults.append(Fault(code, "The path occurs twice, or as a file and as a folder.", path.replace("\0", "/")))
        previous = path
    return faults[:_MAX_FAULTS]


def _merge_fixity(
    name: str, previous: Inventory, fixity: Fixity, manifest: Mapping[str, tuple[str, ...]], offered: set[str]
) -> dict[str, Mapping[str, tuple[str, ...]]]:
    """Return the fixity of before and the new one, without the files that were not stored again."""
    stored = {path for paths in manifest.values() for path in paths}
    merged: dict[str, Mapping[str, tuple[str, ...]]] = dict(previous.fixity)
    faults: list[Fault] = []
    for algorithm, given in fixity.items():
        if not digests.is_known(algorithm):
            faults.append(Fault("E056", f"{algorithm!r} is not a fixity algorithm of OCFL."))
            continue
        block = dict(merged.get(algorithm, {}))
        written_as = {digest.lower(): digest for digest in block}
        for digest, listed in given.items():
            if not digests.well_formed(algorithm, digest):
                faults.append(Fault("E057", f"{digest[:200]!r} is not a digest of {algorithm}."))
            paths = set(listed)
            faults += [
                Fault("E057", "The fixity block lists a file that is not stored.", path)
                for path in sorted(paths - stored - offered)
            ]
            key = written_as.get(digest.lower(), digest.lower())
            kept = {*(paths & stored), *block.get(key, ())}
            if kept:
                block[key] = tuple(sorted(kept))
        if block:
            merged[algorithm] = block
    if faults:
        raise _refused(name, faults[:_MAX_FAULTS])
    return merged
