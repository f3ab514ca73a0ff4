"""The service as systemd itself sees it: well formed, hardened, and at one with the daemon and the guides."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from hardware.smart import report
from tests.support.tools import require
from vault import config, daemon
from vault.catalog.engine import BUSY_SECONDS
from vault.config.load import DEFAULT_PATH

REPO = Path(__file__).parents[2]
UNIT = REPO / "systemd/vaultd.service"
SYSUSERS = REPO / "systemd/sysusers.d/khoso.conf"
TMPFILES = REPO / "systemd/tmpfiles.d/khoso.conf"
MOST_EXPOSURE = 2.0


def settings():
    """Name to values, in the order of the file."""
    found = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def run(*command):
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)


def test_systemd_understands_every_line(tmp_path):
    analyze = require("systemd-analyze", "systemd")
    program = tmp_path / "vaultd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "vaultd.service"
    unit.write_text(UNIT.read_text().replace(settings()["ExecStart"][0], str(program)))
    verified = run(analyze, "verify", "--man=no", str(unit))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_systemd_does_complain_about_a_line_that_it_does_not_know(tmp_path):
    """The test above relies on it."""
    analyze = require("systemd-analyze", "systemd")
    unit = tmp_path / "vaultd.service"
    unit.write_text(UNIT.read_text().replace("ExecStart=/opt", "ProtectEverything=yes\nExecStart=/opt"))
    verified = run(analyze, "verify", "--man=no", str(unit))
    assert "ProtectEverything" in verified.stderr


def test_it_is_hardened():
    analyze = require("systemd-analyze", "systemd")
    scored = run(analyze, "security", "--offline=true", str(UNIT))
    score = re.search(r"Overall exposure level for vaultd.service: ([0-9.]+)", scored.stdout)
    assert score, scored.stdout + scored.stderr
    assert float(score[1]) <= MOST_EXPOSURE, scored.stdout


def test_it_agrees_with_the_daemon():
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert unit["RestartPreventExitStatus"] == [str(daemon.EXIT_CONFIG)]
    assert int(unit["WatchdogSec"][0]) >= 2 * BUSY_SECONDS, "a transaction that waits its turn is no hang"
    node, api = config.NodeSettings.model_fields, config.ApiSettings.model_fields
    assert Path("/var/lib", unit["StateDirectory"][0]) == node["state"].default
    assert Path("/run", unit["RuntimeDirectory"][0]) == api["socket"].default.parent
    assert Path("/etc", unit["ConfigurationDirectory"][0]) == DEFAULT_PATH.parent


def test_a_volume_that_is_away_keeps_nothing_from_starting():
    unit = settings()
    for name in ("Requires", "BindsTo", "RequiresMountsFor", "Wants"):
        assert name not in unit


def test_the_guide_puts_things_where_the_unit_looks_for_them():
    guide = (REPO / "docs/howto/install.md").read_text()
    (start,) = settings()["ExecStart"]
    assert start.startswith("/opt/khoso/.venv/bin/")
    assert "/opt/khoso" in guide
    for path in (UNIT, SYSUSERS, TMPFILES):
        assert str(path.relative_to(REPO)) in guide


def test_checks_may_lower_their_priority_and_the_slice_weighs_more_than_others(tmp_path):
    """io_priority() is a courtesy that fails silently: @resources would take it away."""
    allowed = settings()["SystemCallFilter"]
    assert allowed.index("ioprio_set") > allowed.index("~@privileged @resources")
    (name,) = settings()["Slice"]
    text = (REPO / "systemd" / name).read_text()
    assert int(re.search(r"(?m)^IOWeight=(\d+)$", text)[1]) > 100, "what others have (systemd.resource-control(5))"
    (tmp_path / name).write_text(text)
    verified = run(require("systemd-analyze", "systemd"), "verify", "--man=no", str(tmp_path / name))
    assert (verified.returncode, verified.stderr) == (0, "")


HELPERS = sorted(path for path in (REPO / "systemd").glob("vault-smart*"))


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.name)
def test_systemd_understands_the_helpers_too(tmp_path, path):
    analyze = require("systemd-analyze", "systemd")
    program = tmp_path / "khoso-smart"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for one in HELPERS:
        text = one.read_text().replace("/opt/khoso/.venv/bin/khoso-smart", str(program))
        (tmp_path / one.name).write_text(text)
    verified = run(analyze, "verify", "--man=no", str(tmp_path / path.name))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("name", ["vault-smart.service"])
def test_the_part_that_is_root_is_hardened_as_far_as_smartctl_allows(name):
    analyze = require("systemd-analyze", "systemd")
    scored = run(analyze, "security", "--offline=true", str(REPO / "systemd" / name))
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", scored.stdout)
    assert score, scored.stdout + scored.stderr
    assert float(score[1]) <= MOST_EXPOSURE, scored.stdout


def test_the_helper_may_make_the_node_of_a_megaraid_controller_and_no_other():
    """smartctl makes it itself; without, no disk behind such a controller is ever heard of."""
    text = (REPO / "systemd/vault-smart.service").read_text()
    assert re.findall(r"^DeviceAllow=(\S+) r?w?m$", text, re.MULTILINE) == ["char-megaraid_sas_ioctl"]
    assert "CAP_MKNOD" in re.search(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)[1].split()
    assert "\nDevicePolicy=closed\n" in text


def test_the_helper_writes_where_the_daemon_looks():
    text = (REPO / "systemd/vault-smart.service").read_text()
    assert f"\nRuntimeDirectory={report.FOLDER.relative_to('/run')}\n" in text
    assert "\nGroup=vault\n" in text
    assert "\nRuntimeDirectoryPreserve=yes\n" in text


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="folders can be given to another user by root alone")
def test_user_and_folders_are_made_as_the_unit_needs_them(tmp_path):
    sysusers, tmpfiles = require("systemd-sysusers", "systemd"), require("systemd-tmpfiles", "systemd")
    (tmp_path / "etc/vault").mkdir(parents=True)
    (tmp_path / "etc/vault/vault.toml").write_text("")
    made = run(sysusers, f"--root={tmp_path}", str(SYSUSERS))
    assert made.returncode == 0, made.stderr
    user = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("vault:"))
    _, _, uid, gid, _, home, shell = user.split(":")
    assert (home, shell) == ("/var/lib/vault", "/usr/sbin/nologin")
    groups = (tmp_path / "etc/group").read_text().splitlines()
    assert next(line for line in groups if line.startswith("tape:")).endswith(":vault")
    made = run(tmpfiles, "--create", f"--root={tmp_path}", str(TMPFILES))
    assert made.returncode == 0, made.stderr

    def rights(path):
        status = (tmp_path / path).stat()
        return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid

    assert rights("etc/vault") == (0o750, 0, int(gid))
    assert rights("etc/vault/vault.toml") == (0o640, 0, int(gid))
    assert rights("var/lib/vault") == (0o750, int(uid), int(gid))
    unit = settings()
    assert unit["User"] == unit["Group"] == ["vault"]
    assert unit["StateDirectoryMode"] == unit["ConfigurationDirectoryMode"] == ["0750"]
