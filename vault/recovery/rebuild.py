"""The catalogue made anew: the best that is left of it as a base, and on top what the media hold.

The base is the catalogue that is there, if it can be read whole, or the newest backup that one of the node's keys
sealed, whichever knows more; or nothing. Then every medium is read: versions that the base does not know are entered,
copies that it does not know too, and copies that it knows and the medium does not show are doubted, which the daemon's
own reading settles. Nothing is believed to be good that no sealed backup says was read.

It may be killed at any moment and begun again: until the last rename nothing has changed.
"""

from __future__ import annotations

import contextlib
import enum
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Final, cast

import sqlalchemy as sa

from vault.catalog import copies, export, facts, migration, overview, packages, tokens
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.catalog.faults import BUSY
from vault.clock import Clock, to_text, utcnow
from vault.config import Settings
from vault.custody import record
from vault.custody.backups import check_digest
from vault.custody.context import STORED_STATES, Custodian
from vault.custody.state import lock_state
from vault.durable import describe_os_error
from vault.errors import Conflict, Corrupted, Full, NotFound, Refused, Unreachable, VaultError
from vault.ledger import Checkpoint, append, verify
from vault.model import EventType, Json, NewEvent, Outcome, Volume, VolumeMode
from vault.recovery.described import Described, describe
from vault.recovery.entering import Standing, enter_copy, enter_version, look_up
from vault.recovery.found_backups import FoundBackup, find_backups
from vault.recovery.found_checkpoints import find_checkpoints, statement, statements
from vault.recovery.place import UNFINISHED, Place, mark, open_place
from vault.recovery.report import RebuildReport, SourceRead
from vault.recovery.sources import FoundPart, RebuildSource, Trouble
from vault.recovery.successors import not_on_successor, succeeded
from vault.signing import NodeKey
from vault.tapes import record as tape_record
from vault.volumes.base import VolumeIdentity

_BATCH: Final = 100
_NAMED: Final = 50

Progress = Callable[[str, int], None]
"""Told the name of the medium that is read, and how many parts of it have been seen."""


def _no_progress(_source: str, _parts: int) -> None:
    """For callers that do not care."""


class _Outage(Exception):
    """A medium stopped to answer. Not the program's own error: that of a catalogue which does not answer is another."""

    def __init__(self, error: VaultError) -> None:
        super().__init__(str(error))


class Base(enum.StrEnum):
    """What a rebuild begins with. BEST: the current catalogue or a backup, whichever is whole and knows more."""

    BEST = "best"
    CURRENT = "current"
    BACKUP = "backup"
    NOTHING = "nothing"


def rebuild(
    settings: Settings,
    sources: Collection[RebuildSource],
    key: NodeKey,
    *,
    base: Base = Base.BEST,
    trusted: Collection[bytes] = (),
    progress: Progress = _no_progress,
    clock: Clock = utcnow,
) -> RebuildReport:
    """Make the catalogue anew and put it in place; what stood there is moved aside.

    ``trusted`` are public keys besides the node's own whose backups are believed: that of a key that was lost. Raises
    ConfigError (``already-running``, ``catalogue-exists``), Refused (``backup-not-vouched``), Unreachable when no
    medium can be read, Full.
    """
    lock = lock_state(settings.node.state)
    try:
        place = open_place(settings.catalog.url, clock)
        try:
            return _Rebuild(settings, list(sources), key, base, {*trusted, key.public_key}, place, progress).run()
        finally:
            place.close()
    finally:
        os.close(lock)


def _until_outage(items: Iterator[FoundPart | Trouble]) -> Iterator[FoundPart | Trouble]:
    try:
        yield from items
    except Unreachable as error:
        raise _Outage(error) from error


