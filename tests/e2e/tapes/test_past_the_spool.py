"""A package that is larger than the spool goes to tape all the same, straight from the copies on disk."""

import os

from tests.support.nodes import eventually
from tests.support.tapes import TapeBench
from vault.model import CopyState
from vault.tapes import writing

SMALL = 'spool_bytes = "1 MB"'


def never(*_given):
    raise AssertionError("it went through the spool")


def test_a_package_larger_than_the_spool_is_streamed(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "make_tar", never)
    with TapeBench(tmp_path, library_extra=SMALL) as bench:
        bench.deposit("Đ-1", os.urandom(3_000_000), filename="tệp")
        barcode = bench.wait_for_tape("Đ-1")
        bench.settle()
        bench.assert_on_tape("Đ-1", 1, barcode)


def test_one_that_no_longer_fits_on_the_disk_of_the_spool_is_streamed_too(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "make_tar", never)
    monkeypatch.setattr(writing, "_LEFT_FREE", 1 << 60)
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", os.urandom(300_000), filename="tệp")
        bench.assert_on_tape("Đ-1", 1, bench.wait_for_tape("Đ-1"))
        bench.settle()


def test_what_is_found_wrong_while_it_streams_is_begun_anew_from_another_copy(tmp_path):
    with TapeBench(tmp_path, (), library_extra=SMALL) as bench:
        bench.deposit("Đ-1", os.urandom(3_000_000), filename="tệp")
        eventually(lambda: {str(copy.state) for copy in bench.copies("Đ-1").values()} == {"good"}, 30)
        eventually(lambda: len(bench.copies("Đ-1")) == 2, 30)
        source = next(path for path in bench.object_path("a", "Đ-1").rglob("*") if path.stat().st_size == 3_000_000)
        source.chmod(0o644)
        with source.open("r+b") as file:
            file.seek(2_000_000)
            file.write(b"wrong")
        bench.running.tape_desk.make_practice("lib", "VLT001L8", 256 << 20)
        barcode = bench.wait_for_tape("Đ-1")
        bench.settle()
        bench.assert_on_tape("Đ-1", 1, barcode)
        assert bench.copies("Đ-1")["a", 1].state is CopyState.GOOD, "it was repaired"
        assert list((bench.folder / "a" / "evidence").rglob("about.json"))
