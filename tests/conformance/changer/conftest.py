"""Libraries of every kind, each with what a person can do to it."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from hardware.ltfs import VirtualMedium
from hardware.tape.changer import Moved, OperatorAsked
from hardware.tape.manual import ManualChanger
from hardware.tape.mtx import MtxChanger
from hardware.tape.patience import Patience
from hardware.tape.virtual import FAULTS, VirtualChanger
from tests.support.tape import EXPORT, STORAGE, emulated_library
from tests.support.tools import require

HOME = {1: "VLT001L8", 2: "VLT002L8", 3: "CLN001L1"}
"""Every library begins with these in its slots; slot 4 is free, as are the drives and slot 5, which is for export."""
ATTEMPTS = 3


class Rig:
    """A library to test: ``changer`` is held, ``opening`` is code that holds it."""

    robot = True
    forgets = False
    drives = 2

    def __init__(self):
        self.waited = []
        self.patience = Patience(attempts=ATTEMPTS, wait=self.waited.append)

    def done(self, outcome):
        """The outcome of an act, after whoever was asked has done it."""
        if isinstance(outcome, OperatorAsked):
            outcome = self.changer.confirm(outcome.barcode)
        assert isinstance(outcome, Moved)
        return outcome

    def load(self, slot, drive, **options):
        return self.done(self.changer.load(slot, drive, **options))

    def unload(self, drive, slot=None, **options):
        self.release(drive)
        return self.done(self.changer.unload(drive, slot, **options))

    def release(self, drive):
        """What the drive does before its cartridge is taken."""

    def shown(self):
        """Label by place, for what is full."""
        status = self.changer.inventory()
        return {f"drive {drive.number}": drive.barcode for drive in status.drives if drive.full} | {
            slot.number: slot.barcode for slot in status.slots if slot.full
        }

    @contextmanager
    def other_process(self):
        """Another program that holds the library until the end of the block, or is killed."""
        code = f"{self.opening}\nprint('held', flush=True)\nimport sys; sys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()
            process.communicate()


class VirtualRig(Rig):
    def __init__(self, path):
        super().__init__()
        self.path = path / "library"
        self.changer = VirtualChanger.create(self.path, drives=2, slots=4, import_export=1, patience=self.patience)
        for slot, barcode in HOME.items():
            self.changer.add_cartridge(barcode, slot=slot)
        self.opening = f"from hardware.tape.virtual import VirtualChanger; x = VirtualChanger({str(self.path)!r})"

    def open(self):
        return VirtualChanger(self.path, patience=self.patience)

    def put(self, slot, barcode):
        name = f"{barcode}-{slot}"
        VirtualMedium.create(self.path / name).close()
        self.changer.insert(name, slot=slot, barcode=barcode)

    def take(self, slot):
        self.changer.remove(slot)

    def door(self, *, is_open):
        flag = self.path / "door-open"
        flag.touch() if is_open else flag.unlink()

    def suffer(self, fault, times):
        (self.path / FAULTS).write_text(f"{fault}\n" * times)

    def suffering(self):
        return bool((self.path / FAULTS).read_text())


SENSE = {"unit-attention": (6, 0x28, 0), "not-ready": (2, 4, 1)}


class MtxRig(Rig):
    forgets = True

    def __init__(self, path, library, program):
        super().__init__()
        self.program = program
        self.lock = path / "lock"
        self.lock.touch()
        self.library = library
        self.changer = self.open()
        for slot, barcode in HOME.items():
            self.put(slot, barcode)
        self.opening = f"from hardware.tape.mtx import MtxChanger; x = MtxChanger('/dev/sgX', lock={str(self.lock)!r})"

    def open(self):
        return MtxChanger(self.library.changer, program=self.program, lock=self.lock, patience=self.patience)

    def release(self, drive):
        if drive in {0, 1}:
            self.library.run("sg_start", "--stop", self.library.serials[f"10WT01234{drive}"])
            self.library.run("sg_start", "--stop", self.library.serials[f"10WT01234{drive}"])

    def put(self, slot, barcode):
        self.library.do("put", kind=STORAGE if slot < 5 else EXPORT, number=(slot - 1) % 4, barcode=barcode)

    def take(self, slot):
        self.library.do("take", kind=STORAGE if slot < 5 else EXPORT, number=(slot - 1) % 4)

    def door(self, *, is_open):
        self.library.do("set", node=self.library.changer, door_open=is_open)

    def suffer(self, fault, times):
        # On moves: mtx itself passes over some that meet it while it looks.
        self.library.fault(self.library.changer, *SENSE[fault], opcode=0xA5, times=times)

    def suffering(self):
        return bool(self.library.do("faults_left", node=self.library.changer))


class ManualRig(Rig):
    robot = False
    drives = 1

    def __init__(self, path):
        super().__init__()
        self.path = path / "manual"
        self.changer = self.open()
        for slot, barcode in {**HOME, 4: "VLT009L8"}.items():
            self.changer.place(barcode, slot)
        self.changer.take_away("VLT009L8")
        self.opening = f"from hardware.tape.manual import ManualChanger; x = ManualChanger({str(self.path)!r})"

    def open(self):
        return ManualChanger(self.path)

    def put(self, slot, barcode):
        self.changer.place(barcode, slot)

    def take(self, slot):
        self.changer.take_away(self.changer.inventory().slot(slot).barcode)


ROBOTS = ["virtual", "mtx-ibm", "mtx-quantum"]


@contextmanager
def made(kind, path, patch):
    """A library of a kind; through real mtx, those of several vendors."""
    if kind == "virtual":
        rig = VirtualRig(path)
    elif kind == "manual":
        rig = ManualRig(path)
    else:
        program = require("mtx", "mtx", ["/usr/sbin", "/sbin"])
        require("sg_start", "sg3-utils")
        with emulated_library(path, drives=2, slots=4, exports=1, style=kind.removeprefix("mtx-")) as library:
            for name, value in library.environment.items():
                patch.setenv(name, value)
            rig = MtxRig(path, library, program)
            yield rig
            rig.changer.close()
        return
    yield rig
    rig.changer.close()


@pytest.fixture(params=[*ROBOTS, "manual"])
def rig(request, tmp_path, monkeypatch):
    """A library of every kind."""
    with made(request.param, tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture(params=ROBOTS)
def robot(request, tmp_path, monkeypatch):
    """Those that move cartridges by themselves."""
    with made(request.param, tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """The one that does not."""
    with made("manual", tmp_path, monkeypatch) as found:
        yield found
