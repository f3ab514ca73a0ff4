"""An emulated tape library for tests: real ``/dev/sgN`` ioctls, answered by :mod:`tests.support.scsi_emulator`."""

import json
import multiprocessing
import os
import select
import shutil
import subprocess
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.tools import require

STORAGE, EXPORT, DRIVE = 2, 3, 4
NODE = "/dev/sg1"
"""The first drive."""
PRELOAD = "libumockdev-preload.so.0"
_PYTHON = "/usr/bin/python3"


class Emulated:
    """A library of which programs see ``changer`` and ``drives`` (node by the drive's number in the library)."""

    def __init__(self, process):
        self._process = process
        self._pool = None
        where = self.do("where")
        self._folder = where["root"]
        self.changer = where["changer"]
        self.serials = {serial: node for node, serial in where["drives"].items()}
        self.environment = {"LD_PRELOAD": PRELOAD, "UMOCKDEV_DIR": where["root"], "LC_ALL": "C.UTF-8"}

    def do(self, act, **what):
        """Tell the emulator something, and get its answer."""
        print(json.dumps({"do": act} | what), file=self._process.stdin, flush=True)
        ready, _, _ = select.select([self._process.stdout], [], [], 30)
        assert ready, "the emulator does not answer"
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer["ok"]

    def fault(self, node, key, asc, ascq, **what):
        self.do("fault", node=node, sense=[key, asc, ascq], **what)

    def run(self, *command, timeout=60):
        """An unmodified program; its exit code and what it printed."""
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        return done.returncode, done.stdout

    def call(self, function, *arguments):
        """Call a function of a module in a process that sees the devices; what it returns or raises comes back."""
        if self._pool is None:
            # As the preload is there from a process's start, it is one of its own, and stays for further calls.
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        with self._in_environment():
            return self._pool.submit(function, *arguments).result(timeout=60)

    @contextmanager
    def _in_environment(self):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            yield

    def close(self):
        if self._pool is not None:
            self._pool.shutdown()
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
        # The testbed is bound up with the handlers of its devices, and is never finalised: its folder would stay.
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def emulated_library(tmp_path, *, drives=1, slots=4, exports=1, style="ibm", **drive):
    """An empty library; needs umockdev and Debian's Python with gi."""
    wrapper = require("umockdev-wrapper", "umockdev")
    usable = subprocess.run(
        [_PYTHON, "-c", "import gi; gi.require_version('UMockdev', '1.0')"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    if usable.returncode:
        require("gir1.2-umockdev-1.0 for " + _PYTHON, "python3-gi and gir1.2-umockdev-1.0")
    config = {
        "drives": [{"serial": f"10WT01234{number}"} | drive for number in range(drives)],
        "slots": slots,
        "exports": exports,
        "style": style,
    }
    with open(tmp_path / "emulator.log", "wb") as log:
        process = subprocess.Popen(
            [wrapper, _PYTHON, str(Path(__file__).with_name("scsi_emulator.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        )
    try:
        print(json.dumps(config), file=process.stdin, flush=True)
        library = Emulated(process)
    except BaseException:
        process.kill()
        process.wait()
        print((tmp_path / "emulator.log").read_text())
        raise
    try:
        yield library
    finally:
        library.close()
