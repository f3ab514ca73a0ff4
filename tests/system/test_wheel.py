"""The wheel as the guide has it installed where there are no Debian packages: in an environment of its own, with the
units beside it. The bare machine is a Debian too, which then takes nothing from the package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.debian import REPO, machine
from tests.support.guides import blocks
from tests.system.test_guides import OF_THE_PACKAGE, SUDO

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(900)]

OPT = "opt/khoso/.venv"
LIBRARY = r'[[library]]\nname = "a"\nkind = "scsi"\nchanger = "none"\ndrives = ["HU1234567A"]\n'


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """What the guide's first step makes, with uv in place of pip, as an archive."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = run(sys.executable, REPO / "packaging/wheel.py").split()[-1]
    uv, venv = REPO / ".venv/uv/bin/uv", folder / OPT
    run(uv, "venv", "--quiet", "--relocatable", "--python", "/usr/bin/python3", venv)
    python = venv / "bin/python"
    lock = Path(wheel).parent / "requirements.lock"
    install = [uv, "pip", "install", "--quiet", "--link-mode", "copy", "--python", python]
    run(*install, "--require-hashes", "--no-deps", "--no-build", "-r", lock)
    run(*install, "--no-deps", wheel)
    run("tar", "cf", folder / "opt.tar", "--owner=0", "--group=0", "-C", folder, "opt")
    return folder / "opt.tar"


def test_from_the_wheel_to_a_receipt(tmp_path, environment):
    install, units, disks, upgrade = blocks("install")[OF_THE_PACKAGE:]
    assert install.skipped
    assert upgrade.skipped
    with machine(tmp_path, **{"opt.tar": environment}) as made:
        made.shell(SUDO + "tar xf /opt.tar -C /")
        made.shell(units.text)
        said = made.shell(
            "vaultctl init --name sonla-1 --volume /srv/nas-a,domain=nas-a --volume /srv/nas-b,domain=nas-b"
            " --token-out /tmp/token"
        )
        assert "Nothing is wrong." in said
        made.shell(disks.text)
        made.shell("echo 'Tờ trình' >/tmp/to-trinh.txt")
        made.shell("vaultctl deposit /tmp/to-trinh.txt --identifier H49/1 --receipt /tmp/receipt.json")
        assert json.loads(made.run("cat", "/tmp/receipt.json"))["signature"]["value"]
        assert made.run("systemctl", "is-enabled", "vaultd", "vault-smart.timer").split() == ["enabled"] * 2
        documented = made.run("systemctl", "show", "vaultd", "--property=Documentation", "--value").strip()
        made.run("test", "-f", documented.removeprefix("file://"))
        # With a drive, init finds what the service needs for it.
        made.shell(f"printf '{LIBRARY}' >>/etc/vault/vault.toml; vaultctl init || true")
        assert made.run("readlink", "-e", "/etc/systemd/system/vaultd.service.d/tape.conf").startswith("/opt/khoso/")
