"""A tape library and its drives as SCSI devices, in memory: commands in, data or sense data out.

Written from SPC, SSC and SMC, and apart from the code it tests: nothing of the project is imported, as it runs under
Debian's Python. Drives read virtual cartridges straight from their folders.
"""

import os
import re
import struct
from dataclasses import dataclass, field

ALL_ONES = 2**64 - 1
ROBOT, STORAGE, EXPORT, DRIVE = 1, 2, 3, 4


class Check(Exception):
    """CHECK CONDITION: sense key, ASC, ASCQ; what else the sense data say; data sent before it."""

    def __init__(self, key, asc, ascq, *, flags=0, information=None, data=b""):
        super().__init__(f"{key:x}/{asc:02x}/{ascq:02x}")
        self.code = (key, asc, ascq)
        self.flags = flags
        self.information = information
        self.data = data

    def sense(self, *, descriptor=False):
        key, asc, ascq = self.code
        if descriptor:
            body = b""
            if self.information is not None:
                body += struct.pack(">BBBBq", 0, 10, 0x80, 0, self.information)
            body += bytes((4, 2, 0, self.flags))
            return bytes((0x72, key, asc, ascq, 0, 0, 0, len(body))) + body
        valid, information = (0x80, self.information) if self.information is not None else (0, 0)
        return struct.pack(">BBBi4xI", 0x70 | valid, 0, key | self.flags, information, 0)[:7] + bytes(
            (10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0)
        )


class Device:
    """What all devices share: identity, faults, and the commands of SPC."""

    kind = 0

    def __init__(self, vendor, product, serial):
        self.vendor, self.product, self.serial = vendor, product, serial
        self.faults = []
        self.trace = []
        self.descriptor_sense = False

    def fault(self, **what):
        """For the next commands with ``opcode`` (any if None): ``sense`` [key, asc, ascq], or ``status``, ``host``."""
        self.faults.append({"opcode": None, "times": 1, "sense": None, "status": 0, "host": 0, "driver": 0} | what)

    def perform(self, cdb, length):
        """Data, status, sense, host status, driver status."""
        self.trace.append(cdb.hex())
        try:
            if (fault := self._due(cdb[0])) is not None:
                return self._suffer(fault)
            return self.command(cdb, length)[:length], 0, b"", 0, 0
        except Check as check:
            return check.data[:length], 2, check.sense(descriptor=self.descriptor_sense), 0, 8

    def _suffer(self, fault):
        if fault["sense"]:
            raise Check(*fault["sense"])
        return b"", fault["status"], b"", fault["host"], fault["driver"]

    def _due(self, opcode):
        for fault in self.faults:
            # Attentions and the like are not reported to INQUIRY.
            if fault["opcode"] == opcode or (fault["opcode"] is None and opcode not in {0x12, 0x03}):
                fault["times"] -= 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def command(self, cdb, length):
        handler = getattr(self, f"op_{cdb[0]:02x}", None)
        if handler is None:
            raise Check(5, 0x20, 0)
        return handler(cdb, length)

    def op_00(self, _cdb, _length):
        return b""

    def op_03(self, _cdb, _length):
        return bytes((0x70, 0, 0, 0, 0, 0, 0, 10)) + bytes(10)

    def op_12(self, cdb, _length):
        if not cdb[1] & 1:
            head = bytes((self.kind, 0x80, 6, 2, 91, 0, 0, 0))
            return head + f"{self.vendor:8.8}{self.product:16.16}R1.0".encode() + bytes(60)
        pages = {0x80: self.serial.encode(), 0x83: bytes((2, 1, 0, 34)) + self.identity()}
        if cdb[2] == 0:
            return bytes((self.kind, 0, 0, 3, 0, *pages))
        if cdb[2] not in pages:
            raise Check(5, 0x24, 0)
        return bytes((self.kind, cdb[2])) + struct.pack(">H", len(pages[cdb[2]])) + pages[cdb[2]]

    def identity(self):
        return f"{self.vendor:8.8}{self.product:16.16}{self.serial:10.10}".encode()

    def op_1e(self, _cdb, _length):
        return b""

    def op_4d(self, cdb, length):
        page = cdb[2] & 0x3F
        pages = self.log_pages()
        if page == 0 and cdb[3] == 0:
            return bytes((0, 0)) + struct.pack(">H", len(pages) + 1) + bytes((0, *sorted(pages)))
        if page not in pages or cdb[3]:
            raise Check(5, 0x24, 0)
        body = b"".join(struct.pack(">HBB", code, 3, len(value)) + value for code, value in pages[page]().items())
        if length >= len(body) + 4:
            self.log_was_read(page)
        return bytes((page, 0)) + struct.pack(">H", len(body)) + body

    def log_was_read(self, page):
        """A page was sent whole, and not only its header."""

    def log_pages(self):
        return {}


