"""A Debian of its own: a folder made by debootstrap once, an overlay over it for each test, no network within."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tools import require

REPO = Path(__file__).parents[2]
CACHE = REPO / ".cache"
PACKAGES = "python3,systemd,dbus,ca-certificates,udev,smartmontools,openssl,curl,man-db,bash-completion"
HOLDER = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir -p srv/nas-a srv/nas-b
mount -t tmpfs -o size=3G nas-a srv/nas-a
mount -t tmpfs -o size=3G nas-b srv/nas-b
ip link set lo up
echo ready
exec sleep infinity
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


def base() -> Path:
    """The folder of a Debian as it comes, kept between runs; only ever read."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a Debian in a folder")
    require("debootstrap", "debootstrap", ["/usr/sbin"])
    release = codename()
    folder, archive = CACHE / f"debian-{release}", CACHE / f"debian-{release}.tar"
    if (folder / "etc/os-release").exists():
        return folder
    CACHE.mkdir(exist_ok=True)
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
    """A Debian that can be changed; what is started in it ends with it."""

    def __init__(self, root: Path, holder: int) -> None:
        self.root = root
        self._holder = holder
        self.started: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str, code: int | None = 0, seconds: float = 240) -> str:
        """Type a command; what it printed. None as ``code`` allows for any."""
        done = subprocess.run(
            self._entered(command),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=_ENVIRONMENT,
        )
        said = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{command} ended with {done.returncode}: {said[-3000:]}"
        return said

    def shell(self, script: str, code: int | None = 0) -> str:
        """Type a line to the shell."""
        return self.run("sh", "-ec", script, code=code)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start something that goes on."""
        with (self.root.parent / "log").open("ab") as log:
            process = subprocess.Popen(self._entered(command), stdout=log, stderr=log, env=_ENVIRONMENT)
        self.started.append(process)
        return process

    @property
    def log(self) -> str:
        return (self.root.parent / "log").read_text()

    def _entered(self, command: tuple[str, ...]) -> list[str]:
        return ["nsenter", "-t", str(self._holder), "-m", "-n", "-p", "chroot", str(self.root), *command]


@contextlib.contextmanager
def machine(folder: Path, **files: Path) -> Iterator[Machine]:
    """A Debian with two mounted volumes (/srv/nas-a, /srv/nas-b) and no network but its own loopback. Each of ``files``
    lies in / under its name."""
    require("unshare", "util-linux")
    require("ip", "iproute2")
    below = base()
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    for name, source in files.items():
        shutil.copy(source, folder / "upper" / name)
    process = subprocess.Popen(
        ["unshare", "-m", "-n", "-p", "--fork", "--kill-child", "sh", "-c", HOLDER, "sh", str(below), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    made: Machine | None = None
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if said != b"ready\n":
            pytest.skip(f"no machine can be made here: {said.decode()}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        made = Machine(folder / "root", int(children[0]))
        yield made
    finally:
        process.kill()
        process.communicate()
        for started in made.started if made is not None else ():
            started.wait(30)
