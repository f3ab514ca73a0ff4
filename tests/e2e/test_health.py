"""What a disk says of itself reaches the volume that stands on it, and what follows for its copies."""

import dataclasses
import sys
import threading
import time
from datetime import timedelta

import pytest

from hardware.arrays import Array, ArrayState
from hardware.blocks import Block
from hardware.inventory import Change, Device, Event, Role
from hardware.mounts import Mount
from hardware.shares import Prober
from hardware.smart import report
from hardware.smart.facts import Reading
from hardware.smart.parse import identity
from hardware.smart.second import Second
from hardware.stack import Kind, Layer, Stack
from tests.support.drives import ata, attribute, sas
from tests.support.nodes import Bench, bag, eventually, tar_of
from vault import daemon
from vault.api.door import Door
from vault.catalog import disks, verifications, volumes
from vault.clock import utcnow
from vault.device_model import DiskDay, Health
from vault.health import sources
from vault.model import EventType

SERIALS = {"a": "DISK-A", "b": "DISK-B", "c": "DISK-C"}


def drive(serial, document=None):
    found = dict(document or ata())
    found |= {"serial_number": serial, "wwn": {}}
    return found


def block(serial):
    return Block("sd" + serial[-1].lower(), serial, "", "ST16000NM001G", 10**13, rotational=True)


class Devices:
    """A node whose volumes stand on disks of our making."""

    def __init__(self, folder):
        self.report = folder / "disks.json"
        self.bench = Bench(folder, ("a", "b", "c"), extra=f'[health]\nreport = "{self.report}"\ninterval = "1h"')
        self.now = utcnow() - timedelta(minutes=20)

    def __enter__(self):
        self.bench.start()
        self.watch = self.bench.running.health
        self.watch._stack = self.stack
        # Whose copies go where, and what is asked about whom, hangs on all three being there.
        eventually(lambda: all((row := self.volume(name)) and row.condition == "online" for name in SERIALS))
        return self

    def __exit__(self, *_):
        self.bench.stop()

    def stack(self, path):
        name = path.rsplit("/", 1)[1]
        disk = block(SERIALS[name])
        return Stack(path, None, (Layer(Kind.DISK, disk.name, disk.serial, 0),), (disk,))

    def told(self, *documents, age=None):
        """The helper reported these (a document, a serial number and how the reading went, or an entry)."""
        self.now = utcnow() - age if age else self.now + timedelta(seconds=60)
        entries = []
        for document in documents:
            if isinstance(document, report.Entry):
                entry = document
            elif isinstance(document, tuple):
                serial, reading = document
                entry = report.Entry("/dev/sdx", "sat", identity(serial, "", "M"), reading, {}, Second())
            else:
                known = identity(document["serial_number"], "", "M")
                entry = report.Entry("/dev/sdx", "sat", known, Reading.READ, document, Second())
            entries.append(entry)
        report.write(self.report.parent, entries, self.now)
        self.watch.look()
        return self

    def disk(self, serial):
        with self.bench.running.catalogue.read() as tx:
            return next((disk for disk in disks.all(tx) if disk.key == serial), None)

    def volume(self, name):
        with self.bench.running.catalogue.read() as tx:
            return volumes.get(tx, name)

    def orders(self):
        with self.bench.running.catalogue.read() as tx:
            return [order.volume for order in verifications.listing(tx, limit=100)]

    def running_orders(self):
        with self.bench.running.catalogue.read() as tx:
            return verifications.running(tx)

    def changes(self):
        return [event.detail for event in self.bench.events(EventType.DEVICE_CHANGED)]


@pytest.fixture
def health(tmp_path):
    with Devices(tmp_path) as found:
        yield found


ALL_WELL = [drive(serial) for serial in SERIALS.values()]
FAILING = attribute(5, value=5, worst=5, when_failed="now", raw=2000)


def test_nothing_is_known_until_somebody_asked(health):
    health.watch.look()
    assert {health.volume(name).health for name in SERIALS} == {Health.UNKNOWN}
    assert "no" in health.watch.hearing.problem
    assert b"vault_disk_report_fresh 0.0" in daemon._exporter(health.bench.running, Door(None)).render("")[0]
    assert health.changes() == []


