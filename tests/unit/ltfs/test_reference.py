"""The reference implementation as oracle: it mounts, extends and checks what we write, and we read what it wrote."""

import hashlib
import os
import re

import pytest

from hardware.ltfs import DirectoryEntry, ExtendedAttribute, VirtualMedium, Volume, WriteSession


def digest(data):
    return hashlib.sha256(data).hexdigest()


def walk(point):
    found = {}
    for folder, _, names in os.walk(point):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, point)] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def is_consistent(reference, cartridge):
    code, output = reference.check(cartridge)
    assert code == 1, output
    assert "LTFS16022I" in output, output
    # It had nothing to repair.
    assert "LTFS17259I" not in output, output


FILES = {
    "one": b"1",
    "empty": b"",
    "block": bytes(524288),
    "Sơn La/hồ sơ 1/gói: tin <&> 100%.tar": os.urandom(1_700_000),
    "Sơn La/hồ sơ 2/a b.tar": os.urandom(524289),
    "line\nbreak\ttab": b"control",
    "n" * 255: b"long",
    "x" * 70 + "/" + "Đ" * 127: b"deep",
}


def test_it_mounts_reads_and_extends_what_we_wrote(cartridge, reference):
    cartridge.write({path: data for path, data in FILES.items() if path != "one"})
    cartridge.write(
        {"one": b"1"}, attributes=[ExtendedAttribute("sha256", b"ab"), ExtendedAttribute("bin", b"\x00\xff")]
    )
    is_consistent(reference, cartridge)
    theirs = os.urandom(1_200_000)
    with reference.mount(cartridge) as point:
        assert walk(point) == {path: digest(data) for path, data in FILES.items()}
        assert os.getxattr(point / "one", "user.sha256") == b"ab"
        assert os.getxattr(point / "one", "user.bin") == b"\x00\xff"
        assert os.getxattr(point, "user.ltfs.volumeSerial") == b"VLT001"
        assert os.getxattr(point, "user.ltfs.indexGeneration") == b"3"
        (point / "Sơn La/theirs").write_bytes(theirs)
        (point / "new").mkdir()
        (point / "new/a:b%c").write_bytes(b"y")
        os.setxattr(point / "new/a:b%c", "user.note", b"\x01\x02")
        os.symlink("Sơn La/theirs", point / "link")
    is_consistent(reference, cartridge)
    expected = FILES | {"Sơn La/theirs": theirs, "new/a:b%c": b"y"}
    assert cartridge.holds() == {path: digest(data) for path, data in expected.items()}
    last = cartridge.last()
    assert last.clean
    assert last.coherent
    by_path = {entry.path: entry for entry in cartridge.entries()}
    assert by_path["new/a:b%c"].attributes == (ExtendedAttribute("note", b"\x01\x02"),)
    assert by_path["link"].target == "Sơn La/theirs"
    assert isinstance(by_path["new"], DirectoryEntry)
    # And on: ours, theirs, ours.
    cartridge.write({"new/ours": b"z", "other/ours": b"z"})
    is_consistent(reference, cartridge)
    with reference.mount(cartridge) as point:
        found = walk(point)
        assert os.getxattr(point / "new/a:b%c", "user.note") == b"\x01\x02"
        assert os.readlink(point / "link") == "Sơn La/theirs"
    assert found.pop("link") == digest(theirs)
    assert found == {path: digest(data) for path, data in (expected | {"new/ours": b"z", "other/ours": b"z"}).items()}


def test_we_read_and_extend_what_it_formatted(blank, reference):
    reference.mkltfs(blank)
    assert blank.paths() == []
    with VirtualMedium.open(blank.path) as medium, Volume.open(medium) as volume:
        assert volume.label.serial == "VLT009"
        assert volume.header.volume_name == "Tham chiếu"
        assert volume.last.clean
    blank.write({"a/ours": b"x" * 600_000})
    is_consistent(reference, blank)
    with reference.mount(blank) as point:
        assert walk(point) == {"a/ours": digest(b"x" * 600_000)}
        with open(point / "sparse", "wb") as file:
            file.seek(2_000_000)
            file.write(b"end")
        with open(point / "a/ours", "r+b") as file:
            file.seek(100)
            file.write(b"changed in the middle")
    changed = bytearray(b"x" * 600_000)
    changed[100:121] = b"changed in the middle"
    assert blank.holds() == {"a/ours": digest(changed), "sparse": digest(bytes(2_000_000) + b"end")}


