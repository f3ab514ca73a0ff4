"""The package in a guest with two LTO-8 drives and a changer that mhvtl emulates, written by the reference LTFS tools.

A real kernel, its sg nodes, its FUSE, systemd and udev; drives with partitions, cartridge memory and TapeAlert. mhvtl
and LTFS are not this project's and no packages of Debian: the test runs where they were built, see guest/vtl.py. In the
order of the tests the library lives on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.nodes import bag, eventually, tar_of
from tests.system.guest import vtl
from tests.system.guest.image import image, system
from tests.system.guest.machine import Guest, guest
from tests.system.guest.node import Node

pytestmark = [
    pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(vtl.lacking()), reason=vtl.lacking()),
]  # fmt: skip

INIT = "vaultctl init --name sonla-1 --volume /srv/nas-a,domain=nas-a,mount=no --no-start"
MORE = """
sed -i '/^kind = "scsi"/a inventory_interval = "10s"\\nmount_after_age = "0s"' /etc/vault/vault.toml
sed -i 's/^tape = 1 /tape = 2 /' /etc/vault/vault.toml
cat >>/etc/vault/vault.toml <<'END'
[[pool]]
name = "here"
set = "bo-1"
[[pool]]
name = "away"
set = "bo-2"
[custody]
planner_interval = "2s"
probe_interval = "2s"
retry_min = "2s"
END
"""
LARGE = 48 << 20
CLEAN_NOW, MEDIUM_LIFE = 20, 7


class Archive(Node):
    """The node, its library, and the hands of whoever stands before it."""

    def __init__(self, machine: Guest) -> None:
        super().__init__(machine)
        self.written: dict[str, bytes] = {}

    def take(self, identifier: str, size: int) -> bytes:
        """Deposit so many bytes that nothing can compress."""
        self.written[identifier] = random.Random(identifier).randbytes(size)
        self.deposit(identifier, self.written[identifier])
        return self.written[identifier]

    def tapes(self, identifier: str) -> dict[str, str]:
        """The states of a package's copies on cartridges."""
        (version,) = self.get(f"packages/{identifier}")["versions"]
        return {one["volume"]: one["state"] for one in version["copies"] if one["volume"] in vtl.DATA}

    def good(self, identifier: str) -> list[str]:
        """The cartridges with a good copy of a package."""
        return sorted(barcode for barcode, state in self.tapes(identifier).items() if state == "good")

    def on_both(self, identifier: str, seconds: float = 900) -> list[str]:
        """Wait until a good copy is in each set."""
        return eventually(lambda: len(found := self.good(identifier)) == 2 and found, seconds, self.troubles, every=2)

    def copy_on_disk(self, identifier: str) -> dict[str, Any]:
        """A package's copy on disk."""
        (version,) = self.get(f"packages/{identifier}")["versions"]
        return next(one for one in version["copies"] if one["volume"] == "nas-a")

    def idle(self) -> None:
        """Wait until the library does nothing."""
        eventually(lambda: not self.get("tapes")["libraries"][0]["doing"], 600, self.troubles, every=2)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What the ledger tells of a kind."""
        found: list[dict[str, Any]] = self.get(f"events?type={kind}&limit=1000")["items"]
        return found

    def troubles(self) -> str:
        """What may be wrong."""
        return f"{self.get('tasks')['items'][-5:]}\n{self.alerts()}\n{self.journal()}"


@pytest.fixture(scope="module")
def archive(tmp_path_factory, deb) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("ltfs")
    boots_from = image(deb)
    disk = vtl.tools_disk(folder / "vtl.img", system() / "root", boots_from.kernel)
    with guest(folder, boots_from, vtl.attached(disk), vtl.FSTAB) as machine:
        machine.boot()
        vtl.start(machine)
        machine.shell(INIT, code=None, seconds=600)
        machine.shell(MORE)
        machine.shell("systemctl enable --now vaultd", seconds=300)
        made = Archive(machine)
        eventually(lambda: made.get("tapes")["libraries"][0]["problem"] == "", 120, made.journal, every=1)
        with closing(made.client):
            yield made


def test_the_library_is_found_whole(archive):
    found = archive.get("tapes")
    assert [(one["number"], one["serial"], one["problem"]) for one in found["drives"]] == [
        (number, serial, "") for number, serial in vtl.DRIVES.items()
    ]
    assert {one["barcode"]: one["state"] for one in found["items"]} == {
        **dict.fromkeys(vtl.DATA, "scratch"), vtl.CLEANING: "cleaning",
    }  # fmt: skip
    assert found["libraries"][0]["unwritable"] == ""


def test_a_deposit_comes_to_a_cartridge_of_each_set_and_is_read_back(archive):
    """mkltfs, ltfs, the unmount; then our own reader on the sg node."""
    archive.take("ho-so-1", 3_000_000)
    both = archive.on_both("ho-so-1")
    pools = {archive.get(f"tapes/{barcode}")["pool"] for barcode in both}
    assert pools == {"here", "away"}
    archive.idle()
    assert archive.machine.shell("grep -c fuse.ltfs /proc/*/mountinfo || true").count(":1") == 0, (
        "nothing stays mounted"
    )


def test_a_later_deposit_is_appended(archive):
    before = archive.good("ho-so-1")
    archive.take("ho-so-2", 500_000)
    assert archive.on_both("ho-so-2") == before
    archive.idle()


def test_what_was_written_is_verified_by_order(archive):
    (barcode, _) = archive.good("ho-so-1")
    order = archive.order("verifications", volume=barcode)
    done = eventually(
        lambda: (found := archive.get(f"verifications/{order['id']}"))["state"] != "running" and found,
        600, archive.troubles, every=2,
    )  # fmt: skip
    assert done["state"] == "done", done


def recalled(archive: Archive, **what: Any) -> dict[str, Any]:
    order = archive.order("recalls", **what)
    return eventually(
        lambda: (found := archive.get(f"recalls/{order['id']}"))["state"] in ("ready", "failed") and found,
        900, archive.troubles, every=2,
    )  # fmt: skip


def test_a_single_file_and_a_version_come_back_from_tape(archive):
    archive.deposit("ho-so-3", tar_of(bag({"lớn.bin": random.Random(3).randbytes(4 << 20), "nhỏ.txt": b"Son La"})))
    archive.on_both("ho-so-3")
    one = recalled(archive, identifier="ho-so-3", files=["data/nhỏ.txt"])
    assert one["state"] == "ready", one
    assert one["done_bytes"] < 1 << 20
    whole = recalled(archive, identifier="ho-so-1")
    assert whole["state"] == "ready", whole


def test_a_disk_copy_that_is_lost_is_made_anew_from_tape(archive):
    archive.machine.shell("find /srv/nas-a/ocfl -path '*ho-so-1*' -size +2900k -delete")
    before = archive.copy_on_disk("ho-so-1")["proved_at"]
    archive.order("verifications", identifier="ho-so-1")
    eventually(lambda: archive.copy_on_disk("ho-so-1")["proved_at"] != before, 900, archive.troubles, every=2)
    eventually(lambda: archive.copy_on_disk("ho-so-1")["state"] == "good", 900, archive.troubles, every=2)
    answer = archive.client.get("/v1/content/ho-so-1", params={"format": "tar"})
    assert answer.status_code == 200
    assert archive.written["ho-so-1"] in answer.content


def test_a_tape_alert_becomes_metric_event_and_alert(archive):
    archive.idle()
    vtl.tape_alert(archive.machine, 1, MEDIUM_LIFE)
    eventually(
        lambda: archive.metric("vault_tape_drive_alert_timestamp_seconds", vtl.DRIVES[1], "medium-life"),
        120, archive.troubles, every=2,
    )  # fmt: skip
    (event,) = [one for one in archive.events("tape-alert") if "medium-life" in one["detail"]["flags"]]
    assert event["detail"]["serial"] == vtl.DRIVES[1]


def test_a_drive_that_asks_for_it_is_cleaned(archive):
    vtl.tape_alert(archive.machine, 0, CLEAN_NOW)
    (event,) = eventually(lambda: archive.events("drive-cleaned"), 600, archive.troubles, every=5)
    assert (event["outcome"], event["detail"]["flags"]) == ("success", [])
    assert archive.get(f"tapes/{vtl.CLEANING}")["uses_left"] == 49


def test_a_cartridge_goes_to_the_shelf_and_comes_back(archive):
    (barcode, _) = archive.good("ho-so-1")
    archive.idle()
    archive.order(f"tapes/{barcode}/checkout", shelf="giá 1")
    assert archive.get(f"tapes/{barcode}")["whereabouts"] == "vaulted"
    found = archive.order(f"tapes/{barcode}/checkin")
    assert found["whereabouts"] == "library"


def test_a_daemon_that_is_killed_while_it_writes_loses_nothing(archive):
    """systemd ends ltfs with it: the next session finds a volume whose last one died."""
    archive.take("ho-so-4", LARGE)
    eventually(lambda: "writing" in archive.tapes("ho-so-4").values(), 600, archive.troubles, every=0.3)
    archive.machine.shell("systemctl kill -s KILL vaultd")
    eventually(archive.ready, 300, every=2)
    archive.on_both("ho-so-4", 1800)
    archive.idle()
    archive.machine.shell("vaultctl ledger verify")


def test_the_reference_agrees_and_the_catalogue_comes_back_from_the_cartridges(archive):
    both = archive.good("ho-so-4")
    archive.idle()
    archive.machine.shell("systemctl stop vaultd", seconds=900)
    changer = archive.machine.shell("readlink -f /dev/tape/by-id/scsi-*changer | head -1").strip()
    for barcode in both:
        said = archive.machine.shell(_CHECK.format(changer=changer, barcode=barcode), code=None, seconds=900)
        assert "LTFS16022I" in said, said
    archive.machine.shell("mv /var/lib/vault/catalog.db /root; rm -rf /srv/nas-a/node/catalog")
    said = archive.machine.shell("runuser -u vault -- vaultctl catalog rebuild --from-tapes", code=None, seconds=1800)
    assert all(barcode in said for barcode in both), said
    archive.machine.shell("systemctl start vaultd", seconds=300)
    eventually(archive.ready, 300, archive.journal, every=2)
    for identifier in archive.written:
        archive.on_both(identifier, 1800)


_CHECK = """
export PATH=/usr/local/bin:$PATH
mtx -f {changer} status
slot=$(mtx -f {changer} status | sed -n 's/ *Storage Element \\([0-9]*\\):Full :VolumeTag={barcode}.*/\\1/p')
drive=$(mtx -f {changer} status | sed -n 's/Data Transfer Element \\([0-9]\\):Full.*{barcode}.*/\\1/p')
if [ -n "$slot" ]; then
    mtx -f {changer} status | grep -q "Element 0:Full" && mtx -f {changer} unload
    mtx -f {changer} load $slot 0; drive=0
fi
serial=KHOD0000$((drive + 1))
node=$(grep -alE $serial /sys/class/scsi_generic/*/device/vpd_pg80 | cut -d/ -f5)
ltfsck /dev/$node
"""
