"""Tar as it streams in: what GNU tar writes is read, and what is hostile is refused."""

import gzip
import io
import os
import tarfile
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tars import LIMITS, LONG, Dribble, gnu_tar, header, pack, pax, record, refusal, unpack
from vault.errors import Interrupted, Invalid
from vault.formats.archive import ArchiveLimits, Container, MemberKind, sniff
from vault.formats.gunzip import gunzip
from vault.formats.tar import read_tar
from vault.formats.tar_writer import TAR_END, tar_header


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    (top / "sub" / "empty").mkdir(parents=True)
    files = {"a.txt": b"A", "zero": b"", "sub/block": b"b" * 512, "sub/large": os.urandom(1_500_001)}
    for name, content in files.items():
        (top / name).write_bytes(content)
    os.utime(top / "a.txt", (1_700_000_000, 1_700_000_000))
    return top, files


# -- what others write


@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "oldgnu", "pax"])
@pytest.mark.parametrize("where", [".", "tree"])
def test_all_that_gnu_tar_writes_is_read(tree, form, where):
    top, files = tree
    if form not in {"v7", "ustar"}:
        long = f"sub/{LONG[:80]}/{LONG[:70]}.pdf"
        (top / long).parent.mkdir()
        (top / long).write_bytes(b"long")
        files = files | {long: b"long"}
    cwd = top if where == "." else top.parent
    data = gnu_tar("-c", f"--format={form}", where, cwd=cwd)
    prefix = "" if where == "." else "tree/"
    seen = unpack(data, source=Dribble(data))
    assert {name: content for name, (kind, content) in seen.items() if kind is MemberKind.FILE} == {
        prefix + name: content for name, content in files.items()
    }
    assert seen[f"{prefix}sub/empty"] == (MemberKind.DIRECTORY, b"")
    times = {member.name: member.mtime for member in read_tar(io.BytesIO(data), LIMITS)}
    assert times[f"{prefix}a.txt"] == 1_700_000_000
    assert sniff(data[:4096], "upload") is Container.TAR


def test_ustar_prefix_is_part_of_the_name(tree):
    top, _ = tree
    deep = "/".join(["folder" * 4] * 7) + "/file.txt"
    (top / deep).parent.mkdir(parents=True)
    (top / deep).write_bytes(b"deep")
    data = gnu_tar("-c", "--format=ustar", deep, cwd=top)
    assert unpack(data) == {deep: (MemberKind.FILE, b"deep")}


def test_padding_to_any_blocking_factor_is_accepted(tree):
    top, _ = tree
    data = gnu_tar("-c", "-b", "2048", "a.txt", cwd=top)
    assert len(data) == 1024**2
    assert unpack(data) == {"a.txt": (MemberKind.FILE, b"A")}


@pytest.mark.parametrize(
    ("form", "flags"),
    [("gnu", ["-S"]), ("pax", ["-S", "--sparse-version=1.0"]), ("pax", ["-S", "--sparse-version=0.1"])],
)
def test_sparse_files_are_refused(tmp_path, form, flags):
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(10_000_000)
        file.seek(5_000_000)
        file.write(b"x" * 5000)
    assert refusal(gnu_tar("-c", f"--format={form}", *flags, "holes", cwd=tmp_path)) == "tar-sparse"


def test_links_and_devices_are_refused(tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "s").symlink_to("/etc/passwd")
    os.link(tmp_path / "f", tmp_path / "h")
    os.mkfifo(tmp_path / "p")
    assert refusal(gnu_tar("-c", "s", cwd=tmp_path)) == "tar-symlink"
    assert refusal(gnu_tar("-c", "f", "h", cwd=tmp_path)) == "tar-hardlink"
    assert refusal(gnu_tar("-c", "p", cwd=tmp_path)) == "tar-fifo"
    # a long link target comes with a header of its own, before the link
    (tmp_path / "s2").symlink_to("x" * 200)
    assert refusal(gnu_tar("-c", "--format=gnu", "s2", cwd=tmp_path)) == "tar-symlink"


def test_names_in_a_code_page_are_refused(tmp_path):
    name = os.fsencode(tmp_path) + b"/qu\xfd\xeat.txt"
    with open(name, "wb"):
        pass
    assert refusal(gnu_tar("-c", "--format=gnu", ".", cwd=tmp_path)) == "name-not-utf8"


