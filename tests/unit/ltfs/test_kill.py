"""A session that dies, at any instant, costs what it had not committed, and nothing else."""

import contextlib
import hashlib
import os
import random
import subprocess
import sys
import threading

import pytest

from hardware.ltfs import VirtualMedium, WriteSession
from hardware.ltfs.cartridge import parse_block_name

# Writes sessions without end; says which files are committed after each.
WRITER = """
import hashlib, os, sys
from hardware.ltfs import VirtualMedium, WriteSession
path, number = sys.argv[1], int(sys.argv[2])
while True:
    with VirtualMedium.open(path, write=True) as medium, WriteSession.open(medium) as session:
        digests = {}
        for _ in range(3):
            number += 1
            data = os.urandom(number * 7919 % 1_500_000)
            session.append(f"d{number % 5}/f{number}", [data])
            digests[f"d{number % 5}/f{number}"] = hashlib.sha256(data).hexdigest()
            if number % 2:
                session.checkpoint()
        session.commit()
    print(*(f"{path}={digest}" for path, digest in digests.items()), flush=True)
"""


@pytest.mark.slow
def test_killed_writers_lose_nothing_that_was_committed(cartridge):
    committed = {}
    chance = random.Random(20)
    for round_ in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(cartridge.path), str(round_ * 1000)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=os.getcwd(),
        )
        lines = [writer.stdout.readline() for _ in range(round_ % 2 + 1)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(timeout=chance.random() * 0.08)
        writer.kill()
        rest, _ = writer.communicate()
        assert writer.returncode == -9
        # The last line may have been cut by the kill.
        for line in [*lines, *(line for line in rest.splitlines(keepends=True) if line.endswith("\n"))]:
            committed |= dict(item.split("=") for item in line.split())
        held = cartridge.holds()
        assert committed.items() <= held.items()
        # What is there beyond that was checkpointed, and is whole: holds() has read it.
        committed = held
    # And the volume takes more, and is whole again.
    cartridge.write({"after": b"all"})
    assert cartridge.last().clean
    assert committed.items() <= cartridge.holds().items()
    assert len(committed) >= 90


class Killed(BaseException):
    """As good as SIGKILL: nothing of ours catches it to write something."""


ACTS = ("open", "write", "rename", "unlink", "fsync")


@contextlib.contextmanager
def killed_at(count):
    """Die before the ``count``-th act on the file system from here on; counts the acts that were done."""
    done = [0]
    real = {name: getattr(os, name) for name in ACTS}
    # A thread that an earlier test left to a device that hangs dies of nobody's kill.
    ours = threading.get_ident()

    def watched(name):
        def act(*arguments, **options):
            if threading.get_ident() != ours:
                return real[name](*arguments, **options)
            if done[0] >= count:
                raise Killed
            done[0] += 1
            return real[name](*arguments, **options)

        return act

    with pytest.MonkeyPatch.context() as patch:
        for name in ACTS:
            patch.setattr(os, name, watched(name))
        yield done


def session(path):
    with VirtualMedium.open(path, write=True) as medium, WriteSession.open(medium) as opened:
        opened.append("new/f", [b"n" * 600_000])
        opened.append("list", [b"second"], replaces=True)
        opened.commit()


def is_a_tape(cartridge):
    """Exactly one end of data in each partition, and every block before it is there once."""
    for partition in (0, 1):
        blocks = [block for name in cartridge.names() if (block := parse_block_name(name)) and block[0] == partition]
        ends = [block for _, block, kind in blocks if kind == "E"]
        assert len(ends) == 1
        before = sorted(block for _, block, kind in blocks if kind != "E" and block < ends[0])
        assert before == list(range(ends[0]))


@pytest.mark.slow
def test_session_killed_before_each_of_its_acts(cartridge):
    cartridge.write({"old/f": b"o" * 600_000, "list": b"first"})
    before = cartridge.holds()
    after = before | {
        "new/f": hashlib.sha256(b"n" * 600_000).hexdigest(),
        "list": hashlib.sha256(b"second").hexdigest(),
    }
    outcomes = set()
    for count in range(1000):
        copy = cartridge.copy(cartridge.path.with_name("copy"))
        with contextlib.suppress(Killed), killed_at(count) as done:
            session(copy.path)
        if done[0] < count:
            break
        is_a_tape(copy)
        held = copy.holds()
        assert held in (before, after)
        outcomes.add(held == after)
        # The next session works, and leaves a whole volume with everything.
        copy.write({"next": b"x"})
        assert copy.holds().items() >= held.items()
        assert copy.last().clean
        for name in os.listdir(copy.path):
            os.unlink(copy.path / name)
        copy.path.rmdir()
    assert outcomes == {True, False}
    assert count > 60


def test_records_are_durable_before_a_filemark_says_so(cartridge, monkeypatch):
    """Each record has its fsync, and the folder its own, before the filemark behind them is made, and after it."""
    log = []
    real = {name: getattr(os, name) for name in ("open", "fsync", "close")}
    names = {}

    def watch_open(path, *arguments, **options):
        descriptor = real["open"](path, *arguments, **options)
        names[descriptor] = os.fspath(path)
        if parse_block_name(str(path)) and arguments[0] & os.O_CREAT:
            log.append(("make", path))
        return descriptor

    def watch_fsync(descriptor):
        log.append(("sync", names[descriptor]))
        return real["fsync"](descriptor)

    monkeypatch.setattr(os, "open", watch_open)
    monkeypatch.setattr(os, "fsync", watch_fsync)
    with VirtualMedium.open(cartridge.path, write=True) as medium, WriteSession.open(medium) as opened:
        opened.append("f", [os.urandom(1_500_000)])
        log.clear()
        opened.append("g", [os.urandom(1_500_000)])
        opened.commit()
    folder = os.fspath(cartridge.path)
    made = [path for act, path in log if act == "make"]
    assert sum(path.endswith("_F") for path in made) == 4
    for path in made:
        position = log.index(("make", path))
        if path.endswith("_R"):
            synced = log.index(("sync", path))
            mark = next(place for place, entry in enumerate(log) if place > position and entry[1].endswith("_F"))
            assert position < synced < mark
            assert ("sync", folder) in log[synced:mark]
    # The commit returned after the folder knew of the last filemark.
    last_mark = max(place for place, entry in enumerate(log) if entry[0] == "make")
    assert ("sync", folder) in log[last_mark:]
