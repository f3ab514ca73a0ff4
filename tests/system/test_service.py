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
    assert len(node.run("cat", "/proc/net/udp", "/proc/net/udp6").splitlines()) == 2, "the two headings, and no socket"


PROBE = "/etc/systemd/system/probe.service"
FUSE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("/var/lib/vault/cartridge", exist_ok=True)
options = f"fd={os.open('/dev/fuse', os.O_RDWR)},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
mounted = libc.mount(b"ltfs", b"/var/lib/vault/cartridge", b"fuse", 6, options.encode())
print("fuse", mounted, os.strerror(ctypes.get_errno()), os.getuid() != 0)
libc.umount2(b"/var/lib/vault/cartridge", 2)
os.rmdir("/var/lib/vault/cartridge")
"""
PRIORITY = """
import ctypes, os, sys
sys.path.insert(0, "/usr/lib/khoso/site-packages")
from vault.custody.pacing import io_priority
get = {"x86_64": 252, "aarch64": 31}[os.uname().machine]
for level in ("low", "idle"):
    with io_priority(level):
        print(level, ctypes.CDLL(None).syscall(get, 1, 0) >> 13, ctypes.CDLL(None).syscall(get, 1, 0) & 7)
"""


def in_the_unit(node: Machine, script: str, more: str = "") -> str:
    """What a Python script prints that runs in place of the daemon, in all that the unit puts around it."""
    node.run("sh", "-c", 'printf "%s" "$0" >/opt/probe.py', script)
    keep = r"/^(ExecStart|ExecReload|Type|Restart|WatchdogSec|RuntimeDirectory|NotifyAccess)/d"
    start = r"s|^\[Service\]|&\nType=oneshot\nExecStart=/usr/bin/python3 -IS /opt/probe.py|"
    node.shell(f"sed -E '{keep}; {start}' /usr/lib/systemd/system/vaultd.service >{PROBE}; mkdir -p {PROBE}.d")
    node.shell(f"cp {more} {PROBE}.d/" if more else f"rm -f {PROBE}.d/*")
    node.shell("systemctl daemon-reload; systemctl start probe || true")
    return node.run("journalctl", "-u", "probe", "-o", "cat", "--no-pager")


def test_checks_may_read_at_a_low_priority(node):
    """Best effort at its lowest, or idle (ioprio_set(2)); and the node as a whole weighs more than other services."""
    said = in_the_unit(node, PRIORITY)
    assert "low 2 7" in said
    assert "idle 3" in said
    assert state(node, "Slice") == "vault.slice"
    assert node.run("systemctl", "show", "vault.slice", "--property=IOWeight", "--value").strip() == "500"


def test_only_with_the_drop_in_for_tape_it_can_mount_cartridges(node):
    if node.typed("test", "-e", "/dev/fuse").returncode != 0:
        pytest.skip("this machine has no /dev/fuse")
    assert "fuse 0" not in in_the_unit(node, FUSE)
    node.shell("getent group tape || groupadd --system tape")
    said = in_the_unit(node, FUSE, "/usr/lib/khoso/vaultd-tape.conf")
    assert re.search(r"fuse 0 .* True", said), said
    assert "ltfs" not in node.run("cat", "/proc/mounts"), "nobody else sees it"


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


STOP = """
ask() { curl --silent --fail --unix-socket /run/vault/vault.sock -H 'Content-Type: application/json' "$@"; }
ask -d '{"identifier": "large"}' http://node/v1/verifications
until ask http://node/v1/tasks | grep -q '"running"'; do :; done
systemctl stop vaultd
"""


def test_stopped_in_the_midst_of_a_check_it_ends_in_order_and_takes_it_up_again(node):
    """With little of the processor, the check is still on its way when it is stopped."""
    node.shell("head -c 400M /dev/urandom >/tmp/large.bin")
    node.shell("vaultctl deposit /tmp/large.bin --identifier large --wait receipt; rm /tmp/large.bin")
    node.run("systemctl", "set-property", "--runtime", "vaultd", "CPUQuota=10%")
    node.shell(STOP)
    assert state(node, "Result") == "success", "within its timeout, and not killed"
    ended = node.run("journalctl", "-u", "vaultd", "-n", "20", "--no-pager", "-o", "cat")
    assert re.search("task-ended .*ending=stopped identifier=large kind=verify", ended), ended
    assert "stopped all_work_ended=True" in ended
    node.run("systemctl", "set-property", "--runtime", "vaultd", "CPUQuota=")
    node.run("systemctl", "start", "vaultd")
    more = ["journalctl", "-u", "vaultd", "-n", "20", "--no-pager", "-o", "cat"]
    eventually(
        lambda: node.run(*more).count("ending=done identifier=large kind=verify") == 2, 90, lambda: node.run(*more)
    )


@pytest.mark.parametrize(
    ("spoil", "mend", "said"),
    [
        ("echo 'nonsense = 1' >>/etc/vault/vault.toml", "sed -i '$ d' /etc/vault/vault.toml", "no such setting"),
        (
            "sed -i 's/^disk = 2/disk = 9/' /etc/vault/vault.toml",
            "sed -i 's/^disk = 9/disk = 2/' /etc/vault/vault.toml",
            "add a [[volume]] in another domain, or ask for fewer copies",
        ),
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
        journal = node.run("journalctl", "-u", "vaultd", "-n", "20", "--no-pager")
        assert said in journal
        assert "vault.toml" not in spoil or re.search(r"/etc/vault/vault\.toml:[1-9][0-9]*: ", journal), "with its line"
        assert said in node.run("vaultctl", "doctor", code=5)
    finally:
        node.shell(mend)
        node.run("systemctl", "reset-failed", "vaultd")
        node.run("systemctl", "start", "vaultd")


def configured(node: Machine, more: str) -> None:
    """Add to the configuration."""
    node.run("python3", "-c", "import sys; open('/etc/vault/vault.toml', 'a').write(sys.argv[1])", more)


def test_a_volume_that_is_mounted_late_is_taken_without_a_hand(node):
    """At a boot the NAS may come after the daemon: it starts, says so, and goes on when the right volume is there."""
    node.shell("mkdir -p /mnt/kept; mount --bind /srv/nas-b /mnt/kept; umount -l /srv/nas-b; systemctl restart vaultd")
    assert conditions(node) == {"nas-a": "online", "nas-b": "offline"}
    node.shell("mount --bind /mnt/kept /srv/nas-b")
    eventually(lambda: conditions(node)["nas-b"] == "online", 90)
    node.shell("umount /mnt/kept; vaultctl doctor")


def test_a_full_disk_under_the_catalogue_is_said_and_outlived(node):
    """It cannot work without room, and goes on by itself when there is some: this is nothing that a hand must start."""
    node.shell("systemctl stop vaultd; cp -a /var/lib/vault /opt/state")
    size = int(node.shell("du -sB1 /opt/state").split()[0])
    node.shell(f"mount -t tmpfs -o size={size + 4_000_000} tmpfs /var/lib/vault; cp -a /opt/state/. /var/lib/vault/")
    node.shell(
        "chown vault:vault /var/lib/vault; chmod 750 /var/lib/vault; dd if=/dev/zero of=/var/lib/vault/fill || true"
    )
    node.run("systemctl", "start", "--no-block", "vaultd")
    full = ["journalctl", "-u", "vaultd", "-n", "30", "--no-pager", "-o", "cat"]
    eventually(lambda: re.search("Make room|No space left|is full", node.run(*full)), 90, lambda: node.run(*full))
    assert "no room for the catalogue" in node.run("vaultctl", "doctor", code=5)
    node.shell("rm /var/lib/vault/fill")
    eventually(lambda: state(node, "ActiveState") == "active", 120)
    node.shell("systemctl stop vaultd; umount /var/lib/vault; rm -r /opt/state; systemctl start vaultd")


def test_the_mount_of_a_folder_of_its_own_is_waited_for(node):
    """Doctor gives the line, init writes it; then the daemon does not begin in an empty mount point."""
    node.shell("cp /etc/vault/vault.toml /opt/; mkdir -p /mnt/cache; cp /etc/fstab /opt/")
    node.shell(
        "echo 'cache /mnt/cache tmpfs size=99M 0 0' >>/etc/fstab; systemctl daemon-reload;"
        "mount /mnt/cache; chown vault: /mnt/cache"
    )
    configured(node, '\n[recall]\npath = "/mnt/cache/recall"\n')
    said = node.run("vaultctl", "doctor", code=5)
    assert 'RequiresMountsFor="/mnt/cache/recall"' in said
    assert "may not write to /mnt/cache/recall" in said
    node.shell("vaultctl init")
    assert "/mnt/cache" not in node.run("vaultctl", "doctor", code=0)
    node.shell("systemctl stop vaultd; umount /mnt/cache")
    node.shell("sed -i 's|^cache.*|none /mnt/cache nosuchfs defaults 0 0|' /etc/fstab")
    node.shell("systemctl daemon-reload; systemctl reset-failed")
    node.run("systemctl", "start", "vaultd", code=1)
    assert state(node, "ActiveState") == "inactive", "nothing of it ran"
    node.shell("cp /opt/fstab /etc/fstab; cp /opt/vault.toml /etc/vault/vault.toml")
    node.shell("systemctl daemon-reload; systemctl reset-failed")
    node.shell("vaultctl init --no-start; systemctl start vaultd")
    assert "RequiresMountsFor" not in node.run("systemctl", "cat", "vaultd").replace("add RequiresMountsFor=", "")


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
