"""A file that is fetched appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import pytest

from vault.cli.target import Target
from vault.errors import Conflict, Corrupted, Invalid, NotFound


def write(target: Target, chunks: Iterable[bytes] = (b"new",)) -> None:
    with target.opened() as out:
        for chunk in chunks:
            out.write(chunk)


def test_it_appears_under_its_name(tmp_path):
    write(Target(str(tmp_path / "f")))
    assert (tmp_path / "f").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["f"]


def test_nothing_is_left_when_it_ends_in_the_middle(tmp_path):
    def half() -> Iterator[bytes]:
        yield b"half"
        raise Corrupted("no")

    with pytest.raises(Corrupted):
        write(Target(str(tmp_path / "f")), half())
    assert os.listdir(tmp_path) == []


def test_what_does_not_pass_its_check_never_gets_its_name(tmp_path):
    target = Target(str(tmp_path / "f"))

    def check() -> None:
        with target.reopened() as written:
            assert written.read() == b"new"
        assert not (tmp_path / "f").exists()
        raise Corrupted("no")

    target.check(check)
    with pytest.raises(Corrupted):
        write(target)
    assert os.listdir(tmp_path) == []


def test_what_is_there_is_replaced_only_when_that_is_asked(tmp_path):
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(Conflict):
        write(Target(str(tmp_path / "f")))
    assert (tmp_path / "f").read_bytes() == b"old"
    write(Target(str(tmp_path / "f"), force=True))
    assert (tmp_path / "f").read_bytes() == b"new"


def test_what_appears_meanwhile_is_not_replaced(tmp_path):
    def meanwhile() -> Iterator[bytes]:
        yield b"new"
        (tmp_path / "f").write_bytes(b"of another")

    with pytest.raises(Conflict):
        write(Target(str(tmp_path / "f")), meanwhile())
    assert (tmp_path / "f").read_bytes() == b"of another"


def test_a_folder_gets_the_file_under_its_own_name(tmp_path):
    target = Target(str(tmp_path))
    target.suggest("Đ-012-v1.tar")
    write(target)
    assert os.listdir(tmp_path) == ["Đ-012-v1.tar"]
    with pytest.raises(Invalid):
        Target(f"{tmp_path}/none/").suggest("x")
    with pytest.raises(NotFound):
        write(Target(f"{tmp_path}/none/x"))
