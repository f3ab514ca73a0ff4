"""Repair file by file: what is intact stays as it is, only what is damaged moves; and what mends a package that is
damaged everywhere."""

import errno
import io
import shutil

import pytest

from tests.support.faults import flip
from tests.support.nodes import TWO, Bench, bag, eventually, tar_of
from vault.errors import Unreachable
from vault.model import CopyState, EventType, Outcome, VerificationState
from vault.volumes.tree import Tree

PAYLOAD = {f"tờ {number}.pdf": bytes([number]) * 100_000 for number in range(6)}


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def stored(bench, identifier="hồ sơ"):
    files = bag(PAYLOAD)
    bench.deposit(identifier, tar_of({f"x/{name}": data for name, data in files.items()}), files)
    bench.settle()


def place(bench, volume, name, identifier="hồ sơ"):
    return bench.object_path(volume, identifier) / "v1" / "content" / "data" / name


def kept_files(bench, volume):
    return sorted(
        p.name for p in (bench.path(volume) / "evidence").rglob("*") if p.is_file() and p.name != "about.json"
    )


def damaged_everywhere(bench, *names, identifier="hồ sơ"):
    for volume in TWO:
        for name in names:
            flip(place(bench, volume, name, identifier))
    order = bench.order(identifier=identifier)
    eventually(lambda: all(c.state is CopyState.DAMAGED for c in bench.copies(identifier).values()), 30)
    return order


def test_only_the_damaged_file_is_copied_and_kept_as_evidence(bench):
    stored(bench)
    before = {name: place(bench, "a", name).stat().st_ino for name in PAYLOAD}
    flip(place(bench, "a", "tờ 3.pdf"))
    bench.verify(volume="a")
    bench.settle()
    after = {name: place(bench, "a", name).stat().st_ino for name in PAYLOAD}
    assert {name for name in PAYLOAD if before[name] != after[name]} == {"tờ 3.pdf"}
    (event,) = bench.events(EventType.RECOVERY)
    assert (event.detail["files_copied"], event.detail["sources"]) == (1, ["b"])
    assert event.detail["files_kept"] == len(PAYLOAD) + 4
    assert [name for name in kept_files(bench, "a") if name.endswith((".pdf", ".txt"))] == ["tờ 3.pdf"]
    assert all(place(bench, "a", name).stat().st_nlink == 1 for name in PAYLOAD)
    bench.assert_sound()


def test_where_no_file_can_have_two_names_the_intact_ones_are_read_at_home(bench, monkeypatch):
    stored(bench)

    def no_links(*_):
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(Tree, "link", no_links)
    flip(place(bench, "a", "tờ 3.pdf"))
    bench.verify(volume="a")
    bench.settle()
    (event,) = bench.events(EventType.RECOVERY)
    assert (event.detail["files_kept"], event.detail["sources"]) == (0, ["a", "b"])
    assert "tờ 1.pdf" in kept_files(bench, "a"), "the evidence is whole then"
    bench.assert_sound()


@pytest.mark.parametrize("name", ["inventory.json", "inventory.json.sha512", "content/stranger"])
def test_what_is_wrong_beside_the_content_moves_no_content(bench, name):
    stored(bench)
    before = {each: place(bench, "a", each).stat().st_ino for each in PAYLOAD}
    wrong = bench.object_path("a", "hồ sơ") / "v1" / name
    if wrong.exists():
        flip(wrong)
    else:
        wrong.write_bytes(b"who am I")
    bench.verify(volume="a")
    bench.settle()
    assert {each: place(bench, "a", each).stat().st_ino for each in PAYLOAD} == before
    bench.assert_sound()


def test_a_link_in_place_of_the_version_is_not_taken_for_it(bench):
    stored(bench)
    part = bench.object_path("a", "hồ sơ") / "v1"
    part.rename(bench.folder / "elsewhere")
    part.symlink_to(bench.folder / "elsewhere")
    bench.verify(volume="a")
    bench.settle()
    assert part.is_dir()
    assert not part.is_symlink()
    bench.assert_sound()


