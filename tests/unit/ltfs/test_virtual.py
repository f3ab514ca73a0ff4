"""The virtual cartridge as a tape: positions, marks, ends; its layout on disk; and hostile folders."""

import contextlib
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hardware.errors import (
    Busy,
    Corrupted,
    Full,
    Malformed,
    MediumChanged,
    NotFound,
    Refused,
    Unreachable,
)
from hardware.ltfs import END, Mark, Position, Room, VirtualMedium
from hardware.ltfs.cartridge import parse_block_name, read_capacity


@pytest.fixture
def medium(tmp_path):
    made = VirtualMedium.create(tmp_path / "c", capacity_mb=64)
    yield made
    made.close()


def read_all(medium, partition):
    medium.locate(partition, 0)
    out = []
    while (block := medium.read()) is not Mark.END_OF_DATA:
        out.append(block)
    return out


def test_layout_is_that_of_the_reference(medium, tmp_path):
    medium.locate(1, 0)
    medium.write(b"VOL1")
    medium.write_filemarks(1)
    medium.write(b"data")
    medium.write_attribute(0, 0x806, 1, b"VLT001")
    blocks = {name for name in os.listdir(tmp_path / "c") if name[0] in "01"}
    assert blocks == {"0_0_E", "1_0_R", "1_1_F", "1_2_R", "1_3_E"}
    assert (tmp_path / "c/1_0_R").read_bytes() == b"VOL1"
    assert (tmp_path / "c/attr_0_806").read_bytes() == b"\x08\x06\x01\x00\x06VLT001"
    # Others than root can read it, which the reference's own cartridges are not.
    assert stat.S_IMODE(os.stat(tmp_path / "c/1_0_R").st_mode) & 0o600 == 0o600


def test_reading_passes_marks_and_stops_at_the_end(medium):
    medium.write(b"one")
    medium.write_filemarks(2)
    medium.write(b"two")
    assert read_all(medium, 0) == [b"one", Mark.FILEMARK, Mark.FILEMARK, b"two"]
    assert medium.read() is Mark.END_OF_DATA
    assert medium.position() == Position(0, 4)
    assert medium.locate(0, END) == Position(0, 4)
    assert medium.locate(0, 99) == Position(0, 4)
    assert medium.locate(1, 1) == Position(1, 0)


def test_spacing_stands_behind_marks_forwards_and_before_them_backwards(medium):
    for text in (b"a", b"b", b"c"):
        medium.write(text)
        medium.write_filemarks(1)
    assert medium.locate(0, 0) == Position(0, 0)
    assert medium.space_filemarks(2) == Position(0, 4)
    assert medium.space_filemarks(-1) == Position(0, 3)
    assert medium.read() is Mark.FILEMARK
    assert medium.space_filemarks(-2) == Position(0, 1)
    assert medium.space_filemarks(0) == Position(0, 1)
    with pytest.raises(NotFound):
        medium.space_filemarks(-1)
    assert medium.position() == Position(0, 0)
    with pytest.raises(NotFound):
        medium.space_filemarks(4)
    assert medium.position() == medium.locate(0, END)


def test_writing_in_the_middle_ends_the_partition_there(medium, tmp_path):
    for number in range(5):
        medium.write(bytes((number + 1,)))
        medium.write_filemarks(1)
    medium.locate(0, 3)
    medium.write(b"new")
    assert read_all(medium, 0) == [b"\x01", Mark.FILEMARK, b"\x02", b"new"]
    assert {name for name in os.listdir(tmp_path / "c") if name.startswith("0_")} == {
        "0_0_R", "0_1_F", "0_2_R", "0_3_R", "0_4_E"
    }  # fmt: skip


def test_change_reference_grows_once_a_session_and_before_the_first_block(tmp_path):
    VirtualMedium.create(tmp_path / "c").close()
    references = []
    for _ in range(3):
        with VirtualMedium.open(tmp_path / "c", write=True) as medium:
            before = medium.attribute(0, 9)
            medium.write(b"x")
            medium.write(b"y")
            references.append((int.from_bytes(before, "big"), int.from_bytes(medium.attribute(0, 9), "big")))
    assert references == [(1, 2), (2, 3), (3, 4)]


def test_attribute_that_is_not_there_is_not_found(medium):
    with pytest.raises(NotFound):
        medium.attribute(1, 0x80C)