class Tape(Device):
    """A drive, which reads virtual cartridges."""

    kind = 1

    def __init__(self, vendor="IBM", product="ULTRIUM-HH8", serial="10WT012345", density=0x5E):
        super().__init__(vendor, product, serial)
        self.density = density
        self.folder = None
        self.present = False
        self.alerts = set()
        self.bad = set()
        self.loading = 0
        self.unloaded = False
        self.prevented = False
        self.long_residue = True
        self.lost = False  # as tgt: it knows no LOCATE, and says block 0 wherever it stands
        self.divided = True  # whether the cartridge has a second partition
        self.tells_partitions = True
        self.at = [0, 0]

    def insert(self, folder):
        self.present, self.folder, self.at, self.unloaded = True, folder, [0, 0], False
        self.faults = [fault for fault in self.faults if fault["sense"] != [6, 0x28, 0]]
        self.fault(sense=[6, 0x28, 0])

    def remove(self):
        self.present, self.folder = False, None

    def _ready(self):
        if not self.present or self.unloaded:
            raise Check(2, 0x3A, 0)
        if self.loading:
            self.loading -= 1
            raise Check(2, 4, 1)

    def op_00(self, _cdb, _length):
        self._ready()
        return b""

    def op_1a(self, cdb, _length):
        self._ready()
        block = b"" if cdb[1] & 8 else bytes((self.density, 0, 0, 0, 0, 0, 0, 0))
        if cdb[2] & 0x3F not in {0x00, 0x10, *([0x11] if self.tells_partitions else [])}:
            raise Check(5, 0x24, 0)
        page = bytes((0x10, 14)) + bytes(14)
        if cdb[2] & 0x3F == 0x11:
            page = bytes((0x11, 6, 1, int(self.divided), 0, 0, 0, 0))
        return bytes((3 + len(block) + len(page), 0, 0x80 if 9 in self.alerts else 0, len(block))) + block + page

    def op_1e(self, cdb, _length):
        self.prevented = bool(cdb[4] & 1)
        return b""

    def op_1b(self, cdb, _length):
        if cdb[4] & 1 and self.present:
            self.unloaded = False
        self._ready()
        if self.prevented and not cdb[4] & 1:
            raise Check(5, 0x53, 2)
        self.unloaded = not cdb[4] & 1
        self.at = [0, 0]
        return b""

    def log_pages(self):
        def alerts():
            return {code: bytes((code in self.alerts,)) for code in range(1, 65)}

        def counters():
            return {code: struct.pack(">I", {3: 17, 6: 0}.get(code, 0)) for code in range(7)}

        def statistics():
            return {
                0x00: b"\x01", 0x01: struct.pack(">I", 12), 0x03: struct.pack(">I", 5), 0x04: struct.pack(">H", 1),
                0x08: b"\xff" * 4, 0x09: struct.pack(">H", 0), 0x10: struct.pack(">Q", 1500),
                0x11: struct.pack(">Q", 700), 0x40: b"MEDIUMSERIAL".ljust(32), 0x42: b"VLT001L8".ljust(32),
                0x80: b"\x00", 0x81: b"\x00",
            }  # fmt: skip

        def access():
            return {0x00: struct.pack(">Q", 10**9), 0x100: struct.pack(">Q", 20 in self.alerts)}

        return {0x02: counters, 0x03: counters, 0x0C: access, 0x17: statistics, 0x2E: alerts}

    def log_was_read(self, page):
        if page == 0x2E:
            self.alerts.clear()

    # The tape.

    def _blocks(self):
        """Kind of each block of both partitions, as far as the end of data."""
        found = ({}, {})
        for name in os.listdir(self.folder):
            if match := re.fullmatch(r"([01])_(\d+)_([RFE])", name):
                found[int(match[1])][int(match[2]), match[3]] = name
        rows = []
        for blocks in found:
            end = min((number for number, kind in blocks if kind == "E"), default=0)
            rows.append(["F" if (number, "F") in blocks else "R" for number in range(end)])
        return rows

    def op_34(self, cdb, _length):
        self._ready()
        if cdb[1] & 0x1F != 6:
            raise Check(5, 0x24, 0)
        if self.lost:
            return bytes((32,)) + bytes(31)
        begin = 0x80 if self.at[1] == 0 else 0
        marks = self._blocks()[self.at[0]][: self.at[1]].count("F")
        return struct.pack(">BxxxIQQ8x", begin, self.at[0], self.at[1], marks)

    def op_01(self, _cdb, _length):
        self._ready()
        self.at[1] = 0
        return b""

    def op_92(self, cdb, _length):
        if self.lost:
            raise Check(5, 0x20, 0)
        self._ready()
        partition = cdb[3] if cdb[1] & 2 else self.at[0]
        block = int.from_bytes(cdb[4:12], "big")
        if partition > int(self.divided):
            raise Check(5, 0x24, 0)
        end = len(self._blocks()[partition])
        self.at = [partition, min(block, end)]
        if block > end:
            raise Check(8, 0, 5)
        return b""

    def op_91(self, cdb, _length):
        self._ready()
        if cdb[1] & 0x0F != 1:
            raise Check(5, 0x24, 0)
        count = int.from_bytes(cdb[4:12], "big", signed=True)
        row = self._blocks()[self.at[0]]
        while count > 0:
            if self.at[1] >= len(row):
                raise Check(8, 0, 5, information=count)
            count -= row[self.at[1]] == "F"
            self.at[1] += 1
        while count < 0:
            if self.at[1] == 0:
                raise Check(0, 0, 4, flags=0x40, information=-count)
            self.at[1] -= 1
            count += row[self.at[1]] == "F"
        return b""

    def op_08(self, cdb, _length):
        self._ready()
        wanted = int.from_bytes(cdb[2:5], "big")
        row = self._blocks()[self.at[0]]
        partition, block = self.at
        if block >= len(row):
            raise Check(8, 0, 5, information=wanted)
        self.at[1] += 1
        if (partition, block) in self.bad:
            raise Check(3, 0x11, 0)
        if row[block] == "F":
            raise Check(0, 0, 1, flags=0x80, information=wanted)
        with open(os.path.join(self.folder, f"{partition}_{block}_R"), "rb") as file:
            data = file.read()
        if len(data) != wanted and not cdb[1] & 2:
            raise Check(0, 0, 0, flags=0x20, information=wanted - len(data), data=data)
        return data

    def op_8c(self, cdb, _length):
        self._ready()
        partition, first = cdb[7], int.from_bytes(cdb[8:10], "big")
        found = {0: struct.pack(">HBHQ", 0, 0x80, 8, 1000), 1: struct.pack(">HBHQ", 1, 0x80, 8, 2000)}
        for name in os.listdir(self.folder):
            if match := re.fullmatch(rf"attr_{partition}_([0-9a-f]+)", name):
                with open(os.path.join(self.folder, name), "rb") as file:
                    found[int(match[1], 16)] = file.read()
        if first not in found:
            raise Check(5, 0x24, 0)
        body = b"".join(found[identifier] for identifier in sorted(found) if identifier >= first)
        return struct.pack(">I", len(body)) + body


