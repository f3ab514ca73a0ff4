"""Formatting, and sessions that append: what is kept, what is refused, and what happens at the end of the tape."""

import contextlib
import os
import unicodedata

import pytest

from hardware.errors import Full, MediumChanged, NotFound, Refused, Unsupported
from hardware.ltfs import (
    Attribute,
    DirectoryEntry,
    ExtendedAttribute,
    Location,
    Room,
    VirtualMedium,
    Volume,
    WriteSession,
    format_volume,
)
from hardware.ltfs.mam import text_of

BLOCK = 524288


@pytest.fixture
def session(cartridge):
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as opened:
        yield opened


def test_formatted_volume_says_who_it_is(blank):
    label = blank.format(serial="KHO042", barcode="KHO042L8", name="Kho số 42")
    with VirtualMedium.open(blank.path) as medium, Volume.open(medium) as volume:
        assert volume.label.volume_uuid == label.volume_uuid
        assert volume.label.serial == "KHO042"
        assert volume.header.volume_name == "Kho số 42"
        assert [entry.path for entry in volume.entries()] == [""]
        assert text_of(medium.attribute(0, Attribute.BARCODE)) == "KHO042L8"
        assert text_of(medium.attribute(0, Attribute.MEDIUM_LABEL)) == "Kho số 42"
    assert blank.last().clean


def test_formatting_destroys_nothing_unasked(cartridge):
    cartridge.write({"f": b"x"})
    with VirtualMedium.open(cartridge.path, write=True) as medium:
        with pytest.raises(Refused, match="VLT001"):
            format_volume(medium, serial="VLT002")
        assert cartridge_is_readable(medium)
        format_volume(medium, serial="VLT002", overwrite=True)
    assert cartridge.paths() == []
    assert {name for name in cartridge.names() if name.startswith("1_")} == {
        "1_0_R", "1_1_F", "1_2_R", "1_3_F", "1_4_F", "1_5_R", "1_6_F", "1_7_E"
    }  # fmt: skip


def cartridge_is_readable(medium):
    with Volume.open(medium) as volume:
        return volume.find("f").length == 1


@pytest.mark.parametrize(
    "options", [{"serial": "short"}, {"serial": "VLT001", "barcode": "Đ"}, {"serial": "VLT001", "blocksize": 100}]
)
def test_impossible_formats_are_refused_before_anything_is_written(blank, options):
    with VirtualMedium.create(blank.path) as medium, pytest.raises(Refused):
        format_volume(medium, **options)
    assert blank.names() == {"0_0_E", "1_0_E"}


def test_what_was_written_is_read(cartridge):
    big = os.urandom(2 * BLOCK)
    now = 1_700_000_000_123_456_789
    attribute = ExtendedAttribute("sha256", b"ab" * 32)
    with (
        VirtualMedium.open(cartridge.path, write=True) as medium,
        WriteSession.open(medium, clock=lambda: now) as session,
    ):
        entry = session.append(
            "Sơn La/hồ sơ: 1%.tar", [big[:7], big[7:BLOCK], big[BLOCK:]], attributes=[attribute], modified=5
        )
        assert entry.times.modified == 5
        session.append("empty", [])
        session.append("locked", [b"x"], read_only=True)
        header = session.commit()
    assert (header.files, header.directories, header.generation) == (3, 1, 2)
    by_path = {entry.path: entry for entry in cartridge.entries()}
    assert set(by_path) == {"", "Sơn La", "Sơn La/hồ sơ: 1%.tar", "empty", "locked"}
    assert by_path["Sơn La/hồ sơ: 1%.tar"] == entry
    assert entry.attributes == (attribute,)
    assert by_path["locked"].read_only
    assert by_path["empty"].extents == ()
    assert len({entry.uid for entry in by_path.values()}) == 5
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        assert b"".join(volume.read(entry)) == big


def test_names_are_kept_in_nfc_so_that_two_writers_cannot_differ(cartridge):
    name = "hồ sơ"
    cartridge.write({unicodedata.normalize("NFD", name): b"x"})
    assert cartridge.paths() == [unicodedata.normalize("NFC", name)]
    with pytest.raises(Refused):
        cartridge.write({unicodedata.normalize("NFC", name): b"y"})


def test_pieces_of_any_size_make_full_blocks(cartridge):
    data = os.urandom(3 * BLOCK + 100)
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as session:
        for step in (1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK):
            session.append(f"by {step}", [data[at : at + step] for at in range(0, len(data), step)])
        session.commit()
    sizes = {os.path.getsize(cartridge.path / f"1_{block}_R") for block in range(7, 7 + 20)}
    assert sizes == {BLOCK, 100}
    assert len(set(cartridge.holds().values())) == 1


