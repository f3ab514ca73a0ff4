"""Calling smartctl, through pySMART's own caller, mended.

pySMART's ``Smartctl`` waits for ever, wakes what sleeps, and takes the caller's environment. This one gives up after
``patience``, always says ``-n standby``, fixes the environment, and takes no more output than an answer can have.
smartctl sits in the kernel when a disk hangs: then it cannot even be killed, and is left behind and told of.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Final

from hardware.smart.facts import Reading
from hardware.smart.jsontools import MOST_BYTES, Json, inner, items, load, text

# Importing pySMART sets LANG=C for the whole process, for good.
_LANG = os.environ.get("LANG")
from pySMART.smartctl import Smartctl as Smartctl  # noqa: E402, PLC0414 - between the two lines that keep LANG

if _LANG is None:
    os.environ.pop("LANG", None)
else:
    os.environ["LANG"] = _LANG

PATIENCE: Final = 60.0
"""Seconds. A healthy disk answers within two; one that retries a bad sector, within thirty."""

KILL_PATIENCE: Final = 5.0
QUESTION: Final = (
    "-a", "-l", "sataphy", "-l", "sasphy", "-l", "scttempsts", "-l", "ssd", "-l", "devstat", "-l", "defects",
    "-l", "background",
)  # fmt: skip
"""All of ``-a``, and what it leaves out: link errors, temperature limits, wear, statistics, pending defects."""

_FOUND_OUT: Final = frozenset({"ata", "sat", "scsi", "nvme"})
"""Types (``-d``) that smartctl tells apart itself, given the device alone."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of smartctl ended. ``status`` is None when it was ended for taking too long; ``left_behind`` is then
    its process, where even that did not end it."""

    status: int | None
    output: bytes
    left_behind: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking one disk: ``reading`` READ and the JSON, or why there is none."""

    reading: Reading
    document: Json = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    left_behind: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to ask: a device file and smartctl's ``-d`` type, as for ``/dev/bus/0`` and ``megaraid,8``."""

    device: str
    kind: str = ""


class PatientSmartctl(Smartctl):
    """pySMART's caller of smartctl, with an end to its patience."""

    def __init__(self, path: str, patience: float = PATIENCE) -> None:
        super().__init__(smartctl_path=path)
        self.patience = patience

    def ask(self, place: Place) -> Answer:
        """Ask one disk for everything, in JSON with the text inside it. Raises nothing for what the disk does."""
        kind = ["-d", place.kind] if place.kind else []
        ended = self.run(["--json=o", "-n", "standby", *QUESTION, *kind, place.device])
        if ended.status is None:
            message = f"smartctl did not answer within {self.patience:.0f} s"
            return Answer(Reading.HUNG, left_behind=ended.left_behind, message=message)
        document = load(ended.output)
        if document is None:
            return Answer(Reading.UNREADABLE, message=f"smartctl ended with {ended.status} and no JSON")
        lines = inner(document, "smartctl").get("output")
        known = tuple(line for line in lines if isinstance(line, str)) if isinstance(lines, list) else ()
        return Answer(Reading.READ, document, known)

    def places(self) -> list[Place] | None:
        """What smartctl itself would ask: also disks behind RAID controllers, which have no device of their own.

        None when it did not answer. No disk is opened for it, so of a SATA disk it says "scsi" here, as the kernel
        presents it; asked as such it tells nothing. What a device speaks is left to be found out when it is asked.
        """
        ended = self.run(["--scan", "--json"])
        document = load(ended.output) if ended.status is not None else None
        if document is None:
            return None
        found = [Place(text(item, "name"), text(item, "type")) for item in items(document, "devices", 4096)]
        return [Place(place.device) if place.kind in _FOUND_OUT else place for place in found]

    def start_self_test(self, place: Place, kind: str) -> Ended:
        """Start a self-test (``short``, ``long``) unless the disk sleeps; a running one is not disturbed (``-t``)."""
        wanted = ["-d", place.kind] if place.kind else []
        return self.run(["-n", "standby", *wanted, "-t", kind, place.device])

    def run(self, parameters: Sequence[str]) -> Ended:
        """Run smartctl with these. Raises OSError where there is no such program."""
        return run([str(self.smartctl_path), *parameters], self.patience)

    def _exec(self, cmd: list[str]) -> tuple[list[str], int]:
        """What pySMART's own methods end in."""
        ended = run([cmd[0], "-n", "standby", *cmd[1:]], self.patience)
        lines = ended.output.decode("utf-8", "replace").splitlines()
        return lines, 1 << 1 if ended.status is None else ended.status


def run(command: Sequence[str], patience: float) -> Ended:
    """Run a command, without input, for not longer than ``patience`` seconds.

    Its output goes to a file that is already removed: a process that cannot be killed holds no pipe of ours.
    """
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TZ": "UTC"},
            cwd="/",
            start_new_session=True,
        )
        try:
            status = process.wait(patience)
        except subprocess.TimeoutExpired:
            return Ended(None, b"", _end(process))
        return Ended(status, _output(out))


def _output(out: IO[bytes]) -> bytes:
    out.seek(0)
    return out.read(MOST_BYTES)


def _end(process: subprocess.Popen[bytes]) -> int | None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(KILL_PATIENCE)
    except subprocess.TimeoutExpired:
        # It is in the kernel and will go when the disk lets it; the interpreter is not to wait for it, nor to warn.
        process.returncode = -signal.SIGKILL
        return process.pid
    return None
