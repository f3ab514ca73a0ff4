"""What every volume does, method by method, and that others can read what it holds."""

from __future__ import annotations

import json
import os
import unicodedata
from uuid import uuid4

import pytest

from tests.support import ocflpy
from tests.support.parts import Built, Package, fill, folder, staged, store, usual
from vault.errors import Conflict, Corrupted, Interrupted, Invalid, NotFound, Refused, Unreachable, WrongVolume
from vault.model import Condition, DigestAlgorithm
from vault.volumes.base import Part, Verdict, Volume


def assert_good(place, *versions: Built) -> None:
    """Every version reads back right, and so says somebody else."""
    volume = place.open()
    for built in versions:
        report = volume.check(built.part)
        assert (report.verdict, report.findings) == (Verdict.INTACT, ())
        assert report.bytes >= sum(map(len, built.content.values()))
        for path, data in built.content.items():
            assert b"".join(map(bytes, volume.read(built.part.object_id, path))) == data
    assert volume.check_root(versions[-1].part).verdict is Verdict.INTACT
    assert ocflpy.complaints(folder(place.root, versions[0].part)) == ""


# --- Being a volume


def test_an_initialised_volume_is_known_again(place):
    probe = place.open().probe()
    assert (probe.condition, probe.identity) == (Condition.ONLINE, place.identity())
    assert 0 < probe.free_bytes <= probe.size_bytes


def test_it_is_initialised_once(place):
    with pytest.raises(Refused) as caught:
        place.open().initialise(place.identity())
    assert caught.value.code == "already-initialised"


def test_nothing_is_initialised_over_what_is_there(empty):
    (empty.root / "holiday.jpg").touch()
    with pytest.raises(Refused, match=r"holiday\.jpg"):
        empty.open().initialise(empty.identity())
    assert [path.name for path in empty.root.iterdir()] == ["holiday.jpg"]


def test_the_storage_root_is_valid_for_others(place):
    package = usual()
    store(place.open(), *package.versions)
    store(place.open(), *usual("H49/2026/another").versions)
    assert ocflpy.root_complaints(place.root / "ocfl") == ""


def test_another_volume_in_its_place_is_not_used(place):
    store(place.open(), (built := usual().versions[0]))
    stranger = place.open(uuid=uuid4())
    assert stranger.probe().condition is Condition.FOREIGN
    for act in (
        lambda: stranger.check(built.part),
        lambda: stranger.stage("t", 1),
        lambda: stranger.inventory(built.part),
        lambda: stranger.write_note("n", b""),
        lambda: stranger.settle(built.part),
        lambda: next(stranger.read(built.part.object_id, next(iter(built.content)))),
        stranger.evidence,
        stranger.staged,
    ):
        with pytest.raises(WrongVolume):
            act()
    assert not place.left_in_staging()


# --- The way of a part


@pytest.mark.parametrize("algorithm", DigestAlgorithm)
def test_versions_are_staged_sealed_put_and_read_back(place, algorithm):
    volume, package = place.open(), Package(algorithm=algorithm)
    states = [
        {"a": b"one", "b/c": b"", "b/d": b"two" * 5000, "same": b"one"},
        {"a": b"one", "renamed/d": b"two" * 5000, "new": b"three"},
        {"a": b"", "renamed/d": b"two" * 5000},
    ]
    for number, state in enumerate(states, 1):
        built = package.add(state)
        staging = staged(volume, built, f"t{number}")
        assert staging.check(built.part).verdict is Verdict.INTACT
        assert volume.staged() == [f"t{number}"]
        volume.put(staging, built.part, head=True)
        assert volume.staged() == []
    assert [len(built.content) for built in package.versions] == [3, 1, 0]
    assert_good(place, *package.versions)


def test_names_that_differ_by_case_or_unicode_form_live_together_over_versions(place):
    volume, package = place.open(), Package()
    name = "Hồ sơ/Quyết định.pdf"
    nfc, nfd = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    package.add({nfc: b"1", nfd: b"2", nfc.upper(): b"3", nfc.lower(): b"4", ".nfs01": b"5", "CON": b"6"})
    package.add({nfd: b"7", nfc.upper(): b"8", "a" * 600: b"9", "đ/" * 200 + "x": b"10"})
    package.add({nfc: b"2", nfc.swapcase(): b"1"})
    store(volume, *package.versions)
    assert_good(place, *package.versions)
    for built in package.versions:
        names = {path.lower() for path in built.content}
        assert len({unicodedata.normalize("NFC", path) for path in names}) == len(built.content)


def test_a_part_that_is_put_again_changes_nothing(place):
    volume, package = place.open(), usual()
    store(volume, *package.versions)
    before = {path: os.lstat(place.root / path).st_ino for path in place.objects()}
    for built in package.versions:
        volume.put(staged(volume, built), built.part, head=built is package.versions[-1])
    assert {path: os.lstat(place.root / path).st_ino for path in place.objects()} == before
    assert not place.left_in_staging()


