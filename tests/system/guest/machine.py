"""A guest: a QEMU that boots the image, and the hands that a test has on it."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.nodes import eventually
from tests.support.tools import require
from tests.system.guest.channel import Channel, Refused
from tests.system.guest.extract import run, write_file
from tests.system.guest.image import Image

MEMORY = "1280"
# Without hardware to help, all of this is some thirty times slower.
BOOT_SECONDS = 400
_APPEND = "root=/dev/vda rw console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off systemd.show_status=0"


def accelerator() -> Sequence[str]:
    """KVM where the processor has what it takes and we may use it; else emulation in software.

    /dev/kvm alone says too little: where there is neither VMX nor SVM, guests hang in it. KHOSO_ACCEL
    decides otherwise.
    """
    wanted = os.environ.get("KHOSO_ACCEL")
    able = re.search(r"(?m)^flags\s*:.*\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text())
    if wanted == "kvm" or (wanted is None and able and os.access("/dev/kvm", os.R_OK | os.W_OK)):
        return ("-accel", "kvm", "-cpu", "host")
    return ("-accel", "tcg,thread=multi", "-cpu", "max")


class Guest:
    """A machine that can be booted, asked, killed and booted again. Its first disk is kept from one to the next.

    ``devices`` are arguments for QEMU; ``fstab`` what is mounted, beside the root.
    """

    def __init__(self, folder: Path, image: Image, devices: Sequence[str] = (), fstab: str = "") -> None:
        self._qemu_program = require("qemu-system-x86_64", "qemu-system-x86")
        self.folder, self._image, self._devices = folder, image, list(devices)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._agent: Channel | None = None
        self._qmp: Channel | None = None
        self._disk = folder / "root.img"
        run("cp", "--sparse=always", str(image.disk), str(self._disk))
        write_file(self._disk, "/etc/fstab", fstab, folder / "fstab")

    @property
    def address(self) -> str:
        """The node's API, from here."""
        return f"http://127.0.0.1:{self.port}"

    def boot(self) -> None:
        """Start it, and wait until it can be asked."""
        for name in ("qmp", "qga"):
            (self.folder / name).unlink(missing_ok=True)
        command = [
            self._qemu_program, *accelerator(), "-machine", "pc", "-smp", "1", "-m", MEMORY, "-nodefaults",
            "-display", "none", "-no-reboot", "-serial", f"file:{self.folder}/console",
            "-kernel", str(self._image.kernel),
            "-initrd", str(self._image.initrd), "-append", _APPEND,
            "-drive", f"file={self._disk},format=raw,if=none,id=root,cache=unsafe",
            # The first of its kind, whatever other disks there are: vda.
            "-device", "virtio-blk-pci,drive=root,addr=0x3",
            "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off",
            "-chardev", f"socket,path={self.folder}/qga,server=on,wait=off,id=qga", "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0",
            "-netdev", f"user,id=lan,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:8421",
            "-device", "virtio-net-pci,netdev=lan,romfile=", *self._devices,
        ]  # fmt: skip
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._qmp = eventually(lambda: self._connect("qmp"), 30, self._console)
        self._qmp.ask("qmp_capabilities")
        self._agent = eventually(lambda: self._connect("qga"), 30, self._console)
        eventually(self._awake, BOOT_SECONDS, self._console)

    def shell(self, script: str, code: int | None = 0, seconds: float = 300) -> str:
        """Type lines to the shell in it, as root; what they printed. None as ``code`` allows for any."""
        assert self._agent is not None
        started = self._agent.ask(
            "guest-exec", path="/bin/bash", arg=["-ec", script],
            env=["LC_ALL=C.UTF-8", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"], **{"capture-output": True},
        )  # fmt: skip
        agent, pid = self._agent, started["pid"]
        # The agent does not tell when a program ends. Asked too often, it has no time for anything else.
        ended = eventually(lambda: _ended(agent.ask("guest-exec-status", pid=pid)), seconds, script, every=0.2)
        said = "".join(base64.b64decode(ended.get(part, "")).decode() for part in ("out-data", "err-data"))
        assert code is None or ended.get("exitcode") == code, f"{script} ended with {ended}: {said[-3000:]}"
        return said

    def qmp(self, command: str, **arguments: object) -> object:
        """Tell QEMU, that is: do something to the hardware."""
        assert self._qmp is not None
        return self._qmp.ask(command, **arguments)

    def plug(self, driver: str, name: str, **properties: str) -> None:
        """Put a device in; a disk's medium is the ``node-name`` of a -blockdev, which outlives the device."""
        self.qmp("device_add", driver=driver, id=name, **properties)

    def unplug(self, name: str) -> None:
        """Pull a device out, and wait until the guest's kernel has let go of it."""
        self.qmp("device_del", id=name)
        eventually(lambda: name not in self._plugged(), 120, f"{name} stays", every=0.2)

    def _plugged(self) -> set[str]:
        found = self.qmp("qom-list", path="/machine/peripheral")
        assert isinstance(found, list)
        return {one["name"] for one in found}

    def kill(self) -> None:
        """End it at once, from whatever thread; ``pull_the_plug`` clears away behind it."""
        assert self._process is not None
        self._process.kill()

    def pull_the_plug(self) -> None:
        """Kill it, as a power cut ends a machine."""
        assert self._process is not None
        self.kill()
        self._gone()

    @property
    def running(self) -> bool:
        """Whether it has power."""
        return self._process is not None and self._process.poll() is None

    def shut_down(self, seconds: float = 240) -> None:
        """Let it end by itself."""
        assert self._agent is not None
        assert self._process is not None
        # It ends before it could answer.
        with contextlib.suppress(OSError, Refused):
            self._agent.ask("guest-shutdown", seconds=1, mode="powerdown")
        self._process.wait(seconds)
        self._gone()

    def end(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self.pull_the_plug()

    def _gone(self) -> None:
        assert self._process is not None
        self._process.wait(60)
        self._process = None
        for channel in (self._agent, self._qmp):
            if channel is not None:
                with contextlib.suppress(OSError):
                    channel.close()
        self._agent = self._qmp = None

    def _connect(self, name: str) -> Channel | None:
        assert self._process is not None
        assert self._process.poll() is None, self._console()
        try:
            channel = Channel(self.folder / name, 30)
        except OSError:
            return None
        if name == "qmp":
            channel.greeting()
        return channel

    def _awake(self) -> bool:
        """The agent answers. What was written to it before it ran it gets when it starts."""
        assert self._agent is not None
        assert self._process is not None
        assert self._process.poll() is None, self._console()
        try:
            self._agent.ask("guest-ping", seconds=BOOT_SECONDS)
        except (OSError, Refused):
            return False
        return True

    def _console(self) -> str:
        texts = [self.folder / name for name in ("qemu.log", "console")]
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in texts if path.exists())


def _ended(status: dict[str, object]) -> dict[str, object] | None:
    return status if status["exited"] else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


@contextlib.contextmanager
def guest(folder: Path, image: Image, devices: Sequence[str] = (), fstab: str = "") -> Iterator[Guest]:
    """A guest that is ended with the test, and the disks in ``folder`` (``*.img``) with it; not booted yet."""
    try:
        made = Guest(folder, image, devices, fstab)
        try:
            yield made
        finally:
            made.end()
    finally:
        for disk in folder.glob("*.img"):
            disk.unlink()