def test_sessions_add_to_one_another(cartridge):
    for number in range(4):
        cartridge.write({f"d/{number}": bytes((number,)), f"e{number}/f": b"x"})
    assert len(cartridge.holds()) == 8
    last = cartridge.last()
    assert (last.header.generation, last.header.files, last.header.directories) == (5, 8, 5)
    assert last.clean
    # The index partition holds the newest index alone.
    assert {name for name in cartridge.names() if name.startswith("0_")} == {
        "0_0_R", "0_1_F", "0_2_R", "0_3_F", "0_4_F", "0_5_R", "0_6_F", "0_7_E"
    }  # fmt: skip


@pytest.mark.parametrize("path", ["", "/abs", "a/../b", "..", "a//b", "x" * 256])
def test_impossible_paths_are_refused_and_the_session_goes_on(session, path):
    with pytest.raises(Refused):
        session.append(path, [b"x"])
    session.append("fine", [b"y"])
    assert session.commit().files == 1


def test_names_that_are_taken_are_refused(cartridge):
    cartridge.write({"d/f": b"x"})
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as session:
        session.append("new/g", [b"x"])
        for path in ("d", "d/f", "d/f/below", "new", "new/g", "new/g/below"):
            with pytest.raises(Refused):
                session.append(path, [b"y"])
        session.commit()
    assert sorted(cartridge.paths()) == ["d/f", "new/g"]


def test_replacing_keeps_one_file_with_the_newest_bytes(cartridge):
    cartridge.write({"list.json": b"one", "other": b"x"})
    for number in (b"two", b"three"):
        with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as session:
            session.append("list.json", [b"draft"], replaces=True)
            session.append("list.json", [number], replaces=True)
            assert session.commit().files == 2
    assert sorted(cartridge.paths()) == ["list.json", "other"]
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        assert b"".join(volume.read(volume.find("list.json"))) == b"three"


def test_without_commit_nothing_is_on_the_volume(cartridge):
    cartridge.write({"kept": b"x"})
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as session:
        session.append("lost", [b"y"])
    last = cartridge.last()
    assert cartridge.paths() == ["kept"]
    assert last.header.generation == 2
    assert last.unindexed_blocks == 1
    # The next session writes behind what was left, and the volume is whole again.
    cartridge.write({"new": b"z"})
    assert sorted(cartridge.paths()) == ["kept", "new"]
    assert cartridge.last().clean


def test_checkpoint_makes_durable_what_was_finished(cartridge):
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as session:
        session.append("one", [b"1"])
        assert session.checkpoint().generation == 2
        assert session.checkpoint().generation == 2
        session.append("two/deep", [b"2"])
        assert session.checkpoint().generation == 3
        session.append("lost", [b"3"])
    assert sorted(cartridge.paths()) == ["one", "two/deep"]
    assert cartridge.last().header.location.partition == "b"


def test_commit_after_checkpoint_and_after_commit(cartridge):
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as session:
        session.append("one", [b"1"])
        session.checkpoint()
        assert session.commit().location == Location("a", 5)
        before = cartridge.names()
        assert session.commit().generation == 2
        assert cartridge.names() == before
        session.append("two", [b"2"])
        assert session.commit().generation == 3
    assert cartridge.last().clean
    assert sorted(cartridge.paths()) == ["one", "two"]


def test_session_with_nothing_new_writes_nothing(cartridge):
    cartridge.write({"f": b"x"})
    before = {name: os.stat(cartridge.path / name).st_ino for name in os.listdir(cartridge.path)}
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as session:
        session.commit()
    assert {name: os.stat(cartridge.path / name).st_ino for name in os.listdir(cartridge.path)} == before


def test_abandoned_file_is_not_there_and_the_next_one_is(session, cartridge):
    def breaks():
        yield b"x" * (BLOCK + 1)
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="broke"):
        session.append("half", breaks())
    with session.create("given up") as writer:
        writer.write(b"y" * BLOCK)
    session.append("whole", [b"z"])
    session.commit()
    session._medium.close()
    assert cartridge.paths() == ["whole"]
    assert list(cartridge.holds()) == ["whole"]


def test_one_file_at_a_time(session):
    writer = session.create("one")
    for act in (lambda: session.create("two"), session.commit, session.checkpoint):
        with pytest.raises(Refused):
            act()
    writer.write(b"x")
    writer.finish()
    for act in (writer.finish, lambda: writer.write(b"y")):
        with pytest.raises(Refused):
            act()
    assert session.commit().files == 1


