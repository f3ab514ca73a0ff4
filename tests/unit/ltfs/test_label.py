"""VOL1 and label XML: what is read, what is refused, and that nothing else happens."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import HardwareError, Malformed, NoVolume, Refused, Unsupported
from hardware.ltfs.label import Label, make_label, make_vol1, parse_label, parse_vol1

UUID = "607f4131-c6cf-4ff4-a7b7-08e050fff9b3"
# As mkltfs 2.4.8.4 wrote it.
REFERENCE = f"""<?xml version="1.0" encoding="UTF-8"?>
<ltfslabel version="2.4.0">
    <creator>IBM LTFS 2.4.8.4 (Prelim) - Linux - mkltfs</creator>
    <formattime>2026-11-22T10:55:22.669924396Z</formattime>
    <volumeuuid>{UUID}</volumeuuid>
    <location>
        <partition>a</partition>
    </location>
    <partitions>
        <index>a</index>
        <data>b</data>
    </partitions>
    <blocksize>524288</blocksize>
    <compression>true</compression>
</ltfslabel>
"""
REFERENCE_VOL1 = b"VOL1VLT001L             LTFS" + b" " * 51 + b"4"


def test_vol1_is_the_80_bytes_of_the_reference():
    assert make_vol1("VLT001") == REFERENCE_VOL1
    assert parse_vol1(REFERENCE_VOL1) == "VLT001"
    assert parse_vol1(make_vol1("")) == ""


@pytest.mark.parametrize("serial", ["vlt001", "VLT01", "VLT0012", "VLT 01", "VLT00Đ"])
def test_serial_that_no_label_can_hold_is_refused(serial):
    with pytest.raises(Refused):
        make_vol1(serial)


@pytest.mark.parametrize("record", [b"", b"VOL1", bytes(80), REFERENCE_VOL1.replace(b"LTFS", b"TAR ")])
def test_what_is_no_ltfs_label_is_no_volume_and_not_damage(record):
    with pytest.raises(NoVolume):
        parse_vol1(record)


def test_reference_label_is_read():
    label = parse_label(REFERENCE.encode(), serial="VLT001")
    assert label == Label(
        serial="VLT001",
        creator="IBM LTFS 2.4.8.4 (Prelim) - Linux - mkltfs",
        formatted=1795344922669924396,
        volume_uuid=UUID,
        partition="a",
        index_partition="a",
        data_partition="b",
        blocksize=524288,
        compression=True,
        version=(2, 4, 0),
    )
    assert label.other.partition == "b"
    assert label.other.other == label


@pytest.mark.parametrize("version", ["1.0", "1.0.1", "2.0.0", "2.2.0", "2.99.99"])
def test_versions_1_0_to_2_99_are_read(version):
    assert parse_label(REFERENCE.replace("2.4.0", version).encode()).creator.startswith("IBM")


@pytest.mark.parametrize("version", ["3.0.0", "0.9.0", "2.100.0"])
def test_other_versions_are_unsupported_and_not_damage(version):
    with pytest.raises(Unsupported):
        parse_label(REFERENCE.replace("2.4.0", version).encode())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('version="2.4.0"', ""),
        ('version="2.4.0"', 'version="two"'),
        ("<creator>", "<creatr>"),
        ("2026-11-22T10", "2026-13-22T10"),
        (UUID, UUID[:-1]),
        (UUID, UUID.replace("6", "g")),
        ("<data>b</data>", "<data>a</data>"),
        ("<data>b</data>", ""),
        ("<data>b</data>", "<data>b</data><data>c</data>"),
        ("<partition>a</partition>", "<partition>c</partition>"),
        ("<partition>a</partition>", "<partition>../a</partition>"),
        ("524288", "0"),
        ("524288", "99999999999999999999"),
        ("524288", "-1"),
        ("524288", "٥٢٤٢٨٨"),
        ("true", "maybe"),
        ("ltfslabel", "ltfsindex"),
        ("</ltfslabel>", ""),
        ("UTF-8", "UTF-16"),
        ("UTF-8", "latin-1"),
        ("<ltfslabel", "<!DOCTYPE ltfslabel><ltfslabel"),
        ("<creator>", "<creator>&x;"),
        ("</creator>", "x" * 4096 + "</creator>"),
    ],
)
def test_label_that_breaks_the_format_is_malformed(old, new):
    with pytest.raises(Malformed):
        parse_label(REFERENCE.replace(old, new).encode())


labels = st.builds(
    Label,
    serial=st.just("VLT001"),
    creator=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100).filter(
        lambda text: "\ufffe" not in text and "\uffff" not in text
    ),
    formatted=st.integers(-(10**18), 10**19),
    volume_uuid=st.uuids().map(str),
    partition=st.sampled_from("ab"),
    index_partition=st.just("a"),
    data_partition=st.just("b"),
    blocksize=st.integers(4096, 16 << 20),
    compression=st.booleans(),
)


@given(labels)
def test_label_survives_the_way_to_tape_and_back(label):
    assert parse_label(make_label(label), serial="VLT001") == label


@given(st.binary(max_size=5000), st.integers(0, len(REFERENCE)), st.integers(0, 200))
def test_any_bytes_give_a_label_or_a_typed_error(junk, at, gone):
    for data in (junk, REFERENCE[:at].encode() + junk + REFERENCE[at + gone :].encode()):
        for parse in (parse_label, parse_vol1):
            with contextlib.suppress(HardwareError):
                parse(data)
