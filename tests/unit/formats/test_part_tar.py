"""The tar of a version: anybody unpacks it, its places are known beforehand, and any wrong byte of it is found."""

import io
import random
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ocflpy import complaints
from tests.support.parts import Package, usual
from tests.support.tars import LIMITS, Dribble, gnu_tar
from vault.errors import Interrupted, Invalid, NotFound
from vault.formats.ocfl import parse_inventory
from vault.formats.part_tar import part_layout, part_paths, read_head, read_part, write_part
from vault.formats.tar import read_tar


def tar_of(built):
    out = io.BytesIO()
    inventory = parse_inventory(built.inventory)
    sizes = {path: len(data) for path, data in built.content.items()}
    length = write_part(
        out.write, inventory, built.inventory, built.part.number, sizes, lambda path: [built.content[path]]
    )
    assert length == len(out.getvalue())
    return out.getvalue()


def large():
    """A version whose names and sizes need pax headers, and whose files are many."""
    package = Package()
    state = {f"data/thư mục {n % 7}/hồ sơ {n}.pdf": f"{n}".encode() * (n % 50) for n in range(300)}
    state |= {"d/" * 60 + "deep": b"deep", "x" * 240: b"long"}
    return package.add(state)


@pytest.mark.parametrize("unpack", ["gnu", "python", "ours"])
def test_anybody_unpacks_the_versions_into_a_valid_object(tmp_path, unpack):
    package = usual()
    package.add({"data/third": b"3"})
    for built in package.versions:
        data = tar_of(built)
        if unpack == "gnu":
            gnu_tar("-x", cwd=tmp_path, stdin=data)
        elif unpack == "python":
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                tar.extractall(tmp_path, filter="data")
        else:
            for member in read_tar(io.BytesIO(data), LIMITS):
                target = tmp_path / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(b"".join(member.chunks()))
        assert complaints(tmp_path) == ""
        stored = {path: (tmp_path / path).read_bytes() for path in built.content}
        assert stored == built.content


def test_it_holds_the_part_and_nothing_else():
    built = usual().versions[1]
    names = [member.name for member in read_tar(io.BytesIO(tar_of(built)), LIMITS)]
    inventories = ["inventory.json", "inventory.json.sha512"]
    expected = ["0=ocfl_object_1.1", *inventories, *(f"v2/{name}" for name in inventories), *sorted(built.content)]
    assert names == expected