def test_session_ends_when_closed(session):
    session.close()
    for act in (session.commit, session.checkpoint, lambda: session.create("x")):
        with pytest.raises(Refused):
            act()


def test_wrong_volume_is_refused(cartridge):
    with VirtualMedium.open(cartridge.path, write=True) as medium:
        with pytest.raises(Refused, match="drive holds"):
            WriteSession.open(medium, volume_uuid="607f4131-c6cf-4ff4-a7b7-08e050fff9b3")
        with Volume.open(medium) as volume:
            WriteSession.open(medium, volume_uuid=volume.label.volume_uuid).close()


def test_protected_and_locked_volumes_are_refused(cartridge):
    with VirtualMedium.open(cartridge.path) as medium, pytest.raises(Refused, match="protected"):
        WriteSession.open(medium)
    with VirtualMedium.open(cartridge.path, write=True) as medium:
        medium.write_attribute(0, Attribute.VOLUME_LOCK, 0, b"\x02")
        with pytest.raises(Refused, match="locked"):
            WriteSession.open(medium)


@pytest.mark.parametrize("version", [b"1.0", b"2.5.1"])
def test_volumes_of_other_versions_are_read_and_not_extended(cartridge, version):
    cartridge.write({"f": b"x"})
    for name in cartridge.names():
        path = cartridge.path / name
        path.write_bytes(path.read_bytes().replace(b'ltfsindex version="2.4.0"', b'ltfsindex version="%s"' % version))
    assert cartridge.paths() == ["f"]
    with VirtualMedium.open(cartridge.path, write=True) as medium, pytest.raises(Unsupported):
        WriteSession.open(medium)


def test_tape_that_something_else_moved_is_not_written(session, cartridge):
    session.append("one", [b"1"])
    session._medium.locate(0, 0)
    before = cartridge.names()
    with pytest.raises(MediumChanged):
        session.append("two", [b"2"])
    assert cartridge.names() == before
    with pytest.raises(Refused, match="over"):
        session.commit()


class Attention:
    """A medium whose n-th act is met by a unit attention, as after a change of cartridge; then it is dead."""

    def __init__(self, medium, countdown):
        self._medium = medium
        self._countdown = countdown

    def __getattr__(self, name):
        found = getattr(self._medium, name)
        if not callable(found):
            return found

        def act(*arguments, **options):
            self._countdown -= 1
            if self._countdown < 0:
                raise MediumChanged("The medium may have changed.")
            return found(*arguments, **options)

        return act


def test_unit_attention_at_any_act_ends_the_session_and_nothing_is_retried(cartridge):
    cartridge.write({"kept": b"x" * 600_000})
    kept = cartridge.holds()
    number = committed = 0
    while not committed:
        copy = cartridge.copy(cartridge.path.with_name(f"copy{number}"))
        with VirtualMedium.open(copy.path, write=True) as medium:
            dying = Attention(medium, number)
            try:
                with WriteSession.open(dying) as session:
                    session.append("new", [b"y" * 600_000])
                    session.commit()
                    committed = number
            except MediumChanged:
                written = copy.names()
                for act in (session.commit, lambda: session.append("more", [b""])) if "session" in locals() else ():
                    with pytest.raises((MediumChanged, Refused)):
                        act()
                assert copy.names() == written
        held = copy.holds()
        assert kept.items() <= held.items()
        assert set(held) <= {"kept", "new"}
        number += 1
    assert committed > 20


def fill(session, size=5 * BLOCK):
    number = 0
    while True:
        session.append(f"f{number}", [bytes((number % 256,)) * size])
        number += 1


def test_full_tape_keeps_what_was_finished_and_room_for_both_indexes(blank):
    blank.format(capacity_mb=64)
    with VirtualMedium.open(blank.path, write=True) as medium, WriteSession.open(medium) as session:
        with pytest.raises(Full):
            fill(session)
        with pytest.raises(Full):
            session.append("more", [b"x"])
        header = session.commit()
        assert medium.capacity(1).remaining > 0
    assert header.files > 10
    assert len(blank.holds()) == header.files
    assert blank.last().clean
    # However often it is tried, the last indexes have their room.
    files = header.files
    for number in range(100):
        try:
            files = blank.write({f"more{number}": b"x"}).files
        except Full:
            break
    else:
        raise AssertionError("the tape never got full")
    assert len(blank.holds()) == files
    assert blank.last().clean


