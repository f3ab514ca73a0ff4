"""The settings: their keys, types and defaults. ``docs/reference/config.md`` explains them to people.

Each section is a model that refuses unknown keys and cannot change.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import zoneinfo
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from vault.config.problem import Source
from vault.errors import Invalid, NotFound
from vault.model import Descriptive, DigestAlgorithm
from vault.policy import Fixity, Match, Policy
from vault.tls import TlsFiles
from vault.units import Language, duration_text, parse_duration, parse_size

CONFIG_FOLDER: Final = "config_folder"
"""The key of the validation context under which the folder of the file stands."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_GB = 10**9
_SOCKET_LIMIT = 107  # sun_path of unix(7) is 108 bytes, with the zero at its end
_FILE_URL = "sqlite:///"
_URL_SCHEMES = (_FILE_URL, "postgresql+psycopg://")
_DATABASE_REMEDY = 'write "sqlite:////var/lib/vault/catalog.db" or "postgresql+psycopg://USER@HOST/DATABASE"'


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API listens. Port 0 lets the kernel choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _fault(what: str, remedy: str) -> ValueError:
    """What pydantic expects of a validator; :mod:`vault.config.load` takes it apart again."""
    return ValueError(f"{what}; {remedy}")


def _duration(value: object) -> timedelta:
    try:
        return parse_duration(value)
    except Invalid as error:
        raise _fault(error.message, error.remedy) from None


def _positive_duration(value: object) -> timedelta:
    duration = _duration(value)
    if duration <= timedelta(0):
        raise _fault("it must be longer than nothing", 'write "1s" or more')
    return duration


def _size(value: object) -> int:
    try:
        return parse_size(value)
    except Invalid as error:
        raise _fault(error.message, error.remedy) from None


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _fault(
            "it is no name", "write 1 to 63 lower-case letters a-z, digits and dashes, with no dash at either end"
        )
    return value


def _absolute(value: object, info: ValidationInfo) -> Path:
    """An absolute path; ``./…`` is taken from the folder of the file, which must be absolute itself."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise _fault("it is no path", 'write an absolute path, such as "/srv/nas-a"')
    if value == "." or value.startswith("./"):
        folder = info.context[CONFIG_FOLDER] if info.context else Path.cwd()
        return Path(folder) / value
    if not value.startswith("/"):
        raise _fault(
            "the path is relative", 'write an absolute path, or begin it with "./" to start at the folder of this file'
        )
    return Path(value)


def _optional_path(value: object, info: ValidationInfo) -> Path | None:
    return None if value in (None, "") else _absolute(value, info)


def _optional_name(value: object) -> str:
    return "" if value == "" else _name(value)


def _drives(value: object) -> Drives:
    """``"auto"``, serial numbers, or (virtual) how many."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64):
        return value
    if isinstance(value, list) and value and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    raise _fault("it names no drives", 'write "auto", a list of serial numbers, or for a virtual library a number')


def _socket(value: object, info: ValidationInfo) -> Path:
    path = _absolute(value, info)
    if len(bytes(path)) > _SOCKET_LIMIT:
        raise _fault(f"the path of a Unix socket has {_SOCKET_LIMIT} bytes at most", "choose a shorter one")
    return path


def _listen(value: object) -> Address:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", str(value))
    if not isinstance(value, str) or match is None or int(match[3]) > 65535:
        raise _fault("it is no HOST:PORT", 'write one such as "127.0.0.1:8420" or "[::1]:8420"')
    return Address(match[1] or match[2], int(match[3]))


def _url(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str) or (value and not value.startswith(_URL_SCHEMES)):
        raise _fault("it is no database that the catalogue can live in", _DATABASE_REMEDY)
    if value.startswith(_FILE_URL):
        return _FILE_URL + str(_absolute(value.removeprefix(_FILE_URL), info))
    return value


def _time_zone(value: object) -> str:
    if isinstance(value, str):
        try:
            return zoneinfo.ZoneInfo(value).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise _fault("there is no such time zone", 'write a name of the IANA database, such as "Asia/Ho_Chi_Minh"')


def _patterns(value: object) -> tuple[str, ...]:
    """One pattern or a list of them."""
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not patterns or not all(isinstance(one, str) and one for one in patterns):
        raise _fault("it is no pattern", 'write one such as "UBND-*", or a list of them')
    return tuple(patterns)


def _networks(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _fault("it is no list of networks", 'write one such as ["10.1.2.3/32", "::1/128"]')
    try:
        return tuple(str(ipaddress.ip_network(one)) for one in value)
    except ValueError as error:
        raise _fault(f"it is no network ({error})", 'write one such as "10.1.2.0/24" or "10.1.2.3"') from None


def _logins(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip("%") for one in value):
        raise _fault("it is no list of users", 'write logins, and groups with % before them: ["root", "%vault"]')
    return tuple(value)


def _algorithm(value: object) -> DigestAlgorithm:
    try:
        return DigestAlgorithm(str(value))
    except ValueError:
        raise _fault("there is no such digest", 'write "sha512" or "sha256"') from None


Drives = int | tuple[str, ...] | Literal["auto"]
Duration = Annotated[timedelta, BeforeValidator(_positive_duration)]
Size = Annotated[int, BeforeValidator(_size)]
Name = Annotated[str, BeforeValidator(_name)]
AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]


