"""The stand-in for the LTFS tools (:mod:`tests.support.ltfs_standin`) in a folder, and what it is told to do."""

import json
import os
import sys
from pathlib import Path

import pytest

from hardware.tape.tools.acts import Timeouts, Tools

UUID = "a7e470f8-7638-4958-89c9-893f09022576"
FORMATTED = [["say", f"LTFS15013I Volume UUID is: {UUID}."], ["say", "LTFS15024I Medium formatted successfully."]]
SERVED = [
    ["say", "LTFS11031I Volume mounted successfully. VLT001 : Gen = 4 / (a, 5) -> (b, 5) / DUMMY."],
    ["mount"],
    ["say", "LTFS14029I Ready to receive file system requests."],
]
ENDED = [
    ["until-unmounted"],
    ["say", "LTFS17236I Wrote index of VLT001 (Gen = 5, Part = a, Pos = 5, DUMMY)."],
    ["say", "LTFS11034I Volume unmounted successfully."],
]
AMPLE = Timeouts(format=60, mount=60, unmount=60, list=60, recover=60, serve=60)
"""Nothing of the stand-in takes so long, however busy the machine is."""


needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


class StandIn:
    def __init__(self, path, patch):
        self.path = path
        self.patch = patch
        self.log = path / "calls"
        (path / "bin").mkdir(parents=True)
        self.log.touch()
        for name in ("mkltfs", "ltfs", "ltfsck"):
            program = path / "bin" / name
            source = Path(__file__).with_name("ltfs_standin.py")
            program.write_text(f"#!{sys.executable}\n" + source.read_text())
            program.chmod(0o755)
        patch.setenv("STANDIN_LOG", str(self.log))
        self.does()

    def does(self, **steps):
        self.patch.setenv("STANDIN", json.dumps(steps))

    def tools(self, timeouts=AMPLE):
        return Tools(str(self.path / "work"), str(self.path / "mounts"), str(self.path / "bin"), "file", timeouts)

    def calls(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def format(self, timeouts=AMPLE, **options):
        return self.tools(timeouts).format("/dev/sg7", "VLT001", **({"name": "", "force": False} | options))
