"""The state folder belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vault.durable import describe_os_error
from vault.errors import ConfigError


def lock_state(state: Path) -> int:
    """Take the lock of the state folder; it goes with the process, however that ends. Returns its descriptor.

    Raises ConfigError (``already-running``) while another process has it.
    """
    path = Path(state) / "vaultd.lock"
    try:
        Path(state).mkdir(mode=0o750, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            # Root rebuilds a catalogue: the service's user is to have the lock after that.
            owner = os.stat(state)
            os.fchown(fd, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise describe_os_error(error, f"opening the state folder {state}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ConfigError(
            f"Another process works on the state folder {state}: vaultd, or a rebuild of the catalogue.",
            remedy="Let a rebuild come to its end. A vaultd that runs is stopped with: systemctl stop vaultd",
            code="already-running",
        ) from None
    return fd
