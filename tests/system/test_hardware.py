"""A node on hardware that QEMU gives it and takes away: an array, an NVMe and an IDE disk, an NFS export.

Each test leaves everything well behind it, so the next begins with a policy that holds.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.nodes import eventually
from tests.system.guest.image import image
from tests.system.guest.machine import Guest, guest

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(2400)]

SERIALS = {"ata": "GUEST-ATA-1", "nvme": "GUEST-NVME-1", "one": "GUEST-SCSI-1", "two": "GUEST-SCSI-2"}
FSTAB = """\
LABEL=array /srv/array ext4 defaults,nofail 0 0
LABEL=nvme /srv/nvme ext4 defaults,nofail 0 0
127.0.0.1:/export /srv/nas nfs4 _netdev,nofail,noauto,hard 0 0
"""
PREPARE = """
udevadm settle
mdadm --create /dev/md0 --level=1 --raid-devices=2 --metadata=1.2 --run --assume-clean \
    /dev/disk/by-id/scsi-*GUEST-SCSI-1 /dev/disk/by-id/scsi-*GUEST-SCSI-2
mkfs.ext4 -q -L array /dev/md0
mkfs.ext4 -q -L nvme /dev/nvme0n1
mkdir -p /export /srv/array /srv/nvme /srv/nas
# A file system of its own: what is exported is not the root.
truncate -s 2500M /var/export.img
mkfs.ext4 -q /var/export.img
mount /var/export.img /export
mkdir -p /srv/array /srv/nvme /srv/nas
echo '/export 127.0.0.1(rw,no_root_squash,sync,fsid=1)' >/etc/exports
systemctl start nfs-server
mount /srv/array
mount /srv/nvme
mount /srv/nas
"""
VOLUMES = ("array", "nvme", "nas")
INIT = "vaultctl init --name sonla-1 --no-tape --disk-copies 3 --token-out /run/token " + " ".join(
    f"--volume /srv/{name},domain={name}" for name in VOLUMES
)
# So that a test does not wait for minutes; the rest of the configuration is what init made.
RHYTHM = '\n[health]\ninterval = "5s"\n[custody]\nplanner_interval = "5s"\nretry_min = "5s"\n'


class Node:
    """The node in the guest, asked over its API."""

    def __init__(self, machine: Guest) -> None:
        self.machine = machine
        token = machine.shell("cat /run/token").strip()
        headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=120"}
        self.client = httpx.Client(base_url=machine.address, headers=headers, timeout=180)
        self.kept: dict[str, str] = {}
        self._chance = random.Random(1)

    def get(self, address: str) -> dict:
        answer = self.client.get(f"/v1/{address}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def deposit(self, identifier: str, size: int = 200_000) -> dict:
        """A deposit that gets its receipt."""
        body = self._chance.randbytes(size)
        answer = self.client.put(f"/v1/packages/{identifier}", content=body)
        assert answer.status_code == 201, answer.text
        self.kept[identifier] = hashlib.sha512(body).hexdigest()
        return answer.json()

    def volume(self, name: str) -> dict:
        return self.get(f"volumes/{name}")

    def states(self) -> dict[str, dict[str, int]]:
        return {volume["name"]: volume["copies"] for volume in self.get("volumes")["items"]}

    def alerts(self) -> list[tuple[str, str]]:
        return [(alert["code"], alert["subject"]) for alert in self.get("status")["alerts"]]

    def metric(self, *parts: str) -> list[str]:
        """The series whose line holds all of these, and whose value is not 0."""
        text = self.client.get("/metrics").text
        lines = [line for line in text.splitlines() if all(part in line for part in parts) and not line.startswith("#")]
        return [line for line in lines if float(line.split()[-1])]

    def settle(self, seconds: float = 240) -> None:
        """Wait until the policy holds for everything on volumes that are all there; then what was kept is as it was."""
        eventually(self._settled, seconds, lambda: (self.get("status"), self.journal()), every=1)
        for identifier, digest in self.kept.items():
            body = self.client.get(f"/v1/content/{identifier}", params={"file": "content"}).content
            assert hashlib.sha512(body).hexdigest() == digest, identifier

    def _settled(self) -> bool:
        status = self.get("status")
        up = all(volume["condition"] == "online" for volume in status["volumes"])
        return up and status["policy_held"] and not status["below_policy"]

    def never_corrupt(self) -> None:
        """No copy is said to be anything but good, and no evidence of damage was kept."""
        assert {state for copies in self.states().values() for state in copies} == {"good"}, self.states()
        left = self.machine.shell("ls -A /srv/{array,nvme,nas}/evidence | grep -v : || true")
        assert left.split() == []

    def journal(self) -> str:
        return self.machine.shell("journalctl -u vaultd -b --no-pager -n 40; cat /proc/mdstat", code=None)


@pytest.fixture(scope="module")
def node(tmp_path_factory, deb) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("hardware")
    for name in SERIALS:
        with (folder / f"{name}.img").open("wb") as file:
            file.truncate(2560 << 20)
    with guest(folder, image(deb), _devices(folder), FSTAB) as machine:
        machine.boot()
        machine.shell(PREPARE)
        assert "Nothing is wrong." in machine.shell(INIT, seconds=900)
        machine.shell(f"printf '{RHYTHM}' >>/etc/vault/vault.toml; systemctl restart vaultd; "
                      "systemctl start vault-smart; systemctl stop vault-smart.timer")  # fmt: skip
        made = Node(machine)
        eventually(lambda: made.client.get("/readyz").status_code == 200, 120, made.journal, every=1)
        made.deposit("trước")
        made.settle()
        yield made


def _devices(folder: Path) -> list[str]:
    drives = [
        argument
        for name in SERIALS
        for argument in ("-drive", f"file={folder}/{name}.img,format=raw,if=none,id={name},cache=unsafe")
    ]
    return [
        *drives, "-device", f"ide-hd,drive=ata,bus=ide.0,serial={SERIALS['ata']},model=GUESTDISK,rotation_rate=7200",
        "-device", f"nvme,id=nv,drive=nvme,serial={SERIALS['nvme']}", "-device", "virtio-scsi-pci,id=scsi",
        "-device", f"scsi-hd,id=d1,bus=scsi.0,drive=one,serial={SERIALS['one']},device_id={SERIALS['one']}",
        "-device", f"scsi-hd,id=d2,bus=scsi.0,drive=two,serial={SERIALS['two']},device_id={SERIALS['two']}",
    ]  # fmt: skip


def _ask_the_disks(node: Node) -> None:
    """What the timer does every quarter of an hour."""
    node.machine.shell("systemctl start vault-smart")


def test_disks_are_what_smartctl_says_of_them(node):
    disks = {disk["serial"]: disk for disk in node.get("disks")["items"]}
    assert set(SERIALS.values()) <= set(disks), node.journal()
    assert (disks[SERIALS["ata"]]["verdict"], disks[SERIALS["nvme"]]["verdict"]) == ("healthy", "healthy")
    temperature = node.machine.shell("smartctl -A -j /dev/sda", code=None)
    told = json.loads(temperature)["temperature"]["current"]
    shown = node.metric("vault_disk_temperature_celsius{", SERIALS["ata"])
    assert [float(line.split()[-1]) for line in shown] == [told]
    assert node.metric("vault_disk_volume{", SERIALS["nvme"], 'volume="nvme"')
    for serial in (SERIALS["one"], SERIALS["two"]):
        assert node.metric("vault_disk_volume{", serial, 'volume="array"'), node.metric("vault_disk_volume")


def test_an_nvme_disk_that_warns_is_not_trusted_any_more(node):
    """Its controller sets the bit for "reliability is degraded"; the volume on it is thought of as the disk is."""
    assert node.volume("nvme")["health"] == "healthy"
    node.machine.qmp("qom-set", path="/machine/peripheral/nv", property="smart_critical_warning", value=4)
    try:
        _ask_the_disks(node)
        eventually(lambda: node.metric("vault_disk_verdict{", SERIALS["nvme"], "fail"), 60, node.journal, every=0.5)
        eventually(lambda: node.volume("nvme")["health"] in ("failing", "failed"), 60, node.journal, every=0.5)
        assert node.metric("vault_volume_health{", 'volume="nvme"', "fail")
        assert any(SERIALS["nvme"] in subject or subject == "nvme" for _, subject in node.alerts()), node.alerts()
        node.never_corrupt()
    finally:
        node.machine.qmp("qom-set", path="/machine/peripheral/nv", property="smart_critical_warning", value=0)
    _ask_the_disks(node)
    eventually(lambda: not node.metric("vault_disk_verdict{", SERIALS["nvme"], "fail"), 60, node.alerts, every=0.5)


def test_an_array_that_lost_a_disk_says_so_and_goes_on(node):
    """One of its disks is pulled out, and another put in."""
    assert node.metric("vault_array_state{", 'state="well"')
    node.machine.qmp("device_del", id="d2")
    node.machine.shell("while ls /dev/disk/by-id/scsi-*GUEST-SCSI-2; do sleep 0.2; done;"
                       # The kernel sees that a member is gone when it next writes there.
                       "dd if=/dev/zero of=/srv/array/x bs=4k count=1 conv=fsync status=none;"
                       "rm /srv/array/x")  # fmt: skip
    eventually(lambda: node.metric("vault_array_state{", 'state="degraded"'), 60, node.journal, every=0.5)
    eventually(lambda: node.volume("array")["health"] == "failing", 60, node.journal, every=0.5)
    assert any("md0" in subject or subject == "array" for _, subject in node.alerts()), node.alerts()
    node.deposit("suy giảm")
    node.settle()
    node.machine.qmp(
        "device_add",
        driver="scsi-hd",
        id="d3",
        bus="scsi.0",
        drive="two",
        serial="GUEST-SCSI-3",
        device_id="GUEST-SCSI-3",
    )
    new = "/dev/disk/by-id/scsi-*GUEST-SCSI-3"
    node.machine.shell(f"while ! ls {new}; do sleep 0.2; done; mdadm --zero-superblock {new} || true;"
                       f"mdadm /dev/md0 --remove detached || true; mdadm /dev/md0 --add {new}")  # fmt: skip
    eventually(lambda: node.metric("vault_array_state{", 'state="well"'), 240, node.journal, every=1)
    node.settle()
    node.never_corrupt()


def test_a_file_server_that_stops_is_an_outage_and_no_loss(node):
    node.machine.shell("systemctl stop nfs-server")
    eventually(lambda: node.volume("nas")["condition"] == "offline", 180, node.journal, every=1)
    assert node.states()["nas"].keys() == {"good"}, "its copies keep what was last proved"
    assert node.metric("vault_volume_condition{", 'volume="nas"', 'condition="offline"')
    node.client.put("/v1/packages/không có nas", content=b"x", headers={"Prefer": "wait=1"})
    node.machine.shell("systemctl start nfs-server")
    eventually(lambda: node.volume("nas")["condition"] == "online", 240, node.journal, every=1)
    node.settle()
    node.never_corrupt()


def test_a_full_disk_holds_up_its_own_copies_only(node):
    node.machine.shell("fallocate -l $(($(stat -f -c '%a*%S' /srv/nvme) - 100000000)) /srv/nvme/full")
    eventually(lambda: any(code == "volume-full" for code, _ in node.alerts()), 90, node.alerts, every=1)
    answer = node.client.put("/v1/packages/đầy", content=b"full", headers={"Prefer": "wait=5"})
    assert answer.status_code in (201, 202, 507), answer.text
    assert "đầy" not in node.machine.shell("ls -R /srv/nvme/ocfl")
    node.machine.shell("rm /srv/nvme/full")
    eventually(lambda: not any(code == "volume-full" for code, _ in node.alerts()), 120, node.alerts, every=1)
    node.deposit("sau khi đầy")
    node.settle()
    node.never_corrupt()


def test_a_clock_that_jumps_stops_nothing_and_breaks_no_chain(node):
    for jump in ("+3 days", "-6 days", "+3 days"):
        node.machine.shell(f"date -s '{jump}' >/dev/null")
        node.deposit(f"đồng hồ {jump} {len(node.kept)}")
    node.settle()
    node.machine.shell("vaultctl ledger verify")
    node.never_corrupt()


def test_a_disk_that_is_pulled_out_and_put_back(node):
    """The NVMe disk with its volume: away, then back at another name of the kernel's."""
    node.machine.qmp("device_del", id="nv")
    eventually(lambda: node.volume("nvme")["condition"] == "offline", 120, node.journal, every=1)
    assert node.states()["nvme"].keys() == {"good"}
    eventually(lambda: not node.metric("vault_disk_present{", SERIALS["nvme"]), 60, node.journal, every=1)
    node.machine.shell("umount -l /srv/nvme || true")
    node.machine.qmp("device_add", driver="nvme", id="nv", drive="nvme", serial=SERIALS["nvme"])
    node.machine.shell(
        "until test -e /dev/disk/by-label/nvme; do sleep 0.2; done; mountpoint -q /srv/nvme || mount /srv/nvme"
    )
    eventually(lambda: node.volume("nvme")["condition"] == "online", 120, node.journal, every=1)
    node.deposit("trở lại")
    node.settle()
    node.never_corrupt()
