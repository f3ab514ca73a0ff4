"""Zip by its central directory: what zip and zipfile write is read, what could be read in two ways is refused."""

import io
import os
import shutil
import stat
import struct
import subprocess
import tracemalloc
import warnings
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.errors import Invalid
from vault.formats.archive import ArchiveLimits, MemberKind
from vault.formats.zip import list_zip, read_zip

LIMITS = ArchiveLimits()
NEEDS_ZIP = pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP's zip is not installed")


def unpack(data: bytes, limits: ArchiveLimits = LIMITS):
    return {member.name: (member.kind, b"".join(member.chunks(5000))) for member in read_zip(io.BytesIO(data), limits)}


def refusal(data: bytes, limits: ArchiveLimits = LIMITS) -> str:
    with pytest.raises(Invalid) as caught:
        unpack(data, limits)
    assert [fault.code for fault in caught.value.faults] == [caught.value.code]
    return caught.value.code


def pack(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of a name that comes twice, and writes it
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def info_zip(*arguments: str, cwd) -> bytes:
    subprocess.run(
        ["zip", "-q", *arguments],
        cwd=cwd,
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    return (cwd / "out.zip").read_bytes()


def central(data: bytes, number: int = 0) -> int:
    """Offset of an entry in the central directory."""
    at = struct.unpack_from("<L", data, len(data) - 6)[0]
    for _ in range(number):
        at += 46 + sum(struct.unpack_from("<3H", data, at + 28))
    return at


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


# -- what others write


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_zipfile_writes_is_read(method):
    files = {"bagit.txt": b"x", "data/hồ sơ.pdf": os.urandom(700_000), "data/zero": b"", "data/b": b"b" * 900_000}
    data = pack(*files.items(), ("data/empty/", b""), method=method)
    seen = unpack(data)
    assert {name: content for name, (kind, content) in seen.items() if kind is MemberKind.FILE} == files
    assert seen["data/empty"] == (MemberKind.DIRECTORY, b"")
    entries = list_zip(io.BytesIO(data), LIMITS)
    assert {entry.name: entry.size for entry in entries} == {name: len(content) for name, (_, content) in seen.items()}


@NEEDS_ZIP
@pytest.mark.parametrize(
    "flags", [["-r"], ["-rD"], ["-r0"], ["-r9"], ["-rfd"], ["-r", "-UN=Escape"], ["-rX"], ["-rfz"]]
)
def test_what_info_zip_writes_is_read(tmp_path, flags):
    (tmp_path / "hồ sơ" / "trống").mkdir(parents=True)
    files = {"a.txt": b"A" * 1000, "hồ sơ/Quyết định.pdf": os.urandom(100_000), "zero": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))
    data = info_zip(*flags, "out.zip", *os.listdir(tmp_path), cwd=tmp_path)
    seen = unpack(data)
    assert {name: content for name, (kind, content) in seen.items() if kind is MemberKind.FILE} == files
    if flags == ["-r"]:
        times = {member.name: member.mtime for member in read_zip(io.BytesIO(data), LIMITS)}
        assert times["a.txt"] == 1_700_000_000


@NEEDS_ZIP
def test_a_stream_written_without_seeking_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"A" * 100_000)
    with (tmp_path / "out.zip").open("wb") as out:
        piped = subprocess.Popen(["zip", "-q", "-", "a"], cwd=tmp_path, stdout=subprocess.PIPE)
        shutil.copyfileobj(piped.stdout, out)
        piped.stdout.close()
        assert piped.wait(timeout=60) == 0
    assert unpack((tmp_path / "out.zip").read_bytes()) == {"a": (MemberKind.FILE, b"A" * 100_000)}


