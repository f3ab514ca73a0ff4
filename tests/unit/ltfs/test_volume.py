"""Reading volumes: which index is the last, files and ranges of them, and what damage looks like."""

import os
import shutil
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.errors import Corrupted, HardwareError, Malformed, NotFound, NoVolume, Refused, Unsupported
from hardware.ltfs import Location, VirtualMedium, Volume, WriteSession

BLOCK = 524288


def three_sessions(cartridge):
    """Generations 2, 3 and 4; returns the cartridge as it was after each."""
    stages = []
    for number in (1, 2, 3):
        cartridge.write({f"s{number}/f.bin": os.urandom(BLOCK + number)})
        stages.append(cartridge.copy(cartridge.path.with_name(f"stage{number}")))
    return stages


def restore(target, source, partition):
    """Put one partition of another copy in the place of its own."""
    for name in target.names():
        if name.startswith(f"{partition}_"):
            os.unlink(target.path / name)
    for name in source.names():
        if name.startswith(f"{partition}_"):
            shutil.copy(source.path / name, target.path / name)


def test_clean_volume_is_read_from_the_index_partition(cartridge):
    three_sessions(cartridge)
    last = cartridge.last()
    assert last.clean
    assert last.coherent
    assert last.header.location == Location("a", 5)
    assert last.header.generation == last.on_data_generation == 4
    assert last.remarks == ()


def test_files_and_ranges(cartridge):
    data = os.urandom(3 * BLOCK + 17)
    cartridge.write({"a/big": data, "empty": b"", "small": b"x"})
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        big = volume.find("a/big")
        for offset, length in [
            (0, None),
            (0, 0),
            (1, 1),
            (BLOCK - 1, 2),
            (BLOCK, BLOCK),
            (2 * BLOCK + 5, None),
            (len(data), 5),
        ]:
            want = data[offset:] if length is None else data[offset : offset + length]
            assert b"".join(volume.read(big, offset, length)) == want
        assert b"".join(volume.read(volume.find("empty"))) == b""
        with pytest.raises(Refused):
            volume.read(big, len(data) + 1)
        with pytest.raises(NotFound):
            volume.find("a")
        # Two readers at once share one tape, and do not get in each other's way.
        one, two = volume.read(big), volume.read(big, 100)
        mixed = [b"", b""]
        for piece_one, piece_two in zip(one, two, strict=True):
            mixed[0] += piece_one
            mixed[1] += piece_two
        assert mixed == [data, data[100:]]


def test_tape_order_is_the_order_on_tape(cartridge):
    cartridge.write({"z": b"1", "m": b"2"})
    cartridge.write({"a": b"3"})
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        wanted = sorted(volume.files(), key=lambda entry: entry.path)
        assert [(entry.path, b"".join(pieces)) for entry, pieces in volume.read_in_tape_order(wanted)] == [
            ("z", b"1"), ("m", b"2"), ("a", b"3")
        ]  # fmt: skip


def test_generations_lead_back_to_the_first(cartridge):
    three_sessions(cartridge)
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        headers = list(volume.generations())
        assert [header.generation for header in headers] == [4, 3, 2, 1]
        earlier = volume.index_before(headers[1])
        assert sorted(entry.path for entry in earlier.entries()) == ["", "s1", "s1/f.bin"]
        earlier.close()
        with pytest.raises(NotFound):
            volume.index_before(headers[-1])


def test_session_that_died_between_the_partitions_is_found_on_data(cartridge):
    stages = three_sessions(cartridge)
    restore(cartridge, stages[1], 0)
    last = cartridge.last()
    assert last.header.generation == 4
    assert last.header.location.partition == "b"
    assert (last.on_index_generation, last.on_data_generation) == (3, 4)
    assert not last.clean
    assert last.chain_intact
    assert len(cartridge.holds()) == 3


def test_lost_index_partition_loses_nothing(cartridge):
    three_sessions(cartridge)
    for block in range(4, 7):
        for kind in "RF":
            (cartridge.path / f"0_{block}_{kind}").unlink(missing_ok=True)
    os.rename(cartridge.path / "0_7_E", cartridge.path / "0_4_E")
    assert cartridge.last().header.generation == 4
    assert len(cartridge.holds()) == 3


def test_cartridge_memory_that_claims_coherence_is_not_believed(cartridge):
    """Seen on drives: memory says that nothing was written, and a session had died on the data partition."""
    stages = three_sessions(cartridge)
    # A session that wrote data, and then a whole new index on b; memory and a are from before.
    for name in ("attr_0_9", "attr_0_80c", "attr_1_80c"):
        shutil.copy(stages[1].path / name, cartridge.path / name)
    restore(cartridge, stages[1], 0)
    last = cartridge.last()
    assert last.header.generation == 4
    assert not last.coherent
    # A session that died in its data.
    restore(cartridge, stages[1], 1)
    with VirtualMedium.open(cartridge.path, write=True) as medium:
        medium.locate(1, 2**64 - 1)
        medium.write(b"stray data")
        medium.write(b"more")
    for name in ("attr_0_9", "attr_0_80c", "attr_1_80c"):
        shutil.copy(stages[1].path / name, cartridge.path / name)
    last = cartridge.last()
    assert last.header.generation == 3
    assert last.unindexed_blocks == 2
    assert not last.clean
    assert len(cartridge.holds()) == 2


