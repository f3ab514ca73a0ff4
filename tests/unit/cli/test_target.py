"""A file that is fetched appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import pytest

from vault.cli.target import Target
from vault.errors import Conflict, Corrupted, Interrupted, Invalid, NotFound, VaultError


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


def begin(target: Target, data: bytes, tag: str = '"a"', error: VaultError | None = None) -> None:
    with target.resumed() as part:
        part.begin(part.size if part.tag == tag else 0, tag)
        part.write(data)
        raise error or Interrupted("broken off")


def test_what_came_before_a_break_stays_to_be_gone_on_with(tmp_path):
    target = Target(str(tmp_path / "f"))
    for data in (b"one", b"two"):
        with pytest.raises(Interrupted):
            begin(target, data)
    assert (tmp_path / "f.part").read_bytes() == b"onetwo"
    with target.resumed() as part:
        assert (part.size, part.tag) == (6, '"a"')
        part.write(b"three")
    assert (tmp_path / "f").read_bytes() == b"onetwothree"
    assert os.listdir(tmp_path) == ["f"]


def test_of_other_bytes_nothing_is_kept(tmp_path):
    target = Target(str(tmp_path / "f"))
    with pytest.raises(Interrupted):
        begin(target, b"of a")
    with pytest.raises(Interrupted):
        begin(target, b"b", '"b"')
    assert (tmp_path / "f.part").read_bytes() == b"b"
    # A beginning of nobody knows what is none.
    (tmp_path / "f.part.etag").unlink()
    with target.resumed() as part:
        assert (part.size, part.tag) == (0, "")
        part.write(b"whole")
    assert (tmp_path / "f").read_bytes() == b"whole"


def test_what_is_wrong_or_never_began_does_not_stay(tmp_path):
    target = Target(str(tmp_path / "f"))
    with pytest.raises(Corrupted):
        begin(target, b"wrong", error=Corrupted("no"))
    with pytest.raises(NotFound), target.resumed():
        raise NotFound("no")
    assert os.listdir(tmp_path) == []


def test_two_do_not_write_the_same(tmp_path):
    with Target(str(tmp_path / "f")).resumed() as part:
        part.write(b"one")
        with pytest.raises(Conflict), Target(str(tmp_path / "f")).resumed():
            pass
    assert (tmp_path / "f").read_bytes() == b"one"


def test_a_link_in_the_place_of_the_beginning_is_not_followed(tmp_path):
    (tmp_path / "f.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VaultError), Target(str(tmp_path / "f")).resumed():
        pass
    assert not (tmp_path / "elsewhere").exists()
