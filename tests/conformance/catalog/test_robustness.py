"""What happens when the ground gives way: kills, restarts, full and damaged disks, and copies made meanwhile."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault import ledger
from vault.catalog import Catalogue, copies, engine, listing, packages
from vault.catalog.faults import BUSY
from vault.errors import Corrupted, Full, NotFound, Refused, Unreachable
from vault.model import CopyState

REPO = Path(__file__).parents[3]


def path_of(url):
    return Path(url.removeprefix("sqlite:///"))


def assert_whole(catalogue):
    """The chain holds, every version has its event, and the counters are those of the copies."""
    report = ledger.verify(catalogue)
    assert report.ok, report.reason
    with catalogue.read() as tx:
        events = Counter(e.type for e in ledger.events(tx, limit=100_000))
        assert events["version-created"] == packages.count(tx)
        present = copies.in_states(tx, list(CopyState), 100_000)
        assert events["copy-written"] == len(present)
        assert copies.counts(tx) == Counter((c.volume, c.state) for c in present)
    return report


WRITER = """
import sys
from tests.support.holdings import add_copy, add_version
from vault.catalog import Catalogue, volumes
catalogue = Catalogue.open(sys.argv[1])
number = 0
while True:
    number += 1
    with catalogue.write() as tx:
        version = add_version(tx, f"{sys.argv[2]}-{number}")
        add_copy(tx, version, volumes.get(tx, "nas-a"))
    print(number, flush=True)
