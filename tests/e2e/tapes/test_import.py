"""Cartridges that this node did not write are adopted: their packages, or the list of their files. None is written."""

import hashlib
import shutil

import pytest

from hardware.ltfs import VirtualMedium
from hardware.ltfs.formatting import format_volume
from hardware.ltfs.writer import WriteSession
from tests.support.nodes import VIETNAMESE, bag, eventually, tar_of
from tests.support.tapes import TapeBench
from vault.errors import Conflict, Interrupted, NotFound, Refused, VaultError
from vault.model import CopyState, EventType
from vault.recovery.tape import TapeSource
from vault.tape_model import Adopted, CartridgeState

WHO = "user:test"


def state_of(cartridge):
    """Every byte of a virtual cartridge but what counts its loads."""
    found = hashlib.sha256()
    for path in sorted(cartridge.iterdir()):
        if path.name[:2] in ("0_", "1_"):
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def bring(bench, cartridge, barcode):
    """Put a cartridge from elsewhere into the node's library."""
    made = bench.running.tape_desk.make_practice("lib", barcode, 256 << 20)
    assert made.cartridge.state is CartridgeState.SCRATCH
    folder = bench.library / barcode
    shutil.rmtree(folder)
    shutil.copytree(cartridge, folder)


def foreign(folder, files, serial="OLD001"):
    """An LTFS volume that somebody else wrote."""
    medium = VirtualMedium.create(folder, capacity_mb=256)
    label = format_volume(medium, serial=serial, barcode=f"{serial}L8", name="Phòng Nội vụ")
    with WriteSession.open(medium, volume_uuid=label.volume_uuid) as session:
        for path, data in files.items():
            writer = session.create(path)
            writer.write(data)
            writer.finish()
        session.commit()
    medium.close()


def test_a_cartridge_of_another_node_brings_its_packages_which_count_when_they_were_read(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "here").mkdir()
    with TapeBench(tmp_path / "other", ("ELS001L8",)) as other:
        other.deposit("Đ-1", tar_of(bag(VIETNAMESE)), files=bag(VIETNAMESE))
        other.wait_for_tape("Đ-1")
        other.deposit("Đ-1", b"later content", filename="tệp", if_match=1)
        other.deposit("both", b"the same here and there", filename="tệp")
        other.deposit("clash", b"there", filename="tệp")
        for identifier, number in (("Đ-1", 2), ("both", 1), ("clash", 1)):
            other.wait_for_tape(identifier, number)
        other.settle()
    with TapeBench(tmp_path / "here", ("VLT001L8",)) as bench:
        bench.deposit("clash", b"here", filename="tệp")
        bench.wait_for_tape("clash")
        bring(bench, tmp_path / "other" / "library" / "ELS001L8", "ELS001L8")
        before = state_of(bench.library / "ELS001L8")
        shown, imported = bench.running.tape_import.adopt("ELS001L8", WHO)
        assert (shown.cartridge.state, shown.cartridge.adopted) == (CartridgeState.READ_ONLY, Adopted.KHOSO)
        assert "thu-nghiem" in shown.cartridge.origin
        assert (imported.parts, imported.versions_added, imported.troubles) == (4, 3, 1)
        assert imported.told[0].code == "different-version"
        bench.kept.update({key: kept for key, kept in other.kept.items() if key[0] != "clash"})
        bench.settle(120)
        assert bench.good_tapes("Đ-1", 1) == {"ELS001L8"}
        assert bench.good_tapes("clash") == {"VLT001L8"}
        # The policy asks for two copies on disk: they were made from the tape.
        bench.assert_kept(["a", "b"])
        again = bench.running.tape_import.adopt("ELS001L8", WHO)[1]
        assert (again.known, again.copies_added) == (3, 0)
        bench.deposit("Đ-2", b"for our own tape", filename="tệp")
        assert bench.wait_for_tape("Đ-2") == "VLT001L8"
        bench.settle()
        assert state_of(bench.library / "ELS001L8") == before, "an adopted cartridge is never written to"
        assert bench.events(EventType.CARTRIDGE_ADOPTED, volume="ELS001L8")
        bench.assert_ledger()