def test_without_cartridge_memory_the_tape_itself_is_asked(cartridge):
    three_sessions(cartridge)
    for name in os.listdir(cartridge.path):
        if name.startswith("attr_"):
            os.unlink(cartridge.path / name)
    last = cartridge.last()
    assert last.header.generation == 4
    assert last.clean
    assert not last.coherent


@pytest.mark.parametrize("junk", [b"", b"\xff" * 75, struct.pack(">HBH", 0x80C, 0, 70) + bytes(70)])
def test_damaged_cartridge_memory_hides_nothing(cartridge, junk):
    cartridge.write({"f": b"x"})
    (cartridge.path / "attr_0_80c").write_bytes(junk)
    assert cartridge.last().header.generation == 2


def test_index_partition_that_leads_elsewhere_can_be_read_and_not_written(cartridge):
    stages = three_sessions(cartridge)
    restore(cartridge, stages[1], 1)
    last = cartridge.last()
    # The newest index is kept, and so is the knowledge that something is wrong.
    assert last.header.generation == 4
    assert not last.chain_intact
    assert last.remarks
    with VirtualMedium.open(cartridge.path, write=True) as medium, pytest.raises(Refused, match="damaged"):
        WriteSession.open(medium)


def index_blocks(cartridge, partition):
    """Records that begin an index."""
    return [
        name
        for name in sorted(cartridge.names(), key=lambda name: int(name.split("_")[1]))
        if name.startswith(f"{partition}_")
        and name.endswith("_R")
        and b"<ltfsindex" in (cartridge.path / name).read_bytes()[:200]
    ]


@pytest.mark.parametrize("junk", [b"", b"<?xml", bytes(1000), b"<?xml version='1.0'?><ltfsindex version='2.4.0'><a>"])
def test_damaged_last_index_gives_way_to_the_other_partitions(cartridge, junk):
    three_sessions(cartridge)
    (cartridge.path / "0_5_R").write_bytes(junk)
    assert cartridge.last().header.generation == 4
    # And when both are gone, to the one before.
    (cartridge.path / index_blocks(cartridge, 1)[-1]).write_bytes(junk)
    last = cartridge.last()
    assert last.header.generation == 3
    assert last.unindexed_blocks > 0
    assert len(cartridge.holds()) == 2


def test_index_of_another_volume_or_another_place_is_not_taken(cartridge, blank):
    cartridge.write({"f": b"x"})
    blank.format()
    blank.write({"other": b"y"})
    shutil.copy(blank.path / "0_5_R", cartridge.path / "0_5_R")
    assert cartridge.last().header.location.partition == "b"
    # The data partition's own index at a wrong place.
    shutil.copy(cartridge.path / index_blocks(cartridge, 1)[-1], cartridge.path / "0_5_R")
    assert cartridge.paths() == ["f"]


def test_no_index_at_all_is_damage_and_no_empty_volume(cartridge):
    for partition in (0, 1):
        for name in index_blocks(cartridge, partition):
            (cartridge.path / name).write_bytes(b"gone")
    with pytest.raises(Corrupted):
        cartridge.last()


def test_blank_and_foreign_media_hold_no_volume(blank):
    VirtualMedium.create(blank.path).close()
    with VirtualMedium.open(blank.path, write=True) as medium:
        with pytest.raises(NoVolume):
            Volume.open(medium)
        medium.write(b"some tar file".ljust(512))
        with pytest.raises(NoVolume):
            Volume.open(medium)


def test_one_lost_label_is_made_up_for_by_the_other(cartridge):
    cartridge.write({"f": b"x"})
    for partition in (0, 1):
        copy = cartridge.copy(cartridge.path.with_name(f"label{partition}"))
        (copy.path / f"{partition}_2_R").write_bytes(b"junk")
        last = copy.last()
        assert last.header.generation == 2
        assert last.remarks
        assert len(copy.holds()) == 1
        with VirtualMedium.open(copy.path, write=True) as medium, pytest.raises(Refused):
            WriteSession.open(medium)


def test_labels_of_two_volumes_are_a_contradiction(cartridge, blank):
    blank.format()
    shutil.copy(blank.path / "0_2_R", cartridge.path / "0_2_R")
    with pytest.raises(Malformed, match="contradict"):
        cartridge.last()


def test_newer_format_is_unsupported_and_not_damage(cartridge):
    for partition in (0, 1):
        path = cartridge.path / f"{partition}_2_R"
        path.write_bytes(path.read_bytes().replace(b'version="2.4.0"', b'version="3.0.0"'))
    with pytest.raises(Unsupported):
        cartridge.last()


