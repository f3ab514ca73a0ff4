"""A node on hardware that QEMU gives it and takes away: an array, an NVMe and an IDE disk; and two exports of a
file server.

Each test leaves everything well behind it, so the next begins with a policy that holds. What fires is said by a real
Prometheus on this side, by the rules of monitoring/alerts.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.support.nodes import eventually
from tests.support.prometheus import Prometheus
from tests.system.guest.image import image
from tests.system.guest.machine import Guest, guest

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(2400)]

SERIALS = {"ata": "GUEST-ATA-1", "nvme": "GUEST-NVME-1", "one": "GUEST-SCSI-1", "two": "GUEST-SCSI-2"}
DISKS = (*SERIALS, "export")
ARRAY = "md0"
# The NVMe disk is mounted by hand, so that systemd does not unmount it when it is pulled out.
FSTAB = """\
LABEL=array /srv/array ext4 defaults,nofail 0 0
127.0.0.1:/export/a /srv/nas-a nfs4 _netdev,nofail,noauto,hard 0 0
127.0.0.2:/export/b /srv/nas-b nfs4 _netdev,nofail,noauto,hard 0 0
"""
PREPARE = f"""
udevadm settle
modprobe raid1
mdadm --create /dev/{ARRAY} --level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal --run --assume-clean \
    /dev/disk/by-id/scsi-*{SERIALS["one"]} /dev/disk/by-id/scsi-*{SERIALS["two"]}
mkfs.ext4 -q -L array /dev/{ARRAY}
mkfs.ext4 -q -L nvme /dev/nvme0n1
mkfs.ext4 -q -L export /dev/disk/by-id/virtio-export
mkdir -p /export /srv/{{array,nvme,nas-a,nas-b}} /etc/nfs.conf.d
mount LABEL=export /export
mkdir /export/a /export/b
# After a restart the server keeps new clients out for so long (nfsd(8)); 90 seconds in earnest.
printf '[nfsd]\\nvers3=n\\ngrace-time=10\\nlease-time=10\\n' >/etc/nfs.conf.d/quick.conf
for export in a b; do
    echo "/export/$export 127.0.0.0/8(rw,no_root_squash,no_subtree_check,sync,fsid=$(printf %d "'$export"))"
done >/etc/exports
systemctl start nfs-server
mountpoint -q /srv/array || mount LABEL=array /srv/array || mountpoint -q /srv/array
mount LABEL=nvme /srv/nvme
mount /srv/nas-a
mount /srv/nas-b
"""
FILE_SERVER = ("nas-a", "nas-b")
VOLUMES = ("array", "nvme", *FILE_SERVER)
INIT = "vaultctl init --name sonla-1 --no-tape --disk-copies 4 --no-start --token-out /run/token " + " ".join(
    f"--volume /srv/{name},domain={name}" for name in VOLUMES
)
# So that a test does not wait for minutes, as far as an emulated processor can follow; the rest of the configuration is
# what init made.
HURRY = r"""
sed -i 's/^receipt_after = 4/receipt_after = 2/
        0,/^\[\[policy\]\]/s//[[policy]]\nname = "hai"\nmatch = { class = "hai" }\ndisk = 2\n\n[[policy]]/' \
    /etc/vault/vault.toml