# -- what is hostile or broken


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        (b"1", "tar-hardlink"),
        (b"2", "tar-symlink"),
        (b"3", "tar-device"),
        (b"4", "tar-device"),
        (b"6", "tar-fifo"),
        (b"S", "tar-sparse"),
        (b"M", "tar-multi-volume"),
        (b"D", "tar-unknown-type"),
        (b"V", "tar-unknown-type"),
        (b"\xff", "tar-unknown-type"),
    ],
)
def test_types_other_than_files_and_directories(flag, code):
    assert refusal(header(flag=flag) + TAR_END) == code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "tar-no-end"),
        (bytes(512), "tar-no-end"),
        (bytes(1023), "tar-no-end"),
        (header(), "tar-no-end"),
        (header() + bytes(512), "tar-no-end"),
        (header()[:300], "tar-truncated"),
        (header(size=b"00000000005\0") + b"123", "tar-truncated"),
        (header(size=b"00000000005\0") + b"12345" + bytes(100), "tar-truncated"),
        (b"no tar at all" * 100, "tar-bad-checksum"),
        (header()[:-1] + b"x" + TAR_END, "tar-bad-checksum"),
        (header(size=b"\xff" * 12) + TAR_END, "tar-bad-number"),
        (header(size=b"\x80" + b"\x7f" * 11) + TAR_END, "tar-bad-number"),
        (header(size=b"-0000000001\0") + TAR_END, "tar-bad-number"),
        (header(size=b"0x000000001\0") + TAR_END, "tar-bad-number"),
        (header(size=b"0_000000001\0") + TAR_END, "tar-bad-number"),
        (header(size=b"00000000009\0") + TAR_END, "tar-bad-number"),
        (header(size=b"\x80" + bytes(3) + b"\x7f" + bytes(7)) + TAR_END, "member-too-large"),
        (header(mode=b"garbage\0") + TAR_END, "tar-bad-number"),
        (header() + TAR_END + b"x", "tar-trailing-data"),
        (header() + TAR_END + bytes(10_000) + b"\1", "tar-trailing-data"),
        (header() + bytes(512) + header(b"hidden") + TAR_END, "tar-trailing-data"),
        (header() + TAR_END + header(b"hidden") + TAR_END, "tar-trailing-data"),
        (header(b"d/", b"00000000005\0", b"5") + bytes(512) + TAR_END, "tar-bad-header"),
        (header(b"d/", flag=b"0") + TAR_END, "tar-bad-header"),
        (header(b"../x") + TAR_END, "name-parent"),
        (header(b"/x") + TAR_END, "name-absolute"),
        (header(b"x", prefix=b"/etc") + TAR_END, "name-absolute"),
        (header(b"") + TAR_END, "name-empty"),
        (header(b"/", flag=b"5") + TAR_END, "name-absolute"),
        (header() + header() + TAR_END, "duplicate-name"),
        (header(b"A/x") + header(b"a/y") + TAR_END, "names-alike"),
        (header(b"a") + header(b"a/b") + TAR_END, "file-as-directory"),
        (pax(record("path", "b")) + TAR_END, "tar-truncated"),
        (pax(record("path", "../b")) + header() + TAR_END, "name-parent"),
        (pax(record("path", "b\0c")) + header() + TAR_END, "name-control-character"),
        (pax(record("size", "-1")) + header() + TAR_END, "tar-bad-number"),
        (pax(record("size", "9" * 19)) + header() + TAR_END, "tar-bad-number"),
        (pax(record("size", "9" * 30)) + header() + TAR_END, "tar-bad-number"),
        (pax(record("size", "٣")) + header() + TAR_END, "tar-bad-number"),
        (pax(record("mtime", "1e99")) + header() + TAR_END, "tar-bad-number"),
        (pax(record("GNU.sparse.major", "1")) + header() + TAR_END, "tar-sparse"),
        (pax(record("hdrcharset", "ISO-8859-1")) + header() + TAR_END, "tar-pax-malformed"),
        (pax(b"99 path=b\n") + header() + TAR_END, "tar-pax-malformed"),
        (pax(b"0 path=b\n") + header() + TAR_END, "tar-pax-malformed"),
        (pax(b"9999999999999999999999 path=b\n") + header() + TAR_END, "tar-pax-malformed"),
        (pax(b"9 path=bb") + header() + TAR_END, "tar-pax-malformed"),
        (pax(b"7 pathb\n") + header() + TAR_END, "tar-pax-malformed"),
        (pax(record("path", "b"), b"g") + header() + TAR_END, "tar-pax-malformed"),
        (pax(record("size", "0"), b"g") + header() + TAR_END, "tar-pax-malformed"),
        (pax(b"one\0", b"L") + pax(b"two\0", b"L") + header() + TAR_END, "tar-bad-header"),
        (pax(b"one\0", b"L") + pax(record("path", "b")) + header() + TAR_END, "tar-bad-header"),
    ],
)
def test_broken_and_ambiguous_archives_are_refused(data, code):
    assert refusal(data) == code


