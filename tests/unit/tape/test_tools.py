"""The LTFS tools under supervision: whatever they say and however they end, the outcome is typed, and comes in time."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.errors import Busy, Corrupted, HardwareError, NotFound, NoVolume, Refused, Unreachable
from hardware.mounts import is_mount_point
from hardware.tape.errors import NeedsRecovery, TapeFull, ToolCrashed, ToolHung, WriteProtected
from hardware.tape.generation import Generation
from hardware.tape.libraries import mounted_sessions, virtual_library
from hardware.tape.mounted_session import MountedWriteSession
from hardware.tape.tools.acts import Timeouts, Tools
from hardware.tape.tools.running import run
from hardware.tape.tools.table import READ_ONLY, SUCCESS, TABLE, Act, Ended, done, error_of
from hardware.tape.virtual import VirtualChanger
from tests.support.debian import REPO
from tests.support.standin import AMPLE, ENDED, FORMATTED, SERVED, UUID, StandIn, needs_mounts
from tests.support.tools import require


@pytest.fixture
def standin(tmp_path, monkeypatch):
    yield StandIn(tmp_path, monkeypatch)
    point = tmp_path / "mounts" / "drive-0"
    if is_mount_point(str(point)):
        subprocess.run(["umount", "-l", str(point)], check=True)


def test_formatting_is_done_when_it_ends_well_and_says_so(standin):
    standin.does(mkltfs=[*FORMATTED, ["exit", 0]])
    assert standin.format(name="Kho", force=True) == UUID
    assert standin.calls() == [["mkltfs", "-e", "file", "-d", "/dev/sg7", "-s", "VLT001", "-n", "Kho", "-f"]]


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([["say", "LTFS15024I Medium formatted successfully."], ["exit", 1]], ToolCrashed, "ended with 1"),
        ([["exit", 0]], ToolCrashed, "ended with 0"),
        ([*FORMATTED, ["signal", "SIGSEGV"]], ToolCrashed, "SIGSEGV"),
        ([*FORMATTED, ["exit", 139]], ToolCrashed, "SIGSEGV"),
        ([["signal", "SIGKILL"]], ToolCrashed, "SIGKILL"),
        ([["say", "LTFS15024I Medium formatted successfully."], ["exit", 0]], ToolCrashed, "UUID"),
        ([["say", "LTFS15047E Medium is already formatted (0)."], ["exit", 16]], Refused, "formatted already"),
        ([["say", "LTFS30061E x"], ["say", "LTFS11095E y"], ["exit", 1]], WriteProtected, "write-protected"),
        ([["say", "nobody foresaw this"], ["exit", 7]], ToolCrashed, "nobody foresaw this"),
    ],
)  # fmt: skip
def test_anything_else_is_an_error_with_a_reason(standin, steps, error, message):
    standin.does(mkltfs=steps)
    with pytest.raises(error, match=message) as caught:
        standin.format()
    assert type(caught.value) is error
    assert caught.value.remedy


@pytest.mark.parametrize("steps", [[["hang"]], [["deaf"], ["hang"]], [["child"], ["hang"]], [*FORMATTED, ["hang"]]])
def test_a_tool_that_hangs_is_ended_and_reported(standin, steps):
    standin.does(mkltfs=steps)
    begun = time.monotonic()
    with pytest.raises(ToolHung) as caught:
        standin.format(replace(AMPLE, format=1))
    assert caught.value.ended
    assert "recovered" in caught.value.remedy
    assert time.monotonic() - begun < 20


def test_a_tool_that_talks_without_end_takes_no_memory(standin):
    standin.does(mkltfs=[["flood", 20_000], *FORMATTED, ["exit", 0]])
    ended = run([str(standin.path / "bin" / "mkltfs")], what="Trying", timeout=60)
    assert len(ended.lines) < 7000
    assert ended.messages >= {"15024I"}


def test_a_tool_that_is_not_there_is_told(tmp_path):
    tools = Tools(str(tmp_path), str(tmp_path), folder=str(tmp_path / "none"))
    assert tools.missing() == ("mkltfs", "ltfs", "ltfsck")
    with pytest.raises(Unreachable, match="not installed"):
        tools.format("/dev/sg7", "VLT001", name="", force=False)


def test_no_act_runs_a_plain_ltfsck(standin):
    listed = [["say", "LTFS16023I LTFS volume information:."], ["exit", 0]]
    standin.does(ltfsck=listed)
    assert standin.tools().generations("dev").problem == ""
    standin.does(ltfsck=[["say", "LTFS16022I Volume is consistent."], ["exit", 1]])
    standin.tools().recover("dev")
    assert [call[-2] for call in standin.calls()] == ["-l", "-f"]
    source = "".join(path.read_text() for path in Path("hardware/tape/tools").glob("*.py"))
    assert source.count('_program("ltfsck")') == 2


def test_generations_are_listed_or_it_is_told_why_not(standin):
    lines = [
        "LTFS16023I LTFS volume information:.",
        "         3: 2026-11-22 14:38:44.989458309 UTC      (0, 5)->(1, 16)",
        "         3: 2026-11-22 14:38:44.989458309 UTC      (1, 16)->(1, 9)",
        "         1: 2026-11-22 14:38:32.067456951 UTC      (1, 5) <<Initial Index>>",
    ]
    code = f"import sys; sys.stderr.write({chr(10).join(lines)!r})"
    program = standin.path / "bin" / "ltfsck"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    assert standin.tools().generations("dev").generations == (3, 1)
    program.write_text(f"#!{sys.executable}\nimport sys; sys.exit('LTFS16087E Volume is inconsistent.')\n")
    listed = standin.tools().generations("dev")
    assert listed.generations == ()
    assert "inconsistent" in listed.problem


@pytest.mark.parametrize(
    ("code", "messages", "error"),
    [
        (4, ["LTFS16021E Volume is inconsistent and was not corrected."], Corrupted),
        (8, ["LTFS16011E Cannot open device 'x'."], Unreachable),
        (16, [], ToolCrashed),
        (1, [], ToolCrashed),
        (4, ["LTFS16022I Volume is consistent."], ToolCrashed),
    ],
)
def test_a_recovery_that_was_none_is_told(standin, code, messages, error):
    standin.does(ltfsck=[*(["say", message] for message in messages), ["exit", code]])
    with pytest.raises(error):
        standin.tools().recover("dev")


@needs_mounts
def test_an_unmount_is_over_when_it_was_said_and_the_process_has_ended(standin):
    standin.does(ltfs=[*SERVED, *ENDED, ["exit", 0]])
    mounted = standin.tools().mount("dev", "drive-0")
    assert is_mount_point(mounted.point)
    assert mounted.generation == 4
    mounted.unmount()
    assert mounted.generation == 5
    assert not is_mount_point(mounted.point)
    assert not os.path.exists(mounted.point)


@needs_mounts
@pytest.mark.parametrize(
    ("end", "error"),
    [
        ([["until-unmounted"], ["exit", 0]], ToolCrashed),
        ([["until-unmounted"], ["say", "LTFS11033E Cannot unmount"], ["exit", 0]], NeedsRecovery),
        ([*ENDED, ["exit", 3]], ToolCrashed),
        ([*ENDED, ["signal", "SIGSEGV"]], ToolCrashed),
        ([*ENDED, ["hang"]], ToolHung),
        ([["until-unmounted"], ["hang"]], ToolHung),
        ([["until-unmounted"], ["say", "LTFS12047E Cannot write file marks"], ["exit", 1]], Corrupted),
    ],
)  # fmt: skip
def test_every_other_end_of_a_session_is_an_error(standin, end, error):
    standin.does(ltfs=[*SERVED, *end])
    timeouts = replace(AMPLE, unmount=1) if error is ToolHung else AMPLE
    mounted = standin.tools(timeouts).mount("dev", "drive-0")
    with pytest.raises(error):
        mounted.unmount()
    assert not is_mount_point(mounted.point)


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([["say", "LTFS17168E Cannot read volume: medium is not partitioned."], ["exit", 1]], NoVolume),
        ([["say", "LTFS11220E x"], ["say", "LTFS11027E Cannot mount volume"], ["exit", 1]], NeedsRecovery),
        ([["say", "LTFS12014E Cannot open device: failed to reserve the device (-1)."], ["exit", 1]], Busy),
        ([["signal", "SIGABRT"]], ToolCrashed),
        ([["hang"]], ToolHung),
        ([["say", SERVED[0][1]], ["hang"]], ToolHung),
        ([["say", SERVED[0][1]], ["say", SERVED[2][1]], ["hang"]], ToolCrashed),
    ],
)  # fmt: skip
def test_what_cannot_be_mounted_is_told_and_nothing_stays(standin, steps, error):
    standin.does(ltfs=steps)
    timeouts = replace(AMPLE, mount=1) if error is ToolHung else AMPLE
    with pytest.raises(error):
        standin.tools(timeouts).mount("dev", "drive-0")
    assert not os.path.exists(standin.path / "mounts" / "drive-0")


@needs_mounts
@pytest.mark.parametrize(("message", "entry"), READ_ONLY.items())
def test_a_volume_that_is_mounted_read_only_is_not_written(standin, message, entry):
    standin.does(ltfs=[["say", f"LTFS{message} whatever."], *SERVED, *ENDED, ["exit", 0]])
    with pytest.raises(entry[0]):
        standin.tools().mount("dev", "drive-0")
    assert not is_mount_point(str(standin.path / "mounts" / "drive-0"))


@needs_mounts
def test_a_mount_that_somebody_uses_stays_and_is_told(standin):
    standin.does(ltfs=[*SERVED, *ENDED, ["exit", 0]])
    mounted = standin.tools().mount("dev", "drive-0")
    with open(os.path.join(mounted.point, "used"), "w"), pytest.raises(Busy):
        mounted.unmount()
    mounted.unmount()


@needs_mounts
def test_a_mount_that_a_crash_left_is_in_the_way_and_told(standin):
    point = standin.path / "mounts" / "drive-0"
    point.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "left", str(point)], check=True)
    try:
        with pytest.raises(NeedsRecovery, match="crash"):
            standin.tools().mount("dev", "drive-0")
    finally:
        subprocess.run(["umount", str(point)], check=True)


@needs_mounts
def test_a_call_that_never_returns_is_ended_by_ending_the_tool(standin):
    standin.does(ltfs=[*SERVED, ["hang"]])
    mounted = standin.tools(replace(AMPLE, serve=0.2)).mount("dev", "drive-0")
    with mounted.serving():
        # A call to the file system that nobody answers: it returns when the process below it is gone.
        mounted._running.wait_for(["never said"], 30)
    assert isinstance(mounted.failure(), ToolHung)
    with pytest.raises(ToolHung):
        mounted.unmount()
    assert not is_mount_point(mounted.point)


@needs_mounts
def test_files_go_through_the_mount_with_typed_errors(standin, monkeypatch):
    standin.does(ltfs=[*SERVED, *ENDED, ["exit", 0]])
    monkeypatch.setattr("os.getxattr", lambda *_: UUID.encode())
    ended = []
    session = MountedWriteSession(standin.tools().mount("dev", "drive-0"), UUID, lambda: ended.append(1))
    sink = session.create("d/one")
    sink.write(b"x" * 100_000)
    with pytest.raises(Refused):
        session.create("two")
    with pytest.raises(Refused):
        session.commit()
    sink.finish()
    with pytest.raises(Refused):
        session.create("d/one")
    with pytest.raises(Refused):
        session.create("d")
    with pytest.raises(Refused):
        session.create("d/one/below")
    with pytest.raises(Refused):
        session.create("../up")
    with pytest.raises(TapeFull) as caught:
        session.create("huge", length=1 << 30)
    assert caught.value.lost == ("huge",)
    full = session.create("full")
    with pytest.raises(TapeFull) as caught:
        full.write(bytes(16 << 20))
    assert caught.value.lost == ("full",)
    assert session.commit().files == ("d/one",)
    assert ended == [1]


@pytest.fixture
def loaded(standin, tmp_path, monkeypatch):
    """A formatted virtual cartridge in a drive, in sessions that the stand-in writes; and its UUID."""
    with VirtualChanger.create(tmp_path / "library", drives=1, slots=1, import_export=0) as changer:
        changer.add_cartridge("VLT001L8", capacity_mb=64)
    with virtual_library(tmp_path / "library") as library, library.load("VLT001L8") as session:
        uuid = session.format()
    monkeypatch.setattr("os.getxattr", lambda *_: uuid.encode())
    sessions = mounted_sessions(standin.tools(), tmp_path)
    with virtual_library(tmp_path / "library", new_session=sessions) as library, library.load("VLT001L8") as session:
        yield session, uuid


@needs_mounts
def test_success_that_was_none_is_found_by_reading_back(standin, loaded):
    """The tool says that all is well, ends as it should, and nothing is on the tape."""
    session, uuid = loaded
    standin.does(ltfs=[*SERVED, *ENDED, ["exit", 0]])
    with session.open_for_writing(uuid) as writing:
        sink = writing.create("package.tar")
        sink.write(b"x" * 100_000)
        sink.finish()
        done = writing.commit()
    assert (done.generation, done.files) == (5, ("package.tar",))
    with session.open_for_reading() as reader:
        assert reader.header.generation < done.generation
        assert list(reader.files()) == []
        with pytest.raises(NotFound):
            reader.find("package.tar")


@needs_mounts
@pytest.mark.parametrize("end", [["signal", "SIGSEGV"], ["exit", 0]])
def test_a_tool_that_dies_beneath_a_session_is_told_and_the_cartridge_can_be_read(standin, loaded, end):
    session, uuid = loaded
    standin.does(ltfs=[*SERVED, ["until-unmounted"], end])
    writing = session.open_for_writing(uuid)
    sink = writing.create("package.tar")
    sink.write(b"x" * 100_000)
    sink.finish()
    with pytest.raises(ToolCrashed):
        writing.commit()
    with pytest.raises(Refused):
        writing.create("more")
    assert session.recognise({uuid}).ours
    standin.does(ltfsck=[["say", "LTFS16023I LTFS volume information:."], ["exit", 0]])
    steps = []
    session.recover(lambda step: steps.append(step.step), lambda _: None)
    assert steps == ["generations", "index-captured"], "a volume in order is not repaired"


@needs_mounts
def test_the_wrong_volume_is_not_written(standin, monkeypatch):
    standin.does(ltfs=[*SERVED, *ENDED, ["exit", 0]])
    monkeypatch.setattr("os.getxattr", lambda *_: b"another")
    with pytest.raises(Refused, match="another"):
        MountedWriteSession(standin.tools().mount("dev", "drive-0"), UUID, lambda: None)
    assert not is_mount_point(str(standin.path / "mounts" / "drive-0"))


@pytest.mark.parametrize("message", TABLE)
def test_every_entry_of_the_table_says_what_is_wrong_and_what_to_do(message):
    error = error_of(Ended("ltfs", 1, (f"1d5e LTFS{message} something (-1).",)), "The volume on /dev/sg7")
    assert isinstance(error, HardwareError)
    assert type(error) is TABLE[message][0]
    assert message in error.message
    assert error.remedy.endswith((".", "disk"))


def test_neither_code_nor_message_is_enough():
    for act, (codes, proof) in SUCCESS.items():
        line = f"1d5e LTFS{proof} done."
        for code in range(256):
            assert done(act, Ended("x", code, (line,))) is (code in codes)
            assert not done(act, Ended("x", code, ("1d5e LTFS00000I nothing",)))
    assert Act.RECOVER in SUCCESS


def test_the_first_load_of_an_lto9_cartridge_has_its_time():
    assert Timeouts.for_cartridge(Generation.LTO9).mount >= 2.5 * 3600
    assert Timeouts.for_cartridge(None).mount >= 2.5 * 3600
    assert Timeouts.for_cartridge(Generation.LTO8).mount < 2 * 3600


@needs_mounts
def test_the_service_takes_a_dead_mount_away_with_the_one_capability_that_it_has():
    """umount(8) would refuse it, and a setuid program may not be run."""
    setpriv = require("setpriv", "util-linux")
    rights = [f"--{which}=-all,+sys_admin" for which in ("inh-caps", "ambient-caps", "bounding-set")]
    nobody = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", *rights, "--no-new-privs"]
    with tempfile.TemporaryDirectory(dir="/tmp") as point:
        Path(point).chmod(0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "left", point], check=True)
        try:
            code = f"from hardware.tape.tools.acts import _detach; raise SystemExit(not _detach({point!r}))"
            subprocess.run([*nobody, sys.executable, "-c", code], cwd=REPO, check=True, timeout=60)
            assert not is_mount_point(point)
        finally:
            if is_mount_point(point):
                subprocess.run(["umount", "-l", point], check=True)
