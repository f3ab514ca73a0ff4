"""What guests boot from: a Debian made of Debian's packages, kept in .cache under a stamp of its recipe.

Made in two steps: the system (debootstrap, minutes, once for each recipe), and upon it the deb (seconds, for each deb).
Each guest runs on a copy. Programs that only some tests need are installed and not started.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.debian import CACHE, alone, codename, mirror
from tests.support.tools import require
from tests.system.guest.extract import SBIN, run

PACKAGES = (
    "systemd-sysv", "dbus", "udev", "kmod", "procps", "iproute2", "netbase", "ca-certificates", "curl", "openssl",
    "python3", "e2fsprogs", "linux-image-amd64", "initramfs-tools", "zstd", "qemu-guest-agent", "smartmontools",
    "nvme-cli", "mdadm", "nfs-kernel-server", "nfs-common", "tgt", "open-iscsi", "mtx", "mt-st", "sg3-utils", "lsscsi",
)  # fmt: skip
IDLE = (
    "nfs-server", "rpcbind.service", "rpcbind.socket", "nfs-client.target", "tgt", "iscsid.socket", "iscsid",
    "open-iscsi", "mdmonitor", "mdcheck_start.timer", "mdcheck_continue.timer", "mdmonitor-oneshot.timer",
    "smartmontools",
    "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap", "fstrim.timer",
    "dpkg-db-backup.timer", "systemd-timesyncd", "systemd-networkd-wait-online", "getty@tty1", "nvmf-autoconnect",
    "systemd-pstore", "remote-cryptsetup.target",
)  # fmt: skip
PROVISION = f"""
set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
echo khoso-guest >/etc/hostname
# Without a password: it is reached by this machine only.
passwd -d root >/dev/null
printf '[Match]\\nName=e*\\n[Network]\\nAddress=10.0.2.15/24\\nGateway=10.0.2.2\\n' >/etc/systemd/network/lan.network
systemctl -q enable systemd-networkd
for unit in {" ".join(IDLE)}; do systemctl -q disable "$unit" 2>/dev/null || true; done
systemctl -q mask serial-getty@ttyS0.service e2scrub_reap.service systemd-random-seed.service \\
    modprobe@drm.service console-getty.service kmod-static-nodes.service
# The API listens on loopback; what stands before it in an archive, a proxy, stands here on port 8421.
printf '[Socket]\\nListenStream=8421\\n[Install]\\nWantedBy=sockets.target\\n' >/etc/systemd/system/door.socket
printf '[Service]\\nExecStart=/lib/systemd/systemd-socket-proxyd 127.0.0.1:8420\\n' >/etc/systemd/system/door.service
systemctl -q enable door.socket
mkdir -p /var/log/journal /srv/nas-a /srv/nas-b /var/lib/vault
# Emulated, each module costs time: the initial file system has what the root needs, and nothing else.
printf 'virtio_pci\\nvirtio_blk\\next4\\ncrc32c_generic\\n' >>/etc/initramfs-tools/modules
sed -i 's/^MODULES=.*/MODULES=list/' /etc/initramfs-tools/initramfs.conf
printf 'blacklist kvm_amd\\nblacklist kvm_intel\\nblacklist pcspkr\\nblacklist psmouse\\n' >/etc/modprobe.d/guest.conf
update-initramfs -u
apt-get clean
rm -rf /var/lib/apt/lists /usr/share/doc /usr/share/locale /usr/share/man
"""
SIZE = "3G"


@dataclass(frozen=True, slots=True)
class Image:
    """What a guest needs to boot: its disk (to be copied), and kernel and initial file system, which QEMU loads."""

    disk: Path
    kernel: Path
    initrd: Path


def image(deb: Path) -> Image:
    """The Debian, with ``deb`` installed."""
    folder = system()
    with alone("guest-disk"):
        return _with(deb, folder)


def _with(deb: Path, folder: Path) -> Image:
    stamp = hashlib.sha256(deb.read_bytes()).hexdigest()
    disk, kept = folder / "disk.img", folder / "disk.stamp"
    if not (kept.exists() and kept.read_text() == stamp):
        kept.unlink(missing_ok=True)
        _install(folder, deb)
        kept.write_text(stamp)
    boot = folder / "root/boot"
    return Image(disk, next(boot.glob("vmlinuz-*")), next(boot.glob("initrd.img-*")))


def system() -> Path:
    """The folder that holds the system as ``root``; made if it is not there. Others, of older recipes, are removed."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a Debian in a folder")
    with alone("guest-system"):
        return _system()


def _system() -> Path:
    release = codename()
    recipe = hashlib.sha256("\n".join((release, *PACKAGES, PROVISION, SIZE)).encode()).hexdigest()
    folder = CACHE / f"guest-{release}-{recipe[:12]}"
    if (folder / "root/etc/os-release").exists():
        return folder
    debootstrap = require("debootstrap", "debootstrap", ["/usr/sbin"])
    for older in CACHE.glob("guest-*"):
        shutil.rmtree(older)
    made = folder / "part"
    made.mkdir(parents=True)
    try:
        said = run(debootstrap, "--variant=minbase", f"--include={','.join(PACKAGES)}", release, str(made),
                   mirror(release), seconds=1800)  # fmt: skip
        said += run("chroot", str(made), "sh", "-c", PROVISION, seconds=600)
    except (AssertionError, subprocess.TimeoutExpired) as failure:
        pytest.fail(f"the guest's system could not be made: {str(failure)[-2000:]}")
    made.rename(folder / "root")
    return folder


_INSTALL = """
set -e
mount -t overlay overlay -o "lowerdir=$1/root,upperdir=$1/over/upper,workdir=$1/over/work" "$1/over/root"
cp "$2" "$1/over/root/khoso.deb"
mount -t proc proc "$1/over/root/proc"
chroot "$1/over/root" dpkg -i /khoso.deb
umount "$1/over/root/proc"
rm "$1/over/root/khoso.deb"
rm -f "$1/disk.img"
truncate -s "$3" "$1/disk.img"
"$4" -q -t ext4 -L root -d "$1/over/root" -E lazy_itable_init=1,lazy_journal_init=1 "$1/disk.img"
"""


def _install(folder: Path, deb: Path) -> None:
    """Install in a folder, not in the guest: emulated, it would take minutes. The package's own tests boot for it."""
    over = folder / "over"
    shutil.rmtree(over, ignore_errors=True)
    for name in ("upper", "work", "root"):
        (over / name).mkdir(parents=True)
    mke2fs = require("mke2fs", "e2fsprogs", SBIN)
    run("unshare", "-m", "sh", "-c", _INSTALL, "sh", str(folder), str(deb), SIZE, mke2fs, seconds=600)
    shutil.rmtree(over)
