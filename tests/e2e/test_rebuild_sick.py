"""The catalogue is lost, and the volumes that it is made anew from are ill as well, or the state folder is."""

import contextlib
import errno
import os
import random
import shutil
import signal
import sqlite3
import time

import pytest

from tests.support.faults import modes_count, run, tmpfs
from tests.support.passthrough import shown
from tests.support.rebuilds import MORE, codes, lose, lose_everything, make_archive, of_archive, rebuilt
from vault.cli.offline import rebuild_sources
from vault.cli.run import run as vaultctl
from vault.errors import ConfigError, Full, Refused, Unreachable
from vault.recovery.directory import DirectorySource

VERSIONS = 4 + MORE


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def bench(archive, tmp_path):
    made = of_archive(archive, tmp_path)
    yield made
    made.stop()


def without_notes(bench):
    """No backup anywhere, and no checkpoint."""
    lose_everything(bench)
    for volume in "ab":
        shutil.rmtree(bench.path(volume) / "node")
        (bench.path(volume) / "node").mkdir()


@contextlib.contextmanager
def only(bench, volume="b"):
    """The one volume that is left, shown through a server that can fall ill."""
    for name in {"a", "b"} - {volume}:
        bench.path(name).rename(bench.folder / "away")
    real = bench.folder / "real"
    bench.path(volume).rename(real)
    with shown(real, bench.path(volume)) as ill:
        yield ill


def entered(bench):
    """Versions and copies as the catalogue has them now."""
    with contextlib.closing(sqlite3.connect(bench.folder / "state" / "catalog.db")) as database:
        return sorted(
            database.execute(
                "SELECT packages.identifier, versions.number, volumes.name, inventory_digest, versions.bytes, files,"
                " ingest_id, copies.state, proved_at FROM packages JOIN versions ON packages.id = package_id"
                " JOIN copies ON versions.id = version_id JOIN volumes ON volumes.id = volume_id"
            )
        )


def place(bench, identifier):
    """Where an object lies below its volume."""
    return str(bench.object_path("b", identifier).relative_to(bench.path("b")))


BAD_SECTORS = {
    "p/0": ("{}/inventory.json", "read"),
    "p/1": ("{}/v1/inventory.json", "read"),
    "p/2": ("{}/v1/content/khoso-deposit.json", "read"),
    "p/3": ("{}/v1/content/x", "any"),
    "p/4": ("{}", "opendir"),
    "p/5": ("{}/../../..", "opendir"),
    "p/6": ("{}/../../..", "any"),
}
"""By package: what of it cannot be read, or not even looked at. Nothing is known of the last three."""


def test_bad_sectors_cost_no_more_than_what_stood_in_them(bench):
    """And not all that comes after them, on the only volume that is left."""
    without_notes(bench)
    bad = {(os.path.normpath(path.format(place(bench, name))), call) for name, (path, call) in BAD_SECTORS.items()}
    with only(bench) as ill:
        ill.befalls = lambda call, where: errno.EIO if {(where, call), (where, "any")} & bad else 0
        report = rebuilt(bench)
    assert {identifier for identifier, *_ in entered(bench)} == {"Hồ sơ/Đ-012", "tệp", "to", "p/0", "p/1", "p/2", "p/3"}
    (read,) = report.sources
    assert (read.whole, read.versions_added) == (True, VERSIONS - 3)
    told = {(trouble.code, trouble.object_id) for trouble in report.troubles if trouble.source == "b"}
    named = {f"urn:khoso:p/{number}" for number in range(3)}
    assert told == {("not-read", name) for name in {*named, ""}} | {("size-unknown", "urn:khoso:p/3")}
    assert sum(trouble.code == "not-read" and trouble.source == "b" for trouble in report.troubles) == 6


def test_an_inventory_that_cannot_be_read_puts_the_copy_in_doubt_and_damages_nothing(bench):
    lose(bench)
    bad = f"{place(bench, 'tệp')}/v2/inventory.json"
    real = bench.folder / "real"
    bench.path("b").rename(real)
    with shown(real, bench.path("b")) as ill:
        ill.befalls = lambda call, where: errno.EIO if (call, where) == ("read", bad) else 0
        report = rebuilt(bench)
    states = {(identifier, number, volume): row[-2] for identifier, number, volume, *row in entered(bench)}
    assert states["tệp", 2, "b"] == "suspect"
    assert {state for key, state in states.items() if key != ("tệp", 2, "b")} == {"good", "written"}
    assert report.counts["damaged-inventory"] == 0


def test_a_checkpoint_that_cannot_be_read_hides_no_other(bench):
    lose_everything(bench)
    with only(bench) as ill:
        first = min(os.listdir(bench.path("b") / "node/ledger"))
        ill.befalls = lambda call, where: errno.EIO if (call, where) == ("read", f"node/ledger/{first}") else 0
        report = rebuilt(bench)
    assert report.counts["events-lost"] == 1
    assert report.counts["not-read"] == 2, "the volume that is away, and the file"


