"""An object that lies on a volume and is no package yet becomes one.

An object that this program made, and that lies where it belongs, is entered into the catalogue as it stands: nothing is
copied. One that others made goes through the intake, version by version, like any deposit: its first copy comes to be
on the volume where it lies, and what lies there stays untouched. Either way it is validated before, every byte, and
what was entered is read back by the daemon before it counts.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vault.catalog.engine import Tx
from vault.custody.context import Custodian
from vault.errors import Conflict, Corrupted, Fault, Invalid, NotFound
from vault.formats.bag_writer import bag_manifests
from vault.formats.names import check_member_name
from vault.formats.ocfl import FolderTree, Inventory, ObjectReport, identifier_of, object_path
from vault.formats.tar_writer import TAR_END, tar_header, tar_padding
from vault.identifiers import parse_identifier
from vault.intake.deposit import DepositRequest, Intake
from vault.intake.unpack import RESERVED
from vault.ledger import append
from vault.model import Descriptive, EventType, Json, NewEvent, Outcome
from vault.recovery.described import describe
from vault.recovery.directory import DirectorySource
from vault.recovery.entering import Standing, enter_copy, enter_version, look_up
from vault.recovery.sources import FoundPart
from vault.shelf.objects import clean_path, tree_of, validate
from vault.shelf.scan import row_of
from vault.shelf.strangers import LISTED_FAULTS
from vault.volumes.base import Cancelled
from vault.volumes.directory import OCFL, DirectoryVolume
from vault.volumes.medium import Progress

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of an object: ``versions`` says which of its versions is which of the package's. ``in_place``: it was
    entered as it stands, and nothing was copied."""

    identifier: str
    object_id: str
    versions: Mapping[int, int] = field(default_factory=dict)
    in_place: bool = False


