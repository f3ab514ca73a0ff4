"""What a machine with tape drives is given: sg nodes for the service, st and nst nodes for nobody."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.tools import require

SYSTEMD = Path(__file__).parents[3] / "systemd"
RULES = SYSTEMD / "udev/70-vault-tape.rules"

DEVICES = """\
P: /devices/pci0000:00/host1/target1:0:{n}/1:0:{n}:0
E: SUBSYSTEM=scsi
E: DEVTYPE=scsi_device
A: type={type}\\n

P: /devices/pci0000:00/host1/target1:0:{n}/1:0:{n}:0/{subsystem}/{name}
N: {name}
E: SUBSYSTEM={subsystem}
E: DEVNAME=/dev/{name}
E: MAJOR={major}
E: MINOR={n}
"""
# udev runs in name spaces of its own, where our rule is the only one beside the system's.
TRY = """
# Where no udev ever ran there is no /dev/char; the machine's own /dev is not given one.
if [ ! -d /dev/char ]; then
    mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mkdir /dev/char /dev/pts || exit 77
    mount -t devpts -o ptmxmode=666 none /dev/pts && ln -s pts/ptmx /dev/ptmx || exit 77
fi
mount -t tmpfs none /dev/char && mount -t tmpfs none /run || exit 77
mkdir -p /run/udev/rules.d && cp "$1" /run/udev/rules.d/ || exit 77
exec umockdev-run --device="$2" -- "$3" test "$4"
"""


@pytest.mark.parametrize(
    ("subsystem", "name", "kind", "group", "mode"),
    [
        ("scsi_generic", "sg1", 1, True, "0660"),
        ("scsi_generic", "sg2", 8, True, "0660"),
        ("scsi_generic", "sg3", 0, False, None),
        ("scsi_tape", "st0", 1, False, "0"),
        ("scsi_tape", "nst0", 1, False, "0"),
        ("scsi_tape", "nst0a", 1, False, "0"),
    ],
)
def test_udev_gives_each_node_the_rights_it_must_have(tmp_path, subsystem, name, kind, group, mode):
    udevadm = require("udevadm", "udev", ["/sbin", "/bin"])
    require("umockdev-run", "umockdev")
    if os.geteuid() != 0 or require("unshare", "util-linux") is None:
        pytest.skip("only root can give udev a folder of its own")
    devices = tmp_path / "devices"
    major = 21 if subsystem == "scsi_generic" else 9
    devices.write_text(DEVICES.format(n=4, type=kind, subsystem=subsystem, name=name, major=major))
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", TRY, "sh", str(RULES), str(devices), udevadm, f"/sys/class/{subsystem}/{name}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
    said = done.stdout + done.stderr
    if done.returncode == 77:
        pytest.skip(f"nothing can be mounted here: {said[-200:]}")
    ours = [line.split(" ", 2)[2] for line in said.splitlines() if f"{name}: " in line and RULES.name in line]
    assert "70-vault-tape.rules" in said, said[-2000:]
    assert not [line for line in said.splitlines() if RULES.name in line and "nvalid" in line]
    expected = [] if mode is None else [f"GROUP {_tape_group() if group else 0}", f"MODE {mode}"]
    assert [line for line in ours if line.startswith(("GROUP", "MODE"))] == expected


def _tape_group() -> int:
    for line in Path("/etc/group").read_text().splitlines():
        name, _, number, *_ = line.split(":")
        if name == "tape":
            return int(number)
    pytest.skip("this system has no group tape")


def test_udevadm_finds_nothing_to_complain_about():
    udevadm = require("udevadm", "udev", ["/sbin", "/bin"])
    done = subprocess.run([udevadm, "verify", str(RULES)], capture_output=True, text=True, timeout=60, check=False)
    if "Unknown command verb" in done.stderr:
        pytest.skip("this udevadm cannot verify rules (systemd 254 and newer can)")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("line", "complaint"), [("", ""), ("OpenEverything=yes\n", "OpenEverything")])
def test_systemd_understands_the_drop_in_for_tape(tmp_path, line, complaint):
    analyze = require("systemd-analyze", "systemd")
    program = tmp_path / "vaultd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = (SYSTEMD / "vaultd.service").read_text().replace("/opt/khoso/.venv/bin/vaultd", str(program))
    (tmp_path / "vaultd.service").write_text(unit)
    (tmp_path / "vaultd.service.d").mkdir()
    (tmp_path / "vaultd.service.d/tape.conf").write_text((SYSTEMD / "vaultd-tape.conf").read_text() + line)
    done = subprocess.run(
        [analyze, "verify", "--man=no", "vaultd.service"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    said = done.stdout + done.stderr
    assert complaint in said
    assert complaint or (done.returncode, said) == (0, "")