def test_so_does_one_in_the_state_folder_and_a_backup_there(bench):
    lose(bench)
    with modes_count():
        for folder in ("ledger", "catalog"):
            (bench.folder / "state" / folder).chmod(0)
        report = rebuilt(bench)
        for folder in ("ledger", "catalog"):
            (bench.folder / "state" / folder).chmod(0o700)
    assert report.base["from"] == "a"
    assert [trouble.source for trouble in report.troubles if trouble.code == "not-read"] == ["state", "state"]
    assert report.counts["events-lost"] == 1


def test_a_backup_that_cannot_be_read_is_not_called_damaged(bench):
    lose_everything(bench)
    with only(bench) as ill:
        ill.befalls = lambda call, path: errno.ESTALE if call == "read" and path.endswith(".gz") else 0
        report = rebuilt(bench)
    assert report.base["kind"] == "nothing"
    assert "damaged-backup" not in report.counts
    assert report.versions == VERSIONS


def leave_after(bench, monkeypatch, objects):
    """The volume goes away between two objects, as an unmount does it."""
    left, parts_at = iter(range(objects)), DirectorySource.parts_at

    def parts(one, tree, where):
        yield from parts_at(one, tree, where)
        if one.name == "b" and next(left, None) is None and bench.path("b").exists():
            bench.path("b").rename(bench.folder / "left")
            bench.path("b").mkdir()

    monkeypatch.setattr(DirectorySource, "parts_at", parts)


def test_a_volume_that_is_unmounted_between_two_objects_is_not_an_archive_that_ended_there(bench, monkeypatch):
    leave_after(bench, monkeypatch, 3)
    report = rebuilt(bench)
    assert [(read.name, read.whole) for read in report.sources] == [("a", True), ("b", False)]
    assert report.counts == {"not-read": 1}
    assert {state for *_, state, _ in entered(bench)} == {"good"}


def test_what_was_read_before_a_volume_left_is_kept(bench, monkeypatch):
    without_notes(bench)
    leave_after(bench, monkeypatch, 4)
    a, b = rebuilt(bench).sources
    assert (a.whole, a.versions_added, b.whole) == (True, VERSIONS, False)
    assert b.copies_added == b.parts >= 4


def test_a_volume_that_leaves_before_its_turn_does_not_end_the_rebuild(bench):
    lose(bench)

    def leave(name, _count):
        if name == "a" and bench.path("b").exists():
            bench.path("b").rename(bench.folder / "left")

    report = rebuilt(bench, progress=leave)
    assert [read.name for read in report.sources] == ["a"]
    assert {"not-read", "volume-not-read"} <= codes(report)


def test_a_volume_whose_storage_root_is_gone_is_not_an_empty_one(bench):
    lose(bench)
    (bench.path("b") / "ocfl").rename(bench.path("b") / "lost+found")
    report = rebuilt(bench)
    assert [(read.name, read.whole) for read in report.sources] == [("a", True), ("b", False)]
    assert "copy-not-found" not in report.counts


def test_another_volume_that_is_mounted_there_meanwhile_is_not_read_as_the_first(bench, monkeypatch):
    without_notes(bench)
    sources = rebuild_sources(bench.settings)
    sources[0].identity()
    bench.path("a").rename(bench.folder / "t")
    bench.path("b").rename(bench.path("a"))
    with pytest.raises(Unreachable):
        list(sources[0].parts())


def test_volumes_that_were_mounted_in_each_others_place_are_named(bench):
    lose_everything(bench)
    bench.path("a").rename(bench.folder / "t")
    bench.path("b").rename(bench.path("a"))
    (bench.folder / "t").rename(bench.path("b"))
    with pytest.raises(Unreachable) as refused:
        rebuilt(bench)
    assert refused.value.code == "nothing-to-rebuild-from"
    assert "It is the volume 'b'" in refused.value.message
    assert "not 'b'" in refused.value.message


# --- a state folder that is ill


def names(state):
    """All but SQLite's own, of the catalogue that is there."""
    return {path.name for path in state.iterdir()} - {"catalog.db-wal", "catalog.db-shm"}


@pytest.mark.parametrize("base", ["current", "backup"])
def test_a_full_state_folder_costs_nothing_and_the_rebuild_can_be_run_again(bench, base):
    """Above all the catalogue that is there does not give way to an older backup for want of room."""
    state = bench.folder / "state"
    if base == "backup":
        lose(bench)
    state.rename(bench.folder / "kept")
    with tmpfs(state):
        shutil.copytree(bench.folder / "kept", state, dirs_exist_ok=True)
        before = {*names(state)}
        filler = state / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))
        if base == "backup":
            os.truncate(filler, filler.stat().st_size - 4096 * 6)
        with pytest.raises(Full):
            rebuilt(bench)
        filler.unlink()
        assert names(state) == before, "what had been made until then is gone"
        assert rebuilt(bench).base["kind"] == base