@dataclass
class Cartridge:
    barcode: str
    folder: str | None = None
    home: int | None = None


@dataclass
class Style:
    """What vendors do differently."""

    vendor: str = "IBM"
    product: str = "3573-TL"
    robot: int = 1
    first: dict = field(default_factory=lambda: {STORAGE: 4096, EXPORT: 16, DRIVE: 256})
    pad: str = " "
    tags: bool = True
    extra: int = 4
    identifies: str = "t10"
    order: tuple = (ROBOT, DRIVE, STORAGE, EXPORT)
    sources: bool = True
    holds: bool = False


STYLES = {
    "ibm": Style(),
    "hp": Style(
        "HP", "MSL G3 Series", 0, {STORAGE: 1001, EXPORT: 101, DRIVE: 1}, order=(STORAGE, DRIVE, EXPORT, ROBOT)
    ),
    "quantum": Style(
        "QUANTUM",
        "UHDL",
        1,
        {STORAGE: 4096, EXPORT: 16, DRIVE: 256},
        pad="\0",
        extra=0,
        identifies="serial",
        holds=True,
    ),
    "bare": Style("OVERLAND", "LXB", 0, {STORAGE: 1, EXPORT: 200, DRIVE: 240}, tags=False, identifies="none"),
    "forgetful": Style("STK", "L80", 0, {STORAGE: 1000, EXPORT: 10, DRIVE: 500}, sources=False),
}


