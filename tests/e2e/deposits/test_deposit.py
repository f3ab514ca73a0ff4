"""Deposits as depositors meet them: what is stored, what is refused and why, and what they are promised."""

import gzip
import hashlib
import io
import os
import random
import subprocess
import threading
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.nodes import (
    VIETNAMESE,
    Bench,
    assert_receipt,
    bag,
    eventually,
    mount_tmpfs,
    tar_gz_of,
    tar_of,
    zip_of,
)
from tests.support.refusals import refused
from vault.catalog import ingests, packages
from vault.errors import Conflict, Full, Unreachable
from vault.intake import accession
from vault.intake.accession import Prepared
from vault.model import Condition, EventType, IngestState, Outcome

BAG = bag(VIETNAMESE)


# --- what is stored


@pytest.mark.parametrize(
    ("filename", "body"),
    [
        ("ho-so.tar", tar_of(BAG, "Hồ sơ Đ-012/")),
        ("ho-so.tar", tar_of(BAG)),
        ("ho-so.tar.gz", tar_gz_of(BAG, "Hồ sơ Đ-012/")),
        ("ho-so.zip", zip_of(BAG, "Hồ sơ Đ-012/")),
        ("ho-so.zip", zip_of(BAG, method=zipfile.ZIP_STORED)),
    ],
    ids=["tar", "tar-without-folder", "tar.gz", "zip", "zip-stored"],
)
def test_a_bag_is_kept_file_by_file_whatever_its_packing(bench, filename, body):
    identifier = f"H49.61.8/2025/Đ-{uuid.uuid4()}"
    accepted = bench.deposit(identifier, body, BAG, filename=filename)
    assert accepted.created
    receipt = bench.receipt(accepted.ingest_id)
    assert_receipt(bench, receipt)
    assert receipt["identifier"] == identifier
    assert receipt["kind"] == "bag"
    assert receipt["files"] == len(BAG)
    bench.assert_kept(("a", "b"))
    # People find the names that they know, not an encoding of them.
    assert (bench.object_path("a", identifier) / "v1/content/data/Hồ sơ số 12/ảnh/bản đồ (tờ 1).tif").is_file()
    validated = bench.events(EventType.VALIDATION, identifier=identifier)
    assert [event.outcome for event in validated] == [Outcome.SUCCESS]


@pytest.mark.parametrize(
    ("filename", "body"),
    [
        ("Quyết định số 12.pdf", b"%PDF-1.7\nnot really"),
        ("aip.zip", zip_of({"METS.xml": b"<mets/>", "representations/rep1/a.pdf": b"%PDF"})),
        ("khong-phai-tar.gz", gzip.compress(b"a log" * 1000)),
        ("một byte", b"\0"),
    ],
    ids=["pdf", "e-ark zip", "gzip", "one byte"],
)
def test_any_other_file_is_kept_as_it_is(bench, filename, body):
    identifier = f"file/{uuid.uuid4()}"
    accepted = bench.deposit(identifier, body, filename=filename)
    receipt = bench.receipt(accepted.ingest_id)
    assert_receipt(bench, receipt)
    assert receipt["kind"] == "file"
    bench.assert_kept(("a", "b"))
    assert (bench.object_path("b", identifier) / "v1/content" / filename).read_bytes() == body


def test_an_archive_can_be_kept_as_the_file_that_it_is(bench):
    body = tar_of(BAG, "x/")
    identifier = f"file/{uuid.uuid4()}"
    bench.deposit(identifier, body, {"goi.tar": body}, filename="goi.tar", kind="file")
    bench.settle()
    bench.assert_kept(("a", "b"))


def test_the_digest_that_was_sent_is_checked_and_recorded(bench):
    body = tar_of(BAG)
    digests = {"sha-256": hashlib.sha256(body).hexdigest(), "sha-512": hashlib.sha512(body).hexdigest()}
    accepted = bench.deposit("digest/1", body, BAG, digests=digests)
    receipt = bench.receipt(accepted.ingest_id)
    assert receipt["digests"]["deposit"] == {"sha256": digests["sha-256"], "sha512": digests["sha-512"]}


# --- the same again, and something else


def test_the_same_content_again_in_another_packing_makes_nothing_new(bench):
    first = bench.deposit("again/1", tar_of(BAG, "một/"), BAG)
    receipt = bench.receipt(first.ingest_id)
    seq = bench.last_event()
    for body in (tar_of(BAG, "một/"), tar_gz_of(BAG), zip_of(BAG, "hai/")):
        again = bench.deposit("again/1", body, BAG)
        assert not again.created
        assert again.version == 1
        assert again.receipt == receipt
    assert len(bench.copies("again/1")) == 2
    assert bench.events(EventType.INGESTION, EventType.COPY_WRITTEN, after=seq, identifier="again/1") == []
    bench.assert_nothing_left()


