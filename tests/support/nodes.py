"""A node in a folder, run in the test's own process; packages to give it; and what must hold of it afterwards."""

import dataclasses
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import time
import uuid
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self, TypeVar

from tests.support.patience import PATIENCE
from vault.catalog import copies, ingests, packages, tasks, verifications
from vault.catalog import evidence as catalog_evidence
from vault.catalog import volumes as catalog_volumes
from vault.clock import utcnow
from vault.config import Settings, parse_settings
from vault.custody.orders import order_verification
from vault.formats.bag_writer import bag_manifests
from vault.formats.ocfl import FolderTree, object_id, object_path, validate_root
from vault.intake.deposit import Accepted, DepositRequest
from vault.intake.unpack import RESERVED
from vault.ledger import append, events, verify
from vault.model import (
    Condition,
    Copy,
    CopyState,
    Event,
    EventType,
    Evidence,
    Ingest,
    NewEvent,
    Outcome,
    Verification,
    VerificationState,
    VolumeMode,
)
from vault.node import Node
from vault.signing import verify_document
from vault.volumes.base import VolumeIdentity

T = TypeVar("T")
LOOK_EVERY_SECONDS = 0.02
TWO = ("a", "b")
BAD = (CopyState.DAMAGED, CopyState.MISSING)


def eventually(
    predicate: Callable[[], T], seconds: float = 30, what: object = "", *, every: float = LOOK_EVERY_SECONDS
) -> T:
    """Return the first true answer of ``predicate``; fail when none came in time."""
    until = time.monotonic() + seconds * PATIENCE
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > until:
            raise AssertionError(
                f"it did not come to be in {seconds * PATIENCE} s: {what() if callable(what) else what}"
            )
        time.sleep(every)


# --- packages


def bag(payload: Mapping[str, bytes], info: Iterable[tuple[str, str]] = (("Source-Organization", "Sở Nội vụ"),)):
    """The files of a bag with this payload (names below ``data/``)."""
    listed = [(name, hashlib.sha512(data).hexdigest(), len(data)) for name, data in payload.items()]
    return {f"data/{name}": data for name, data in payload.items()} | bag_manifests(listed, info)


