"""Tars for tests: made by hand, by GNU tar and by our writer, and read in one go."""

import io
import os
import subprocess

import pytest

from vault.errors import Invalid
from vault.formats.archive import ArchiveLimits
from vault.formats.tar import read_tar
from vault.formats.tar_writer import TarWriter

LIMITS = ArchiveLimits()
LONG = "Quyết định số 01 về việc phê duyệt danh mục hồ sơ " * 4


class Dribble:
    """A source that gives what it likes, as a socket does."""

    def __init__(self, data: bytes, sizes=(1, 511, 7, 100_000, 512)) -> None:
        self.data = io.BytesIO(data)
        self.sizes = sizes
        self.turn = 0

    def read(self, size: int) -> bytes:
        self.turn += 1
        return self.data.read(min(size, self.sizes[self.turn % len(self.sizes)]))


def unpack(data: bytes, limits: ArchiveLimits = LIMITS, source=None):
    return {
        member.name: (member.kind, b"".join(member.chunks())) for member in read_tar(source or io.BytesIO(data), limits)
    }


def inflate(stream, size: int) -> None:
    while stream.read(size):
        pass


def refusal(data: bytes, limits: ArchiveLimits = LIMITS) -> str:
    with pytest.raises(Invalid) as caught:
        unpack(data, limits)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0].code


def pack(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for name, content in members:
        writer.file(name, len(content), [content])
    writer.close()
    return out.getvalue()


def header(name: bytes = b"a", size: bytes = b"00000000000\0", flag: bytes = b"0", **fields: bytes) -> bytes:
    """A tar header made by hand, so that it may be wrong."""
    block = bytearray(512)
    places = {"name": 0, "mode": 100, "mtime": 136, "linkname": 157, "magic": 257, "prefix": 345}
    values = {"name": name, "mode": b"0000644\0", "mtime": b"00000000000\0", "magic": b"ustar\x0000", **fields}
    for field, value in values.items():
        block[places[field] : places[field] + len(value)] = value
    block[124 : 124 + len(size)] = size
    block[156:157] = flag
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(records: bytes, flag: bytes = b"x") -> bytes:
    return header(b"pax", b"%011o\0" % len(records), flag) + records + bytes(-len(records) % 512)


def record(key: str, value: str) -> bytes:
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


def gnu_tar(*arguments: str, cwd, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["tar", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    return done.stdout
