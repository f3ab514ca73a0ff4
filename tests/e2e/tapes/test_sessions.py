"""Writing to tape and reading back, by a whole node on a virtual library."""

import json

from hardware.ltfs import VirtualMedium, Volume
from tests.support.nodes import VIETNAMESE, bag, eventually, tar_of
from tests.support.tapes import TapeBench
from vault.model import CopyState, EventType
from vault.tape_model import CartridgeState


def test_a_deposit_comes_to_tape_and_is_proved_there(tmp_path):
    with TapeBench(tmp_path, ("VLT001L8", "VLT002L8")) as bench:
        bench.deposit("Đ-1", tar_of(bag(VIETNAMESE)), files=bag(VIETNAMESE))
        bench.deposit("Đ-2", b"%PDF-1.7 x" * 1000, filename="quyết định.pdf")
        assert bench.wait_for_tape("Đ-1") == "VLT001L8"
        assert bench.wait_for_tape("Đ-2") == "VLT001L8"
        bench.settle()
        bench.assert_on_tape("Đ-1", 1, "VLT001L8")
        bench.assert_on_tape("Đ-2", 1, "VLT001L8")
        cartridge = bench.cartridge("VLT001L8")
        assert cartridge.state is CartridgeState.APPENDABLE
        assert bench.cartridge("VLT002L8").state is CartridgeState.SCRATCH
        assert bench.events(EventType.CARTRIDGE_FORMATTED, volume="VLT001L8")
        assert bench.events(EventType.TAPE_SESSION, volume="VLT001L8")
        bench.assert_ledger()


def test_a_cartridge_explains_itself(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"x" * 5000, filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
    medium = VirtualMedium.open(tmp_path / "library" / "VLT001L8")
    with Volume.open(medium) as volume:
        named = {entry.path: entry for entry in volume.files()}
        contents = json.loads(b"".join(volume.read(named["khoso/contents.json"])))
        identity = json.loads(b"".join(volume.read(named["khoso/volume.json"])))
    medium.close()
    assert identity["barcode"] == "VLT001L8"
    assert identity["set"] == "tape-1"
    assert [(copy["identifier"], copy["version"]) for copy in contents["copies"]] == [("Đ-1", 1)]
    assert {"khoso/ledger.json", "khoso/catalog.db.gz", "READ-ME.txt"} <= named.keys()
    assert list((tmp_path / "state" / "tapes" / "VLT001L8").glob("index-*.xml.gz"))
    assert (tmp_path / "a" / "node" / "tapes" / "VLT001L8.xml.gz").exists()


def test_what_is_damaged_on_tape_is_made_anew_on_another_cartridge(tmp_path):
    with TapeBench(tmp_path, ("VLT001L8", "VLT002L8")) as bench:
        bench.deposit("Đ-1", b"content " * 100_000, filename="tệp")
        first = bench.wait_for_tape("Đ-1")
        bench.settle()
        record = max(bench.records(first), key=lambda path: path.read_bytes().count(b"content "))
        damaged = bytearray(record.read_bytes())
        damaged[300_000] ^= 1
        record.chmod(0o644)
        record.write_bytes(damaged)
        report = bench.verify(volume=first)
        assert (report.checked, report.bad) == (1, 1)
        eventually(lambda: bench.good_tapes("Đ-1") == {"VLT002L8"}, 30, bench.tape_problem)
        bench.settle()
        assert bench.copies("Đ-1")[first, 1].state is CopyState.RETIRED
        assert bench.cartridge(first).state is CartridgeState.SUSPECT
        bench.assert_on_tape("Đ-1", 1, "VLT002L8")
        bench.assert_ledger()


def test_a_later_version_goes_to_tape_as_its_own_part(tmp_path):
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1", 1)
        bench.deposit("Đ-1", b"two", filename="tệp", if_match=1)
        bench.wait_for_tape("Đ-1", 2)
        bench.settle()
        bench.assert_on_tape("Đ-1", 2, "VLT001L8")