def test_file_that_cannot_fit_is_refused_before_it_is_begun(blank):
    blank.format(capacity_mb=64)
    with VirtualMedium.open(blank.path, write=True) as medium, WriteSession.open(medium) as session:
        before = blank.names()
        with pytest.raises(Full):
            session.create("huge", length=60 << 20)
        assert blank.names() == before
        session.append("small", [b"x"], length=1)
        assert session.commit().files == 1


def test_index_that_outgrows_what_is_left_stops_the_session_in_time(blank):
    """The early warning says nothing of how large the index will be; the session does."""
    blank.format(capacity_mb=64, blocksize=4096)
    note = [ExtendedAttribute(f"k{number}", os.urandom(4096)) for number in range(20)]
    with VirtualMedium.open(blank.path, write=True) as medium, WriteSession.open(medium) as session:
        count = 0
        with contextlib.suppress(Full):
            while count < 5000:
                session.append(f"f{count}", [b""], attributes=note)
                count += 1
        assert 0 < count < 5000
        assert session.commit().files == count
    assert blank.last().clean
    assert len(blank.paths()) == count


def test_early_warning_of_the_drive_stops_the_session(cartridge):
    class Warns:
        def __init__(self, medium):
            self._medium = medium

        def __getattr__(self, name):
            return getattr(self._medium, name)

        def write(self, record):
            self._medium.write(record)
            return Room.EARLY_WARNING

    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(Warns(medium)) as session:
        # The record that was warned of has been written: a file that ends with it is whole.
        session.append("whole", [b"x" * BLOCK])
        with pytest.raises(Full):
            session.append("next", [b"y"])
        session.commit()
    assert list(cartridge.holds()) == ["whole"]


def test_spool_folder_without_room_is_said_to_be_full(cartridge, tmp_path):
    cartridge.write({"f": b"x"})
    with VirtualMedium.open(cartridge.path) as medium:
        (tmp_path / "spool").mkdir()
        Volume.open(medium, spool=tmp_path / "spool").close()
        assert os.listdir(tmp_path / "spool") == []


def test_cartridge_memory_names_both_indexes_after_a_session(cartridge):
    cartridge.write({"f": b"x"})
    with VirtualMedium.open(cartridge.path) as medium:
        reference = int.from_bytes(medium.attribute(0, 9), "big")
        from hardware.ltfs.mam import parse_coherency

        index, data = (parse_coherency(medium.attribute(number, 0x80C)) for number in (0, 1))
    assert index.change_reference == data.change_reference == reference
    assert (index.generation, data.generation) == (2, 2)
    assert (index.block, data.block) == (5, 9)


def test_index_without_its_last_filemark_gets_it_from_the_next_session(cartridge):
    cartridge.write({"f": b"x"})
    # Killed between the index on the data partition and the mark behind it.
    end = max(int(name.split("_")[1]) for name in cartridge.names() if name.startswith("1_"))
    os.unlink(cartridge.path / f"1_{end - 1}_F")
    os.rename(cartridge.path / f"1_{end}_E", cartridge.path / f"1_{end - 1}_E")
    assert cartridge.last().header.generation == 2
    assert not cartridge.last().data_closed
    cartridge.write({"g": b"y"})
    assert sorted(cartridge.paths()) == ["f", "g"]
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        assert [header.generation for header in volume.generations()] == [3, 2, 1]


def test_data_on_the_index_partition_is_never_overwritten(cartridge):
    """A placement policy of other software puts small files before the index on partition a."""
    cartridge.write({"f": b"from a"})
    text = (cartridge.path / "0_5_R").read_bytes()
    with VirtualMedium.open(cartridge.path, write=True) as medium:
        medium.locate(0, 4)
        medium.write(b"from a")
        medium.write_filemarks(1)
        moved = text.replace(b"<startblock>5<", b"<startblock>6<", 1).replace(
            b"<partition>b</partition>\n<startblock>7<", b"<partition>a</partition>\n<startblock>4<"
        )
        medium.write(moved)
        medium.write_filemarks(1)
    assert cartridge.last().header.first_free("a") == 5
    cartridge.write({"g": b"y"})
    assert len(cartridge.holds()) == 2
    last = cartridge.last()
    assert last.clean
    assert last.on_index == Location("a", 6)
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        assert b"".join(volume.read(volume.find("f"))) == b"from a"
        with pytest.raises(NotFound):
            volume.find("h")
        assert any(isinstance(entry, DirectoryEntry) for entry in volume.entries())
