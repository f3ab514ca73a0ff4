"""Gzip as it streams in: several members, padding, damage and bombs."""

import gzip
import io
import os
import tracemalloc
import zlib

import pytest

from tests.support.tars import LIMITS, Dribble, inflate, pack, unpack
from vault.errors import Invalid
from vault.formats.archive import ArchiveLimits, Container, sniff
from vault.formats.gunzip import gunzip


def test_gzip_round_trip_in_several_members_and_with_padding():
    data = pack(("a", os.urandom(200_000)), ("b", b"x" * 3_000_000))
    packed = gzip.compress(data[:1000]) + gzip.compress(b"") + gzip.compress(data[1000:])
    for tail in (b"", bytes(5000)):
        assert unpack(b"", source=gunzip(Dribble(packed + tail), LIMITS)) == unpack(data)
    assert sniff(gzip.compress(data)[:4096], "x") is Container.TAR_GZ


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda data: data[:-1], "gzip-truncated"),
        (lambda data: data[:10], "gzip-truncated"),
        (lambda data: b"", "gzip-truncated"),
        (lambda data: data + b"garbage", "gzip-trailing-data"),
        (lambda data: data + bytes(10) + b"garbage", "gzip-trailing-data"),
        (lambda data: data[:-8] + b"\0\0\0\0" + data[-4:], "gzip-damaged"),
        (lambda data: data[:-4] + b"\0\0\0\0", "gzip-damaged"),
        (lambda data: b"no gzip", "gzip-damaged"),
        (lambda data: data + gzip.compress(b"") * 2000, "gzip-damaged"),
    ],
)
def test_broken_gzip_is_refused(spoil, code):
    stream = gunzip(io.BytesIO(spoil(gzip.compress(os.urandom(1000)))), LIMITS)
    with pytest.raises(Invalid) as caught:
        inflate(stream, 100)
    assert caught.value.code == code


def test_a_gzip_bomb_is_stopped_early():
    squeezer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(squeezer.compress(bytes(1024**2)) for _ in range(64)), squeezer.flush()])
    assert len(bomb) < 100_000
    stream = gunzip(io.BytesIO(bomb), LIMITS)
    tracemalloc.start()
    with pytest.raises(Invalid) as caught:
        inflate(stream, 1024**2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "archive-ratio"
    assert stream.inflated < 20 * 1024**2
    assert peak < 6 * 1024**2


def test_the_total_of_a_gzip_is_limited_as_it_comes_out():
    stream = gunzip(io.BytesIO(gzip.compress(os.urandom(50_000))), ArchiveLimits(max_total_bytes=40_000))
    with pytest.raises(Invalid) as caught:
        inflate(stream, 1000)
    assert caught.value.code == "archive-too-large"
    assert stream.inflated <= 41_000
