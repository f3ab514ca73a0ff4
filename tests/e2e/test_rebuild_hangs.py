"""A volume hangs, as a file server does that is gone, while the catalogue is made anew or a drill is held."""

import contextlib
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from tests.support.faults import tmpfs
from tests.support.passthrough import shown
from tests.support.rebuilds import key_of, lose, make_archive, of_archive
from tests.support.sickness import sick
from vault.cli.offline import rebuild_sources
from vault.cli.run import run as vaultctl
from vault.custody.state import lock_state
from vault.recovery.patience import patient
from vault.recovery.rebuild import rebuild


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def bench(archive, tmp_path):
    made = of_archive(archive, tmp_path)
    yield made
    made.stop()


def test_a_volume_that_hangs_is_told_and_left_out_and_the_others_are_read(bench):
    lose(bench)
    told = []
    # The other is waited for: nobody knows how slow a machine is on which this runs.
    a, b = rebuild_sources(bench.settings)
    patience = timedelta(seconds=2)
    with sick(bench.path("b")) as ill:
        ill.hangs("list")
        with patient([b], patience, lambda *said: told.append(said), told_after=timedelta(seconds=0.5)) as media:
            report = rebuild(bench.settings, [a, *media.sources], key_of(bench))
    assert {*told} == {("b", patience)}
    assert [(read.name, read.whole) for read in report.sources] == [("a", True)]
    assert {trouble.source for trouble in report.troubles if "hangs" in trouble.message} == {"b"}
    # The catalogue is whole as far as the volume went: a daemon may start on it.
    bench.start()
    bench.settle()
    bench.assert_sound()


def test_ctrl_c_ends_a_rebuild_whose_volume_hangs_as_a_server_does_that_is_gone(bench):
    before = (bench.folder / "state" / "catalog.db").read_bytes()
    real = bench.folder / "real"
    bench.path("b").rename(real)
    with shown(real, bench.path("b")) as ill:
        ill.silent = lambda call, path: call == "read" and path.endswith("/v1/inventory.json")
        with begun(bench, "catalog", "rebuild") as process:
            assert ill.fell_silent.wait(60)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "no volume was changed" in " ".join(said.split())
    assert "Traceback" not in said
    assert (bench.folder / "state" / "catalog.db").read_bytes() == before
    assert not list((bench.folder / "state").glob("catalog.db.*")), "nothing half-made is left"
    os.close(lock_state(bench.folder / "state"))


@contextlib.contextmanager
def begun(bench, *command):
    """``vaultctl`` as a process of its own, which is killed at the end of the block if it is still there."""
    arguments = [sys.executable, "-c", "import sys; from vault.cli.run import run; sys.exit(run())"]
    process = subprocess.Popen(
        [*arguments, "--config", str(bench.folder / "vault.toml"), *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


# --- the drill


def drilled(bench, scratch, *options):
    return ["--config", str(bench.folder / "vault.toml"), "drill", "restore", "--scratch", str(scratch), *options]


def test_a_scratch_that_is_too_small_is_no_failed_drill(bench, capsys):
    scratch = bench.folder / "scratch"
    # For the catalogue, and for the largest package.
    for size in (64 * 1024, 1500 * 1024):
        with tmpfs(scratch, size=size):
            assert vaultctl(drilled(bench, scratch, "--packages", "10")) == 6
            assert not list(scratch.iterdir())
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert str(scratch) in "".join(said.err.split())
        assert not said.out, "there are no minutes of what was not held"


def test_a_drill_that_the_system_ends_leaves_nothing_of_the_packages_behind(bench):
    scratch, real = bench.folder / "scratch", bench.folder / "real"
    scratch.mkdir()
    bench.path("b").rename(real)
    with shown(real, bench.path("b")) as ill:
        ill.silent = lambda call, path: call == "read" and "/content/" in path
        with begun(bench, *drilled(bench, scratch)[2:], "--packages", "10") as process:
            assert ill.fell_silent.wait(60)
            assert list(scratch.iterdir())
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not list(scratch.iterdir())


def test_a_volume_that_hangs_is_in_the_minutes(bench, capsys):
    scratch = bench.folder / "scratch"
    scratch.mkdir()
    config = bench.folder / "vault.toml"
    config.write_text(config.read_text() + '\n[custody]\nstalled_after = "1s"\n')
    with sick(bench.path("b")) as ill:
        ill.hangs("read")
        assert vaultctl(drilled(bench, scratch, "--packages", "9")) == 5
    told = " ".join(capsys.readouterr().out.split())
    assert "hangs" in told
    assert not list(scratch.iterdir())


def test_a_drill_whose_minutes_could_not_be_kept_is_not_held(bench, capsys, monkeypatch):
    """Rather than to be held for hours and forgotten."""
    monkeypatch.setattr("vault.recovery.drill.drill", None)
    scratch = bench.folder / "scratch"
    scratch.mkdir()
    lose(bench)
    assert vaultctl(drilled(bench, scratch)) == 3
    assert "catalog" in capsys.readouterr().err
