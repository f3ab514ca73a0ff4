"""The node: configuration, state folder, key, catalogue, and whether the daemon answers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from vault import __version__, wire
from vault.catalog import events as rows
from vault.catalog.engine import Catalogue
from vault.catalog.migration import newest_revision
from vault.cli.doctor.finding import Finding, Level, bad
from vault.client import Client, Endpoint
from vault.clock import utcnow
from vault.config import Settings, check_state, examine
from vault.credentials import is_credential
from vault.custody.backups import SCHEDULE as BACKUP_SCHEDULE
from vault.errors import VaultError
from vault.i18n import _, n_
from vault.ledger import events
from vault.signing import NodeKey
from vault.tls import Certificate

_LATE_SECONDS = 60
_RENEW = timedelta(days=30)
_BACKUP_OLD = timedelta(days=3)
_HOUR = timedelta(hours=1)


def _whose_credentials() -> str:
    return _("systemd shows it to vaultd alone, and to root while vaultd runs (docs/howto/credentials.md).")


def configuration(path: Path) -> tuple[Settings | None, list[Finding]]:
    """The settings, or everything that is wrong with them."""
    settings, problems = examine(path)
    if settings is not None:
        return settings, [Finding(Level.OK, _("configuration"), str(path))]
    return None, [
        Finding(Level.BAD, _("configuration"), str(problem).rpartition("; ")[0], problem.remedy) for problem in problems
    ]


def certificate(settings: Settings) -> list[Finding]:
    """Whether the certificate of the API can be used, and for how long; nothing where it speaks no TLS."""
    files = settings.api.tls.files
    if files is None:
        return []
    area = _("certificate")
    try:
        files.context()
        found = Certificate.read(files.certificate)
    except VaultError as error:
        return [bad(area, error)]
    left = found.not_after - utcnow()
    what = _("The certificate {name} ends on {day:%Y-%m-%d}.").format(name=found.subject, day=found.not_after)
    remedy = _("Renew it, put the new files in its place, then: systemctl reload vaultd")
    if left <= timedelta(0):
        return [Finding(Level.BAD, area, what, remedy)]
    return [Finding(Level.NOTE, area, what, remedy) if left < _RENEW else Finding(Level.OK, area, what)]


def state_folder(folder: Path) -> list[Finding]:
    """Whether the state folder is there, is nobody else's to change, and has room."""
    area = _("state folder")
    try:
        facts = os.stat(folder)
    except FileNotFoundError:
        remedy = _("vaultd makes it when it first starts, if it may write to the folder above.")
        return [Finding(Level.NOTE, area, _("There is no {folder} yet.").format(folder=folder), remedy)]
    except OSError as error:
        remedy = _("Look at it as root (sudo vaultctl doctor).")
        return [Finding(Level.BAD, area, f"{folder}: {error.strerror}", remedy)]
    if not stat.S_ISDIR(facts.st_mode):
        return [Finding(Level.BAD, area, _("{folder} is no folder.").format(folder=folder), _("Correct node.state."))]
    found = [Finding(Level.OK, area, _("{folder} is there.").format(folder=folder))]
    if facts.st_mode & 0o022:
        what = _("Others than its owner may write to {folder}.").format(folder=folder)
        found.append(Finding(Level.BAD, area, what, f"chmod 750 {folder}"))
    if os.geteuid() not in (0, facts.st_uid):
        what = _("{folder} belongs to user {uid}, and you are {you}.").format(
            folder=folder, uid=facts.st_uid, you=os.geteuid()
        )
        found.append(Finding(Level.NOTE, area, what, _("Look at it as root (sudo vaultctl doctor).")))
    return found


def state_elsewhere(settings: Settings) -> list[Finding]:
    """Whether the catalogue lies where it can: no file system of another machine."""
    area = _("state folder")
    return [
        Finding(Level.BAD, area, str(problem).rpartition("; ")[0], problem.remedy) for problem in check_state(settings)
    ]


def key(settings: Settings) -> Finding:
    """Whether the node's key is there and can be used. None is made."""
    area = _("key")
    path, folder = settings.node.key_file, settings.node.state
    try:
        there = path.is_file()
    except OSError:
        there = False
    if not there:
        remedy = _("vaultd makes it when it first starts. If the node has issued receipts, restore it from a backup.")
        what = _("There is no key {path} that could be seen.").format(path=path)
        if is_credential(path):
            what, remedy = _("The key is the credential {name}.").format(name=path.name), _whose_credentials()
        return Finding(Level.NOTE, area, what, remedy)
    if not os.access(path, os.R_OK):
        what = _("The key {path} cannot be read by you, as it should be.").format(path=path)
        return Finding(Level.OK, area, what)
    try:
        found = NodeKey.load_or_create(path)
    except VaultError as error:
        return bad(area, error)
    owner, service = path.stat().st_uid, folder.stat().st_uid
    if owner != service and not is_credential(path):
        what = _("The key {path} belongs to user {owner}, and the service's user {service} cannot read it.").format(
            path=path, owner=owner, service=service
        )
        return Finding(Level.BAD, area, what, f"chown {service} {path}")
    return Finding(Level.OK, area, _("Key {key_id}").format(key_id=found.key_id))


