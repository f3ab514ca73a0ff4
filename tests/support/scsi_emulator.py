"""A tape library and its drives behind ``/dev/sgN``, for programs that know nothing of it.

Runs under Debian's Python inside ``umockdev-wrapper``; answers SG_IO with :mod:`scsi_model`. The first line on standard
input describes the library, each further line is a command and
is answered by one line. Used by :mod:`tests.support.tape`.
"""

import json
import os
import struct
import sys
import threading

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import GLib, UMockdev  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import scsi_model as model  # noqa: E402

SG_IO, SG_GET_VERSION_NUM, SG_SET_TIMEOUT, SCSI_IOCTL_GET_IDLUN = 0x2285, 0x2282, 0x2201, 0x5382
FROM_DEVICE = -3
ENOTTY = 25


def handler(device):
    """Answers the ioctls of one node."""

    def answer(_base, client):
        request = client.get_request()
        if request == SG_GET_VERSION_NUM:
            client.get_arg().resolve(0, 4).update(0, struct.pack("i", 30536))
        elif request == SCSI_IOCTL_GET_IDLUN:
            client.get_arg().resolve(0, 8).update(0, struct.pack("II", 1, 1))
        elif request == SG_IO:
            perform(device, client.get_arg().resolve(0, 88))
        elif request != SG_SET_TIMEOUT:
            client.complete(-1, ENOTTY)
            return True
        client.complete(0, 0)
        return True

    base = UMockdev.IoctlBase()
    base.connect("handle-ioctl", answer)
    return base


def perform(device, header):
    _, direction, command, room, _, length = struct.unpack_from("iiBBHI", bytes(header.retrieve()), 0)
    cdb = bytes(header.resolve(24, command).retrieve())
    data, status, sense, host, driver = device.perform(cdb, length if direction == FROM_DEVICE else 0)
    if data:
        header.resolve(16, length).update(0, data)
    sense = sense[:room]
    if sense:
        header.resolve(32, room).update(0, sense)
    ok = not (status or host)
    header.update(
        64,
        struct.pack(
            "BBBBHHiII", status, status >> 1 & 0x1F, 0, len(sense), host, driver, length - len(data), 1, 0 if ok else 1
        ),
    )


def describe(number, kind, vendor, product, serial):
    """A SCSI device with an sg node, as sysfs and udev show it."""
    parent = f"/devices/pci0000:00/0000:00:1f.2/host1/target1:0:{number}/1:0:{number}:0"
    driver = {1: "st", 8: "ch"}[kind]
    return (
        f"P: {parent}\nE: SUBSYSTEM=scsi\nE: DEVTYPE=scsi_device\nE: DRIVER={driver}\nA: type={kind}\\n\n"
        f"A: vendor={vendor:8.8}\\n\nA: model={product:16.16}\\n\nA: rev=R1.0\\n\n\n"
        f"P: {parent}/scsi_generic/sg{number}\nN: sg{number}\nE: SUBSYSTEM=scsi_generic\nE: DEVNAME=/dev/sg{number}\n"
        f"E: MAJOR=21\nE: MINOR={number}\nE: ID_SERIAL_SHORT={serial}\nA: dev=21:{number}\\n\n\n"
    )


class Emulation:
    """The devices of one library: drives at sg1, sg2 …, the changer behind them."""

    def __init__(self, config):
        self.drives = [model.Tape(**drive) for drive in config["drives"]]
        self.library = model.Library(
            self.drives, config["slots"], config["exports"], config.get("style", "ibm"), "LIB0001"
        )
        # Nodes in another order than the drives of the library, as it happens on real hosts.
        self.nodes = {f"/dev/sg{number}": drive for number, drive in enumerate(reversed(self.drives), 1)}
        self.changer = f"/dev/sg{len(self.drives) + 1}"
        self.nodes[self.changer] = self.library
        self.testbed = UMockdev.Testbed.new()
        self.handlers = []
        for number, (node, device) in enumerate(self.nodes.items(), 1):
            self.testbed.add_from_string(describe(number, device.kind, device.vendor, device.product, device.serial))
            self.handlers.append(handler(device))
            self.testbed.attach_ioctl(node, self.handlers[-1])

    def do(self, command):
        act = command.pop("do")
        return getattr(self, f"do_{act}")(**command)

    def do_where(self):
        nodes = {node: device.serial for node, device in self.nodes.items() if device is not self.library}
        return {"root": self.testbed.get_root_dir(), "changer": self.changer, "drives": nodes}

    def do_put(self, kind, number, barcode, folder=None, home=None):
        cartridge = model.Cartridge(barcode, folder, None if home is None else self.library.first[model.STORAGE] + home)
        self.library.put(kind, number, cartridge)
        if kind == model.DRIVE:
            self.drives[number].insert(folder)

    def do_take(self, kind, number):
        self.library.places.pop(self.library.first[kind] + number, None)
        if kind == model.DRIVE:
            self.drives[number].remove()

    def do_fault(self, node, **what):
        self.nodes[node].fault(**what)

    def do_set(self, node, **values):
        for name, value in values.items():
            made = {"alerts": set, "bad": lambda given: {tuple(entry) for entry in given}}.get(
                name, lambda given: given
            )
            setattr(self.nodes[node], name, made(value))

    def do_trace(self, node):
        found, self.nodes[node].trace = self.nodes[node].trace, []
        return found

    def do_faults_left(self, node):
        return len(self.nodes[node].faults)


def main():
    emulation = Emulation(json.loads(sys.stdin.readline()))
    loop = GLib.MainLoop()

    def reply(line):
        try:
            answer = {"ok": emulation.do(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - told to the test, which fails
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
        return False

    def listen():
        for line in sys.stdin:
            GLib.idle_add(reply, line)
        GLib.idle_add(loop.quit)

    threading.Thread(target=listen, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
