"""The plug is pulled: QEMU is killed at random moments under load, and what its disks' caches held is gone in part.

The node's own disk and both volumes are disks with a volatile cache (guest/disk.py); the root is not. Looked at are the
disks as the cut left them, and the node after it came up again by itself. KHOSO_PLUGS says how often (3; 50 is the long
run), KHOSO_SEED repeats the choices (not the timing).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

import httpx
import pytest

from tests.support.nodes import eventually
from tests.support.ocflpy import root_complaints
from tests.support.senders import Promise, Senders
from tests.system.guest.disk import PIECE, VolatileDisk
from tests.system.guest.extract import folder_of, make_disk
from tests.system.guest.image import image
from tests.system.guest.machine import Guest, guest
from vault.formats.ocfl.layout import object_path
from vault.formats.ocfl.object_ids import object_id
from vault.signing import verify_document

PLUGS = int(os.environ.get("KHOSO_PLUGS", "3"))
SEED = int(os.environ.get("KHOSO_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(1200 + 600 * PLUGS)]

VOLUMES = ("nas-a", "nas-b")
DISKS = {"state": "2048M", "nas-a": "3072M", "nas-b": "3072M"}
FSTAB = """\
LABEL=state /var/lib/vault ext4 defaults 0 2
LABEL=nas-a /srv/nas-a ext4 defaults,nofail 0 2
LABEL=nas-b /srv/nas-b ext4 defaults,nofail 0 2
"""
INIT = "vaultctl init --name sonla-1 --volume /srv/nas-a,domain=nas-a --volume /srv/nas-b,domain=nas-b --no-tape"
PROBES = 64


class Archive:
    """The guest, its disks, and what its depositors hold."""

    def __init__(self, folder: Path, machine: Guest, disks: dict[str, VolatileDisk], chance: random.Random) -> None:
        self.folder, self.machine, self.disks, self.chance = folder, machine, disks, chance
        machine.boot()
        for name in disks:
            assert machine.shell(f"cat /sys/block/$(basename $(readlink -f {_by_id(name)}))/queue/write_cache") == (
                "write back\n"
            )
        assert "Nothing is wrong." in machine.shell(f"{INIT} --token-out /run/token", seconds=900)
        self.token = machine.shell("cat /run/token").strip()
        self.senders = Senders(machine.address, self.token, chance)

    def under_load(self) -> None:
        """Deposits come in; in the midst of a write to one of the disks, any, the plug is pulled."""
        self.machine.shell(
            f"dd if=/dev/urandom of=/run/noise bs={PIECE} count={PROBES} status=none;"
            f"dd if=/run/noise of={_by_id('probe')} bs={PIECE} oflag=direct conv=fsync status=none;"
            f"dd if=/run/noise of={_by_id('probe')} bs={PIECE} oflag=direct seek={PROBES} status=none"
        )
        with self.senders.sending():
            self.senders.wait_for(self.chance.randrange(1, 5), 300)
            self.disks[self.chance.choice(tuple(DISKS))].arm(self.chance.randrange(1, 100), self.machine.kill)
            eventually(lambda: not self.machine.running, 120, self._journal, every=0.2)
            self.machine.pull_the_plug()
        assert not self.senders.wrong

    def kept_on_the_media(self, number: int) -> None:
        """After the ``number``th cut, before anything boots: what was promised is on both disks, and the disks do lose
        what was not flushed."""
        lost = {name: disk.wait_for_cut(number) for name, disk in self.disks.items()}
        print(f"plug {number}: {len(self.senders.promises)} promises; not flushed, and of that lost: {lost}")
        noise = self.disks["probe"].medium.read_bytes()
        pieces = [noise[n * PIECE : (n + 1) * PIECE] for n in range(2 * PROBES)]
        assert all(any(piece) for piece in pieces[:PROBES]), "flushed, and lost"
        if number == 1:
            assert (PROBES, sum(not any(piece) for piece in pieces[PROBES:])) == lost["probe"]
        for volume in VOLUMES:
            self._assert_promises(folder_of(self.disks[volume].medium, "/ocfl", self.folder / "cut" / volume), volume)

    def converges(self) -> None:
        """It boots and nobody does anything: the policy holds for everything, every receipt is true."""
        self.machine.boot()
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=self.machine.address, headers=headers, timeout=60) as client:
            eventually(lambda: not _unsettled(client), 900, lambda: (_unsettled(client), self._journal()), every=2)
            heads = {promise.identifier: promise for promise in self.senders.promises}
            for identifier in heads:
                found = client.get(f"/v1/packages/{identifier}").json()
                for version in found["versions"]:
                    good = {copy["volume"] for copy in version["copies"] if copy["state"] == "good"}
                    assert good == set(VOLUMES), (identifier, version)
            for promise in self.senders.promises[-10:]:
                again = client.get(f"/v1/receipts/{promise.identifier}", params={"version": f"v{promise.number}"})
                assert again.json() == promise.receipt
        self.machine.shell("vaultctl ledger verify")
        for promise in self.senders.promises:
            assert verify_document(promise.receipt).ok

    def sound(self) -> None:
        """While it holds still: the storage roots are valid, hold what was promised, and nothing was called damaged."""
        stands = "; ".join(f"fsfreeze -f /srv/{volume}" for volume in VOLUMES)
        goes_on = "; ".join(f"fsfreeze -u /srv/{volume}" for volume in VOLUMES)
        self.machine.shell(f"sync; {stands}")
        try:
            for volume in VOLUMES:
                root = folder_of(self.disks[volume].medium, "/ocfl", self.folder / "sound" / volume)
                assert root_complaints(root) == ""
                self._assert_promises(root, volume)
        finally:
            self.machine.shell(goes_on)
        assert self.machine.shell("ls -A /srv/nas-a/evidence /srv/nas-b/evidence | grep -v : || true").split() == []

    def _assert_promises(self, root: Path, volume: str) -> None:
        for promise in self.senders.promises:
            assert _files(root, promise) == promise.files, (volume, promise.identifier, promise.number)

    def _journal(self) -> str:
        return self.machine.shell("journalctl -u vaultd -b --no-pager -n 40; df -h; systemctl --failed", code=None)


def test_nothing_acknowledged_is_lost_when_the_plug_is_pulled(tmp_path, deb):
    print(f"KHOSO_SEED={SEED}")
    chance = random.Random(SEED)
    boots_from = image(deb)
    media = {name: make_disk(tmp_path / f"{name}.img", name, size) for name, size in DISKS.items()}
    media["probe"] = tmp_path / "probe.img"
    media["probe"].write_bytes(bytes(2 * PROBES * PIECE))
    disks = {
        name: VolatileDisk(medium, tmp_path / f"{name}.nbd", random.Random(chance.randrange(2**31)))
        for name, medium in media.items()
    }
    devices = [argument for name, disk in disks.items() for argument in _attached(name, disk)]
    with guest(tmp_path, boots_from, devices, FSTAB) as machine:
        archive = Archive(tmp_path, machine, disks, chance)
        for number in range(1, PLUGS + 1):
            archive.under_load()
            archive.kept_on_the_media(number)
            archive.converges()
            archive.sound()
    for disk in disks.values():
        disk.close()
    gone = {name: sum(lost for _, lost in disk.cuts) for name, disk in disks.items()}
    print(f"{PLUGS} plugs, {len(archive.senders.promises)} receipts; pieces of {PIECE} bytes lost: {gone}")
    # A loss must have been possible: what was written and not flushed is gone, on the disks that count as well.
    assert gone["probe"]
    assert gone["state"] + gone["nas-a"] + gone["nas-b"]


def _by_id(name: str) -> str:
    return f"/dev/disk/by-id/virtio-{name}"


def _attached(name: str, disk: VolatileDisk) -> list[str]:
    source = f"driver=nbd,node-name={name},server.type=unix,server.path={disk.path}"
    return ["-blockdev", source, "-device", f"virtio-blk-pci,drive={name},serial={name}"]


def _unsettled(client: httpx.Client) -> str:
    """What is still to be done; "" when nothing is."""
    try:
        answer = client.get("/v1/status")
    except httpx.HTTPError as error:
        return f"no answer: {error!r}"
    if answer.status_code != 200:
        return answer.text
    status = answer.json()
    away = [volume["name"] for volume in status["volumes"] if volume["condition"] != "online"]
    busy = [task["kind"] for task in status["running"]]
    if away or busy or not status["policy_held"] or status["below_policy"]:
        return json.dumps([away, busy, status["below_policy"], status["tasks"], status["alerts"]])
    return ""


def _files(root: Path, promise: Promise) -> dict[str, str]:
    """The sha512 of the files of a version, by the inventory and the folder alone."""
    place = root / object_path(object_id(promise.identifier))
    inventory = json.loads((place / "inventory.json").read_bytes())
    state = inventory["versions"][f"v{promise.number}"]["state"]
    found = {}
    for digest, logicals in state.items():
        content = (place / inventory["manifest"][digest][0]).read_bytes()
        for logical in logicals:
            if logical in promise.files:
                found[logical] = hashlib.sha512(content).hexdigest()
    return found