def test_a_failing_disk_lowers_its_volume_and_has_it_verified(health):
    health.told(*ALL_WELL)
    assert {health.volume(name).health for name in SERIALS} == {Health.HEALTHY}
    health.told(drive("DISK-A", FAILING), *ALL_WELL[1:])
    a = health.volume("a")
    assert a.health is Health.FAILING
    assert "DISK-A" in a.health_reason
    assert "below its vendor's threshold" in a.health_reason
    assert health.volume("b").health is Health.HEALTHY
    assert health.orders() == ["a"]
    assert health.changes()[-1]["key"] == "DISK-A"
    assert (health.changes()[-1]["was"], health.changes()[-1]["is"]) == ("healthy", "failing")
    changed = [event for event in health.bench.events(EventType.VOLUME_CHANGED, volume="a") if "health" in event.detail]
    assert changed[-1].detail["health"] == {"was": "healthy", "is": "failing"}
    health.bench.assert_ledger()


@pytest.mark.parametrize("bridge", ["BRIDGE-A", ""])
def test_a_failing_disk_behind_a_usb_bridge_lowers_its_volume(health, bridge):
    """The kernel knows the bridge's serial number, or none; the disk's own only smartctl comes to know."""
    below = Block("sda", bridge, "", "USB3 SATA", 10**13, rotational=True)
    health.watch._stack = lambda path: Stack(path, None, (), (below if path.endswith("/a") else block("DISK-B"),))
    kernel = identity(bridge, "", "USB3 SATA")
    health.told(report.Entry("/dev/sda", "", kernel, Reading.READ, ata(wwn={}), Second()), drive("DISK-B"))
    assert (health.volume("a").health, health.volume("b").health) == (Health.HEALTHY, Health.HEALTHY)
    health.told(report.Entry("/dev/sda", "", kernel, Reading.READ, FAILING | {"wwn": {}}, Second()), drive("DISK-B"))
    assert (health.volume("a").health, health.volume("b").health) == (Health.FAILING, Health.HEALTHY)
    assert health.orders() == ["a"]
    # It hangs: what was wrong with it still is, and it is no other disk.
    health.told(report.Entry("/dev/sda", "", kernel, Reading.HUNG, {}, Second()), drive("DISK-B"))
    assert (health.volume("a").health, health.disk("ZL20ABCD").health) == (Health.FAILING, Health.FAILING)
    assert health.disk("ZL20ABCD").present
    # Another disk in its place, before it is in a report: nothing is known of that one.
    other = Block("sda", "BRIDGE-B", "", "USB3 SATA", 10**13, rotational=True)
    health.watch._stack = lambda path: Stack(path, None, (), (other,))
    health.watch.look()
    assert health.volume("a").health is Health.UNKNOWN


def test_a_disk_that_is_hot_and_cool_by_turns_has_its_volume_read_through_once(health):
    hot = ata(temperature={"current": 61, "op_limit_max": 60})
    health.told(*ALL_WELL)
    for _ in range(3):
        health.told(drive("DISK-A", hot), *ALL_WELL[1:])
        assert health.volume("a").health is Health.WATCH
        eventually(lambda: not health.running_orders())
        health.told(*ALL_WELL)
        assert health.volume("a").health is Health.HEALTHY
    assert health.orders() == ["a"]
    # Worse than that is news.
    health.told(drive("DISK-A", FAILING), *ALL_WELL[1:])
    assert health.orders() == ["a", "a"]


def test_the_same_news_twice_is_no_news(health):
    health.told(drive("DISK-A", FAILING), *ALL_WELL[1:])
    before = health.bench.last_event(), health.orders()
    for _ in range(3):
        health.watch.look()
    eventually(health.orders)
    health.told(drive("DISK-A", FAILING), *ALL_WELL[1:])
    assert [*health.orders()] == before[1]
    assert len(health.changes()) == 3  # each disk once, when it was first seen


