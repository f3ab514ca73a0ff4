"""Uploads and the node under them: restarts, outages and full volumes cost no byte that was promised."""

from __future__ import annotations

import io
import os
from datetime import timedelta

import pytest

from tests.support.nodes import VIETNAMESE, Bench, assert_receipt, bag, eventually, tar_of
from tests.support.uploading import AGENT, begin, mine, offset_of, send, upload
from vault.catalog.schema import uploads as table
from vault.errors import Conflict, Full, Interrupted, Invalid, Refused, Unreachable
from vault.intake import accession
from vault.intake.deposit import DepositRequest
from vault.intake.uploads import Checksum
from vault.model import Condition, IngestState
from vault.volumes.directory import DirectoryVolume


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def files(bench: Bench) -> list[str]:
    return [p.name for v in bench.settings.volumes for p in (bench.path(v.name) / "uploads").glob("*")]


def test_an_upload_goes_on_after_a_restart(bench):
    body = tar_of(bag(VIETNAMESE))
    upload_id = begin(bench, "gói", len(body))
    with pytest.raises(Interrupted):
        send(bench, upload_id, 0, body, drop=5000)
    bench.restart()
    assert offset_of(bench, upload_id) == 5000
    assert bench.ingest(upload_id).state is IngestState.RECEIVING
    for volume in bench.settings.volumes:
        bench.wait_for(volume.name, Condition.ONLINE)
    send(bench, upload_id, 5000, body[5000:])
    assert_receipt(bench, bench.receipt(upload_id))
    bench.remember("gói", 1, bag(VIETNAMESE))
    bench.settle()
    bench.assert_sound()
    eventually(lambda: not files(bench))


def test_what_a_crash_left_behind_the_promised_offset_is_cut_off(bench):
    body = os.urandom(9000)
    upload_id = begin(bench, "gói", len(body), filename="x")
    with pytest.raises(Interrupted):
        send(bench, upload_id, 0, body, drop=4000)
    (file,) = [p for v in "ab" for p in (bench.path(v) / "uploads").glob(upload_id)]
    with file.open("ab") as more:
        more.write(b"never promised")
    send(bench, upload_id, 4000, body[4000:])
    bench.receipt(upload_id)
    bench.remember("gói", 1, {"x": body})
    bench.settle()
    bench.assert_sound()


def test_a_node_that_is_stopped_while_it_takes_one_in_does_so_when_it_is_back(bench, monkeypatch):
    taking = bench.running.intake.take_in

    def stopped(request, body):
        bench.running.finishing._stopping.set()
        with bench.running.finishing._wanted:
            bench.running.finishing._wanted.notify_all()
        return taking(request, body)

    with monkeypatch.context() as patched:
        patched.setattr(bench.running.intake, "take_in", stopped)
        body = os.urandom(100_000)
        upload_id = upload(bench, "gói", body, filename="x")
        eventually(lambda: not any(t.is_alive() for t in bench.running.finishing._threads))
    assert bench.ingest(upload_id).state is IngestState.RECEIVING
    bench.restart()
    assert_receipt(bench, bench.receipt(upload_id))
    bench.remember("gói", 1, {"x": body})
    bench.settle()
    bench.assert_sound()


class CutOffError(BaseException):
    """What stands for a kill between two statements."""


