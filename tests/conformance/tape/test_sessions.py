"""What every cartridge session keeps to, whoever writes the tape."""

import io
import os

import pytest

from hardware.errors import Busy, NotFound, NoVolume, Refused
from hardware.ltfs import VirtualMedium
from hardware.tape.errors import TapeFull, WriteProtected, WrongVolume
from hardware.tape.reading import Wanted
from hardware.tape.session import Blank, CleaningCartridge, LtfsVolume, OtherData, Unreadable


def write(session, uuid, files):
    with session.open_for_writing(uuid) as writing:
        assert writing.volume_uuid == uuid
        for path, data in files.items():
            sink = writing.create(path, length=len(data))
            for start in range(0, len(data), 300_000):
                sink.write(data[start : start + 300_000])
            sink.finish()
        return writing.commit()


def held(session):
    with session.open_for_reading() as reader:
        return {entry.path: b"".join(reader.read(entry)) for entry in reader.files()}


def fill(writing, piece, whole):
    """Write files until there is no room; ``whole`` gets those that were finished."""
    for number in range(40):
        sink = writing.create(f"f{number}")
        sink.write(piece)
        sink.finish()
        whole[f"f{number}"] = piece


FILES = {
    "vault-volume.json": b'{"uuid": "x"}',
    "packages/Sơn La/hồ sơ 1.tar": os.urandom(1_700_000),
    "packages/empty": b"",
    "packages/block": bytes(524288),
}


def test_what_is_committed_is_read_back(rig):
    with rig.load() as session:
        assert isinstance(session.recognise(), Blank)
        uuid = session.format(name="Kho")
        done = write(session, uuid, FILES)
        assert (done.volume_uuid, set(done.files)) == (uuid, set(FILES))
        assert held(session) == FILES
        more = write(session, uuid, {"packages/more.tar": b"m" * 600_000})
        assert more.generation > done.generation
    rig.open()
    with rig.load(volume_uuid=uuid) as session:
        found = session.recognise({uuid})
        assert isinstance(found, LtfsVolume)
        assert (found.ours, found.volume_uuid, found.serial, found.name) == (True, uuid, "VLT001", "Kho")
        assert (found.files, found.clean, found.generation) == (5, True, more.generation)
        assert held(session) == FILES | {"packages/more.tar": b"m" * 600_000}


def test_a_file_can_be_replaced_only_when_that_is_asked(rig):
    session, uuid = rig.formatted()
    write(session, uuid, {"list.json": b"one"})
    with session.open_for_writing(uuid) as writing, pytest.raises(Refused):
        writing.create("list.json")
    with session.open_for_writing(uuid) as writing:
        sink = writing.create("list.json", replaces=True)
        sink.write(b"two!")
        sink.finish()
        writing.commit()
    assert held(session) == {"list.json": b"two!"}


def test_a_session_ends_well_without_the_rights_of_root(rig, monkeypatch):
    session, uuid = rig.formatted()
    with session.open_for_writing(uuid) as writing:
        sink = writing.create("a")
        sink.write(b"x" * 700_000)
        sink.finish()
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert writing.commit().files == ("a",)
    assert held(session) == {"a": b"x" * 700_000}
    assert session.recognise().clean


def test_an_abandoned_file_is_not_there(rig):
    session, uuid = rig.formatted()
    with session.open_for_writing(uuid) as writing:
        sink = writing.create("whole")
        sink.write(b"w")
        sink.finish()
        half = writing.create("half")
        half.write(b"h" * 700_000)
        half.abandon()
        assert writing.commit().files == ("whole",)
    assert held(session) == {"whole": b"w"}


def test_what_was_there_before_an_abandoned_session_is_there_after_it(rig):
    session, uuid = rig.formatted()
    write(session, uuid, {"old": b"o"})
    with session.open_for_writing(uuid) as writing:
        writing.create("new").write(b"n" * 700_000)
    session.recover(lambda _: None, lambda _: None)
    assert held(session).items() >= {"old": b"o"}.items()
    write(session, uuid, {"next": b"x"})
    assert held(session).items() >= {"old": b"o", "next": b"x"}.items()


