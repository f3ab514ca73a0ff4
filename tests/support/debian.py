"""A Debian of its own, under its own systemd: a folder made by debootstrap once, and over it an overlay in which
systemd-nspawn boots. It has no network but its loopback, and the kernel of this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import eventually
from tests.support.tools import require

REPO = Path(__file__).parents[2]
CACHE = REPO / ".cache"
PACKAGES = "python3,systemd,dbus,ca-certificates,udev,smartmontools,openssl,curl,man-db,bash-completion"
FSTAB = """\
nas-a /srv/nas-a tmpfs size=3G 0 0
nas-b /srv/nas-b tmpfs size=3G 0 0
nas-c /srv/nas-c tmpfs size=3G,noauto 0 0
"""
MIGRATION = '''\
"""A later form of the catalogue: of each package something more is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{later}"
down_revision = "{newest}"


def upgrade() -> None:
    op.add_column("packages", sa.Column("shelfmark", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE packages SET shelfmark = 'H:' || identifier")
    op.create_index("packages_by_shelfmark", "packages", ["shelfmark"])
'''
LATER = "9001"
"""The revision that the package ``newer`` brings the catalogue to."""


HOLDER = """
set -e
[ ! -e /dev/fuse ] || set -- "$@" --bind=/dev/fuse
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
upper=$2
shift 2
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --machine=khoso-test --console=pipe \
    "$@" -D "$upper/root" -b
"""


def codename() -> str:
    """The release of this machine: what its Python is from, the package is for."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    pytest.skip("this is neither Debian nor Ubuntu")


def mirror(release: str) -> str:
    """Where this machine has its packages from."""
    form = ["--format", "$(SITE)|$(REPO_URI)|$(CODENAME)", "Created-By: Packages"]
    said = subprocess.run(["apt-get", "indextargets", *form], capture_output=True, text=True, timeout=60, check=True)
    for line in said.stdout.splitlines():
        _, address, name = line.split("|")
        if name == release:
            return address
    pytest.skip(f"apt knows no packages of {release}")


@contextlib.contextmanager
def alone(what: str) -> Iterator[None]:
    """What is kept in ``CACHE`` is made by one of the processes that test side by side; the others find it there."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"lock-{what}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def base() -> Path:
    """The folder of a Debian as it comes, kept between runs; only ever read."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a Debian in a folder")
    require("debootstrap", "debootstrap", ["/usr/sbin"])
    with alone("debian"):
        return _base()


def _base() -> Path:
    release = codename()
    folder, archive = CACHE / f"debian-{release}", CACHE / f"debian-{release}.tar"
    if (folder / "etc/os-release").exists():
        return folder
    made = CACHE / f"debian-{release}.part"
    shutil.rmtree(made, ignore_errors=True)
    if archive.exists():
        made.mkdir()
        subprocess.run(["tar", "xpf", str(archive), "-C", str(made)], timeout=300, check=True)
    else:
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(made), mirror(release)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
        if done.returncode != 0:
            pytest.fail(f"debootstrap failed: {done.stdout[-500:]} {done.stderr[-500:]}")
    made.rename(folder)
    return folder


_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}


class Machine:
    """A Debian that runs; what is started in it ends with it."""

    def __init__(self, folder: Path, leader: int) -> None:
        self.root = folder / "root"
        self._leader = leader

    def run(self, *command: str, code: int | None = 0, seconds: float = 240) -> str:
        """Type a command; what it printed. None as ``code`` allows for any."""
        done = self.typed(*command, seconds=seconds)
        said = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{command} ended with {done.returncode}: {said[-3000:]}"
        return said

    def shell(self, script: str, code: int | None = 0) -> str:
        """Type lines to the shell."""
        return self.run("bash", "-ec", script, code=code)

    def typed(self, *command: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """The same, with its exit code and what it printed told apart."""
        entered = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "--", *command]
        return subprocess.run(
            entered, capture_output=True, text=True, timeout=seconds, check=False, env=_ENVIRONMENT, cwd="/"
        )

    def kill(self) -> None:
        """End everything in it, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._leader, signal.SIGKILL)


@contextlib.contextmanager
def machine(folder: Path, **files: Path) -> Iterator[Machine]:
    """A Debian with two mounted volumes (/srv/nas-a, /srv/nas-b), and a third (/srv/nas-c) that is mounted by hand.
    Each of ``files`` lies in / under its name."""
    require("unshare", "util-linux")
    require("systemd-nspawn", "systemd-container")
    below = base()
    upper = folder / "upper"
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    for name, source in files.items():
        shutil.copy(source, upper / name)
    (upper / "etc").mkdir()
    (upper / "etc/fstab").write_text(FSTAB)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", HOLDER, "sh", str(below), str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    made: Machine | None = None
    try:
        leader = eventually(lambda: process.poll() is not None or _first_process(process.pid), 60)
        if process.poll() is not None:
            pytest.skip(f"no machine can be booted here: {(folder / 'log').read_text()[-300:]}")
        made = Machine(folder, int(str(leader)))
        eventually(lambda: made.typed("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 120)
        yield made
    finally:
        if made is not None:
            made.kill()
        else:
            process.kill()
        process.wait(60)


def _first_process(holder: int) -> int:
    """The first process of the machine that ``holder`` boots; 0 while there is none."""
    for child in Path(f"/proc/{holder}/task/{holder}/children").read_text().split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
    return 0