def test_a_version_before_the_newest_can_be_put_later(place):
    volume, package = place.open(), usual()
    package.add({"x": b"3"})
    first, second, third = package.versions
    store(volume, first, second)
    again = place.open()
    again.put(staged(again, third), third.part, head=True)
    (folder(place.root, first.part) / "v2").rename(place.root / "node" / "lost")
    assert again.check(second.part).verdict is Verdict.MISSING
    again.put(staged(again, second), second.part, head=False)
    assert_good(place, first, second, third)


def test_a_version_whose_predecessor_is_missing_is_refused(place):
    volume, package = place.open(), usual()
    third = package.add({"x": b"3"})
    staging = staged(volume, package.versions[1])
    with pytest.raises(Conflict) as caught:
        volume.put(staging, package.versions[1].part, head=True)
    assert caught.value.code == "earlier-version-missing"
    assert place.objects() == []
    store(volume, package.versions[0])
    staging = staged(volume, third)
    with pytest.raises(Conflict) as caught:
        volume.put(staging, third.part, head=True)
    assert caught.value.code == "earlier-version-missing"
    assert_good(place, package.versions[0])


def test_what_stands_there_already_is_not_overwritten(place):
    volume = place.open()
    ours, theirs = usual(), Package()
    theirs.add({"other": b"content"})
    store(volume, *theirs.versions)
    staging = staged(volume, ours.versions[0])
    with pytest.raises(Conflict) as caught:
        volume.put(staging, ours.versions[0].part, head=True)
    assert caught.value.code == "occupied"
    assert_good(place, *theirs.versions)
    assert not volume.settle(ours.versions[0].part)
    assert_good(place, *theirs.versions)
    kept = volume.replace(staging, ours.versions[0].part, head=True, label="stranger", about={"why": "stood there"})
    assert [(kept.path, kept.about)] == [(e.path, e.about) for e in volume.evidence()]
    assert_good(place, ours.versions[0])
    assert (place.root / kept.path / "object/v1/content/other").read_bytes() == b"content"


def test_the_object_of_another_id_is_no_stranger(folder):
    """Where case is ignored two ids may be one folder; then neither may push the other aside."""
    volume, ours = folder.open(), Package("b")
    theirs = Package("a")
    theirs.add({"x": b"theirs"})
    ours.add({"x": b"ours"})
    store(volume, *theirs.versions)
    here = folder_of(folder, theirs)
    folder_of(folder, ours).parent.mkdir(parents=True)
    here.rename(folder_of(folder, ours))
    with pytest.raises(Conflict) as caught:
        volume.put(staged(volume, ours.versions[0]), ours.versions[0].part, head=True)
    assert caught.value.code == "other-object"


def folder_of(place, package: Package):
    return folder(place.root, package.versions[0].part)


def test_nothing_stored_can_be_written_to(place):
    volume, package = place.open(), usual()
    store(volume, *package.versions)
    stored = [path for path in folder_of(place, package).rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in stored} == {0o444}


# --- Staging


def test_a_staging_is_discarded_without_trace(place):
    volume = place.open()
    staging = volume.stage("t", 1)
    staging.create("v1/content/half/written").write(b"x")
    staging.create_spool().write(b"y")
    assert volume.staged() == ["t"]
    staging.discard()
    staging.discard()
    assert (volume.staged(), place.objects()) == ([], [])


def test_a_staging_is_found_again_after_a_restart(place):
    built = usual().versions[0]
    staged(place.open(), built, "sealed")
    volume = place.open()
    assert volume.staged() == ["sealed"]
    volume.put(volume.reopen("sealed", 1), built.part, head=True)
    assert_good(place, built)


def test_a_token_names_one_staging(place):
    volume = place.open()
    first = volume.stage("t", 1)
    first.create("v1/content/x").close()
    with pytest.raises(Conflict) as caught:
        volume.stage("t", 1)
    assert caught.value.code == "token-taken"
    with first.open("v1/content/x") as file:
        assert file.read() == b""


@pytest.mark.parametrize("token", ["", ".", "..", "a/b", "../ocfl", "a\0b"])
def test_a_token_leads_nowhere_else(folder, token):
    for begin in (folder.open().stage, folder.open().reopen):
        with pytest.raises(Invalid):
            begin(token, 1)


