"""Plugs devices in and out before an Inventory, and prints what it told: a line of JSON for each burst.

Runs under Debian's Python inside ``umockdev-wrapper``. Arguments: the name of a scenario below, and a folder for it.
"""

import collections
import json
import queue
import sys
import threading
import types

import gi
import structlog
from prometheus_client.parser import text_string_to_metric_families

gi.require_version("UMockdev", "1.0")
from gi.repository import UMockdev  # noqa: E402

from hardware import inventory  # noqa: E402
from hardware.inventory import Inventory  # noqa: E402
from monitoring.collector import Collector  # noqa: E402
from monitoring.devices import Heard  # noqa: E402
from monitoring.exporter import Exporter  # noqa: E402
from vault.catalog import Catalogue  # noqa: E402
from vault.health.devices import DeviceWatch  # noqa: E402
from vault.ledger import events  # noqa: E402
from vault.model import EventType  # noqa: E402
from vault.telemetry import Telemetry  # noqa: E402


class Machine:
    def __init__(self):
        self.testbed = UMockdev.Testbed.new()
        self.host = self.testbed.add_device("pci", "0000:00:1f.2", None, ["vendor", "0x8086"], ["DRIVER", "mpt3sas"])
        self.places = {}
        self.told = queue.Queue()
        self.inventory = Inventory(self.tell, look_seconds=600)

    def tell(self, events):
        self.told.put([(str(e.change), str(e.device.role), e.device.key, e.device.node) for e in events])

    def scsi(self, address, kind, vendor, model):
        attributes = ["type", str(kind), "vendor", vendor, "model", model, "rev", "A1", "state", "running"]
        return self.testbed.add_device("scsi", address, self.host, attributes, ["DEVTYPE", "scsi_device"])

    def disk(self, name, serial, number, *, tell=True):
        parent = self.scsi(f"0:0:{number}:0", 0, "ATA", "ST16000NM001G")
        properties = ["DEVNAME", f"/dev/{name}", "DEVTYPE", "disk", "MAJOR", "8", "MINOR", str(number * 16),
                      "ID_SERIAL_SHORT", serial, "ID_WWN", f"0x5000c500{number:08x}"]  # fmt: skip
        place = self.testbed.add_device("block", name, parent, ["size", "2048", "queue/rotational", "1"], properties)
        self.places[name] = [place, parent]
        if tell:
            self.testbed.uevent(place, "add")

    def tape(self, number, serial):
        parent = self.scsi(f"1:0:{number}:0", 1, "IBM", "ULTRIUM-HH8")
        properties = [
            "DEVNAME",
            f"/dev/nst{number}",
            "MAJOR",
            "9",
            "MINOR",
            str(128 + number),
            "ID_SERIAL_SHORT",
            serial,
        ]
        place = self.testbed.add_device("scsi_tape", f"nst{number}", parent, [], properties)
        self.places[f"nst{number}"] = [place, parent]
        self.testbed.uevent(place, "add")

    def changer(self, number, serial, *, tell=True):
        parent = self.scsi(f"2:0:{number}:0", 8, "IBM", "3573-TL")
        properties = ["DEVNAME", f"/dev/sch{number}", "ID_SERIAL_SHORT", serial]
        place = self.testbed.add_device("scsi_changer", f"sch{number}", parent, [], properties)
        self.places[f"sch{number}"] = [place, parent]
        if tell:
            self.testbed.uevent(place, "add")

    def library(self, number, serial):
        """A changer as the kernel has it: two nodes, and the serial number in a page that libudev cannot read."""
        parent = self.scsi(f"3:0:{number}:0", 8, "IBM", "3573-TL")
        self.testbed.set_attribute_binary(parent, "vpd_pg80", b"\0\x80\0\x0a" + serial.encode())
        sch = self.testbed.add_device("scsi_changer", "sch7", parent, [], ["DEVNAME", "/dev/sch7"])
        properties = ["DEVNAME", "/dev/sg7", "ID_SERIAL", "3" + 31 * "0", "ID_WWN", "0x6000"]
        generic = self.testbed.add_device("scsi_generic", "scsi_generic/sg7", parent, [], properties)
        for place in (sch, generic):
            self.testbed.uevent(place, "add")

    def remove(self, name, *, tell=True):
        place, parent = self.places.pop(name)
        if tell:
            self.testbed.uevent(place, "remove")
        self.testbed.remove_device(place)
        self.testbed.remove_device(parent)

    def until(self, enough, seconds=60, *, told=()):
        """Everything that was told, after ``told``, until ``enough`` of it is true."""
        told = list(told)
        while not enough(told):
            told += self.told.get(timeout=seconds)
        return told