class Library(Device):
    """A medium changer."""

    kind = 8

    def __init__(self, drives, slots=4, exports=1, style="ibm", serial="LIB0001"):
        self.style = STYLES[style]
        super().__init__(self.style.vendor, self.style.product, serial)
        self.drives = drives
        self.counts = {ROBOT: 1, STORAGE: slots, EXPORT: exports, DRIVE: len(drives)}
        self.first = {ROBOT: self.style.robot, **self.style.first}
        self.places = {}
        self.door_open = False

    def put(self, kind, number, cartridge):
        self.places[self.first[kind] + number] = cartridge

    def _kind_of(self, address):
        for kind, first in self.first.items():
            if first <= address < first + self.counts[kind]:
                return kind
        raise Check(5, 0x21, 1)

    def _drive(self, address):
        return self.drives[address - self.first[DRIVE]]

    def command(self, cdb, length):
        if self.door_open and cdb[0] not in {0x12, 0x03, 0x1A}:
            raise Check(2, 4, 0x18)
        return super().command(cdb, length)

    def op_07(self, _cdb, _length):
        return b""

    def op_1a(self, cdb, _length):
        if cdb[2] & 0x3F != 0x1D:
            raise Check(5, 0x24, 0)
        page = bytes((0x1D, 18))
        for kind in (ROBOT, STORAGE, EXPORT, DRIVE):
            page += struct.pack(">HH", self.first[kind], self.counts[kind])
        page += bytes(2)
        return bytes((len(page) + 3, 0, 0, 0)) + page

    def op_a5(self, cdb, _length):
        source, target = struct.unpack(">HH", cdb[4:8])
        kinds = self._kind_of(source), self._kind_of(target)
        if self.places.get(source) is None:
            raise Check(5, 0x3B, 0x0E)
        if self.places.get(target) is not None:
            raise Check(5, 0x3B, 0x0D)
        if kinds[0] == DRIVE:
            if self.style.holds and not self._drive(source).unloaded:
                raise Check(5, 0x3B, 0x83)
            self._drive(source).remove()
        moved = self.places.pop(source)
        # SMC: the source is the storage element that it was last taken from.
        moved.home = source if kinds[0] != DRIVE else moved.home
        self.places[target] = moved
        if kinds[1] == DRIVE:
            self._drive(target).insert(moved.folder)
        return b""

    def op_b8(self, cdb, _length):
        wanted, tags, identify = cdb[1] & 0x0F, cdb[1] & 0x10 and self.style.tags, cdb[6] & 1
        start, number = struct.unpack(">HH", cdb[2:6])
        pages, count, lowest = b"", 0, 0xFFFF
        for kind in self.style.order:
            if wanted not in {0, kind}:
                continue
            addresses = [
                address for address in range(self.first[kind], self.first[kind] + self.counts[kind]) if address >= start
            ][: number - count]
            if not addresses:
                continue
            bodies = [self._element(kind, address, tags, identify) for address in addresses]
            size = max(map(len, bodies))
            body = b"".join(entry.ljust(size, b"\0") for entry in bodies)
            pages += bytes((kind, 0x80 if tags else 0)) + struct.pack(">HI", size, len(body)) + body
            count += len(addresses)
            lowest = min(lowest, addresses[0])
        return struct.pack(">HHI", lowest, count, len(pages)) + pages

    def _element(self, kind, address, tags, identify):
        found = self.places.get(address)
        flags = 8 | (found is not None) | (2 if kind == EXPORT else 0)
        known = found is not None and found.home is not None and self.style.sources
        body = struct.pack(">HB6xBH", address, flags, 0x80 if known else 0, found.home if known else 0)
        if tags:
            label = (found.barcode if found else "").ljust(32, self.style.pad if found else "\0")
            body += label.encode("latin-1") + bytes(4)
        if identify and kind == DRIVE and self.style.identifies != "none":
            drive = self._drive(address)
            if self.style.identifies == "t10":
                return body + bytes((2, 1, 0, 34)) + drive.identity()
            return body + bytes((2, 0, 0, len(drive.serial))) + drive.serial.encode()
        return body + bytes(self.style.extra)
