"""Durations and sizes: as people write them in a configuration, and as people like to read them.

A duration is one whole number and one unit: ``30s``, ``15m`` (minutes), ``24h``, ``90d``, ``1w``. A size is a
number of bytes, or a number with a unit: decimal (``200 GB`` is 200 × 10⁹) or binary (``1 GiB`` is 2³⁰), as IEC
80000-13 defines them. What is shown to people is decimal, as disks and tapes are sold.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from vault.errors import Invalid

Language = Literal["vi", "en"]
"""The languages that people are spoken to in."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?P<number>[0-9]{1,12}) ?(?P<unit>[A-Za-z]+)")
_LONGEST = timedelta(days=36525)
_DURATION_REMEDY = 'Write a whole number and one unit of s, m (minutes), h, d or w, such as "30s", "24h" or "90d".'

_DECIMAL_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_FACTORS = (
    {unit: 1000**power for power, unit in enumerate(_DECIMAL_UNITS)}
    | {unit: 1024**power for power, unit in enumerate(_BINARY_UNITS, start=1)}
    | {"KB": 1000}
)
_SIZE = re.compile(r"(?P<number>[0-9]{1,19}(?:\.[0-9]{1,9})?) ?(?P<unit>[A-Za-z]*)")
_LARGEST = 2**63 - 1
_SIZE_REMEDY = 'Write bytes, or a number with a unit: "200 GB", "1.5 TB" (decimal), "512 KiB", "1 GiB" (binary).'

_WORDS: dict[Language, dict[str, tuple[str, str]]] = {
    "vi": {
        "d": ("ngày", "ngày"),
        "h": ("giờ", "giờ"),
        "m": ("phút", "phút"),
        "s": ("giây", "giây"),
    },
    "en": {
        "d": ("day", "days"),
        "h": ("hour", "hours"),
        "m": ("minute", "minutes"),
        "s": ("second", "seconds"),
    },
}


def parse_duration(value: object) -> timedelta:
    """Return the duration that ``value`` (``"90d"``) means; :class:`~vault.errors.Invalid` where it means none.

    A bare number is refused, as nobody can see whether it counts seconds or days. Nothing is longer than a
    century.
    """
    if not isinstance(value, str):
        raise _bad("bad-duration", "it is no duration", _DURATION_REMEDY)
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise _bad("bad-duration", "it is no duration", _DURATION_REMEDY)
    unit = match["unit"]
    if unit not in _SECONDS:
        raise _bad("bad-duration", f'there is no unit of time "{unit}"', _DURATION_REMEDY)
    seconds = int(match["number"]) * _SECONDS[unit]
    if seconds > _LONGEST.total_seconds():
        raise _bad("bad-duration", "it is longer than a century", "Choose a shorter one.")
    return timedelta(seconds=seconds)


def parse_size(value: object) -> int:
    """Return the number of bytes that ``value`` (``"200 GB"``, ``4096``) means; ``Invalid`` where it means none.

    Units are told apart by case: a lower-case ``b`` would be bits elsewhere, so ``Gb`` is refused, not guessed.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif isinstance(value, str):
        text = value.strip()
    else:
        raise _bad("bad-size", "it is no size", _SIZE_REMEDY)
    match = _SIZE.fullmatch(text)
    if match is None:
        raise _bad("bad-size", "it is no size", _SIZE_REMEDY)
    unit = match["unit"] or "B"
    if unit not in _FACTORS:
        raise _bad("bad-size", f'there is no unit of size "{unit}"', _size_remedy(unit))
    size = Decimal(match["number"]) * _FACTORS[unit]
    if size != size.to_integral_value():
        raise _bad("bad-size", "it is no whole number of bytes", _SIZE_REMEDY)
    if size > _LARGEST:
        raise _bad("bad-size", "it is more than 2^63 - 1 bytes", "Choose a smaller one.")
    return int(size)


def duration_text(duration: timedelta) -> str:
    """Return ``duration`` as :func:`parse_duration` reads it, in the largest unit that divides it: ``"90d"``."""
    seconds = int(duration.total_seconds())
    if seconds == 0:
        return "0s"
    unit = next(name for name in ("d", "h", "m", "s") if seconds % _SECONDS[name] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def format_bytes(size: int, language: Language) -> str:
    """Return ``size`` bytes for people: three significant digits, decimal units: ``1.23 GB``, ``1,23 GB`` in
    Vietnamese. Below 1,000 bytes it is exact."""
    sign, size = ("-" if size < 0 else ""), abs(size)
    if size < 1000:
        return f"{sign}{size} B"
    power = 1
    while power < len(_DECIMAL_UNITS) - 1 and _rounded(size, power) >= 1000:
        power += 1
    value = _rounded(size, power)
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    number = f"{value:.{decimals}f}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{sign}{_localised(number, language)} {_DECIMAL_UNITS[power]}"


def format_duration(duration: timedelta, language: Language) -> str:
    """Return ``duration`` for people, in its two largest units: ``2 hours 5 minutes``, ``2 giờ 5 phút``.

    Less than a second is ``0 seconds``; what is smaller than the second unit is dropped, not rounded.
    """
    sign = "-" if duration < timedelta(0) else ""
    rest = int(abs(duration).total_seconds())
    parts: list[tuple[str, int]] = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _SECONDS[unit])
        parts.append((unit, count))
    first = next((index for index, (_, count) in enumerate(parts) if count), len(parts) - 1)
    shown = [parts[first], *(part for part in parts[first + 1 : first + 2] if part[1])]
    words = _WORDS[language]
    return sign + " ".join(f"{count} {words[unit][count != 1]}" for unit, count in shown)


def _rounded(size: int, power: int) -> Decimal:
    """``size`` in the unit of that power of 1,000, to three significant digits."""
    value = Decimal(size).scaleb(-3 * power)
    return round(value, 2 if value < 10 else 1 if value < 100 else 0)


def _localised(number: str, language: Language) -> str:
    return number.replace(".", ",") if language == "vi" else number


def _size_remedy(unit: str) -> str:
    meant = next((known for known in _FACTORS if known.lower() == unit.lower()), None)
    return f'Write "{meant}" if bytes are meant.' if meant else _SIZE_REMEDY


def _bad(code: str, what: str, remedy: str) -> Invalid:
    return Invalid(what, remedy=remedy, code=code)
