"""A daemon whose library is of kind ``scsi``: real ioctls, the real mtx, one process that owns changer and drives.

Writing needs the LTFS tools and a drive that writes: that is for the machine with mhvtl. Without them everything that
the node does by itself with changer and drives goes through the emulated devices, and only writing waits.
"""

import os
import signal
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hardware.ltfs import VirtualMedium, WriteSession, format_volume
from tests.support.daemon import Node
from tests.support.nodes import eventually
from tests.support.tape import EXPORT, STORAGE, emulated_library
from tests.support.tools import require
from vault import wire_tapes as wire
from vault.client import tapes
from vault.errors import NotFound, Refused, Unreachable, VaultError

LIBRARY = """
[[library]]
name = "autoloader"
kind = "scsi"
inventory_interval = "1s"
[[pool]]
name = "tape"
"""
HELD = os.urandom(1_300_000)


@dataclass
class ScsiNode(Node):
    """A daemon that sees the emulated devices."""

    devices: dict[str, str] = field(default_factory=dict)

    def _environment(self):
        return {**super()._environment(), **self.devices}


def put_tools_into(path: Path) -> None:
    """Programs of the names of the LTFS tools; each would only fail."""
    for name in ("mkltfs", "ltfs", "ltfsck"):
        (path / name).write_text(f"#!{sys.executable}\nraise SystemExit(16)\n")
        (path / name).chmod(0o755)


@pytest.fixture
def cartridge(tmp_path):
    """A volume of somebody else's on it."""
    path = tmp_path / "VLT001L8"
    with VirtualMedium.create(path) as medium:
        format_volume(medium, serial="VLT001", barcode="VLT001L8", name="Sở Nội vụ")
    with VirtualMedium.open(path, write=True) as medium, WriteSession.open(medium) as session:
        session.append("hồ sơ/1.pdf", [HELD])
        session.commit()
    return path


@pytest.fixture
def library(tmp_path, cartridge):
    require("mtx", "mtx", ["/usr/sbin", "/sbin"])
    with emulated_library(tmp_path, drives=2, slots=4, exports=1) as found:
        found.do("put", kind=STORAGE, number=0, barcode="VLT001L8", folder=str(cartridge))
        found.do("put", kind=STORAGE, number=2, barcode="CLN001CU")
        yield found


@pytest.fixture
def node(tmp_path, library):
    root = tmp_path / "node"
    root.mkdir()
    made = ScsiNode.make(root, LIBRARY)
    (tmp_path / "tools").mkdir()
    # Without whatever else is on this machine: no LTFS tools.
    made.devices = {**library.environment, "PATH": f"{tmp_path}/tools:/usr/sbin:/usr/bin:/sbin:/bin"}
    made.start()
    try:
        yield made
    finally:
        made.kill(signal.SIGTERM)


def seen(client, barcode):
    try:
        return tapes.one(client, barcode)
    except NotFound:
        return None