def test_a_repeated_deposit_gets_the_receipt_of_the_first_one_as_soon_as_there_is_one(own):
    """A client that gave up waiting sends it again before the copies are proved; its own deposit is answered too."""
    own.path("b").rename(own.folder / "away")
    own.wait_for("b", Condition.OFFLINE)
    first = own.deposit("again/2", b"content", filename="x")
    again_id = str(uuid.uuid4())
    again = own.receive("again/2", io.BytesIO(b"content"), filename="x", ingest_id=again_id)
    assert (again.created, again.receipt, again.ingest_id) == (False, None, first.ingest_id)
    (own.folder / "away").rename(own.path("b"))
    receipt = own.receipt(first.ingest_id)
    assert own.receipt(again_id) == receipt
    own.settle()


def test_other_content_under_the_same_identifier_is_a_conflict(bench):
    bench.deposit("other/1", b"one", filename="x")
    error = refused(bench, "other/1", b"two", Conflict, filename="x")
    assert error.code == "different-content"
    assert 'If-Match: "v1"' in error.remedy
    error = refused(bench, "other/1", tar_of(BAG), Conflict)
    assert error.code == "different-content"
    bench.settle()
    bench.assert_kept(("a", "b"))


def test_versions_follow_one_another(bench):
    second = bag(VIETNAMESE | {"thêm.txt": b"new"})
    bench.deposit("versions/1", tar_of(BAG), BAG)
    accepted = bench.deposit("versions/1", tar_of(second), second, if_match=1)
    assert (accepted.version, accepted.created) == (2, True)
    third = bench.deposit("versions/1", b"%PDF", filename="một.pdf", if_match="*")
    assert third.version == 3
    # Retries of each step, as a client sends them that did not hear the answer.
    assert not bench.deposit("versions/1", tar_of(second), second, if_match=1).created
    assert bench.receive("versions/1", io.BytesIO(b"%PDF"), filename="một.pdf", if_match=2).version == 3
    assert bench.receive("versions/1", io.BytesIO(b"%PDF"), filename="một.pdf", if_match=3).version == 3
    # Blind retries of any earlier one find what they made.
    assert bench.receive("versions/1", io.BytesIO(tar_of(BAG))).version == 1
    for number in (1, 2, 7):
        error = refused(bench, "versions/1", b"news", Conflict, filename="x", if_match=number)
        assert error.code == "precondition-failed"
    bench.settle()
    bench.assert_kept(("a", "b"))
    # What did not change is not stored again.
    stored = [p.name for p in (bench.object_path("a", "versions/1") / "v2/content").rglob("*") if p.is_file()]
    assert "bản đồ (tờ 1).tif" not in stored
    assert "thêm.txt" in stored


def test_preconditions_on_what_is_not_there_yet(bench):
    assert refused(bench, "none/1", b"x", Conflict, filename="x", if_match=1).code == "precondition-failed"
    assert refused(bench, "none/1", b"x", Conflict, filename="x", if_match="*").code == "precondition-failed"
    bench.deposit("none/2", b"x", filename="x", must_be_new=True)
    error = refused(bench, "none/2", b"x", Conflict, filename="x", must_be_new=True)
    assert error.code == "precondition-failed"


@pytest.mark.parametrize("same", [True, False], ids=["same content", "different content"])
def test_two_deposits_of_one_identifier_at_once(bench, same):
    rounds = 25
    with ThreadPoolExecutor(2) as pool:
        for number in range(rounds):
            identifier = f"race-{same}/{number}"
            gate = threading.Barrier(2)
            bodies = [b"content", b"content" if same else b"other"]

            def deposit(body, identifier=identifier, gate=gate):
                gate.wait(10)
                try:
                    return bench.receive(identifier, io.BytesIO(body), filename="x")
                except Conflict as error:
                    return error

            answers = list(pool.map(deposit, bodies))
            winners = [a for a in answers if not isinstance(a, Conflict)]
            made = [body for a, body in zip(answers, bodies, strict=True) if not isinstance(a, Conflict) and a.created]
            assert len(made) == 1, answers
            assert len(winners) == (2 if same else 1), answers
            assert {w.version for w in winners} == {1}
            if not same:
                assert {a.code for a in answers if isinstance(a, Conflict)} == {"different-content"}
            bench.remember(identifier, 1, {"x": made[0]})
    bench.settle(120)
    bench.assert_sound(others=False)