def test_a_catalogue_that_may_not_be_read_is_not_taken_for_a_damaged_one(bench):
    """It knows more than the backup, which would take its place."""
    (bench.folder / "state" / "catalog.db").chmod(0)
    with modes_count():
        with pytest.raises(Unreachable) as refused:
            rebuilt(bench)
        assert refused.value.code == "permission-denied"
        (bench.folder / "state" / "catalog.db").chmod(0o600)
        assert rebuilt(bench).base["kind"] == "current"


def test_what_root_rebuilds_is_the_service_users(bench):
    if os.geteuid() != 0:
        pytest.skip("only root can")
    lose(bench)
    state = bench.folder / "state"
    (state / "vaultd.lock").unlink()
    os.chown(state, 12345, 12346)
    rebuilt(bench)
    for name in ("vaultd.lock", "catalog.db"):
        facts = (state / name).stat()
        assert (facts.st_uid, facts.st_gid) == (12345, 12346), name


def test_a_rebuild_that_found_nothing_says_how_to_go_on_and_how_a_new_node_gets_out_of_it(bench):
    lose_everything(bench)
    for volume in "ab":
        bench.path(volume).rename(bench.folder / f"away-{volume}")
    with pytest.raises(Unreachable) as nothing:
        rebuilt(bench)
    assert nothing.value.code == "nothing-to-rebuild-from"
    with pytest.raises(ConfigError) as refused:
        bench.start()
    assert "Mount the volumes" in refused.value.remedy
    assert f"{bench.folder}/state/catalog.db.rebuil*" in refused.value.remedy
    for left in (bench.folder / "state").glob("catalog.db.rebuil*"):
        left.unlink()
    bench.start()


@pytest.mark.parametrize("how", [KeyboardInterrupt, Full])
def test_no_daemon_begins_anew_where_a_rebuild_was_stopped(bench, how):
    """On a new machine it would find nothing that speaks of the archive, and take deposits into an empty one."""
    lose_everything(bench)

    def stop(name, _count):
        if name == "b":
            raise how("")

    with pytest.raises(how):
        rebuilt(bench, progress=stop)
    with pytest.raises(ConfigError) as refused:
        bench.start()
    assert refused.value.code == "rebuild-unfinished"
    assert rebuilt(bench).base["kind"] == "backup"
    bench.start()
    bench.settle()
    bench.assert_sound()


def test_a_state_folder_that_is_mounted_read_only_is_named(bench, capsys):
    lose(bench)
    state = bench.folder / "state"
    state.rename(bench.folder / "kept")
    with tmpfs(state):
        shutil.copytree(bench.folder / "kept", state, dirs_exist_ok=True)
        run("mount", "-o", "remount,ro", str(state))
        assert vaultctl(["--config", str(bench.folder / "vault.toml"), "catalog", "rebuild"]) == 4
    said = capsys.readouterr().err
    assert "EROFS" in said
    assert "Traceback" not in said


def test_the_key_that_was_forgotten_in_the_safe_is_asked_for_first(bench):
    lose_everything(bench, key=False)
    with pytest.raises(Refused) as refused:
        rebuilt(bench)
    assert refused.value.remedy.startswith("Put the node's key back")


def test_nothing_is_asked_of_a_volume_that_is_mounted_read_only(bench):
    lose(bench)
    real = bench.folder / "real"
    bench.path("b").rename(real)
    with shown(real, bench.path("b")):
        report = rebuilt(bench)
    assert [(read.name, read.whole) for read in report.sources] == [("a", True), ("b", True)]
    assert report.counts.keys() == {"events-lost"}


# --- killed at any moment


@pytest.mark.parametrize("seed", range(int(os.environ.get("KHOSO_REBUILD_KILLS", "3"))))
def test_one_that_is_killed_at_a_random_moment_and_begun_again_comes_to_the_same(bench, seed):
    chance = random.Random(seed)
    # With nothing, from a backup, and with the catalogue that is there.
    (without_notes, lose, lambda _: None)[seed % 3](bench)
    shutil.copytree(bench.folder / "state", bench.folder / "kept")
    began = time.monotonic()
    rebuilt(bench)
    took, expected = time.monotonic() - began, entered(bench)
    shutil.rmtree(bench.folder / "state")
    (bench.folder / "kept").rename(bench.folder / "state")
    for _ in range(3):
        child = os.fork()
        if child == 0:
            # No handler: the alarm kills as SIGKILL does, in the middle of whatever is being done.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, max(0.001, chance.uniform(0, took)))
            with contextlib.suppress(BaseException):
                rebuilt(bench)
            os._exit(0)
        os.waitpid(child, 0)
        if (bench.folder / "state" / "catalog.db").exists():
            assert entered(bench) == expected
    rebuilt(bench)
    assert entered(bench) == expected
    assert not list((bench.folder / "state").glob("catalog.db.rebu*"))
    for left in (bench.folder / "state").glob(".khoso-tmp-*"):
        assert left.stat().st_size < 65536, "a kill leaves no copy of the catalogue behind, and the tenth no ten"