def test_an_import_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "here").mkdir()
    with TapeBench(tmp_path / "other", ("ELS001L8",)) as other:
        for number in range(4):
            other.deposit(f"Đ-{number}", b"content %d" % number, filename="tệp")
        other.wait_for_tape("Đ-3")
        other.settle()
    monkeypatch.setattr("vault.recovery.adopting._BATCH", 1)
    with TapeBench(tmp_path / "here", ()) as bench:
        bring(bench, tmp_path / "other" / "library" / "ELS001L8", "ELS001L8")
        importer = bench.running.tape_import
        whole, left = importer._enter_part, [2]

        def break_off(*given):
            left[0] -= 1
            if left[0] < 0:
                raise VaultError("cut off")
            return whole(*given)

        monkeypatch.setattr(importer, "_enter_part", break_off)
        with pytest.raises(VaultError, match="cut off"):
            importer.adopt("ELS001L8", WHO)
        cut = bench.cartridge("ELS001L8")
        assert cut.state is CartridgeState.READ_ONLY
        assert "vaultctl tapes import ELS001L8" in cut.reason
        monkeypatch.undo()
        shown, imported = importer.adopt("ELS001L8", WHO)
        assert (imported.known, imported.copies_added, shown.cartridge.reason) == (2, 2, "")
        eventually(
            lambda: all(bench.good_tapes(f"Đ-{number}") == {"ELS001L8"} for number in range(4)), 60, bench.tape_problem
        )


def test_somebody_elses_cartridge_is_inventoried_and_never_written(tmp_path):
    files = {"thư mục/ảnh.tif": b"x" * 3_000_000, "a.txt": b"abc", "empty": b""}
    foreign(tmp_path / "old", files)
    with TapeBench(tmp_path, ()) as bench:
        bring(bench, tmp_path / "old", "OLD001L8")
        before = state_of(bench.library / "OLD001L8")
        shown, imported = bench.running.tape_import.adopt("OLD001L8", WHO)
        assert (imported.kind, imported.files, imported.parts) == (Adopted.FOREIGN, 3, 0)
        assert "Phòng Nội vụ" in shown.cartridge.origin
        page = bench.running.tape_desk.files("OLD001L8", "", 0, 2)
        rest = bench.running.tape_desk.files("OLD001L8", "", page.next, 2)
        assert {entry.path: entry.length for entry in (*page.files, *rest.files)} == {
            path: len(data) for path, data in files.items()
        }
        assert rest.next is None
        only = bench.running.tape_desk.files("OLD001L8", "thư mục/", 0, 10).files
        assert [entry.path for entry in only] == ["thư mục/ảnh.tif"]
        desk = bench.running.tape_desk
        path = "thư mục/ảnh.tif"
        assert desk.file("OLD001L8", path) is None
        asked = desk.order_file("OLD001L8", path, WHO)
        assert desk.order_file("OLD001L8", path, WHO).id == asked.id
        descriptor, digest = eventually(lambda: desk.file("OLD001L8", path), 30, bench.tape_problem)
        with open(descriptor, "rb") as brought:
            assert brought.read() == files[path]
        assert digest == hashlib.sha512(files[path]).hexdigest()
        eventually(lambda: bench.events(EventType.RECALL_ENDED, volume="OLD001L8"), 30, bench.tape_problem)
        with pytest.raises(NotFound) as missing:
            desk.order_file("OLD001L8", "nothing", WHO)
        assert missing.value.code == "not-on-tape"
        bench.running.tape_desk.checkout("OLD001L8", "kho 1", WHO)
        desk.order_file("OLD001L8", "a.txt", WHO)
        assert eventually(desk.requests, 30, bench.tape_problem)[0].barcode == "OLD001L8"
        assert bench.running.tape_desk.files("OLD001L8", "a", 0, 10).files, "the list is kept off the tape"
        bench.running.tape_desk.checkin("OLD001L8", WHO)
        bench.deposit("Đ-1", b"no cartridge for this", filename="tệp")
        eventually(lambda: bench.running.tape_desk.libraries()[0].lacking, 30, bench.tape_problem)
        assert state_of(bench.library / "OLD001L8") == before
        assert all(copy.volume != "OLD001L8" for copy in bench.all_copies())


