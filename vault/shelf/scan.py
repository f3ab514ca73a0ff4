"""Comparing what stands on a volume with what the catalogue says, both ways. It only looks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from vault.catalog import copies, evidence, ingests, packages, uploads
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody.context import STORED_STATES, Custodian
from vault.errors import Interrupted, NotFound, VaultError
from vault.formats.ocfl import FolderTree, Kind, find_objects, identifier_of, object_id, object_path
from vault.formats.ocfl.findings import Findings
from vault.ledger import events
from vault.model import CopyState, EventType, IngestState, Version, Volume
from vault.recovery.directory import DirectorySource
from vault.recovery.entering import Standing, look_up
from vault.recovery.sources import FoundPart, Trouble
from vault.shelf.objects import OURS, UPLOADS, is_there, tree_of, validate
from vault.shelf.strangers import LISTED_FAULTS, Scan, Stranger, StrangerKind
from vault.volumes.base import Cancelled
from vault.volumes.directory import OCFL, DirectoryVolume
from vault.volumes.identity import IDENTITY_FILE

_BATCH = 500
_MAY_STAND = {"lost+found", ".snapshot", ".snapshots", "@eaDir", "#recycle", ".zfs"}
_THERE = [state for state in STORED_STATES if state is not CopyState.MISSING]
_EMPTY = "E073"
"""A folder of the hierarchy with nothing in it: what an object that is gone leaves, or one that comes makes first."""

_OF_TROUBLE = {"foreign-object": StrangerKind.FOREIGN, "misplaced-object": StrangerKind.FOREIGN}


class Scanner:
    """One scan of one volume. Raises Unreachable when the volume leaves, Interrupted when it is stopped."""

    def __init__(
        self, custodian: Custodian, volume: DirectoryVolume, row: Volume, scan: Scan, cancelled: Cancelled
    ) -> None:
        self._custodian = custodian
        self._volume = volume
        self._row = row
        self._scan = scan
        self._cancelled = cancelled
        self._adopted = self._adoptions()

    def run(self) -> Iterator[Stranger]:
        """Everything that is on one side only."""
        yield from self._in_storage_root()
        with tree_of(self._volume) as tree:
            yield from self._beside(tree)
            yield from self._missing(tree)
        yield from self._leftovers()
        # What was not found on a volume that is gone says nothing.
        with self._volume.session():
            pass

    def _adoptions(self) -> dict[str, str]:
        """Where on this volume objects lie that were adopted, with the packages that they became."""
        found: dict[str, str] = {}
        after, more = 0, True
        while more:
            with self._custodian.catalogue.read() as tx:
                page = events(tx, after=after, limit=_BATCH, type=EventType.OBJECT_ADOPTED)
            found |= {str(e.detail.get("path")): e.identifier for e in page if e.volume == self._volume.name}
            after, more = (page[-1].seq, True) if page else (after, False)
        return found

    def _stop_if_asked(self) -> None:
        if self._cancelled():
            raise Interrupted("The scan was stopped.")

    def _read(self, count: int) -> None:
        self._scan.read += count

    # --- the storage root

    def _in_storage_root(self) -> Iterator[Stranger]:
        source = DirectorySource(self._volume)
        findings = Findings()
        with source.root() as tree:
            for place in find_objects(tree, "", findings):
                self._stop_if_asked()
                self._scan.objects += 1
                yield from self._object(tree, place, source.parts_at(tree, place))
        for fault in findings.errors:
            if fault.code == _EMPTY:
                continue
            yield Stranger(StrangerKind.STRAY, f"{OCFL}/{fault.path}", message=fault.message)

    def _object(self, tree: FolderTree, place: str, found: Iterator[FoundPart | Trouble]) -> Iterator[Stranger]:
        """What an object of the storage root has that the catalogue has not; of the same kind in one find."""
        seen: list[tuple[StrangerKind, int, str, str]] = []
        for each in found:
            if isinstance(each, Trouble):
                kind = _OF_TROUBLE.get(each.code, StrangerKind.BROKEN)
                if kind is StrangerKind.FOREIGN:
                    yield self._foreign(tree, place, f"{OCFL}/{place}")
                    return
                seen.append((kind, each.number, each.object_id, each.message))
            elif (kind_of := self._kind_of(each)) is not None:
                seen.append((kind_of, each.part.number, each.part.object_id, ""))
        if any(find[0] is StrangerKind.BROKEN for find in seen):
            # One find for one object; what else is strange of it comes after.
            seen = [(StrangerKind.BROKEN, *find[1:]) for find in seen]
            seen.sort(key=lambda find: not find[3])
        seen.sort(key=lambda find: find[0])
        for kind, group in groupby(seen, key=lambda find: find[0]):
            finds = list(group)
            name = next((find[2] for find in finds if find[2]), "")
            yield Stranger(
                kind, f"{OCFL}/{place}", name, _identifier(name), tuple(sorted({n for _, n, _, _ in finds if n})),
                message=finds[0][3],
            )  # fmt: skip

    def _kind_of(self, found: FoundPart) -> StrangerKind | None:
        with self._custodian.catalogue.read() as tx:
            seen = look_up(tx, found, self._row)
            if seen.standing is Standing.KNOWN:
                return None
            if seen.copy is not None and seen.copy.state is CopyState.RETIRED:
                return StrangerKind.RETIRED
            # What is being put in place just now is no stranger.
            if _in_motion(tx, _identifier(found.part.object_id), self._row):
                return None
        return StrangerKind.DIFFERENT if seen.standing is Standing.DIFFERENT else StrangerKind.UNKNOWN

    # --- beside it

    def _beside(self, tree: FolderTree) -> Iterator[Stranger]:
        """Objects in folders of the volume that are not the node's; what is none of theirs."""
        for entry in sorted(tree.list_dir(""), key=lambda entry: entry.name):
            if entry.name in (OCFL, IDENTITY_FILE, *OURS) or entry.name in _MAY_STAND:
                continue
            holds = False
            if entry.kind is Kind.DIRECTORY:
                for place in _objects_below(tree, entry.name):
                    holds = True
                    self._stop_if_asked()
                    self._scan.objects += 1
                    yield self._foreign(tree, place, place)
            if not holds:
                yield Stranger(StrangerKind.STRAY, _shown(entry.name), message="It is none of the node's.")

    def _foreign(self, tree: FolderTree, place: str, path: str) -> Stranger:
        report = validate(tree, place, content=self._scan.check, read=self._read, cancelled=self._cancelled)
        numbers = range(1, report.inventory.head_number + 1) if report.sound and report.inventory else ()
        faults = tuple(f"{fault.code} {fault.path}: {fault.message}" for fault in report.errors[:LISTED_FAULTS])
        return Stranger(
            StrangerKind.FOREIGN, _shown(path), report.id or "", self._adopted.get(path, ""), tuple(numbers),
            report.sound if self._scan.check or not report.sound else None, faults,
        )  # fmt: skip

    # --- the reverse

    def _missing(self, tree: FolderTree) -> Iterator[Stranger]:
        after = 0
        while True:
            self._stop_if_asked()
            with self._custodian.catalogue.read() as tx:
                page = copies.in_states(tx, _THERE, _BATCH, self._row.id, after)
                versions = [packages.need_version(tx, copy.version_id) for copy in page]
            self._scan.copies += len(page)
            for copy, version in zip(page, versions, strict=True):
                place = f"{OCFL}/{object_path(object_id(version.identifier))}"
                if is_there(tree, f"{place}/v{version.number}"):
                    continue
                with self._custodian.catalogue.read() as tx:
                    now = copies.need(tx, copy.id)
                if now.state in _THERE:
                    yield _gone(version, place)
            if len(page) < _BATCH:
                return
            after = page[-1].id

    # --- what is left over

    def _leftovers(self) -> Iterator[Stranger]:
        name = self._volume.name
        for token in self._volume.staged():
            if token not in self._custodian.stagings:
                yield Stranger(StrangerKind.LEFTOVER, f"staging/{token}", message="Nobody works on it.")
        with self._custodian.catalogue.read() as tx:
            kept = {each.path for each in evidence.all(tx) if each.volume == name and each.released_at is None}
            open_uploads = uploads.on_volume(tx, name)
        for set_aside in self._volume.evidence():
            if set_aside.path not in kept:
                yield Stranger(StrangerKind.LEFTOVER, set_aside.path, message="The catalogue knows no such evidence.")
        for upload in self._volume.spool().names():
            if upload not in open_uploads:
                yield Stranger(
                    StrangerKind.LEFTOVER, _shown(f"{UPLOADS}/{upload}"), message="No upload is open for it."
                )


