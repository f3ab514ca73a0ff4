"""JSON lines over a Unix socket: QEMU's own protocol (QMP) and that of the agent in the guest (QGA) are both this."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class Refused(Exception):
    """The other side answered with an error."""


class Channel:
    """One connection; one command at a time."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(seconds)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rwb")

    def ask(self, command: str, seconds: float | None = None, **arguments: object) -> Any:
        """Give a command; what it returned. Events that come in between are not kept.

        Raises ``Refused``; ``OSError`` where nobody answers in time.
        """
        if seconds is not None:
            self._socket.settimeout(seconds)
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._file.write(json.dumps(message).encode() + b"\n")
        self._file.flush()
        while True:
            line = self._file.readline()
            if not line:
                raise ConnectionResetError(f"{command}: the connection ended")
            # The agent marks the answer to a guest-sync-delimited with this byte.
            answer = json.loads(line.lstrip(b"\xff"))
            if "error" in answer:
                raise Refused(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def greeting(self) -> None:
        """QEMU speaks first."""
        self._file.readline()

    def close(self) -> None:
        """End the connection."""
        self._file.close()
        self._socket.close()