@pytest.mark.parametrize(
    "path",
    ["v1/content/../../../../ocfl/x", "v1/content/../x", "/etc/x", "v2/content/x", "v1/x", "v1/content/", "x",
     "v1/content/a//b", "v1/content/./a", "v1/content/a\0b"],
)  # fmt: skip
def test_a_content_path_leads_nowhere_else(folder, path):
    staging = folder.open().stage("t", 1)
    staging.create_spool().close()
    for act in (staging.create, staging.adopt_spool, staging.drop):
        with pytest.raises(Invalid):
            act(path)
    assert folder.objects() == []


def test_what_is_dropped_leaves_no_empty_folder(place):
    volume, built = place.open(), Package().add({"keep": b"1"})
    staging = volume.stage("t", 1)
    for path in ("v1/content/a/b/c", "v1/content/a/d"):
        staging.create(path).close()
        staging.drop(path)
    fill(staging, built)
    volume.put(staging, built.part, head=True)
    assert_good(place, built)


def test_a_folder_is_lifted(place):
    volume, built = place.open(), Package().add({"bag/data/x": b"1", "bag/bag": b"2"})
    lifted = Package().add({"data/x": b"1", "bag": b"2"})
    staging = volume.stage("t", 1)
    for path, data in built.content.items():
        sink = staging.create(path)
        sink.write(data)
        sink.close()
    staging.lift("bag")
    staging.seal(lifted.part, lifted.inventory)
    volume.put(staging, lifted.part, head=True)
    assert_good(place, lifted)


def test_lifting_overwrites_nothing(place):
    staging = place.open().stage("t", 1)
    for path in ("v1/content/bag/x", "v1/content/x"):
        staging.create(path).close()
    with pytest.raises(Conflict):
        staging.lift("bag")


def test_a_scratch_file_becomes_content_or_goes(place):
    volume, built = place.open(), Package().add({"archive.zip": b"PK"})
    staging = volume.stage("t", 1)
    for keep in (False, True):
        sink = staging.create_spool()
        sink.write(b"PK")
        sink.close()
        with staging.open_spool() as file:
            assert file.read() == b"PK"
        if keep:
            staging.adopt_spool("v1/content/archive.zip")
        else:
            staging.drop_spool()
    staging.seal(built.part, built.inventory)
    volume.put(staging, built.part, head=True)
    assert_good(place, built)


def test_nothing_unfinished_is_sealed(place):
    volume, built = place.open(), Package().add({"x": b"1"})
    staging = volume.stage("open", 1)
    sink = staging.create("v1/content/x")
    sink.write(b"1")
    with pytest.raises(Refused):
        staging.seal(built.part, built.inventory)
    sink.close()
    staging.create_spool().close()
    with pytest.raises(Refused):
        staging.seal(built.part, built.inventory)
    staging.drop_spool()
    staging.seal(built.part, built.inventory)
    volume.put(staging, built.part, head=True)
    assert_good(place, built)


def test_a_name_is_given_once(place):
    staging = place.open().stage("t", 1)
    staging.create("v1/content/x").close()
    with pytest.raises(Conflict):
        staging.create("v1/content/x")


# --- Reading


def test_what_is_not_there_is_not_found(place):
    volume, package = place.open(), usual()
    one, two = package.versions
    store(volume, one)
    assert volume.check(two.part).verdict is Verdict.MISSING
    assert not volume.settle(two.part)
    with pytest.raises(NotFound):
        volume.inventory(two.part)
    for path in ("v1/content/none", "v1/content", "v1/content/data/empty/below", "../../x", "/etc/passwd", "a\0b"):
        with pytest.raises(NotFound):
            next(volume.read(one.part.object_id, path))
        with pytest.raises(NotFound):
            volume.open(one.part.object_id, path)
        with pytest.raises(NotFound):
            volume.sizes(one.part.object_id, [path])
    assert volume.check_root(usual("other").versions[0].part).verdict is Verdict.MISSING


def test_an_inventory_is_given_out_only_if_it_is_right(place):
    volume, built = place.open(), usual().versions[0]
    store(volume, built)
    assert volume.inventory(built.part) == built.inventory
    with pytest.raises(Corrupted):
        volume.inventory(Part(built.part.object_id, 1, built.part.algorithm, "0" * 128))


def test_a_file_is_served(place):
    volume, built = place.open(), usual().versions[0]
    store(volume, built)
    for path, data in built.content.items():
        with os.fdopen(volume.open(built.part.object_id, path), "rb") as file:
            assert file.read() == data
    assert volume.sizes(built.part.object_id, built.content) == [len(data) for data in built.content.values()]


def test_two_readings_in_one_thread_do_not_mix(place):
    """Served files are read piece by piece, whoever asks next: each reading has a buffer of its own."""
    volume, package = place.open(), Package()
    sizes = 5_000_000, 4_194_304
    built = package.add({"a": b"a" * sizes[0], "b": b"b" * sizes[1]})
    store(volume, built)
    pieces = zip(*(volume.read(built.part.object_id, f"v1/content/{name}") for name in "ab"), strict=False)
    assert [(set(bytes(one)), set(bytes(other))) for one, other in pieces] == [({97}, {98})] * 2


