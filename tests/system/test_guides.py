"""The guides as people follow them: every command of theirs typed, in the order of a node's life, on a bare Debian.

What stands between the commands is done as it says: a disk is put in, a table is taken out of the configuration. Not
among them: what needs a real drive (tape-drive)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.support.debian import Machine, machine
from tests.support.guides import blocks
from tests.support.nodes import eventually
from tests.support.tools import require

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(1500)]

PROMETHEUS = ("prometheus", "promtool")
SUDO = r"""
printf '#!/bin/sh\n[ "$1" = -u ] && { user=$2; shift 2; exec runuser -u "$user" -- "$@"; }\nexec "$@"\n' \
    >/usr/local/bin/sudo
chmod 755 /usr/local/bin/sudo
"""
OF_THE_PACKAGE = 4
"""So many blocks of the guide to installing are for the Debian package; the others are typed in test_wheel.py."""
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
    found = {name: Path(path) for name in PROMETHEUS if (path := shutil.which(name))}
    with machine(tmp_path_factory.mktemp("guides"), **{deb.name: deb}, **found) as made:
        made.shell(SUDO)
        made.shell("mkdir -p /desk /media/safe /srv/backup /srv/scratch /path/to/ho-so-012; mv /*.deb /desk/")
        made.shell("echo 'Kính gửi' >'/path/to/ho-so-012/Tờ trình.pdf'")
        made.shell(BAG)
        yield made


AS_IN_THE_GUIDE: Mapping[str, str] = MappingProxyType({})


def follow(
    desk: Machine,
    name: str,
    called: Mapping[str, str] = AS_IN_THE_GUIDE,
    *,
    of: slice = slice(None),
    code: int = 0,
) -> str:
    """Do what the guide says, or the blocks ``of`` it, whose commands end with ``code``; what was printed. ``called``
    are the names that the guide's volumes have here. What is refused until work is done is typed until it is not."""
    said, typed = "", 0
    for block in blocks(name)[of]:
        text = renamed(block.text, called)
        if block.skipped:
            continue
        if block.kind == "toml":
            add(desk, text)
            continue
        if "status --check" in text or " retired" in text:
            eventually(lambda text=text: typed_in(desk, text).returncode == 0, 180, text, every=1)
        else:
            said += type_in(desk, text, code)
        typed += 1
    assert typed, f"{name} tells to type nothing"
    return said


def renamed(text: str, called: Mapping[str, str]) -> str:
    """The text with other names of volumes."""
    return re.sub(r"nas-\w\b", lambda found: called.get(found[0], found[0]), text)


def type_in(desk: Machine, text: str, code: int = 0) -> str:
    return desk.shell(_AT_THE_DESK + text, code)


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


def change(desk: Machine, pattern: str, to: str) -> None:
    """Edit the configuration: what stands there once becomes something else."""
    text = desk.run("cat", "/etc/vault/vault.toml")
    changed, count = re.subn(pattern, to, text, flags=re.MULTILINE)
    assert count == 1, text
    desk.run("python3", "-c", "import sys; open('/etc/vault/vault.toml', 'w').write(sys.argv[1])", changed)


def held(desk: Machine) -> bool:
    return desk.typed("vaultctl", "status", "--check").returncode == 0


def volumes(desk: Machine) -> dict[str, dict[str, str]]:
    return {one["name"]: one for one in json.loads(desk.run("vaultctl", "volumes", "--json"))["items"]}


def test_install(desk):
    follow(desk, "install", of=slice(OF_THE_PACKAGE))
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


def test_tokens(desk):
    follow(desk, "tokens", of=slice(1))
    assert "hoso-sonoivu" in desk.run("vaultctl", "token", "list")
    assert desk.run("stat", "-c", "%a", "/desk/token").strip() == "600"
    follow(desk, "tokens", of=slice(1, None))


def test_yearly_drill(desk):
    follow(desk, "yearly-drill")


def test_upgrade(desk):
    eventually(lambda: held(desk), 120)
    follow(desk, "upgrade")


def test_state_secrets(desk):
    """Nobody sent one: an empty list, a line for each event."""
    assert follow(desk, "state-secrets") == ""


def test_the_server_died(desk):
    """Nothing of the node's own folder is left; the configuration was written down elsewhere."""
    desk.run("vaultctl", "catalog", "backup")
    desk.run("systemctl", "stop", "vaultd")
    desk.shell("find /var/lib/vault -mindepth 1 -delete")
    follow(desk, "the-server-died", of=slice(1))
    assert "tokens-restored" in follow(desk, "the-server-died", of=slice(1, 2), code=5)
    follow(desk, "the-server-died", of=slice(2, None))
    desk.run("vaultctl", "packages", "show", "H49.61.8/2025/Đ-012")
    eventually(lambda: held(desk), 120)


def test_a_disk_died(desk):
    """All of a disk is lost; another one, empty, takes its place."""
    eventually(lambda: held(desk), 120)
    desk.run("umount", "-l", "/srv/nas-b")
    eventually(lambda: volumes(desk)["nas-b"]["condition"] == "offline", 90)
    before = volumes(desk)["nas-b"]["uuid"]
    follow(desk, "a-disk-died")
    assert volumes(desk)["nas-b"]["condition"] == "online"
    assert volumes(desk)["nas-b"]["uuid"] != before


def test_move_to_a_new_nas(desk):
    put_up(desk, "nas-e")
    desk.shell("systemctl restart vaultd; vaultctl volumes init nas-e")
    follow(desk, "move-to-a-new-nas", {"nas-c": "nas-e"})
    take_out(desk, "nas-a")
    desk.shell("systemctl restart vaultd; umount -l /srv/nas-a")
    eventually(lambda: held(desk), 60)
    assert "Kính gửi" in got_again(desk)


