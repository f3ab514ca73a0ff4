"""What doctor says of the service and of the state folder, and what init tells systemd."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hardware.mounts import Mount
from vault.cli.doctor import service as doctor
from vault.cli.setup import service
from vault.config import LibrarySettings, check_state, parse_settings
from vault.config import machine as config_machine

STRICT = {"ProtectSystem": "strict", "ReadWritePaths": "-/srv /mnt/nas-b", "StateDirectory": "vault"}


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "en")


def settings(*paths: str, state: str = "/var/lib/vault", url: str = ""):
    volumes = "".join(
        f'[[volume]]\nname = "v{n}"\nkind = "directory"\npath = "{path}"\ndomain = "d{n}"\nsite = "s"\n'
        for n, path in enumerate(paths)
    )
    text = f'[node]\nname = "x"\nstate = "{state}"\n[catalog]\nurl = "{url}"\n{volumes}'
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
    assert not service.allow([Path("/srv/nas-a")], dropin)
    assert not dropin.exists()
    assert service.allow([Path("/srv/nas-a"), Path("/mnt/Kho 1%")], dropin)
    assert dropin.read_text().endswith('[Service]\nReadWritePaths=-"/mnt/Kho 1%%"\n')
    assert not service.allow([Path("/mnt/Kho 1%")], dropin)
    assert service.allow([Path("/srv/nas-a")], dropin)
    assert dropin.read_text().endswith("[Service]\n")


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
