"""Read a disk of the guest from outside: with e2fsprogs, neither mounted nor through the guest's kernel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.tools import require

SBIN = ["/usr/sbin", "/sbin"]


def make_disk(path: Path, label: str, size: str) -> Path:
    """An ext4 file system in a file."""
    with path.open("wb") as file:
        file.truncate(int(size.removesuffix("M")) << 20)
    mke2fs = require("mke2fs", "e2fsprogs", SBIN)
    run(mke2fs, "-q", "-t", "ext4", "-L", label, "-E", "lazy_itable_init=0,lazy_journal_init=0", str(path))
    return path


def write_file(disk: Path, inside: str, text: str, scratch: Path) -> None:
    """Put a file onto a disk of a guest that is off."""
    scratch.write_text(text)
    debugfs = require("debugfs", "e2fsprogs", SBIN)
    run(debugfs, "-w", "-R", f"rm {inside}", str(disk))
    run(debugfs, "-w", "-R", f"write {scratch} {inside}", str(disk))
    scratch.unlink()


def folder_of(disk: Path, inside: str, to: Path) -> Path:
    """The folder ``inside``, read from a copy of the disk whose journal is played back first, as a mount would."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    copy = to / "disk"
    run("cp", "--sparse=always", str(disk), str(copy))
    e2fsck, debugfs = require("e2fsck", "e2fsprogs", SBIN), require("debugfs", "e2fsprogs", SBIN)
    # 0: nothing wrong; 1: mended, which playing back the journal alone may come to.
    run(e2fsck, "-E", "journal_only", "-y", str(copy), allowed=(0, 1))
    said = run(e2fsck, "-f", "-n", str(copy), allowed=(0, 4))
    assert "WARNING" not in said, said
    run(debugfs, "-R", f"rdump {inside} {to}", str(copy))
    copy.unlink()
    return to / Path(inside).name


def run(*command: str, allowed: tuple[int, ...] = (0,), seconds: float = 300) -> str:
    """A program of the host; what it printed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, env={"LC_ALL": "C.UTF-8", "PATH":
        "/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip
    assert done.returncode in allowed, f"{command} ended with {done.returncode}: {done.stdout} {done.stderr}"
    return done.stdout + done.stderr
