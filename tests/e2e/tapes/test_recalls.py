"""Content that only a tape has comes back: for whoever asks for it, and to repair the copies on disk."""

import os
import shutil

from tests.support.nodes import VIETNAMESE, bag, eventually, tar_of
from tests.support.tapes import TapeBench
from vault.catalog import packages, recalls
from vault.custody.context import part_of
from vault.model import CopyState, EventType, RecallState


def version_of(bench, identifier, number=1):
    with bench.running.catalogue.read() as tx:
        found = packages.version(tx, identifier, number)
    assert found is not None
    return found


def take_disk_copies_away(bench, identifier):
    for volume in ("a", "b"):
        shutil.rmtree(bench.object_path(volume, identifier))


def state(bench, recall_id):
    with bench.running.catalogue.read() as tx:
        return recalls.get(tx, recall_id)


def test_the_disk_copies_are_made_anew_from_tape(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", tar_of(bag(VIETNAMESE)), files=bag(VIETNAMESE))
        bench.wait_for_tape("Đ-1")
        bench.settle()
        take_disk_copies_away(bench, "Đ-1")
        for volume in ("a", "b"):
            bench.order(volume=volume)
        eventually(lambda: bench.events(EventType.RECALL_ENDED), 60, bench.tape_problem)
        bench.settle()
        bench.assert_kept(["a", "b"])
        assert {str(copy.state) for copy in bench.copies("Đ-1").values()} == {"good"}


def test_one_file_comes_back_by_its_offset(tmp_path):
    payload = {f"tệp-{number}": os.urandom(2_000_000) for number in range(12)}
    with TapeBench(tmp_path, capacity_mb=512) as bench:
        files = bag(payload)
        bench.deposit("Đ-1", tar_of(files), files=files)
        bench.wait_for_tape("Đ-1")
        bench.settle()
        version = version_of(bench, "Đ-1")
        # Nobody looks whether they are there: a repair would recall the whole, and with it what is asked for here.
        take_disk_copies_away(bench, "Đ-1")
        recaller = bench.running.recaller
        before = [task.id for task in done_recalls(bench)]
        asked = recaller.request(version, ["data/tệp-7"], "user:test")
        again = recaller.request(version, ["data/tệp-7"], "user:other")
        assert asked.id == again.id
        eventually(lambda: state(bench, asked.id).state is RecallState.READY, 60, bench.tape_problem)
        descriptor = recaller.cached(part_of(version).object_id, "v1/content/data/tệp-7")
        with open(descriptor, "rb") as file:
            assert file.read() == payload["tệp-7"]
        read = [task.done_bytes for task in done_recalls(bench) if task.id not in before]
        assert sum(read) < 4_000_000


def done_recalls(bench):
    from vault.catalog import tasks
    from vault.model import TaskKind, TaskState

    with bench.running.catalogue.read() as tx:
        return [t for t in tasks.listing(tx, [TaskState.DONE], limit=100) if t.kind is TaskKind.RECALL]


def test_a_recall_that_no_tape_can_answer_fails_with_its_reason(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"x" * 2_000_000, filename="tệp")
        barcode = bench.wait_for_tape("Đ-1")
        bench.settle()
        version = version_of(bench, "Đ-1")
        for record in bench.records(barcode):
            data = record.read_bytes()
            if b"x" * 10_000 in data:
                record.chmod(0o644)
                record.write_bytes(data.replace(b"x" * 1000, b"y" * 1000, 1))
        take_disk_copies_away(bench, "Đ-1")
        for volume in ("a", "b"):
            bench.order(volume=volume)
        eventually(
            lambda: {str(c.state) for c in bench.copies("Đ-1").values()} <= {"missing", "damaged", "suspect"},
            60,
            bench.tape_problem,
        )
        eventually(lambda: bench.copies("Đ-1")[barcode, 1].state is CopyState.DAMAGED, 60, bench.tape_problem)
        assert version.number == 1
        ended = eventually(lambda: bench.events(EventType.RECALL_ENDED), 60, bench.tape_problem)
        assert ended[-1].outcome == "failure"
        assert "No tape" in str(ended[-1].detail)
