"""What doctor says of the service and of the state folder, and what init tells systemd."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from hardware.mounts import Mount
from tests.support.tools import require
from vault.cli.doctor import service as doctor
from vault.cli.setup import service
from vault.config import HealthSettings, LibrarySettings, check_state, parse_settings
from vault.config import machine as config_machine

STRICT = {"ProtectSystem": "strict", "ReadWritePaths": "-/srv /mnt/nas-b", "StateDirectory": "vault"}


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "en")


def settings(*paths: str, state: str = "/var/lib/vault", url: str = "", key: str = "", more: str = ""):
    volumes = "".join(
        f'[[volume]]\nname = "v{n}"\nkind = "directory"\npath = "{path}"\ndomain = "d{n}"\nsite = "s"\n'
        for n, path in enumerate(paths)
    )
    text = f'[node]\nname = "x"\nstate = "{state}"\nkey = "{key}"\n[catalog]\nurl = "{url}"\n{more}{volumes}'
    return parse_settings(f'{text}[[policy]]\nname = "default"\ndisk = 1\n', Path("/etc/vault/vault.toml"))


def test_a_volume_that_the_service_sees_as_read_only_is_said():
    (found,) = doctor.sandbox(settings("/srv/nas-a", "/mnt/nas-b/khoso", "/mnt/nas-bb"), STRICT)
    assert (found.area, found.level) == ("v2", doctor.Level.BAD)
    assert "/mnt/nas-bb" in found.what
    assert "ReadWritePaths=/mnt/nas-bb" in found.remedy
    (found,) = doctor.sandbox(settings("/srv/a", state="/data/vault"), STRICT)
    assert found.area == "node.state"
    assert not doctor.sandbox(settings("/anywhere"), {})


def test_a_volume_that_would_be_away_after_a_reboot_is_said():
    mounted = settings("/proc")
    (found,) = doctor.boot(mounted, ["/srv"])
    assert found.level is doctor.Level.NOTE
    assert "/proc" in found.what
    assert not doctor.boot(mounted, ["/proc"])
    assert not doctor.boot(settings("/srv/never-mounted"), [])


def test_volumes_elsewhere_are_allowed_by_a_drop_in_of_our_own(tmp_path):
    dropin = tmp_path / "vaultd.service.d/volumes.conf"
    assert not service.tell(settings("/srv/nas-a"), dropin)
    assert not dropin.exists()
    assert service.tell(settings("/srv/nas-a", "/mnt/Kho 1%"), dropin)
    assert dropin.read_text().endswith('[Service]\nReadWritePaths=-"/mnt/Kho 1%%"\n')
    assert not service.tell(settings("/mnt/Kho 1%"), dropin)
    assert service.tell(settings("/srv/nas-a"), dropin)
    assert dropin.read_text() == "", "nothing is left of what no longer holds"


ELSEWHERE = """[recall]
path = "/srv/cache/recall"
[[library]]
name = "l"
kind = "virtual"
path = "/var/lib/vault/practice"
spool = "/mnt/spool"
"""


def test_the_mounts_of_the_nodes_own_folders_are_required_and_those_of_volumes_are_not(tmp_path):
    dropin = tmp_path / "volumes.conf"
    url = "sqlite:////data/catalogue/catalog.db"
    assert service.tell(settings("/srv/nas-a", "/mnt/nas-b", url=url, more=ELSEWHERE), dropin)
    required = re.findall("(?m)^RequiresMountsFor=(.*)$", dropin.read_text())
    assert required == ['"/data/catalogue"', '"/mnt/spool"', '"/srv/cache/recall"']
    analyze = require("systemd-analyze", "systemd")
    unit = tmp_path / "x.service"
    unit.write_text(dropin.read_text() + "ExecStart=/bin/true\n")
    verified = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, timeout=60, check=False)
    assert (verified.returncode, verified.stderr) == (0, b"")


def test_a_mount_that_the_service_does_not_wait_for_is_said_with_its_line():
    found = settings("/srv/a", url="sqlite:////data/catalogue/catalog.db", state="/data/vault")
    (first, second) = doctor.waiting(found, {"RequiresMountsFor": "/var/lib/vault"}, ["/data"])
    assert {first.level, second.level} == {doctor.Level.BAD}
    assert 'RequiresMountsFor="/data/catalogue"' in first.remedy
    assert 'RequiresMountsFor="/data/vault"' in second.remedy
    assert not doctor.waiting(found, {"RequiresMountsFor": "/data/catalogue /data/vault"}, ["/data"])
    assert not doctor.waiting(found, {"RequiresMountsFor": ""}, ["/"]), "it is on the disk of the system"
    assert not doctor.waiting(found, {}, ["/data"])


def test_a_volume_without_which_the_service_would_not_start_is_said():
    (found,) = doctor.waiting(settings("/srv/a", "/srv/b"), {"RequiresMountsFor": "/var/lib/vault /srv/b"}, [])
    assert (found.area, found.level) == ("v1", doctor.Level.NOTE)


def test_a_credential_that_the_unit_does_not_give_is_said_with_its_line():
    found = settings("/srv/a", url="credential:catalogue-url", key="credential:node.key")
    unit = "[Service]\nLoadCredentialEncrypted=node.key:/etc/credstore.encrypted/node.key\n"
    (missing,) = doctor.handed_over(found, unit)
    assert "catalog.url" in missing.what
    assert "LoadCredentialEncrypted=catalogue-url:/etc/credstore.encrypted/catalogue-url" in missing.remedy
    assert not doctor.handed_over(found, f"{unit}SetCredential=catalogue-url:postgresql://x")
    assert not doctor.handed_over(settings("/srv/a"), "")


def test_real_tape_drives_are_allowed_by_the_drop_in_that_the_program_brings(tmp_path):
    dropin = tmp_path / "vaultd.service.d/tape.conf"
    real, virtual = tape(settings("/srv/a"), "scsi"), tape(settings("/srv/a"), "virtual")
    assert not service.allow_tapes(virtual.libraries, dropin)
    assert not dropin.exists()
    assert service.allow_tapes(real.libraries, dropin)
    assert "DeviceAllow=char-sg rw" in dropin.read_text()
    assert not service.allow_tapes(real.libraries, dropin)
    dropin.unlink()
    dropin.write_text("# the administrator's own\n")
    assert not service.allow_tapes(real.libraries, dropin)
    assert dropin.read_text() == "# the administrator's own\n"


def test_a_service_that_may_open_no_drive_is_said():
    real, virtual = tape(settings("/srv/a"), "scsi"), tape(settings("/srv/a"), "virtual")
    (found,) = doctor.tape_devices(real, {"PrivateDevices": "yes"})
    assert (found.level, found.area) == (doctor.Level.BAD, "tape library l")
    assert "vaultctl init" in found.remedy
    assert not doctor.tape_devices(real, {"PrivateDevices": "no"})
    assert not doctor.tape_devices(real, {})
    assert not doctor.tape_devices(virtual, {"PrivateDevices": "yes"})


def tape(found, kind):
    library = LibrarySettings(name="l", kind=kind, path="/srv/l" if kind == "virtual" else None)
    return dataclasses.replace(found, libraries=(library,))


TABLE = {
    "/": Mount("/", "ext4", "/dev/sda1", "8:1"),
    "/net": Mount("/net", "nfs4", "server:/export", "0:50"),
}


def test_a_catalogue_on_another_machine_is_said():
    (found,) = check_state(settings("/srv/a", state="/net/vault"), TABLE)
    assert (found.key, found.line) == ("node.state", 3)
    assert "nfs4 server:/export" in found.what
    (found,) = check_state(settings("/srv/a", url="sqlite:////net/catalog.db"), TABLE)
    assert found.key == "catalog.url"
    assert not check_state(settings("/srv/a", state="/net/vault", url="postgresql+psycopg://db/vault"), TABLE)


def test_no_room_for_the_catalogue_is_said(tmp_path, monkeypatch):
    assert not check_state(settings("/srv/a", state=str(tmp_path)), {})
    monkeypatch.setattr(config_machine, "ROOM", 10**18)
    (found,) = check_state(settings("/srv/a", state=str(tmp_path)), {})
    assert "no room for the catalogue" in found.what


def test_init_waits_until_the_disks_were_asked(tmp_path, monkeypatch):
    """A node that was set up a moment after the package came must not be told that nobody asks its disks."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexit 1\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    service.ask_the_disks()
    assert (tmp_path / "asked").read_text() == "start vault-smart.service\n"


def test_the_first_report_on_the_disks_may_take_its_time(tmp_path):
    """The helper makes its folder before it looks at the first disk."""
    folder = tmp_path / "vault-smart"

    class Health(HealthSettings):
        report: Path = folder / "disks.json"

    health = Health()
    assert not health.report_expected
    folder.mkdir()
    assert not health.report_expected
    now = time.time()
    for age, expected in ((200, False), (400, True), (-4000, True)):
        os.utime(folder, (now - age, now - age))
        assert health.report_expected is expected, age
    folder.rmdir()
    assert HealthSettings.model_validate({"report": str(folder / "disks.json")}).report_expected
