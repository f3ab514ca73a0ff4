"""Every alert, provoked on a running node, seen firing by a real Prometheus, told by a real Alertmanager, and seen to
end. One node for all: each test leaves it as it found it."""

import contextlib
import sys
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from hardware.arrays import arrays
from hardware.blocks import Block
from hardware.shares import Prober
from hardware.smart import report
from hardware.smart.facts import Reading
from hardware.smart.parse import identity
from hardware.smart.second import Second
from hardware.stack import Kind, Layer, Stack
from tests.support.drives import ata, attribute
from tests.support.faults import flip, require_mounts, run, tmpfs
from tests.support.nodes import bag, eventually, tar_of
from tests.support.prometheus import REPO, Alertmanager, Prometheus, WatchedBench
from tests.unit.devices.sysfs import Sysfs
from tests.unit.monitoring.test_alerts import alerts
from vault import daemon
from vault.catalog import facts, tokens
from vault.clock import to_text, utcnow
from vault.errors import VaultError
from vault.ledger import append
from vault.model import Condition, CopyState, EventType, NewEvent, Outcome, Scope
from vault.volumes.base import VolumeIdentity

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DISKS = {"a": "DISK-A", "b": "DISK-B", "c1": "DISK-C", "c2": "DISK-D"}
DISK_ALERTS = {
    "VaultDiskFailing", "VaultDiskFailed", "VaultDiskWatch", "VaultDiskUnknown", "VaultDiskGone",
    "VaultDiskSelfTestOverdue",
}  # fmt: skip
ON_TMPFS = {"VaultVolumeReadOnly", "VaultVolumeFull", "VaultVolumeFilling"}
ELSEWHERE = {name for name in alerts() if name.startswith(("VaultTape", "VaultCertificate", "VaultCallbacks"))}
"""Of tapes and certificates; their own tests provoke them."""


def may_mount():
    try:
        require_mounts()
    except pytest.skip.Exception:
        return False
    return True


class Live:
    """The node, what watches it, and everything that was ever seen firing."""

    def __init__(self, folder, *, mounted):
        self.folder = folder
        self.seen = set()
        names = ["a", "b", "c1", "c2", "z", *(["t"] if mounted else [])]
        (folder / ".z-initialised").touch()  # it never was; the first test does it
        (folder / "z").mkdir()
        self.bench = WatchedBench(
            folder, names, domains={"c1": "nas-c", "c2": "nas-c"},
            extra=f'[health]\nreport = "{folder}/disks.json"\ninterval = "1s"',
        )  # fmt: skip
        self.bench.start()
        self.watch = self.bench.running.health
        self.watch._stack = self.stack
        self.bench.open_door()
        self.bench.metrics()  # the first takes longer
        self.alertmanager = Alertmanager(
            folder / "alertmanager", REPO / "monitoring/alertmanager/alertmanager.example.yml"
        )
        self.prometheus = Prometheus(folder / "prometheus", [self.bench.target], self.alertmanager)

    def close(self):
        for close in (self.prometheus.stop, self.alertmanager.stop, self.bench.shut_door, self.bench.stop):
            close()

    def stack(self, path):
        serial = DISKS.get(path.rsplit("/", 1)[1])
        if serial is None:
            return Stack(path, None, (), ())
        disk = Block("sd" + serial[-1].lower(), serial, "", "ST16000NM001G", 10**13, rotational=True)
        return Stack(path, None, (Layer(Kind.DISK, disk.name, disk.serial, 0),), (disk,))

    def firing(self):
        found = self.prometheus.firing()
        # The disk that the tests run on may well be filling up.
        filling = [one for one in found.pop("VaultVolumeFilling", []) if one["volume"] == "t"]
        found |= {"VaultVolumeFilling": filling} if filling else {}
        self.seen |= set(found)
        return found

    def fires(self, *names):
        """Wait until all of these fire (perhaps not at one time), and return the labels of the last look."""
        left = set(names)

        def look():
            left.difference_update(self.firing())
            return not left

        eventually(look, 60, lambda: f"silent: {left}; firing: {set(self.firing())}\n{self.bench.metrics()[-9000:]}")
        return self.firing()

    def ends(self, *names):
        eventually(lambda: not set(names) & set(self.firing()), 60, self.firing)

    def quiet_but(self, *names):
        """Wait until Alertmanager has nothing left to tell but of these; return how much it has told."""

        def active():
            found = self.alertmanager.get("/api/v2/alerts", active="true")
            return {alert["labels"]["alertname"] for alert in found} - {"VaultWatchdog", "VaultVolumeFilling", *names}

        eventually(lambda: not active(), 60, active)
        return len(self.alertmanager.told)

    def told_since(self, before):
        """Names of the alerts that somebody was told of since then as firing."""
        return {
            alert["labels"]["alertname"]
            for _, body in self.alertmanager.told[before:]
            for alert in body["alerts"]
            if alert["status"] == "firing"
        } - {"VaultVolumeFilling"}

    def sql(self, statement, **values):
        with self.bench.running.catalogue.write() as tx:
            return tx.connection.execute(sa.text(statement), values)

    def go_away(self, *names):
        for name in names:
            (self.folder / name).rename(self.folder / f"{name}.away")
        for name in names:
            self.bench.wait_for(name, Condition.OFFLINE)

    def come_back(self, *names):
        for name in names:
            (self.folder / f"{name}.away").rename(self.folder / name)
        for name in names:
            self.bench.wait_for(name, Condition.ONLINE)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    with contextlib.ExitStack() as stack:
        mounted = may_mount()
        if mounted:
            (folder / "t").mkdir()
            stack.enter_context(tmpfs(folder / "t"))
        found = Live(folder, mounted=mounted)
        stack.callback(found.close)
        yield found