def test_data_descriptors_and_zip64_are_read():
    class Unseekable(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b"):
            with archive.open(name, "w", force_zip64=name == "b") as file:
                file.write(name.encode() * 10_000)
    assert unpack(bytes(out.data)) == {name: (MemberKind.FILE, name.encode() * 10_000) for name in "ab"}


def test_more_entries_than_the_old_end_record_can_count():
    data = pack(*((f"d/{number}", b"") for number in range(70_000)), method=zipfile.ZIP_STORED)
    assert len(unpack(data)) == 70_000
    assert refusal(data, ArchiveLimits(max_members=69_999)) == "too-many-members"


def test_names_without_the_utf8_flag():
    utf8 = "đơn.txt".encode()
    data = pack(("x" * len(utf8), b"1"))
    assert list(unpack(data.replace(b"x" * len(utf8), utf8))) == ["đơn.txt"]
    assert refusal(data.replace(b"x" * len(utf8), b"qu\xfd\xeat.txt")) == "name-not-utf8"


def test_the_unicode_path_field_of_info_zip():
    def named(raw: bytes, better: bytes, crc: int | None = None) -> bytes:
        info = zipfile.ZipInfo("Q" * len(raw))
        field = b"\x01" + struct.pack("<L", zlib.crc32(raw) if crc is None else crc) + better
        info.extra = struct.pack("<2H", 0x7075, len(field)) + field
        return pack((info, b"1")).replace(b"Q" * len(raw), raw)

    assert list(unpack(named(b"qu\xfd\xeat", "quýêt".encode()))) == ["quýêt"]
    assert refusal(named(b"qu\xfd\xeat", "quýêt".encode(), crc=5)) == "zip-malformed"
    assert refusal(named(b"one", b"two")) == "zip-malformed"
    assert refusal(named(b"\xff", b"\xff")) == "name-not-utf8"
    assert refusal(named(b"\xff", b"../x")) == "name-parent"


# -- what is hostile or broken


def special(mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(mode):
    assert refusal(pack((special(mode | 0o777), b"/etc/passwd"))) == "zip-special-file"


def test_a_name_and_a_mode_must_agree():
    assert refusal(pack((special(stat.S_IFDIR | 0o755), b""))) == "zip-malformed"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused(method):
    assert refusal(pack(("a", b"x" * 100), method=method)) == "zip-method"


@NEEDS_ZIP
def test_encryption_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"secret" * 100)
    assert refusal(info_zip("-P", "password", "out.zip", "a", cwd=tmp_path)) == "zip-encrypted"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../x", "name-parent"),
        ("/etc/passwd", "name-absolute"),
        ("a\\b", "name-backslash"),
        ("C:/x", "name-drive-letter"),
        ("a//b", "name-empty-component"),
        ("a\x1bb", "name-control-character"),
        ("./", "name-empty"),
    ],
)
def test_names_are_checked(name, code):
    assert refusal(pack((name, b""))) == code


def test_a_name_with_a_nul_is_seen_whole():
    assert refusal(pack(("data/aXb", b"")).replace(b"data/aXb", b"data/a\0b")) == "name-control-character"


def test_names_that_cannot_live_together_are_refused():
    assert refusal(pack(("a", b"1"), ("a", b"2"))) == "duplicate-name"
    assert refusal(pack(("A/x", b"1"), ("a/y", b"2"))) == "names-alike"
    assert refusal(pack(("a", b"1"), ("a/b", b"2"))) == "file-as-directory"


SEED = pack(("data/a.txt", b"hello " * 50), ("data/b.bin", bytes(range(256))), ("bagit.txt", b"x"))


def test_a_zip_cut_anywhere_is_refused():
    for cut in range(len(SEED)):
        with pytest.raises(Invalid) as caught:
            unpack(SEED[:cut])
        assert caught.value.code in {"zip-no-directory", "zip-hidden-data"}, cut


def test_data_that_belongs_to_no_entry_is_refused():
    assert refusal(b"MZ stub" + SEED) == "zip-hidden-data"
    assert refusal(SEED + b"tail") == "zip-hidden-data"
    assert refusal(SEED[:-2] + b"\x04\0PK\5\6") == "zip-no-directory"  # a second end, inside the comment
    assert refusal(SEED[:-2] + struct.pack("<H", len(SEED)) + SEED) == "zip-hidden-data"
    # moved properly, offsets and all, the first entry still does not begin at 0
    out = io.BytesIO(b"#!/bin/sh\n")
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("a", b"1")
    assert refusal(out.getvalue()) == "zip-hidden-data"


def test_hidden_data_between_entries_is_refused():
    one, two = pack(("a", b"1"), method=0), pack(("b", b"2"), method=0)
    first, second = one[: central(one)], two[: central(two)]
    gap = b"hidden"
    entry_a, entry_b = one[central(one) : -22], bytearray(two[central(two) : -22])
    entry_b[42:46] = struct.pack("<L", len(first) + len(gap))
    body = first + gap + second
    directory = entry_a + bytes(entry_b)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(directory), len(body), 0)
    assert refusal(body + directory + end) == "zip-hidden-data"


