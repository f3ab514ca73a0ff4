"""A working node whose LTFS tools die, hang, or say that they succeeded and wrote nothing: no copy is called good
for it, what was on the cartridge before stays good, and when the tools work again the work is done."""

import os
import subprocess

import pytest

import hardware.tape.libraries
from hardware.ltfs.last_index import read_labels
from hardware.ltfs.virtual import VirtualMedium
from hardware.mounts import is_mount_point
from hardware.tape.libraries import mounted_sessions
from hardware.tape.tools.acts import Timeouts
from tests.support.nodes import eventually
from tests.support.standin import AMPLE, ENDED, FORMATTED, SERVED, StandIn, needs_mounts
from tests.support.tapes import TapeBench
from vault.model import EventType
from vault.tape_model import CartridgeState

BARCODE = "VLT001L8"
HASTY = Timeouts(format=60, mount=60, unmount=1, list=60, recover=60, serve=60)
AT_ONCE = Timeouts(format=60, mount=1, unmount=60, list=60, recover=60, serve=60)
CHECKED = [["say", "LTFS16023I LTFS volume information:."], ["exit", 0]]

MISHAPS = {
    "it dies before it mounts": (
        [["signal", "SIGSEGV"]], AMPLE,
        "tape-job-failed", ("ltfs died of SIGSEGV", "VLT001L8"),
    ),
    "it dies in the unmount": (
        [*SERVED, ["until-unmounted"], ["signal", "SIGSEGV"]], AMPLE,
        "tape-job-failed", ("ltfs died of SIGSEGV", "is not known: have the volume recovered and read back"),
    ),
    "it hangs in the unmount": (
        [*SERVED, ["until-unmounted"], ["hang"]], HASTY,
        "tape-job-failed", ("ltfs did nothing for 1.0 seconds", "Look at the drive's panel and the kernel's log"),
    ),
    "it hangs in the mount": (
        [["hang"]], AT_ONCE,
        "tape-job-failed", ("ltfs did nothing for 1.0 seconds", "Look at the drive's panel and the kernel's log"),
    ),
    "it says that it succeeded": (
        [*SERVED, *ENDED, ["exit", 0]], AMPLE,
        "cartridge-suspect", ("had written 1 copies, and 1 of them are not on the tape", "look at the drive"),
    ),
}  # fmt: skip


@pytest.fixture
def tools(tmp_path, monkeypatch):
    yield StandIn(tmp_path / "tools", monkeypatch)
    point = tmp_path / "tools" / "mounts" / "drive-0"
    if is_mount_point(str(point)):
        subprocess.run(["umount", "-l", str(point)], check=True)


@needs_mounts
@pytest.mark.parametrize("mishap", MISHAPS)
def test_what_the_tools_did_not_write_is_not_called_good(tmp_path, monkeypatch, tools, mishap):
    steps, timeouts, code, words = MISHAPS[mishap]
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", b"one", filename="tệp")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        bench.stop()
        with monkeypatch.context() as patch:
            let_write(patch, tmp_path, tools.tools(timeouts))
            tools.does(ltfs=steps, ltfsck=CHECKED)
            bench.start()
            bench.deposit("Đ-2", b"two", filename="tệp")
            bench.wait_told(code, *words)
            assert bench.good_tapes("Đ-2") == set()
            assert bench.good_tapes("Đ-1") == {BARCODE}
            bench.assert_on_tape("Đ-1", 1, BARCODE)
            bench.stop()
        bench.start()
        if code == "cartridge-suspect":
            assert bench.cartridge(BARCODE).state is CartridgeState.SUSPECT
            bench.running.tape_desk.make_practice("lib", "VLT002L8", 256 << 20)
        (barcode,) = eventually(lambda: bench.good_tapes("Đ-2"), 60, bench.tape_problem)
        bench.settle()
        bench.assert_on_tape("Đ-2", 1, barcode)
        bench.assert_on_tape("Đ-1", 1, BARCODE)
        good = bench.events(EventType.FIXITY_CHECK, identifier="Đ-2", volume=barcode, outcome="success")
        assert len(good) == 1, "it was proved once: when it was there"
        assert bench.verify(volume=BARCODE).bad == 0


FORMAT_AT_ONCE = Timeouts(format=1, mount=60, unmount=60, list=60, recover=60, serve=60)
FORMATTINGS = {
    "it dies": ([["signal", "SIGSEGV"]], AMPLE, ("mkltfs died of SIGSEGV",)),
    "it hangs": ([["hang"]], FORMAT_AT_ONCE, ("mkltfs did nothing for 1.0 seconds", "Look at the drive")),
    "it says that it succeeded": ([*FORMATTED, ["exit", 0]], AMPLE, ("VLT001L8",)),
}  # fmt: skip


@pytest.mark.parametrize("mishap", FORMATTINGS)
def test_what_the_tools_did_not_format_is_no_cartridge_of_ours(tmp_path, monkeypatch, tools, mishap):
    steps, timeouts, words = FORMATTINGS[mishap]
    with TapeBench(tmp_path) as bench:
        bench.stop()
        with monkeypatch.context() as patch:
            patch.setattr(
                hardware.tape.libraries, "own_sessions", lambda spool: mounted_sessions(tools.tools(timeouts), spool)
            )
            tools.does(mkltfs=steps)
            bench.start()
            bench.deposit("Đ-1", b"one", filename="tệp")
            eventually(
                lambda: any(all(word in told for word in words) for told in bench.told().values()), 30, bench.told
            )
            assert not bench.good_tapes("Đ-1")
            bench.stop()
        bench.start()
        eventually(lambda: bench.good_tapes("Đ-1") or bench.told().get("cartridge-foreign"), 60, bench.tape_problem)
        if not bench.good_tapes("Đ-1"):
            told = bench.wait_told("cartridge-foreign", BARCODE)
            assert f"vaultctl tapes format {BARCODE}" in told
            bench.running.tape_desk.format(BARCODE, "tape-1", BARCODE, "user:test")
        bench.wait_for_tape("Đ-1")
        bench.settle()
        bench.assert_on_tape("Đ-1", 1, BARCODE)


def let_write(patch, folder, tools):
    """The node's sessions are written by these tools."""
    medium = VirtualMedium.open(folder / "library" / BARCODE)
    uuid = read_labels(medium).label.volume_uuid
    medium.close()
    asked = os.getxattr

    def getxattr(path, name, **options):
        return uuid.encode() if name == "user.ltfs.volumeUUID" else asked(path, name, **options)

    patch.setattr("os.getxattr", getxattr)
    patch.setattr(hardware.tape.libraries, "own_sessions", lambda spool: mounted_sessions(tools, spool))