def test_two_copies_that_are_damaged_in_different_files_make_two_good_ones(bench):
    stored(bench)
    flip(place(bench, "a", "tờ 1.pdf"))
    flip(place(bench, "b", "tờ 4.pdf"))
    bench.verify()
    bench.settle()
    bench.assert_sound()


def test_what_cannot_be_saved_is_named_and_sending_it_again_mends_it(bench):
    stored(bench)
    damaged_everywhere(bench, "tờ 2.pdf")
    failed = eventually(lambda: bench.events(EventType.RECOVERY), 30)
    assert failed[0].outcome == Outcome.FAILURE.value
    assert failed[0].detail["lost"] == ["v1/content/data/tờ 2.pdf"]
    files = bag(PAYLOAD)
    again = bench.deposit("hồ sơ", tar_of({f"y/{name}": data for name, data in files.items()}), files)
    assert (again.created, again.version) == (False, 1)
    assert {c.state for c in bench.copies("hồ sơ").values()} == {CopyState.GOOD}, "it is mended before it is answered"
    bench.settle()
    assert "tờ 2.pdf" in kept_files(bench, "a")
    bench.assert_sound()


def test_other_bytes_mend_nothing_and_are_refused_as_ever(bench):
    stored(bench)
    damaged_everywhere(bench, "tờ 2.pdf")
    files = bag(PAYLOAD | {"tờ 2.pdf": b"something else"})
    with pytest.raises(Unreachable) as refused:
        bench.receive("hồ sơ", io.BytesIO(tar_of({f"x/{n}": d for n, d in files.items()})), if_match=1)
    assert refused.value.code == "no-volume"
    assert {c.state for c in bench.copies("hồ sơ").values()} == {CopyState.DAMAGED}


def test_what_vanished_everywhere_cannot_be_mended_by_its_content_alone(bench):
    stored(bench)
    for volume in TWO:
        shutil.rmtree(bench.object_path(volume, "hồ sơ"))
    bench.order()
    eventually(lambda: all(c.state is CopyState.MISSING for c in bench.copies("hồ sơ").values()), 30)
    files = bag(PAYLOAD)
    with pytest.raises(Unreachable) as refused:
        bench.receive("hồ sơ", io.BytesIO(tar_of({f"x/{n}": d for n, d in files.items()})))
    assert refused.value.code == "not-healed"


def test_a_version_and_the_one_before_it_are_mended_by_one_deposit(bench):
    bench.deposit("tệp", b"one" * 5000, filename="x")
    bench.settle()
    first = {"x": b"one" * 5000, "y": b"two" * 5000}
    files = bag(first)
    bench.deposit("tệp", tar_of({f"x/{n}": d for n, d in files.items()}), files, if_match=1)
    bench.settle()
    for volume in TWO:
        flip(bench.object_path(volume, "tệp") / "v1/content/x")
        flip(bench.object_path(volume, "tệp") / "v2/content/data/y")
    bench.order()
    eventually(lambda: all(c.state is CopyState.DAMAGED for c in bench.copies("tệp").values()), 30)
    again = bench.deposit("tệp", tar_of({f"x/{n}": d for n, d in files.items()}), files)
    assert (again.created, again.version) == (False, 2)
    bench.settle()
    bench.assert_sound()


def test_an_order_counts_a_copy_that_a_repair_concluded(bench):
    stored(bench)
    damaged_everywhere(bench, "tờ 2.pdf")
    order = bench.order(volume="a")
    place(bench, "b", "tờ 2.pdf").unlink()
    place(bench, "b", "tờ 2.pdf").write_bytes(PAYLOAD["tờ 2.pdf"])
    eventually(lambda: bench.verification(order.id).state is VerificationState.DONE, 60)
    found = bench.verification(order.id)
    assert (found.checked, found.skipped) == (1, 0)
