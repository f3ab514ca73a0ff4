"""What a volume holds open while many files are made or read: all is let go of, and what went is not written to."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

from tests.support.parts import store, usual
from vault.errors import NotFound, WrongVolume


def test_a_folder_that_went_is_made_again(place):
    staging = place.open().stage("t", 1)
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        staging.create("v1/content/a/b/x").close()
        staging.drop("v1/content/a/b/x")
    for number in range(100):
        staging.create(f"v1/content/{number}/x").close()
    assert len(os.listdir("/proc/self/fd")) < open_files + 50
    staging.create("v1/content/a/b/x").close()
    staging.lift("a")
    staging.create("v1/content/a/b/x").close()
    assert (place.root / "staging" / "t" / "v1" / "content" / "b" / "x").exists()
    assert (place.root / "staging" / "t" / "v1" / "content" / "a" / "b" / "x").exists()
    assert staging.discard()
    assert len(os.listdir("/proc/self/fd")) < open_files


def test_an_object_is_held_for_reading_several_of_its_files(place):
    store(place.open(), built := usual().versions[0])
    open_files = len(os.listdir("/proc/self/fd"))
    with place.open().holding(built.part.object_id) as read:
        for _ in range(2):
            for path, data in built.content.items():
                assert b"".join(map(bytes, read(path))) == data
            with pytest.raises(NotFound):
                next(read("v1/content/none/none"))
            with pytest.raises(NotFound):
                next(read("v1/content/data"))
    assert len(os.listdir("/proc/self/fd")) == open_files
    with pytest.raises(WrongVolume), place.open(uuid=uuid4()).holding(built.part.object_id):
        pass