@pytest.mark.parametrize("where", ["before the rename", "after the rename"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_cut_off_about_the_rename_comes_to_the_same_ingest(bench, monkeypatch, where):
    real = DirectoryVolume.put

    def cut_off(*args, **kwargs):
        if where == "after the rename":
            real(*args, **kwargs)
        raise CutOffError

    body = os.urandom(10_000)
    with monkeypatch.context() as patched:
        patched.setattr(DirectoryVolume, "put", cut_off)
        upload_id = upload(bench, "gói", body, filename="x")
        eventually(lambda: not all(t.is_alive() for t in bench.running.finishing._threads))
    assert bench.ingest(upload_id).state is IngestState.PREPARED
    bench.restart()
    assert_receipt(bench, bench.receipt(upload_id))
    assert bench.ingest(upload_id).version == 1
    bench.remember("gói", 1, {"x": body})
    bench.settle()
    bench.assert_sound()
    eventually(lambda: not files(bench))


def test_an_outage_is_waited_for_and_nothing_need_be_sent_again(bench):
    body = os.urandom(50_000)
    upload_id = begin(bench, "gói", len(body), filename="x")
    with pytest.raises(Interrupted):
        send(bench, upload_id, 0, body, drop=20_000)
    holder = bench.running.uploads.find(upload_id, mine).volume
    away = bench.folder / "away"
    bench.path(holder).rename(away)
    with pytest.raises(Unreachable):
        send(bench, upload_id, 20_000, body[20_000:])
    assert offset_of(bench, upload_id) == 20_000
    away.rename(bench.path(holder))
    bench.wait_for(holder, Condition.ONLINE)
    send(bench, upload_id, 20_000, body[20_000:])
    bench.receipt(upload_id)
    bench.remember("gói", 1, {"x": body})
    bench.settle()
    bench.assert_sound()


def test_taking_in_is_tried_again_after_a_failure_of_ours(bench, monkeypatch):
    failures = []
    real = accession.enter

    def failing(*args, **kwargs):
        if len(failures) < 1:
            failures.append(1)
            raise Unreachable("The catalogue is away.")
        return real(*args, **kwargs)

    monkeypatch.setattr(accession, "enter", failing)
    upload_id = upload(bench, "gói", b"bytes", filename="x")
    assert_receipt(bench, bench.receipt(upload_id))
    assert failures


def test_bytes_that_somebody_removed_are_asked_for_again(bench):
    upload_id = begin(bench, "gói", 10, filename="x")
    with pytest.raises(Interrupted):
        send(bench, upload_id, 0, b"0123456789", drop=5)
    (file,) = [p for v in "ab" for p in (bench.path(v) / "uploads").glob(upload_id)]
    file.unlink()
    with pytest.raises(Conflict) as refused:
        send(bench, upload_id, 5, b"56789")
    assert refused.value.code == "wrong-offset"
    assert offset_of(bench, upload_id) == 0
    send(bench, upload_id, 0, b"0123456789")
    bench.receipt(upload_id)


def test_the_same_content_again_is_the_same_version(bench):
    first, second = (upload(bench, "gói", b"same", filename="x") for _ in range(2))
    receipts = [bench.receipt(upload_id) for upload_id in (first, second)]
    assert receipts[0] == receipts[1]
    third = upload(bench, "gói", b"other", filename="x")
    ingest = eventually(lambda: (i := bench.ingest(third)).state is IngestState.REFUSED and i)
    assert ingest.problem["code"] == "different-content"
    fourth = upload(bench, "gói", b"other", filename="x", if_match=1)
    assert bench.receipt(fourth)["version"] == "v2"


def test_files_of_uploads_that_nobody_knows_go_when_their_volume_comes(bench):
    for name in "ab":
        (bench.path(name) / "uploads").mkdir(exist_ok=True)
        (bench.path(name) / "uploads" / "0000-of-nobody").write_bytes(b"x")
    kept = begin(bench, "gói", 10)
    send(bench, kept, 0, b"01234")
    bench.restart()
    eventually(lambda: files(bench) == [kept])


def test_what_uploads_announce_is_bounded_together(tmp_path):
    with Bench(tmp_path, extra='[intake]\nmax_upload_bytes = "1 MB"\nmax_uploads = 3') as bench:
        begin(bench, "a", 600_000)
        with pytest.raises(Unreachable) as refused:
            begin(bench, "b", 600_000)
        assert refused.value.code == "uploads-full"
        begin(bench, "c", 1)
        begin(bench, "d", None)
        with pytest.raises(Unreachable):
            begin(bench, "e", 1)


def test_a_volume_without_room_for_what_is_on_its_way_takes_no_more(bench):
    half = bench.running.volumes["a"].probe().free_bytes * 6 // 10
    bench.stop()
    bench.start(bench.configured(extra=f"[intake]\nmax_package_bytes = {half}\nmax_inflated_bytes = {half}"
                                 f"\nmax_upload_bytes = {10 * half}"))  # fmt: skip
    for volume in "ab":
        bench.wait_for(volume, Condition.ONLINE)
    taken = [begin(bench, "lớn/1", half)]
    with pytest.raises(Full) as refused:
        taken += [begin(bench, f"lớn/{number}", half) for number in range(2, 5)]
    assert "on their way" in refused.value.message
    assert 1 <= len(taken) <= 2


def test_a_request_for_an_upload_that_was_ended_meanwhile_is_refused(bench):
    upload_id = begin(bench, "gói", 10)

    class Ending(io.BytesIO):
        def read(self, size=-1, /):
            data = super().read(size)
            if data:
                found = bench.running.uploads._find(upload_id, mine)
                bench.running.uploads.give_up(found, Interrupted("over", code="upload-expired"))
            return data

    with pytest.raises(Refused) as refused:
        bench.running.uploads.append(upload_id, mine, 0, Ending(b"0123456789"), lambda _error: None)
    assert refused.value.code == "upload-expired"
    assert bench.ingest(upload_id).state is IngestState.FAILED


def test_one_token_leaves_room_for_a_package_of_another(bench):
    limits = "[intake]\nmax_package_bytes = 100\nmax_inflated_bytes = 100\nmax_upload_bytes = 250\n"
    bench.stop()
    bench.start(bench.configured(extra=limits))
    begin(bench, "giữ/1", 100)
    with pytest.raises(Refused) as refused:
        begin(bench, "giữ/2", 60)  # 160 of the 150 that one may announce
    assert refused.value.code == "too-many-uploads"
    begin(bench, "giữ/3", 50)
    another = begin(bench, "khác/1", 100, agent="token:khác")
    with pytest.raises(Unreachable) as full:
        begin(bench, "khác/2", 1, agent="token:khác")
    assert full.value.code == "uploads-full"
    assert another


def test_a_request_that_brings_nothing_does_not_keep_an_upload_alive(bench):
    upload_id = begin(bench, "gói", 10)
    before = bench.running.uploads.find(upload_id, mine).expires_at
    send(bench, upload_id, 0, b"")
    assert bench.running.uploads.find(upload_id, mine).expires_at == before
    send(bench, upload_id, 0, b"abc")
    assert bench.running.uploads.find(upload_id, mine).expires_at > before


def test_what_comes_while_others_expire_is_not_thrown_away(bench):
    uploads = bench.running.uploads
    first, second = begin(bench, "cũ", 10), begin(bench, "mới", 10)
    with bench.running.catalogue.write() as tx:
        tx.connection.execute(table.update().values(expires_at=tx.now - timedelta(seconds=1)))
    free, other = uploads.free, []

    def slow(upload):
        """A volume that takes its time to remove the first; the other is gone on with meanwhile."""
        if not other:
            other.append({first: second, second: first}[upload.id])
            send(bench, other[0], 0, b"abc")
        free(upload)

    uploads.free = slow
    assert uploads.expire() == 1
    assert offset_of(bench, other[0]) == 3


def test_a_checksum_is_of_the_request_and_not_of_the_whole(bench):
    upload_id = begin(bench, "gói", 4, filename="x")
    send(bench, upload_id, 0, b"ab")
    with pytest.raises(Invalid) as refused:
        send(bench, upload_id, 2, b"cd", checksum=Checksum("sha1", bytes(20)))
    assert refused.value.code == "checksum-mismatch"
    assert offset_of(bench, upload_id) == 2


def test_the_request_survives_its_row(bench):
    said = {"kind": "file", "filename": "x.tar", "digests": {"sha-256": "00" * 32}, "must_be_new": True}
    upload_id = begin(bench, "gói", 10, metadata={"box": "12"}, **said)
    from vault.intake.request import request_of

    found = request_of(bench.running.uploads.find(upload_id, mine))
    expected = DepositRequest("gói", upload_id, AGENT, content_length=10, metadata={"box": "12"}, **said)
    assert found == expected
