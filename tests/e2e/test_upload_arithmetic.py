"""Whatever order of right and wrong offsets, drops, checksums and questions: the bytes in the end are those sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.nodes import Bench
from tests.support.uploading import begin, offset_of, send
from vault.depositing import UploadState
from vault.errors import VaultError
from vault.intake.uploads import Checksum

STEPS = st.tuples(
    st.integers(-3000, 3000),  # how far the offset is off; mostly not
    st.integers(0, 12_000),  # how many bytes are meant to be sent
    st.none() | st.integers(0, 12_000),  # after how many the link drops
    st.sampled_from(["", "sha1 right", "sha256 right", "sha512 wrong"]),
    st.booleans(),  # whether the offset is the right one after all
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("node"), extra="[intake]\nmax_uploads_per_token = 200") as made:
        # What becomes of complete ones is another test's; here their bytes are looked at where they lie.
        assert made.running.finishing.stop(timedelta(seconds=20))
        yield made


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(min_size=1, max_size=20_000), steps=st.lists(STEPS, max_size=8), deferred=st.booleans())
def test_any_way_of_sending_comes_to_the_same_bytes(bench, data, steps, deferred):
    upload_id = begin(bench, "tính", None if deferred else len(data), filename="x")
    told = 0
    for off, size, drop, check, right in steps:
        offset = told if right else max(0, told + off)
        piece = data[offset : offset + size]
        dropped = drop is not None and drop < len(piece)
        outcome = _send(bench, upload_id, offset, piece, drop if dropped else None, check)
        if offset != told:
            assert outcome == "wrong-offset"
        elif dropped:
            assert outcome == "interrupted"
            told += 0 if check else drop
        elif "wrong" in check and (deferred or told < len(data)):
            assert outcome == "checksum-mismatch"
        else:
            assert outcome == ""
            told += len(piece)
        assert offset_of(bench, upload_id) == told
    assert _send(bench, upload_id, told, data[told:] + b"?", None, "", length=len(data)) == "upload-too-long"
    assert offset_of(bench, upload_id) == told
    done = send(bench, upload_id, told, data[told:], length=len(data))
    assert (done.received, done.state) == (len(data), UploadState.COMPLETE)
    with bench.running.uploads.spool(done.volume).read(upload_id) as file:
        assert file.read() == data


def _send(bench: Bench, upload_id: str, offset: int, piece: bytes, drop: int | None, check: str, **more) -> str:
    """The code of what it was refused with; "" where it was taken."""
    checksum = None
    if check:
        algorithm, how = check.split()
        digest = hashlib.new(algorithm, piece if how == "right" else piece + b"?").digest()
        checksum = Checksum(algorithm, digest)
    try:
        send(bench, upload_id, offset, piece, drop, checksum=checksum, **more)
    except VaultError as error:
        return error.code
    return ""
