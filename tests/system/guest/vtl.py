"""Two LTO-8 drives and a changer in a guest, by the emulation mhvtl, with the reference LTFS tools beside them.

Neither is part of this project, nor a package of Debian: they are built elsewhere, and named by environment variables.
KHOSO_MHVTL is a folder with the kernel module (for the guest's kernel) and the programs of mhvtl, KHOSO_LTFS_BIN the
``bin`` of the place where LTFS was installed. Both come to the guest on a disk of their own.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.tools import require
from tests.system.guest.extract import SBIN, run
from tests.system.guest.machine import Guest

PLACE = "/opt/vtl"
FSTAB = f"LABEL=vtl {PLACE} ext4 defaults 0 2\n"
DATA = ("KHO001L8", "KHO002L8", "KHO003L8", "KHO004L8")
CLEANING = "CLN001L8"
DRIVES = {0: "KHOD00001", 1: "KHOD00002"}
_QUEUES = {0: 11, 1: 12}
_PROGRAMS = ("vtltape", "vtllibrary", "vtlcmd", "mktape", "libvtlscsi.so")
_TOOLS = ("mkltfs", "ltfs", "ltfsck")

_DEVICES = """\
VERSION: 5

Library: 10 CHANNEL: 00 TARGET: 00 LUN: 00
 Vendor identification: STK
 Product identification: L700
 Product revision level: 550V
 Unit serial number: KHOL00001
 NAA: 10:22:33:44:ab:00:00:00
 Home directory: /opt/mhvtl
 PERSIST: False
 Backoff: 400

"""
_DRIVE = """\
Drive: {queue} CHANNEL: 00 TARGET: {target:02} LUN: 00
 Library ID: 10 Slot: {target:02}
 Vendor identification: IBM
 Product identification: ULT3580-TD8
 Product revision level: HB82
 Unit serial number: {serial}
 NAA: 10:22:33:44:ab:00:{target:02}:00
 Compression: factor 1 enabled 1
 Compression type: lzo
 Backoff: 400