def test_a_body_cut_anywhere_is_refused():
    data = pack(("a", b"1" * 700), ("đ" * 80, b"2" * 512), ("c", b""))
    for cut in range(len(data)):
        with pytest.raises(Invalid) as caught:
            unpack(data[:cut])
        assert caught.value.code in {"tar-no-end", "tar-truncated"}, cut


def test_an_archive_without_members_has_none():
    assert unpack(TAR_END) == {}


def test_pax_size_and_mtime_override_the_header():
    data = pax(record("size", "3") + record("mtime", "-1.5")) + header() + b"abc" + bytes(509) + TAR_END
    (member,) = [(m.name, m.size, m.mtime, m.read(10)) for m in read_tar(io.BytesIO(data), LIMITS)]
    assert member == ("a", 3, -2, b"abc")


def test_a_global_header_as_git_writes_it_is_accepted():
    assert unpack(pax(record("comment", "f" * 40), b"g") + header() + TAR_END) == {"a": (MemberKind.FILE, b"")}


def test_the_signed_checksum_of_old_writers_is_accepted():
    block = bytearray(header("đ".encode()))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in block)
    assert list(unpack(bytes(block) + TAR_END)) == ["đ"]


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (ArchiveLimits(max_members=2), "too-many-members"),
        (ArchiveLimits(max_total_bytes=2999), "archive-too-large"),
        (ArchiveLimits(max_member_bytes=999), "member-too-large"),
        (ArchiveLimits(max_depth=1), "name-too-deep"),
        (ArchiveLimits(max_header_bytes=600), "tar-header-too-large"),
    ],
)
def test_each_limit_holds(limits, code):
    data = pack(("d/a", bytes(1000)), ("d/b", bytes(1000)), ("d/" + "đ" * 100, bytes(1000)))
    assert unpack(data, ArchiveLimits(max_members=3, max_total_bytes=3000, max_member_bytes=1000, max_depth=2))
    assert refusal(data, limits) == code


def test_unread_content_is_passed_over_and_a_past_member_cannot_be_read():
    data = pack(("a", b"1" * 300_000), ("b", b"2" * 5))
    members = read_tar(Dribble(data), LIMITS)
    first = next(members)
    assert first.read(3) == b"111"
    second = next(members)
    with pytest.raises(RuntimeError):
        first.read(1)
    assert second.read(100) == b"22222"
    assert second.read(100) == b""
    assert list(members) == []


def test_an_interruption_of_the_source_is_not_called_a_bad_archive():
    class Vanishing:
        def read(self, size: int) -> bytes:
            raise Interrupted("the client is gone.")

    with pytest.raises(Interrupted):
        list(read_tar(Vanishing(), LIMITS))


# -- memory


