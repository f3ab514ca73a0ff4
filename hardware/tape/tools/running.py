"""A tool that runs: what it says is heard as it says it, and it is ended when its time is over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Final, Self

from hardware.errors import Unreachable
from hardware.tape.errors import ToolHung
from hardware.tape.tools.table import Ended, message_ids

_LINE: Final = 4096
_KEPT_FIRST, _KEPT_LAST = 2000, 2000
_GRACE: Final = 10.0


class Running:
    """A tool as a child process in a session of its own. Its lines are kept, but for the middle of very many."""

    def __init__(self, command: Sequence[str], *, what: str) -> None:
        """Start it. ``what`` begins the messages of errors. Raises ``Unreachable`` where there is no such program."""
        self._what = what
        self._tool = os.path.basename(command[0])
        self._heard = threading.Condition()
        self._first: list[str] = []
        self._last: list[str] = []
        self._messages: set[str] = set()
        self._silent = False
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ | {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError as error:
            raise Unreachable(
                f"{what}: {command[0]} cannot be started: {error.strerror}.", remedy="Install the LTFS tools."
            ) from error
        self._listener = threading.Thread(target=self._listen, name=f"hear-{self._tool}", daemon=True)
        self._listener.start()

    def wait_for(self, messages: Iterable[str], timeout: float) -> bool:
        """Wait until it has said all these messages (True), or has ended (False). Raises ``ToolHung``; it is ended."""
        wanted = frozenset(messages)
        end = time.monotonic() + timeout
        with self._heard:
            while not wanted <= self._messages:
                if self._silent:
                    return False
                if (left := end - time.monotonic()) <= 0:
                    break
                self._heard.wait(left)
            else:
                return True
        raise self._hung(timeout)

    def wait(self, timeout: float) -> Ended:
        """Wait for its end, and say how it was. Raises ``ToolHung`` where it does not end; it is ended then."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._hung(timeout) from None
        # What it started may outlive it and keep the pipe open: that is not waited for.
        self._listener.join(_GRACE)
        return Ended(self._tool, code, self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """What it has said so far."""
        with self._heard:
            return (*self._first, *self._last)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> bool:
        """End it and what it started; False where it waits in the kernel and cannot be ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """End it where it still runs, and let go of its pipe."""
        if not self.ended:
            self.kill()
        self._listener.join(_GRACE)
        if self._process.stdout is not None and not self._listener.is_alive():
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _hung(self, timeout: float) -> ToolHung:
        ended = self.kill()
        fate = "was ended" if ended else "hangs in the kernel and cannot be ended"
        return ToolHung(
            f"{self._what}: {self._tool} did nothing for {duration(timeout)} and {fate}.",
            remedy="Look at the drive's panel and the kernel's log; then have the volume recovered."
            if ended
            else "Switch the drive off and on, or restart the machine; then have the volume recovered.",
            ended=ended,
        )

    def _listen(self) -> None:
        stream = self._process.stdout
        if stream is None:  # pragma: no cover  -- said for the type checker
            return
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(_LINE):
                self._keep(line.decode("utf-8", "replace").rstrip())
        with self._heard:
            self._silent = True
            self._heard.notify_all()

    def _keep(self, line: str) -> None:
        with self._heard:
            if len(self._first) < _KEPT_FIRST:
                self._first.append(line)
            else:
                self._last.append(line)
                if len(self._last) > 2 * _KEPT_LAST:
                    del self._last[:_KEPT_LAST]
            self._messages |= message_ids([line])
            self._heard.notify_all()


def run(command: Sequence[str], *, what: str, timeout: float) -> Ended:
    """Run a tool to its end. Raises ``ToolHung``, ``Unreachable``."""
    with Running(command, what=what) as running:
        return running.wait(timeout)


def duration(seconds: float) -> str:
    """A time as people say it."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 180 else f"{seconds:.1f} seconds"
