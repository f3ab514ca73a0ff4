"""The service under a real systemd: what it may, and what it does when things go wrong around it."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.debian import Machine, machine
from tests.support.nodes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(900)]

INIT = "vaultctl init --name sonla-1 --volume /srv/nas-a,domain=nas-a --volume /srv/nas-b,domain=nas-b --no-tape"


@pytest.fixture(scope="module")
def node(tmp_path_factory, deb):
    with machine(tmp_path_factory.mktemp("service"), **{"khoso.deb": deb}) as made:
        made.run("dpkg", "-i", "/khoso.deb")
        assert "Nothing is wrong." in made.shell(f"{INIT} --token-out /tmp/token")
        yield made


def state(node: Machine, name: str) -> str:
    return node.run("systemctl", "show", "vaultd", f"--property={name}", "--value").strip()


def conditions(node: Machine) -> dict[str, str]:
    found = json.loads(node.run("vaultctl", "volumes", "--json"))
    return {volume["name"]: volume["condition"] for volume in found["items"]}


def test_it_runs_and_starts_with_the_machine(node):
    assert state(node, "ActiveState") == "active"
    assert node.run("systemctl", "is-enabled", "vaultd").strip() == "enabled"
    assert "vault-smart.timer" in node.run("systemctl", "list-timers", "--no-pager")


def test_it_may_next_to_nothing(node):
    scored = node.run("systemd-analyze", "security", "vaultd.service", "--no-pager")
    assert float(re.search(r"Overall exposure level for vaultd.service: ([0-9.]+)", scored)[1]) <= 2.0
    status = node.run("cat", f"/proc/{state(node, 'MainPID')}/status")
    assert re.search(r"(?m)^CapEff:\s+0+$", status)
    assert re.search(r"(?m)^CapBnd:\s+0+$", status)
    uid = node.run("id", "-u", "vault").strip()
    assert re.search(rf"(?m)^Uid:\s+{uid}\s+{uid}\s", status)
    listening = [row for row in node.run("cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines() if " 0A " in row]
    assert len(listening) == 1, "one open port"


def test_it_may_write_to_its_own_and_its_volumes_only(node):
    pid = state(node, "MainPID")
    for path, code in (("/srv/nas-a/x", 0), ("/var/lib/vault/x", 0), ("/etc/vault/x", 1), ("/var/tmp/../log/x", 1)):
        probe = f"nsenter -t {pid} -m runuser -u vault -- sh -c 'touch {path} && rm {path}'"
        assert (node.typed("sh", "-c", probe).returncode != 0) == bool(code), path


def test_killed_it_comes_back_and_takes_deposits(node):
    before = state(node, "MainPID")
    node.run("systemctl", "kill", "-s", "KILL", "vaultd")
    eventually(lambda: state(node, "MainPID") not in ("0", before) and state(node, "ActiveState") == "active", 90)
    node.shell("echo x >/tmp/x.txt; vaultctl deposit /tmp/x.txt --identifier after-a-kill --receipt /tmp/r.json")
    node.shell("vaultctl receipt verify /tmp/r.json")


@pytest.mark.parametrize(
    ("spoil", "mend", "said"),
    [
        ("echo 'nonsense = 1' >>/etc/vault/vault.toml", "sed -i '$ d' /etc/vault/vault.toml", "no such setting"),
        ("chmod 644 /var/lib/vault/node.key", "chmod 600 /var/lib/vault/node.key", "open to others"),
    ],
)
def test_what_cannot_work_is_said_and_not_tried_again(node, spoil, mend, said):
    node.shell(spoil)
    try:
        node.run("systemctl", "restart", "vaultd", code=None)
        eventually(lambda: state(node, "ActiveState") == "failed", 60)
        assert (state(node, "ExecMainStatus"), state(node, "NRestarts")) == ("78", state(node, "NRestarts"))
        assert state(node, "SubState") == "failed", "and not auto-restart"
        assert said in node.run("journalctl", "-u", "vaultd", "-n", "20", "--no-pager")
        assert said in node.run("vaultctl", "doctor", code=5)
    finally:
        node.shell(mend)
        node.run("systemctl", "reset-failed", "vaultd")
        node.run("systemctl", "start", "vaultd")


def test_a_volume_that_is_away_comes_late_or_is_another_one(node):
    node.shell("umount -l /srv/nas-b")
    eventually(lambda: conditions(node)["nas-b"] == "offline", 90)
    assert "nothing is mounted there" in node.run("vaultctl", "doctor", code=5)
    node.run("systemctl", "restart", "vaultd")
    assert state(node, "ActiveState") == "active"
    assert conditions(node)["nas-b"] == "offline"
    # Another disk in its place: an empty one, then one of another node.
    node.shell("mount -t tmpfs -o size=2G other /srv/nas-b")
    eventually(lambda: conditions(node)["nas-b"] == "foreign", 90)
    assert "vault-volume.json" in node.run("vaultctl", "doctor", code=5)
    assert node.shell("ls /srv/nas-b").strip() == "", "nothing is written there"
    node.shell("cp /srv/nas-a/vault-volume.json /srv/nas-b/")
    assert "is the volume nas-a" in node.run("vaultctl", "doctor", code=5) or conditions(node)["nas-b"] == "foreign"
    node.shell("umount /srv/nas-b")


def test_a_volume_elsewhere_is_let_through_by_init(node):
    node.shell("mkdir -p /mnt/nas-d; mount -t tmpfs -o size=2G nas-d /mnt/nas-d")
    with_it = '[[volume]]\\nname = "nas-d"\\nkind = "directory"\\npath = "/mnt/nas-d"\\ndomain = "d"\\nsite = "x"'
    node.shell(f"printf '{with_it}\\n' >>/etc/vault/vault.toml; chown vault: /mnt/nas-d; systemctl restart vaultd")
    assert "may not write to /mnt/nas-d" in node.run("vaultctl", "doctor", code=5)
    assert "restarted" in node.run("vaultctl", "init", code=None)
    eventually(lambda: conditions(node)["nas-d"] == "online", 90)
