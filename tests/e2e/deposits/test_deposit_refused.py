"""Deposits that are refused: each for its reason, and with nothing left of it."""

import gzip
import hashlib
import io
import random
import shutil
import stat
import tarfile
import uuid
import zipfile

import pytest

from tests.support.nodes import (
    VIETNAMESE,
    bag,
    tar_gz_of,
    tar_of,
    zip_of,
)
from tests.support.refusals import refused
from vault.errors import Conflict, Interrupted
from vault.intake import accession
from vault.intake.deposit import Intake
from vault.model import EventType, IngestState

BAG = bag(VIETNAMESE)


# --- what is refused


def test_a_wrong_digest(bench):
    body = tar_of(BAG)
    for name in ("sha-256", "sha-512"):
        algorithm = name.replace("-", "")
        wrong = hashlib.new(algorithm, body + b"x").hexdigest()
        error = refused(bench, "wrong/digest", body, digests={name: wrong}, content_length=len(body))
        assert error.code == "digest-mismatch"
        assert hashlib.new(algorithm, body).hexdigest() in error.message


@pytest.mark.parametrize("body", [b"%PDF-1.7", zip_of(BAG)], ids=["file", "zip"])
def test_a_short_body(bench, body):
    """A body that ends early is never taken for a shorter file."""
    error = refused(bench, "short/1", body, filename="x", content_length=len(body) + 1)
    assert error.code == "incomplete-body"


def test_a_client_that_vanishes(bench):
    class Vanishing(io.RawIOBase):
        def __init__(self):
            self.left = [b"%PDF", b"more"]

        def read(self, _size=-1, /):
            if self.left:
                return self.left.pop()
            raise Interrupted("The client has gone.")

    ingest_id = str(uuid.uuid4())
    with pytest.raises(Interrupted):
        bench.receive("gone/1", Vanishing(), ingest_id=ingest_id, filename="x")
    assert bench.ingest(ingest_id).state is IngestState.FAILED
    bench.assert_nothing_left()
    assert bench.copies("gone/1") == {}
    bench.deposit("gone/1", b"%PDF", filename="x")


def test_an_empty_body(bench):
    assert refused(bench, "empty/1", b"").code == "empty-body"


def test_a_bad_bag_is_told_every_fault(bench):
    files = dict(BAG)
    files["data/biên bản.pdf"] = b"altered"
    del files["data/Hồ sơ số 12/rỗng"]
    files["data/lạ.txt"] = b"stranger"
    error = refused(bench, "bad/bag", tar_of(files))
    assert error.code == "bag-invalid"
    found = {(fault.code, fault.path) for fault in error.faults}
    assert ("checksum-mismatch", "data/biên bản.pdf") in found
    assert {path for _, path in found} >= {"data/biên bản.pdf", "data/Hồ sơ số 12/rỗng", "data/lạ.txt"}
    assert len(error.faults) >= 3
    listed = bench.ingest(_newest_ingest(bench, "bad/bag")).problem["faults"]
    assert {fault["path"] for fault in listed} == {fault.path for fault in error.faults}


def _newest_ingest(bench, identifier):
    return bench.events(EventType.INGESTION, identifier=identifier)[-1].detail["ingest"]


def test_why_it_was_refused_is_known_to_whoever_settles_it_first(bench, monkeypatch):
    """The watch may come round between the refusal and its being written down: it would call it interrupted."""
    custodian = bench.running.custodian
    end = Intake._end

    def watch_comes_first(*arguments, **options):
        for volume in custodian.volumes.values():
            accession.settle_all(custodian, volume)
        end(*arguments, **options)

    monkeypatch.setattr(Intake, "_end", watch_comes_first)
    place = bench.object_path("a", "occupied/2") / "v1"
    for volume in "ab":
        bench.object_path(volume, "occupied/2").joinpath("v1").mkdir(parents=True)
        bench.object_path(volume, "occupied/2").joinpath("v1", "someone's.txt").write_bytes(b"not ours")
    ingest_id = str(uuid.uuid4())
    with pytest.raises(Conflict):
        bench.receive("occupied/2", io.BytesIO(b"new"), ingest_id=ingest_id, filename="x")
    ingest = bench.ingest(ingest_id)
    assert (ingest.state, ingest.problem["code"]) == (IngestState.REFUSED, "occupied")
    assert place.is_dir()


def test_what_is_called_a_bag_must_be_one(bench):
    assert refused(bench, "no/bag", b"%PDF", kind="bag").code == "not-a-bag"
    assert refused(bench, "no/bag", tar_of({"a": b"1", "b/c": b"2"})).code == "not-a-bag"
    assert refused(bench, "no/bag", zip_of({"a": b"1"}), kind="bag").code == "not-a-bag"


def test_what_stands_where_the_package_would_go_is_not_overwritten(bench):
    """An object that the catalogue does not know, as after the loss of a catalogue."""
    places = [bench.object_path(volume, "occupied/1") / "v1" for volume in "ab"]
    for place in places:
        place.mkdir(parents=True)
        (place / "someone's.txt").write_bytes(b"not ours")
    ingest_id = str(uuid.uuid4())
    with pytest.raises(Conflict) as caught:
        bench.receive("occupied/1", io.BytesIO(b"new"), ingest_id=ingest_id, filename="x")
    assert caught.value.code == "occupied"
    ingest = bench.ingest(ingest_id)
    assert (ingest.state, ingest.problem["code"]) == (IngestState.REFUSED, "occupied")
    for place in places:
        assert (place / "someone's.txt").read_bytes() == b"not ours"
        shutil.rmtree(place.parent)
    bench.assert_nothing_left()