@pytest.mark.parametrize("make", [lambda: usual().versions[0], lambda: usual().versions[1], large])
def test_every_file_stands_where_the_layout_says(make):
    built = make()
    data = tar_of(built)
    assert data == tar_of(built), "the same part gives the same bytes"
    sizes = {path: len(content) for path, content in built.content.items()}
    layout = part_layout(parse_inventory(built.inventory), built.inventory, built.part.number, sizes)
    assert layout.length == len(data)
    assert set(layout.files) == set(built.content)
    for path, content in built.content.items():
        span = layout.find(path)
        assert data[span.offset : span.offset + span.length] == content
    with pytest.raises(NotFound):
        layout.find("v1/content/none")
    # The same from the head of the tar alone.
    source = io.BytesIO(data)
    head = read_head(source, built.part.number, inventory_digest=built.part.inventory_digest)
    assert head.layout() == layout
    assert head.inventory_bytes == built.inventory
    # Of the two inventories only the first was read.
    assert source.tell() < data.index(built.inventory, 3000 + len(built.inventory) // 2)


def test_a_part_without_files_is_a_tar_too():
    package = Package()
    package.add({"a": b"x"})
    built = package.add({"b": b"x"})
    assert part_paths(parse_inventory(built.inventory), 2) == []
    assert read_part(io.BytesIO(tar_of(built)), 2).intact


def test_what_is_read_is_handed_on_and_proved():
    built = large()
    got = {}

    def take(path, chunks):
        got[path] = b"".join(chunks)

    read = read_part(Dribble(tar_of(built)), 1, inventory_digest=built.part.inventory_digest.upper(), take=take)
    assert (read.intact, read.files, read.bytes) == (True, len(built.content), sum(map(len, built.content.values())))
    assert got == built.content


def test_what_nobody_takes_is_proved_all_the_same():
    built = large()
    assert read_part(io.BytesIO(tar_of(built)), 1, take=lambda path, chunks: next(chunks, None)).intact


def test_a_damaged_file_is_named_and_the_others_are_read_on():
    built = large()
    data = bytearray(tar_of(built))
    paths = sorted(path for path, content in built.content.items() if content)
    layout = read_head(io.BytesIO(data), 1).layout()
    data[layout.find(paths[3]).offset] ^= 1
    data[layout.find(paths[7]).offset - 1] ^= 1  # the last byte of its header
    read = read_part(io.BytesIO(data), 1)
    assert [wrong.path for wrong in read.wrong] == [paths[3], paths[7]]
    assert read.wrong[0].found not in {"", read.wrong[0].expected}
    assert read.wrong[1].found == ""


def outcome(tar):
    try:
        return "intact" if read_part(io.BytesIO(tar), 1, inventory_digest=_DIGEST).intact else "wrong"
    except Invalid as error:
        return ", ".join(fault.code for fault in error.faults)


@given(st.data())
def test_any_flipped_bit_is_found(data):
    tar = bytearray(_SMALL)
    at = data.draw(st.integers(0, len(tar) - 1))
    tar[at] ^= 1 << data.draw(st.integers(0, 7))
    assert outcome(bytes(tar)) in {"wrong", "tar-part-head", "tar-part-inventory"}


@given(st.data())
def test_a_tar_that_was_cut_or_lengthened_is_found(data):
    at = data.draw(st.integers(0, len(_SMALL) - 1))
    for tar in (_SMALL[:at], _SMALL + b"\0", _SMALL + b"x"):
        assert outcome(tar) in {"wrong", "tar-part-head"}


@given(st.binary(max_size=3000))
def test_anything_else_is_refused(data):
    for tar in (data, _SMALL[:512] + data, _SMALL[:1024] + data):
        with pytest.raises(Invalid) as caught:
            read_part(io.BytesIO(tar), 1)
        assert caught.value.faults[0].code == "tar-part-head"


def test_the_tar_of_another_version_or_package_is_told():
    package = usual()
    first, second = map(tar_of, package.versions)
    for tar, number, digest in (
        (first, 2, ""),
        (second, 1, ""),
        (first, 1, package.versions[1].part.inventory_digest),
        (tar_of(usual("another").versions[0]), 1, package.versions[0].part.inventory_digest),
    ):
        with pytest.raises(Invalid) as caught:
            read_part(io.BytesIO(tar), number, inventory_digest=digest)
        assert caught.value.faults[0].code == "tar-part-inventory"


@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: data[:-1] if data else b"y"])
def test_a_source_that_changed_is_no_tar(change):
    built = usual().versions[0]
    sizes = {path: len(data) for path, data in built.content.items()}
    inventory = parse_inventory(built.inventory)
    with pytest.raises(Interrupted):
        write_part(io.BytesIO().write, inventory, built.inventory, 1, sizes, lambda path: [change(built.content[path])])


def test_a_head_that_lies_about_sizes_takes_no_memory():
    built = usual().versions[0]
    tar = bytearray(tar_of(built))
    tar[1024 + 124 : 1024 + 136] = b"77777777777\0"
    with pytest.raises(Invalid):
        read_head(io.BytesIO(tar), 1)


def test_more_files_than_one_header_says_the_sizes_of(monkeypatch):
    monkeypatch.setattr("vault.formats.part_tar._SIZES_AT_ONCE", 7)
    built = large()
    data = tar_of(built)
    assert read_part(io.BytesIO(data), 1).intact
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert len(tar.getnames()) == len(built.content) + 5


_PACKAGE = Package()
_BUILT = _PACKAGE.add({"a": b"x" * 700, "b": b"", "ć": bytes(random.Random(1).randbytes(1500))})
_SMALL = tar_of(_BUILT)
_DIGEST = _BUILT.part.inventory_digest
