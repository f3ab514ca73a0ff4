"""The volumes: there, themselves, writable, with room, and independent of one another."""

from __future__ import annotations

import os
import stat

from vault.cli.doctor.finding import Finding, Level, in_time
from vault.cli.offline import open_volume
from vault.config import Problem, Settings, VolumeSettings, check_machine
from vault.i18n import _, current_language
from vault.model import Condition
from vault.units import format_bytes
from vault.volumes.base import Probe
from vault.volumes.directory_staging import STAGING

_TIGHT = 10
"""Percent of room below which it is worth a word."""


def machine(settings: Settings) -> list[Finding]:
    """What the configuration says and the machine contradicts: nothing mounted, one folder or one device for two."""
    area = _("volumes")
    try:
        problems: list[Problem] = in_time(lambda: check_machine(settings))
    except TimeoutError:
        what = _("A volume's file system does not answer.")
        return [
            Finding(Level.BAD, area, what, _("Look at the file servers and at the network; see below which it is."))
        ]
    if not problems:
        found = [Finding(Level.OK, area, _("Every folder of a volume is there, and mounted where it must be."))]
        if settings.node.accept_shared_devices:
            remedy = _("For anything but a demonstration, take node.accept_shared_devices out of the configuration.")
            what = _("Whether two volumes are on one device was not looked at.")
            found.append(Finding(Level.NOTE, area, what, remedy))
        return found
    return [Finding(Level.BAD, area, str(problem).rpartition("; ")[0], problem.remedy) for problem in problems]


def volume(settings: Settings, configured: VolumeSettings, *, fresh: bool = False) -> list[Finding]:
    """One volume: mounted, itself, writable, with room. ``fresh``: the node has no catalogue yet."""
    area = configured.name
    opened = open_volume(settings, configured.name)
    try:
        probe = in_time(opened.probe)
    except TimeoutError:
        what = _("{path} does not answer.").format(path=configured.path)
        return [
            Finding(
                Level.BAD, area, what, _("Look at the file server, its cable and the network; then mount it again.")
            )
        ]
    found = [_condition(configured, probe, fresh=fresh)]
    if probe.identity is None:
        return found
    if probe.identity.name != configured.name:
        what = _("{path} is the volume {other}, not {name}.").format(
            path=configured.path, other=probe.identity.name, name=configured.name
        )
        found.append(Finding(Level.BAD, area, what, _("Mount the right volume there, or correct the configuration.")))
    for key, here, there in (
        ("domain", configured.domain, probe.identity.domain),
        ("site", configured.site, probe.identity.site),
    ):
        if here != there:
            what = _("The configuration says {key} = {here}, the volume itself was made with {there}.").format(
                key=key, here=here, there=there
            )
            found.append(Finding(Level.NOTE, area, what, _("Was it moved? If not, correct the configuration.")))
    found += _room(configured, probe)
    if probe.condition is Condition.ONLINE:
        found.append(_writable(settings, configured))
    return found


def _condition(configured: VolumeSettings, probe: Probe, *, fresh: bool) -> Finding:
    if probe.condition is Condition.ONLINE and probe.identity is not None:
        return Finding(Level.OK, configured.name, _("It is mounted; UUID {uuid}").format(uuid=probe.identity.uuid))
    if probe.condition is Condition.FOREIGN and probe.identity is None:
        init = f"vaultctl volumes init {configured.name}"
        if fresh:
            remedy = _("The next step, once vaultd runs: {command}").format(command=init)
            return Finding(Level.NOTE, configured.name, _("It was not initialised yet."), remedy)
        remedy = _(
            "Mount the volume there. If it is lost for good: docs/howto/a-disk-died.md. Only if it never was: {command}"
        ).format(command=init)
        return Finding(Level.BAD, configured.name, probe.reason, remedy)
    return Finding(Level.BAD, configured.name, probe.reason or str(probe.condition))


def _room(configured: VolumeSettings, probe: Probe) -> list[Finding]:
    if probe.free_bytes is None or probe.size_bytes is None:
        return []
    if configured.reserve >= probe.size_bytes:
        what = _(
            "Its reserve ({reserve}) is not smaller than the volume ({size}): nothing is ever written to it."
        ).format(
            reserve=format_bytes(configured.reserve, current_language()),
            size=format_bytes(probe.size_bytes, current_language()),
        )
        return [Finding(Level.BAD, configured.name, what, _("Write a smaller reserve for it in the configuration."))]
    free = format_bytes(probe.free_bytes, current_language())
    remedy = _("Add a volume, or evacuate this one to a larger one.")
    if probe.free_bytes <= configured.reserve:
        what = _("It is full: {free} are left, which is what is held in reserve.").format(free=free)
        return [Finding(Level.BAD, configured.name, what, remedy)]
    what = _("{free} are free.").format(free=free)
    if probe.free_bytes * 100 < probe.size_bytes * _TIGHT:
        return [Finding(Level.NOTE, configured.name, what, remedy)]
    return [Finding(Level.OK, configured.name, what)]


def _writable(settings: Settings, configured: VolumeSettings) -> Finding:
    """Whether the user of the service may write there; who that is, is told by the state folder."""
    place = configured.path / STAGING
    area = configured.name
    try:
        facts = os.stat(place)
        service = os.stat(settings.node.state).st_uid
    except OSError:
        service = os.geteuid()
        facts = None
    allowed = os.access(place, os.W_OK | os.X_OK)
    if os.geteuid() == 0 and service != 0 and facts is not None:
        # Root may do everything here; the service may not.
        allowed = bool(facts.st_mode & (stat.S_IWUSR if facts.st_uid == service else stat.S_IWGRP | stat.S_IWOTH))
    elif os.geteuid() not in (0, service):
        return Finding(Level.OK, area, _("Whether vaultd may write there, only root and its user can see."))
    if allowed:
        return Finding(Level.OK, area, _("User {uid} may write to it.").format(uid=service))
    what = _("User {uid}, as whom vaultd runs, may not write to {place}.").format(uid=service, place=place)
    return Finding(Level.BAD, area, what, _("Make that user its owner, on the file server too."))