class Endless:
    """``head``, then zero bytes for ever."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.given = 0

    def read(self, size: int) -> bytes:
        piece, self.head = self.head[:size], self.head[size:]
        self.given += len(piece) or size
        return piece or bytes(size)


@pytest.mark.parametrize("flag", [b"x", b"g", b"L", b"K"])
@pytest.mark.parametrize("claimed", [8 * 1024**3 - 1, 8 * 1024**3, 2**62])
def test_an_extended_header_that_claims_gigabytes_costs_nothing(flag, claimed):
    size = b"%011o\0" % claimed if claimed < 8 * 1024**3 else b"\x80" + claimed.to_bytes(11, "big")
    source = Endless(header(size=size, flag=flag))
    tracemalloc.start()
    with pytest.raises(Invalid) as caught:
        list(read_tar(source, LIMITS))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "tar-header-too-large"
    assert peak < 2_000_000
    assert source.given < 2_000_000


def test_many_small_extended_headers_for_one_member_are_bounded():
    assert refusal(pax(record("comment", "x")) * 2000 + header() + TAR_END) == "tar-header-too-large"


def test_endless_padding_is_refused():
    source = Endless(TAR_END)
    with pytest.raises(Invalid) as caught:
        list(read_tar(source, LIMITS))
    assert caught.value.code == "tar-trailing-data"
    assert source.given < 100 * 1024**2


def test_a_large_member_is_read_in_constant_memory_and_quickly():
    size = 4 * 1024**3
    source = Endless(tar_header("large", size))
    tracemalloc.start()
    began = time.process_time()
    seen = 0
    for chunk in next(read_tar(source, LIMITS)).chunks():
        seen += len(chunk)
    spent = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == size
    assert peak < 8 * 1024**2
    assert spent < 4, "slower than 1 GiB/s"


# -- what is what


@pytest.mark.parametrize(
    ("data", "name", "container"),
    [
        (b"%PDF-1.7" + bytes(1000), "x.tar", Container.OTHER),
        (b"PK\x03\x04" + bytes(100), "x.docx", Container.ZIP),
        (b"PK\x05\x06" + bytes(18), "x", Container.ZIP),
        (header(magic=bytes(8)), "v7", Container.TAR),
        (bytes(1024), "empty.tar", Container.TAR),
        (bytes(1024), "zeros.bin", Container.OTHER),
        (gzip.compress(b"WARC/1.0" * 200, mtime=0), "crawl.warc.gz", Container.OTHER),
        (gzip.compress(b"WARC/1.0" * 200, mtime=0), "crawl.tar.gz", Container.OTHER),
        (gzip.compress(TAR_END, mtime=0), "x.tgz", Container.TAR_GZ),
        (gzip.compress(header() + TAR_END, mtime=0), "whatever", Container.TAR_GZ),
        (b"\x1f\x8b\x08\x00", "x.tgz", Container.TAR_GZ),
        (b"\x1f\x8b\x08" + b"\xff" * 100, "x", Container.OTHER),
        (b"", "x.tar", Container.TAR),
        (b"", "x", Container.OTHER),
    ],
)
def test_bytes_decide_what_a_container_is(data, name, container):
    assert sniff(data[:4096], name) is container


# -- nothing but our own errors


def assert_presentable(error: Invalid) -> None:
    str(error).encode()
    assert [fault.code for fault in error.faults] == [error.code]


def _drain(data: bytes) -> None:
    for open_source in (lambda: io.BytesIO(data), lambda: gunzip(io.BytesIO(data), LIMITS)):
        try:
            for member in read_tar(open_source(), LIMITS):
                for _ in member.chunks():
                    pass
        except Invalid as error:
            assert_presentable(error)


@given(st.binary(max_size=3000))
def test_random_bytes_raise_nothing_else(data):
    _drain(data)


SEED = pack(("data/tệp.txt", b"12345"), ("data/" + "n" * 150, b"x" * 600), ("bagit.txt", b"")) + bytes(512)


def _fix(data: bytearray) -> None:
    """Make the checksums right again, so that what was changed is reached."""
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_mutated_archives_raise_nothing_else_and_what_passes_is_what_tarfile_reads(changes, repair):
    data = bytearray(SEED)
    for place, value in changes:
        data[place] = value
    if repair:
        _fix(data)
    _drain(bytes(data))
    try:
        seen = unpack(bytes(data))
    except Invalid:
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as other:
        assert {name: content for name, (_, content) in seen.items()} == {
            m.name.removeprefix("./"): other.extractfile(m).read() if m.isfile() else b"" for m in other.getmembers()
        }


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=3), st.integers(0, 400))
def test_mutated_gzip_raises_nothing_else(changes, cut):
    data = bytearray(gzip.compress(SEED, mtime=0))
    for place, value in changes:
        data[place % len(data)] = value
    _drain(bytes(data[: len(data) - cut % 20]))