def test_two_deposits_of_the_next_version_at_once(bench):
    with ThreadPoolExecutor(2) as pool:
        for number in range(10):
            identifier = f"race-next/{number}"
            bench.deposit(identifier, b"one", filename="x")
            gate = threading.Barrier(2)

            def deposit(body, identifier=identifier, gate=gate):
                gate.wait(10)
                try:
                    return bench.receive(identifier, io.BytesIO(body), filename="x", if_match=1).version
                except Conflict as error:
                    return error.code

            answers = list(pool.map(deposit, [b"two", b"three"]))
            assert sorted(map(str, answers)) == ["2", "precondition-failed"]
            bench.remember(identifier, 2, {"x": [b"two", b"three"][answers.index(2)]})
    bench.settle(120)
    bench.assert_kept(("a", "b"))


# --- volumes that are full or go away


class Slow(io.RawIOBase):
    """A body during which something happens."""

    def __init__(self, body: bytes, halfway) -> None:
        self._body = io.BytesIO(body)
        self._half = len(body) // 2
        self._halfway = halfway

    def read(self, size=-1, /):
        if self._halfway and self._body.tell() >= self._half:
            halfway, self._halfway = self._halfway, None
            halfway()
        return self._body.read(min(size, 65536) if size > 0 else 65536)