"""
_START = f"""
set -e
ln -sf {PLACE}/ltfs.sh /usr/local/bin/ltfs
ln -sf {PLACE}/mkltfs.sh /usr/local/bin/mkltfs
ln -sf {PLACE}/ltfsck.sh /usr/local/bin/ltfsck
echo {PLACE}/lib >/etc/ld.so.conf.d/vtl.conf
ldconfig
mkdir -p /etc/mhvtl /opt/mhvtl
cp {PLACE}/etc/* /etc/mhvtl/
cd {PLACE}
for barcode in {" ".join(DATA)}; do
    [ -d /opt/mhvtl/$barcode ] || ./bin/mktape -l 10 -s 400 -t data -d LTO8 -m $barcode
done
[ -d /opt/mhvtl/{CLEANING} ] || ./bin/mktape -l 10 -s 10 -t clean -d LTO8 -m {CLEANING}
modprobe sg
modprobe st
insmod ./mhvtl.ko
# What stays behind must not hold the output: the agent waits for its end.
exec >/run/vtl.log 2>&1 </dev/null
./bin/vtltape -q 11
./bin/vtltape -q 12
./bin/vtllibrary -q 10
"""


def lacking() -> str:
    """Why the folders of mhvtl and LTFS cannot be used; "" where they can."""
    mhvtl, ltfs = _folders()
    if not os.environ.get("KHOSO_MHVTL") or not os.environ.get("KHOSO_LTFS_BIN"):
        return "KHOSO_MHVTL (mhvtl's programs, and module for the guest's kernel) and KHOSO_LTFS_BIN name no folders"
    missing = [name for name in (*_PROGRAMS, "mhvtl.ko") if not (mhvtl / name).exists()]
    missing += [name for name in _TOOLS if not (ltfs / name).exists()]
    return f"{mhvtl} and {ltfs} lack {', '.join(missing)}" if missing else ""


def _folders() -> tuple[Path, Path]:
    return Path(os.environ.get("KHOSO_MHVTL", "")), Path(os.environ.get("KHOSO_LTFS_BIN", ""))


def tools_disk(path: Path, root: Path, kernel: Path) -> Path:
    """A disk with all of it, for the guest whose system lies in the folder ``root`` and boots this ``kernel``."""
    mhvtl, ltfs = _folders()
    release = kernel.name.removeprefix("vmlinuz-")
    said = run(require("modinfo", "kmod", SBIN), "-F", "vermagic", str(mhvtl / "mhvtl.ko"))
    if not said.startswith(f"{release} "):
        pytest.skip(f"mhvtl.ko is for the kernel {said.split()[0]}, and the guest has {release}")
    tree = path.with_suffix(".tree")
    (tree / "bin").mkdir(parents=True)
    (tree / "lib").mkdir()
    (tree / "etc").mkdir()
    shutil.copy(mhvtl / "mhvtl.ko", tree)
    for name in _PROGRAMS:
        shutil.copy(mhvtl / name, tree / ("lib" if name.endswith(".so") else "bin"))
    _copy_ltfs(ltfs.parent, tree, root)
    drives = (_DRIVE.format(queue=_QUEUES[n], target=n + 1, serial=serial) for n, serial in DRIVES.items())
    (tree / "etc/device.conf").write_text(_DEVICES + "".join(drives))
    slots = [f"Slot {n}: {barcode}\n" for n, barcode in enumerate((*DATA, CLEANING, ""), 1)]
    lines = ["VERSION: 2\n\n", *(f"Drive {n + 1}:\n" for n in DRIVES), "\nPicker 1:\n\nMAP 1:\nMAP 2:\n\n", *slots]
    (tree / "etc/library_contents.10").write_text("".join(lines))
    (tree / "etc/mhvtl.conf").write_text("MHVTL_HOME_PATH=/opt/mhvtl\nCAPACITY=400\nVERBOSE=1\nVTL_DEBUG=0\n")
    mke2fs = require("mke2fs", "e2fsprogs", SBIN)
    run(mke2fs, "-q", "-t", "ext4", "-L", "vtl", "-d", str(tree), str(path), "256M")
    shutil.rmtree(tree)
    return path


def _copy_ltfs(prefix: Path, tree: Path, root: Path) -> None:
    """The tools, with the libraries that the guest lacks, and a configuration with the paths that they have there."""
    shutil.copytree(prefix / "lib", tree / "ltfs", ignore=shutil.ignore_patterns("*.a", "*.la", "pkgconfig"))
    shutil.copytree(prefix / "bin", tree / "ltfs/bin")
    config = "".join((prefix / "etc" / name).read_text() for name in ("ltfs.conf", "ltfs.conf.local"))
    config = re.sub(r"(?m)^(include|-include).*\n", "", config).replace(f"{prefix}/lib/ltfs", f"{PLACE}/ltfs/ltfs")
    (tree / "ltfs.conf").write_text(config)
    said = run("ldd", str(prefix / "bin/ltfs"))
    for library in re.findall(r"=> (/\S+)", said):
        if not (root / library.lstrip("/")).exists():
            shutil.copy(library, tree / "lib")
    named = {"ltfs": "-o config_file=", "mkltfs": "-i ", "ltfsck": "-i "}
    for name, option in named.items():
        text = f'#!/bin/sh\nexec {PLACE}/ltfs/bin/{name} {option}{PLACE}/ltfs.conf "$@"\n'
        (tree / f"{name}.sh").write_text(text)
        (tree / f"{name}.sh").chmod(0o755)


def attached(disk: Path) -> list[str]:
    """The arguments for QEMU."""
    return ["-drive", f"file={disk},format=raw,if=none,id=vtl,readonly=off", "-device", "virtio-blk-pci,drive=vtl"]


def start(guest: Guest) -> None:
    """Bring the library up, after each boot; the cartridges are made at the first."""
    guest.shell(_START, seconds=600)


def tape_alert(guest: Guest, drive: int, *flags: int) -> None:
    """Have a drive raise TapeAlert flags, by their numbers."""
    mask = sum(1 << (flag - 1) for flag in flags)
    guest.shell(f"{PLACE}/bin/vtlcmd {_QUEUES[drive]} TapeAlert {mask:x}")
