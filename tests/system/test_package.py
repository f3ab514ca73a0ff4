"""The package as a new user meets it: installed on a bare Debian without network, used, upgraded, removed, purged."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.support.debian import Machine, machine
from tests.support.tools import require

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
    assert "volume" in debian.run("vaultd", "--check", code=78) or "policy" in debian.run("vaultd", "--check", code=78)
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


def test_an_upgrade_begins_with_a_backup(debian):
    debian.run("dpkg", "-i", "/newer.deb")
    kept = debian.shell("ls /var/lib/vault/before-upgrade").split()
    assert len(kept) == 1
    assert kept[0].endswith(".db")
    debian.shell("vaultctl receipt verify /tmp/receipt.json")
    assert "disk = 2" in debian.run("cat", "/etc/vault/vault.toml")


def test_a_downgrade_is_refused_with_its_reason(debian):
    said = debian.run("dpkg", "-i", "/khoso.deb", code=1)
    assert "cannot read a catalogue of a newer form" in said
    assert "+1" in debian.run("dpkg-query", "-W", "khoso")
    assert answers(debian)


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