def test_what_cannot_be_imported_is_refused_with_its_reason(tmp_path):
    foreign(tmp_path / "twin", {"a": b"a"}, serial="OLD002")
    with TapeBench(tmp_path, ("VLT001L8", "BLK001L8", "OLD001L4", "CLN001CU")) as bench:
        bench.deposit("Đ-1", b"content", filename="tệp")
        ours = bench.wait_for_tape("Đ-1")
        bench.settle()
        blank = ({"VLT001L8", "BLK001L8"} - {ours}).pop()
        bring(bench, tmp_path / "twin", "OLD002L8")
        adopt = bench.running.tape_import.adopt
        assert adopt("OLD002L8", WHO)[1].files == 1
        data = bench.library / blank
        for barcode, kind, code in (
            ("NIX001L8", NotFound, "no-such-cartridge"),
            (ours, Conflict, "cartridge-known"),
            (blank, Refused, "cartridge-blank"),
            ("OLD001L4", Refused, "tape-refused"),
            ("CLN001CU", Refused, "tape-refused"),
        ):
            with pytest.raises(kind) as refused:
                adopt(barcode, WHO)
            assert (barcode, refused.value.code) == (barcode, code)
        (data / "0_0_E").unlink()
        (data / "0_0_R").write_bytes(b"somebody's backup" * 100)
        (data / "0_1_E").touch()
        with pytest.raises(Refused) as refused:
            adopt(blank, WHO)
        assert refused.value.code == "cartridge-not-ltfs"
        with pytest.raises(Refused):
            bench.running.tape_desk.order_file(ours, "khoso/volume.json", WHO)
        copy = bench.copies("Đ-1")[ours, 1]
        assert copy.state is CopyState.GOOD


def test_nobody_is_told_to_erase_a_cartridge_that_the_node_wrote_before_its_catalogue_was_lost(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    with TapeBench(old) as bench:
        bench.deposit("Đ-1", b"the only copy may be here", filename="tệp")
        bench.wait_for_tape("Đ-1")
    shutil.copytree(old / "library", new / "library")
    with TapeBench(new) as bench:
        bench.deposit("Đ-2", b"wants a tape", filename="tệp")
        told = bench.wait_told("cartridge-foreign", "vaultctl tapes import VLT001L8")
        assert "--erase" not in told
        bench.running.tape_import.adopt("VLT001L8", WHO)
        eventually(lambda: bench.good_tapes("Đ-1"))


def test_an_import_says_how_far_it_is_and_goes_on_behind_where_it_was_stopped(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "here").mkdir()
    with TapeBench(tmp_path / "other", ("ELS001L8",)) as other:
        for number in range(5):
            other.deposit(f"Đ-{number}", b"content %d" % number, filename="tệp")
        for number in range(5):
            other.wait_for_tape(f"Đ-{number}")
        other.settle()
    with TapeBench(tmp_path / "here", ()) as bench:
        bring(bench, tmp_path / "other" / "library" / "ELS001L8", "ELS001L8")
        importer, read, seen = bench.running.tape_import, [], []
        part = TapeSource.part

        def watched(source, entry):
            read.append(entry.path)
            seen.append(importer.progress("ELS001L8"))
            if len(read) == 2:
                with pytest.raises(Conflict) as twice:
                    importer.adopt("ELS001L8", WHO)
                assert twice.value.code == "import-running"
                assert importer.stop("ELS001L8").files == 1
            return part(source, entry)

        monkeypatch.setattr(TapeSource, "part", watched)
        with pytest.raises(Interrupted) as stopped:
            importer.adopt("ELS001L8", WHO)
        assert "vaultctl tapes import ELS001L8" in stopped.value.remedy
        assert [(one.files, one.total_files, one.agent) for one in seen] == [(0, 5, WHO), (1, 5, WHO)]
        assert 0 == seen[0].bytes < seen[1].bytes < seen[1].total_bytes
        assert "was not finished" in bench.cartridge("ELS001L8").reason
        told = [event.detail.get("import") for event in bench.events(EventType.CARTRIDGE_ADOPTED)]
        assert told == ["begun", "stopped"]
        for none in (importer.progress, importer.stop):
            with pytest.raises(NotFound):
                none("ELS001L8")
        # What was entered before is not read again.
        imported = importer.adopt("ELS001L8", WHO)[1]
        assert (imported.parts, imported.known, imported.copies_added) == (5, 2, 3)
        assert len(read) == len(set(read)) == 5
        assert seen[2].files == 2
        eventually(
            lambda: all(bench.good_tapes(f"Đ-{number}") == {"ELS001L8"} for number in range(5)), 60, bench.tape_problem
        )
        bench.assert_ledger()
