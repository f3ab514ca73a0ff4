"""Damage of every kind, on one copy at random: all is found, repaired and kept as evidence; nothing else is touched.

``KHOSO_DAMAGES`` says how many damages are done (the default fits into about a minute), ``KHOSO_SEED`` repeats a run.
"""

import os
import random
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.support.nodes import BAD, Bench, bag, eventually, tar_of
from vault.model import Condition, CopyState, EventType, Outcome, VerificationState

DAMAGES = int(os.environ.get("KHOSO_DAMAGES", "50"))
SEED = int(os.environ.get("KHOSO_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
PER_ROUND = 100


def payload(chance: random.Random, number: int) -> dict[str, bytes]:
    files = {
        f"tệp {number}-{n}.bin": chance.randbytes(chance.randrange(1, 6000)) for n in range(chance.randrange(2, 4))
    }
    return files | {"Hồ sơ/bản gốc.txt": f"hồ sơ số {number}".encode(), "rỗng": b""}


# --- the damages: each takes an object's folder and returns whether bytes were left that are evidence


def _files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file())


def _content(root: Path, chance: random.Random) -> Path:
    return chance.choice([p for p in _files(root) if "content" in p.parts and p.stat().st_size > 0])


def _rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def flip(root: Path, chance: random.Random) -> bool:
    """One bit in a content file."""
    path = _content(root, chance)
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    _rewrite(path, bytes(data))
    return True


def truncate(root: Path, chance: random.Random) -> bool:
    path = _content(root, chance)
    data = path.read_bytes()
    _rewrite(path, data[: chance.randrange(len(data))])
    return True


def extend(root: Path, chance: random.Random) -> bool:
    path = _content(root, chance)
    _rewrite(path, path.read_bytes() + b"\0")
    return True


def delete(root: Path, chance: random.Random) -> bool:
    _content(root, chance).unlink()
    return True


def swap(root: Path, chance: random.Random) -> bool:
    """Two content files under each other's names."""
    one, other = chance.sample([p for p in _files(root) if p.suffix == ".bin"], 2)
    first, second = one.read_bytes(), other.read_bytes()
    _rewrite(one, second)
    _rewrite(other, first)
    return True


def edit_inventory(root: Path, chance: random.Random) -> bool:
    path = chance.choice([p for p in _files(root) if p.name == "inventory.json"])
    _rewrite(path, path.read_bytes().replace(b"Deposit", b"deposit", 1))
    return True


def edit_sidecar(root: Path, chance: random.Random) -> bool:
    path = chance.choice([p for p in _files(root) if p.name.startswith("inventory.json.sha")])
    _rewrite(path, b"0" * 128 + b"  inventory.json\n")
    return True


def edit_declaration(root: Path, chance: random.Random) -> bool:
    path = root / "0=ocfl_object_1.1"
    if chance.random() < 0.5:
        path.unlink()
    else:
        _rewrite(path, b"ocfl_object_1.0\n")
    return True


def stranger(root: Path, chance: random.Random) -> bool:
    place = chance.choice([root, root / "v1", root / "v1/content", root / "v1/content/data"])
    (place / chance.choice(["Thumbs.db", "la.txt", "v9", ".DS_Store"])).write_bytes(b"I do not belong here")
    return True


def link(root: Path, chance: random.Random) -> bool:
    """A file replaced by a link to one with the same bytes."""
    path = _content(root, chance)
    # Somewhere else altogether: beside the volume's own folder.
    aside = root.parents[5] / f"aside-{uuid.uuid4()}"
    path.rename(aside)
    path.symlink_to(aside)
    return True


def remove_version(root: Path, _chance: random.Random) -> bool:
    shutil.rmtree(root / "v1")
    return False


def remove_object(root: Path, _chance: random.Random) -> bool:
    shutil.rmtree(root)
    return False


KINDS = (
    flip,
    flip,
    truncate,
    extend,
    delete,
    swap,
    edit_inventory,
    edit_sidecar,
    edit_declaration,
    stranger,
    link,
    remove_version,
    remove_object,
)


@pytest.mark.slow
@pytest.mark.timeout(300 + 3 * DAMAGES)
def test_every_damage_is_found_and_repaired_and_nothing_else_is_blamed(tmp_path):
    print(f"KHOSO_SEED={SEED}")
    chance = random.Random(SEED)
    with Bench(tmp_path, volume_extra='reserve = "0"\nlanes = 4') as bench:
        for number in range(min(PER_ROUND, DAMAGES)):
            first = payload(chance, number)
            files = bag(first)
            bench.deposit(f"gói/{number:03}", tar_of(files), files)
            if number % 3 == 0:
                files = bag(first | payload(chance, number + 1000))
                bench.deposit(f"gói/{number:03}", tar_of(files), files, if_match=1)
        bench.settle(120)
        bench.assert_kept("ab")
        done = 0
        while done < DAMAGES:
            done += _round(bench, chance, min(PER_ROUND, DAMAGES - done))
        bench.assert_sound()


def _round(bench: Bench, chance: random.Random, count: int) -> int:
    identifiers = chance.sample(sorted({identifier for identifier, _ in bench.kept}), count)
    before = {v: _stamps(bench, v) for v in "ab"}
    damaged: dict[tuple[str, str], str] = {}
    evidence_due: set[tuple[str, str]] = set()
    for identifier in identifiers:
        volume, kind = chance.choice("ab"), chance.choice(KINDS)
        if kind(bench.object_path(volume, identifier), chance):
            evidence_due.add((volume, identifier))
        damaged[volume, identifier] = kind.__name__
    seq = bench.last_event()
    evidence_before = len(bench.evidence())
    order = bench.verify(120)
    bench.settle(120)
    # Every one was found, by the verification that was ordered, and told of.
    told = bench.events(EventType.FIXITY_CHECK, after=seq)
    blamed = {(e.volume, e.identifier) for e in told if e.outcome is not Outcome.SUCCESS}
    assert blamed == set(damaged), {key: damaged.get(key) for key in blamed ^ set(damaged)}
    assert order.bad >= len(damaged)
    assert order.checked == order.total
    # Every one was repaired, and what bytes there were are kept.
    repaired = {(e.volume, e.identifier) for e in bench.events(EventType.RECOVERY, after=seq, outcome=Outcome.SUCCESS)}
    assert repaired == set(damaged)
    failed = bench.events(EventType.RECOVERY, after=seq, outcome=Outcome.FAILURE)
    assert failed == [], [(damaged[e.volume, e.identifier], e.version, e.detail) for e in failed]
    kept = bench.evidence()[evidence_before:]
    without = evidence_due - {(e.volume, e.identifier) for e in kept}
    assert not without, {key: damaged[key] for key in without}
    for item in kept:
        assert (bench.path(item.volume) / item.path / "about.json").is_file()
    # Nothing else was ever touched: not a byte, not a time stamp, not an inode.
    for volume in "ab":
        after = _stamps(bench, volume)
        for identifier, stamps in before[volume].items():
            if (volume, identifier) not in damaged:
                assert after[identifier] == stamps, (volume, identifier)
    bench.assert_nothing_left()
    bench.assert_kept("ab")
    return count


def _stamps(bench: Bench, volume: str) -> dict[str, list[tuple[str, int, int, int]]]:
    found = {}
    for identifier in {identifier for identifier, _ in bench.kept}:
        root = bench.object_path(volume, identifier)
        found[identifier] = [
            (str(p.relative_to(root)), p.lstat().st_ino, p.lstat().st_mtime_ns, p.lstat().st_size)
            for p in sorted(root.rglob("*"))
        ]
    return found


# --- when both copies are damaged


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def test_two_copies_damaged_in_different_files_make_one_good_one(bench):
    files = bag({"một.txt": b"one" * 100, "hai.txt": b"two" * 100})
    bench.deposit("union/1", tar_of(files), files)
    bench.settle()
    _rewrite(bench.object_path("a", "union/1") / "v1/content/data/một.txt", b"wrong")
    _rewrite(bench.object_path("b", "union/1") / "v1/content/data/hai.txt", b"wrong")
    assert bench.verify().bad == 2
    bench.settle()
    bench.assert_sound()
    bench.assert_kept("ab")
    assert {e.volume for e in bench.evidence()} == {"a", "b"}


def test_an_inventory_damaged_in_every_copy_is_taken_from_the_objects_root(bench):
    bench.deposit("union/2", b"content", filename="x")
    bench.settle()
    for volume in "ab":
        _rewrite(bench.object_path(volume, "union/2") / "v1/inventory.json", b"{}")
    assert bench.verify().bad == 2
    bench.settle()
    bench.assert_sound()


def test_a_file_damaged_in_both_copies_is_stated_and_nothing_is_destroyed(bench):
    files = bag({"một.txt": b"one" * 100, "hai.txt": b"two" * 100})
    for number in range(3):
        bench.deposit(f"lost/{number}", tar_of(files), files)
    bench.settle()
    for volume in "ab":
        _rewrite(bench.object_path(volume, "lost/1") / "v1/content/data/một.txt", b"wrong in " + volume.encode())
    _rewrite(bench.object_path("a", "lost/2") / "v1/content/data/hai.txt", b"wrong")
    seq = bench.last_event()
    bench.verify()

    def stated():
        return bench.events(EventType.RECOVERY, after=seq, identifier="lost/1", outcome=Outcome.FAILURE)

    eventually(lambda: {e.volume for e in stated()} == {"a", "b"}, what=stated)
    for event in stated():
        assert event.detail["lost"] == ["v1/content/data/một.txt"]
        assert event.detail["lost_count"] == 1
    eventually(lambda: {c.state for c in bench.copies("lost/2").values()} == {CopyState.GOOD})
    # It is said once, not at every attempt.
    attempts = eventually(
        lambda: [t for t in bench.open_tasks() if "repair" in t and " 3 " in t], what=bench.open_tasks
    )
    assert attempts
    assert len(stated()) == 2
    assert {c.state for c in bench.copies("lost/1").values()} == {CopyState.DAMAGED}
    for volume in "ab":
        content = bench.object_path(volume, "lost/1") / "v1/content/data"
        assert (content / "một.txt").read_bytes() == b"wrong in " + volume.encode()
        assert (content / "hai.txt").read_bytes() == b"two" * 100
    # When one comes back by other means, it is believed after it was read.
    _rewrite(bench.object_path("b", "lost/1") / "v1/content/data/một.txt", b"one" * 100)
    bench.settle()
    bench.assert_sound()


# --- outages are no damage


def _go(bench: Bench, volume: str, how: str) -> None:
    path, aside = bench.path(volume), bench.folder / "aside"
    if how == "unmounted":
        subprocess.run(["umount", "-l", path], check=True)
        return
    path.rename(aside)
    if how == "wrong volume":
        # As when two shares are mounted at each other's places.
        shutil.copytree(bench.folder / "stranger", path)
    elif how == "empty folder":
        path.mkdir()


def _return(bench: Bench, volume: str, how: str) -> None:
    path, aside = bench.path(volume), bench.folder / "aside"
    if how == "unmounted":
        subprocess.run(["mount", "--bind", bench.folder / f"{volume}-disk", path], check=True)
        return
    if path.exists():
        left = {p.name for p in path.iterdir()}
        assert left == (
            {"vault-volume.json", "ocfl", "staging", "evidence", "node"} if how == "wrong volume" else set()
        )
        shutil.rmtree(path)
    aside.rename(path)


@pytest.fixture(params=["renamed", "empty folder", "wrong volume", pytest.param("unmounted", marks=pytest.mark.root)])
def outage(request, tmp_path):
    """A node, and a way in which its volume b goes away."""
    how = request.param
    mounted = ("b",) if how == "unmounted" else ()
    if mounted:
        if os.geteuid() != 0:
            pytest.skip("mounting needs root")
        for name in ("b", "b-disk"):
            (tmp_path / name).mkdir()
        bound = subprocess.run(["mount", "--bind", tmp_path / "b-disk", tmp_path / "b"], check=False)
        if bound.returncode != 0:
            pytest.skip("this machine lets nobody mount")
    bench = Bench(tmp_path, mount=mounted)
    try:
        with bench:
            if how == "wrong volume":
                _another_volume(bench)
            yield bench, how
    finally:
        if mounted:
            subprocess.run(["umount", "-l", tmp_path / "b"], check=False, capture_output=True)


def _another_volume(bench: Bench) -> None:
    from vault.clock import utcnow
    from vault.volumes.base import VolumeIdentity
    from vault.volumes.directory import DirectoryVolume

    place = bench.folder / "stranger"
    place.mkdir()
    volume = DirectoryVolume(name="b", path=str(place), domain="domain-b", site="site-b", mount=False)
    volume.initialise(VolumeIdentity(uuid.uuid4(), "b", "domain-b", "site-b", "n", utcnow()))


def _assert_only_an_outage(bench: Bench, seq: int) -> None:
    assert [c for c in bench.all_copies() if c.state in BAD] == []
    told = [e for e in bench.events(EventType.FIXITY_CHECK, after=seq) if e.outcome is Outcome.FAILURE]
    assert told == []


def test_an_outage_during_verification_blames_no_copy(outage):
    bench, how = outage
    for number in range(30):
        bench.deposit(f"out/{number}", os.urandom(30_000), filename="x")
    bench.settle()
    seq = bench.last_event()
    order = bench.order()
    eventually(lambda: bench.verification(order.id).checked >= 3)
    _go(bench, "b", how)
    bench.wait_for("b", Condition.OFFLINE, Condition.FOREIGN)
    eventually(lambda: bench.verification(order.id).checked >= 30)
    assert bench.verification(order.id).state is VerificationState.RUNNING
    _assert_only_an_outage(bench, seq)
    # What was proved stays proved while the volume is away, and the policy holds.
    assert bench.below_policy() == []
    _return(bench, "b", how)
    eventually(lambda: bench.verification(order.id).state is VerificationState.DONE)
    ended = bench.verification(order.id)
    assert (ended.checked, ended.bad) == (60, 0)
    _assert_only_an_outage(bench, seq)
    bench.settle()
    bench.assert_sound()


def test_an_outage_during_replication_blames_no_copy(outage):
    bench, how = outage
    seq = bench.last_event()
    for number in range(10):
        bench.deposit(f"out/{number}", os.urandom(60_000), filename="x")
    _go(bench, "b", how)
    bench.wait_for("b", Condition.OFFLINE, Condition.FOREIGN)
    for number in range(10, 15):
        bench.deposit(f"out/{number}", os.urandom(60_000), filename="x")
    # What was first put on b, and can be read from nowhere else, waits.
    waits = (CopyState.PLANNED, CopyState.WRITING)
    eventually(lambda: all(c.state in (CopyState.GOOD, *waits) for c in bench.all_copies() if c.volume == "a"))
    _assert_only_an_outage(bench, seq)
    assert len(bench.below_policy()) >= 5
    _return(bench, "b", how)
    bench.settle()
    _assert_only_an_outage(bench, seq)
    bench.assert_sound()
    bench.assert_kept("ab")


def test_an_outage_during_repair_blames_no_copy(outage):
    """The only good copies go away while the damaged ones wait for them: nothing is given up."""
    bench, how = outage
    for number in range(8):
        bench.deposit(f"out/{number}", os.urandom(60_000), filename="x")
    bench.settle()
    for number in range(8):
        _rewrite(bench.object_path("a", f"out/{number}") / "v1/content/x", b"wrong")
    seq = bench.last_event()
    order = bench.order(volume="a")
    eventually(lambda: bench.verification(order.id).bad >= 2)
    _go(bench, "b", how)
    bench.wait_for("b", Condition.OFFLINE, Condition.FOREIGN)
    eventually(lambda: bench.verification(order.id).state is VerificationState.DONE)
    assert [c for c in bench.all_copies() if c.state in BAD and c.volume == "b"] == []
    assert bench.events(EventType.RECOVERY, after=seq, outcome=Outcome.FAILURE) == []
    _return(bench, "b", how)
    bench.settle()
    assert {(e.volume, e.outcome) for e in bench.events(EventType.FIXITY_CHECK, after=seq) if e.volume == "b"} <= {
        ("b", Outcome.SUCCESS),
        ("b", Outcome.WARNING),
    }
    assert bench.events(EventType.RECOVERY, after=seq, outcome=Outcome.FAILURE) == []
    bench.assert_sound()