def hotplug(machine):
    machine.disk("sda", "S-A", 0)
    machine.inventory.start()
    machine.disk("sdb", "S-B", 1)
    machine.tape(0, "10WT012345")
    machine.changer(0, "CH0001")
    yield machine.until(lambda told: len(told) == 3)
    place = machine.places["sdb"][0]
    machine.testbed.set_property(place, "DISK_MEDIA_CHANGE", "1")
    machine.testbed.uevent(place, "change")
    yield machine.until(bool)
    machine.remove("nst0")
    yield machine.until(bool)
    machine.library(1, "CH0002")
    yield machine.until(lambda told: any(place == "/dev/sg7" for *_, place in told))


def moved(machine):
    machine.disk("sda", "S-A", 0)
    machine.disk("sdb", "S-B", 1)
    machine.inventory.start()
    # As after a restart of the controller: both go, and come back in the other order.
    for name, serial, wwn in (("sda", "S-B", "0x5000c50000000001"), ("sdb", "S-A", "0x5000c50000000000")):
        place = machine.places[name][0]
        machine.testbed.uevent(place, "remove")
        machine.testbed.set_property(place, "ID_SERIAL_SHORT", serial)
        machine.testbed.set_property(place, "ID_WWN", wwn)
        machine.testbed.uevent(place, "add")
    yield machine.until(lambda told: {row[2] for row in told} == {"S-A", "S-B"})


def storm(machine):
    """Rounds in which disks come, change and go, with a tape drive and a changer; as many in each as the socket of the
    stand-in for udevd takes at once."""
    machine.inventory.start()
    machine.tape(0, "T-0")
    machine.changer(0, "C-0")
    told = machine.until(lambda told: len(told) == 2)
    for turn in range(10):
        for number in range(turn * 3, turn * 3 + 3):
            machine.disk(f"sd{'abcdefghij'[turn]}{number}".replace("0", "z").translate(DIGITS), f"S-{number}", number)
        told = machine.until(counted("added", 3 * turn + 5), told=told)
        first = next(name for name in machine.places if name.startswith("sd"))
        machine.testbed.uevent(machine.places[first][0], "change")
        machine.remove(first)
        told = machine.until(counted("removed", turn + 1), told=told)
    yield sorted(row[2] for row in told if row[0] == "added")
    yield sorted(row[2] for row in told if row[0] == "removed")
    yield sorted(device.key for device in machine.inventory.devices)


DIGITS = str.maketrans("123456789", "bcdefghij")


def counted(change, number):
    return lambda told: sum(row[0] == change for row in told) == number


def overflow(machine):
    """The monitor loses events: what it did not hear of is found all the same."""
    machine.inventory.start()
    machine.disk("sda", "S-A", 0)
    machine.until(bool)
    real, lost = machine.inventory._wait, threading.Event()

    def wait(monitor, seconds):
        if not lost.is_set():
            lost.set()
            machine.disk("sdb", "S-B", 1, tell=False)  # and its event is among the lost
            raise OSError("lost")
        return real(monitor, seconds)

    machine.inventory._wait = wait
    machine.testbed.uevent(machine.places["sda"][0], "change")
    yield machine.until(bool)
    yield machine.inventory.overflows


