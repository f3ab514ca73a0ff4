"""The package as a new user meets it: installed on a bare Debian without network, used, upgraded, removed, purged."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.support.debian import LATER, Machine, machine
from tests.support.guides import blocks
from tests.support.nodes import eventually
from tests.support.tools import require
from tests.system.test_guides import SUDO

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(1200)]

SECRET = "khoso_[A-Za-z0-9_-]{43}"


@pytest.fixture(scope="module")
def debian(tmp_path_factory, deb, newer):
    with machine(tmp_path_factory.mktemp("debian"), **{"khoso.deb": deb, "newer.deb": newer}) as made:
        yield made


def answers(debian: Machine) -> bool:
    return debian.typed("vaultctl", "status", "--json").returncode == 0


def test_a_new_user_comes_from_the_package_to_a_receipt(debian):
    assert "vaultctl init" in debian.run("dpkg", "-i", "/khoso.deb")
    assert debian.shell("stat -c '%U:%G %a' /etc/vault /etc/vault/vault.toml /var/lib/vault").split("\n")[:3] == [
        "root:vault 750",
        "root:vault 640",
        "vault:vault 750",
    ]
    assert "type: vaultctl init" in debian.run("vaultd", "--check", code=78)
    said = debian.shell(
        "vaultctl init --name sonla-1 --volume /srv/nas-a,domain=nas-a --volume /srv/nas-b,domain=nas-b"
        " --token-out /tmp/token"
    )
    assert "Nothing is wrong." in said
    assert not re.search(SECRET, said)
    assert debian.shell("stat -c %U /srv/nas-a/vault-volume.json /var/lib/vault/node.key").split() == ["vault"] * 2
    debian.shell("echo 'Tờ trình' >/tmp/to-trinh.txt")
    debian.shell("vaultctl deposit /tmp/to-trinh.txt --identifier H49/1 --receipt /tmp/receipt.json")
    assert json.loads(debian.run("cat", "/tmp/receipt.json"))["signature"]["value"]
    debian.shell("vaultctl receipt verify /tmp/receipt.json")
    debian.shell("vaultctl status --check")


def test_it_stands_beside_other_software(debian):
    """Nothing of it can be imported by another program, and nothing that another installs is seen by it."""
    debian.run("python3", "-c", "import vault", code=1)
    debian.run("python3", "-c", "import pydantic", code=1)
    debian.shell("mkdir -p /usr/local/lib/python3.11/dist-packages/vault; echo 'raise SystemExit(9)' >"
                 "/usr/local/lib/python3.11/dist-packages/vault/__init__.py")  # fmt: skip
    assert debian.run("vaultctl", "--version").startswith("vaultctl ")
    outside = debian.shell("dpkg -L khoso | grep -v '^/usr/lib/khoso' | grep -c '\\.py$' || true").strip()
    assert outside == "0"


def test_people_find_what_they_need(debian):
    for page in ("vaultd", "vaultctl", "vault.toml"):
        assert "KHOSO" in debian.run("man", page).upper()
    completed = ". $0; COMP_WORDS=(vaultctl dep); COMP_CWORD=1; _vaultctl_completion vaultctl; echo ${COMPREPLY[@]}"
    assert debian.run("bash", "-c", completed, "/usr/share/bash-completion/completions/vaultctl").split() == ["deposit"]
    assert debian.shell("head -n 1 /usr/share/zsh/vendor-completions/_vaultctl").strip() == "#compdef vaultctl"
    assert "/etc/vault/vault.toml" in debian.run("dpkg-query", "-W", "-f", "${Conffiles}", "khoso")


def refused(debian: Machine) -> str:
    """An upgrade that is refused: the old version stays, with its catalogue, and serves; what was said."""
    said = debian.run("dpkg", "-i", "/newer.deb", code=1)
    assert "it is as it was" in said
    assert "+1" not in debian.run("dpkg-query", "-W", "khoso")
    assert debian.shell("dpkg-query -W -f '${db:Status-Status}' khoso") == "installed"
    return said


def ask(debian: Machine, query: str, file: str = "/var/lib/vault/catalog.db") -> str:
    """What a catalogue answers."""
    script = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall())"
    return debian.run("python3", "-c", script, file, query).strip()


def test_an_upgrade_without_room_for_its_backup_is_refused(debian):
    debian.shell("mkdir -p /var/lib/vault/before-upgrade")
    debian.shell("mount -t tmpfs -o size=64k tmpfs /var/lib/vault/before-upgrade")
    assert re.search("Make room|No space left|is full", refused(debian))
    assert answers(debian)
    debian.shell("umount /var/lib/vault/before-upgrade; rmdir /var/lib/vault/before-upgrade")


def test_an_upgrade_without_room_to_migrate_is_refused(debian):
    """There is room for the backup, and then less than the catalogue needs to be made over."""
    debian.shell("systemctl stop vaultd; cp -a /var/lib/vault /opt/state")
    size = int(debian.shell("stat -c %s /opt/state/catalog.db"))
    used = int(debian.shell("du -sB1 /opt/state").split()[0])
    debian.shell(f"mount -t tmpfs -o size={used + 2 * size} tmpfs /var/lib/vault; cp -a /opt/state/. /var/lib/vault/")
    debian.shell("chown vault:vault /var/lib/vault; chmod 750 /var/lib/vault")
    said = refused(debian)
    assert "free" in said
    debian.shell("umount /var/lib/vault; rm -r /opt/state; systemctl start vaultd")
    assert answers(debian)


def test_an_upgrade_of_a_damaged_catalogue_is_refused(debian):
    debian.shell("systemctl stop vaultd; cp -a /var/lib/vault/catalog.db /opt/")
    debian.shell("dd if=/dev/urandom of=/var/lib/vault/catalog.db bs=4096 seek=4 count=20 conv=notrunc status=none")
    said = refused(debian)
    assert "catalogue" in said
    assert debian.shell("ls -A /var/lib/vault/before-upgrade").strip() == "", "no copy of it passes for a backup"
    debian.shell("cp -a /opt/catalog.db /var/lib/vault/; systemctl start vaultd")
    assert answers(debian)


def test_an_upgrade_begins_with_a_backup_and_brings_the_catalogue_to_its_new_form(debian):
    before = ask(debian, "SELECT version_num FROM alembic_version")
    debian.run("dpkg", "-i", "/newer.deb")
    (kept,) = debian.shell("ls /var/lib/vault/before-upgrade").split()
    assert ask(debian, "SELECT version_num FROM alembic_version", f"/var/lib/vault/before-upgrade/{kept}") == before
    assert ask(debian, "SELECT version_num FROM alembic_version") == f"('{LATER}',)"
    assert ask(debian, "SELECT shelfmark FROM packages") == "('H:H49/1',)"
    debian.shell("vaultctl receipt verify /tmp/receipt.json")
    debian.shell("vaultctl ledger verify")
    debian.shell("echo 'Công văn' >/tmp/second.txt; vaultctl deposit /tmp/second.txt --identifier H49/2 --wait receipt")
    assert "disk = 2" in debian.run("cat", "/etc/vault/vault.toml")


def test_the_older_program_leaves_a_catalogue_of_a_newer_form_alone(debian):
    """Whoever forces the older package on finds the daemon refusing, once, with the way out; the newer one goes on."""
    debian.run("dpkg", "--force-downgrade", "--unpack", "/khoso.deb", code=1)
    debian.shell(
        "dpkg-deb -x /khoso.deb /opt/older; mv /usr/lib/khoso /opt/newer; cp -a /opt/older/usr/lib/khoso /usr/lib/"
    )
    debian.run("systemctl", "restart", "vaultd", code=None)
    assert debian.run("systemctl", "show", "vaultd", "--property=ExecMainStatus", "--value").strip() == "78"
    assert LATER in debian.run("journalctl", "-u", "vaultd", "-n", "5", "--no-pager")
    assert ask(debian, "SELECT version_num FROM alembic_version") == f"('{LATER}',)"
    debian.shell("rm -r /usr/lib/khoso; mv /opt/newer /usr/lib/khoso; rm -r /opt/older")
    debian.shell("systemctl reset-failed vaultd; systemctl start vaultd")
    assert answers(debian)


def test_a_downgrade_is_refused_with_its_reason(debian):
    said = debian.run("dpkg", "-i", "/khoso.deb", code=1)
    assert "cannot read a catalogue of a newer form" in said
    assert "+1" in debian.run("dpkg-query", "-W", "khoso")
    assert answers(debian)


def test_there_is_a_way_back_for_who_must(debian):
    """As the guide has it: what was deposited with the newer version is found again, and what is lost is said."""
    *_, back, start = blocks("upgrade")
    (kept,) = debian.shell("ls /var/lib/vault/before-upgrade").split()
    debian.shell(SUDO + "mkdir /older; cp /khoso.deb /older/khoso_0_amd64.deb")
    said = debian.shell(f"cd /\n{back.text.replace('catalog-NAME.db', kept)}")
    assert "The catalogue has 2 packages" in said
    debian.shell(start.text)
    assert "+1" not in debian.run("dpkg-query", "-W", "khoso")
    debian.shell("vaultctl receipt verify /tmp/receipt.json")
    eventually(lambda: debian.typed("vaultctl", "status", "--check").returncode == 0, 60)
    for identifier in ("H49/1", "H49/2"):
        assert identifier in debian.run("vaultctl", "packages", "show", identifier)


def test_an_upgrade_without_a_backup_is_refused_and_changes_nothing(debian):
    debian.shell("rm -rf /var/lib/vault/before-upgrade; touch /var/lib/vault/before-upgrade")
    said = debian.run("dpkg", "-i", "/newer.deb", code=1)
    assert "it is as it was" in said
    assert debian.shell("dpkg-query -W -f '${db:Status-Status}' khoso") == "installed"
    assert answers(debian)
    debian.shell("rm /var/lib/vault/before-upgrade")


def test_purged_it_leaves_the_volumes_and_the_key(debian):
    debian.run("dpkg", "-r", "khoso")
    assert not answers(debian)
    assert "catalog.db" in debian.shell("ls /var/lib/vault")
    debian.run("dpkg", "-i", "/newer.deb")
    debian.run("systemctl", "start", "vaultd")
    debian.shell("vaultctl receipt verify /tmp/receipt.json")
    debian.run("systemctl", "stop", "vaultd")
    before = debian.shell("find /srv/nas-a /srv/nas-b -type f -exec sha256sum {} + | sort")
    assert "node.key was kept" in debian.run("dpkg", "-P", "khoso")
    assert debian.shell("find /srv/nas-a /srv/nas-b -type f -exec sha256sum {} + | sort") == before
    assert debian.shell("ls -A /var/lib/vault").split() == ["node.key"]
    debian.run("ls", "/etc/vault", code=2)
    debian.run("ls", "/usr/lib/khoso", code=2)


def test_lintian_finds_no_error(deb):
    lintian = require("lintian", "lintian")
    done = subprocess.run(
        [lintian, "--fail-on", "error", "--allow-root", str(deb)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