def test_one_writes_or_many_read(tmp_path):
    path = tmp_path / "c"
    VirtualMedium.create(path).close()
    with VirtualMedium.open(path), VirtualMedium.open(path), pytest.raises(Busy):
        VirtualMedium.open(path, write=True)
    with VirtualMedium.open(path, write=True), pytest.raises(Busy):
        VirtualMedium.open(path)
    with VirtualMedium.open(path) as medium:
        assert medium.write_protected
        for act in (
            lambda: medium.write(b"x"),
            lambda: medium.write_filemarks(1),
            lambda: medium.write_attribute(0, 9, 0, b""),
            medium.partition_medium,
        ):
            with pytest.raises(Refused):
                act()


def test_closed_medium_is_gone(medium):
    medium.close()
    for act in (medium.position, medium.read, lambda: medium.locate(0, 0), lambda: medium.write(b"x")):
        with pytest.raises(MediumChanged):
            act()


@pytest.mark.parametrize("record", [b"", bytes((4 << 20) + 1)])
def test_impossible_records_are_refused(medium, record):
    with pytest.raises(Refused):
        medium.write(record)


def test_early_warning_comes_before_the_end_and_the_end_is_hard(medium):
    medium.locate(1, 0)
    # 64 MB less 5 %, in blocks of 512 KiB; the last sixteen are foretold.
    rooms = [medium.write(b"x") for _ in range(122)]
    with pytest.raises(Full):
        medium.write(b"x")
    assert rooms.index(Room.EARLY_WARNING) == 122 - 16 - 1
    assert medium.capacity(1).remaining == 0
    assert medium.position() == Position(1, 122)