def test_of_a_node_that_is_well_only_the_watchdog_is_heard(live):
    # z was never initialised, and the report that is configured never came.
    live.fires("VaultWatchdog", "VaultVolumeUnknown", "VaultDisksNotHeard")
    report.write(live.folder, [], utcnow())
    eventually(lambda: set(live.firing()) == {"VaultWatchdog", "VaultVolumeUnknown"}, what=live.firing)
    z = live.bench.running.volumes["z"]
    z.initialise(VolumeIdentity(uuid4(), "z", z.domain, z.site, live.bench.settings.node.name, utcnow()))
    live.ends("VaultVolumeUnknown")
    told = live.alertmanager
    eventually(lambda: len(told.names("dead-mans-switch")) > 2)
    assert all(names == {"VaultWatchdog"} for names in told.names("dead-mans-switch"))
    others = {"VaultExporterDown", "VaultDisksNotHeard"}  # a first scrape that took long
    assert [names for names in told.names("pages") if names - others] == []


def drive(serial, document=None):
    return dict(document or ata()) | {"serial_number": serial, "wwn": {}}


def test_disks(live):
    def told(*documents, age=timedelta(minutes=1)):
        entries = []
        for document in documents:
            silent = isinstance(document, str)
            known = identity(document if silent else document["serial_number"], "", "M")
            reading = Reading.HUNG if silent else Reading.READ
            entries.append(report.Entry("/dev/sdx", "sat", known, reading, {} if silent else document, Second()))
        report.write(live.folder, entries, utcnow() - age)

    well = [drive(serial) for serial in (*DISKS.values(), "DISK-E")]
    told(*well, age=timedelta(minutes=10))
    eventually(lambda: live.prometheus.query('vault_disk_present{serial="DISK-E"} == 1'))
    failing = drive("DISK-A", attribute(5, value=5, worst=5, when_failed="now", raw=2000))
    failed = drive("DISK-B", ata(smart_status={"passed": False}))
    tested = {"table": [{"type": {"value": 2}, "status": {"value": 0}, "lifetime_hours": 3000}]}  # of 13,114
    watch = drive("DISK-C", attribute(197, ata(ata_smart_self_test_log={"extended": tested}), raw=3))
    told(failing, failed, watch, "DISK-D", age=timedelta(minutes=5))
    firing = live.fires(*DISK_ALERTS)
    overdue = {(labels["serial"], labels["kind"]) for labels in firing["VaultDiskSelfTestOverdue"]}
    assert overdue == {("DISK-C", "short"), ("DISK-C", "long")}
    assert {labels["serial"] for name in DISK_ALERTS for labels in firing.get(name, [])} <= {*DISKS.values(), "DISK-E"}
    told(*well, age=timedelta(hours=3))
    live.fires("VaultDisksNotHeard")
    assert "VaultDiskUnknown" not in live.firing(), "one helper that is silent is one alert, and not one for each disk"
    told(*well, age=timedelta(seconds=1))
    live.ends(*DISK_ALERTS, "VaultDisksNotHeard")


