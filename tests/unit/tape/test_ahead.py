"""Reading ahead: the next piece is on its way while one is used, in bounded memory, and nothing goes on unseen."""

import os
import threading

import pytest

from hardware.ahead import ReadAhead
from hardware.errors import Corrupted, Refused
from hardware.ltfs import VirtualMedium
from hardware.tape.libraries import own_sessions, virtual_library
from hardware.tape.reading import Wanted
from hardware.tape.virtual import VirtualChanger
from tests.support.nodes import eventually

MIB = 1 << 20


def test_the_next_piece_is_read_while_one_is_used():
    asked = threading.Event()

    def source():
        yield b"one"
        asked.set()
        yield b"two"

    ahead = ReadAhead(source())
    assert next(ahead) == b"one"
    assert asked.wait(30), "nobody reads while the first piece is used"
    assert list(ahead) == [b"two"]


def test_no_more_is_held_than_was_allowed():
    taken = 0

    def source():
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield bytes(100)

    ahead = ReadAhead(source(), 500)
    eventually(lambda: taken >= 5)
    next(ahead)
    eventually(lambda: taken >= 6)
    ahead.close()
    assert taken == 6


def test_an_error_comes_behind_what_was_read_before_it():
    def source():
        yield b"one"
        yield b"two"
        raise Corrupted("The block cannot be read.")

    ahead = ReadAhead(source())
    assert [next(ahead), next(ahead)] == [b"one", b"two"]
    with pytest.raises(Corrupted, match="block"):
        next(ahead)


def test_what_was_given_up_is_no_end():
    closed = threading.Event()

    def source():
        try:
            while True:
                yield bytes(100)
        finally:
            closed.set()

    ahead = ReadAhead(source(), 300)
    next(ahead)
    ahead.close()
    ahead.close()
    with pytest.raises(Refused, match="given up"):
        next(ahead)
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def session(tmp_path):
    """A cartridge in a drive, with files of 6 MiB."""
    with VirtualChanger.create(tmp_path / "library", drives=1, slots=1, import_export=0) as changer:
        changer.add_cartridge("VLT001L8", capacity_mb=256)
    with (
        virtual_library(tmp_path / "library", new_session=own_sessions(tmp_path)) as library,
        library.load("VLT001L8") as found,
    ):
        with found.open_for_writing(found.format()) as writing:
            for name in ("a", "b"):
                sink = writing.create(name)
                sink.write(name.encode() * (6 * MIB))
                sink.finish()
            writing.commit()
        yield found


def test_a_tape_is_read_ahead_and_stands_still_for_whoever_comes_next(session, monkeypatch):
    blocks = []
    read = VirtualMedium.read

    def watched(medium):
        blocks.append(medium.position().block)
        return read(medium)

    with session.open_for_reading() as reader:
        a, b = reader.find("a"), reader.find("b")
        monkeypatch.setattr(VirtualMedium, "read", watched)
        given_up = None
        for wanted, pieces in reader.in_tape_order([Wanted("b", b), Wanted("a", a)]):
            if wanted.key == "a":
                given_up = pieces
                assert next(pieces) == b"a" * 524288
                eventually(lambda: len(blocks) > 3)
                assert len(blocks) < 7
            else:
                assert b"".join(pieces) == b"b" * (6 * MIB)
        assert blocks == sorted(set(blocks)), "the tape went back"
        with pytest.raises(Refused):
            next(given_up)
        # Whoever does not say how far he reads gets what he asked for, and no more.
        blocks.clear()
        assert next(reader.read(a)) == b"a" * 524288
        assert len(blocks) == 1
        assert reader.read(a, MIB, 5 * MIB) is not None
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}


def test_a_block_that_cannot_be_read_is_told_where_it_stands(session, monkeypatch):
    with session.open_for_reading() as reader:
        entry = reader.find("a")
        bad = entry.start.block + 9
        read = VirtualMedium.read

        def failing(medium):
            if medium.position().block == bad:
                raise Corrupted("The medium cannot be read there (3/11/00).")
            return read(medium)

        monkeypatch.setattr(VirtualMedium, "read", failing)
        pieces = reader.read(entry, 0, entry.length)
        assert [len(next(pieces)) for _ in range(9)] == [524288] * 9
        with pytest.raises(Corrupted, match="3/11/00"):
            next(pieces)


def _from_disk():
    """Bytes that this process had fetched from a disk (proc_pid_io(5))."""
    with open("/proc/self/io", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("read_bytes"))


def test_what_a_tape_gives_comes_from_the_disk_below_and_not_from_memory(session, tmp_path):
    record = next((tmp_path / "library" / "VLT001L8").glob("1_*_R"))
    with record.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        before = _from_disk()
        file.read()
    if _from_disk() == before:
        pytest.skip("what is below the temporary folder is no disk")
    for _ in range(2):
        before = _from_disk()
        with session.open_for_reading() as reader:
            reader.digest(reader.find("a"))
        assert _from_disk() - before >= 6 * MIB
