"""A check that was cut off goes on where it was, and comes to what a check in one go comes to."""

import hashlib
import random
from uuid import uuid4

import pytest

from tests.support.parts import WHEN, Package, folder, store
from vault.errors import Interrupted
from vault.model import DigestAlgorithm
from vault.volumes.base import CheckState, FindingKind, Verdict, VolumeIdentity
from vault.volumes.directory import DirectoryVolume
from vault.volumes.hash_state import resumable
from vault.volumes.medium import BUFFER_BYTES

MIB = 1024 * 1024
CONTENT = {"small": b"1", "large": random.Random(1).randbytes(5 * BUFFER_BYTES + 5000), "middle": b"x" * MIB}


@pytest.fixture
def volume(tmp_path):
    made = DirectoryVolume(name="a", path=str(tmp_path), domain="d", site="s", mount=False)
    made.initialise(VolumeIdentity(uuid4(), "a", "d", "s", "n", WHEN))
    return made


@pytest.fixture(params=list(DigestAlgorithm))
def built(request, volume):
    made = Package("taken up", request.param).add(CONTENT)
    store(volume, made)
    return made


class Notebook:
    """A journal that keeps at every chance."""

    def __init__(self):
        self.kept = None

    def resume(self) -> CheckState | None:
        return self.kept

    def known(self, _path):
        return None

    def wants(self):
        return True

    def keep(self, state):
        self.kept = state


class Stop:
    """Stops after so many readings."""

    def __init__(self, after):
        self.left = after
        self.read = 0

    def progress(self, count):
        self.read += count

    def cancelled(self):
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_can_be_put_away_and_taken_up(algorithm):
    data = bytearray(random.Random(2).randbytes(100_000))
    first = resumable(algorithm)
    if first is None:
        pytest.skip("this machine's libcrypto keeps no digest's state")
    first.update(memoryview(data)[:33_333])
    second = resumable(algorithm, first.state())
    second.update(memoryview(data)[33_333:])
    assert second.hexdigest() == hashlib.new(algorithm, data).hexdigest()
    with pytest.raises(ValueError, match="bytes"):
        resumable(algorithm, b"short")


def test_a_check_that_is_cut_off_again_and_again_reads_little_twice(volume, built):
    plain = volume.check(built.part)
    notebook, read, rounds = Notebook(), 0, 0
    while rounds < 50:
        stop = Stop(after=3)
        rounds += 1
        try:
            report = volume.check(built.part, stop.progress, stop.cancelled, notebook)
        except Interrupted:
            read += stop.read
            continue
        read += stop.read
        break
    assert (report.verdict, report.files, report.bytes) == (Verdict.INTACT, plain.files, plain.bytes)
    assert rounds > 2
    # Each interruption costs what was read since the last mark (one buffer), and the inventory and its sidecar anew.
    assert read <= plain.bytes + rounds * (BUFFER_BYTES + 10_000)


def test_what_was_found_before_the_cut_is_told_after_it(tmp_path, volume, built):
    at = folder(tmp_path, built.part) / "v1" / "content"
    (at / "large").chmod(0o644)
    with (at / "large").open("r+b") as file:
        file.seek(BUFFER_BYTES + 7)
        file.write(b"\0\0\0\0")
    notebook = Notebook()
    for after in range(2, 40):
        stop = Stop(after=after)
        try:
            report = volume.check(built.part, stop.progress, stop.cancelled, notebook)
            break
        except Interrupted:
            continue
    assert [(f.kind, f.path) for f in report.findings] == [(FindingKind.MISMATCH, "v1/content/large")]


def test_a_mark_that_is_wrong_blames_nobody(volume, built):
    notebook = Notebook()
    stop = Stop(after=4)
    with pytest.raises(Interrupted):
        volume.check(built.part, stop.progress, stop.cancelled, notebook)
    kept = notebook.kept
    assert kept is not None
    if kept.offset == 0:
        pytest.skip("this machine's libcrypto keeps no digest's state")
    for wrong in (bytes(len(kept.hash_state)), b"", b"short"):
        notebook.kept = CheckState(kept.done, kept.files, kept.read, kept.findings, kept.offset, wrong)
        assert volume.check(built.part, journal=notebook).verdict is Verdict.INTACT
