"""Plugs devices in and out before an Inventory, and prints what it told: a line of JSON for each burst.

Runs under Debian's Python inside ``umockdev-wrapper``. Argument: the name of a scenario below.
"""

import json
import queue
import sys
import threading

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import UMockdev  # noqa: E402

from hardware import inventory  # noqa: E402
from hardware.inventory import Inventory  # noqa: E402


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

    def changer(self, number, serial):
        parent = self.scsi(f"2:0:{number}:0", 8, "IBM", "3573-TL")
        properties = ["DEVNAME", f"/dev/sch{number}", "ID_SERIAL_SHORT", serial]
        place = self.testbed.add_device("scsi_changer", f"sch{number}", parent, [], properties)
        self.places[f"sch{number}"] = [place, parent]
        self.testbed.uevent(place, "add")

    def remove(self, name):
        place, parent = self.places.pop(name)
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


def no_udevd(machine):
    inventory._UDEVD = inventory.Path("/nowhere/control")
    machine.inventory.start()
    machine.disk("sda", "S-A", 0)
    yield machine.until(bool)


def main():
    machine = Machine()
    scenario = {name: globals()[name] for name in ("hotplug", "moved", "storm", "overflow", "no_udevd")}[sys.argv[1]]
    for told in scenario(machine):
        print(json.dumps(told), flush=True)
    machine.inventory.stop()


main()
