"""What a set-up makes besides the configuration: folders, the node's key, the catalogue, the volumes, the first token.

Root makes the folders and gives them to the service's user; all else is done as that user, so that what the daemon
could not do is found here and not at its first start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from vault import wire
from vault.catalog import tokens
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Catalogue
from vault.cli.unit import own_folders
from vault.client import Client
from vault.config import Settings, VolumeSettings
from vault.custody.beginning import begin
from vault.durable import describe_os_error
from vault.errors import Conflict, Invalid, Refused, Unreachable
from vault.i18n import _
from vault.ledger import append
from vault.model import EventType, Json, NewEvent, Outcome, Scope
from vault.node import Node
from vault.volumes.directory import DirectoryVolume
from vault.volumes.identity import IDENTITY_FILE

SERVICE_USER = "vault"
TOKEN_SCOPES = (Scope.DEPOSIT, Scope.READ)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """As whom the daemon runs."""

    name: str
    uid: int
    gid: int

    @classmethod
    def find(cls, name: str, state: Path) -> ServiceUser:
        """The user of that name; where none is named the owner of the state folder, or ``vault`` if that user exists,
        or else whoever asks. Raises Invalid, and Refused for whoever is neither root nor that user."""
        try:
            owned = not name and state.exists()
            row = pwd.getpwuid(state.stat().st_uid) if owned else pwd.getpwnam(name or SERVICE_USER)
        except KeyError:
            if name:
                raise Invalid(
                    _("There is no user {name} on this machine.").format(name=repr(name)),
                    remedy=_("Name one that exists; the package makes the user {name}.").format(name=SERVICE_USER),
                    code="no-such-user",
                ) from None
            row = pwd.getpwuid(os.geteuid())
        if not name and os.geteuid() not in (0, row.pw_uid):
            raise Refused(
                _("A node is set up as root, or as the user {name}.").format(name=row.pw_name),
                remedy=_("Type: sudo vaultctl init"),
                code="not-root",
            )
        return cls(row.pw_name, row.pw_uid, row.pw_gid)

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """Be that user within the block, where root may; root's rights come back behind it."""
        if os.geteuid() != 0 or self.uid == 0:
            yield
            return
        groups, gid = os.getgroups(), os.getegid()
        os.setgroups(os.getgrouplist(self.name, self.gid))
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(gid)
            os.setgroups(groups)


def folders(settings: Settings, user: ServiceUser, say: Say) -> None:
    """Make the node's own folders, and let the service's user write to the volumes that are still empty. Raises as the
    file system has it."""
    for path in own_folders(settings).values():
        _own_folder(path, user, say)
    for volume in settings.volumes:
        with describing(f"looking at {volume.path}"):
            facts = os.stat(volume.path)
            if user.uid in (0, facts.st_uid) or os.geteuid() != 0 or os.path.lexists(volume.path / IDENTITY_FILE):
                continue
            if any(name not in {"lost+found", ".snapshot", ".zfs"} for name in os.listdir(volume.path)):
                continue  # whatever it is, it is not ours to give away; stamping it will say so
        try:
            os.chown(volume.path, user.uid, user.gid)
        except PermissionError as error:
            raise Unreachable(
                _("{path} cannot be given to the user {name}: {reason}.").format(
                    path=volume.path, name=user.name, reason=error.strerror
                ),
                remedy=_("On the file server, make the user with the number {uid} its owner.").format(uid=user.uid),
                code="not-writable",
            ) from error
        say(_("{path} belongs to the user {name} now.").format(path=volume.path, name=user.name))


def _own_folder(path: Path, user: ServiceUser, say: Say) -> None:
    with describing(f"making {path}"):
        if not path.exists():
            path.mkdir(mode=0o750, parents=True)
            if os.geteuid() == 0:
                os.chown(path, user.uid, user.gid)
            say(_("{path} was made.").format(path=path))


@contextlib.contextmanager
def describing(doing: str) -> Iterator[None]:
    """An OSError within becomes the error that says what it was about."""
    try:
        yield
    except OSError as error:
        raise describe_os_error(error, doing) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What the node's parts write down for the daemon's log is said here in sentences: within, only warnings are."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def is_new(settings: Settings) -> bool:
    """Whether this node has no catalogue yet."""
    opened = Catalogue.open(settings.catalog.url)
    try:
        return opened.schema_revision() is None
    finally:
        opened.close()


def refuse_former_node(settings: Settings) -> None:
    """A node without a catalogue whose volumes bear its name was not set up: it was lost, and is to be restored."""
    for configured in settings.volumes:
        identity = _volume(configured).probe().identity
        if identity is not None and identity.node == settings.node.name:
            raise Conflict(
                _("{path} is a volume of the node {node} already, and this machine has no catalogue of it.").format(
                    path=configured.path, node=identity.node
                ),
                remedy=_("Put node.key back, then: vaultctl catalog rebuild (docs/howto/the-server-died.md)"),
                code="node-to-be-restored",
            )


def make(settings: Settings, user: ServiceUser, token: str, say: Say) -> str:
    """Make key, catalogue, volumes and, where there is none at all, a first token of the name ``token``; return its
    secret, or "". Raises ConfigError while a daemon runs on the state folder, and what volumes are refused with."""
    node = Node(settings)
    try:
        say(_("The node's key: {key}").format(key=node.key.key_id))
        with node.catalogue.read() as tx:
            for row in catalog_volumes.all(tx):
                if row.name in node.volumes:
                    node.volumes[row.name].expect(row.uuid)
        for configured in settings.volumes:
            _stamp(node, configured, say)
        node.keep_checkpoint()
        return _first_token(node, token, user)
    finally:
        node.close()


def ask_daemon(client: Client, settings: Settings, token: str) -> str:
    """The same by the daemon that is running: volumes that were never initialised, and a first token."""
    for volume in client.volumes().items:
        if volume.uuid is None and any(volume.name == configured.name for configured in settings.volumes):
            client.initialise_volume(volume.name)
    if not token or client.tokens().items:
        return ""
    return client.create_token(wire.TokenOrder(name=token, scopes=list(TOKEN_SCOPES))).token


def _stamp(node: Node, configured: VolumeSettings, say: Say) -> None:
    volume = node.volumes[configured.name]
    found = volume.probe()
    if found.identity is None:
        begin(node.catalogue, volume, node.settings.node.name)
        say(_("{path} is the volume {name} now.").format(path=configured.path, name=configured.name))
    else:
        say(_("{path} is a volume already: {name}.").format(path=configured.path, name=found.identity.name))
    node.watch.look_now(volume)


def _first_token(node: Node, name: str, user: ServiceUser) -> str:
    with node.catalogue.write() as tx:
        if not name or tokens.all(tx):
            return ""
        made, secret = tokens.create(tx, name, TOKEN_SCOPES, None)
        detail: dict[str, Json] = {
            "name": made.name,
            "scopes": [str(scope) for scope in sorted(made.scopes)],
            "expires_at": None,
        }
        append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, f"user:{user.name}", detail=detail))
    return secret


def _volume(configured: VolumeSettings) -> DirectoryVolume:
    return DirectoryVolume(
        name=configured.name,
        path=str(configured.path),
        domain=configured.domain,
        site=configured.site,
        mount=configured.mount,
    )
