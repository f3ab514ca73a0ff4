"""What is plugged in, and what comes and goes: disks, arrays, tape drives and changers, told apart by who they are.

Events of the kernel (through udevd where it runs, else as the kernel sends them) only say that something happened; what
is there then is enumerated anew and compared with what was there before. So a burst that overflows the monitor, of
which events are lost, costs one more enumeration and no knowledge. A device is known by serial number or World Wide
Name; its node (``/dev/sda``) is only where it is just now. udev(7), pyudev.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyudev

from hardware import blocks

QUIET_SECONDS: Final = 0.3
"""After so long without a further event, a burst is over."""

LONGEST_SECONDS: Final = 3.0
"""A burst that does not end is looked into all the same."""

LOOK_SECONDS: Final = 300.0
"""So often it is enumerated without any event: where no events reach a container, this is how changes are seen."""

_UDEVD: Final = Path("/run/udev/control")
_BUFFER: Final = 4 << 20
_SUBSYSTEMS: Final = ("block", "scsi_tape", "scsi_changer", "scsi_generic")
_TAPE: Final = re.compile(r"nst[0-9]+\Z")
_MD: Final = re.compile(r"md(?:[0-9]+|_[\w.-]+)\Z")
_CHANGER_TYPE: Final = "8"
_MOST: Final = 20_000


class Role(enum.StrEnum):
    """Kinds of devices that are followed."""

    DISK = "disk"
    ARRAY = "array"
    TAPE_DRIVE = "tape-drive"
    CHANGER = "changer"


class Change(enum.StrEnum):
    """What can happen to a device. ``MOVED``: it is the same at another node. ``RETURNED``: it went and came back."""

    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    RETURNED = "returned"
    CHANGED = "changed"
    MEDIUM = "medium"


@dataclass(frozen=True, slots=True)
class Device:
    """One device. ``key`` is its serial number or World Wide Name; an array's is its UUID."""

    role: Role
    key: str
    node: str
    model: str
    serial: str
    wwn: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a device, with what it is now (or was last, where it is gone)."""

    change: Change
    device: Device


Snapshot = Mapping[tuple[Role, str], Device]
Listener = Callable[[Sequence[Event]], None]
"""Called with what happened in one burst, in a thread of the inventory's; what it raises ends nothing."""


def enumerate_devices(context: pyudev.Context) -> Snapshot:
    """Everything that is there now, by role and key. What cannot be told from others is left out."""
    found: dict[tuple[Role, str], Device] = {}
    for subsystem in _SUBSYSTEMS:
        for place, device in enumerate(context.list_devices(subsystem=subsystem)):
            if place >= _MOST:
                break
            with contextlib.suppress(pyudev.DeviceNotFoundError, OSError, UnicodeDecodeError, KeyError):
                seen = _device(device)
                if seen is not None and seen.key:
                    found.setdefault((seen.role, seen.key), seen)
    return found


def differences(before: Snapshot, now: Snapshot, *, touched: frozenset[str], media: frozenset[str]) -> list[Event]:
    """What happened between two enumerations. ``touched`` are nodes that were reported as removed in between,
    ``media`` those whose medium was changed."""
    events = [Event(Change.REMOVED, device) for key, device in before.items() if key not in now]
    for key, device in now.items():
        old = before.get(key)
        if old is None:
            events.append(Event(Change.ADDED, device))
        elif old.node != device.node:
            events.append(Event(Change.MOVED, device))
        elif old.node in touched:
            events.append(Event(Change.RETURNED, device))
        elif old != device:
            events.append(Event(Change.CHANGED, device))
        if device.node in media:
            events.append(Event(Change.MEDIUM, device))
    return events