printf '\n[health]\ninterval = "15s"\n' >>/etc/vault/vault.toml
systemctl stop vault-smart.timer
mkdir -p /etc/systemd/system/vaultd.service.d
printf '[Service]\nWatchdogSec=90\n' >/etc/systemd/system/vaultd.service.d/quick.conf
systemctl daemon-reload
systemctl enable --now vaultd
"""


class Node:
    """The node in the guest, asked over its API; and the Prometheus that scrapes it."""

    def __init__(self, machine: Guest, prometheus: Prometheus) -> None:
        self.machine, self.prometheus = machine, prometheus
        token = machine.shell("cat /run/token").strip()
        headers = {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=machine.address, headers=headers, timeout=180)
        self.kept: dict[str, str] = {}
        self._chance = random.Random(1)

    def get(self, address: str) -> dict:
        answer = self.client.get(f"/v1/{address}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def deposit(self, identifier: str, size: int = 100_000, copies: str = "") -> None:
        """A deposit that gets its receipt at once: two copies of it are good."""
        body = self._chance.randbytes(size)
        answer = self.client.put(
            f"/v1/packages/{quote(identifier)}", content=body, headers={"Prefer": "wait=120"},
            params={"class": copies} if copies else {},
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        self.kept[identifier] = hashlib.sha512(body).hexdigest()

    def holders(self, identifier: str) -> set[str]:
        """The volumes on which there is any copy of it."""
        copies = self.get(f"packages/{quote(identifier)}")["versions"][0]["copies"]
        return {copy["volume"] for copy in copies if copy["state"] not in ("planned", "retired")}

    def volume(self, name: str) -> dict:
        return self.get(f"volumes/{name}")

    def states(self) -> dict[str, dict[str, int]]:
        return {volume["name"]: volume["copies"] for volume in self.get("volumes")["items"]}

    def alerts(self) -> set[tuple[str, str]]:
        return {(alert["code"], alert["subject"]) for alert in self.get("status")["alerts"]}

    def metric(self, *parts: str) -> list[str]:
        """The series whose line holds all of these, and whose value is not 0. A scrape has nothing of what the
        catalogue knows where that was busy for seconds."""
        text = self.client.get("/metrics").text
        lines = [line for line in text.splitlines() if all(part in line for part in parts) and not line.startswith("#")]
        return [line for line in lines if float(line.split()[-1])]

    def fires(self, name: str, **labels: str) -> bool:
        """Whether Prometheus has such an alert firing."""
        return any(labels.items() <= found.items() for found in self.prometheus.firing().get(name, []))

    def looked_at(self) -> str:
        """When the devices were last looked at."""
        (found,) = (s["last_success"] for s in self.get("status")["schedules"] if s["kind"] == "health")
        return found

    def waits(self, condition, seconds: float = 180) -> None:
        """Wait until that holds."""
        eventually(condition, seconds, lambda: (sorted(self.alerts()), self.journal()), every=1)

    def rounds_until(self, condition) -> int:
        """Wait until that holds; how often the devices were looked at in between. An emulated machine that others keep
        busy takes longer for a round than its interval, so what is due within an interval is counted in rounds."""
        seen = {self.looked_at()}
        self.waits(lambda: (seen.add(self.looked_at()), condition())[1])
        return len(seen) - 1

    def settle(self) -> None:
        """Wait until the policy holds for everything on volumes that are all there; then what was kept is as it was."""
        self.waits(self._settled, 300)
        for identifier, digest in self.kept.items():
            body = self.client.get(f"/v1/content/{quote(identifier)}", params={"file": "content"}).content
            assert hashlib.sha512(body).hexdigest() == digest, identifier

    def _settled(self) -> bool:
        status = self.get("status")
        up = all(volume["condition"] == "online" for volume in status["volumes"])
        return up and status["policy_held"] and not status["below_policy"] and not status["running"]

    def never_corrupt(self) -> None:
        """No copy is said to be anything but good, and no evidence of damage was kept."""
        assert {state for copies in self.states().values() for state in copies} == {"good"}, self.states()
        left = self.machine.shell("ls -A /srv/{array,nvme,nas-a,nas-b}/evidence | grep -v : || true")
        assert left.split() == []

    def journal(self) -> str:
        return self.machine.shell("journalctl -u vaultd -b --no-pager -n 40; cat /proc/mdstat; df -h", code=None)


@pytest.fixture(scope="module")
def node(tmp_path_factory, deb) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("hardware")
    for name in DISKS:
        with (folder / f"{name}.img").open("wb") as file:
            file.truncate(2560 << 20)
    with guest(folder, image(deb), _devices(folder), FSTAB) as machine:
        machine.boot()
        machine.shell(PREPARE)
        assert "Nothing is wrong." in machine.shell(INIT, seconds=600)
        machine.shell(HURRY)
        prometheus = Prometheus(folder / "prometheus", [machine.address.removeprefix("http://")], every="15s")
        made = Node(machine, prometheus)
        try:
            _ask_the_disks(made)
            made.deposit("trước/một")
            made.deposit("trước/lớn", 20_000_000)
            made.settle()
            yield made
        finally:
            made.client.close()
            prometheus.stop()


def _devices(folder: Path) -> list[str]:
    nodes = [
        argument
        for name in DISKS
        for argument in ("-blockdev", f"driver=raw,node-name={name},cache.no-flush=on,"
                         f"file.driver=file,file.filename={folder}/{name}.img")
    ]  # fmt: skip
    return [
        *nodes, "-device", "virtio-blk-pci,drive=export,serial=export",
        "-device", f"ide-hd,drive=ata,bus=ide.0,serial={SERIALS['ata']},model=GUESTDISK,rotation_rate=7200",
        "-device", f"nvme,id=nv,drive=nvme,serial={SERIALS['nvme']}", "-device", "virtio-scsi-pci,id=scsi",
        "-device", f"scsi-hd,id=d1,bus=scsi.0,drive=one,serial={SERIALS['one']},device_id={SERIALS['one']}",
        "-device", f"scsi-hd,id=d2,bus=scsi.0,drive=two,serial={SERIALS['two']},device_id={SERIALS['two']}",
    ]  # fmt: skip


def _ask_the_disks(node: Node) -> None:
    """What the timer does every quarter of an hour."""
    node.machine.shell("systemctl start vault-smart")


def _critical_warning(node: Node, bits: int) -> None:
    node.machine.qmp("qom-set", path="/machine/peripheral/nv", property="smart_critical_warning", value=bits)


def test_disks_are_what_smartctl_says_of_them(node):
    node.waits(lambda: node.metric("vault_disk_volume{", SERIALS["nvme"], 'volume="nvme"'))
    for serial in (SERIALS["one"], SERIALS["two"]):
        node.waits(lambda serial=serial: node.metric("vault_disk_volume{", serial, 'volume="array"'))
    disks = {disk["serial"]: disk for disk in node.get("disks")["items"]}
    assert set(SERIALS.values()) <= set(disks)
    for name, device in (("ata", "/dev/disk/by-id/ata-GUESTDISK_*"), ("nvme", "/dev/nvme0")):
        assert disks[SERIALS[name]]["health"] == "healthy", disks[SERIALS[name]]
        told = json.loads(node.machine.shell(f"smartctl -a -j {device}"))["temperature"]["current"]
        shown = f'vault_disk_temperature_celsius{{serial="{SERIALS[name]}"}} {told:.1f}'
        node.waits(lambda shown=shown: node.metric(shown))
    assert node.volume("nvme")["health"] == "healthy"


def test_an_nvme_disk_that_warns_is_not_trusted_any_more(node):
    """Its controller sets the bit for "reliability is degraded"; the volume on it is thought of as the disk is."""
    nvme = SERIALS["nvme"]
    _critical_warning(node, 4)
    try:
        _ask_the_disks(node)
        # One may have been under way.
        assert node.rounds_until(lambda: node.volume("nvme")["health"] == "failed") <= 2
        node.waits(lambda: node.metric("vault_disk_verdict{", nvme, 'verdict="failed"'))
        node.waits(lambda: node.metric("vault_volume_health{", 'volume="nvme"', "failed"))
        assert ("disk-failed", nvme) in node.alerts()
        node.waits(lambda: node.fires("VaultDiskFailed", serial=nvme))
        node.deposit("khi cảnh báo", copies="hai")
        assert len(node.holders("khi cảnh báo") - {"nvme"}) == 2, "new copies go elsewhere"
        orders = node.get("verifications")["items"]
        assert any(order["volume"] == "nvme" for order in orders), orders
    finally:
        _critical_warning(node, 0)
    _ask_the_disks(node)
    node.waits(lambda: node.volume("nvme")["health"] == "healthy")
    assert ("disk-failed", nvme) not in node.alerts()
    node.waits(lambda: not node.fires("VaultDiskFailed"))
    node.settle()
    node.never_corrupt()


def test_an_array_that_lost_a_disk_says_so_and_goes_on(node):
    """One of its disks is pulled out, and put in again."""
    well = node.volume("array")["health"]
    node.waits(lambda: node.metric("vault_array_state{", ARRAY, 'state="well"'))
    node.machine.unplug("d2")
    assert node.rounds_until(lambda: node.volume("array")["health"] == "failing") <= 2
    node.waits(lambda: node.metric("vault_array_state{", ARRAY, 'state="degraded"'))
    node.waits(lambda: node.metric("vault_volume_health{", 'volume="array"', "failing"))
    assert ("array-degraded", ARRAY) in node.alerts()
    node.waits(lambda: node.fires("VaultArrayDegraded", array=ARRAY))
    node.deposit("mất một đĩa", copies="hai")
    assert len(node.holders("mất một đĩa") - {"array"}) == 2
    node.deposit("vẫn ba bản")
    node.machine.plug("scsi-hd", "d2", bus="scsi.0", drive="two", serial=SERIALS["two"], device_id=SERIALS["two"])
    disk = f"/dev/disk/by-id/scsi-*{SERIALS['two']}"
    node.machine.shell(
        f"until ls {disk}; do sleep 0.2; done; udevadm settle; test $(ls -d /sys/block/{ARRAY}/md/dev-* | wc -l) = 2"
        f" || mdadm /dev/{ARRAY} --re-add {disk}"
    )
    node.waits(lambda: node.metric("vault_array_state{", ARRAY, 'state="well"'), 240)
    node.waits(lambda: node.volume("array")["health"] == well)
    node.waits(lambda: not node.fires("VaultArrayDegraded"))
    assert not any(code.startswith("array-") for code, _ in node.alerts())
    node.settle()
    node.never_corrupt()


def test_a_file_server_that_stops_is_an_outage_and_no_loss(node):
    """It stops in the midst of a check of all that is on it."""
    before = node.states()
    node.machine.shell("vaultctl verify --volume nas-a; systemctl stop nfs-server")
    for name in FILE_SERVER:
        node.waits(lambda name=name: node.volume(name)["condition"] == "offline", 180)
        assert node.states()[name] == before[name], "its copies keep what was last proved"
        node.waits(lambda name=name: node.metric("vault_volume_condition{", f'volume="{name}"', 'condition="offline"'))
        assert ("volume-offline", name) in node.alerts()
        node.waits(lambda name=name: node.fires("VaultVolumeOffline", volume=name))
    node.deposit("khi máy chủ tệp nghỉ")
    assert node.holders("khi máy chủ tệp nghỉ") == {"array", "nvme"}
    node.machine.shell("systemctl start nfs-server")
    for name in FILE_SERVER:
        node.waits(lambda name=name: node.volume(name)["condition"] == "online", 240)
    node.waits(lambda: not node.fires("VaultVolumeOffline"))
    node.settle()
    node.waits(lambda: not [o for o in node.get("verifications")["items"] if o["state"] == "running"], 240)
    assert not any(order["bad"] for order in node.get("verifications")["items"])
    node.never_corrupt()


def test_a_full_disk_holds_up_its_own_copies_only(node):
    node.machine.shell("fallocate -l $(($(stat -f -c '%a*%S' /srv/nvme) - 1000000)) /srv/nvme/full")
    node.waits(lambda: ("volume-full", "nvme") in node.alerts())
    node.waits(lambda: node.fires("VaultVolumeFull", volume="nvme"))
    node.deposit("khi đĩa đầy")
    assert node.holders("khi đĩa đầy") == {"array", *FILE_SERVER}
    node.machine.shell("rm /srv/nvme/full")
    node.waits(lambda: ("volume-full", "nvme") not in node.alerts())
    node.waits(lambda: not node.fires("VaultVolumeFull"))
    node.settle()
    node.never_corrupt()


def test_a_clock_that_jumps_stops_nothing_and_breaks_no_chain(node):
    for number, days in enumerate((3, -6, 3)):
        node.machine.shell(f"date -s '{days} days' >/dev/null")
        node.deposit(f"đồng hồ/{number}")
        # What is done at intervals goes on.
        before = node.looked_at()
        node.waits(lambda before=before: node.looked_at() != before)
    node.settle()
    node.machine.shell("vaultctl ledger verify")
    node.never_corrupt()


def test_a_disk_that_is_pulled_out_and_put_back(node):
    """The NVMe disk with its volume: away, and then back at another name of the kernel's."""
    before = node.states()["nvme"]
    node.machine.unplug("nv")
    node.waits(lambda: node.volume("nvme")["condition"] == "offline", 60)
    assert node.states()["nvme"] == before
    _ask_the_disks(node)
    node.waits(lambda: not node.metric("vault_disk_present{", SERIALS["nvme"]))
    node.deposit("khi rút đĩa")
    node.machine.plug("nvme", "nv", drive="nvme", serial=SERIALS["nvme"])
    node.machine.shell(
        "umount -l /srv/nvme; until mount LABEL=nvme /srv/nvme; do sleep 0.5; done 2>/dev/null", seconds=120
    )
    node.waits(lambda: node.volume("nvme")["condition"] == "online")
    _ask_the_disks(node)
    node.waits(lambda: node.metric("vault_disk_present{", SERIALS["nvme"]))
    node.settle()
    node.never_corrupt()


def test_a_daemon_that_stands_still_is_started_again(node):
    """systemd hears nothing of it for as long as the watchdog allows, kills it and starts another."""
    node.machine.shell("vaultctl verify --all --wait", seconds=600)
    node.machine.shell("systemctl kill --kill-whom=main --signal=STOP vaultd")
    restarts = "systemctl show vaultd --property=NRestarts,ActiveState --value"
    # A minute and a half (the unit has three), and a start.
    eventually(lambda: sorted(node.machine.shell(restarts).split()) == ["1", "active"], 480, node.journal, every=5)
    assert "Watchdog timeout" in node.machine.shell("journalctl -u vaultd -b --no-pager")
    node.deposit("sau khi treo")
    node.settle()
    node.machine.shell("vaultctl ledger verify")
    node.never_corrupt()