"""


def test_what_was_committed_survives_a_kill_and_the_rest_never_was(sqlite_url):
    catalogue = Catalogue.open(sqlite_url)
    with catalogue.write() as tx:
        add_volume(tx, "nas-a")
    for attempt, after in enumerate([1, 7, 30]):
        command = [sys.executable, "-c", WRITER, sqlite_url, f"{attempt}"]
        with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as writer:
            told = [writer.stdout.readline() for _ in range(after)]
            os.kill(writer.pid, signal.SIGKILL)
            told += writer.stdout.read().splitlines(keepends=True)
        last = [line for line in told if line.endswith("\n")][-1].strip()
        assert int(last) >= after
        with catalogue.read() as tx:
            assert packages.head(tx, f"{attempt}-{last}") is not None
        assert_whole(catalogue)
    with catalogue.write() as tx:
        add_version(tx, "afterwards")
    assert_whole(catalogue)
    catalogue.close()


def test_a_full_disk_is_full_and_nothing_is_kept(sqlite_url):
    catalogue = Catalogue.open(sqlite_url)
    with catalogue.write() as tx:
        volume = add_volume(tx, "nas-a")
        pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    kept = 0

    def fill():
        nonlocal kept
        for number in range(10_000):
            with catalogue.write() as tx:
                tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 20}")
                add_copy(tx, add_version(tx, f"p{number}"), volume)
            kept += 1

    with pytest.raises(Full) as failed:
        fill()
    assert "Make room" in failed.value.remedy
    assert kept > 5
    with catalogue.read() as tx:
        assert packages.count(tx) == kept
    assert_whole(catalogue)
    catalogue.close()
    with catalogue.write() as tx:
        add_version(tx, "there is room again")
    assert_whole(catalogue)
    catalogue.close()


@pytest.mark.parametrize(
    ("code", "error", "error_code"),
    [
        ("53100", Full, "no-space"),
        ("XX001", Corrupted, "catalogue-damaged"),
        ("40001", Unreachable, BUSY),
        ("40P01", Unreachable, BUSY),
        ("57P03", Unreachable, "catalogue-unreachable"),
        ("53300", Unreachable, "catalogue-unreachable"),
    ],
)
def test_what_postgresql_reports_keeps_its_meaning(postgres_url, code, error, error_code):
    catalogue = Catalogue.open(postgres_url)
    with pytest.raises(error) as failed, catalogue.write() as tx:
        tx.connection.execute(sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'as a test' USING ERRCODE = '{code}'; END $$"))
    assert failed.value.code == error_code
    assert failed.value.remedy
    catalogue.close()


def test_a_server_that_restarts_loses_what_was_open_and_nothing_else(postgres, postgres_url):
    catalogue = Catalogue.open(postgres_url)
    with catalogue.write() as tx:
        volume = add_volume(tx, "nas-a")
        add_copy(tx, add_version(tx, "before"), volume)

    def work():
        with catalogue.write() as tx:
            add_copy(tx, add_version(tx, "during"), volume)
            postgres.stop("immediate")

    try:
        with pytest.raises(Unreachable):
            work()
        with pytest.raises(Unreachable), catalogue.read():
            pass
    finally:
        postgres.start()
    assert_whole(catalogue)
    with catalogue.write() as tx:
        assert packages.get(tx, "during") is None
        add_version(tx, "after")
    assert_whole(catalogue)
    catalogue.close()


def test_a_machine_that_lost_its_power_is_noticed_by_either_side(postgres_url):
    """It says nothing: without these the server would hold its locks, and the node wait for it, for two hours."""
    catalogue = Catalogue.open(postgres_url)
    with catalogue.read() as tx:
        known = tx.connection.execute(sa.text("SELECT name, source FROM pg_settings WHERE name LIKE 'tcp_keep%'"))
        assert {tuple(row) for row in known} == {
            (f"tcp_keepalives_{name}", "client") for name in ("idle", "interval", "count")
        }
        asked = tx.connection.connection.dbapi_connection.info.get_parameters()
    assert {"keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"} <= asked.keys()
    catalogue.close()


def test_a_catalogue_that_lost_the_end_of_its_ledger_takes_no_change(catalogue):
    with catalogue.write() as tx:
        tell(tx)
    with catalogue.write() as tx:
        tx.connection.execute(sa.text("DELETE FROM ledger_head"))

    def work():
        with catalogue.write() as tx:
            add_volume(tx, "nas-a")

    with pytest.raises(Corrupted):
        work()
    assert "ends is lost" in ledger.verify(catalogue).reason


def test_another_program_that_holds_the_file_is_an_outage(sqlite_url, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    catalogue = Catalogue.open(sqlite_url)
    other = sqlite3.connect(path_of(sqlite_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unreachable) as failed, catalogue.write():
        pass
    assert failed.value.code == BUSY
    with catalogue.read() as tx:
        assert packages.count(tx) == 0
    other.close()
    with catalogue.write() as tx:
        add_volume(tx, "nas-a")
    catalogue.close()


def test_a_thread_does_not_wait_for_ever_for_its_turn(catalogue, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    found = []

    def work():
        try:
            with catalogue.write():
                pass
        except Unreachable as error:
            found.append(error.code)

    with catalogue.write():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [BUSY]


def test_a_file_that_is_gone_is_not_made_anew(sqlite_url):
    catalogue = Catalogue.open(sqlite_url)
    path_of(sqlite_url).unlink()
    for begin in (catalogue.read, catalogue.write):
        with pytest.raises(Unreachable), begin():
            pass
    assert not path_of(sqlite_url).exists()


@pytest.mark.parametrize("damage", ["garbage", "a page"])
def test_a_damaged_file_is_corrupted_and_no_outage(sqlite_url, damage, tmp_path):
    catalogue = Catalogue.open(sqlite_url)
    with catalogue.write() as tx:
        for number in range(30):
            add_version(tx, f"p{number}")
    catalogue.close()
    with path_of(sqlite_url).open("r+b") as file:
        if damage == "garbage":
            file.write(b"\xff" * 4096)
        else:
            size = file.seek(0, os.SEEK_END)
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))

    def work():
        with catalogue.read() as tx:
            listing.page(tx, listing.Wanted(), limit=100)

    with pytest.raises(Corrupted) as failed:
        work()
    assert "restore the newest backup" in failed.value.remedy
    (tmp_path / "backup.db").write_bytes(b"the last good one")
    with pytest.raises(Corrupted):
        catalogue.backup(tmp_path / "backup.db")
    assert (tmp_path / "backup.db").read_bytes() == b"the last good one"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    catalogue.close()


def test_a_backup_is_one_moment_of_a_catalogue_at_work(sqlite_url, tmp_path):
    catalogue = Catalogue.open(sqlite_url)
    with catalogue.write() as tx:
        volume = add_volume(tx, "nas-a")
        add_copy(tx, add_version(tx, "p"), volume)
    stop, failed = threading.Event(), []

    def work():
        try:
            number = 0
            while not stop.is_set():
                number += 1
                with catalogue.write() as tx:
                    add_copy(tx, add_version(tx, f"p{number}"), volume)
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    target, seen = tmp_path / "backup.db", [0]
    try:
        for _ in range(6):
            before = ledger.verify(catalogue).count
            catalogue.backup(target)
            after = ledger.verify(catalogue).count
            copy = Catalogue.open(f"sqlite:///{target}")
            seen.append(assert_whole(copy).count)
            copy.close()
            assert before <= seen[-1] <= after
    finally:
        stop.set()
        thread.join()
    assert failed == []
    assert seen == sorted(seen)
    assert seen[-1] > seen[1]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith("backup")} == {"backup.db"}
    catalogue.close()


def test_a_backup_needs_a_folder_and_a_catalogue_of_ours(sqlite_url, tmp_path):
    catalogue = Catalogue.open(sqlite_url)
    with pytest.raises(NotFound):
        catalogue.backup(tmp_path / "nowhere" / "backup.db")
    catalogue.close()


def test_postgresql_is_backed_up_by_its_own_tool(postgres_url, tmp_path):
    catalogue = Catalogue.open(postgres_url)
    with pytest.raises(Refused) as refused:
        catalogue.backup(tmp_path / "backup.db")
    assert "pg_dump" in refused.value.remedy
    catalogue.close()
