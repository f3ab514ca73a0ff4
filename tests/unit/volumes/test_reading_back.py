"""A large file is read back while it is written: from the medium, of the file that was written, and never as a proof of
another."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from vault.volumes import reading_back
from vault.volumes.reading_back import ReadBack
from vault.volumes.tree import Tree

WINDOW = 64 * 1024


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(reading_back, "WINDOW_BYTES", WINDOW)


def written_in(tree: Tree, steps: list[int], data: bytes) -> ReadBack:
    """A file that comes in pieces of these sizes, and what reads it back."""
    fd = tree.create("file")
    reading = ReadBack(tree, "file", "sha512")
    done = 0
    for step in steps:
        os.write(fd, data[done : done + step])
        done += step
        reading.written(done)
    os.close(fd)
    return reading


@pytest.mark.parametrize("size", [1, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW + 4096, 7 * WINDOW + 777])
@pytest.mark.usefixtures("small_windows")
def test_what_is_read_behind_the_writing_is_the_whole_file(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    with Tree(tmp_path) as tree:
        back = (reading := written_in(tree, [10_007] * (size // 10_007) + [size % 10_007], data)).end()
    assert back is not None
    assert (back.size, back.digests["sha512"]) == (size, hashlib.sha512(data).hexdigest())
    assert reading.inode == (tmp_path / "file").stat().st_ino


@pytest.mark.usefixtures("small_windows")
def test_what_the_medium_has_otherwise_is_seen(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3 * WINDOW)
    with Tree(tmp_path) as tree:
        fd = tree.create("file")
        os.write(fd, data[:100] + b"other" + data[105:])
        os.close(fd)
        reading = ReadBack(tree, "file", "sha512")
        reading.written(len(data))
        back = reading.end()
    assert back is not None
    assert back.digests["sha512"] != hashlib.sha512(data).hexdigest()


@pytest.mark.usefixtures("small_windows")
def test_a_file_that_is_shorter_than_said_or_gone_was_not_read(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree:
        reading = written_in(tree, [WINDOW], b"x" * WINDOW)
        reading.written(WINDOW + 5)
        assert reading.end() is None
        (tmp_path / "file").unlink()
        gone = ReadBack(tree, "file", "sha512")
        gone.written(10)
        assert gone.end() is None


@pytest.mark.usefixtures("small_windows")
def test_who_gives_up_does_not_wait_for_the_end(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree:
        reading = written_in(tree, [100], b"x" * 100)
        reading.give_up()
        assert reading.end() is None
