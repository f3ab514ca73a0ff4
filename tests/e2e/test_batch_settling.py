"""What is said of a batch is true after a kill, an outage and a race: nothing is entered that is not stored, and the
receipt of a delivery names exactly what it holds."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import uuid

import pytest

from tests.support.nodes import Bench, eventually
from tests.support.uploading import upload
from vault.catalog import batches, packages
from vault.catalog.batches import Batch, Counts, ListedPackage
from vault.errors import Conflict, Invalid, Unreachable
from vault.intake import accession
from vault.intake.batches import Opening
from vault.model import Descriptive, EventType, IngestState
from vault.signing import canonical_json, verify_document

AGENT = "token:test"


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def opened(bench: Bench, *names: str) -> str:
    listed = [
        ListedPackage(name, {"sha256": hashlib.sha256(name.encode()).hexdigest()}, 1, len(name.encode()))
        for name in names
    ]
    batch, created = bench.running.batches.open(Opening(str(uuid.uuid4()), "1", "H49", "Sở Nội vụ", listed), AGENT)
    assert created
    return batch.id


def deposit(bench: Bench, batch: str, name: str, **request):
    return bench.deposit(name, name.encode(), filename="x", descriptive=Descriptive(batch=batch), **request)


def counts(bench: Bench, batch: str) -> Counts:
    with bench.running.catalogue.read() as tx:
        return batches.counts(tx, batch)


def close(bench: Bench, batch: str, **closing) -> Batch:
    return bench.running.batches.close(batch, AGENT, **closing)


def assert_true(bench: Bench, closed: Batch) -> None:
    """The receipt is signed, and what it names is what the catalogue holds."""
    receipt = closed.receipt
    assert receipt is not None
    assert verify_document(receipt, [bench.running.key.public_key]).ok
    with bench.running.catalogue.read() as tx:
        held = []
        for item in batches.all_items(tx, closed.id, batches.Show.ENTERED):
            version = packages.version(tx, item.identifier, item.version)
            assert version is not None
            assert packages.receipt(tx, version.id), "no package of it is without its own receipt"
            held.append([item.identifier, version.number, f"{version.algorithm}:{version.content_digest}"])
    assert receipt["packages"]["entered"] == len(held)
    assert receipt["list"]["entered_sha256"] == hashlib.sha256(canonical_json(held)).hexdigest()


def test_a_package_that_is_entered_after_a_cut_is_of_its_batch(bench, monkeypatch):
    batch = opened(bench, "hồ sơ")

    def no_answer(*_args, **_kwargs):
        raise Unreachable("The catalogue does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(accession, "enter", no_answer)
        patched.setattr(accession, "settle", no_answer)
        with pytest.raises(Unreachable):
            deposit(bench, batch, "hồ sơ", ingest_id="cut-off")
        assert counts(bench, batch).entering == 1
        with pytest.raises(Invalid) as refused:
            close(bench, batch, accept_differences=True)
        assert refused.value.code == "batch-not-ready"
    bench.remember("hồ sơ", 1, {"x": "hồ sơ".encode()})
    eventually(lambda: bench.ingest("cut-off").state is IngestState.RECEIPTED, 30)
    assert counts(bench, batch).approved == 1
    assert_true(bench, close(bench, batch))
    bench.settle()
    bench.assert_sound()


def test_after_a_restart_a_batch_goes_on_where_it_was(bench):
    batch = opened(bench, "a", "b")
    bench.receipt(deposit(bench, batch, "a").ingest_id)
    bench.restart()
    bench.wait_for("a", "online")
    bench.wait_for("b", "online")
    bench.receipt(deposit(bench, batch, "b").ingest_id)
    closed = close(bench, batch)
    assert_true(bench, closed)
    bench.restart()
    assert close(bench, batch) == closed
    assert len(bench.events(EventType.BATCH_CLOSED)) == 1
    bench.assert_ledger()


def test_a_deposit_that_a_closing_overtook_is_refused_and_leaves_nothing(bench):
    batch = opened(bench, "a", "b")
    bench.receipt(deposit(bench, batch, "a").ingest_id)
    arrived, go_on = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size=-1, /):
            arrived.set()
            assert go_on.wait(30)
            return super().read(size)

    refused: list[BaseException] = []

    def slowly() -> None:
        try:
            bench.receive("b", Slow(b"b"), filename="x", descriptive=Descriptive(batch=batch))
        except Conflict as error:
            refused.append(error)

    thread = threading.Thread(target=slowly)
    thread.start()
    assert arrived.wait(30)
    closed = close(bench, batch, accept_differences=True)
    go_on.set()
    thread.join(30)
    assert [error.code for error in refused] == ["batch-closed"]
    assert bench.copies("b") == {}
    bench.assert_nothing_left()
    assert_true(bench, closed)


def test_many_deposits_and_closings_at_once_make_one_receipt_that_is_true(bench):
    names = [f"gói {n}" for n in range(12)]
    batch = opened(bench, *names)
    closings: list[Batch] = []

    def work(own: list[str]) -> None:
        for name in own:
            bench.receipt(deposit(bench, batch, name).ingest_id)

    told: set[str] = set()
    until = time.monotonic() + 120

    def press() -> None:
        while not closings and time.monotonic() < until:
            try:
                closings.append(close(bench, batch))
            except Invalid as error:
                told.add(error.code)

    threads = [threading.Thread(target=work, args=(names[n::3],)) for n in range(3)]
    threads += [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert told <= {"batch-not-ready", "batch-differs"}
    assert closings
    assert len({canonical_json(dict(closed.receipt or {})) for closed in closings}) == 1
    assert counts(bench, batch).approved == len(names)
    assert_true(bench, closings[0])
    assert len(bench.events(EventType.BATCH_CLOSED)) == 1
    bench.settle()
    bench.assert_sound(others=False)


def test_an_upload_goes_into_its_batch_and_one_for_a_closed_batch_is_not_begun(bench):
    batch = opened(bench, "a")
    bench.receipt(upload(bench, "a", b"a", filename="x", descriptive=Descriptive(batch=batch)))
    assert_true(bench, close(bench, batch))
    with pytest.raises(Conflict) as refused:
        upload(bench, "b", b"b", filename="x", descriptive=Descriptive(batch=batch))
    assert refused.value.code == "batch-closed"
    bench.settle()
