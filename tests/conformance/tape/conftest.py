"""Libraries with cartridges in them, and sessions of each kind."""

import os

import pytest

from hardware.tape.libraries import mounted_sessions, own_sessions, virtual_library
from hardware.tape.tools.acts import Tools
from hardware.tape.virtual import VirtualChanger
from tests.support.tape_faults import session_lost, set_tab

BARCODE = "VLT001L8"


class Rig:
    """A virtual library whose sessions are of one kind. One drive; slot 4 and the import/export slot are empty."""

    def __init__(self, path, new_session, *, drives=1, capacity_mb=256):
        self.path = path / "library"
        self.new_session = new_session
        with VirtualChanger.create(self.path, drives=drives, slots=4, import_export=1) as changer:
            for slot, barcode in enumerate((BARCODE, "VLT002L8", "CLN001CU"), 1):
                changer.add_cartridge(barcode, slot=slot, capacity_mb=capacity_mb)
        self.library = None
        self.open()

    def open(self):
        """The library, anew, as after a restart."""
        self.close()
        self.library = virtual_library(self.path, new_session=self.new_session)
        return self.library

    def close(self):
        if self.library is not None:
            self.library.close()
            self.library = None

    def cartridge(self, barcode=BARCODE):
        return self.path / barcode

    def load(self, barcode=BARCODE, **options):
        return self.library.load(barcode, **options)

    def formatted(self, barcode=BARCODE, **options):
        """A session with an empty volume, and its UUID."""
        session = self.load(barcode, **options)
        return session, session.format(name="Kho")

    def protect(self, barcode=BARCODE):
        set_tab(self.cartridge(barcode))

    def kept(self, barcode=BARCODE):
        """At the end of the block the cartridge is as it was before."""
        return session_lost(self.cartridge(barcode))


def tools_in(path):
    """The reference tools with their file backend; skips the test where they are not installed."""
    tools = Tools(str(path / "work"), str(path / "mounts"), folder=os.environ.get("KHOSO_LTFS_BIN", ""), backend="file")
    if tools.missing():
        pytest.skip("the reference LTFS is not on PATH, and KHOSO_LTFS_BIN does not name its folder")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("the reference LTFS mounts by /dev/fuse, as root")
    return tools


@pytest.fixture
def own_rig(tmp_path):
    """A library whose sessions write by our own writer, for faults of the drive below it."""
    found = Rig(tmp_path, own_sessions(tmp_path))
    yield found
    found.close()


@pytest.fixture(params=["own", "mounted"])
def rig(request, tmp_path):
    """A library whose sessions write by our own writer, or by the reference tools."""
    sessions = own_sessions(tmp_path) if request.param == "own" else mounted_sessions(tools_in(tmp_path), tmp_path)
    found = Rig(tmp_path, sessions)
    yield found
    found.close()