def test_arrays(live):
    machine = Sysfs(live.folder / "sys")
    machine.disk("sda", "A")
    (live.folder / "proc").mkdir()
    well = {"array_state": "clean", "degraded": 0, "raid_disks": 2, "sync_action": "idle", "mismatch_cnt": 0,
            "sync_min": 0, "last_sync_action": "none"}  # fmt: skip
    machine.array("md0", ["sda"], **(well | {"degraded": 1}))
    machine.array("md1", ["sda"], **(well | {"mismatch_cnt": 128}))
    machine.array("md2", ["sda"], **(well | {"array_state": ""}))
    live.watch._array_listener.look = lambda: arrays(machine.root, live.folder / "proc")
    firing = live.fires("VaultArrayDegraded", "VaultArrayErrors", "VaultArrayUnknown")
    assert [labels["array"] for labels in firing["VaultArrayUnknown"]] == ["md2"]
    machine.write("md2", md__array_state="clean")
    assert [labels["array"] for labels in firing["VaultArrayDegraded"]] == ["md0"]
    machine.write("md0", md__degraded=0)
    machine.write("md1", md__mismatch_cnt=0)
    with live.bench.running.catalogue.write() as tx:
        long_ago = to_text(tx.now - timedelta(days=60))
        facts.put(tx, "array-history", {"md0": {"first_seen": long_ago, "checked_at": None, "checking": False}})
    live.fires("VaultArrayScrubOverdue")
    machine.write("md0", md__sync_action="check", md__last_sync_action="check", md__sync_completed="1 / 100")
    live.ends("VaultArrayScrubOverdue")
    machine.write("md0", md__sync_action="idle", md__sync_completed="none")
    eventually(lambda: live.prometheus.query('time() - vault_array_last_check_timestamp_seconds{array="md0"} < 600'))
    live.ends("VaultArrayDegraded", "VaultArrayErrors", "VaultArrayUnknown")


def test_a_file_system_that_hangs(live):
    before = live.watch._prober
    live.watch._prober = Prober(0.2, (sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"))
    live.fires("VaultVolumeStruggles")
    live.watch._prober = before
    live.ends("VaultVolumeStruggles")


def test_volumes_that_are_full_or_can_only_be_read(live):
    require_mounts()
    point = live.folder / "t"
    filler = point / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(b"x" * 65536)
    live.fires("VaultVolumeFull", "VaultVolumeFilling")
    filler.unlink()
    live.ends("VaultVolumeFull", "VaultVolumeFilling")
    run("mount", "-o", "remount,ro", str(point))
    live.fires("VaultVolumeReadOnly")
    run("mount", "-o", "remount,rw", str(point))
    live.ends("VaultVolumeReadOnly")


def test_damage_that_nothing_can_repair_until_the_package_is_sent_again(live):
    bench = live.bench
    files = bag({"tờ 1.pdf": b"p" * 5000})
    bench.deposit("hồ sơ", tar_of(files), files)
    bench.settle()
    where = [volume for (volume, _), _copy in bench.copies("hồ sơ").items()]
    for volume in where:
        flip(bench.object_path(volume, "hồ sơ") / "v1/content/data/tờ 1.pdf")
    bench.order(identifier="hồ sơ")
    live.fires("VaultCopiesDamaged", "VaultDamageNotRepaired", "VaultNoGoodCopyLeft")
    bench.deposit("hồ sơ", tar_of(files), files)
    live.fires("VaultEvidenceKept")
    bench.settle()
    # One elsewhere may have been begun meanwhile, and is not needed any more.
    assert {copy.state for copy in bench.copies("hồ sơ").values()} - {CopyState.RETIRED} == {CopyState.GOOD}
    live.ends("VaultCopiesDamaged", "VaultDamageNotRepaired", "VaultNoGoodCopyLeft", "VaultEvidenceKept")


def test_a_nas_that_is_dead_is_one_page(live):
    told = live.alertmanager
    before = live.quiet_but()
    live.go_away("c1", "c2")
    firing = live.fires("VaultVolumeOffline")
    eventually(lambda: len(live.firing()["VaultVolumeOffline"]) == 2)
    assert {labels["domain"] for labels in firing["VaultVolumeOffline"]} == {"nas-c"}

    def pages():
        # That something of the node before this has ended may be told late; it is another message.
        return [body for to, body in told.told[before:] if to == "pages" and "domain" in body["groupLabels"]]

    eventually(pages)
    live.come_back("c1", "c2")
    live.ends("VaultVolumeOffline")
    eventually(lambda: pages()[-1]["status"] == "resolved")
    # One page that is told and ends; that one of the two is back a moment before the other may be said in between.
    assert len({body["groupKey"] for body in pages()}) == 1
    assert (pages()[0]["status"], len(pages()[0]["alerts"])) == ("firing", 2)
    assert [body["status"] for body in pages()].count("resolved") == 1
    assert live.told_since(before) == {"VaultVolumeOffline", "VaultWatchdog"}


def test_what_comes_with_volumes_that_are_away_is_told_by_prometheus_and_not_by_mail(live):
    bench = live.bench
    others = [volume.name for volume in bench.settings.volumes if volume.name not in ("a", "t")]
    mounted = "t" in bench.running.volumes
    if mounted:
        run("mount", "-o", "remount,ro", str(live.folder / "t"))
        bench.wait_for("t", Condition.READ_ONLY)
    before = live.quiet_but("VaultVolumeReadOnly")
    live.go_away(*others)
    live.fires("VaultVolumeOffline")
    eventually(lambda: {"VaultVolumeOffline"} in live.alertmanager.names("pages")[-1:])
    files = bag({"x": b"1"})
    bench.deposit("một bản", tar_of(files), files)
    live.sql("UPDATE ingests SET created_at = :then WHERE state = 'stored'", then=to_text(utcnow() - timedelta(days=2)))
    live.go_away("a")
    # Only now: a volume that is there would read its copies at once, and which volumes hold any is not this test's.
    long_ago = to_text(utcnow() - timedelta(days=30))
    live.sql("UPDATE copies SET due_at = :then WHERE due_at IS NOT NULL", then=long_ago)
    with contextlib.suppress(VaultError):
        bench.deposit("không nơi nào", tar_of(files), files)
    bench.running.keep_checkpoint()
    found = (
        "VaultVolumeOffline", "VaultVersionsBelowPolicy", "VaultReceiptsWaiting", "VaultDepositsFailing",
        "VaultLedgerCheckpointNowhere", "VaultVerificationOverdue",
    )  # fmt: skip
    live.fires(*found)
    told = live.told_since(before)
    live.come_back("a", *others)
    if mounted:
        run("mount", "-o", "remount,rw", str(live.folder / "t"))
    bench.settle()
    bench.running.keep_checkpoint()
    live.ends(*found)
    assert told <= {"VaultWatchdog", "VaultVolumeOffline", "VaultVolumeReadOnly"}


def test_a_ledger_that_was_changed(live):
    live.bench.running.keep_checkpoint()
    (event, *_) = reversed(live.bench.events(EventType.CHECKPOINT))
    assert live.bench.running.proof.look().intact
    change = "UPDATE events SET time = :then WHERE seq = :seq"
    live.sql(change, then=to_text(utcnow() - timedelta(days=9)), seq=event.seq)
    live.bench.running.proof.look()
    live.fires("VaultLedgerBroken", "VaultLedgerCheckpointStale")
    live.sql(change, then=to_text(event.time), seq=event.seq)
    assert live.bench.running.proof.look().intact
    live.ends("VaultLedgerBroken", "VaultLedgerCheckpointStale")


def test_a_token_that_ends_and_a_volume_that_is_too_slow(live):
    with live.bench.running.catalogue.write() as tx:
        token, _ = tokens.create(tx, "kho", [Scope.DEPOSIT], tx.now + timedelta(days=1))
        tokens.touch(tx, token.id)
        append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "node:test"))
        slow = {"held": 1, "speed": 1.0, "days": 100.0, "interval": 90.0}
        facts.put(tx, "fixity-forecast", {"a": slow, "b": slow | {"days": 1.0}})
    firing = live.fires("VaultTokenExpiring", "VaultVerificationTooSlow")
    assert [labels["volume"] for labels in firing["VaultVerificationTooSlow"]] == ["a"]
    with live.bench.running.catalogue.write() as tx:
        tokens.revoke(tx, "kho")
        append(tx, NewEvent(EventType.TOKEN_REVOKED, Outcome.SUCCESS, "node:test"))
        facts.put(tx, "fixity-forecast", {"a": slow | {"days": 1.0}})
    live.ends("VaultTokenExpiring", "VaultVerificationTooSlow")