def test_new_copies_go_elsewhere(health):
    health.told(drive("DISK-A", attribute(197, raw=3)), *ALL_WELL[1:])
    assert health.volume("a").health is Health.WATCH
    for number in range(3):
        health.bench.deposit(f"hồ sơ {number}", tar_of(bag({"x": b"%d" % number})))
    health.bench.settle()
    assert {copy.volume for copy in health.bench.all_copies()} == {"b", "c"}


def test_copies_go_to_a_doubtful_volume_rather_than_nowhere(health):
    health.told(drive("DISK-A", FAILING), drive("DISK-B", FAILING), ALL_WELL[2])
    health.bench.deposit("hồ sơ", tar_of(bag({"x": b"1"})))
    health.bench.settle()
    assert health.bench.below_policy() == []


def test_growth_is_seen_over_days_and_history_is_bounded(health):
    for days, value in ((500, 1), (10, 4), (6, 5), (3, 6)):
        health.now = utcnow() - timedelta(days=days)
        with health.bench.running.catalogue.write() as tx:
            day = DiskDay("DISK-A", health.now.date(), Health.WATCH, {"reallocated_sectors": value})
            disks.put_day(tx, day)
    health.now = utcnow() - timedelta(minutes=10)
    health.told(drive("DISK-A", attribute(5, raw=7)))
    assert health.disk("DISK-A").health is Health.FAILING
    with health.bench.running.catalogue.read() as tx:
        kept = disks.history(tx, utcnow().date() - timedelta(days=1000))["DISK-A"]
    assert [day.readings["reallocated_sectors"] for day in kept] == [4, 5, 6, 7]


def test_one_day_has_one_row(health):
    health.told(*ALL_WELL).told(*ALL_WELL)
    with health.bench.running.catalogue.read() as tx:
        assert len(disks.history(tx, utcnow().date() - timedelta(days=9))["DISK-A"]) == 1


def test_a_disk_that_sleeps_is_as_it_fell_asleep(health):
    health.told(*ALL_WELL)
    health.told(("DISK-A", Reading.ASLEEP), *ALL_WELL[1:])
    assert health.disk("DISK-A").health is Health.HEALTHY
    assert health.volume("a").health is Health.HEALTHY
    assert health.disk("DISK-A").read_at < health.now


@pytest.mark.parametrize("reading", [Reading.HUNG, Reading.DENIED, Reading.ABSENT, Reading.UNREADABLE])
def test_a_disk_that_does_not_speak_is_unknown_and_no_failure(health, reading):
    health.told(*ALL_WELL)
    health.told(("DISK-A", reading), *ALL_WELL[1:])
    assert health.disk("DISK-A").health is Health.UNKNOWN
    assert health.volume("a").health is Health.UNKNOWN
    assert health.orders() == []


def test_what_was_wrong_with_a_disk_is_not_forgotten_when_it_falls_silent(health):
    health.told(drive("DISK-A", FAILING), *ALL_WELL[1:])
    health.told(("DISK-A", Reading.HUNG), *ALL_WELL[1:])
    assert health.disk("DISK-A").health is Health.FAILING
    assert [row["code"] for row in health.disk("DISK-A").reasons][-1] == "does-not-answer"
    health.told(*ALL_WELL[1:])
    assert (health.disk("DISK-A").present, health.disk("DISK-A").health) == (False, Health.FAILING)
    assert health.changes()[-1]["present"] is False


def test_when_the_helper_falls_silent_nothing_is_healthy_any_more(health):
    health.told(drive("DISK-A", FAILING), *ALL_WELL[1:])
    health.told(drive("DISK-A", FAILING), *ALL_WELL[1:], age=timedelta(hours=3))
    assert health.watch.hearing.fresh is False
    assert "systemctl status" in health.watch.hearing.remedy
    assert health.disk("DISK-A").health is Health.FAILING
    assert {health.disk(serial).health for serial in ("DISK-B", "DISK-C")} == {Health.UNKNOWN}
    health.told(*ALL_WELL, age=timedelta(minutes=1))
    assert {health.disk(serial).health for serial in SERIALS.values()} == {Health.HEALTHY}


