"""The daemon as a service of systemd: started here, where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from vault.cli.unit import UNIT, drop_in
from vault.config import LibrarySettings, Settings
from vault.durable import write_durably
from vault.errors import Unreachable
from vault.i18n import _

DROPIN = Path("/etc/systemd/system/vaultd.service.d/volumes.conf")
TAPE_DROPIN = DROPIN.with_name("tape.conf")
_HERE = Path(__file__)
_TAPE_SOURCES = (
    _HERE.parents[3] / "systemd/vaultd-tape.conf",
    _HERE.parents[4] / "vaultd-tape.conf",
    Path(sys.prefix) / "share/khoso/systemd/vaultd-tape.conf",
)
"""Where the program brings it: a checkout, the package (packaging/build.py), and the wheel (packaging/wheel.py)."""
_RUNNING = Path("/run/systemd/system")
_ASKING_SECONDS = 30
_STARTING_SECONDS = 15 * 60 + 30
"""A little more than TimeoutStartSec= of the unit."""
_DISKS_SECONDS = 180
"""A disk that hangs is given up after a minute."""


def is_installed() -> bool:
    """Whether systemd runs this machine and knows the daemon (sd_booted(3))."""
    return _RUNNING.is_dir() and os.geteuid() == 0 and _systemctl("cat", UNIT, seconds=_ASKING_SECONDS).returncode == 0


def tell(settings: Settings, dropin: Path = DROPIN) -> bool:
    """Let the service write where the configuration says, and wait for the mounts that it needs, by a drop-in of the
    unit that is ours; the service sees everything else as read-only. Return whether anything changed."""
    text = drop_in(settings)
    before = dropin.read_text("utf-8") if dropin.exists() else ""
    if text == before:
        return False
    dropin.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_durably(dropin, text.encode())
    _systemctl("daemon-reload", seconds=_ASKING_SECONDS)
    return True


def allow_tapes(libraries: Iterable[LibrarySettings], dropin: Path = TAPE_DROPIN) -> bool:
    """Let the service open tape drives and libraries where the configuration has real ones, by a link to the drop-in
    that the program brings; one that is there already stays. Return whether anything changed."""
    source = next((path for path in _TAPE_SOURCES if path.exists()), None)
    if source is None or os.path.lexists(dropin) or not any(library.kind == "scsi" for library in libraries):
        return False
    dropin.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    dropin.symlink_to(source)
    _systemctl("daemon-reload", seconds=_ASKING_SECONDS)
    return True


def ask_the_disks() -> None:
    """Let the helper ask the disks how they are, and wait for it: its timer may come to it only later. What it has to
    say, or that it cannot, doctor tells."""
    _systemctl("start", "vault-smart.service", seconds=_DISKS_SECONDS)


def start() -> None:
    """Enable it and start it; return when it serves. Raises Unreachable when it does not."""
    _serving(_systemctl("enable", "--now", UNIT, seconds=_STARTING_SECONDS))


def restart() -> None:
    """The same for one that runs: it reads its configuration again, and sees what :func:`tell` changed."""
    _serving(_systemctl("restart", UNIT, seconds=_STARTING_SECONDS))


def _serving(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        reason = " ".join((done.stderr or done.stdout).split())[:300]
        raise Unreachable(
            _("vaultd did not start: {reason}").format(reason=reason),
            remedy=_("Look at `systemctl status vaultd` and at journalctl -u vaultd."),
            code="service-not-started",
        )


def _systemctl(*arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    command = ["systemctl", *arguments]
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=seconds, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", "there is no systemctl")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {seconds:g} s")
