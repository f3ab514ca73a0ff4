"""Faults of machines and media, for any test that wants to see what becomes of them.

Three families: damage to a stored object (:func:`damages`), a kill at any durable step of an act
(:func:`killed_at_every_step`), and file systems of our own that are small, full, pulled away or dead
(:func:`tmpfs`, :func:`loop_ext4`).
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tools import require
from vault.volumes.base import FindingKind, Part, Verdict
from vault.volumes.tree import Tree

MIB = 2**20


# --- Damage to an object


@dataclass(frozen=True)
class Damage:
    """One thing done to an object's folder, and what a check must say of it.

    ``found`` are the findings as (kind, path from the object's root). ``in_root`` tells whether the check of the
    object's root finds it, rather than the check of the part.
    """

    name: str
    inflict: Callable[[Path], None]
    found: frozenset[tuple[FindingKind, str]]
    verdict: Verdict = Verdict.DAMAGED
    in_root: bool = False


def flip(path: Path, at: int = -1) -> None:
    """Change one bit; by default of the byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at < 0 else at] ^= 0x10
    rewrite(path, bytes(data))


def rewrite(path: Path, data: bytes) -> None:
    """Give a file other content, whatever its mode, and have it on the medium."""
    path.chmod(0o644)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _truncate(path: Path) -> None:
    rewrite(path, path.read_bytes()[:-1])


def _extend(path: Path) -> None:
    rewrite(path, path.read_bytes() + b"\0")


def _zero_length(path: Path) -> None:
    rewrite(path, b"")


def _zeros(path: Path) -> None:
    rewrite(path, bytes(path.stat().st_size))


def _symlink(path: Path) -> None:
    """A link to a file with the very same bytes: what it shows is right, and yet it is no copy."""
    root = next(above for above in path.parents if (above / "vault-volume.json").exists())
    elsewhere = root / "node" / f"elsewhere-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _replace_with(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def inflict(path: Path) -> None:
        path.unlink()
        make(path)

    return inflict


def _make_socket(path: Path) -> None:
    here = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(f"/proc/self/fd/{here}/{path.name}")  # the name proper may be too long for a socket's address
    finally:
        os.close(here)


def _make_full_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"x")


