"""Cartridges, a way to ask what they hold, and the reference implementation where it is installed."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hardware.ltfs import FileEntry, VirtualMedium, Volume, WriteSession, format_volume


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Cartridge:
    """A virtual cartridge on disk, with what tests do to one."""

    def __init__(self, path: Path):
        self.path = path

    def format(self, *, capacity_mb=3072, **options):
        with VirtualMedium.create(self.path, capacity_mb=capacity_mb) as medium:
            return format_volume(medium, **({"serial": "VLT001", "name": "Kho"} | options))

    def write(self, files, **options):
        """One whole session; ``files`` maps paths to bytes."""
        with VirtualMedium.open(self.path, write=True) as medium, WriteSession.open(medium) as session:
            for path, data in files.items():
                session.append(path, [data], **options)
            return session.commit()

    def holds(self):
        """Digest by path of everything that the last index knows, each file read from end to end."""
        with VirtualMedium.open(self.path) as medium, Volume.open(medium) as volume:
            found = {}
            for entry, pieces in volume.read_in_tape_order(entry for entry in volume.files() if entry.target is None):
                found[entry.path] = digest(b"".join(pieces))
            return found

    def last(self):
        with VirtualMedium.open(self.path) as medium, Volume.open(medium) as volume:
            return volume.last

    def entries(self):
        with VirtualMedium.open(self.path) as medium, Volume.open(medium) as volume:
            return list(volume.entries())

    def paths(self):
        return [entry.path for entry in self.entries() if isinstance(entry, FileEntry)]

    def copy(self, path):
        shutil.copytree(self.path, path)
        return Cartridge(path)

    def names(self):
        return {name for name in os.listdir(self.path) if name[0] in "01"}


@pytest.fixture
def cartridge(tmp_path):
    """A formatted, empty cartridge."""
    made = Cartridge(tmp_path / "VLT001")
    made.format()
    return made


@pytest.fixture
def blank(tmp_path):
    """A place for a cartridge."""
    return Cartridge(tmp_path / "blank")


class Reference:
    """The reference implementation as subprocesses."""

    def __init__(self, folder, work: Path):
        self._folder = folder
        self._work = work

    def _program(self, name):
        return str(Path(self._folder, name)) if self._folder else name

    def run(self, name, *arguments):
        done = subprocess.run(
            [self._program(name), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def mkltfs(self, cartridge, serial="VLT009"):
        cartridge.path.mkdir()
        code, output = self.run("mkltfs", "-e", "file", "-d", cartridge.path, "-s", serial, "-n", "Tham chiếu")
        assert code == 0, output
        assert "LTFS15024I" in output

    def check(self, cartridge, *options):
        return self.run("ltfsck", "-e", "file", *options, cartridge.path)

    def mount(self, cartridge):
        return Mount(self._program("ltfs"), cartridge, self._work)


class Mount:
    """A volume mounted by the reference, for the length of a ``with`` block; unmounting waits for its last line."""

    def __init__(self, program, cartridge, work):
        self._program = program
        self._cartridge = cartridge
        self._work = work
        self.point = work / "mnt"
        self.output = ""

    def __enter__(self):
        self.point.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [
                self._program, "-f", "-o", "tape_backend=file", "-o", f"devname={self._cartridge.path}",
                "-o", "sync_type=unmount", "-o", f"work_directory={self._work}", str(self.point),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        self._wait_for("LTFS11031I", then="LTFS17227I Tape attribute: Media Pool")
        # The daemon says that the volume is mounted a moment before the kernel shows it.
        device = os.stat(self._work).st_dev
        while os.stat(self.point).st_dev == device:
            assert self._process.poll() is None, self.output
        return self.point

    def _wait_for(self, line, then=""):
        for text in self._process.stderr:
            self.output += text
            if line in text:
                return
        self._process.wait(timeout=30)
        self._process.stderr.close()
        raise AssertionError(self.output)

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.point)], check=True, timeout=60)
        self.output += self._process.stderr.read()
        self._process.stderr.close()
        assert self._process.wait(timeout=60) == 0, self.output
        assert "LTFS11034I" in self.output, self.output


@pytest.fixture
def reference(tmp_path):
    folder = os.environ.get("KHOSO_LTFS_BIN", "")
    programs = ("mkltfs", "ltfs", "ltfsck")
    if not all(shutil.which(name, path=folder or None) for name in programs):
        pytest.skip(
            "the reference LTFS (mkltfs, ltfs, ltfsck) is not on PATH, and KHOSO_LTFS_BIN does not name its folder"
        )
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("the reference LTFS mounts by /dev/fuse, as root")
    work = tmp_path / "reference"
    work.mkdir()
    return Reference(folder, work)
