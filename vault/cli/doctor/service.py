"""What systemd lets the daemon do, and what it does with the volumes when the machine boots."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from hardware.mounts import mount_table, resolve
from vault.cli.doctor.finding import Finding, Level
from vault.cli.unit import UNIT, outside, own_folders, quoted, wanted_credentials
from vault.config import Settings
from vault.i18n import _

_RUNNING = Path("/run/systemd/system")
_FSTAB = Path("/etc/fstab")
_UNIT_FOLDERS = (Path("/etc/systemd/system"), Path("/run/systemd/generator"), Path("/usr/lib/systemd/system"))
_TIMEOUT = 10.0


def service(settings: Settings) -> list[Finding]:
    """Whether the service may write to every volume, waits for the mounts that it needs and for no others, is given its
    credentials, and whether the volumes are mounted at boot; nothing where systemd does not run the daemon."""
    unit, points = unit_properties(), mounted_at_boot()
    found = [*sandbox(settings, unit), *tape_devices(settings, unit), *waiting(settings, unit, points)]
    if unit:
        found += handed_over(settings, unit_text())
    return [*found, *boot(settings, points)]


def unit_properties() -> Mapping[str, str]:
    """What systemd knows of the unit; nothing where there is no systemd, or no such unit."""
    if not _RUNNING.is_dir():
        return {}
    names = ("LoadState", "ProtectSystem", "ReadWritePaths", "StateDirectory", "PrivateDevices", "RequiresMountsFor")
    said = _systemctl("show", UNIT, f"--property={','.join(names)}")
    found = dict(line.partition("=")[::2] for line in said.splitlines())
    return found if found.get("LoadState") == "loaded" else {}


def unit_text() -> str:
    """The unit with its drop-ins, as systemd has read them; "" where it has none."""
    return _systemctl("cat", UNIT)


def _systemctl(*arguments: str) -> str:
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        command = ["systemctl", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def sandbox(settings: Settings, unit: Mapping[str, str]) -> list[Finding]:
    """Volumes that the unit shows to the daemon as read-only (systemd.exec(5), ProtectSystem=)."""
    if unit.get("ProtectSystem") != "strict":
        return []
    allowed = [path.lstrip("-+") for path in unit.get("ReadWritePaths", "").split()]
    allowed += [f"/var/lib/{name}" for name in unit.get("StateDirectory", "").split()]
    found = []
    for name, path in [*((volume.name, volume.path) for volume in settings.volumes), *own_folders(settings).items()]:
        if not any(path.is_relative_to(folder) for folder in allowed):
            what = _("The service vaultd may not write to {path}.").format(path=path)
            remedy = _("Type vaultctl init again, which allows it; or: systemctl edit vaultd, ReadWritePaths={path}")
            found.append(Finding(Level.BAD, name, what, remedy.format(path=path)))
    return found


def tape_devices(settings: Settings, unit: Mapping[str, str]) -> list[Finding]:
    """Real tape libraries in the configuration of a daemon that may open no device (PrivateDevices=)."""
    if unit.get("PrivateDevices") != "yes":
        return []
    what = _("The service vaultd may not open tape drives and libraries.")
    remedy = _("Type vaultctl init again, which allows it; or see docs/howto/tape-drive.md.")
    return [
        Finding(Level.BAD, _("tape library {name}").format(name=library.name), what, remedy)
        for library in settings.libraries
        if library.kind == "scsi"
    ]


def waiting(settings: Settings, unit: Mapping[str, str], points: Iterable[str]) -> list[Finding]:
    """Folders of the node's own on a file system that the unit does not wait for (systemd.unit(5), RequiresMountsFor=):
    started before it is mounted, the node would find them empty. And volumes that it does wait for."""
    if not unit:
        return []
    required = [Path(path) for path in unit.get("RequiresMountsFor", "").split()]
    mounted = {Path(point) for point in {*points, *mount_table()}} - {Path("/")}
    found = []
    for path in outside(settings):
        elsewhere = any(path.is_relative_to(point) for point in mounted)
        if elsewhere and not any(one.is_relative_to(path) or path == one for one in required):
            what = _("vaultd does not wait until {path} is mounted, and would begin anew in an empty folder.")
            remedy = _(
                "Type vaultctl init again, which arranges it; or: systemctl edit vaultd, and under [Unit]: {line}"
            )
            line = f"RequiresMountsFor={quoted(path)}"
            found.append(Finding(Level.BAD, "systemd", what.format(path=path), remedy.format(line=line)))
    for volume in settings.volumes:
        if volume.path in required:
            what = _("vaultd does not start without {path}, although it could serve from the other volumes.")
            remedy = _("Take RequiresMountsFor={path} out of the unit (systemctl edit vaultd).")
            found.append(
                Finding(Level.NOTE, volume.name, what.format(path=volume.path), remedy.format(path=volume.path))
            )
    return found


def handed_over(settings: Settings, unit: str) -> list[Finding]:
    """Credentials that the configuration asks for and the unit does not give (systemd.exec(5), LoadCredential=)."""
    given = set(re.findall(r"(?m)^(?:Load|Set)Credential(?:Encrypted)?=([A-Za-z0-9_.-]+)", unit))
    found = []
    for key, name in wanted_credentials(settings).items():
        if name not in given:
            what = _("{key} is the credential {name}, which the unit of vaultd does not give it.")
            remedy = _("systemctl edit vaultd, and under [Service]: {line}")
            line = f"LoadCredentialEncrypted={name}:/etc/credstore.encrypted/{name}"
            found.append(Finding(Level.BAD, "systemd", what.format(key=key, name=name), remedy.format(line=line)))
    return found


def mounted_at_boot() -> frozenset[str]:
    """The mount points of fstab(5), and of mount units of the administrator's (systemd.mount(5))."""
    points = set[str]()
    try:
        rows = [line.split() for line in _FSTAB.read_text("utf-8", "replace").splitlines()]
    except OSError:
        rows = []
    # As getmntent(3): blanks in a path are written \040.
    points.update(
        re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), row[1])
        for row in rows
        if len(row) > 3 and not row[0].startswith("#") and "noauto" not in row[3].split(",")
    )
    for folder in _UNIT_FOLDERS:
        for unit in [*folder.glob("*.mount"), *folder.glob("*.automount")]:
            try:
                points.update(re.findall(r"(?m)^Where=(/\S*)", unit.read_text("utf-8", "replace")))
            except OSError:
                continue
    return frozenset(os.path.normpath(point) for point in points)


def boot(settings: Settings, points: Iterable[str]) -> list[Finding]:
    """Volumes that are mounted now and would not be after a reboot."""
    known, table = set(points), mount_table()
    found = []
    for volume in settings.volumes:
        path = str(volume.path)
        if volume.mount and resolve(path, table) in table and not {path, resolve(path, table)} & known:
            what = _("{path} is mounted now, and nothing says that it is to be mounted at boot.").format(path=path)
            found.append(Finding(Level.NOTE, volume.name, what, _("Add it to /etc/fstab, with nofail and _netdev.")))
    return found