def test_files_it_placed_on_the_index_partition_survive_our_sessions(blank, reference):
    reference.mkltfs(blank)
    code, output = reference.run(
        "mkltfs", "-f", "-e", "file", "-d", blank.path, "-s", "VLT009", "-r", "size=1M/name=*.txt"
    )
    assert code == 0, output
    with reference.mount(blank) as point:
        (point / "small.txt").write_bytes(b"on a")
        (point / "big.bin").write_bytes(b"b" * 700_000)
    partitions = {
        entry.path: {extent.partition for extent in entry.extents}
        for entry in blank.entries()
        if not isinstance(entry, DirectoryEntry)
    }
    assert partitions["small.txt"] >= {"a"}
    before = blank.holds()
    blank.write({"ours": b"x"})
    is_consistent(reference, blank)
    assert blank.holds() == before | {"ours": digest(b"x")}
    with reference.mount(blank) as point:
        (point / "again.txt").write_bytes(b"still on a: the policy was kept")
    assert blank.holds()["again.txt"] == digest(b"still on a: the policy was kept")
    assert "a" in {
        extent.partition for entry in blank.entries() if entry.path == "again.txt" for extent in entry.extents
    }


def test_replaced_files_are_replaced_for_it_too(cartridge, reference):
    cartridge.write({"list": b"one", "d/f": b"x"})
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as session:
        session.append("list", [b"two"], replaces=True)
        session.checkpoint()
        session.append("d/g", [b"y"])
        session.commit()
    is_consistent(reference, cartridge)
    with reference.mount(cartridge) as point:
        assert walk(point) == {"list": digest(b"two"), "d/f": digest(b"x"), "d/g": digest(b"y")}


def stage_data(medium):
    """A session that died in its data."""
    session = WriteSession.open(medium)
    session.append("lost", [b"z" * 600_000])
    session.close()


def stage_between(medium):
    """A session that died when the data partition had its index, and the index partition not."""
    session = WriteSession.open(medium)
    session.append("checkpointed", [b"z" * 600_000])
    session.checkpoint()
    session.close()


@pytest.mark.parametrize("stage", [stage_data, stage_between])
def test_it_accepts_what_we_made_of_a_session_that_died(cartridge, reference, stage):
    cartridge.write({"kept": b"x"})
    with VirtualMedium.open(cartridge.path, write=True) as medium:
        stage(medium)
    # As it stands, without another session of ours: it may have to be asked to repair, and then agrees with us.
    left = cartridge.copy(cartridge.path.with_name("left"))
    code, output = reference.check(left, "-f")
    assert code in {0, 1}, output
    held = cartridge.holds()
    with reference.mount(left) as point:
        found = {path: found for path, found in walk(point).items() if not path.startswith("_ltfs_lostandfound")}
    assert found == held
    assert left.holds().items() >= held.items()
    # After another session of ours it has nothing to repair.
    cartridge.write({"next": b"y"})
    is_consistent(reference, cartridge)
    with reference.mount(cartridge) as point:
        assert walk(point) == held | {"next": digest(b"y")}
    assert held.keys() == ({"kept"} if stage is stage_data else {"kept", "checkpointed"})


def test_it_finds_every_generation_that_we_wrote(cartridge, reference):
    for number in range(3):
        cartridge.write({f"f{number}": b"x"})
    _, output = reference.check(cartridge, "-l")
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        for header in volume.generations():
            place = (volume.labels.number(header.location.partition), header.location.block)
            assert re.search(rf"^ *{header.generation}: .* \({place[0]}, {place[1]}\)", output, re.MULTILINE), output
