"""The daemon as a service of systemd: started here, where there is one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from vault.errors import Unreachable
from vault.i18n import _

UNIT = "vaultd.service"
_RUNNING = Path("/run/systemd/system")
_ASKING_SECONDS = 30
_STARTING_SECONDS = 15 * 60 + 30
"""A little more than TimeoutStartSec= of the unit."""


def is_installed() -> bool:
    """Whether systemd runs this machine and knows the daemon (sd_booted(3))."""
    return _RUNNING.is_dir() and os.geteuid() == 0 and _systemctl("cat", UNIT, seconds=_ASKING_SECONDS).returncode == 0


def start() -> None:
    """Enable it and start it; return when it serves. Raises Unreachable when it does not."""
    done = _systemctl("enable", "--now", UNIT, seconds=_STARTING_SECONDS)
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