def test_work_that_does_not_move(live, monkeypatch):
    monkeypatch.setattr(daemon, "STALLED_AFTER", timedelta(seconds=1))
    released = threading.Event()
    volume = live.bench.running.volumes[next(iter(live.bench.copies("hồ sơ")))[0]]
    check = volume.check

    def hanging(*arguments, **options):
        released.wait(120)
        return check(*arguments, **options)

    monkeypatch.setattr(volume, "check", hanging)
    live.bench.order(identifier="hồ sơ")
    live.fires("VaultTasksStalled")
    released.set()
    live.bench.settle()
    live.ends("VaultTasksStalled")


def test_scheduled_work_that_falls_silent(live):
    scheduler = live.bench.running.clock._scheduler
    scheduler.pause()
    live.fires("VaultScheduleSilent")
    scheduler.resume()
    live.ends("VaultScheduleSilent")


def test_a_catalogue_that_does_not_answer_and_a_node_that_does_not(live):
    before = live.quiet_but()
    live.sql("ALTER TABLE schedules RENAME TO hidden")
    live.fires("VaultCollectorBlind")
    live.sql("ALTER TABLE hidden RENAME TO schedules")
    live.ends("VaultCollectorBlind")
    live.bench.shut_door()
    live.fires("VaultExporterDown")
    live.bench.open_door()
    live.ends("VaultExporterDown")
    assert live.told_since(before) <= {"VaultWatchdog", "VaultCollectorBlind", "VaultExporterDown"}


def test_every_alert_was_seen_and_none_is_left(live):
    unseen = set(alerts()) - live.seen - ELSEWHERE
    assert unseen == (set() if may_mount() else ON_TMPFS)
    live.ends(*(set(alerts()) - {"VaultWatchdog"}))