def test_the_nodes_own_name_is_reserved(bench):
    for name in ("khoso-deposit.json", "KHOSO-Deposit.json"):
        assert refused(bench, "reserved/1", b"{}", filename=name).code == "reserved-name"
        assert refused(bench, "reserved/1", tar_of(BAG | {name: b"{}"}, "x/")).code == "reserved-name"


def member(name: str, **facts) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for fact, value in facts.items():
        setattr(made, fact, value)
    return made


def tar_with(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in BAG.items():
            archive.addfile(member(name, size=len(data)), io.BytesIO(data))
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


HOSTILE_TARS = {
    "absolute": tar_with((member("/etc/cron.d/x"), b"x")),
    "parent": tar_with((member("data/../../x"), b"x")),
    "control": tar_with((member("data/a\x1b[2Jb"), b"x")),
    "newline": tar_with((member("data/a\nb"), b"x")),
    "bidi": tar_with((member("data/a\u202egpj.exe"), b"x")),
    "symlink": tar_with((member("data/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
    "hard link": tar_with((member("data/link", type=tarfile.LNKTYPE, linkname="bagit.txt"), b"")),
    "device": tar_with((member("data/dev", type=tarfile.CHRTYPE), b"")),
    "block device": tar_with((member("data/dev", type=tarfile.BLKTYPE), b"")),
    "pipe": tar_with((member("data/pipe", type=tarfile.FIFOTYPE), b"")),
    "sparse": tar_with((member("data/sparse", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), b"")),
    "twice": tar_with((member("bagit.txt"), b"x")),
    "alike": tar_with((member("data/BIÊN BẢN.pdf"), b"x")),
    "alike when composed": tar_with((member("data/e\u0302"), b"x"), (member("data/\u00ea"), b"x")),
    "file as folder": tar_with((member("bagit.txt/x"), b"x")),
    "backslash": tar_with((member("data\\..\\x"), b"x")),
    "not utf-8": tar_with((member("data/xxx"), b"x")).replace(b"data/xxx\0", b"data/x\xff\xfe\0"),
}


@pytest.mark.parametrize("which", HOSTILE_TARS)
@pytest.mark.parametrize("packing", ["tar", "tar.gz"])
def test_a_hostile_tar_is_refused(bench, which, packing):
    body = HOSTILE_TARS[which]
    if packing == "tar.gz":
        body = gzip.compress(body)
    error = refused(bench, "hostile/tar", body)
    assert error.code not in ("internal-error", "bag-invalid", "not-a-bag"), error


def zip_with(*names: str, external: int = 0, twice: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in BAG.items():
            archive.writestr(name, data)
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = external
            info.create_system = 3
            archive.writestr(info, b"x")
    return out.getvalue()


def damaged_zip() -> bytes:
    body = bytearray(zip_of(BAG, method=zipfile.ZIP_STORED))
    body[body.index(b"%PDF") + 100] ^= 1
    return bytes(body)


def encrypted_zip() -> bytes:
    """A zip whose directory and headers say that a member is encrypted (APPNOTE 4.4.4, bit 0)."""
    body = bytearray(zip_of(BAG, method=zipfile.ZIP_STORED))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = body.index(signature)
        body[at + offset] |= 1
    return bytes(body)


HOSTILE_ZIPS = {
    "absolute": lambda: zip_with("/etc/x"),
    "parent": lambda: zip_with("data/../../x"),
    "backslash": lambda: zip_with("data\\x").replace(b"data/x", b"data\\x"),
    "nul": lambda: zip_with("data/aZb").replace(b"data/aZb", b"data/a\0b"),
    "link": lambda: zip_with("data/link", external=(stat.S_IFLNK | 0o777) << 16),
    "device": lambda: zip_with("data/dev", external=(stat.S_IFCHR | 0o666) << 16),
    "alike": lambda: zip_with("data/Biên Bản.PDF"),
    "twice": lambda: zip_with("data/x1", "data/x2").replace(b"data/x2", b"data/x1"),
    "damaged": damaged_zip,
    "cut": lambda: zip_of(BAG)[:-30],
    "encrypted": encrypted_zip,
}


@pytest.mark.parametrize("which", HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused(bench, which):
    body = HOSTILE_ZIPS[which]()
    error = refused(bench, "hostile/zip", body, kind="bag")
    assert error.code not in ("internal-error", "bag-invalid", "not-a-bag"), error


def test_bombs(bench):
    zeros = bytes(40_000_000)
    swollen = bag({"zeros": zeros})
    for body in (tar_gz_of(swollen), zip_of(swollen)):
        assert refused(bench, "bomb/ratio", body).code == "archive-ratio"
    random_bytes = random.Random(1).randbytes(1_000_000)
    large = bag({f"{n}": random_bytes + bytes([n]) for n in range(70)})
    assert refused(bench, "bomb/size", tar_of(large)).code in ("archive-too-large", "package-too-large")
    many = bag({f"{n}": b"" for n in range(2001)})
    for body in (tar_of(many), zip_of(many)):
        assert refused(bench, "bomb/count", body).code == "too-many-members"
    assert refused(bench, "bomb/file", bytes(64_000_001), filename="x").code == "package-too-large"