class Inventory:
    """Follows what is plugged in. ``start`` once, ``stop`` once."""

    def __init__(self, listener: Listener, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._listener = listener
        self._look_seconds = look_seconds
        self._snapshot: Snapshot = {}
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="inventory", daemon=True)
        self.overflows = 0
        """How often events were lost, and everything was enumerated anew."""
        self.problem = ""
        """Why changes are only seen by looking now and then; "" where the kernel tells of them."""

    @property
    def devices(self) -> Sequence[Device]:
        """What is there, as far as was last seen."""
        return tuple(self._snapshot.values())

    def start(self) -> None:
        """Enumerate what is there, without any event, and begin to follow it."""
        self._context = pyudev.Context()
        self._snapshot = enumerate_devices(self._context)
        self._thread.start()

    def stop(self, patience: float = 2.0) -> None:
        """End. Nothing is told after it returned, unless the listener hangs."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")
        if self._thread.ident is not None:
            self._thread.join(patience)
        if not self._thread.is_alive():
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _run(self) -> None:
        # What came or went between the enumeration and the monitor is seen by looking again once it listens.
        monitor = self._monitor()
        self._look(frozenset(), frozenset())
        while not self._stopping.is_set():
            try:
                touched, media = self._burst(monitor)
            except OSError:
                self.overflows += 1
                monitor = self._monitor()
                touched = media = frozenset[str]()
            if not self._stopping.is_set():
                self._look(touched, media)

    def _monitor(self) -> pyudev.Monitor | None:
        """A monitor that listens; None where there can be none, and looking now and then must do."""
        # With no udevd its messages never come; the kernel's own do, before links and properties are made.
        source = "udev" if _UDEVD.exists() else "kernel"
        try:
            monitor: pyudev.Monitor = pyudev.Monitor.from_netlink(self._context, source=source)
            for subsystem in _SUBSYSTEMS:
                monitor.filter_by(subsystem)
            with contextlib.suppress(OSError):  # more than net.core.rmem_max needs a privilege
                monitor.set_receive_buffer_size(_BUFFER)
            monitor.start()
        except (OSError, ValueError) as error:
            self.problem = f"the kernel tells of no changes here ({error}); it is looked every {self._look_seconds:g} s"
            return None
        self.problem = ""
        return monitor

    def _burst(self, monitor: pyudev.Monitor | None) -> tuple[frozenset[str], frozenset[str]]:
        """Wait for events, and for the end of the burst that they are; which nodes were removed, and whose medium was
        changed. Raises OSError when events were lost."""
        touched, media = set[str](), set[str]()
        first: float | None = None
        while not self._stopping.is_set():
            patience = self._look_seconds if first is None else QUIET_SECONDS
            ready = self._wait(monitor, patience)
            if self._stopping.is_set() or not ready:
                break
            assert monitor is not None, "nothing else can be ready"  # noqa: S101
            device = monitor.poll(timeout=0)
            if device is None:
                continue
            first = first if first is not None else time.monotonic()
            node = device.device_node or f"/dev/{device.sys_name}"
            if device.action == "remove":
                touched.add(node)
            if device.action == "change" and _is_medium(device):
                media.add(node)
            if time.monotonic() - first > LONGEST_SECONDS:
                break
        return frozenset(touched), frozenset(media)

    def _wait(self, monitor: pyudev.Monitor | None, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if monitor is not None:
            poll.register(monitor.fileno(), select.POLLIN)
        found = dict(poll.poll(seconds * 1000))
        if monitor is None or monitor.fileno() not in found:
            return False
        if found[monitor.fileno()] & (select.POLLERR | select.POLLHUP):
            raise OSError("events of the kernel were lost")
        return True

    def _look(self, touched: frozenset[str], media: frozenset[str]) -> None:
        try:
            now = enumerate_devices(self._context)
        except OSError:
            return  # what is there is not known just now; it is looked again
        events = differences(self._snapshot, now, touched=touched, media=media)
        self._snapshot = now
        if events:
            with contextlib.suppress(Exception):
                self._listener(events)


def _is_medium(device: pyudev.Device) -> bool:
    properties = device.properties
    marks = (properties.get("DISK_MEDIA_CHANGE"), properties.get("DISK_EJECT_REQUEST"))
    return bool(device.subsystem == "scsi_tape" or "1" in marks)


def _device(device: pyudev.Device) -> Device | None:
    if device.subsystem == "block":
        return _block(device)
    parent = device.find_parent("scsi", "scsi_device")
    if device.subsystem == "scsi_tape" and _TAPE.match(device.sys_name):
        return _scsi(Role.TAPE_DRIVE, device, parent)
    if parent is not None and _attribute(parent, "type") == _CHANGER_TYPE and device.subsystem != "scsi_tape":
        # One changer has two nodes: mtx speaks to sg3, and sch0 stands for it only where there is none.
        if device.subsystem == "scsi_changer" and os.path.isdir(os.path.join(parent.sys_path, "scsi_generic")):
            return None
        return _scsi(Role.CHANGER, device, parent)
    return None


def _block(device: pyudev.Device) -> Device | None:
    if device.device_type == "partition":
        return None
    name, properties = device.sys_name, device.properties
    node = device.device_node or f"/dev/{name}"
    if _MD.match(name):
        uuid = properties.get("MD_UUID") or _attribute(device, "md/uuid")
        return Device(Role.ARRAY, uuid or name, node, properties.get("MD_LEVEL") or "md", "", "")
    if not blocks.is_whole_disk(name):
        return None
    known = blocks.block(name)
    serial = (
        known.serial
        or properties.get("ID_SCSI_SERIAL")
        or properties.get("SCSI_IDENT_SERIAL")
        or properties.get("ID_SERIAL_SHORT")
        or ""
    )
    wwn = known.wwn or (properties.get("ID_WWN_WITH_EXTENSION") or properties.get("ID_WWN") or "").removeprefix("0x")
    model = known.model or (properties.get("ID_MODEL") or "")
    return Device(Role.DISK, serial or wwn, node, model, serial, wwn)


def _scsi(role: Role, device: pyudev.Device, parent: pyudev.Device | None) -> Device:
    properties = device.properties
    # Past libudev, which reads attributes as texts: the page ends for it at its second byte.
    serial = blocks.vpd_serial(Path(parent.sys_path) / "vpd_pg80") if parent is not None else ""
    serial = serial or properties.get("ID_SCSI_SERIAL") or properties.get("ID_SERIAL_SHORT") or ""
    serial = serial or (properties.get("ID_SERIAL") or "")
    # ID_WWN is the first half of it, which all units of one target may have in common.
    wwn = _attribute(parent, "wwid").removeprefix("naa.") or (properties.get("ID_WWN") or "").removeprefix("0x")
    model = " ".join(filter(None, (_attribute(parent, "vendor"), _attribute(parent, "model"))))
    return Device(role, serial or wwn, device.device_node or f"/dev/{device.sys_name}", model, serial, wwn)


def _attribute(device: pyudev.Device | None, name: str) -> str:
    """An attribute in sysfs, as one line; "" where there is none."""
    if device is None:
        return ""
    try:
        data: bytes = device.attributes.get(name) or b""
    except OSError:
        return ""
    return blocks.clean(data[:512].decode("utf-8", "replace"))
