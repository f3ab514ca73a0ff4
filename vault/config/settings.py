"""The settings: their keys, types and defaults. ``docs/reference/config.md`` explains them to people.

Each section is a model that refuses unknown keys and cannot change.
"""

from __future__ import annotations

import hashlib
import json
import zoneinfo
from dataclasses import dataclass, field
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from vault.clock import utcnow
from vault.config.fields import (
    GB,
    AbsolutePath,
    Address,
    Drives,
    Duration,
    Name,
    Patterns,
    SecretFile,
    Section,
    Size,
    to_algorithm,
    to_array_of_tables,
    to_class_names,
    to_clock_time,
    to_days,
    to_drives,
    to_duration,
    to_hosts,
    to_listen,
    to_logins,
    to_media,
    to_networks,
    to_optional_name,
    to_optional_path,
    to_socket,
    to_time_zone,
    to_url,
    to_volume_names,
)
from vault.config.problem import Source
from vault.errors import NotFound
from vault.model import Descriptive, DigestAlgorithm, MediumClass
from vault.policy import Fixity, Match, Policy
from vault.tls import TlsFiles
from vault.units import Language, duration_text
from vault.windows import EVERY_DAY, Window

FIRST_ROUND = timedelta(minutes=5)
"""So long may the helper take over its first look at the disks: one that hangs is given up after a minute."""


