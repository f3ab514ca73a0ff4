"""What a drive or a cartridge does wrong becomes an error of its own kind, and nothing that was committed is lost."""

import os

import pytest

from hardware.errors import Corrupted, Refused
from hardware.tape.errors import DeviceFault, DriveVanished, TapeFull
from hardware.tape.session import LtfsVolume, OtherData, Unreadable
from tests.conformance.tape.test_sessions import held, write
from tests.support.tape_faults import (
    DriveFault,
    drive_fault,
    flip_bit,
    make_foreign,
    session_lost,
    spoil_indexes,
    spoil_labels,
)

STRIDE = 1 if os.environ.get("KHOSO_TAPE_FAULTS") else 3
"""Each fault at every third step, and all of them in the long run."""
OLD = {"old.tar": b"o" * 900_000, "list.json": b"[]"}
NEW = {"one.tar": b"1" * 1_600_000, "two.tar": b"2" * 600_000}

ERRORS = {
    DriveFault.WRITE_ERROR: Corrupted,
    DriveFault.DEFECT: DeviceFault,
    DriveFault.VANISHES: DriveVanished,
    DriveFault.FULL: TapeFull,
}


def attempt(session, uuid):
    """A whole session; what was committed, or the error. As a caller does, it commits after TapeFull."""
    with session.open_for_writing(uuid) as writing:
        try:
            for path, data in NEW.items():
                sink = writing.create(path, length=len(data))
                sink.write(data)
                sink.finish()
        except TapeFull:
            pass
        return writing.commit().files


@pytest.mark.parametrize("fault", [*ERRORS, DriveFault.EARLY_WARNING, DriveFault.LIES])
def test_at_every_record_and_mark_of_a_session(own_rig, fault):
    rig = own_rig
    session, uuid = rig.formatted()
    write(session, uuid, OLD)
    with drive_fault() as watch, rig.kept():
        attempt(session, uuid)
    steps = watch.written
    assert steps > 8
    for at in range(1 + list(DriveFault).index(fault) % STRIDE, steps + 1, STRIDE):
        with rig.kept():
            committed, error = (), None
            with drive_fault(fault, at) as watch:
                try:
                    committed = attempt(session, uuid)
                except (Corrupted, DeviceFault, DriveVanished, TapeFull) as caught:
                    error = caught
            assert watch.happened
            found = session.recognise({uuid})
            assert isinstance(found, LtfsVolume), f"write {at}: {found}"
            assert found.ours
            there = held(session)
            assert there.items() >= OLD.items()
            if fault is not DriveFault.LIES:
                # What was said to be committed is there; only a lie is found out by reading back alone.
                assert there.items() >= {path: NEW[path] for path in committed}.items()
            if fault in ERRORS and fault is not DriveFault.FULL:
                assert isinstance(error, ERRORS[fault])
            # The next session can go on, after a recovery where one is asked for.
            try:
                session.recover(lambda _: None, lambda _: None)
            except Refused as refused:
                # Where an index was lied about, the volume can be read, and is written no more.
                if fault is not DriveFault.LIES or "damaged" not in refused.message:
                    raise
                continue
            write(session, uuid, {"next": b"n"})
            assert held(session).items() >= (OLD | {"next": b"n"}).items()


def test_a_session_that_was_never_there_is_found_by_reading_back(rig):
    session, uuid = rig.formatted()
    write(session, uuid, OLD)
    with session_lost(rig.cartridge()):
        done = write(session, uuid, NEW)
    with session.open_for_reading() as reader:
        assert reader.header.generation < done.generation
    assert held(session) == OLD


def test_a_flipped_bit_changes_the_file_and_no_other(rig):
    session, uuid = rig.formatted()
    write(session, uuid, {"a": os.urandom(700_000), "b": os.urandom(700_000)})
    before = held(session)
    flip_bit(rig.cartridge(), containing=before["b"][:100])
    after = held(session)
    assert after["a"] == before["a"]
    assert after["b"] != before["b"]


def test_a_record_that_cannot_be_read_is_an_error_of_the_medium(rig):
    session, uuid = rig.formatted()
    write(session, uuid, NEW)
    with session.open_for_reading() as reader:
        entry = reader.find("one.tar")
        with drive_fault(DriveFault.READ_ERROR, 2), pytest.raises(Corrupted):
            b"".join(reader.read(entry))
        # And it is read well again where the drive finds it the second time.
        assert b"".join(reader.read(entry)) == NEW["one.tar"]


def test_spoiled_cartridges_are_told_from_foreign_ones(rig):
    session, uuid = rig.formatted()
    write(session, uuid, OLD)
    with rig.kept():
        spoil_indexes(rig.cartridge())
        assert isinstance(session.recognise({uuid}), Unreadable)
    with rig.kept():
        spoil_labels(rig.cartridge())
        assert isinstance(session.recognise({uuid}), OtherData)
    with rig.kept():
        make_foreign(rig.cartridge())
        assert isinstance(session.recognise({uuid}), OtherData)
    assert held(session) == OLD