def metric(node, name, **labels):
    """The value of one sample; None where there is none."""
    with urllib.request.urlopen(f"{node.address()}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    for line in lines:
        head, _, value = line.rpartition(" ")
        if head.startswith(f"{name}{{") and all(f'{key}="{text}"' in head for key, text in labels.items()):
            return float(value)
    return None


def test_a_daemon_owns_a_scsi_library(node, library):
    log = (node.root / "log").read_text
    with node.client() as client:
        # Inventory, and the drives by serial number: drive 0 of the library is not the first node.
        one = eventually(lambda: seen(client, "VLT001L8"), 60, log)
        assert (one.whereabouts, one.element, one.generation) == ("library", "slot 1", "LTO-8")
        assert seen(client, "CLN001CU").state == "cleaning"
        drives = eventually(lambda: tapes.everything(client).drives, 60, log)
        assert [(drive.number, drive.serial, drive.problem) for drive in drives] == [
            (0, "10WT012340", ""), (1, "10WT012341", "")
        ]  # fmt: skip
        assert library.serials["10WT012340"] == "/dev/sg2"
        assert metric(node, "vault_tape_library_up", library="autoloader") == 1

        # Loaded, its label compared; unloaded to where it was.
        assert tapes.act(client, "VLT001L8", "load").element == "drive 0"
        assert library.run("/usr/sbin/mtx", "-f", library.changer, "status")[1].count(":Full (Storage Element 1") == 1
        tapes.act(client, "VLT001L8", "unload")
        eventually(lambda: seen(client, "VLT001L8").element == "slot 1", 60, log)

        # Read through SG_IO, from its last index to its last byte.
        adopted = tapes.adopt(client, "VLT001L8")
        assert (adopted.kind, adopted.files) == ("foreign", 1)
        assert [item.path for page in tapes.files(client, "VLT001L8") for item in page.items] == ["hồ sơ/1.pdf"]
        assert eventually(lambda: content(client), 60, log) == HELD

        # What a drive says of itself is kept where it was read, and told.
        assert metric(node, "vault_tape_drive_alert_timestamp_seconds", serial="10WT012341", flag="hard-error") is None
        library.do("set", node="/dev/sg1", alerts=[3])
        eventually(
            lambda: metric(node, "vault_tape_drive_alert_timestamp_seconds", serial="10WT012341", flag="hard-error"),
            60,
            log,
        )
        with pytest.raises(Refused):
            tapes.act(client, "CLN001CU", "load")
        assert seen(client, "CLN001CU").state == "cleaning"


def unwritable(client):
    """What the library says of writing, and what the status tells of it."""
    told = [alert.message for alert in client.status().alerts if alert.code == "library-unwritable"]
    return tapes.everything(client).libraries[0].unwritable, told


def test_without_the_ltfs_tools_only_writing_waits_and_says_so(node, library):
    log = (node.root / "log").read_text
    with node.client() as client:
        eventually(lambda: seen(client, "VLT001L8"), 60, log)
        reason, (told,) = eventually(lambda: unwritable(client), 60, log)
        assert reason == (
            "The LTFS tools are not installed (mkltfs, ltfs, ltfsck). A real drive needs them: see "
            "docs/howto/tape-drive.md."
        )
        assert told == f"Nothing can be written in the tape library autoloader. {reason}"
        assert "library-unusable" not in [alert.code for alert in client.status().alerts]
        # A cartridge with data is told for what it is; a blank one is not begun with.
        with pytest.raises(Refused, match="it holds the LTFS volume"):
            tapes.act(client, "VLT001L8", "format", wire.FormatOrder(pool="tape"))
        put_tools_into(node.root.parent / "tools")
        eventually(lambda: unwritable(client) == ("", []), 60, log)


def content(client):
    try:
        with tapes.content(client, "VLT001L8", "hồ sơ/1.pdf") as download:
            return b"".join(download.chunks())
    except Unreachable:
        return None


def test_what_was_checked_out_waits_in_the_mail_slot_and_is_not_used(node, library):
    log = (node.root / "log").read_text
    with node.client() as client:
        eventually(lambda: seen(client, "VLT001L8"), 60, log)
        tapes.act(client, "VLT001L8", "checkout", wire.CheckoutOrder(shelf="giá 2"))
        _, status = library.run("/usr/sbin/mtx", "-f", library.changer, "status")
        assert "IMPORT/EXPORT:Full :VolumeTag=VLT001L8" in status
        # Inventories that still see it there do not make it one that can be used.
        for _ in range(2):
            tapes.inventory(client, "autoloader")
            found = tapes.one(client, "VLT001L8")
            assert (found.whereabouts, found.shelf, found.element) == ("vaulted", "giá 2", "slot 5")
        library.do("take", kind=EXPORT, number=0)
        tapes.inventory(client, "autoloader")
        assert (tapes.one(client, "VLT001L8").whereabouts, tapes.one(client, "VLT001L8").element) == ("vaulted", "")
        with pytest.raises(VaultError) as away:
            tapes.act(client, "VLT001L8", "checkin")
        assert away.value.code == "cartridge-not-there"
        # Brought back, and its label scanned: it is taken in.
        library.do("put", kind=EXPORT, number=0, barcode="VLT001L8", folder=str(node.root.parent / "VLT001L8"))
        found = tapes.act(client, "VLT001L8", "checkin")
        assert (found.whereabouts, found.element) == ("library", "slot 1")