def _objects_below(tree: FolderTree, folder: str) -> Iterator[str]:
    """The folder itself, where it is an object; else those below it."""
    entries = tree.list_dir(folder)
    if any(
        e.kind is Kind.FILE and (e.name == "inventory.json" or e.name.startswith("0=ocfl_object_")) for e in entries
    ):
        yield folder
        return
    yield from find_objects(tree, folder)


def _gone(version: Version, place: str) -> Stranger:
    return Stranger(StrangerKind.MISSING, place, object_id(version.identifier), version.identifier, (version.number,))


def _in_motion(tx: Tx, identifier: str, volume: Volume) -> bool:
    package = packages.get(tx, identifier) if identifier else None
    held = copies.of_package(tx, package.id) if package is not None else []
    if any(copy.volume_id == volume.id and copy.state is CopyState.WRITING for copy in held):
        return True
    return any(
        ingest.identifier == identifier and ingest.volume == volume.name and ingest.state is IngestState.PREPARED
        for ingest in ingests.unfinished(tx)
    )


def _identifier(name: str) -> str:
    try:
        return identifier_of(name)
    except VaultError:
        return ""


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def row_of(custodian: Custodian, name: str) -> Volume:
    """The catalogue's row of a volume. Raises NotFound."""
    with custodian.catalogue.read() as tx:
        row = catalog_volumes.get(tx, name)
    if row is None:
        raise NotFound(
            f"The volume {name[:100]!r} was never seen.", remedy="Look at vaultctl volumes.", code="no-such-volume"
        )
    return row
