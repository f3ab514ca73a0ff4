"""The guides as people follow them: every command of theirs typed, in the order of a node's life, on a bare Debian.

Not yet among them: those on tapes, tokens and TLS."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping
from types import MappingProxyType

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


AS_IN_THE_GUIDE: Mapping[str, str] = MappingProxyType({})


def follow(
    desk: Machine, name: str, called: Mapping[str, str] = AS_IN_THE_GUIDE, *, until_it_ends_well: Collection[int] = ()
) -> None:
    """Do what the guide says. ``called`` are the names that the guide's volumes have here; some of the blocks, by
    their number, are to be typed until they end well."""
    typed = 0
    for block in blocks(name):
        if block.skipped:
            continue
        text = renamed(block.text, called)
        if block.kind == "sh" and typed in until_it_ends_well:
            eventually(lambda text=text: typed_in(desk, text).returncode == 0, 120, text, every=1)
        elif block.kind == "sh":
            type_in(desk, text)
        elif name == "first-volume":
            add(desk, text)
        typed += block.kind == "sh"
    assert typed, f"{name} tells to type nothing"


def renamed(text: str, called: Mapping[str, str]) -> str:
    """The text with other names of volumes."""
    return re.sub(r"nas-\w\b", lambda found: called.get(found[0], found[0]), text)


def type_in(desk: Machine, text: str) -> None:
    desk.shell(_AT_THE_DESK + text)


def typed_in(desk: Machine, text: str) -> subprocess.CompletedProcess[str]:
    return desk.typed("bash", "-ec", _AT_THE_DESK + text)


_AT_THE_DESK = "cd /desk; export USER=root HOME=/desk KHOSO_LANG=en\n"


def add(desk: Machine, table: str) -> None:
    """Add a table to the configuration."""
    desk.run("python3", "-c", "import sys; open('/etc/vault/vault.toml', 'a').write('\\n' + sys.argv[1])", table)


def take_out(desk: Machine, volume: str) -> None:
    """Take a volume's table out of the configuration."""
    desk.run("python3", "-c", _TAKE_OUT, volume)


_TAKE_OUT = r"""
import pathlib, re, sys
path = pathlib.Path("/etc/vault/vault.toml")
tables = re.split(r"(?m)^(?=\[)", path.read_text())
kept = [table for table in tables if not (table.startswith("[[volume]]") and f'name = "{sys.argv[1]}"' in table)]
assert len(kept) == len(tables) - 1
path.write_text("".join(kept))
"""


def put_up(desk: Machine, volume: str) -> None:
    """Mount an empty medium, and name it in the configuration, as the guide to the first volume says."""
    desk.shell(f"mkdir -p /srv/{volume}; mount -t tmpfs -o size=3G {volume} /srv/{volume}; chown vault: /srv/{volume}")
    (table,) = (block.text for block in blocks("first-volume") if block.kind == "toml")
    add(desk, renamed(table, {"nas-c": volume}))


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


def test_a_disk_died(desk):
    """The volume nas-c of this machine is nas-a in the guide."""
    desk.shell("umount -l /srv/nas-c")
    put_up(desk, "nas-d")
    follow(desk, "a-disk-died", {"nas-a": "nas-c", "nas-c": "nas-d"}, until_it_ends_well=[3])
    take_out(desk, "nas-c")
    desk.run("systemctl", "restart", "vaultd")
    eventually(lambda: held(desk), 60)
    assert "Kính gửi" in got_again(desk)


def test_move_to_a_new_nas(desk):
    put_up(desk, "nas-e")
    desk.shell("systemctl restart vaultd; vaultctl volumes init nas-e")
    follow(desk, "move-to-a-new-nas", {"nas-c": "nas-e"}, until_it_ends_well=[1])
    take_out(desk, "nas-a")
    desk.shell("systemctl restart vaultd; umount -l /srv/nas-a")
    eventually(lambda: held(desk), 60)
    assert "Kính gửi" in got_again(desk)


def got_again(desk: Machine) -> str:
    """A file of the package that the guides deposit, fetched now."""
    desk.shell("rm -f /desk/again; vaultctl get H49.61.8/2025/Đ-012 --file 'data/Tờ trình.pdf' -o /desk/again")
    return desk.run("cat", "/desk/again")