def got_again(desk: Machine) -> str:
    """A file of the package that the guides deposit, fetched now."""
    desk.shell("rm -f /desk/again; vaultctl get H49.61.8/2025/Đ-012 --file 'data/Tờ trình.pdf' -o /desk/again")
    return desk.run("cat", "/desk/again")


def cartridges(desk: Machine) -> dict[str, str]:
    return {one["barcode"]: one["state"] for one in json.loads(desk.run("vaultctl", "tapes", "--json"))["items"]}


def test_first_tape(desk):
    change(desk, r"^(\[\[policy\]\]\nname.*\ndisk.*\n)", r"\1tape = 1\n")
    follow(desk, "first-tape", of=slice(4))
    eventually(lambda: held(desk), 180)
    follow(desk, "first-tape", of=slice(4, None))
    assert desk.run("stat", "-c", "%s", "/desk/ho-so-012-tape.tar").strip() != "0"
    eventually(lambda: held(desk), 180)


def test_a_tape_is_bad(desk):
    """A bit of a package flips on the first cartridge."""
    record = desk.shell("grep -l 'Kính gửi' /var/lib/vault/practice/VLT001L8/1_*_R | head -n 1").strip()
    desk.run("sed", "-i", "s/Kính gửi/Kính gởi/", record)
    follow(desk, "a-tape-is-bad", of=slice(1))
    follow(desk, "a-tape-is-bad", of=slice(1, 2), code=5)
    assert cartridges(desk)["VLT001L8"] == "suspect"
    follow(desk, "a-tape-is-bad", of=slice(2, None))
    eventually(lambda: held(desk), 180)
    shown = json.loads(desk.run("vaultctl", "packages", "show", "H49.61.8/2025/Đ-012", "--json"))
    good = {c["volume"] for version in shown["versions"] for c in version["copies"] if c["state"] == "good"}
    assert "VLT002L8" in good
    assert "VLT001L8" not in good


UNIT = """[Unit]
Description=As Debian's package has it
[Service]
ExecStart=/usr/bin/prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/var/lib/prometheus
"""


def test_grafana(desk):
    """Prometheus is this machine's, as the bare Debian has no network to get one from."""
    for program in PROMETHEUS:
        require(program, "prometheus")
        desk.run("mv", f"/{program}", "/usr/bin/")
    desk.run("sh", "-c", 'printf "%s" "$0" >/etc/systemd/system/prometheus.service; systemctl daemon-reload', UNIT)
    said = follow(desk, "grafana")
    assert "SUCCESS" in said
    asked = "curl -sG --data-urlencode 'query=up{job=\"khoso\"}' http://127.0.0.1:9090/api/v1/query"
    eventually(lambda: '"1"]' in desk.shell(asked), 90)
    said = desk.shell("curl -s http://127.0.0.1:9090/api/v1/rules")
    assert "VaultVolumeOffline" in said
    boards = desk.shell("ls /var/lib/grafana/dashboards/khoso").split()
    assert len(boards) == 5
    assert "path: /var/lib/grafana/dashboards/khoso" in desk.shell("cat /etc/grafana/provisioning/dashboards/khoso.yml")


CERTIFICATE = r"""
cd /desk
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=tinh
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out node.csr -subj /CN=nut
printf 'subjectAltName=DNS:luutru.example.vn\n' >names
openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -days $0 -extfile names -out fullchain.pem
"""


def test_tls(desk):
    """An authority of the province's makes the certificate, and before it ends another one."""
    desk.shell("echo '127.0.0.1 luutru.example.vn' >>/etc/hosts")
    desk.run("bash", "-ec", CERTIFICATE, "40")
    token = desk.typed("vaultctl", "token", "create", "so-hoa-2", "--scope", "read", "--network", "127.0.0.1").stdout
    as_asked = f"export TOKEN={token.strip()}\n"
    put, table, restart, ask, renew, *_ = blocks("tls")
    type_in(desk, put.text)
    add(desk, table.text)
    type_in(desk, restart.text)
    assert "H49.61.8" in type_in(desk, as_asked + ask.text)
    assert desk.run("stat", "-c", "%U:%G %a", "/etc/vault/tls/key.pem").strip() == "root:vault 640"
    before = shown(desk)
    desk.run("bash", "-ec", CERTIFICATE, "400")
    type_in(desk, put.text + renew.text)
    eventually(lambda: shown(desk) != before, 60)
    assert "H49.61.8" in type_in(desk, as_asked + ask.text)


def shown(desk: Machine) -> str:
    """The certificate that the node shows to whoever comes."""
    return desk.shell("openssl s_client -connect 127.0.0.1:8420 </dev/null 2>/dev/null | openssl x509 -noout -serial")


def test_credentials(desk):
    """The key only ever stands encrypted on the disk, and signs as before."""
    key = json.loads(desk.run("vaultctl", "status", "--json"))["key_id"]
    follow(desk, "credentials")
    assert json.loads(desk.run("vaultctl", "status", "--json"))["key_id"] == key
    assert desk.typed("test", "-e", "/var/lib/vault/node.key").returncode != 0
    assert "PRIVATE KEY" not in desk.run("cat", "/etc/credstore.encrypted/node.key")
    desk.shell("rm /etc/systemd/system/vaultd.service.d/credentials.conf; systemctl daemon-reload")
    desk.run("systemctl", "restart", "vaultd", code=None)
    eventually(lambda: desk.typed("systemctl", "is-failed", "vaultd").returncode == 0, 60)
    assert "The credential node.key is not there" in desk.run("journalctl", "-u", "vaultd", "-n", "20", "--no-pager")
    assert "LoadCredentialEncrypted=node.key" in desk.run("vaultctl", "doctor", code=5)
