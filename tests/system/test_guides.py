"""The guides as people follow them: every command of theirs typed, in the order of a node's life, on a bare Debian.

Not yet among them: a disk died, move to a new NAS, and those on tapes, tokens and TLS."""

from __future__ import annotations

import pytest

from tests.support.debian import Machine, machine
from tests.support.guides import blocks
from tests.support.nodes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(1500)]

SUDO = r"""
printf '#!/bin/sh\n[ "$1" = -u ] && { user=$2; shift 2; exec runuser -u "$user" -- "$@"; }\nexec "$@"\n' \
    >/usr/local/bin/sudo
chmod 755 /usr/local/bin/sudo
"""
BAG = r"""
cd /desk
mkdir -p ho-so-013/data
cd ho-so-013
echo 013 >data/013.txt
printf 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n' >bagit.txt
sha512sum data/013.txt >manifest-sha512.txt
cd ..
tar cf ho-so-013.tar ho-so-013
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory, deb):
    """A machine on which somebody sits down with the guides."""
    with machine(tmp_path_factory.mktemp("guides"), **{deb.name: deb}) as made:
        made.shell(SUDO)
        made.shell("mkdir -p /desk /media/safe /srv/backup /srv/scratch /path/to/ho-so-012; mv /*.deb /desk/")
        made.shell("echo 'Kính gửi' >'/path/to/ho-so-012/Tờ trình.pdf'")
        made.shell(BAG)
        yield made


def follow(desk: Machine, name: str) -> None:
    """Do what the guide says."""
    typed = 0
    for block in blocks(name):
        if block.skipped:
            continue
        if block.kind == "sh":
            type_in(desk, block.text)
            typed += 1
        elif name == "first-volume":
            add(desk, block.text)
    assert typed, f"{name} tells to type nothing"


def type_in(desk: Machine, text: str) -> None:
    desk.shell(f"cd /desk; export USER=root HOME=/desk KHOSO_LANG=en\n{text}")


def add(desk: Machine, table: str) -> None:
    """Add a table to the configuration."""
    desk.run("python3", "-c", "import sys; open('/etc/vault/vault.toml', 'a').write('\\n' + sys.argv[1])", table)


def held(desk: Machine) -> bool:
    return desk.typed("vaultctl", "status", "--check").returncode == 0


def test_install(desk):
    follow(desk, "install")
    assert "vault" in desk.run("id", "-nG", "root").split()
    assert desk.run("systemctl", "is-active", "vaultd").strip() == "active"


def test_first_volume(desk):
    follow(desk, "first-volume")
    assert desk.shell("vaultctl volumes --json").count('"online"') == 3


def test_first_deposit(desk):
    follow(desk, "first-deposit")
    eventually(lambda: held(desk), 120)


def test_restore(desk):
    follow(desk, "restore")
    assert "Kính gửi" in desk.run("cat", "/desk/to-trinh.pdf")


def test_yearly_drill(desk):
    follow(desk, "yearly-drill")


def test_upgrade(desk):
    eventually(lambda: held(desk), 120)
    follow(desk, "upgrade")


def test_the_server_died(desk):
    """Nothing of the node's own folder is left; the configuration was written down elsewhere."""
    desk.run("vaultctl", "catalog", "backup")
    desk.run("systemctl", "stop", "vaultd")
    desk.shell("find /var/lib/vault -mindepth 1 -delete")
    follow(desk, "the-server-died")
    desk.run("vaultctl", "packages", "show", "H49.61.8/2025/Đ-012")
    eventually(lambda: held(desk), 120)