def rewrite_index(cartridge, old, new):
    path = cartridge.path / "0_5_R"
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<startblock>7</startblock>", b"<startblock>2</startblock>"),
        (b"<startblock>7</startblock>", b"<startblock>99999</startblock>"),
        (b"<startblock>7</startblock>", b"<startblock>6</startblock>"),
        (b"<startblock>7</startblock>", b"<startblock>9</startblock>"),
        (b"<byteoffset>0</byteoffset>", b"<byteoffset>400000</byteoffset>"),
    ],
)
def test_extents_that_lead_nowhere_are_corruption(cartridge, old, new):
    cartridge.write({"f": os.urandom(BLOCK + 5)})
    rewrite_index(cartridge, old, new)
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        entry = volume.find("f")
        with pytest.raises(Corrupted):
            b"".join(volume.read(entry))


def test_extent_in_a_partition_that_does_not_exist(cartridge):
    cartridge.write({"f": b"x"})
    rewrite_index(cartridge, b"<partition>b</partition>\n<startblock>7<", b"<partition>c</partition>\n<startblock>7<")
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume, pytest.raises(Corrupted):
        b"".join(volume.read(volume.find("f")))


def test_shortened_and_grown_blocks_are_corruption(cartridge):
    data = os.urandom(2 * BLOCK + 5)
    cartridge.write({"f": data})
    for change in (BLOCK - 1, BLOCK + 1):
        copy = cartridge.copy(cartridge.path.with_name(f"c{change}"))
        os.truncate(copy.path / "1_8_R", change)
        with pytest.raises(Corrupted):
            copy.holds()


def test_holes_are_zeros(cartridge):
    cartridge.write({"f": b"abcdef"})
    rewrite_index(cartridge, b"<length>6</length>", b"<length>1000010</length>")
    rewrite_index(cartridge, b"<fileoffset>0</fileoffset>", b"<fileoffset>1000000</fileoffset>")
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        entry = volume.find("f")
        assert b"".join(volume.read(entry)) == bytes(1_000_000) + b"abcdef" + bytes(4)
        assert b"".join(volume.read(entry, 999_999, 3)) == b"\0ab"
        assert b"".join(volume.read(entry, 1_000_005)) == b"f" + bytes(4)


def test_links_are_listed_and_not_followed(cartridge):
    cartridge.write({"f": b"x"})
    text = (cartridge.path / "0_5_R").read_bytes()
    start, end = text.index(b"<extentinfo>"), text.index(b"</extentinfo>") + len(b"</extentinfo>")
    rewrite_index(cartridge, text[start:end], b"<symlink>/etc/passwd</symlink>")
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume:
        entry = volume.find("f")
        assert entry.target == "/etc/passwd"
        with pytest.raises(Refused):
            volume.read(entry)


def test_generations_that_run_in_a_circle_end(cartridge):
    three_sessions(cartridge)
    blocks = index_blocks(cartridge, 1)
    newest = int(blocks[-1].split("_")[1])
    path = cartridge.path / blocks[-2]
    text = path.read_bytes()
    head, previous = text.split(b"<previousgenerationlocation>")
    at = previous.index(b"<startblock>") + len(b"<startblock>")
    end = previous.index(b"</startblock>")
    path.write_bytes(head + b"<previousgenerationlocation>" + previous[:at] + str(newest).encode() + previous[end:])
    with VirtualMedium.open(cartridge.path) as medium, Volume.open(medium) as volume, pytest.raises(Corrupted):
        list(volume.generations())


def change_block(data, path):
    """Do something to one file of a cartridge that a bad disk, a bad copy or a bad person might do."""
    name = data.draw(st.sampled_from(sorted(os.listdir(path))))
    act = data.draw(st.sampled_from(["lose", "cut", "swap", "overwrite", "insert"]))
    file = path / name
    if act == "lose":
        file.unlink()
    elif act == "cut":
        os.truncate(file, data.draw(st.integers(0, 100)))
    elif act == "swap":
        other = path / data.draw(st.sampled_from(sorted(os.listdir(path))))
        content = file.read_bytes()
        file.write_bytes(other.read_bytes())
        other.write_bytes(content)
    else:
        content = file.read_bytes()
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.integers(0, 40)) if act == "overwrite" else 0
        file.write_bytes(content[:at] + data.draw(st.binary(max_size=40)) + content[at + gone :])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_typed_error_or_a_file_of_the_right_length(cartridge, data):
    if cartridge.last().header.generation == 1:
        cartridge.write({"a/f": b"abc" * 100, "g": b"x"})
        cartridge.write({"a/h": b"defg"})
    with tempfile.TemporaryDirectory() as folder:
        copy = cartridge.copy(Path(folder, "c"))
        for _ in range(data.draw(st.integers(1, 4))):
            change_block(data, copy.path)
        try:
            with VirtualMedium.open(copy.path) as medium, Volume.open(medium) as volume:
                for entry in volume.files():
                    if entry.target is None and entry.length < 1 << 20:
                        assert sum(map(len, volume.read(entry))) == entry.length
                list(volume.generations())
        except HardwareError:
            pass
