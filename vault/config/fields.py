"""The values that settings are made of: how each is written, and what is said where it is written wrongly.

What a validator raises is a ValueError of the form ``what is wrong; what to write instead``, which
:mod:`vault.config.load` takes apart again.
"""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from vault import credentials
from vault.errors import Invalid
from vault.model import DigestAlgorithm, MediumClass
from vault.units import parse_duration, parse_size
from vault.windows import parse_clock, parse_days

CONFIG_FOLDER: Final = "config_folder"
"""The key of the validation context under which the folder of the file stands."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
GB = 10**9
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


def fault(what: str, remedy: str) -> ValueError:
    """What pydantic expects of a validator; :mod:`vault.config.load` takes it apart again."""
    return ValueError(f"{what}; {remedy}")


def to_duration(value: object) -> timedelta:
    """A duration as it is written: ``"90d"``."""
    try:
        return parse_duration(value)
    except Invalid as error:
        raise fault(error.message, error.remedy) from None


def to_positive_duration(value: object) -> timedelta:
    """A duration of more than nothing."""
    duration = to_duration(value)
    if duration <= timedelta(0):
        raise fault("it must be longer than nothing", 'write "1s" or more')
    return duration


def to_size(value: object) -> int:
    """A number of bytes, or a size with a unit."""
    try:
        return parse_size(value)
    except Invalid as error:
        raise fault(error.message, error.remedy) from None


def to_name(value: object) -> str:
    """A name of ours: 1 to 63 letters a-z, digits and dashes."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise fault(
            "it is no name", "write 1 to 63 lower-case letters a-z, digits and dashes, with no dash at either end"
        )
    return value


def to_absolute(value: object, info: ValidationInfo) -> Path:
    """An absolute path; ``./…`` is taken from the folder of the file, which must be absolute itself."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise fault("it is no path", 'write an absolute path, such as "/srv/nas-a"')
    if value == "." or value.startswith("./"):
        folder = info.context[CONFIG_FOLDER] if info.context else Path.cwd()
        return Path(folder) / value
    if not value.startswith("/"):
        raise fault(
            "the path is relative", 'write an absolute path, or begin it with "./" to start at the folder of this file'
        )
    return Path(value)


def to_optional_path(value: object, info: ValidationInfo) -> Path | None:
    """An absolute path, or none."""
    return None if value in (None, "") else to_absolute(value, info)


def to_secret_file(value: object, info: ValidationInfo) -> Path | None:
    """The file of a secret: an absolute path, or ``credential:NAME``; or none."""
    if not isinstance(value, str) or not credentials.is_reference(value):
        return to_optional_path(value, info)
    _check_credential(value)
    return credentials.path_of(value)


def _check_credential(value: str) -> None:
    try:
        credentials.path_of(value)
    except ValueError as error:
        raise fault(str(error), 'write one such as "credential:node.key": letters, digits, dots, dashes') from None


def to_optional_name(value: object) -> str:
    """A name, or none."""
    return "" if value == "" else to_name(value)


def to_drives(value: object) -> Drives:
    """``"auto"``, serial numbers, or (virtual) how many."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64):
        return value
    if isinstance(value, list) and value and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    raise fault("it names no drives", 'write "auto", a list of serial numbers, or for a virtual library a number')


def to_socket(value: object, info: ValidationInfo) -> Path:
    """The path of a Unix socket (unix(7), sun_path)."""
    path = to_absolute(value, info)
    if len(bytes(path)) > _SOCKET_LIMIT:
        raise fault(f"the path of a Unix socket has {_SOCKET_LIMIT} bytes at most", "choose a shorter one")
    return path