def kept(machine):
    """Storms of disks, tape drives and changers, and events that are lost; what of it is in the ledger, the metrics and
    the log of a node, and what happened in truth."""
    rung = queue.Queue()
    catalogue = Catalogue.open(f"sqlite:///{sys.argv[2]}/catalog.db")
    catalogue.migrate()
    node = types.SimpleNamespace(catalogue=catalogue, agent="node:test")
    watch = DeviceWatch(node, lambda: rung.put(None), inventory=lambda listener: Inventory(listener, look_seconds=600))
    machine.inventory = watch._inventory
    truth = collections.Counter()

    def happens(role, change, act, *arguments, **options):
        act(*arguments, **options)
        truth[role, change] += 1
        if options.get("tell", True):
            # The testbed's sender dies of a listener that is some messages behind; the kernel's would only lose them.
            settled()

    def in_the_ledger():
        with catalogue.read() as tx:
            return [event.detail for event in events(tx, limit=1000) if event.type == EventType.DEVICE_CHANGED]

    def settled():
        # It is counted first, then written down, and then rung.
        while watch.counted != truth or len(in_the_ledger()) < truth.total():
            rung.get(timeout=60)

    with structlog.testing.capture_logs() as logs:
        watch.start()
        for turn in range(4):
            for number in range(turn * 3, turn * 3 + 3):
                happens("disk", "added", machine.disk, name_of(number), f"S-{number}", number)
            happens("tape-drive", "added", machine.tape, turn, f"T-{turn}")
            happens("changer", "added", machine.changer, turn, f"C-{turn}")
            happens("disk", "removed", machine.remove, name_of(turn * 3))
            happens("tape-drive", "removed", machine.remove, f"nst{turn}")
            if turn % 2:
                happens("changer", "removed", machine.remove, f"sch{turn}")
        real, lost, done = machine.inventory._wait, threading.Event(), threading.Event()

        def wait(monitor, seconds):
            if lost.is_set():
                return real(monitor, seconds)
            lost.set()
            happens("disk", "removed", machine.remove, name_of(1), tell=False)
            happens("changer", "removed", machine.remove, "sch0", tell=False)
            happens("changer", "added", machine.changer, 9, "C-9", tell=False)
            happens("disk", "added", machine.disk, "sdzz", "S-99", 99, tell=False)
            done.set()
            raise OSError("lost")

        machine.inventory._wait = wait
        machine.testbed.uevent(machine.places[name_of(2)][0], "change")
        assert done.wait(60)
        settled()
    told = in_the_ledger()
    heard = Heard(None, fresh=False, volumes={}, present=watch.present, events=watch.counted, overflows=watch.overflows)
    text = Exporter(Collector(catalogue, Telemetry([]), devices=lambda: heard)).render("")[0].decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    yield listed(truth)
    yield listed(collections.Counter((row["device"], row["change"]) for row in told))
    yield listed(collections.Counter((row["role"], row["change"]) for row in logs if row["event"] == "device"))
    yield listed({(s.labels["role"], s.labels["change"]): int(s.value) for s in samples
                  if s.name == "vault_device_events_total"})  # fmt: skip
    yield {s.labels["role"]: int(s.value) for s in samples if s.name == "vault_devices"}
    yield [int(s.value) for s in samples if s.name == "vault_device_overflows_total"]
    yield sorted(row["key"] for row in told if row["change"] == "added")
    catalogue.close()


def name_of(number):
    return f"sd{chr(ord('a') + number // 10)}{chr(ord('a') + number % 10)}"


def listed(counted):
    return sorted([*key, number] for key, number in counted.items())


def no_udevd(machine):
    inventory._UDEVD = inventory.Path("/nowhere/control")
    machine.inventory.start()
    machine.disk("sda", "S-A", 0)
    yield machine.until(bool)


def main():
    machine = Machine()
    scenario = {name: globals()[name] for name in ("hotplug", "moved", "storm", "overflow", "kept", "no_udevd")}[
        sys.argv[1]
    ]
    for told in scenario(machine):
        print(json.dumps(told), flush=True)
    machine.inventory.stop()


main()
