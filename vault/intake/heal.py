"""A package that is damaged everywhere, and whose depositor sends the same bytes again: they mend the copies.

What was sent lies unpacked in a staging. To a repair it is one more source of files, by their digests; which files a
version must have, the inventories that are left say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import structlog

from vault.catalog import copies, packages
from vault.custody import repair
from vault.custody.context import Custodian, part_of
from vault.custody.replicate import best_sources
from vault.custody.transfer import find_inventory
from vault.errors import Corrupted, NotFound, Unreachable
from vault.formats.ocfl.inventory import Inventory
from vault.formats.ocfl.reading import parse_inventory
from vault.intake.unpack import StoredFile
from vault.model import Condition, CopyState, Version
from vault.volumes.base import Part, Probe, ReadContent, Staging
from vault.volumes.medium import never_cancelled, no_progress

log = structlog.get_logger(__name__)

_CHUNK = 1024 * 1024
_BELIEVED = (CopyState.GOOD, CopyState.SUSPECT, CopyState.WRITTEN)


def is_broken(custodian: Custodian, version: Version) -> bool:
    """Whether some copy of the version is damaged or missing, and none is left that may be right."""
    with custodian.catalogue.read() as tx:
        states = [copy.state for copy in copies.of_version(tx, version.id)]
    return any(state in repair.BROKEN for state in states) and not any(state in _BELIEVED for state in states)


def any_broken(custodian: Custodian, version: Version) -> bool:
    """Whether that is so of this version or one before it."""
    with custodian.catalogue.read() as tx:
        earlier = [v for v in packages.versions_of(tx, version.package_id) if v.number <= version.number]
    return any(is_broken(custodian, each) for each in earlier)


def heal(custodian: Custodian, version: Version, files: Mapping[str, StoredFile], staging: Staging) -> None:
    """Repair the copies of ``version``, and of those before it, of which none is good, from what was sent again.

    Raises Unreachable (``not-healed``) when a version that was broken still is.
    """
    with custodian.catalogue.read() as tx:
        earlier = [v for v in packages.versions_of(tx, version.package_id) if v.number <= version.number]
    by_digest = {file.digest: file.content_path for file in files.values()}
    for each in earlier:
        if is_broken(custodian, each):
            _heal_one(custodian, each, by_digest, staging)
    if is_broken(custodian, version):
        raise Unreachable(
            f"{version.identifier} v{version.number} is damaged on every volume, and none of them can be written now.",
            remedy="Look at `vaultctl volumes` on the archive server; then send the package again.",
            code="not-healed",
        )


def _heal_one(custodian: Custodian, version: Version, by_digest: Mapping[str, str], staging: Staging) -> None:
    try:
        source = _Sent(staging, by_digest, _inventory(custodian, version))
        healed = repair.heal(repair.Hands(custodian, no_progress, never_cancelled), version, source)
    except (repair.Lost, Corrupted) as error:
        raise Unreachable(
            f"{version.identifier} v{version.number} is damaged on every volume, and what was sent does not mend it:"
            f" {error.message}",
            remedy="Bring every volume and tape that holds a copy on-line; vaultctl events has what is lost.",
            code="not-healed",
        ) from error
    log.info("package-healed", identifier=version.identifier, version=version.number, volumes=healed)


def _inventory(custodian: Custodian, version: Version) -> Inventory:
    with custodian.catalogue.read() as tx:
        of_version = copies.of_version(tx, version.id)
    condition = {copy.volume: Condition.ONLINE for copy in of_version}
    return parse_inventory(find_inventory(part_of(version), best_sources(custodian, of_version, condition), {}))


class _Sent:
    """What was sent, as a source of a version's files (:class:`vault.volumes.base.Source`)."""

    name = "deposit"

    def __init__(self, staging: Staging, by_digest: Mapping[str, str], inventory: Inventory) -> None:
        self._staging = staging
        self._by_digest = by_digest
        self._digests = dict(inventory.content())

    def probe(self) -> Probe:
        """It is there."""
        return Probe(Condition.ONLINE)

    def inventory(self, part: Part) -> bytes:
        """A deposit has none."""
        raise NotFound(f"The deposit has no inventory of {part.object_id}.")

    @contextmanager
    def holding(self, object_id: str) -> Iterator[ReadContent]:
        """See the protocol."""
        yield partial(self.read, object_id)

    def read(self, object_id: str, content_path: str) -> Iterator[memoryview]:
        """The file that was sent with the digest of this one."""
        sent = self._by_digest.get(self._digests.get(content_path, ""))
        if sent is None:
            raise NotFound(f"{content_path} of {object_id} was not sent.")
        with self._staging.open(sent) as file:
            while chunk := file.read(_CHUNK):
                yield memoryview(chunk)
