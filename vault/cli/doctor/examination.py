"""All checks in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from vault.cli.doctor import devices, machine, node, service, tapes, volumes
from vault.cli.doctor.finding import Finding, Level
from vault.client import Endpoint
from vault.clock import utcnow
from vault.config import Settings
from vault.errors import VaultError
from vault.i18n import _


def examine(config: Path, endpoint: Callable[[], Endpoint], *, daemon: bool = True) -> Iterator[Finding]:
    """Look at everything; one finding after the other, as they come. Never raises for what is wrong. Without ``daemon``
    it is not asked: it is not to run yet."""
    yield machine.who()
    yield machine.python_version()
    yield machine.sqlite_version()
    yield machine.clock_synchronised()
    settings, found = node.configuration(config)
    yield from found
    newest = None
    if settings is not None:
        yield from node.state_folder(settings.node.state)
        yield from node.state_elsewhere(settings)
        yield node.key(settings)
        yield from node.certificate(settings)
        newest, found = node.catalogue(settings)
        yield from found
    yield machine.clock(utcnow(), newest)
    if settings is not None:
        yield from _volumes(settings, fresh=newest is None)
        yield from devices.disks(settings.health)
        yield from devices.arrays(settings.health)
        yield from service.service(settings)
        yield from tapes.libraries(settings)
    if not daemon:
        return
    try:
        where = endpoint()
    except VaultError:
        # The configuration is what says where; what is wrong with it was said above.
        yield Finding(
            Level.BAD, _("daemon"), _("Where vaultd listens is not known."), _("Correct the configuration first.")
        )
        return
    yield from node.daemon(where)


def _volumes(settings: Settings, *, fresh: bool) -> Iterator[Finding]:
    if not settings.volumes:
        remedy = _("Add a [[volume]] to the configuration, then: vaultctl volumes init NAME")
        yield Finding(Level.BAD, _("volumes"), _("There is no volume."), remedy)
        return
    yield from volumes.machine(settings)
    for configured in settings.volumes:
        yield from volumes.volume(settings, configured, fresh=fresh)