class Adoption:
    """One adoption. ``read`` is told of every byte that is read."""

    def __init__(
        self, custodian: Custodian, intake: Intake, volume: DirectoryVolume, agent: str, read: Progress,
        cancelled: Cancelled,
    ) -> None:  # fmt: skip
        self._custodian = custodian
        self._intake = intake
        self._volume = volume
        self._agent = agent
        self._read = read
        self._cancelled = cancelled

    def run(self, path: str, identifier: str = "", said: Descriptive | None = None) -> Adopted:
        """Adopt the object at ``path``, relative to the volume's root; ``identifier`` is the object's own id where none
        is given. Done again, it adds what is not there yet.

        Raises NotFound (``no-such-object``), Invalid (``object-not-sound``, ``bad-path`` and what the intake refuses),
        Conflict (``different-content``), Full, Unreachable, Interrupted.
        """
        place = clean_path(path)
        with tree_of(self._volume) as tree:
            report = validate(tree, place, content=True, read=self._read, cancelled=self._cancelled)
            inventory = _sound(report, place)
            if place == f"{OCFL}/{object_path(inventory.id)}" and _is_ours(inventory.id):
                if identifier not in ("", identifier_of(inventory.id)):
                    raise Invalid(
                        f"The object is the package {identifier_of(inventory.id)} already, and gets no other name.",
                        remedy="Adopt it without an identifier.",
                        code="bad-identifier",
                    )
                return self._enter(place.removeprefix(f"{OCFL}/"), inventory)
            own = identifier_of(inventory.id) if _is_ours(inventory.id) else inventory.id
            name = parse_identifier(identifier or own)
            return self._take_in(tree, place, inventory, name, said or Descriptive())

    # --- as it stands

    def _enter(self, place: str, inventory: Inventory) -> Adopted:
        source = DirectorySource(self._volume)
        identifier = identifier_of(inventory.id)
        row = row_of(self._custodian, self._volume.name)
        entered: dict[int, int] = {}
        with self._custodian.locks.hold(identifier), source.root() as tree:
            parts = [part for part in source.parts_at(tree, place) if isinstance(part, FoundPart)]
            described = {part.part.number: describe(part, [source]) for part in parts}
            with self._custodian.catalogue.write() as tx:
                for part in parts:
                    seen = look_up(tx, part, row)
                    if seen.standing is Standing.NEW_VERSION:
                        enter_version(self._custodian, tx, described[part.part.number], row)
                    elif seen.standing is Standing.NEW_COPY and seen.version is not None:
                        enter_copy(self._custodian, tx, seen.version, row)
                    elif seen.standing is not Standing.KNOWN:
                        raise _different(identifier, part.part.number)
                    entered[part.part.number] = part.part.number
                adopted = Adopted(identifier, inventory.id, entered, in_place=True)
                self._tell(tx, adopted, f"{OCFL}/{place}")
        self._custodian.wake()
        return adopted

    # --- through the intake

    def _take_in(
        self, tree: FolderTree, place: str, inventory: Inventory, identifier: str, said: Descriptive
    ) -> Adopted:
        became: dict[int, int] = {}
        for number in range(1, inventory.head_number + 1):
            metadata: dict[str, Json] = {"adopted": self._origin(place, inventory, number)}
            request = DepositRequest(
                identifier, str(uuid.uuid4()), self._agent, kind="bag", filename=f"v{number}.tar",
                if_match=became[number - 1] if number > 1 else None, descriptive=said, metadata=metadata,
                volume=self._volume.name,
            )  # fmt: skip
            body = _Body(self._packed(tree, place, inventory, number, identifier))
            became[number] = self._intake.receive(request, body).version
        adopted = Adopted(identifier, inventory.id, became)
        with self._custodian.catalogue.write() as tx:
            self._tell(tx, adopted, place)
        self._custodian.wake()
        return adopted

    def _origin(self, place: str, inventory: Inventory, number: int) -> dict[str, Json]:
        version = inventory.versions[inventory.version_name(number)]
        return {
            "object": inventory.id, "volume": self._volume.name, "path": place, "version": number,
            "created": version.created, "message": version.message or "",
            "user": version.user.name if version.user else "",
        }  # fmt: skip

    def _packed(
        self, tree: FolderTree, place: str, inventory: Inventory, number: int, identifier: str
    ) -> Iterator[bytes]:
        """The tar of a bag with what the version holds: as it is where it is a bag, else bagged on the way."""
        files = inventory.files_of_version(number)
        # Of objects that this program made, its own note is no part of the package.
        files = {logical: file for logical, file in files.items() if logical != RESERVED}
        algorithm = inventory.digest_algorithm
        if "bagit.txt" in files:
            for logical in sorted(files, key=lambda name: (name.startswith("data/"), name)):
                yield from self._member(tree, place, logical, files[logical], algorithm)
        else:
            listed = []
            for logical, (digest, content) in sorted(files.items()):
                check_member_name(f"data/{logical}")
                found = self._hashed(tree, f"{place}/{content}", algorithm)
                if found[algorithm] != digest:
                    raise _altered(f"{place}/{content}")
                listed.append((logical, found["sha512"], int(found["size"])))
            info = [("External-Identifier", identifier), ("Internal-Sender-Identifier", inventory.id)]
            for name, data in bag_manifests(listed, info).items():
                yield from (tar_header(name, len(data)), data, tar_padding(len(data)))
            for logical, file in sorted(files.items()):
                yield from self._member(tree, place, logical, file, algorithm, "data/")
        yield TAR_END

    def _member(
        self, tree: FolderTree, place: str, logical: str, file: tuple[str, str], algorithm: str, prefix: str = ""
    ) -> Iterator[bytes]:
        digest, content = file
        running, size = hashlib.new(algorithm, usedforsecurity=False), 0
        with tree.open(f"{place}/{content}") as opened:
            expected = opened.seek(0, 2)
            opened.seek(0)
            yield tar_header(prefix + logical, expected)
            while chunk := opened.read(_CHUNK):
                running.update(chunk)
                size += len(chunk)
                self._read(len(chunk))
                yield chunk
        if size != expected or running.hexdigest() != digest:
            raise _altered(f"{place}/{content}")
        yield tar_padding(size)

    def _hashed(self, tree: FolderTree, path: str, algorithm: str) -> dict[str, str]:
        hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {algorithm, "sha512"}}
        size = 0
        with tree.open(path) as opened:
            while chunk := opened.read(_CHUNK):
                for each in hashes.values():
                    each.update(chunk)
                size += len(chunk)
                self._read(len(chunk))
        return {"size": str(size)} | {name: each.hexdigest() for name, each in hashes.items()}

    # --- what is told

    def _tell(self, tx: Tx, adopted: Adopted, place: str) -> None:
        append(
            tx,
            NewEvent(
                EventType.OBJECT_ADOPTED,
                Outcome.SUCCESS,
                self._agent,
                adopted.identifier,
                max(adopted.versions.values()),
                self._volume.name,
                {
                    "object": adopted.object_id,
                    "path": place,
                    "in_place": adopted.in_place,
                    "versions": {f"v{was}": f"v{became}" for was, became in adopted.versions.items()},
                },
            ),
        )


class _Body:
    """Bytes that are made one after another, as the intake reads them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def _sound(report: ObjectReport, place: str) -> Inventory:
    """The inventory of a sound object. Raises NotFound, Invalid."""
    if report.spec is None and report.inventory is None:
        raise NotFound(
            f"No OCFL object lies at {place}.",
            remedy="vaultctl volumes scan NAME says where objects lie.",
            code="no-such-object",
        )
    if not report.sound or report.inventory is None:
        faults = [Fault(fault.code, fault.message, fault.path) for fault in report.errors]
        told = "; ".join(f"{fault.code} {fault.path}".strip() for fault in report.errors[:LISTED_FAULTS])
        raise Invalid(
            f"The object at {place} is not sound: {told}.",
            faults=faults,
            remedy="Mend it with the program that made it, or deposit by hand what of it is right.",
            code="object-not-sound",
        )
    return report.inventory


def _is_ours(name: str) -> bool:
    try:
        identifier_of(name)
    except Invalid:
        return False
    return True


def _altered(path: str) -> Corrupted:
    return Corrupted(
        f"{path} was right a moment ago, and is not any more.",
        remedy="Somebody writes there, or the medium fails; see that it stands still, and try again.",
        code="object-altered",
    )


def _different(identifier: str, number: int) -> Conflict:
    return Conflict(
        f"{identifier} v{number} lies there with another content than the catalogue has it.",
        remedy="Look at both: vaultctl packages show, and the inventory on the volume. Nothing was entered.",
        code="different-content",
    )