def tar_of(files: Mapping[str, bytes], top: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def tar_gz_of(files: Mapping[str, bytes], top: str = "") -> bytes:
    return gzip.compress(tar_of(files, top), 1)


def zip_of(files: Mapping[str, bytes], top: str = "", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(top + name, data)
    return out.getvalue()


VIETNAMESE = {
    "Hồ sơ số 12/Quyết định Đ-012.txt": "Ủy ban nhân dân tỉnh Sơn La".encode(),
    "Hồ sơ số 12/ảnh/bản đồ (tờ 1).tif": bytes(range(256)) * 37,
    "Hồ sơ số 12/rỗng": b"",
    "biên bản.pdf": b"%PDF-1.7\n" + b"x" * 5000,
}
"""A payload with all that names in Vietnam have: spaces, diacritics, folders; and an empty file."""


# --- the node


def _midday() -> str:
    """A time zone in which it is about noon: what is counted by the day is counted on one day, whenever tests run."""
    east = 12 - utcnow().hour
    return f"Etc/GMT{-east:+}"  # POSIX: plus is to the west


TIME_ZONE = _midday()


def write_config(
    folder: Path,
    volumes: Iterable[str] = TWO,
    *,
    policies: str = "",
    extra: str = "",
    mount: Iterable[str] = (),
    volume_extra: str = 'reserve = "0"',
) -> str:
    lines = [
        f'[node]\nname = "thu-nghiem"\nstate = "{folder}/state"\naccept_shared_devices = true\n'
        f'time_zone = "{TIME_ZONE}"',
        f'[api]\nsocket = "{folder}/s"',
        extra,
    ]
    lines += [
        f'[[volume]]\nname = "{name}"\nkind = "directory"\npath = "{folder}/{name}"\ndomain = "domain-{name}"\n'
        f'mount = {str(name in mount).lower()}\nsite = "site-{name}"\n{volume_extra}'
        for name in volumes
    ]
    lines.append(policies or '[[policy]]\nname = "default"\ndisk = 2\nreceipt_after = 2')
    return "\n".join(lines)


def catalogue_at(url: str) -> str:
    """What the configuration says of a catalogue that is elsewhere than in the state folder."""
    return f'[catalog]\nurl = "{url}"'


def quick(settings: Settings, **custody: timedelta) -> Settings:
    """The same settings with a rhythm for tests, which no file could ask for."""
    rhythm = {
        "planner_interval": timedelta(milliseconds=500),
        "probe_interval": timedelta(milliseconds=400),
        "retry_min": timedelta(milliseconds=50),
        "retry_max": timedelta(milliseconds=500),
        "reread_after": timedelta(milliseconds=50),
    } | custody
    # Most tests count what they ordered themselves.
    calm = settings.fixity.model_copy(update={"sample": 0} if "sample" not in settings.fixity.model_fields_set else {})
    return dataclasses.replace(settings, custody=settings.custody.model_copy(update=rhythm), fixity=calm)


@dataclasses.dataclass
class Kept:
    """What the depositor was promised: logical path -> sha512 of the bytes."""

    identifier: str
    number: int
    files: dict[str, str]


class Bench:
    """A node in a folder, which can be stopped and started again, and what was promised to its depositors."""

    def __init__(
        self, folder: Path, volumes: Iterable[str] = TWO, *, custody: dict[str, timedelta] | None = None, **config
    ) -> None:
        self.folder = folder
        self._custody = custody or {}
        self.settings = self.configured(volumes, **config)
        self.kept: dict[tuple[str, int], Kept] = {}
        self._ingests = 0
        self.node: Node | None = None

    def configured(self, volumes: Iterable[str] = TWO, **config) -> Settings:
        text = write_config(self.folder, volumes, **config)
        return quick(parse_settings(text, self.folder / "vault.toml"), **self._custody)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> Node:
        assert self.node is not None
        return self.node

    def start(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.settings
        self.node = Node(self.settings)
        for name, volume in self.node.volumes.items():
            # Once only: a volume that is away must not be made anew.
            done = self.folder / f".{name}-initialised"
            if not done.exists():
                Path(volume.path).mkdir(exist_ok=True)
                if not (Path(volume.path) / "vault-volume.json").exists():
                    own = self.settings.node.name
                    volume.initialise(VolumeIdentity(uuid.uuid4(), name, volume.domain, volume.site, own, utcnow()))
                done.touch()
        self.node.start()

    def stop(self) -> None:
        if self.node is not None:
            node, self.node = self.node, None
            assert node.stop(), "some work would not stop"

    def restart(self, settings: Settings | None = None) -> None:
        self.stop()
        self.start(settings)

    # --- deposits

    def deposit(self, identifier: str, body: bytes, files: Mapping[str, bytes] | None = None, **request) -> Accepted:
        """Deposit, and remember what was promised: the logical ``files``, or the body itself under its file name."""
        accepted = self.receive(identifier, io.BytesIO(body), **{"content_length": len(body), **request})
        promised = {request.get("filename") or "content": body} if files is None else files
        self.remember(identifier, accepted.version, promised)
        return accepted

    def receive(self, identifier: str, stream, **request) -> Accepted:
        self._ingests += 1
        request.setdefault("ingest_id", f"{self._ingests:04}-{uuid.uuid4()}")
        request.setdefault("agent", "token:test")
        return self.running.intake.receive(DepositRequest(identifier, **request), stream)

    def remember(self, identifier: str, number: int, files: Mapping[str, bytes]) -> None:
        digests = {name: hashlib.sha512(data).hexdigest() for name, data in files.items()}
        self.kept[identifier, number] = Kept(identifier, number, digests)

    # --- what is

    def path(self, volume: str) -> Path:
        return self.folder / volume

    def object_path(self, volume: str, identifier: str) -> Path:
        return self.path(volume) / "ocfl" / object_path(object_id(identifier))

    def copies(self, identifier: str, number: int | None = None) -> dict[tuple[str, int], Copy]:
        with self.running.catalogue.read() as tx:
            package = packages.get(tx, identifier)
            found = [] if package is None else copies.of_package(tx, package.id)
        return {(c.volume, c.number): c for c in found if number in (None, c.number)}

    def all_copies(self) -> list[Copy]:
        with self.running.catalogue.read() as tx:
            return copies.in_states(tx, list(CopyState), 1_000_000)

    def ingest(self, ingest_id: str) -> Ingest:
        with self.running.catalogue.read() as tx:
            found = ingests.get(tx, ingest_id)
        assert found is not None
        return found

    def receipt(self, ingest_id: str) -> dict:
        """The receipt, as soon as it is there."""
        return eventually(lambda: self.ingest(ingest_id).receipt, what=lambda: self.ingest(ingest_id))

    def events(self, *types: EventType, after: int = 0, **facts) -> list[Event]:
        with self.running.catalogue.read() as tx:
            found = events(tx, after=after, limit=1_000_000)
        return [
            event
            for event in found
            if (not types or event.type in {str(t) for t in types})
            and all(getattr(event, name) == value for name, value in facts.items())
        ]

    def last_event(self) -> int:
        found = self.events()
        return found[-1].seq if found else 0

    def evidence(self) -> list[Evidence]:
        with self.running.catalogue.read() as tx:
            return catalog_evidence.all(tx)

    def condition(self, volume: str) -> Condition:
        with self.running.catalogue.read() as tx:
            row = catalog_volumes.get(tx, volume)
        return Condition.UNKNOWN if row is None else row.condition

    def wait_for(self, volume: str, *conditions: Condition) -> None:
        eventually(lambda: self.condition(volume) in conditions, what=lambda: self.condition(volume))

    # --- what is ordered

    def order(self, **scope: str) -> Verification:
        return order_verification(self.running.custodian, agent="user:test", **scope)

    def verification(self, order_id: str) -> Verification:
        with self.running.catalogue.read() as tx:
            found = verifications.get(tx, order_id)
        assert found is not None
        return found

    def verify(self, seconds: float = 60, **scope: str) -> Verification:
        """Order a verification and wait for its end."""
        order = self.order(**scope)
        eventually(
            lambda: self.verification(order.id).state is VerificationState.DONE,
            seconds,
            lambda: (self.verification(order.id), self.open_tasks()),
        )
        return self.verification(order.id)

    def set_mode(self, volume: str, mode: VolumeMode) -> None:
        with self.running.catalogue.write() as tx:
            row = catalog_volumes.get(tx, volume)
            assert row is not None
            catalog_volumes.set_mode(tx, row.id, mode)
            append(tx, NewEvent(EventType.VOLUME_CHANGED, Outcome.SUCCESS, "user:test", volume=volume))
        self.running.custodian.wake()

    # --- what must hold

    def open_tasks(self) -> list[str]:
        with self.running.catalogue.read() as tx:
            return [f"{t.key} {t.volumes} {t.state} {t.attempts} {t.message}" for t in tasks.open_tasks(tx)]

    def below_policy(self) -> list[str]:
        with self.running.catalogue.read() as tx:
            found = packages.below_policy(tx, 1000)
            held = [(v, [(c.volume, str(c.state), c.reason) for c in copies.of_version(tx, v.id)]) for v in found]
        return [f"{v.identifier} v{v.number}: {told}" for v, told in held]

    def unsettled(self) -> str:
        """What is still to be done; "" when all is quiet and as the policy has it."""
        below = self.below_policy()
        if below:
            return f"{len(below)} below policy: {below[:3]}, tasks: {self.open_tasks()[:5]}"
        with self.running.catalogue.read() as tx:
            waiting = ingests.awaiting_receipt(tx, 10)
            unfinished = ingests.unfinished(tx)
        if waiting or unfinished:
            return f"deposits: {waiting} {unfinished}"
        bad = [c for c in self.all_copies() if c.state not in (CopyState.GOOD, CopyState.RETIRED)]
        if bad:
            return f"copies: {[(c.volume, c.version_id, str(c.state), c.reason) for c in bad[:5]]}"
        open_now = self.open_tasks()
        return f"tasks: {open_now[:5]}" if open_now else ""

    def settle(self, seconds: float = 60) -> None:
        """Wait until the policy holds for everything and nothing is left to do."""
        eventually(lambda: not self.unsettled(), seconds, self.unsettled)

    def staged(self) -> dict[str, list[str]]:
        """What lies in the volumes' staging."""
        found = {
            v.name: sorted(p.name for p in (self.path(v.name) / "staging").iterdir()) for v in self.settings.volumes
        }
        return {name: left for name, left in found.items() if left}

    def assert_sound(self, *, others: bool = True, tolerated: Collection[str] = ()) -> None:
        """Everything that a province relies on. ``others``: ask the reference implementation of OCFL as well;
        ``tolerated``: codes of OCFL that may be found in the storage root, outside every object."""
        assert self.unsettled() == ""
        self.assert_nothing_left()
        self.assert_ledger()
        for volume in self.settings.volumes:
            self.assert_ocfl(volume.name, others=others, tolerated=tolerated)
        self.assert_kept()

    def assert_nothing_left(self) -> None:
        eventually(lambda: not self.staged(), what=self.staged)

    def assert_ledger(self) -> None:
        report = verify(self.running.catalogue)
        assert report.ok, report

    def assert_ocfl(self, volume: str, *, others: bool = True, tolerated: Collection[str] = ()) -> None:
        root = self.path(volume) / "ocfl"
        wrong: list[object] = []
        with FolderTree(root) as tree:
            report = validate_root(tree, on_object=lambda found: wrong.extend(found.errors))
        assert not [e for e in report.errors if e.code not in tolerated], (volume, report)
        assert report.unsound == 0, (volume, wrong[:5])
        if others:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from ocfl.storage_root import StorageRoot

                theirs = StorageRoot(root=str(root))
                assert theirs.validate(log_errors=False), (volume, theirs.errors)
            assert theirs.num_objects == theirs.good_objects == report.objects, (volume, theirs.errors)

    def assert_kept(self, volumes: Iterable[str] | None = None) -> None:
        """Every acknowledged package has its bytes on every volume that says so, read as a stranger would read them."""
        for (identifier, number), kept in self.kept.items():
            good = {v for (v, _), c in self.copies(identifier, number).items() if c.state is CopyState.GOOD}
            holders = good if volumes is None else set(volumes)
            assert holders, f"{identifier} v{number} is nowhere"
            for volume in holders:
                assert self.read_back(volume, identifier, number) == kept.files, (volume, identifier, number)

    def read_back(self, volume: str, identifier: str, number: int) -> dict[str, str]:
        """The sha512 of every logical file of a version, by nothing but OCFL and the volume's folder."""
        root = self.object_path(volume, identifier)
        inventory = json.loads((root / "inventory.json").read_bytes())
        state = inventory["versions"][f"v{number}"]["state"]
        found = {}
        for digest, logicals in state.items():
            content = (root / inventory["manifest"][digest][0]).read_bytes()
            for logical in logicals:
                if logical != RESERVED:
                    found[logical] = hashlib.sha512(content).hexdigest()
        return found


def assert_receipt(bench: Bench, receipt: Mapping[str, object], least: int = 2) -> None:
    """It is signed by this node, and names so many good copies in as many failure domains."""
    report = verify_document(receipt, [bench.running.key.public_key])
    assert report.ok, report
    listed = receipt["copies"]
    assert isinstance(listed, list)
    assert {copy["state"] for copy in listed} == {"good"}
    assert len({copy["domain"] for copy in listed}) >= least
    assert all(copy["proved_at"] for copy in listed)


def mount_tmpfs(path: Path, size: str = "8m") -> bool:
    """Mount a small file system; False where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "khoso-test", path]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