class Section(BaseModel):
    """What all sections have in common: no unknown keys, no silent conversion, no change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


class NodeSettings(Section):
    """``[node]``: who this node is."""

    name: Name
    state: AbsolutePath = Path("/var/lib/vault")
    accept_shared_devices: bool = False
    language: Language = "vi"
    time_zone: Annotated[str, BeforeValidator(_time_zone)] = "Asia/Ho_Chi_Minh"

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone in which people are shown times."""
        return zoneinfo.ZoneInfo(self.time_zone)


class CatalogSettings(Section):
    """``[catalog]``: where the catalogue lives. In loaded settings ``url`` is never empty."""

    url: Annotated[str, BeforeValidator(_url)] = ""


class TlsSettings(Section):
    """``[api.tls]``: what the daemon proves itself with, and whether clients must. Without it there is no TLS."""

    certificate: AbsolutePath | None = None
    key: AbsolutePath | None = None
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

    listen: Annotated[Address, BeforeValidator(_listen)] = Address("127.0.0.1", 8420)
    socket: Annotated[Path, BeforeValidator(_socket)] = Path("/run/vault/vault.sock")
    wait: Annotated[timedelta, BeforeValidator(_duration)] = timedelta(seconds=60)
    wait_max: Duration = timedelta(minutes=10)
    idle_timeout: Duration = timedelta(seconds=60)
    min_rate: Size = 1000
    max_connections: int = Field(default=512, ge=10, le=100_000)
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(_networks)] = ()
    operators: Annotated[tuple[str, ...], BeforeValidator(_logins)] = ()
    tls: TlsSettings = TlsSettings()


class IntakeSettings(Section):
    """``[intake]``: what a deposit may be. ``max_ratio`` bounds inflated by deflated bytes, for archives. An upload
    that nobody touches for ``upload_expires`` goes; ``max_upload_bytes`` bounds what all that are open may come to."""

    digest: Annotated[DigestAlgorithm, BeforeValidator(_algorithm)] = DigestAlgorithm.SHA512
    max_package_bytes: Annotated[Size, Field(ge=1)] = 100 * _GB
    max_members: int = Field(default=200_000, ge=1)
    max_ratio: int = Field(default=200, ge=1)
    max_inflated_bytes: Annotated[Size, Field(ge=1)] = 200 * _GB
    max_concurrent: int = Field(default=8, ge=1, le=1000)
    max_concurrent_per_token: int | None = Field(default=None, ge=1, le=1000)
    upload_expires: Duration = timedelta(days=7)
    max_uploads: int = Field(default=200, ge=1, le=100_000)
    max_uploads_per_token: int = Field(default=50, ge=1, le=100_000)
    max_upload_bytes: Annotated[Size, Field(ge=1)] = 500 * _GB


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
    reserve: Size = _GB
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

    path: Annotated[Path | None, BeforeValidator(_optional_path)] = None
    max_bytes: Annotated[Size, Field(ge=1)] = 200 * _GB
    keep: Duration = timedelta(days=7)


class LibrarySettings(Section):
    """``[[library]]``: drives, and what puts cartridges into them. A writing session begins when ``mount_after_bytes``
    wait for a pool, or the oldest has waited for ``mount_after_age``. A kind ``virtual`` is a folder at ``path``."""

    name: Name
    kind: Literal["scsi", "virtual"]
    changer: str = "auto"
    drives: Annotated[Drives, BeforeValidator(_drives)] = "auto"
    path: Annotated[Path | None, BeforeValidator(_optional_path)] = None
    slots: int = Field(default=8, ge=1, le=4096)
    mount_after_bytes: Annotated[Size, Field(ge=1)] = 200 * _GB
    mount_after_age: Annotated[timedelta, BeforeValidator(_duration)] = timedelta(hours=24)
    spool: Annotated[Path | None, BeforeValidator(_optional_path)] = None
    spool_bytes: Annotated[Size, Field(ge=1)] = 200 * _GB
    inventory_interval: Duration = timedelta(minutes=5)


class PoolSettings(Section):
    """``[[pool]]``: cartridges that make up one backup set at one site. Empty texts take the pool's name for the set,
    the library's for the site, and the only library there is."""

    name: Name
    library: Annotated[str, BeforeValidator(_optional_name)] = ""
    set: Annotated[str, BeforeValidator(_optional_name)] = ""
    site: Annotated[str, BeforeValidator(_optional_name)] = ""


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
    log: LogSettings
    volumes: tuple[VolumeSettings, ...]
    policies: tuple[Policy, ...]
    source: Source
    recall: RecallSettings = field(default_factory=RecallSettings)
    libraries: tuple[LibrarySettings, ...] = ()
    pools: tuple[PoolSettings, ...] = ()

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
