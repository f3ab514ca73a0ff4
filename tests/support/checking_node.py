"""A process that runs a node whose copies are due for their check, until it is stopped or killed:
``python -m tests.support.checking_node FOLDER``.

It writes how many bytes it had read when it was running, and, if it was only stopped, when it had stopped.
"""

import logging
import signal
import sys
from datetime import timedelta
from pathlib import Path

import structlog

from tests.support.checks import hours
from tests.support.nodes import Bench

RATE = 20_000_000
"""Bytes a second that a check may read of a volume."""
MARK_EVERY = timedelta(milliseconds=300)


def bytes_read(process: int | str = "self") -> int:
    """All that a process has read so far, by whatever call (proc_pid_io(5), rchar)."""
    return int(Path(f"/proc/{process}/io").read_text().split()[1])


def main() -> None:
    """Run until SIGTERM comes."""
    folder = Path(sys.argv[1])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    # Before there are threads: they are not to be interrupted.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    bench = Bench(folder)
    hours(bench, timedelta(minutes=-30), f"{RATE} B", checkpoint=MARK_EVERY)
    bench.start()
    _note(folder / "running")
    signal.sigwait({signal.SIGTERM})
    bench.stop()
    _note(folder / "stopped")


def _note(path: Path) -> None:
    partial = path.with_suffix(".new")
    partial.write_text(f"{bytes_read()}")
    partial.rename(path)


if __name__ == "__main__":
    main()
