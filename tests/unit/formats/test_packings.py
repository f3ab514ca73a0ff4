"""Archives that are made while they are sent: any part of them is the part of the whole, and others read them."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tars import LIMITS, LONG, gnu_tar
from tests.support.tools import require
from vault.formats.archive import ArchiveLimits
from vault.formats.pieces import FileMember, Packing
from vault.formats.tar_writer import TarPacking, TarWriter
from vault.formats.zip import read_zip
from vault.formats.zip_writer import ZipPacking

MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MTIME = int(MOMENT.timestamp())
GIB = 2**30

FILES = st.lists(
    st.tuples(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=60), st.binary(max_size=700)),
    max_size=8,
).map(lambda pairs: {f"{number}/{name}": data for number, (name, data) in enumerate(pairs)})


def packing_of(kind: str, members: Sequence[FileMember]) -> Packing:
    return TarPacking(members, mtime=MTIME) if kind == "tar" else ZipPacking(members, moment=MOMENT)


def cut(kind: str, files: dict[str, bytes], start: int, length: int) -> bytes:
    contents = list(files.values())
    packing = packing_of(kind, [FileMember(name, len(data)) for name, data in files.items()])
    return b"".join(
        piece if isinstance(piece, bytes) else contents[piece.member][piece.start : piece.start + piece.length]
        for piece in packing.cut(start, length, lambda place: zlib.crc32(contents[place]))
    )


def whole(kind: str, files: dict[str, bytes]) -> bytes:
    size = packing_of(kind, [FileMember(name, len(data)) for name, data in files.items()]).size
    data = cut(kind, files, 0, size)
    assert len(data) == size
    return data


@given(FILES, st.data(), st.sampled_from(["tar", "zip"]))
def test_any_part_is_the_slice_of_the_whole(files: dict[str, bytes], data: st.DataObject, kind: str) -> None:
    packed = whole(kind, files)
    start = data.draw(st.integers(0, len(packed)))
    length = data.draw(st.integers(0, len(packed) - start))
    assert cut(kind, files, start, length) == packed[start : start + length]


@given(FILES)
def test_the_tar_is_the_one_that_is_written_in_one_go(files: dict[str, bytes]) -> None:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for name, data in files.items():
        writer.file(name, len(data), [data], mtime=MTIME)
    writer.close()
    assert whole("tar", files) == out.getvalue()


@given(FILES)
def test_others_and_we_read_the_zip(files: dict[str, bytes]) -> None:
    packed = whole("zip", files)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == files
        assert {info.date_time for info in archive.infolist()} <= {(2026, 3, 4, 5, 6, 6)}
    if files:
        assert {member.name: b"".join(member.chunks()) for member in read_zip(io.BytesIO(packed), LIMITS)} == files


NAMED = {"ngắn.txt": b"short", f"hồ sơ/{LONG[:60]}/Đ.pdf": b"long" * 1000, "empty": b""}


def test_unzip_and_tar_unpack_them(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(whole("zip", NAMED))
    unzip = require("unzip", "unzip")
    subprocess.run([unzip, "-q", archive, "-d", tmp_path / "zip"], check=True, timeout=30)
    (tmp_path / "tar").mkdir()
    gnu_tar("-x", cwd=tmp_path / "tar", stdin=whole("tar", NAMED))
    for kind in ("zip", "tar"):
        root = tmp_path / kind
        assert {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()} == NAMED


class Virtual(io.RawIOBase):
    """A file that is made where it is read; all content is zeros, however much there is."""

    def __init__(self, packing: Packing) -> None:
        self._packing, self._at = packing, 0

    def _checksum(self, place: int) -> int:
        size = self._packing.members[place].size
        return zlib.crc32(bytes(size)) if size < 100 else 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._packing.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        length = min(self._packing.size - self._at, 2**20 if size < 0 else size)
        pieces = self._packing.cut(self._at, length, self._checksum)
        data = b"".join(piece if isinstance(piece, bytes) else bytes(piece.length) for piece in pieces)
        self._at += len(data)
        return data


@pytest.mark.parametrize("sizes", [[5 * GIB, 3], [3 * GIB, 3 * GIB, 7], [2**32 - 1, 1], [0] * 65535, [0] * 70000])
def test_zip64_where_the_classic_fields_end(sizes: list[int]) -> None:
    members = [FileMember(f"f{number}", size) for number, size in enumerate(sizes)]
    packing = packing_of("zip", members)
    with zipfile.ZipFile(Virtual(packing)) as archive:
        assert [(info.filename, info.file_size) for info in archive.infolist()] == members
        last = archive.infolist()[-1]
        with archive.open(last) as content:
            assert content.read(min(sizes[-1], 10)) == bytes(min(sizes[-1], 10))
    limits = ArchiveLimits(max_members=100_000, max_total_bytes=2**62, max_member_bytes=2**62)
    assert [FileMember(m.name, m.size) for m in read_zip(Virtual(packing), limits)] == members


def test_a_tar_of_a_file_beyond_octal() -> None:
    members = [FileMember("large", 9 * GIB), FileMember("small", 3)]
    packing = packing_of("tar", members)
    with tarfile.open(fileobj=Virtual(packing)) as archive:
        assert [(m.name, m.size) for m in archive] == members


def test_parts_of_a_large_archive_need_no_checksum_of_what_they_do_not_hold() -> None:
    packing = packing_of("zip", [FileMember(f"f{number}", 1000) for number in range(50)])
    asked: list[int] = []

    def checksum(place: int) -> int:
        asked.append(place)
        return 0

    assert len(list(packing.cut(0, 3000, checksum))) > 4
    assert set(asked) == {0, 1}
