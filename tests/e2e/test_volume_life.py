"""A volume's life: its medium dies and is replaced, it is emptied and one knows when, and no two are one in secret."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hardware.mounts import Mount, server_of
from tests.support.nodes import Bench, eventually
from vault.catalog import packages
from vault.catalog import volumes as catalog_volumes
from vault.custody import beginning, convergence, record, replacing
from vault.errors import Refused
from vault.model import Condition, CopyState, EventType, Outcome, VolumeMode


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def row(bench, name):
    with bench.running.catalogue.read() as tx:
        return catalog_volumes.get(tx, name)


def replace(bench, name):
    return replacing.replace(bench.running.custodian, name, "user:test")


def states(bench, volume):
    return {c.state for c in bench.all_copies() if c.volume == volume}


def test_a_new_medium_takes_over_and_everything_is_made_anew(bench):
    for number in range(4):
        bench.deposit(f"p/{number}", b"%d" % number, filename="x")
    bench.deposit("p/0", b"second", filename="x", if_match=1)
    bench.settle()
    dead = row(bench, "b")
    bench.path("b").rename(bench.folder / "dead")
    bench.wait_for("b", Condition.OFFLINE)
    bench.path("b").mkdir()
    assert replace(bench, "b") == 5
    assert row(bench, "b").uuid != dead.uuid
    bench.settle()
    assert states(bench, "b") == {CopyState.GOOD}
    told = [e for e in bench.events(EventType.VOLUME_CHANGED, volume="b") if e.detail.get("reason") == "replaced"]
    assert [(e.agent, e.detail["copies_owed"], e.detail["was"]) for e in told] == [("user:test", 5, str(dead.uuid))]
    bench.assert_sound()
    # The old one, should it come to life again, is a stranger from now on.
    bench.stop()
    bench.path("b").rename(bench.folder / "new")
    (bench.folder / "dead").rename(bench.path("b"))
    bench.start()
    bench.wait_for("b", Condition.FOREIGN)
    bench.stop()
    bench.path("b").rename(bench.folder / "dead")
    (bench.folder / "new").rename(bench.path("b"))
    bench.start()
    bench.settle()


def test_what_is_there_or_is_not_empty_is_not_replaced(bench):
    bench.deposit("p", b"one", filename="x")
    bench.settle()
    with pytest.raises(Refused) as alive:
        replace(bench, "b")
    assert alive.value.code == "volume-alive"
    bench.path("b").rename(bench.folder / "away")
    bench.path("b").mkdir()
    (bench.path("b") / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(Refused) as full:
        replace(bench, "b")
    assert full.value.code == "not-empty"
    shutil.rmtree(bench.path("b"))
    shutil.copytree(bench.path("a"), bench.path("b"))
    with pytest.raises(Refused) as other:
        replace(bench, "b")
    assert other.value.code == "not-empty"
    shutil.rmtree(bench.path("b"))
    (bench.folder / "away").rename(bench.path("b"))
    bench.wait_for("b", Condition.ONLINE)
    assert states(bench, "b") == {CopyState.GOOD}, "nothing was claimed and nothing was lost"


def test_the_only_copy_is_given_up_by_number_alone(bench):
    """Whoever mistakes an unmounted medium for a dead one is told what would be lost, before it is."""
    bench.deposit("both", b"both", filename="x")
    bench.settle()
    bench.path("a").rename(bench.folder / "away")
    bench.wait_for("a", Condition.OFFLINE)
    for number in range(2):
        bench.deposit(f"alone/{number}", b"%d" % number, filename="x")
    bench.path("b").rename(bench.folder / "dead")
    bench.wait_for("b", Condition.OFFLINE)
    bench.path("b").mkdir()
    before = bench.all_copies()
    for give_up in (0, 1):
        with pytest.raises(Refused) as alone:
            replacing.replace(bench.running.custodian, "b", "user:test", give_up=give_up)
        assert (alone.value.code, "--give-up 2" in alone.value.remedy) == ("only-copies", True)
    assert bench.all_copies() == before, "nothing was changed"
    assert replacing.replace(bench.running.custodian, "b", "user:test", give_up=2) == 3
    (bench.folder / "away").rename(bench.path("a"))


def test_a_known_volume_is_never_begun_again(bench):
    """An empty place under its name is an unmounted or a dead medium: a new identity there would pass for the old."""
    bench.deposit("p", b"one", filename="x")
    bench.settle()
    known = row(bench, "b")
    bench.path("b").rename(bench.folder / "away")
    bench.path("b").mkdir()
    with pytest.raises(Refused) as refused:
        beginning.begin(bench.running.catalogue, bench.running.volumes["b"], "node")
    assert (refused.value.code, "volumes replace b" in refused.value.remedy) == ("volume-known", True)
    assert list(bench.path("b").iterdir()) == []
    bench.wait_for("b", Condition.FOREIGN)
    assert "a disk died" in row(bench, "b").condition_reason, "and nobody is advised to begin it"
    assert "volumes init" not in row(bench, "b").condition_reason
    bench.path("b").rmdir()
    (bench.folder / "away").rename(bench.path("b"))
    bench.wait_for("b", Condition.ONLINE)
    assert row(bench, "b").uuid == known.uuid


@pytest.mark.parametrize("in_place", [True, False])
def test_a_copy_that_was_begun_and_is_not_needed_is_not_left_begun_for_ever(tmp_path, in_place):
    """Its volume went away in the middle, another took the place, and then it came back."""
    with Bench(tmp_path, "abc") as bench:
        bench.deposit("p", b"one", filename="x")
        bench.settle()
        held = sorted(volume for volume, _ in bench.copies("p"))
        (third,) = set("abc") - set(held)
        if in_place:
            shutil.copytree(bench.object_path(held[0], "p"), bench.object_path(third, "p"))
        with bench.running.catalogue.write() as tx:
            version = packages.version(tx, "p", 1)
            record.writing(tx, record.planned(tx, version, catalog_volumes.get(tx, third).id))
        eventually(lambda: bench.copies("p")[third, 1].state is (CopyState.GOOD if in_place else CopyState.RETIRED))
        bench.settle()
        assert bench.object_path(third, "p").exists() == in_place
        if not in_place:
            (told,) = bench.events(EventType.REPLICATION, volume=third)
            assert (told.outcome, told.detail["reason"]) == (Outcome.SUCCESS, "the policy holds without it")
        bench.assert_sound(others=False)


def test_a_replacement_that_was_cut_off_is_ordered_again(bench, monkeypatch):
    for number in range(3):
        bench.deposit(f"p/{number}", b"%d" % number, filename="x")
    bench.settle()
    shutil.rmtree(bench.path("b"))
    bench.path("b").mkdir()
    with monkeypatch.context() as cut:

        def stop(*_):
            raise KeyboardInterrupt

        cut.setattr(catalog_volumes, "succeed", stop)
        with pytest.raises(KeyboardInterrupt):
            replace(bench, "b")
    assert states(bench, "b") == {CopyState.MISSING}
    assert replace(bench, "b") == 0
    bench.settle()
    assert states(bench, "b") == {CopyState.GOOD}


def test_an_evacuation_says_how_much_is_left_and_when_it_is_done(tmp_path):
    with Bench(tmp_path, "abc") as bench:
        for number in range(5):
            bench.deposit(f"p/{number}", bytes(10_000) + b"%d" % number, filename="x")
        bench.settle()
        held = [c for c in bench.all_copies() if c.volume == "a"]
        bench.set_mode("b", VolumeMode.READ_ONLY)
        bench.set_mode("c", VolumeMode.READ_ONLY)
        bench.set_mode("a", VolumeMode.EVACUATING)

        def left():
            with bench.running.catalogue.read() as tx:
                return convergence.of_evacuation(tx, row(bench, "a").id)

        # Nowhere to go yet: all that is held there is left.
        eventually(lambda: left().versions == len(held), what=left)
        assert left().bytes >= 10_000 * len(held)
        assert left().left is not None
        bench.set_mode("b", VolumeMode.ACTIVE)
        bench.set_mode("c", VolumeMode.ACTIVE)
        eventually(lambda: left() == convergence.Backlog(0, 0, timedelta()), what=left)


def test_overlapping_work_is_counted_once():
    def at(second):
        return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)

    spans = [(at(0), at(10)), (at(2), at(5)), (at(8), at(12)), (at(20), at(21)), (None, at(50)), (at(50), None)]
    assert convergence.busy_seconds(spans) == 13


@pytest.mark.parametrize(
    ("kind", "source", "server"),
    [
        ("nfs4", "nas-a:/volume1/kho", "nas-a"),
        ("nfs", "192.168.1.7:/x", "192.168.1.7"),
        ("nfs4", "[fd00::7]:/x", "fd00::7"),
        ("cifs", "//NAS-A/kho", "nas-a"),
        ("smb3", "//nas-a.local/kho/a", "nas-a.local"),
        ("ext4", "/dev/sda1", ""),
        ("fuse.sshfs", "khoso@nas-a:/kho", "nas-a"),
    ],
)
def test_the_server_of_a_mount(kind, source, server):
    assert server_of(Mount("/srv/a", kind, source)) == server


def test_two_exports_of_one_server_fail_together_whatever_the_configuration_says(tmp_path, monkeypatch):
    def mounted(path):
        return Mount(path, "nfs4", f"nas:/export/{Path(path).name}")

    bench = Bench(tmp_path)
    with bench:
        monkeypatch.setattr("vault.custody.watch.mount_of", mounted)
        # As two exports have it, each is a device of its own.
        numbers = iter(range(1, 1_000_000))
        probe = type(bench.running.volumes["a"]).probe
        monkeypatch.setattr(
            type(bench.running.volumes["a"]),
            "probe",
            lambda self: dataclasses.replace(probe(self), device=next(numbers)),
        )
        monkeypatch.setattr("vault.custody.watch.stack_of", lambda _path: _NoStack())
        node = bench.settings.node.model_copy(update={"accept_shared_devices": False})
        strict = dataclasses.replace(bench.settings, node=node)
        bench.restart(strict)
        bench.wait_for("a", Condition.ONLINE)
        bench.wait_for("b", Condition.FOREIGN)
        assert "same server (nas)" in row(bench, "b").condition_reason
        one_domain = tuple(v.model_copy(update={"domain": "nas"}) for v in strict.volumes)
        bench.restart(dataclasses.replace(strict, volumes=one_domain))
        bench.wait_for("b", Condition.ONLINE)
        bench.restart(dataclasses.replace(bench.settings, node=bench.configured().node))


class _NoStack:
    marks: frozenset[str] = frozenset()


def test_a_node_of_the_same_name_is_another_node(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Bench(tmp_path / "one") as bench:
        bench.running.keep_checkpoint()
        staged = bench.path("a") / "staging" / "of-the-first-node"
        staged.mkdir()
        other = Bench(tmp_path / "two")
        volumes = tuple(
            theirs.model_copy(update={"path": ours.path})
            for theirs, ours in zip(other.settings.volumes, bench.settings.volumes, strict=True)
        )
        other.start(dataclasses.replace(other.settings, volumes=volumes))
        try:
            eventually(lambda: len(other.running.watch._said) == 2)
            assert "another node of the name 'thu-nghiem'" in other.running.watch._said["a"]
            with other.running.catalogue.read() as tx:
                assert catalog_volumes.all(tx) == []
                assert packages.count(tx) == 0
            assert staged.exists()
        finally:
            other.stop()