def test_a_report_grows_old_also_while_the_next_round_hangs(health):
    health.told(*ALL_WELL, age=timedelta(minutes=5))
    assert health.watch.hearing.fresh
    health.watch._settings = health.watch._settings.model_copy(update={"stale_after": timedelta(minutes=1)})
    with health.watch._turn:  # as a round holds it that does not come to its end
        assert not health.watch.hearing.fresh
        assert "systemctl status" in health.watch.hearing.remedy
        assert b"vault_disk_report_fresh 0.0" in daemon._exporter(health.bench.running, Door(None)).render("")[0]


def test_a_disk_that_was_forgotten_does_not_come_back_by_its_name_alone(health):
    health.told(("DISK-A", Reading.ABSENT), *ALL_WELL[1:])
    assert health.disk("DISK-A") is None
    health.told(*ALL_WELL)
    health.told(("DISK-A", Reading.ABSENT), *ALL_WELL[1:])
    assert health.disk("DISK-A").present is False


NO_TIME = '{"format": 1, "taken_at": "%s", "disks": []}'


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", NO_TIME % "x", NO_TIME % "0001-01-01T00:00:00+14:00", NO_TIME % "9999-12-31T23:00:00Z"]
)
def test_a_report_that_is_none_is_said_and_believed_in_nothing(health, text):
    health.told(*ALL_WELL)
    health.report.write_text(text)
    health.watch.look()
    assert health.watch.hearing.problem
    assert health.watch.hearing.taken_at is None
    assert {health.disk(serial).health for serial in SERIALS.values()} == {Health.UNKNOWN}


def test_a_volume_on_disks_that_nobody_knows_is_unknown(health):
    health.told(ALL_WELL[0])
    assert (health.volume("a").health, health.volume("b").health) == (Health.HEALTHY, Health.UNKNOWN)


def test_the_worst_of_an_array_decides_and_a_mended_one_is_well_again(health):
    both = block("DISK-A"), block("DISK-B")
    health.watch._stack = lambda path: Stack(path, None, (), both)
    health.told(drive("DISK-A", FAILING), *ALL_WELL[1:])
    assert {health.volume(name).health for name in SERIALS} == {Health.FAILING}
    assert sorted(health.orders()) == ["a", "b", "c"]
    health.told(*ALL_WELL)
    assert {health.volume(name).health for name in SERIALS} == {Health.HEALTHY}


def test_an_array_that_lost_a_disk_lowers_the_volumes_on_it_until_it_is_rebuilt(health):
    health.told(*ALL_WELL)
    array = Array("md0", "md", "raid1", ArrayState.DEGRADED, 1)
    layer = Layer(Kind.MD, "md0", "", 1)
    plain = health.stack
    health.watch._stack = lambda path: (
        dataclasses.replace(plain(path), layers=(layer,)) if path.endswith("/a") else plain(path)
    )
    health.watch._array_listener.look = lambda: [array]
    health.watch.look()
    assert (health.volume("a").health, health.volume("b").health) == (Health.FAILING, Health.HEALTHY)
    assert "md0" in health.volume("a").health_reason
    assert health.orders() == ["a"]
    health.watch._array_listener.look = lambda: [dataclasses.replace(array, state=ArrayState.WELL, missing=0)]
    health.watch.look()
    assert health.volume("a").health is Health.HEALTHY


def test_what_is_plugged_in_and_out_is_in_the_ledger(health):
    disk = Device(Role.DISK, "DISK-Z", "/dev/sdz", "ST16000", "DISK-Z", "")
    looked = health.bench.running.devices
    before = health.bench.last_event()
    looked.told([Event(Change.REMOVED, disk)])
    (event,) = health.bench.events(EventType.DEVICE_CHANGED, after=before)
    assert (event.detail["change"], event.detail["key"], str(event.outcome)) == ("removed", "DISK-Z", "warning")
    looked.told([Event(Change.ADDED, disk)] * 150)
    events = health.bench.events(EventType.DEVICE_CHANGED, after=event.seq)
    assert len(events) == 101
    assert events[-1].detail["number"] == 50
    assert looked.counted == {("disk", "removed"): 1, ("disk", "added"): 150}
    health.bench.assert_ledger()