def _make_device(path: Path) -> None:
    try:
        os.mknod(path, 0o20644, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no device may be made here")


_CHANGES: dict[str, Callable[[Path], None]] = {
    "a bit flipped": flip,
    "truncated": _truncate,
    "extended": _extend,
    "emptied": _zero_length,
    "zeros": _zeros,
}
_STAND_INS: dict[str, Callable[[Path], None]] = {
    "a link": _symlink,
    "a fifo": _replace_with(os.mkfifo),
    "a socket": _replace_with(_make_socket),
    "a device": _replace_with(_make_device),
    "an empty folder": _replace_with(Path.mkdir),
}


def damages(part: Part, content: dict[str, bytes], *, newest: bool) -> Iterator[Damage]:
    """Every damage of every kind at every place of a part; with ``newest`` also in the root of its object."""
    version, sidecar = f"v{part.number}", f"inventory.json.{part.algorithm}"
    own = [f"{version}/inventory.json", f"{version}/{sidecar}", *content]
    for path in own:
        yield from _to_file(path, empty=content.get(path) == b"", in_root=False)
    yield from _to_folders(version, content)
    full = sorted(path for path, data in content.items() if data)
    if len(full) > 1:
        found = frozenset((FindingKind.MISMATCH, path) for path in full[:2])
        yield Damage("two files swapped", lambda folder: _swap(folder / full[0], folder / full[1]), found)
    if newest:
        for path in ("0=ocfl_object_1.1", "inventory.json", sidecar):
            yield from _to_file(path, empty=False, in_root=True)
        yield from _strangers("", in_root=True)
        extra = frozenset({(FindingKind.EXTRA, f"v{part.number + 1}")})
        yield Damage("a version too many", lambda f: _make_full_folder(f / f"v{part.number + 1}"), extra, in_root=True)


def _to_file(path: str, *, empty: bool, in_root: bool) -> Iterator[Damage]:
    mismatch = frozenset({(FindingKind.MISMATCH, path)})
    for name, change in _CHANGES.items():
        if not empty or name == "extended":
            yield Damage(f"{path}: {name}", _at(path, change), mismatch, in_root=in_root)
    missing = frozenset({(FindingKind.MISSING, path)})
    yield Damage(f"{path}: deleted", _at(path, Path.unlink), missing, in_root=in_root)
    for name, change in _STAND_INS.items():
        found = missing | {(FindingKind.EXTRA, path)}
        yield Damage(f"{path}: {name} in its place", _at(path, change), found, in_root=in_root)
    unreadable = frozenset({(FindingKind.UNREADABLE, path)})
    yield Damage(f"{path}: mode 000", _at(path, _forbid), unreadable, Verdict.UNREADABLE, in_root=in_root)


def _forbid(path: Path) -> None:
    path.chmod(0)


def _at(path: str, change: Callable[[Path], object]) -> Callable[[Path], None]:
    def inflict(folder: Path) -> None:
        change(folder / path)

    return inflict


def _to_folders(version: str, content: dict[str, bytes]) -> Iterator[Damage]:
    yield Damage("the version deleted", lambda f: shutil.rmtree(f / version), frozenset(), Verdict.MISSING)
    yield Damage("the object deleted", shutil.rmtree, frozenset(), Verdict.MISSING)
    in_place = frozenset({(FindingKind.EXTRA, version)})
    yield Damage("the version a link", _at(version, _symlink), in_place)
    yield Damage("the object a link", _symlink, in_place | {(FindingKind.MISSING, version)})
    yield Damage("the version a file", lambda f: (shutil.rmtree(f / version), (f / version).touch()), in_place)
    below = frozenset((FindingKind.MISSING, path) for path in content)
    folder = f"{version}/content"
    yield Damage("the content deleted", lambda f: shutil.rmtree(f / folder), below)
    yield Damage("the content a link", _at(folder, _symlink), {*below, (FindingKind.EXTRA, folder)} | _links(content))
    forbidden = frozenset((FindingKind.UNREADABLE, path) for path in content) | {(FindingKind.UNREADABLE, folder)}
    yield Damage("the content mode 000", _at(folder, _forbid), forbidden, Verdict.UNREADABLE)
    for place in (version, folder):
        yield from _strangers(place, in_root=False)


def _links(content: dict[str, bytes]) -> frozenset[tuple[FindingKind, str]]:
    """What lies behind a link counts as a link itself: it is never looked at."""
    return frozenset((FindingKind.EXTRA, path) for path in content)


def _strangers(place: str, *, in_root: bool) -> Iterator[Damage]:
    name = f"{place}/stranger" if place else "stranger"
    found = frozenset({(FindingKind.EXTRA, name)})
    yield Damage(f"{name}: a file", _at(name, Path.touch), found, in_root=in_root)
    yield Damage(f"{name}: an empty folder", _at(name, Path.mkdir), found, in_root=in_root)
    yield Damage(f"{name}: a link", _at(name, lambda path: path.symlink_to("/etc")), found, in_root=in_root)
    yield Damage(f"{name}: a fifo", _at(name, os.mkfifo), found, in_root=in_root)
    inside = frozenset({(FindingKind.EXTRA, name if in_root else f"{name}/inside")})
    yield Damage(f"{name}: a folder", _at(name, _make_full_folder), inside, in_root=in_root)
    odd = f"{place}/about.json" if place else "about.json"
    found = frozenset({(FindingKind.EXTRA, odd)})
    yield Damage(f"{odd}: a file", _at(odd, Path.touch), found, in_root=in_root)
    bytes_name = f"{place}/\udcff.bin" if place else "\udcff.bin"
    found = frozenset({(FindingKind.EXTRA, bytes_name.replace("\udcff", "\\udcff"))})
    yield Damage(f"{place}: a name that is no text", _at(bytes_name, Path.touch), found, in_root=in_root)


def _swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    rewrite(one, second)
    rewrite(other, first)


@contextlib.contextmanager
def modes_count() -> Iterator[None]:
    """Let file modes count for this thread as they do for the service's user: root is above them otherwise.

    It gives up the capabilities CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH for a while (capabilities(7)).
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    before = data[0]
    data[0] = before & ~0b110
    assert libc.capset(header, data) == 0
    try:
        yield
    finally:
        data[0] = before
        assert libc.capset(header, data) == 0


def remove_all(folder: Path) -> None:
    """Remove a folder, also where its modes forbid it."""
    for path, names, _ in os.walk(folder):
        for name in names:
            if not os.path.islink(os.path.join(path, name)):
                os.chmod(os.path.join(path, name), 0o755)
    shutil.rmtree(folder)


# --- A kill at any step


def killed_at_every_step(
    prepare: Callable[[], Callable[[], object]], look: Callable[[int], None], *, limit: int = 200
) -> int:
    """Do an act in a child that is killed before its first durable step, then before its second, and so on.

    ``prepare`` is called before each child and returns the act; after each kill ``look`` is told the number of the
    step that was not done. Ends when a child did all of it; returns how many steps that are.
    """
    for step in itertools.count(1):
        assert step <= limit, "the act does not come to an end"
        act = prepare()
        if not _killed(act, step):
            return step - 1
        look(step)
    raise AssertionError


def _killed(act: Callable[[], object], step: int) -> bool:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # the child of a process with threads does nothing with them
        child = os.fork()
    if child == 0:
        status = 1
        try:
            before_every_step(_killer(step))
            act()
            status = 0
        except BaseException:  # noqa: BLE001 - the parent reports it
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        trouble = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), trouble
    return code != 0


def _killer(step: int) -> Callable[[], None]:
    count = itertools.count(1)

    def die_in_time() -> None:
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return die_in_time


@contextlib.contextmanager
def watched_steps(before: Callable[[], None]) -> Iterator[None]:
    """Call ``before`` ahead of every durable step that is done in the block."""
    saved = before_every_step(before)
    try:
        yield
    finally:
        for owner, name, function in saved:
            setattr(owner, name, function)


def before_every_step(before: Callable[[], None]) -> list[tuple[object, str, Callable[..., object]]]:
    """Call ``before`` ahead of every system call that makes, renames, removes or syncs; returns what to put back."""
    places = [(os, n) for n in ("rename", "mkdir", "unlink", "rmdir", "fsync", "link")]
    places += [(Tree, n) for n in ("create", "exchange", "sync_filesystem")]
    saved = [(owner, name, getattr(owner, name)) for owner, name in places]
    for owner, name, function in saved:
        setattr(owner, name, _after(before, function))
    return saved


def _after(before: Callable[[], None], function: Callable[..., object]) -> Callable[..., object]:
    def call(*args: object, **facts: object) -> object:
        before()
        return function(*args, **facts)

    return call


# --- File systems of our own


def in_memory(otherwise: Path) -> Path:
    """A new folder in memory where nothing waits for a disk, or else below ``otherwise``; the caller removes it."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="khoso-", dir=shared if os.access(shared, os.W_OK) else otherwise))


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done


def require_mounts() -> None:
    """Skip the test where nothing can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    require("mount", "mount")


def _mount(*arguments: str) -> None:
    done = run("mount", *arguments, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {done.stderr.splitlines()[:1]}")


@contextlib.contextmanager
def tmpfs(point: Path, size: int = 16 * MIB, options: str = "") -> Iterator[Path]:
    """A file system in memory with so much room."""
    require_mounts()
    point.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size},mode=755{options}", "khoso-test", str(point))
    try:
        yield point
    finally:
        unmount(point)


@dataclass
class Loop:
    """An ext4 file system in an image file. Truncating the image is how its device dies."""

    image: Path
    point: Path

    def mount(self, *options: str) -> None:
        self.point.mkdir(exist_ok=True)
        _mount("-o", ",".join(["loop", *options]), str(self.image), str(self.point))

    def snapshot(self, image: Path) -> Loop:
        """What would be on the device if the power failed now, as a second file system."""
        shutil.copyfile(self.image, image)
        return Loop(image, image.with_suffix(".mnt"))

    def die(self, *, from_byte: int = 0) -> None:
        """From here on reading and writing the device gives EIO, as far as it is asked at all."""
        os.truncate(self.image, from_byte)

    def drop_caches(self) -> None:
        """Forget what is cached of this file system, so that what is asked next is asked of the device."""
        self.unmount()
        self.mount()

    def unmount(self, *options: str) -> None:
        unmount(self.point, *options)


@contextlib.contextmanager
def loop_ext4(folder: Path, size: int = 16 * MIB, *options: str) -> Iterator[Loop]:
    """A small ext4 on a device of its own."""
    require_mounts()
    loop = make_ext4(folder, size)
    loop.mount(*options)
    try:
        yield loop
    finally:
        loop.unmount()
        loop.image.unlink()


def make_ext4(folder: Path, size: int = 16 * MIB) -> Loop:
    """The same, not mounted yet."""
    program = require("mkfs.ext4", "e2fsprogs", ["/usr/sbin", "/sbin"])
    folder.mkdir(exist_ok=True)
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(size)
    run(program, "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-I", "256", str(image))
    return Loop(image, folder / "mnt")


def unmount(point: Path, *options: str) -> None:
    """Unmount what is on top there; nothing happens where nothing is mounted."""
    if os.path.ismount(point) and run("umount", *options, str(point), check=False).returncode != 0:
        run("umount", "-l", str(point))