class NodeSettings(Section):
    """``[node]``: who this node is."""

    name: Name
    state: AbsolutePath = Path("/var/lib/vault")
    key: SecretFile = None
    accept_shared_devices: bool = False
    language: Language = "vi"
    time_zone: Annotated[str, BeforeValidator(to_time_zone)] = "Asia/Ho_Chi_Minh"

    @property
    def key_file(self) -> Path:
        """Where the node's key is: in the state folder, unless something else is said."""
        return self.key or self.state / "node.key"

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone in which people are shown times."""
        return zoneinfo.ZoneInfo(self.time_zone)


class CatalogSettings(Section):
    """``[catalog]``: where the catalogue lives. In loaded settings ``url`` is never empty; ``credential:NAME``
    is read where the catalogue is opened."""

    url: Annotated[str, BeforeValidator(to_url)] = ""


class TlsSettings(Section):
    """``[api.tls]``: what the daemon proves itself with, and whether clients must. Without it there is no TLS."""

    certificate: AbsolutePath | None = None
    key: SecretFile = None
    client_ca: AbsolutePath | None = None
    client_auth: Literal["none", "optional", "required"] = "none"

    @property
    def files(self) -> TlsFiles | None:
        """The files; None where the daemon is to speak no TLS."""
        if self.certificate is None or self.key is None:
            return None
        return TlsFiles(self.certificate, self.key, self.client_ca, self.client_auth)


class ApiSettings(Section):
    """``[api]``: where the daemon can be spoken to. ``wait`` is how long a deposit is waited for unless the client
    says otherwise, up to ``wait_max``; ``idle_timeout`` ends connections on which nothing moves; ``min_rate`` in bytes
    per second ends bodies that come slower, averaged over an ``idle_timeout``. ``trusted_proxies`` (CIDR) may say from
    whom a request comes; ``operators`` are who may use the socket: logins and %groups; empty: all who can open it."""

    listen: Annotated[Address, BeforeValidator(to_listen)] = Address("127.0.0.1", 8420)
    socket: Annotated[Path, BeforeValidator(to_socket)] = Path("/run/vault/vault.sock")
    wait: Annotated[timedelta, BeforeValidator(to_duration)] = timedelta(seconds=60)
    wait_max: Duration = timedelta(minutes=10)
    idle_timeout: Duration = timedelta(seconds=60)
    min_rate: Size = 1000
    max_connections: int = Field(default=512, ge=10, le=100_000)
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(to_networks)] = ()
    operators: Annotated[tuple[str, ...], BeforeValidator(to_logins)] = ()
    tls: TlsSettings = TlsSettings()
    max_followers: int = Field(default=200, ge=1, le=10_000)


class IntakeSettings(Section):
    """``[intake]``: what a deposit may be. ``max_ratio`` bounds inflated by deflated bytes, for archives. An upload
    that nobody touches for ``upload_expires`` goes; ``max_upload_bytes`` bounds what all that are open may come to."""

    digest: Annotated[DigestAlgorithm, BeforeValidator(to_algorithm)] = DigestAlgorithm.SHA512
    max_package_bytes: Annotated[Size, Field(ge=1)] = 100 * GB
    max_members: int = Field(default=200_000, ge=1)
    max_ratio: int = Field(default=200, ge=1)
    max_inflated_bytes: Annotated[Size, Field(ge=1)] = 200 * GB
    max_concurrent: int = Field(default=8, ge=1, le=1000)
    max_concurrent_per_token: int | None = Field(default=None, ge=1, le=1000)
    upload_expires: Duration = timedelta(days=7)
    max_uploads: int = Field(default=200, ge=1, le=100_000)
    max_uploads_per_token: int = Field(default=50, ge=1, le=100_000)
    max_upload_bytes: Annotated[Size, Field(ge=1)] = 500 * GB
    queue_timeout: Annotated[timedelta, BeforeValidator(to_duration)] = timedelta(minutes=2)


class CustodySettings(Section):
    """``[custody]``: the rhythm of the planner, the checks and the retries."""

    planner_interval: Duration = timedelta(seconds=30)
    lease: Duration = timedelta(seconds=60)
    reread_after: Duration = timedelta(minutes=1)
    probe_interval: Duration = timedelta(seconds=15)
    checkpoint_interval: Duration = timedelta(hours=24)
    backup_interval: Duration = timedelta(hours=24)
    backup_keep: int = Field(default=3, ge=1, le=1000)
    retry_min: Duration = timedelta(seconds=5)
    retry_max: Duration = timedelta(hours=1)
    stalled_after: Duration = timedelta(minutes=5)


class WindowSettings(Section):
    """``[[fixity.window]]``: hours in which scheduled checks may read, and how many bytes a second of each volume."""

    start: Annotated[time, BeforeValidator(to_clock_time), Field(alias="from")]
    end: Annotated[time, BeforeValidator(to_clock_time), Field(alias="to")]
    days: Annotated[frozenset[int], BeforeValidator(to_days)] = EVERY_DAY
    rate: Annotated[Size, Field(ge=1)] | None = None
    medium: Annotated[frozenset[MediumClass], BeforeValidator(to_media)] = frozenset()
    volumes: Annotated[frozenset[str], BeforeValidator(to_volume_names)] = frozenset()
    classes: Annotated[frozenset[str], BeforeValidator(to_class_names), Field(alias="class")] = frozenset()

    def window(self) -> Window:
        """What the rest of the program works with."""
        return Window(self.start, self.end, self.days, self.rate, self.medium, self.volumes, self.classes)


class RoutineSettings(Section):
    """``[fixity]``: the rhythm of scheduled checks. How often each copy is checked is said by its policy."""

    io_priority: Literal["idle", "low", "normal"] = "low"
    ahead: bool = True
    checkpoint: Duration = timedelta(seconds=10)
    sample: int = Field(default=100, ge=0, le=100_000)
    after_absence: Duration = timedelta(hours=1)
    window: Annotated[tuple[WindowSettings, ...], BeforeValidator(to_array_of_tables)] = ()

    @property
    def windows(self) -> tuple[Window, ...]:
        """The hours in which scheduled checks may read; none: always."""
        return tuple(window.window() for window in self.window)


class HealthSettings(Section):
    """``[health]``: what is heard of the disks. ``report`` is what the helper writes; older than
    ``stale_after`` it says nothing of now. ``history`` is how long a disk's days are kept. ``short_test`` and
    ``long_test`` are read by the helper: how often, in hours that it runs, a disk tests itself; nothing is never."""

    report: AbsolutePath = Path("/run/vault-smart/disks.json")
    interval: Duration = timedelta(minutes=1)
    stale_after: Duration = timedelta(hours=1)
    history: Duration = timedelta(days=400)
    short_test: Annotated[timedelta, BeforeValidator(to_duration)] = timedelta(days=7)
    long_test: Annotated[timedelta, BeforeValidator(to_duration)] = timedelta(days=90)

    @property
    def report_expected(self) -> bool:
        """Whether there should be a report: somebody said where, or the helper made its folder and has had the time for
        its first round."""
        if "report" in self.model_fields_set:
            return True
        try:
            made = self.report.parent.stat().st_mtime
        except OSError:
            return False
        return not 0 <= utcnow().timestamp() - made < FIRST_ROUND.total_seconds()


class CallbackSettings(Section):
    """``[callbacks]``: who may be told how a deposit ended. ``hosts`` are names, or NAME:PORT; none: nobody is told.
    ``authority`` signs their certificates, beside those that the system trusts."""

    hosts: Annotated[tuple[str, ...], BeforeValidator(to_hosts)] = ()
    secret: SecretFile = None
    authority: AbsolutePath | None = None
    loopback: bool = False


class LogSettings(Section):
    """``[log]``: how and how much the daemon writes down."""

    format: Literal["console", "json", "journal"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class VolumeSettings(Section):
    """``[[volume]]``: a place that holds copies. ``reserve`` is the space in bytes that deposits leave free."""

    name: Name
    kind: Literal["directory"]
    path: AbsolutePath
    mount: bool = True
    domain: Name
    site: Name
    lanes: int = Field(default=2, ge=1, le=64)
    reserve: Size = GB
    sync: Literal["auto", "files", "filesystem"] = "auto"


class MatchSettings(Section):
    """``match`` of ``[[policy]]``: shell patterns for what the depositor said."""

    fonds: Patterns | None = None
    agency: Patterns | None = None
    priority_class: Patterns | None = Field(default=None, alias="class")


class FixitySettings(Section):
    """``fixity`` of ``[[policy]]``: how long a copy may go unchecked."""

    disk: Duration = timedelta(days=90)
    tape: Duration = timedelta(days=365)


class RecallSettings(Section):
    """``[recall]``: what was brought back from tape is kept on disk for a while."""

    path: Annotated[Path | None, BeforeValidator(to_optional_path)] = None
    max_bytes: Annotated[Size, Field(ge=1)] = 200 * GB
    keep: Duration = timedelta(days=7)


class LibrarySettings(Section):
    """``[[library]]``: drives, and what puts cartridges into them. A writing session begins when ``mount_after_bytes``
    wait for a pool, or the oldest has waited for ``mount_after_age``. A kind ``virtual`` is a folder at ``path``. A
    drive in which ``hold_drive_after`` cartridges failed one after another is held."""

    name: Name
    kind: Literal["scsi", "virtual"]
    changer: str = "auto"
    drives: Annotated[Drives, BeforeValidator(to_drives)] = "auto"
    path: Annotated[Path | None, BeforeValidator(to_optional_path)] = None
    slots: int = Field(default=8, ge=1, le=4096)
    mount_after_bytes: Annotated[Size, Field(ge=1)] = 200 * GB
    mount_after_age: Annotated[timedelta, BeforeValidator(to_duration)] = timedelta(hours=24)
    spool: Annotated[Path | None, BeforeValidator(to_optional_path)] = None
    spool_bytes: Annotated[Size, Field(ge=1)] = 200 * GB
    inventory_interval: Duration = timedelta(minutes=5)
    hold_drive_after: int = Field(default=3, ge=2, le=100)


class PoolSettings(Section):
    """``[[pool]]``: cartridges that make up one backup set at one site. Empty texts take the pool's name for the set,
    the library's for the site, and the only library there is. ``convert_after`` is how long what is on a cartridge may
    stay there."""

    name: Name
    library: Annotated[str, BeforeValidator(to_optional_name)] = ""
    set: Annotated[str, BeforeValidator(to_optional_name)] = ""
    site: Annotated[str, BeforeValidator(to_optional_name)] = ""
    convert_after: Duration = timedelta(days=1095)


class PolicySettings(Section):
    """``[[policy]]`` as it is written; :meth:`policy` is what the rest of the program works with."""

    name: Name
    match: MatchSettings = MatchSettings()
    disk: int = Field(default=2, ge=1)
    tape: int = Field(default=0, ge=0)
    receipt_after: int | None = Field(default=None, ge=1)
    priority: int = Field(default=100, ge=0, le=1000)
    fixity: FixitySettings = FixitySettings()

    def policy(self) -> Policy:
        """The policy that is meant; a receipt needs all disk copies unless something else is said."""
        return Policy(
            name=self.name,
            disk=self.disk,
            tape=self.tape,
            receipt_after=self.disk if self.receipt_after is None else self.receipt_after,
            priority=self.priority,
            match=Match(self.match.fonds or (), self.match.agency or (), self.match.priority_class or ()),
            fixity=Fixity(self.fixity.disk, self.fixity.tape),
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that can work, as far as can be told without the machine.

    ``policies`` are in the order of the file, in which they are tried. ``source`` remembers where it all came
    from, for messages.
    """

    node: NodeSettings
    catalog: CatalogSettings
    api: ApiSettings
    intake: IntakeSettings
    custody: CustodySettings
    fixity: RoutineSettings
    health: HealthSettings
    log: LogSettings
    volumes: tuple[VolumeSettings, ...]
    policies: tuple[Policy, ...]
    source: Source
    recall: RecallSettings = field(default_factory=RecallSettings)
    libraries: tuple[LibrarySettings, ...] = ()
    pools: tuple[PoolSettings, ...] = ()
    callbacks: CallbackSettings = field(default_factory=CallbackSettings)

    def policy_for(self, descriptive: Descriptive) -> Policy:
        """The first policy that matches a package that is described so. The last one always does."""
        return next(policy for policy in self.policies if policy.match.matches(descriptive))

    def policy(self, name: str) -> Policy:
        """The policy of that name; :class:`~vault.errors.NotFound` where the file has none."""
        for policy in self.policies:
            if policy.name == name:
                return policy
        raise NotFound(
            f'There is no policy "{name}" in {self.source.file}.', remedy="Add it again, or assign another policy."
        )

    def volume(self, name: str) -> VolumeSettings:
        """The volume of that name; :class:`~vault.errors.NotFound` where the file has none."""
        for volume in self.volumes:
            if volume.name == name:
                return volume
        raise NotFound(f'There is no volume "{name}" in {self.source.file}.', remedy="Look at its [[volume]] tables.")

    def pool(self, name: str) -> PoolSettings:
        """The pool of that name; :class:`~vault.errors.NotFound` where there is none."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        listed = ", ".join(pool.name for pool in self.pools) or "none"
        raise NotFound(
            f'There is no pool "{name[:100]}" in {self.source.file}; it has {listed}.',
            remedy="Look at its [[pool]] tables, and at vaultctl tapes.",
            code="no-such-pool",
        )

    def library(self, name: str) -> LibrarySettings:
        """The library of that name; :class:`~vault.errors.NotFound` where there is none."""
        for library in self.libraries:
            if library.name == name:
                return library
        listed = ", ".join(library.name for library in self.libraries) or "none"
        raise NotFound(
            f'There is no library "{name[:100]}" in {self.source.file}; it has {listed}.',
            remedy="Look at its [[library]] tables.",
            code="no-such-library",
        )


def policy_fingerprint(settings: Settings) -> str:
    """Return a SHA-256 (hexadecimal) over all that decides what should be: the policies in their order, and the
    volumes' names, kinds, domains and sites, and the pools of tapes. It is the same for the same meaning, however the
    file is written.
    """
    meaning: dict[str, object] = {
        "policies": [
            {
                "name": policy.name,
                "match": [policy.match.fonds, policy.match.agency, policy.match.priority_class],
                "disk": policy.disk,
                "tape": policy.tape,
                "receipt_after": policy.receipt_after,
                "priority": policy.priority,
                "fixity": [duration_text(policy.fixity.disk), duration_text(policy.fixity.tape)],
            }
            for policy in settings.policies
        ],
        "volumes": sorted([v.name, v.kind, v.domain, v.site] for v in settings.volumes),
    }
    if settings.pools:
        meaning["pools"] = sorted([pool.name, pool.set, pool.site] for pool in settings.pools)
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
