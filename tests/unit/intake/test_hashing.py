"""Digests beside the work: the same as hashlib's, whatever the pieces, and no thread is left behind."""

from __future__ import annotations

import hashlib
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.intake.hashing import BEHIND_BYTES, INLINE_BYTES, StreamHash


@given(pieces=st.lists(st.integers(0, 400_000), max_size=12), algorithms=st.sets(st.sampled_from(["sha256", "sha512"])))
@settings(max_examples=30, deadline=None)
def test_digests_are_those_of_the_whole(pieces: list[int], algorithms: set[str]) -> None:
    body = [bytes([number % 251]) * size for number, size in enumerate(pieces)]
    stream = StreamHash(algorithms)
    for piece in body:
        stream.update(piece)
    expected = {name: hashlib.new(name, b"".join(body)).hexdigest() for name in algorithms}
    assert stream.digests() == expected
    assert stream.digests() == expected, "asking twice changes nothing"
    stream.close()


def test_a_long_stream_is_hashed_in_a_thread_that_ends_with_it() -> None:
    stream = StreamHash(["sha512"])
    piece = b"k" * (INLINE_BYTES // 4)
    digest = hashlib.sha512()
    for _ in range(4 + BEHIND_BYTES * 2 // len(piece)):
        digest.update(piece)
        stream.update(piece)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "hashing"]
    assert stream.digests() == {"sha512": digest.hexdigest()}
    stream.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_stream_that_is_given_up_leaves_no_thread() -> None:
    stream = StreamHash(["sha512"])
    for _ in range(3):
        stream.update(b"k" * INLINE_BYTES)
    threads = [thread for thread in threading.enumerate() if thread.name == "hashing"]
    stream.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_no_digest_can_be_asked_for_when_the_stream_has_begun() -> None:
    stream = StreamHash(["sha256"])
    stream.update(b"k")
    with pytest.raises(RuntimeError, match="had begun"):
        stream.add("sha512")