def test_two_volumes_on_one_disk_are_one(health, monkeypatch):
    import vault.custody.watch as custody_watch

    stacks = {"a": (block("DISK-A"),), "b": (block("DISK-A"),), "c": (block("DISK-C"),)}
    monkeypatch.setattr(custody_watch, "stack_of", lambda path: Stack(path, None, (), stacks[path.rsplit("/", 1)[1]]))
    devices = iter(range(100, 10_000))
    real = type(health.bench.running.volumes["a"]).probe
    monkeypatch.setattr(type(health.bench.running.volumes["a"]), "probe",
                        lambda self: dataclasses.replace(real(self), device=next(devices)))  # fmt: skip
    node = health.bench.settings.node.model_copy(update={"accept_shared_devices": False})
    health.bench.restart(dataclasses.replace(health.bench.settings, node=node))
    eventually(lambda: "(disk DISK-A)" in health.volume("b").condition_reason)
    eventually(lambda: str(health.volume("c").condition) == "online")
    assert str(health.volume("a").condition) == "online"


def test_another_firmware_below_a_volume_has_it_verified(tmp_path):
    with Devices(tmp_path) as made:
        bench = made.bench
        bench.deposit("hồ sơ", b"one", filename="x")
        bench.settle()
        made.told(*(drive(serial, ata() | {"firmware_version": "SN01"}) for serial in SERIALS.values()))
        assert not bench.events(EventType.VERIFICATION_REQUESTED)
        # Which two of the three have a copy is a matter of a few free bytes.
        name = bench.all_copies()[0].volume
        serial = SERIALS[name]
        newer = {serial: "SN02"}
        made.told(*(drive(s, ata() | {"firmware_version": newer.get(s, "SN01")}) for s in SERIALS.values()))
        (asked,) = bench.events(EventType.VERIFICATION_REQUESTED)
        assert (asked.volume, asked.detail["copies"]) == (name, 1)
        assert "firmware" in asked.detail["why"]
        (told,) = [e for e in bench.events(EventType.VOLUME_CHANGED, volume=name) if "disks" in e.detail]
        assert told.detail["disks"] == {"was": {serial: "SN01"}, "is": {serial: "SN02"}}
        made.watch.look()
        assert len(bench.events(EventType.VERIFICATION_REQUESTED)) == 1, "once for each change"


def test_a_firmware_that_was_not_known_before_is_no_other_one(health):
    """Nor are those of SAS disks, which an older helper did not report."""
    health.told(*(drive(serial, sas()) for serial in SERIALS.values()))
    health.told(*(drive(serial, sas(scsi_revision="A907")) for serial in SERIALS.values()))
    assert health.orders() == []
    health.told(
        drive("DISK-A", sas(scsi_revision="A90B")), *(drive(s, sas(scsi_revision="A907")) for s in ("DISK-B", "DISK-C"))
    )
    assert [e.detail["disks"] for e in health.bench.events(EventType.VOLUME_CHANGED) if "disks" in e.detail] == [
        {"was": {"DISK-A": "A907"}, "is": {"DISK-A": "A90B"}}
    ]