def catalogue(settings: Settings) -> tuple[datetime | None, list[Finding]]:
    """Whether the catalogue opens and is of this program; and the time of its newest event."""
    from vault.node import refuse_lost_catalogue

    area = _("catalogue")
    try:
        opened = Catalogue.open(settings.catalog.url)
    except VaultError as error:
        return None, [_not_opened(area, error)]
    try:
        revision, newest = opened.schema_revision(), newest_revision()
        if revision is None:
            refuse_lost_catalogue(opened, settings)
            remedy = _("vaultd makes it when it first starts.")
            return None, [
                Finding(Level.NOTE, area, _("There is none yet at {place}.").format(place=opened.place), remedy)
            ]
        if revision != newest:
            what = _("{place} has the schema {found}, and this program needs {wanted}.").format(
                place=opened.place, found=revision, wanted=newest
            )
            return None, [
                Finding(Level.BAD, area, what, _("Start the vaultd of this version; it upgrades the schema."))
            ]
        with opened.read() as tx:
            head = rows.head(tx)
            last = events(tx, after=max(0, head.seq - 1), limit=1) if head else []
        if head is None:
            remedy = _("Restore the newest backup of the catalogue.")
            return None, [Finding(Level.BAD, area, _("The end of the ledger is lost."), remedy)]
    except VaultError as error:
        return None, [bad(area, error)]
    finally:
        opened.close()
    what = n_(
        "{place} opens; its schema is {found}, its ledger has {count} event.",
        "{place} opens; its schema is {found}, its ledger has {count} events.",
        head.seq,
    ).format(place=opened.place, found=revision, count=head.seq)
    return (last[0].time if last else None), [Finding(Level.OK, area, what)]


def _not_opened(area: str, error: VaultError) -> Finding:
    if error.code != "no-credential":
        return bad(area, error)
    return Finding(Level.NOTE, area, _("Where the catalogue is, is told by a credential."), _whose_credentials())


def backups(schedules: Iterable[wire.Schedule], now: datetime) -> list[Finding]:
    """Whether the catalogue was backed up of late: without it a loss of the server costs the metadata that no volume
    carries, and the proofs."""
    area = _("backup of the catalogue")
    found = next((one for one in schedules if one.kind == BACKUP_SCHEDULE), None)
    remedy = _("Make one now and see what it says: vaultctl catalog backup")
    if found is None or found.last_success is None:
        failed = found.last_error if found else ""
        level = Level.BAD if failed else Level.NOTE
        return [Finding(level, area, f"{_('The catalogue was never backed up.')} {failed}".strip(), remedy)]
    age = now - found.last_success
    if age > _BACKUP_OLD:
        what = _("The newest backup of the catalogue is {days} days old.").format(days=age.days)
        return [Finding(Level.BAD, area, f"{what} {found.last_error}".strip(), remedy)]
    return [Finding(Level.OK, area, _("The catalogue was backed up {age:.0f} hours ago.").format(age=age / _HOUR))]


def daemon(endpoint: Endpoint, *, timeout: float = 10.0) -> list[Finding]:
    """Whether vaultd answers, is of this version, has the same time, and can do its work."""
    area = _("daemon")
    try:
        with Client(endpoint, timeout=timeout) as client:
            status = client.status()
            ready = client.readiness()
    except VaultError as error:
        return [bad(area, error)]
    what = _("vaultd {version} answers at {endpoint}.").format(version=status.version, endpoint=endpoint)
    found = [Finding(Level.OK, area, what)]
    if status.version != __version__:
        what = _("vaultd is {daemon}, and vaultctl is {own}.").format(daemon=status.version, own=__version__)
        found.append(Finding(Level.NOTE, area, what, _("Restart vaultd after an upgrade: systemctl restart vaultd")))
    late = abs((utcnow() - status.time).total_seconds())
    if late > _LATE_SECONDS:
        what = _("The clocks of vaultd and of this machine differ by {seconds} s.").format(seconds=int(late))
        found.append(Finding(Level.BAD, area, what, _("Set both clocks by the same server.")))
    found += backups(status.schedules, status.time)
    if not ready.ready:
        remedy = _("Look at `vaultctl status` and at journalctl -u vaultd.")
        found += [Finding(Level.BAD, area, reason, remedy) for reason in ready.reasons]
    return found