def test_one_thing_at_a_time(rig):
    session, uuid = rig.formatted()
    with session.open_for_writing(uuid):
        for act in (session.open_for_reading, session.recognise, session.format, session.alerts, session.label):
            with pytest.raises(Busy):
                act()
        with pytest.raises(Busy):
            session.open_for_writing(uuid)
        with pytest.raises(Busy):
            rig.library.unload(0)
        with pytest.raises(Busy):
            rig.load("VLT002L8")
    with session.open_for_reading(), pytest.raises(Busy):
        session.open_for_writing(uuid)
    session.close()
    with pytest.raises(Refused):
        session.recognise()
    assert rig.library.unload(0).barcode == "VLT001L8"


def test_what_is_on_a_cartridge_is_recognised(rig):
    session, uuid = rig.formatted()
    assert isinstance(session.recognise(), LtfsVolume)
    assert not session.recognise({"another"}).ours
    assert session.recognise({uuid}).ours
    session.close()
    with VirtualMedium.open(rig.cartridge("VLT002L8"), write=True) as medium:
        medium.write(b"VOL1OTHER1".ljust(80))
        medium.write_filemarks(1)
    with rig.load("VLT002L8") as session:
        assert isinstance(found := session.recognise(), OtherData)
        assert "OTHER1" in found.found
        with pytest.raises(NoVolume):
            session.open_for_reading()
        with pytest.raises(Refused, match="not blank"):
            session.format()
        assert isinstance(session.recognise(), OtherData)


@pytest.mark.parametrize("record", [b"x" * 512, bytes(257) + b"ustar" + bytes(250)])
def test_a_strangers_tape_is_never_taken_for_blank(rig, record):
    with VirtualMedium.open(rig.cartridge(), write=True) as medium:
        medium.write(record)
    with rig.load() as session:
        assert isinstance(session.recognise(), OtherData)
        with pytest.raises(Refused):
            session.format()


def test_a_damaged_volume_is_unreadable_and_not_blank(rig):
    session, _ = rig.formatted()
    session.close()
    for path in rig.cartridge().glob("?_5_R"):
        path.write_bytes(b"garbage")
    with rig.load() as session:
        found = session.recognise()
        assert isinstance(found, Unreadable)
        assert found.reason
        with pytest.raises(Refused):
            session.format()


def test_formatting_with_force_destroys_what_was_there(rig):
    session, uuid = rig.formatted()
    write(session, uuid, FILES)
    with pytest.raises(Refused, match=uuid):
        session.format()
    assert held(session) == FILES
    other = session.format(name="Mới", force=True)
    assert other != uuid
    assert held(session) == {}
    assert session.recognise().name == "Mới"


def test_only_the_volume_that_was_named_is_written(rig):
    session, uuid = rig.formatted()
    with pytest.raises(WrongVolume):
        session.open_for_writing("00000000-0000-4000-8000-000000000000")
    session.close()
    blank = rig.load("VLT002L8")
    with pytest.raises(NoVolume):
        blank.open_for_writing(uuid)


def test_a_protected_cartridge_is_read_and_not_written(rig):
    session, uuid = rig.formatted()
    write(session, uuid, {"a": b"x"})
    session.close()
    rig.protect()
    with rig.load() as session:
        assert session.recognise().protected
        with pytest.raises(WriteProtected):
            session.open_for_writing(uuid)
        with pytest.raises(WriteProtected):
            session.format(force=True)
        assert held(session) == {"a": b"x"}