def test_another_export_in_the_place_of_a_volume_is_named(health, monkeypatch):
    """Both sources are said, and it is an outage: nothing becomes damaged or missing."""
    mounted = {name: f"nas:/{name}" for name in SERIALS}
    probe = health.watch._prober.probe

    def from_a_server(path):
        source = mounted[path.rsplit("/", 1)[1]]
        return dataclasses.replace(probe(path), mount=Mount(path, "nfs4", source))

    monkeypatch.setattr(health.watch._prober, "probe", from_a_server)
    bench = health.bench
    bench.deposit("hồ sơ", b"one", filename="x")
    bench.settle()
    before = {key: copy.state for key, copy in bench.copies("hồ sơ").items()}

    def looked(state):
        health.watch.look()
        return health.watch.shares["a"].state == state

    eventually(lambda: looked("well") and sources_of(bench).get("a") == "nas:/a")
    folder = bench.path("a")
    folder.rename(folder.with_name("a.away"))
    folder.mkdir()
    mounted["a"] = "nas:/other"
    eventually(lambda: looked("wrong-export"))
    assert health.watch.shares["a"].expected == "nas:/a"
    folder.rmdir()
    folder.with_name("a.away").rename(folder)
    eventually(lambda: looked("well"))
    assert {key: copy.state for key, copy in bench.copies("hồ sơ").items()} == before
    (moved,) = [event.detail for event in bench.events(EventType.VOLUME_CHANGED, volume="a") if "mount" in event.detail]
    assert moved["mount"] == {"was": "nas:/a", "is": "nas:/other"}


def sources_of(bench):
    with bench.running.catalogue.read() as tx:
        return sources.read(tx)


def test_disks_that_swap_their_names_keep_their_histories(health):
    """After a reboot sda is another disk: the errors of one are not taken for growth of the other."""

    def reported(at, **devices):
        health.now = at
        documents = {"DISK-A": attribute(5, raw=40), "DISK-B": attribute(5, raw=2)}
        entries = [
            report.Entry(f"/dev/{device}", "sat", identity(serial, "", "M"), Reading.READ,
                         drive(serial, documents[serial]), Second())
            for device, serial in devices.items()
        ]  # fmt: skip
        report.write(health.report.parent, entries, at)
        health.watch.look()
        return {serial: health.disk(serial).device for serial in devices.values()}

    now = utcnow()
    for serial, value in (("DISK-A", 40), ("DISK-B", 2)):
        with health.bench.running.catalogue.write() as tx:
            day = DiskDay(serial, (now - timedelta(days=3)).date(), Health.WATCH, {"reallocated_sectors": value})
            disks.put_day(tx, day)
    before = reported(now - timedelta(minutes=20), sda="DISK-A", sdb="DISK-B")
    assert before == {"DISK-A": "/dev/sda", "DISK-B": "/dev/sdb"}
    verdicts = {serial: health.disk(serial).health for serial in before}
    after = reported(now - timedelta(minutes=10), sda="DISK-B", sdb="DISK-A")
    assert after == {"DISK-A": "/dev/sdb", "DISK-B": "/dev/sda"}
    assert {serial: health.disk(serial).health for serial in after} == verdicts
    assert "counter-grew" not in {row["code"] for serial in after for row in health.disk(serial).reasons}
    with health.bench.running.catalogue.read() as tx:
        kept = disks.history(tx, (now - timedelta(days=9)).date())
    assert {serial: {day.readings["reallocated_sectors"] for day in days} for serial, days in kept.items()} == {
        "DISK-A": {40}, "DISK-B": {2},
    }  # fmt: skip


def test_a_file_system_that_hangs_stalls_neither_a_scrape_nor_the_shutdown(tmp_path):
    with Devices(tmp_path) as made:
        released, asked = tmp_path / "released", tmp_path / "asked"
        waits = (
            "import os, sys, time\n"
            f"open({str(asked)!r}, 'a').close()\n"
            f"while not os.path.exists({str(released)!r}): time.sleep(0.05)\n"
        )
        made.watch._prober = Prober(50, (sys.executable, "-I", "-S", "-c", waits))
        looking = threading.Thread(target=made.watch.look_soon)
        looking.start()
        try:
            eventually(asked.exists)
            metrics = daemon._exporter(made.bench.running, Door(None)).render
            began = time.monotonic()
            assert b"vault_collector_up 1.0" in metrics("")[0]
            made.bench.stop()
            assert time.monotonic() - began < 20
            assert looking.is_alive(), "it hung all the while"
        finally:
            released.touch()
            looking.join(30)
        assert not looking.is_alive()