def test_overlapping_entries_are_refused():
    # two directory entries, one content: how quines and 42.zip's heirs are made
    one = pack(("a", b"1" * 1000))
    entry = one[central(one) : -22]
    twice = one[: central(one)] + entry + entry
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, 2 * len(entry), central(one), 0)
    assert refusal(twice + end) == "zip-overlap"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (changed(SEED, 30, b"data/X.txt"), "zip-header-mismatch"),  # name in the local header
        (changed(SEED, 8, b"\0\0"), "zip-header-mismatch"),  # method there
        (changed(SEED, 6, b"\1\0"), "zip-header-mismatch"),  # encrypted there
        (changed(SEED, 14, b"\0\0\0\1"), "zip-header-mismatch"),  # CRC there
        (changed(SEED, 22, b"\1\0\0\0"), "zip-header-mismatch"),  # size there
        (changed(SEED, 0, b"XX"), "zip-header-mismatch"),
        (changed(changed(SEED, 14, b"1234"), central(SEED) + 16, b"1234"), "zip-damaged"),  # CRC in both
        (changed(changed(SEED, 22, b"\1\1\0\0"), central(SEED) + 24, b"\1\1\0\0"), "zip-damaged"),  # size in both
        (changed(changed(SEED, 22, b"\1\2\0\0"), central(SEED) + 24, b"\1\2\0\0"), "zip-damaged"),
        (changed(SEED, 42, b"\xff\xff"), "zip-damaged"),  # the deflate stream
        (changed(SEED, central(SEED), b"XX"), "zip-malformed"),
        (changed(SEED, central(SEED) + 28, b"\xff\xff"), "zip-malformed"),
        (changed(SEED, central(SEED) + 8, b"\1\0"), "zip-encrypted"),
        (changed(SEED, central(SEED) + 10, b"\x63\0"), "zip-method"),
        (changed(SEED, central(SEED) + 6, b"\x40"), "zip-method"),  # needs version 6.4
        (changed(SEED, central(SEED) + 42, b"\xff\xff\0\0"), "zip-hidden-data"),
        (changed(SEED, len(SEED) - 10, b"\1"), "zip-hidden-data"),  # directory's size
        (changed(SEED, len(SEED) - 14, b"\2\0\2\0"), "zip-malformed"),  # counts fewer
        (changed(SEED, len(SEED) - 14, b"\4\0\4\0"), "zip-malformed"),  # counts more
        (changed(SEED, len(SEED) - 18, b"\1\0"), "zip-multi-disk"),
        (b"", "zip-no-directory"),
        (b"PK\x03\x04", "zip-no-directory"),
    ],
)
def test_headers_that_disagree_are_refused(data, code):
    assert refusal(data) == code


def test_an_empty_zip_has_no_members():
    assert unpack(pack()) == {}
    assert refusal(b"junk" + pack()) == "zip-hidden-data"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (ArchiveLimits(max_members=2), "too-many-members"),
        (ArchiveLimits(max_total_bytes=500), "archive-too-large"),
        (ArchiveLimits(max_member_bytes=299), "member-too-large"),
        (ArchiveLimits(max_directory_bytes=150), "zip-directory-too-large"),
        (ArchiveLimits(max_depth=1), "name-too-deep"),
    ],
)
def test_each_limit_holds(limits, code):
    assert refusal(SEED, limits) == code


def test_a_giant_directory_is_refused_before_it_is_read():
    claim = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 2**31, 0, 0)
    assert refusal(claim) == "zip-directory-too-large"
    # 4 billion entries, by zip64
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2**32, 2**32, 46 * 2**32, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    assert refusal(end64 + locator + end) == "too-many-members"
    disagreeing = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 2**32 - 1, 2**32 - 1, 0)
    assert refusal(end64 + locator + disagreeing) == "zip-malformed"


def test_a_bomb_is_stopped_early_whatever_it_declares():
    data = pack(("bomb", bytes(64 * 1024**2)))
    assert len(data) < 100_000
    for declared in (None, 10):
        if declared is not None:
            size = struct.pack("<L", declared)
            data = changed(changed(data, 22, size), central(data) + 24, size)
        member = next(read_zip(io.BytesIO(data), LIMITS))
        tracemalloc.start()
        seen = 0
        code = ""
        try:
            for chunk in member.chunks():
                seen += len(chunk)
        except Invalid as error:
            code = error.code
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert code == ("archive-ratio" if declared is None else "zip-damaged")
        assert seen < 20 * 1024**2
        assert peak < 6 * 1024**2


# -- nothing but our own errors


def _drain(data: bytes) -> dict[str, bytes] | None:
    try:
        return {member.name: b"".join(member.chunks()) for member in read_zip(io.BytesIO(data), LIMITS)}
    except Invalid as error:
        str(error).encode()
        return None


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_raise_nothing_else(data, ended):
    _drain(data + (SEED[-22:] if ended else b""))


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_zips_raise_nothing_else_and_what_passes_is_what_zipfile_reads(changes):
    data = bytearray(SEED)
    for place, value in changes:
        data[place] = value
    seen = _drain(bytes(data))
    if seen is not None:
        with zipfile.ZipFile(io.BytesIO(bytes(data))) as other:
            assert seen == {
                info.filename.removeprefix("./").removesuffix("/"): other.read(info) for info in other.infolist()
            }


NAME = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp"), exclude_characters="\\/"))


@given(st.lists(st.tuples(NAME, st.binary(max_size=3000)), max_size=5), st.sampled_from([0, 8]))
def test_round_trip(files, method):
    content = {f"{number}/n{name}"[:250]: data for number, (name, data) in enumerate(files)}
    assert _drain(pack(*content.items(), method=method)) == content