class _Rebuild:
    def __init__(
        self,
        settings: Settings,
        sources: list[RebuildSource],
        key: NodeKey,
        base: Base,
        trusted: Collection[bytes],
        place: Place,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._key = key
        self._base = base
        self._trusted = trusted
        self._place = place
        self._progress = progress
        self._report = RebuildReport()
        self._pending: list[tuple[RebuildSource, SourceRead, FoundPart]] = []

    def run(self) -> RebuildReport:
        report = self._report
        self._sources = [source for source in self._sources if self._is_ours(source)]
        former = self._lay_base()
        if not self._sources and not report.base["seq"]:
            said = [f"{trouble.source}: {trouble.message}" for trouble in report.troubles[:_NAMED] if trouble.source]
            message = "No volume can be read, and there is neither a catalogue nor a backup to begin with."
            raise Unreachable(
                " ".join([message, *said]),
                remedy="Mount the volumes (look at vaultctl doctor), and try again.",
                code="nothing-to-rebuild-from",
            )
        after = int(str(report.base["seq"]))
        stated = statements(self._place.catalogue, self._trusted)
        trusted = {*self._trusted, *(key for one in stated for key in one.keys)}
        found, troubles = find_checkpoints(self._settings.node.state, self._sources, trusted)
        for trouble in troubles:
            report.trouble(trouble)
        signed = [one for one in found if not any(former.covers(one) for former in stated)]
        chain = verify(self._place.catalogue, [one for one in signed if one.seq <= after])
        if not chain.ok:
            report.trouble(Trouble("ledger-broken", "", chain.reason))
        lost = [one for one in signed if one.seq > after]
        if lost:
            until = max(one.seq for one in lost)
            report.lost_events = (after + 1, until)
            message = f"Events {after + 1} to {until} were signed by a checkpoint and are in no backup."
            report.trouble(Trouble("events-lost", "", message))
        with self._place.catalogue.read() as tx:
            self._tell_of_tokens(tx)
        self._scan_all()
        self._finish(after, chain.head_hash, lost, former)
        report.moved_aside = self._place.finish(self._place.catalogue.clock())
        return report

    # --- what to begin with

    def _is_ours(self, source: RebuildSource) -> bool:
        node = self._settings.node.name
        try:
            identity = source.identity()
        except VaultError as error:
            self._report.trouble(Trouble("not-read", source.name, str(error)))
            return False
        if identity.node != node or identity.name != source.name:
            message = (
                f"It is the volume {identity.name!r} of the node {identity.node!r}, not {source.name!r} of {node!r}."
            )
            self._report.trouble(Trouble("foreign-volume", source.name, message))
            return False
        return True

    def _lay_base(self) -> list[bytes]:
        """Fill the place with the base; returns the keys besides the node's own that sealed it."""
        found, troubles = find_backups(
            self._settings.node.state, self._sources, self._settings.node.name, self._trusted
        )
        for trouble in troubles:
            self._report.trouble(trouble)
        believed = [backup for backup in found if backup.believed]
        # By its time: an older one may tell of more events, of a ledger that was lost since.
        newest = believed[0].seq if believed else -1
        if self._base in (Base.BEST, Base.CURRENT) and self._lay_current(newest):
            return []
        if self._base is Base.CURRENT:
            raise Corrupted(
                "The catalogue that is there cannot be read whole.", remedy="Rebuild it with: --from best",
                code="catalogue-damaged",
            )  # fmt: skip
        if self._base is not Base.NOTHING:
            for backup in believed:
                if self._lay_backup(backup):
                    return [] if backup.public_key == self._key.public_key else [backup.public_key]
            if found and not believed:
                ids = ", ".join(sorted({backup.key_id for backup in found}))
                raise Refused(
                    f"The backups of the catalogue are sealed with a key that is not this node's ({ids}).",
                    remedy="Put the node's key back, the copy of node.key from the safe, and try again. If there is"
                    " none, take its public key from a receipt that you trust, and give it with --key; or begin without"
                    " the backups: --from nothing.",
                    code="backup-not-vouched",
                )
        self._place.clear()
        with self._place.catalogue.setup() as connection:
            migration.upgrade(connection)
            self._mark(connection)
        self._report.base = {"kind": "nothing", "seq": 0}
        return []

    def _lay_current(self, least: int) -> bool:
        """Take the catalogue that is there, if it is whole and (for BEST) knows no less than the newest backup."""
        place = self._place
        try:
            if not place.current():
                return False
            with place.catalogue.read() as tx:
                unfinished = facts.get(tx, UNFINISHED) is not None
            chain = verify(place.catalogue)
        except VaultError as error:
            if isinstance(error, Full) or error.code in (BUSY, "permission-denied"):
                # That says nothing of the catalogue, which knows more than what would be taken in its stead.
                raise
            self._report.trouble(Trouble("catalogue-damaged", "", str(error)))
            place.clear()
            return False
        if not chain.ok:
            self._report.trouble(Trouble("catalogue-damaged", "", chain.reason))
        whole = chain.ok and not unfinished
        if whole and (chain.count >= least or self._base is Base.CURRENT):
            self._report.base = {"kind": "current", "seq": chain.count}
            return True
        place.clear()
        return False

    def _lay_backup(self, backup: FoundBackup) -> bool:
        try:
            return self._lay_backup_through(self._settings.node.state, backup)
        except OSError as error:
            # Of the media they are explained already.
            raise describe_os_error(error, f"copying {backup.name} to {self._settings.node.state}") from error

    def _lay_backup_through(self, folder: Path, backup: FoundBackup) -> bool:
        for where, pieces in backup.places:
            try:
                with tempfile.TemporaryFile(dir=folder) as file:
                    check_digest(pieces(), backup.seal, cast("IO[bytes]", file))
                    file.seek(0)
                    export.load(self._place.catalogue, cast("IO[bytes]", file), within=self._mark)
            except (Corrupted, NotFound, Unreachable) as error:
                if error.code.startswith("catalogue-"):
                    raise
                broken = isinstance(error, Corrupted)
                self._report.trouble(Trouble("damaged-backup" if broken else "not-read", where, str(error)))
                continue
            self._report.base = {
                "kind": "backup", "seq": backup.seq, "file": backup.name, "time": to_text(backup.time), "from": where,
                "key_id": backup.key_id,
            }  # fmt: skip
            return True
        return False

    def _mark(self, connection: sa.Connection) -> None:
        mark(connection, self._place.catalogue.clock())

    # --- what the media hold

    def _scan_all(self) -> None:
        catalogue = self._place.catalogue
        self._custodian = Custodian(
            catalogue=catalogue, settings=self._settings, volumes={}, agent=f"node:{self._settings.node.name}"
        )
        with catalogue.write() as tx:
            facts.put(tx, UNFINISHED, to_text(tx.now))
        for source in self._sources:
            self._scan(source)
        self._enter_pending()
        read = {source.name for source in self._report.sources}
        with catalogue.read() as tx:
            for volume in catalog_volumes.all(tx):
                if volume.name not in read and volume.mode is not VolumeMode.RETIRED:
                    message = "It was not read: what the catalogue says of its copies is what was known before."
                    self._report.trouble(Trouble("volume-not-read", volume.name, message))

    def _scan(self, source: RebuildSource) -> None:
        try:
            identity = source.identity()
        except Unreachable as error:
            # It was there when the others began to be read.
            self._report.trouble(Trouble("not-read", source.name, str(error)))
            return
        try:
            volume, succeeds = self._known(source, identity)
        except Conflict as error:
            self._report.trouble(Trouble("foreign-volume", source.name, str(error)))
            return
        read = SourceRead(source.name, source.kind, str(identity.uuid))
        self._report.sources.append(read)
        confirmed: set[int] = set()
        batch: list[FoundPart] = []
        unread = 0
        self._progress(source.name, 0)
        try:
            for item in _until_outage(source.parts()):
                if isinstance(item, Trouble):
                    self._report.trouble(item)
                    unread += item.code == "not-read"
                    continue
                read.parts += 1
                batch.append(item)
                if len(batch) >= _BATCH:
                    self._enter(source, read, volume, batch, confirmed)
                    batch.clear()
                    self._progress(source.name, read.parts)
            self._enter(source, read, volume, batch, confirmed)
        except _Outage as outage:
            read.whole = False
            self._report.trouble(Trouble("not-read", source.name, str(outage)))
            for found in batch:
                # One by one: what is to be asked of the medium for a version that is new cannot be had any more.
                with contextlib.suppress(_Outage):
                    self._enter(source, read, volume, [found], confirmed)
        self._progress(source.name, read.parts)
        if not read.whole or (succeeds and unread):
            # Whether it has the rest cannot be said. A successor's copies are all in doubt, and read.
            return
        if succeeds:
            with self._place.catalogue.write() as tx:
                read.doubted += not_on_successor(self._custodian, tx, volume, confirmed)
        else:
            self._doubt_the_rest(read, volume, confirmed)

    def _known(self, source: RebuildSource, identity: VolumeIdentity) -> tuple[Volume, bool]:
        """Its volume in the catalogue, and whether it took the place of another one there. Raises Conflict."""
        with self._place.catalogue.write() as tx:
            known = next((volume for volume in catalog_volumes.all(tx) if volume.uuid == identity.uuid), None)
            if known is not None:
                return known, False
            successor = succeeded(self._custodian, tx, source, identity)
            if successor is not None:
                message = "Another medium had its name in the backup. What is on this one is read before it counts."
                self._report.trouble(Trouble("medium-replaced", source.name, message))
                return successor, True
            added = catalog_volumes.register(
                tx, uuid=identity.uuid, name=source.name, kind=source.kind, medium=source.medium,
                domain=source.domain, site=source.site,
            )  # fmt: skip
            detail: dict[str, Json] = {"uuid": str(identity.uuid), "domain": source.domain, "site": source.site}
            append(tx, NewEvent(EventType.VOLUME_ADDED, Outcome.SUCCESS, self._custodian.agent, volume=source.name,
                                detail=detail))  # fmt: skip
            return added, False

    def _enter(
        self, source: RebuildSource, read: SourceRead, volume: Volume, batch: list[FoundPart], confirmed: set[int]
    ) -> None:
        counted, waiting = (read.known, read.copies_added, read.versions_added), len(self._pending)
        try:
            with self._place.catalogue.write() as tx:
                for found in batch:
                    self._enter_one(tx, source, read, volume, found, confirmed, last_chance=False)
        except _Outage:
            # Nothing of the batch was kept.
            read.known, read.copies_added, read.versions_added = counted
            del self._pending[waiting:]
            raise

    def _enter_one(
        self,
        tx: Tx,
        source: RebuildSource,
        read: SourceRead,
        volume: Volume,
        found: FoundPart,
        confirmed: set[int],
        *,
        last_chance: bool,
    ) -> None:
        seen = look_up(tx, found, volume)
        part = found.part
        if seen.standing is Standing.KNOWN and seen.copy is not None:
            read.known += 1
            if found.sound:
                confirmed.add(seen.copy.id)
        elif seen.standing is Standing.NEW_COPY and seen.version is not None:
            confirmed.add(enter_copy(self._custodian, tx, seen.version, volume).id)
            read.copies_added += 1
        elif seen.standing is Standing.NEW_VERSION and (found.note is not None or last_chance):
            described = self._described(source, found)
            version = enter_version(self._custodian, tx, described, volume)
            confirmed.update(copy.id for copy in copies.of_version(tx, version.id))
            read.versions_added += 1
            if described.unknown_sizes:
                message = f"The sizes of {described.unknown_sizes} file(s) are told by no medium."
                self._report.trouble(Trouble("size-unknown", source.name, message, part.object_id, part.number))
        elif seen.standing is Standing.DIFFERENT:
            message = "It has another inventory than that version has elsewhere; the other one was entered."
            self._report.trouble(Trouble("different-version", source.name, message, part.object_id, part.number))
        elif not last_chance:
            # Another medium may have the version before it, or the note of its deposit.
            self._pending.append((source, read, found))
        else:
            message = "A version before it is on no medium that was read, so it cannot be entered."
            self._report.trouble(Trouble("version-gap", source.name, message, part.object_id, part.number))

    def _described(self, source: RebuildSource, found: FoundPart) -> Described:
        """Raises _Outage where the medium that has it does not answer any more; a file of it that cannot be read costs
        no more than its size, and so does another medium."""
        described = describe(
            found, [source, *(other for other in self._sources if other is not source)], unread_ok=True
        )
        if described.unknown_sizes:
            try:
                source.identity()
            except Unreachable as error:
                raise _Outage(error) from error
        return described

    def _enter_pending(self) -> None:
        self._pending.sort(key=lambda item: (item[2].part.object_id, item[2].part.number))
        gone: set[str] = set()
        for source, read, found in self._pending:
            try:
                with self._place.catalogue.write() as tx:
                    volume = next(v for v in catalog_volumes.all(tx) if str(v.uuid) == read.uuid)
                    self._enter_one(tx, source, read, volume, found, set(), last_chance=True)
            except _Outage as outage:
                if source.name not in gone:
                    self._report.trouble(Trouble("not-read", source.name, str(outage)))
                gone.add(source.name)
                read.whole = False

    def _doubt_the_rest(self, read: SourceRead, volume: Volume, confirmed: set[int]) -> None:
        """Copies that the base has there and the medium does not show: the daemon is to look, at once."""
        after = 0
        while True:
            with self._place.catalogue.write() as tx:
                page = copies.in_states(tx, STORED_STATES, _BATCH, volume.id, after)
                for copy in page:
                    if copy.id in confirmed:
                        continue
                    version = packages.need_version(tx, copy.version_id)
                    changed = record.doubted(
                        self._custodian, tx, version, copy, "not found whole when the catalogue was rebuilt"
                    )
                    if changed is not copy:
                        read.doubted += 1
                        message = "The catalogue has a copy there, and it was not found whole; it will be checked."
                        self._report.trouble(
                            Trouble("copy-not-found", volume.name, message, version.identifier, version.number)
                        )
            if len(page) < _BATCH:
                return
            after = page[-1].id

    # --- the end

    def _finish(self, after: int, head_hash: str, lost: list[Checkpoint], former: list[bytes]) -> None:
        report = self._report
        with self._place.catalogue.write() as tx:
            report.packages = overview.count_packages(tx, overview.Tally()).number
            report.versions = overview.count_versions(tx, overview.Tally()).number
            facts.put(tx, UNFINISHED, None)
            for barcode in tape_record.formatting_begun(tx):
                # Much may have been written to it since: nothing that it bears may pass for what a formatting left.
                tape_record.formatting(tx, barcode, begun=False)
            detail = report.summary()
            detail["statement"] = self._key.sign_document(
                statement(self._settings.node.name, after, head_hash, lost, tx.now, former)
            )
            outcome = Outcome.WARNING if report.counts else Outcome.SUCCESS
            append(tx, NewEvent(EventType.CATALOGUE_REBUILT, outcome, self._custodian.agent, detail=detail))

    def _tell_of_tokens(self, tx: Tx) -> None:
        """Where something was lost since, nobody knows any more which tokens were revoked."""
        if self._report.base["kind"] != "backup" and not self._report.lost_events[1]:
            return
        valid = sorted(
            token.name
            for token in tokens.all(tx)
            if token.revoked_at is None and (token.expires_at is None or token.expires_at > tx.now)
        )
        if valid:
            names = ", ".join(valid[:_NAMED]) + (" …" if len(valid) > _NAMED else "")
            message = (
                "Tokens are as they were then: one that was revoked since is valid again. Revoke it now (vaultctl token"
                f" revoke NAME), and make anew what was made since. Valid are: {names}"
            )
            self._report.trouble(Trouble("tokens-restored", "", message))
