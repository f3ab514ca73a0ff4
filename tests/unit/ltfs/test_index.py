"""Indexes: those of the reference, older ones, odd and hostile ones; and that copying one loses nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import HardwareError, Malformed, Refused, Unsupported
from hardware.ltfs import DirectoryEntry, ExtendedAttribute, Extent, FileEntry, Location, Times
from hardware.ltfs import parse as parse_module
from hardware.ltfs.compose import Merger, NewDirectory, check_attribute, directory_start, file_xml, index_start
from hardware.ltfs.names import check_path
from hardware.ltfs.parse import IndexParser, NameComesLate, directory_names, parse_index

UUID = "607f4131-c6cf-4ff4-a7b7-08e050fff9b3"
TIMES = "".join(
    f"<{name}>2026-11-22T10:55:23.712206262Z</{name}>\n"
    for name in ("creationtime", "changetime", "modifytime", "accesstime", "backuptime")
)
NANO = 1795344923712206262
X_BIN = f"""<file>
<name>x.bin</name>
<length>2000000</length>
<readonly>false</readonly>
{TIMES}<fileuid>3</fileuid>
<extentinfo>
<extent>
<fileoffset>0</fileoffset>
<partition>b</partition>
<startblock>7</startblock>
<byteoffset>0</byteoffset>
<bytecount>2000000</bytecount>
</extent>
</extentinfo>
</file>
"""
# Shaped as the reference writes it, with what only other writers put in.
INDEX = f"""<?xml version="1.0" encoding="UTF-8"?>
<ltfsindex version="2.4.0">
<creator>IBM LTFS 2.4.8.4 (Prelim) - Linux - ltfs - Unmount</creator>
<comment>lời &amp; bàn</comment>
<volumeuuid>{UUID}</volumeuuid>
<generationnumber>7</generationnumber>
<updatetime>2026-11-22T10:55:23.738472656Z</updatetime>
<location>
<partition>a</partition>
<startblock>5</startblock>
</location>
<previousgenerationlocation>
<partition>b</partition>
<startblock>13</startblock>
</previousgenerationlocation>
<allowpolicyupdate>false</allowpolicyupdate>
<dataplacementpolicy><indexpartitioncriteria><size>1048576</size><name>*.txt</name></indexpartitioncriteria></dataplacementpolicy>
<highestfileuid>7</highestfileuid>
<volumelockstate>unlocked</volumelockstate>
<vendor:future xmlns:vendor="urn:x" a="&lt;&quot;"><deep>kept <b>as</b> it is</deep></vendor:future>
<directory>
<name>Thử</name>
<readonly>false</readonly>
{TIMES}<fileuid>1</fileuid>
<contents>
<directory>
<name>sub</name>
<readonly>false</readonly>
{TIMES}<fileuid>2</fileuid>
<contents>
{X_BIN}</contents>
<unknown><directory><name>no directory</name></directory></unknown>
</directory>
<file>
<name percentencoded="true">a%3Ab%25c</name>
<length>4000000</length>
<readonly>true</readonly>
{TIMES}<fileuid>4</fileuid>
<extendedattributes>
<xattr><key>text</key><value>giá trị</value></xattr>
<xattr><key>binary</key><value type="base64">AP8=
</value></xattr>
<xattr><key>empty</key><value/></xattr>
</extendedattributes>
<openforwrite>true</openforwrite>
<vendorhint>kept</vendorhint>
<extentinfo>
<extent><fileoffset>3000000</fileoffset><partition>b</partition><startblock>11</startblock><byteoffset>17</byteoffset><bytecount>3</bytecount></extent>
<extent><fileoffset>5</fileoffset><partition>a</partition><startblock>4</startblock><byteoffset>0</byteoffset><bytecount>524289</bytecount></extent>
</extentinfo>
</file>
<file>
<name>link</name>
<length>0</length>
<readonly>false</readonly>
{TIMES}<fileuid>5</fileuid>
<symlink>../sub/x.bin</symlink>
</file>
</contents>
</directory>
</ltfsindex>
"""


def parse(text, step=1 << 16):
    data = text.encode() if isinstance(text, str) else text
    parser = IndexParser()
    entries = []
    for at in range(0, len(data), step):
        entries += parser.feed(data[at : at + step])
    return entries, parser.close()


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_index_is_read_whole_in_whatever_pieces_it_comes(step):
    entries, header = parse(INDEX, step)
    assert [entry.path for entry in entries] == ["sub/x.bin", "sub", "a:b%c", "link", ""]
    times = Times(NANO, NANO, NANO, NANO, NANO)
    assert entries[0] == FileEntry("sub/x.bin", 3, 2000000, False, times, (Extent(0, "b", 7, 0, 2000000),))
    assert entries[1] == DirectoryEntry("sub", 2, False, times)
    assert entries[2].extents == (Extent(5, "a", 4, 0, 524289), Extent(3000000, "b", 11, 17, 3))
    assert entries[2].start == Location("a", 4)
    assert entries[2].attributes == (
        ExtendedAttribute("text", "giá trị".encode()),
        ExtendedAttribute("binary", b"\x00\xff"),
        ExtendedAttribute("empty", b""),
    )
    assert entries[2].read_only
    assert entries[3].target == "../sub/x.bin"
    assert (header.generation, header.location, header.previous) == (7, Location("a", 5), Location("b", 13))
    assert (header.volume_uuid, header.volume_name, header.comment) == (UUID, "Thử", "lời & bàn")
    assert (header.files, header.directories, header.highest_uid) == (3, 1, 7)
    assert not header.allow_policy_update
    # Two blocks of 524288 from block 4 on; four blocks from block 7 on, and one byte range in block 11.
    assert (header.first_free("a"), header.first_free("b"), header.first_free("c")) == (6, 12, 4)


def test_version_1_has_neither_uids_nor_file_offsets():
    old = INDEX.replace("2.4.0", "1.0").replace("<fileoffset>0</fileoffset>\n", "").replace("backuptime", "unknowntime")
    for uid in range(1, 8):
        old = old.replace(f"<fileuid>{uid}</fileuid>", "").replace(f"<highestfileuid>{uid}</highestfileuid>", "")
    entries, header = parse(old)
    assert header.version == (1, 0, 0)
    # The second file's extents follow one another there.
    assert entries[2].extents == (Extent(0, "b", 11, 17, 3), Extent(3, "a", 4, 0, 524289))
    assert entries[0].times.backup == NANO


@pytest.mark.parametrize("version", ["2.0.0", "2.2.0", "2.5.1", "2.99.99"])
def test_versions_2_are_read(version):
    assert parse(INDEX.replace("2.4.0", version))[1].generation == 7


def test_version_3_is_unsupported_and_not_damage():
    with pytest.raises(Unsupported):
        parse(INDEX.replace("2.4.0", "3.0.0"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ltfsindex", "ltfslabel"),
        (UUID, UUID + "0"),
        ("<generationnumber>7", "<generationnumber>-7"),
        ("<generationnumber>7</generationnumber>", ""),
        ("<highestfileuid>7</highestfileuid>", ""),
        ("<startblock>13", "<startblock>"),
        ("<partition>a</partition>\n<startblock>5", "<partition>A</partition>\n<startblock>5"),
        ("<name>x.bin</name>", "<name>..</name>"),
        ("<name>x.bin</name>", "<name>/etc/passwd</name>"),
        ("<name>x.bin</name>", "<name></name>"),
        ("<name>x.bin</name>", ""),
        ("<name>x.bin</name>", "<name>x</name><name>y</name>"),
        ("<name>x.bin</name>", "<name>x<b/></name>"),
        ("<name>sub</name>", '<name percentencoded="true">%2E%2E</name>'),
        ("<name>sub</name>", f"<name>{'s' * 2000}</name>"),
        ("<length>2000000", "<length>1999999"),
        ("<length>2000000", "<length>18446744073709551616"),
        ("<fileoffset>3000000", "<fileoffset>4"),
        ("<fileuid>3</fileuid>", ""),
        ("<readonly>true", "<readonly>perhaps"),
        ("AP8=", "AP8"),
        ('type="base64"', 'type="rot13"'),
        ("<key>text</key>", ""),
        ("<fileoffset>3000000</fileoffset>", ""),
        ("T10:55:23.71", "T25:55:23.71"),
        (TIMES, ""),
        ("</contents>\n</directory>\n</ltfsindex>", "</contents>\n</directory>\n<directory/></ltfsindex>"),
        ("<contents>\n<file>", "<contents></contents><contents><file>"),
        ("</ltfsindex>", ""),
        ("<ltfsindex", "<!DOCTYPE x><ltfsindex"),
    ],
)
def test_index_that_breaks_the_format_is_malformed(old, new):
    assert old in INDEX
    with pytest.raises(Malformed):
        parse(INDEX.replace(old, new))


def test_nesting_is_bounded_before_paths_eat_memory():
    head = INDEX[: INDEX.index("<contents>")] + "<contents>"
    deep = head + f"<directory><name>{'d' * 250}</name><contents>" * 5000
    with pytest.raises(Malformed, match="deep"):
        parse(deep)
    with pytest.raises(Malformed, match="deep"):
        parse(head + "<directory><name>d</name><contents>" * 5000)


def test_extents_and_attributes_are_bounded(monkeypatch):
    monkeypatch.setattr(parse_module, "MAX_EXTENTS", 1000)
    extent = (
        "<extent><fileoffset>0</fileoffset><partition>b</partition><startblock>7</startblock>"
        "<byteoffset>0</byteoffset><bytecount>0</bytecount></extent>"
    )
    with pytest.raises(Malformed, match="extents"):
        parse(INDEX.replace("<extentinfo>", "<extentinfo>" + extent * 1001, 1))
    attribute = f"<xattr><key>k</key><value>{'v' * 65536}</value></xattr>"
    with pytest.raises(Malformed, match="attributes"):
        parse(INDEX.replace("<extendedattributes>", "<extendedattributes>" + attribute * 100))


def late(text):
    """The same index with the name of ``sub`` behind its contents, as the specification allows."""
    return text.replace("<name>sub</name>\n", "").replace("<unknown>", "<name>sub</name>\n<unknown>")


def test_order_of_elements_is_free():
    text = late(INDEX).encode()
    with pytest.raises(NameComesLate):
        parse(text)
    names = directory_names([text])
    assert names == ["Thử", "sub"]
    assert {entry.path for entry in parse_index([text], names=names)} == {"", "sub", "sub/x.bin", "a:b%c", "link"}


def merged(text, additions=None, *, dropped=(), names=None):
    out = []
    merger = Merger(out.append, additions or NewDirectory(), dropped=set(dropped), now=NANO + 1, names=names)
    merger.copy([text.encode()])
    header = parse_index_header(text, names)
    return (index_start(header) + merger.settings.encode() + b"".join(out) + b"</ltfsindex>\n").decode()


def parse_index_header(text, names=None):
    parser = IndexParser(names=names)
    parser.feed(text.encode())
    return parser.close()


def test_copy_keeps_every_entry_and_what_is_unknown():
    copied = merged(INDEX)
    assert parse(copied) == parse(INDEX)
    for kept in (
        "<vendorhint>kept</vendorhint>",
        "<openforwrite>true</openforwrite>",
        "kept <b>as</b> it is",
        'a="&lt;&quot;"',
        "<size>1048576</size>",
        "<unknown><directory><name>no directory</name>",
    ):
        assert kept in copied
    # Copies of copies do not grow.
    again = merged(merged(copied))
    assert again == copied


def test_copy_of_an_index_in_free_order():
    text = late(INDEX)
    names = directory_names([text.encode()])
    additions = NewDirectory(directories={"sub": NewDirectory(files={"y": file_xml(new_file("sub/y"))})})
    copied = merged(text, additions, names=names, dropped={"a:b%c"})
    paths = {entry.path for entry in parse_index([copied.encode()], names=names)}
    assert paths == {"", "sub", "sub/x.bin", "sub/y", "link"}


def new_file(path, **options):
    return FileEntry(path, 99, 3, False, Times(1, 2, 3, 4, 5), (Extent(0, "b", 40, 0, 3),), **options)


def test_additions_land_where_they_belong():
    fresh = DirectoryEntry("sub/new", 98, False, Times(1, 1, 1, 1, 1))
    additions = NewDirectory(
        files={"top": file_xml(new_file("top"))},
        directories={
            "sub": NewDirectory(
                directories={"new": NewDirectory(entry=fresh, files={"z": file_xml(new_file("sub/new/z"))})}
            )
        },
    )
    entries, _ = parse(merged(INDEX, additions, dropped={"sub/x.bin", "nothing"}))
    by_path = {entry.path: entry for entry in entries}
    assert set(by_path) == {"", "sub", "sub/new", "sub/new/z", "top", "a:b%c", "link"}
    assert by_path["sub/new/z"] == new_file("sub/new/z")
    assert by_path["sub/new"] == fresh
    # Directories that got something new changed; others did not.
    assert by_path["sub"].times.modified == by_path[""].times.changed == NANO + 1
    assert by_path["sub"].times.created == NANO


def test_directory_without_contents_gets_them():
    bare = INDEX[: INDEX.index("<contents>")] + "</directory>\n</ltfsindex>\n"
    entries, _ = parse(merged(bare, NewDirectory(files={"top": file_xml(new_file("top"))})))
    assert [entry.path for entry in entries] == ["top", ""]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
names_ = texts.filter(lambda name: "/" not in name and "\0" not in name and name not in {".", ".."})
big = st.integers(0, 2**63)
attributes = st.builds(
    ExtendedAttribute,
    names_.filter(lambda key: not any(ord(letter) < 32 or letter in "\ufffe\uffff" for letter in key)),
    st.one_of(st.binary(max_size=50), texts.map(str.encode)),
)


@given(
    names_,
    big,
    st.booleans(),
    st.lists(st.integers(0, 4 * 10**18), min_size=5, max_size=5),
    st.lists(attributes, max_size=3),
    st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 100), st.integers(4, 2**60)), max_size=4),
)
def test_every_file_survives_the_index(name, uid, read_only, times, kept, runs):
    extents, at = [], 0
    for count, hole, block in runs:
        extents.append(Extent(at + hole, "b", block, 0, count))
        at += hole + count
    entry = FileEntry(name, uid, at + 5, read_only, Times(*times), tuple(extents), tuple(kept))
    text = INDEX.replace(X_BIN, "").replace("<contents>", "<contents>" + file_xml(entry).decode(), 1)
    assert parse(text)[0][0] == entry
    # And the copy of a copy.
    assert parse(merged(merged(text)))[0][0] == entry


@given(names_)
def test_every_directory_survives_the_index(name):
    entry = DirectoryEntry(name, 9, False, Times(1, 2, 3, 4, 5))
    xml = (directory_start(entry, name) + b"</contents></directory>").decode()
    assert parse(INDEX.replace("<contents>", "<contents>" + xml, 1))[0][0] == entry


@given(st.data())
def test_any_mutilation_gives_an_index_or_a_typed_error(data):
    text = INDEX.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 60))
        new = data.draw(
            st.one_of(st.binary(max_size=20), st.sampled_from([b"<file>", b"</contents>", b"<name>", b"&#x1;"]))
        )
        text = text[:at] + new + text[at + gone :]
    try:
        entries, _ = parse(text)
    except (HardwareError, NameComesLate):
        return
    for entry in entries:
        # Whoever joins these paths to a folder stays inside it.
        assert not entry.path.startswith("/")
        assert ".." not in entry.path.split("/")


@pytest.mark.parametrize("key", ["", "user.x", "ltfs.sync", "a/b", "a\x01b", "k" * 256])
def test_attribute_keys_that_would_not_come_back_are_refused(key):
    with pytest.raises(Refused):
        check_attribute(ExtendedAttribute(key, b""))
    with pytest.raises(Refused):
        check_attribute(ExtendedAttribute("k", bytes(4097)))
    assert check_path("k")
