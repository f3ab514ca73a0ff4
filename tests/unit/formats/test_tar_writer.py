"""The tar that we write: GNU tar unpacks it, and so do we."""

import io
import struct
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tars import LIMITS, LONG, Dribble, gnu_tar
from vault.errors import Interrupted
from vault.formats.archive import ArchiveLimits
from vault.formats.tar import read_tar
from vault.formats.tar_writer import TarWriter, tar_header, tar_padding

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp"), exclude_characters="\\"), min_size=1
)


@given(st.dictionaries(NAMES, st.tuples(st.binary(max_size=2000), st.integers(-(2**40), 2**40)), max_size=6))
def test_round_trip(files):
    files = {f"{number}/n{name.replace('/', '-')}"[:250]: value for number, (name, value) in enumerate(files.items())}
    out = io.BytesIO()
    writer = TarWriter(out.write)
    offsets = {}
    for name, (content, mtime) in files.items():
        offsets[name] = writer.file(name, len(content), [content[:7], content[7:]], mtime=mtime)
    writer.close()
    data = out.getvalue()
    read = {m.name: (b"".join(m.chunks()), m.mtime) for m in read_tar(Dribble(data), LIMITS)}
    assert read == files
    with tarfile.open(fileobj=io.BytesIO(data)) as other:
        assert {m.name: (other.extractfile(m).read(), m.mtime) for m in other.getmembers()} == files
    for name, offset in offsets.items():
        content = files[name][0]
        assert data[offset : offset + len(content)] == content


@pytest.mark.parametrize("size", [8 * 1024**3 - 1, 8 * 1024**3, 12 * 1024**4])
def test_sizes_beyond_octal_are_written_and_read(size):
    data = tar_header("large", size)
    limits = ArchiveLimits(max_total_bytes=2**62, max_member_bytes=2**62)
    assert next(read_tar(io.BytesIO(data), limits)).size == size
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as other:
        assert other.firstmember.size == size


def test_gnu_tar_unpacks_what_we_write(tmp_path):
    files = {
        "short.txt": b"short",
        "d/" + "x" * 100: b"exactly a hundred",
        "d/" * 40 + "y" * 99: b"prefix",
        f"hồ sơ/{LONG[:60]}/{LONG[:60]}.pdf": b"long and Vietnamese" * 100,
        "z" * 200: b"long and ASCII",
    }
    out = io.BytesIO()
    writer = TarWriter(out.write)
    writer.directory("trống")
    for name, content in files.items():
        writer.file(name, len(content), [content])
    writer.close()
    gnu_tar("-x", cwd=tmp_path, stdin=out.getvalue())
    assert {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == files
    assert (tmp_path / "trống").is_dir()


def test_a_file_that_changes_while_it_is_packed_is_noticed():
    for content in (b"12345", b"123"):
        writer = TarWriter(io.BytesIO().write)
        with pytest.raises(Interrupted) as caught:
            writer.file("a", 4, [content])
        assert caught.value.code == "source-changed"


def test_writer_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="negative"):
        tar_header("a", -1)
    assert tar_padding(512) == b""
    assert struct.calcsize("512s") == len(tar_header("a", 0))