@pytest.fixture
def small(tmp_path):
    """A node whose two volumes are small file systems of their own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        if not mount_tmpfs(tmp_path / name):
            pytest.skip("this machine lets nobody mount")
    bench = Bench(tmp_path, mount=("a", "b"))
    try:
        with bench:
            yield bench
    finally:
        for name in ("a", "b"):
            while subprocess.run(["umount", "-l", tmp_path / name], check=False, capture_output=True).returncode == 0:
                pass


@pytest.mark.root
def test_no_space(small):
    free = {v: os.statvfs(small.path(v)).f_bavail for v in "ab"}
    for body, kind in (
        (random.Random(2).randbytes(12_000_000), "file"),
        (tar_of(bag({"large": random.Random(3).randbytes(12_000_000)})), "auto"),
        (zip_of(bag({"large": random.Random(4).randbytes(7_000_000)})), "auto"),
    ):
        error = refused(small, "full/1", body, Full, kind=kind, filename="x")
        assert error.code == "no-space"
        for volume, before in free.items():
            # Folders and the catalogue's own files aside, everything is given back.
            assert os.statvfs(small.path(volume)).f_bavail >= before - 16
    # Announced beforehand, it is not even begun.
    assert refused(small, "full/1", b"", Full, content_length=12_000_000, filename="x").code == "no-space"
    # And what fits is taken.
    small.deposit("full/1", b"small", filename="x")
    small.settle()
    small.assert_sound()


@pytest.mark.root
@pytest.mark.parametrize("how", ["unmounted", "renamed"])
def test_a_volume_that_goes_away_during_a_deposit(request, how):
    bench = request.getfixturevalue("small" if how == "unmounted" else "own")
    gone = {}

    def away():
        # Whichever volume was chosen.
        name = next(iter(bench.staged()))
        if how == "unmounted":
            aside = bench.folder / "aside"
            aside.mkdir()
            subprocess.run(["mount", "--bind", bench.path(name), aside], check=True)
            subprocess.run(["umount", "-l", bench.path(name)], check=True)
        else:
            bench.path(name).rename(bench.folder / "aside")
        gone["name"] = name

    ingest_id = str(uuid.uuid4())
    body = tar_of(bag({"large": random.Random(5).randbytes(2_000_000)}))
    with pytest.raises(Unreachable):
        bench.receive("away/1", Slow(body, away), ingest_id=ingest_id, content_length=len(body))
    name = gone["name"]
    bench.wait_for(name, Condition.OFFLINE, Condition.FOREIGN)
    assert bench.copies("away/1") == {}
    if how == "unmounted":
        # Nothing was written into the empty mount point.
        assert list(bench.path(name).iterdir()) == []
        subprocess.run(["mount", "--bind", bench.folder / "aside", bench.path(name)], check=True)
        subprocess.run(["umount", "-l", bench.folder / "aside"], check=True)
    else:
        (bench.folder / "aside").rename(bench.path(name))
    bench.wait_for(name, Condition.ONLINE)
    eventually(lambda: bench.ingest(ingest_id).state is IngestState.FAILED, what=lambda: bench.ingest(ingest_id))
    assert bench.ingest(ingest_id).problem["code"] in ("interrupted", "unreachable", "wrong-volume")
    bench.assert_nothing_left()
    accepted = bench.deposit("away/1", body, bag({"large": random.Random(5).randbytes(2_000_000)}))
    assert accepted.created
    assert_receipt(bench, bench.receipt(accepted.ingest_id))
    bench.settle()
    bench.assert_sound()


def test_no_volume_at_all(own):
    for name in "ab":
        own.path(name).rename(own.folder / f"{name}-away")
    for name in "ab":
        own.wait_for(name, Condition.OFFLINE)
    ingest_id = str(uuid.uuid4())
    with pytest.raises(Unreachable) as caught:
        own.receive("nowhere/1", io.BytesIO(b"x"), ingest_id=ingest_id, filename="x")
    assert caught.value.code == "no-volume"
    assert own.ingest(ingest_id).state is IngestState.FAILED
    for name in "ab":
        (own.folder / f"{name}-away").rename(own.path(name))
    for name in "ab":
        own.wait_for(name, Condition.ONLINE)
    own.deposit("nowhere/1", b"x", filename="x")
    own.settle()
    own.assert_sound()


# --- what a crash leaves


def test_what_a_crash_cut_off_is_settled_when_the_node_starts_again(own):
    """Deposits in each of their states: receiving, prepared before the rename, prepared after it."""
    custodian = own.running.custodian
    prepared_after = _prepare(own, "crash/after", put=True)
    prepared_before = _prepare(own, "crash/before", put=False)
    with own.running.catalogue.write() as tx:
        ingests.begin(tx, "receiving", "crash/receiving", "token:test")
    stage = own.running.volumes["a"].stage(custodian.token("ingest", "receiving"), 1)
    sink = stage.create("v1/content/x")
    sink.write(b"half")
    sink.close()
    own.restart()
    own.settle()
    assert own.ingest("receiving").state is IngestState.FAILED
    assert own.ingest(prepared_before).state is IngestState.FAILED
    assert own.ingest(prepared_before).problem["code"] == "interrupted"
    assert_receipt(own, own.receipt(prepared_after))
    own.remember("crash/after", 1, {"x": b"crash/after"})
    for identifier in ("crash/before", "crash/receiving"):
        assert own.copies(identifier) == {}
        own.deposit(identifier, b"again", filename="x")
    own.settle()
    own.assert_sound()


def _prepare(bench: Bench, identifier: str, *, put: bool) -> str:
    """Take a deposit to where a crash would leave it: prepared, and perhaps put in place, but not entered."""

    class Crash(BaseException):
        pass

    def crash(*_args, **_facts):
        raise Crash

    ingest_id = str(uuid.uuid4())
    with pytest.MonkeyPatch.context() as patch:
        if put:
            patch.setattr(accession, "enter", crash)
        else:
            patch.setattr(bench.running.volumes["a"], "put", crash)
            patch.setattr(bench.running.volumes["b"], "put", crash)
        with pytest.raises(Crash):
            bench.receive(identifier, io.BytesIO(identifier.encode()), ingest_id=ingest_id, filename="x")
    found = bench.ingest(ingest_id)
    assert found.state is IngestState.PREPARED
    assert Prepared.from_json(found.prepared).identifier == identifier
    return ingest_id


# --- large ones


class Synthetic(io.RawIOBase):
    """A stream of so many bytes that are nowhere."""

    def __init__(self, size: int) -> None:
        self.left = size
        self._block = random.Random(9).randbytes(1024 * 1024)

    def read(self, size=-1, /):
        count = min(size, self.left, len(self._block))
        self.left -= count
        return self._block[:count]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_does_not_grow_with_the_deposit(own):
    own.deposit("warm/up", b"x" * 5_000_000, filename="x")
    own.settle()
    size = 1024**3
    _most_resident_bytes()
    resident = _most_resident_bytes()
    accepted = own.receive("large/1", Synthetic(size), filename="large.bin", content_length=size)
    eventually(lambda: own.ingest(accepted.ingest_id).receipt, 240)
    assert _most_resident_bytes() - resident < 64 * 1024**2
    own.settle()
    own.assert_nothing_left()


def _most_resident_bytes() -> int:
    """The most memory that this process had at any time since it was asked last (proc(5), clear_refs)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            Path("/proc/self/clear_refs").write_text("5")
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say")


def test_a_bag_that_says_very_much_is_kept_whole_and_told_in_brief(bench):
    info = [("Title", "Hồ sơ"), *((f"X-{n}", "y" * 500) for n in range(100))]
    files = bag({"a": b"1"}, info)
    bench.deposit("H49/much", tar_of(files), files)
    with bench.running.catalogue.read() as tx:
        package = packages.get(tx, "H49/much")
        (version,) = packages.versions_of(tx, package.id)
        assert (package.descriptive.title, packages.metadata(tx, version.id)) == ("Hồ sơ", {})
    (validation,) = [e for e in bench.events(EventType.VALIDATION) if e.identifier == "H49/much"]
    assert "stays in the bag alone" in validation.detail["warnings"][0]