def to_listen(value: object) -> Address:
    """HOST:PORT."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", str(value))
    if not isinstance(value, str) or match is None or int(match[3]) > 65535:
        raise fault("it is no HOST:PORT", 'write one such as "127.0.0.1:8420" or "[::1]:8420"')
    return Address(match[1] or match[2], int(match[3]))


def to_url(value: object, info: ValidationInfo) -> str:
    """Where a catalogue can live."""
    if isinstance(value, str) and credentials.is_reference(value):
        _check_credential(value)
        return value
    if not isinstance(value, str) or (value and not value.startswith(_URL_SCHEMES)):
        raise fault("it is no database that the catalogue can live in", _DATABASE_REMEDY)
    if value.startswith(_FILE_URL):
        return _FILE_URL + str(to_absolute(value.removeprefix(_FILE_URL), info))
    return value


def to_time_zone(value: object) -> str:
    """A name of the IANA database."""
    if isinstance(value, str):
        try:
            return zoneinfo.ZoneInfo(value).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise fault("there is no such time zone", 'write a name of the IANA database, such as "Asia/Ho_Chi_Minh"')


def to_patterns(value: object) -> tuple[str, ...]:
    """One pattern or a list of them."""
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not patterns or not all(isinstance(one, str) and one for one in patterns):
        raise fault("it is no pattern", 'write one such as "UBND-*", or a list of them')
    return tuple(patterns)


def to_hosts(value: object) -> tuple[str, ...]:
    """A list of host names, IP addresses, or NAME:PORT."""
    pattern = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    if not isinstance(value, list) or not all(isinstance(one, str) and re.fullmatch(pattern, one) for one in value):
        raise fault("it is no list of hosts", 'write a list such as ["kho.example.vn", "10.1.2.3:8443"]')
    return tuple(one.lower() for one in value)


def to_networks(value: object) -> tuple[str, ...]:
    """A list of networks in CIDR notation."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise fault("it is no list of networks", 'write one such as ["10.1.2.3/32", "::1/128"]')
    try:
        return tuple(str(ipaddress.ip_network(one)) for one in value)
    except ValueError as error:
        raise fault(f"it is no network ({error})", 'write one such as "10.1.2.0/24" or "10.1.2.3"') from None


def to_logins(value: object) -> tuple[str, ...]:
    """A list of logins, and of groups with ``%`` before them."""
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip("%") for one in value):
        raise fault("it is no list of users", 'write logins, and groups with % before them: ["root", "%vault"]')
    return tuple(value)


def to_class_names(value: object) -> frozenset[str]:
    """One name of a class, or a list of them."""
    return frozenset(to_patterns(value))


def to_volume_names(value: object) -> frozenset[str]:
    """One name of a volume, or a list of them."""
    return frozenset(to_name(one) for one in to_patterns(value))


def to_media(value: object) -> frozenset[MediumClass]:
    """``disk`` or ``tape``, as a set."""
    if value in ("disk", "tape"):
        return frozenset({MediumClass(str(value))})
    raise fault("it is no medium", 'write "disk" or "tape", or leave the key out for both')


def to_days(value: object) -> frozenset[int]:
    """Days of the week: ``"mon-fri,sun"``."""
    try:
        return parse_days(value if isinstance(value, str) else "")
    except Invalid as error:
        raise fault("it names no days", error.remedy) from None


def to_clock_time(value: object) -> time:
    """A time of day: ``"20:00"``."""
    try:
        return parse_clock(value if isinstance(value, str) else "")
    except Invalid as error:
        raise fault("it is no time of day", error.remedy) from None


def to_array_of_tables(value: object) -> tuple[object, ...]:
    """What ``[[…]]`` makes."""
    if not isinstance(value, list):
        raise fault("it is no array of tables", "write it as [[…]] in two pairs of brackets")
    return tuple(value)


def to_algorithm(value: object) -> DigestAlgorithm:
    """A digest under which content may be stored."""
    try:
        return DigestAlgorithm(str(value))
    except ValueError:
        raise fault("there is no such digest", 'write "sha512" or "sha256"') from None


SecretFile = Annotated[Path | None, BeforeValidator(to_secret_file)]
Drives = int | tuple[str, ...] | Literal["auto"]
Duration = Annotated[timedelta, BeforeValidator(to_positive_duration)]
Size = Annotated[int, BeforeValidator(to_size)]
Name = Annotated[str, BeforeValidator(to_name)]
AbsolutePath = Annotated[Path, BeforeValidator(to_absolute)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(to_patterns)]


class Section(BaseModel):
    """What all sections have in common: no unknown keys, no silent conversion, no change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