def test_a_cartridge_that_is_full_keeps_what_fitted(rig):
    session, uuid = rig.formatted()
    whole = {}
    with session.open_for_writing(uuid) as writing:
        room = writing.free_bytes()
        assert 64 << 20 < room < 256 << 20
        with pytest.raises(TapeFull) as caught:
            writing.create("too long", length=room + (1 << 20))
        assert caught.value.lost == ("too long",)
        piece = os.urandom(8 << 20)
        with pytest.raises(TapeFull) as caught:
            fill(writing, piece, whole)
        assert caught.value.lost == (f"f{len(whole)}",)
        assert len(whole) * len(piece) > room * 0.8
        assert set(writing.commit().files) == set(whole)
    assert held(session) == whole
    assert session.recognise().clean
    # It takes no more, and says so before anything is written.
    with pytest.raises(TapeFull), session.open_for_writing(uuid) as writing:
        writing.create("more", length=32 << 20)
    assert held(session) == whole


def test_a_cleaning_cartridge_is_no_data_cartridge(rig):
    with pytest.raises(Refused):
        rig.load("CLN001CU")
    session = rig.new_session(rig.library._ports[0], "CLN001CU", lambda: None)
    assert isinstance(session.recognise(), CleaningCartridge)
    with pytest.raises(Refused):
        session.format(force=True)


def test_recalls_come_in_tape_order_whatever_was_asked_first(rig, monkeypatch):
    session, uuid = rig.formatted()
    data = os.urandom(5_000_000)
    write(session, uuid, {"a.tar": data, "b.tar": data[::-1]})
    with session.open_for_reading() as reader:
        a, b = reader.find("a.tar"), reader.find("b.tar")
        wanted = [Wanted(n, entry, at, 1000) for n, (entry, at) in enumerate(
            [(b, 4_000_000), (a, 10), (b, 0), (a, 3_000_000), (a, 1000), (b, 4_000_500), (a, 999_000)]
        )]  # fmt: skip
        blocks = []
        locate = VirtualMedium.locate

        def watched(medium, partition, block):
            blocks.append((partition, block))
            return locate(medium, partition, block)

        monkeypatch.setattr(VirtualMedium, "locate", watched)
        found = {item.key: b"".join(pieces) for item, pieces in reader.in_tape_order(wanted)}
        with pytest.raises(NotFound):
            reader.find("c.tar")
    for item in wanted:
        source = data if item.entry is a else data[::-1]
        assert found[item.key] == source[item.offset : item.offset + 1000]
    assert blocks == sorted(set(blocks)), "the tape went back"


def test_the_index_can_be_kept_elsewhere(rig):
    session, uuid = rig.formatted()
    done = write(session, uuid, FILES)
    kept = io.BytesIO()
    with session.open_for_reading() as reader:
        header = reader.capture_index(kept.write)
    assert header.generation == done.generation
    assert kept.getvalue().startswith(b"<?xml")
    assert b"h\xe1\xbb\x93 s\xc6\xa1 1.tar" in kept.getvalue()


def test_recovery_lists_captures_and_only_then_repairs(rig):
    session, uuid = rig.formatted()
    write(session, uuid, {"old": b"o"})
    writing = session.open_for_writing(uuid)
    writing.create("lost").write(b"l" * 2_000_000)
    writing.abandon()
    steps, kept = [], io.BytesIO()

    def report(step):
        steps.append(step.step)
        assert step.outcome
        if step.step == "index-captured":
            assert b"<name>old</name>" in kept.getvalue()

    session.recover(report, kept.write)
    assert steps[:2] == ["generations", "index-captured"]
    assert steps[2:] in ([], ["recovered"])
    assert session.recognise().clean
    assert held(session)["old"] == b"o"


def test_who_refuses_the_record_stops_the_recovery(rig):
    session, uuid = rig.formatted()
    writing = session.open_for_writing(uuid)
    writing.create("lost").write(b"l" * 2_000_000)
    writing.abandon()
    before = sorted(os.listdir(rig.cartridge()))

    def refuse(_):
        raise KeyError

    with pytest.raises(KeyError):
        session.recover(refuse, lambda _: None)
    assert sorted(os.listdir(rig.cartridge())) == before