def test_a_check_can_be_stopped_and_tells_its_progress(place):
    volume, built = place.open(), Package().add({"a": b"a" * 5_000_000})
    store(volume, built)
    told: list[int] = []
    report = volume.check(built.part, told.append)
    assert sum(told) == report.bytes
    asked = iter([False, False, False, True])
    with pytest.raises(Interrupted):
        volume.check(built.part, cancelled=lambda: next(asked))


# --- Evidence and notes


def test_evidence_is_listed_until_it_is_released(place):
    volume, built = place.open(), usual().versions[0]
    store(volume, built)
    about = {"identifier": "Đ", "version": 1}
    kept = volume.replace(staged(volume, built), built.part, head=True, label="20261122-1", about=about)
    assert [(e.path, e.about) for e in place.open().evidence()] == [(kept.path, about)]
    volume.release_evidence(kept.path)
    assert volume.evidence() == []
    assert list((place.root / "evidence").iterdir()) == []
    volume.release_evidence(kept.path)


@pytest.mark.parametrize("path", ["ocfl", "ocfl/x", "evidence", "evidence/", "evidence/..", "evidence/a/b", "../x"])
def test_nothing_but_evidence_is_released(folder, path):
    with pytest.raises(Refused):
        folder.open().release_evidence(path)


@pytest.mark.parametrize("label", ["", ".", "..", "a/b", "../ocfl"])
def test_evidence_is_kept_nowhere_else(folder, label):
    volume, built = folder.open(), usual().versions[0]
    store(volume, built)
    with pytest.raises(Invalid):
        volume.replace(staged(volume, built), built.part, head=True, label=label, about={})


@pytest.mark.parametrize("about", [b"", b"{", b"[]", b"[" * 60_000, b"\xff", b" " * 70_000, None])
def test_evidence_whose_note_is_broken_is_listed_all_the_same(folder, about):
    volume, built = folder.open(), usual().versions[0]
    store(volume, built)
    kept = volume.replace(staged(volume, built), built.part, head=True, label="l", about={"a": 1})
    note = folder.root / kept.path / "about.json"
    note.unlink()
    if about is None:
        note.symlink_to("/etc/passwd")
    else:
        note.write_bytes(about)
    assert [(e.path, dict(e.about)) for e in volume.evidence()] == [(kept.path, {})]


def test_a_note_is_written_and_written_again(place):
    volume = place.open()
    for data in (b"first and longer", b"second"):
        volume.write_note("ledger/checkpoint.json", data)
        assert (place.root / "node/ledger/checkpoint.json").read_bytes() == data
    assert not place.left_in_staging()


def test_notes_are_listed_read_and_removed(place):
    volume = place.open()
    assert volume.notes("catalog") == []
    pieces = [bytes([number]) * 700_000 for number in range(5)]
    volume.write_note("catalog/large", iter(pieces))
    volume.write_note("catalog/small", b"x")
    assert volume.notes("catalog") == ["large", "small"]
    assert b"".join(volume.read_note("catalog/large")) == b"".join(pieces)
    volume.remove_note("catalog/large")
    volume.remove_note("catalog/large")
    assert volume.notes("catalog") == ["small"]
    with pytest.raises(NotFound):
        list(volume.read_note("catalog/large"))


def test_a_note_whose_pieces_break_off_leaves_nothing(place):
    def pieces():
        yield b"begun"
        raise Interrupted("cut")

    volume = place.open()
    volume.write_note("catalog/x", b"before")
    with pytest.raises(Interrupted):
        volume.write_note("catalog/x", pieces())
    assert b"".join(volume.read_note("catalog/x")) == b"before"
    assert not place.left_in_staging()


def test_a_note_stays_among_the_notes(folder):
    for path in ("../ocfl/x", "a/../../../x", ".."):
        with pytest.raises(Unreachable, match=r"EXDEV"):
            folder.open().write_note(path, b"")
        with pytest.raises(Unreachable, match=r"EXDEV"):
            folder.open().remove_note(path)
        with pytest.raises((Unreachable, NotFound)):
            list(folder.open().read_note(path))
    assert folder.objects() == []


def test_the_identity_can_be_read_in_thirty_years(folder):
    document = json.loads((folder.root / "vault-volume.json").read_text(encoding="utf-8"))
    assert document["uuid"] == str(folder.uuid)
    assert "https://ocfl.io/1.1/spec/" in document["about"]


def test_it_is_a_volume(folder):
    volume: Volume = folder.open()
    assert (volume.name, volume.kind, volume.domain, volume.site) == ("a", "directory", "d", "s")