def test_full_disk_is_full_and_leaves_the_tape_as_it_was(medium, tmp_path, monkeypatch):
    medium.write(b"one")
    real = os.write

    def write(descriptor, data):
        real(descriptor, bytes(data)[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(Full):
        medium.write(b"second")
    monkeypatch.undo()
    assert read_all(medium, 0) == [b"one"]
    assert not (tmp_path / "c/0_1_R").exists()


def test_block_that_was_lost_on_its_way_to_disk_is_never_forgotten(medium, monkeypatch):
    """The kernel reports a failed write-back once; after that it would call everything fine."""
    monkeypatch.setattr(os, "fsync", fail_once(os.fsync))
    medium.write(b"lost")
    for _ in range(3):
        with pytest.raises(Unreachable):
            medium.write_filemarks(1)
    with pytest.raises(Unreachable):
        medium.write(b"more")


def fail_once(real):
    failures = [OSError(5, "Input/output error")]

    def fsync(descriptor):
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and os.fstat(descriptor).st_size == 4 and failures:
            raise failures.pop()
        return real(descriptor)

    return fsync


def test_create_wants_a_place_of_its_own(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(Refused):
        VirtualMedium.create(tmp_path / "full")
    with pytest.raises(Refused):
        VirtualMedium.create(tmp_path / "small", capacity_mb=10)
    with pytest.raises(Unreachable):
        VirtualMedium.create(tmp_path / "full/file/c")


def test_what_is_no_cartridge_is_not_found(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name in ("missing", "file", "empty"):
        with pytest.raises(NotFound):
            VirtualMedium.open(tmp_path / name)


def test_interrupted_writing_is_tidied_by_the_next_writer_and_ignored_by_readers(medium, tmp_path):
    medium.write(b"one")
    medium.write_filemarks(1)
    medium.close()
    folder = tmp_path / "c"
    for name in ("0_2_R", "0_3_F", "0_7_R", "1_0_R"):
        (folder / name).write_bytes(b"half")
    with VirtualMedium.open(folder) as reader:
        assert read_all(reader, 0) == [b"one", Mark.FILEMARK]
        assert read_all(reader, 1) == []
    with VirtualMedium.open(folder, write=True) as writer:
        assert read_all(writer, 0) == [b"one", Mark.FILEMARK]
    assert {name for name in os.listdir(folder) if name[0] in "01"} == {"0_0_R", "0_1_F", "0_2_E", "1_0_E"}


def test_lost_end_of_data_is_where_the_blocks_end(medium, tmp_path):
    medium.write(b"one")
    medium.write_filemarks(1)
    medium.close()
    os.unlink(tmp_path / "c/0_2_E")
    with VirtualMedium.open(tmp_path / "c") as reader:
        assert read_all(reader, 0) == [b"one", Mark.FILEMARK]


def damage_missing(path):
    os.unlink(path)


def damage_link(path):
    os.unlink(path)
    os.symlink("/etc/passwd", path)


def damage_pipe(path):
    os.unlink(path)
    os.mkfifo(path)


def damage_folder(path):
    os.unlink(path)
    os.mkdir(path)


def damage_empty(path):
    os.truncate(path, 0)


def damage_huge(path):
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("damage", [damage_missing, damage_link, damage_pipe, damage_folder, damage_empty, damage_huge])
def test_block_that_is_no_record_is_corrupted_and_never_followed(medium, tmp_path, damage):
    medium.write(b"one")
    medium.write(b"two")
    damage(tmp_path / "c/0_0_R")
    medium.locate(0, 0)
    with pytest.raises(Corrupted):
        medium.read()
    medium.locate(0, 1)
    assert medium.read() == b"two"


@pytest.mark.parametrize("damage", [damage_link, damage_pipe, damage_folder, damage_empty, damage_huge])
def test_damaged_attribute_gives_a_typed_error(medium, tmp_path, damage):
    medium.write_attribute(0, 0x806, 1, b"VLT001")
    damage(tmp_path / "c/attr_0_806")
    with pytest.raises((Malformed, Unreachable)):
        medium.attribute(0, 0x806)


def test_uncached_reading_gives_the_same_bytes(medium, tmp_path):
    data = os.urandom(524288)
    medium.write(data)
    medium.write_filemarks(1)
    medium.close()
    with VirtualMedium.open(tmp_path / "c", uncached=True) as reader:
        assert reader.read() == data


@given(st.one_of(st.text(max_size=30), st.from_regex(r"[01]_\d{1,25}_[RFE]", fullmatch=True)))
def test_any_file_name_is_a_block_or_none(name):
    block = parse_block_name(name)
    if block is not None:
        assert f"{block[0]}_{block[1]}_{block[2]}" == name


@pytest.mark.parametrize("name", ["0_01_R", "2_0_R", "0_0_X", "0_0_R ", "0_-1_R", "0_0_R.bak", "0_٣_R", "attr_0_9"])
def test_what_looks_like_a_block_and_is_none(name):
    assert parse_block_name(name) is None


@given(st.binary(max_size=300))
def test_any_cartridge_description_gives_a_capacity_or_malformed(data):
    for config in (
        data,
        b"<filedebug_cartridge_config><capacity_mb>" + data + b"</capacity_mb></filedebug_cartridge_config>",
    ):
        with contextlib.suppress(Malformed):
            assert read_capacity(config) > 0


class TapeMachine(RuleBasedStateMachine):
    """The medium does what a list of blocks for each partition would do, and survives being closed at any time."""

    @initialize()
    def begin(self):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "c")
        self.medium = VirtualMedium.create(self.path, capacity_mb=64)
        self.tape = ([], [])
        self.at = [0, 0]

    def teardown(self):
        if hasattr(self, "medium"):
            self.medium.close()
            self.folder.cleanup()

    @rule(partition=st.integers(0, 1), block=st.one_of(st.integers(0, 12), st.just(END)))
    def locate(self, partition, block):
        self.at = [partition, min(block, len(self.tape[partition]))]
        assert self.medium.locate(partition, block) == Position(*self.at)

    @precondition(lambda self: self.at[1] < 60)
    @rule(record=st.binary(min_size=1, max_size=9))
    def write(self, record):
        del self.tape[self.at[0]][self.at[1] :]
        self.tape[self.at[0]].append(record)
        self.at[1] += 1
        self.medium.write(record)

    @precondition(lambda self: self.at[1] < 60)
    @rule(count=st.integers(0, 3), flush=st.booleans())
    def mark(self, count, flush):
        if count:
            del self.tape[self.at[0]][self.at[1] :]
        self.tape[self.at[0]].extend([Mark.FILEMARK] * count)
        self.at[1] += count
        self.medium.write_filemarks(count, flush=flush)

    @rule()
    def read(self):
        tape, block = self.tape[self.at[0]], self.at[1]
        found = self.medium.read()
        if block == len(tape):
            assert found is Mark.END_OF_DATA
        else:
            assert found == tape[block]
            self.at[1] += 1

    @rule(count=st.integers(-3, 3).filter(bool))
    def space(self, count):
        tape, block = self.tape[self.at[0]], self.at[1]
        marks = [number for number, item in enumerate(tape) if item is Mark.FILEMARK]
        ahead = [number + 1 for number in marks if number >= block]
        behind = [number for number in reversed(marks) if number < block]
        way = ahead if count > 0 else behind
        if len(way) < abs(count):
            with pytest.raises(NotFound):
                self.medium.space_filemarks(count)
            self.at[1] = len(tape) if count > 0 else 0
        else:
            self.at[1] = way[abs(count) - 1]
            assert self.medium.space_filemarks(count) == Position(*self.at)

    @rule()
    def reopen(self):
        self.medium.close()
        self.medium = VirtualMedium.open(self.path, write=True)
        self.at = [0, 0]

    @invariant()
    def stands_where_it_should(self):
        if hasattr(self, "medium"):
            assert self.medium.position() == Position(*self.at)


TestTape = TapeMachine.TestCase
TestTape.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
