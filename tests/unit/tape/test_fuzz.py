"""Whatever tapes, drives, libraries and tools say: an answer or a typed error, soon, and in little memory.

``KHOSO_EXAMPLES`` says how many examples of each (100 unless told).
"""

import contextlib
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.errors import HardwareError
from hardware.ltfs import VirtualMedium, Volume, WriteSession, format_volume
from hardware.ltfs.kept import kept_entries
from hardware.ltfs.label import parse_label
from hardware.ltfs.mam import parse_coherency
from hardware.tape.changer import LibraryStatus
from hardware.tape.elements import parse_drive_elements
from hardware.tape.errors import NotUnderstood
from hardware.tape.inventory import cartridges_in, changes_between
from hardware.tape.mtx import error_for, read_sense
from hardware.tape.mtx_status import parse_status
from hardware.tape.pages import parse_inquiry, parse_log_page, parse_serial, parse_volume_statistics
from hardware.tape.recognise import recognise
from hardware.tape.tools.table import Ended
from hardware.tape.tools.table import error_of as tool_error

EXAMPLES = int(os.environ.get("KHOSO_EXAMPLES", "100"))
many = settings(max_examples=EXAMPLES)

STATUS = b"""\
  Storage Changer /dev/sg2:2 Drives, 5 Slots ( 1 Import/Export )
Data Transfer Element 0:Full (Storage Element 1 Loaded):VolumeTag = VLT001L8                        \x20
Data Transfer Element 1:Empty
      Storage Element 1:Empty
      Storage Element 2:Full :VolumeTag=VLT002L8                       \x20
      Storage Element 3:Full :VolumeTag=
      Storage Element 4:Full :VolumeTag=CLN001L1
      Storage Element 5 IMPORT/EXPORT:Full :VolumeTag=VLT004L8
"""


@st.composite
def mutilated(draw, source):
    """Bytes that were right, cut, doubled, swapped or changed in some places."""
    data = bytearray(source)
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data[at : at + 1] = draw(st.binary(max_size=3))
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at : min(end, at + 2000)]
        else:
            piece = draw(st.sampled_from([b"9" * 30, b"-1", b"\xff" * 8, b"\0", b"\n", b"<!--", b"&x;", b"\xf0\x9f"]))
            data[at : at + len(piece)] = piece
    return bytes(data)


@many
@given(st.one_of(mutilated(STATUS), st.binary(max_size=3000)))
def test_any_status_is_a_library_or_not_understood(data):
    try:
        status = parse_status(data)
    except NotUnderstood:
        return
    assert isinstance(status, LibraryStatus)
    found = cartridges_in(status)
    assert changes_between(found, found) == ()
    changes_between((), found)
    changes_between(found, ())


@many
@given(st.integers(-64, 255), st.binary(max_size=2000))
def test_whatever_mtx_prints_is_an_error_with_a_remedy(code, output):
    error = error_for(code, output, "/dev/sg2: load 1 0")
    assert str(error)
    read_sense(output)


@many
@given(st.binary(max_size=600))
@pytest.mark.parametrize(
    "parse",
    [
        parse_drive_elements,
        parse_inquiry,
        parse_serial,
        parse_volume_statistics,
        parse_coherency,
        lambda data: parse_log_page(data, 0x2E),
    ],
)
def test_what_devices_send_is_understood_or_not(parse, data):
    with contextlib.suppress(HardwareError):
        parse(data)


@many
@given(st.integers(-64, 255), st.lists(st.text(max_size=200), max_size=5))
def test_whatever_a_tool_says_is_an_error_with_a_remedy(code, lines):
    error = tool_error(Ended("ltfs", code, tuple(lines)), "The volume")
    assert error.remedy


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "VLT001"
    with VirtualMedium.create(path, capacity_mb=64) as medium:
        format_volume(medium, serial="VLT001", name="Kho")
    with VirtualMedium.open(path, write=True) as medium, WriteSession.open(medium) as session:
        for number in range(3):
            session.append(f"d/f{number}", [b"x" * 1000 * number])
        session.commit()
    return path


@settings(max_examples=max(20, EXAMPLES // 2))
@given(data=st.data())
def test_a_cartridge_of_which_anything_is_spoiled_is_recognised(small, data):
    names = sorted(name.name for name in small.iterdir() if name.name.endswith("_R") or name.name.startswith("attr"))
    chosen = data.draw(st.sampled_from(names))
    path = small / chosen
    before = path.read_bytes()
    path.write_bytes(data.draw(mutilated(before)) or b"\0")
    try:
        with VirtualMedium.open(small) as medium:
            assert recognise(medium) is not None
            with contextlib.suppress(HardwareError), Volume.open(medium) as volume:
                for entry in volume.files():
                    for _ in volume.read(entry):
                        pass
    finally:
        path.write_bytes(before)


LEAF = re.compile(rb"<([a-z]+)>([^<]*)</\1>")
WRONG = (
    b"", b" ", b"0", b"-1", b"+7", b"1e9", b"18446744073709551616", b"9" * 400, b"a", b"c", b"ab", b"true", b"..", b"/",
    b"%00", b"%2e%2e", b"%zz", b"&#xFFFE;", b"\xf0\x9f\x93\xbc",
    b"2026-13-40T25:61:61.999999999Z", b"0000-00-00T00:00:00Z",
    b"524289", b"00000000-0000-0000-0000-000000000000", b"x" * 5000,
)  # fmt: skip


@st.composite
def well_formed(draw, source):
    """XML that is still well formed, and of which elements were emptied, changed, doubled, left out or exchanged."""
    data = source
    for _ in range(draw(st.integers(1, 4))):
        leaves = list(LEAF.finditer(data))
        if not leaves:
            break
        leaf, other = draw(st.sampled_from(leaves)), draw(st.sampled_from(leaves))
        whole = leaf.group()
        new = draw(
            st.one_of(
                st.sampled_from(WRONG).map(lambda text, name=leaf[1]: b"<%s>%s</%s>" % (name, text, name)),
                st.sampled_from((b"", whole * 2, other.group(), b"<odd>%s</odd>" % whole, b"<name>%s</name>" % whole)),
            )
        )
        data = data[: leaf.start()] + new + data[leaf.end() :]
    return data


def _records(cartridge, root):
    """The XML records of a cartridge whose root element is this one."""
    for path in sorted(cartridge.glob("*_R")):
        data = path.read_bytes()
        if data.startswith(b"<?xml") and b"<%s" % root in data[:200]:
            yield data


@many
@given(data=st.data())
def test_a_label_that_is_well_formed_and_wrong_is_a_label_or_a_typed_error(small, data):
    label = data.draw(well_formed(next(_records(small, b"ltfslabel"))))
    with contextlib.suppress(HardwareError):
        assert parse_label(label).volume_uuid


@many
@given(data=st.data())
def test_an_index_that_is_well_formed_and_wrong_is_an_index_or_a_typed_error(small, data):
    index = data.draw(well_formed(max(_records(small, b"ltfsindex"), key=len)))
    at = data.draw(st.integers(0, len(index)))
    with contextlib.suppress(HardwareError):
        for entry in kept_entries(lambda: (index[:at], index[at:])):
            assert ".." not in entry.path.split("/")
            assert not entry.path.startswith("/")
