"""The table of ATA attributes: its rows, and what those are that count errors or wear.

What a number stands for is the vendor's own affair, so a row is judged by its number and by the name that smartctl's
drive database has for it in this model: 197 is pending sectors on most drives, and something else on those with an
Indilinx controller. A known number under a name that is not known for it is not that fact. Sources: SFF-8035i;
smartmontools' ``drivedb.h``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from hardware.smart import packed
from hardware.smart.facts import Attribute, Counter, WhenFailed
from hardware.smart.jsontools import Json, flag, inner, items, misread, misshapen, number, text

TABLE: Final = "attributes"
"""How the table as a whole is called among what cannot be read."""

_COUNTED: Final = {
    5: (Counter.REALLOCATED, "realloc|retir|retried_blk|(?:new|later|runtime|grown)_?bad_?bl"),
    184: (Counter.END_TO_END, "end.?to.?end|e2e|io_error_detect"),
    187: (Counter.REPORTED_UNCORRECTABLE, "report|unc|read_fail"),
    188: (Counter.COMMAND_TIMEOUTS, "timeout"),
    197: (Counter.PENDING, "pending"),
    198: (Counter.OFFLINE_UNCORRECTABLE, "off.?l|unco?r|unc_"),
    199: (Counter.CRC_ERRORS, "crc"),
}
_NAMES: Final = {number: re.compile(names, re.IGNORECASE) for number, (_, names) in _COUNTED.items()}

_UNCORRECTABLE: Final = re.compile(
    r"uncorrectable_(?:error|err|ecc|sector)|total_unc_read_fail|sata_unc_count|lifetime_uecc", re.IGNORECASE
)
"""What some flash disks (Silicon Motion, InnoDisk, SanDisk) have under numbers of their own, and not in 187."""

_FLIPPING_MODEL: Final = re.compile(r"(?:Crucial[ _])?CT[0-9]+[BM]X500SSD", re.IGNORECASE)
_FLIPPING_NAME: Final = "current_pending_ecc_cnt"

_LEFT: Final = re.compile(r"life.*(?:left|remain)|remain.*life", re.IGNORECASE)
_USED: Final = re.compile(r"life.*used", re.IGNORECASE)
_WORN: Final = re.compile(r"media_wearout|wear_?leveling_?c", re.IGNORECASE)
_PERCENT_OF_ERASURES: Final = 230
"""Of SanDisk and WD flash disks: called "Media_Wearout_Indicator" as well, but its value does not fall from 100."""

_UNFILLED: Final = 2
"""Raw values below it are put into "life left" by controllers that count something else there (SandForce)."""


def read(document: Json) -> Iterator[Attribute]:
    """The rows, each number once."""
    seen = set()
    for row in items(inner(document, "ata_smart_attributes"), "table", 256):
        identifier = number(row, "id", 1, 255)
        if identifier is None or identifier in seen:
            continue
        seen.add(identifier)
        value, threshold = number(row, "value", 0, 255), number(row, "thresh", 0, 255)
        worst = number(row, "worst", 0, 255)
        yield Attribute(
            identifier,
            text(row, "name", 48),
            value,
            worst,
            threshold,
            number(inner(row, "raw"), "value", 0, (1 << 64) - 1),
            text(inner(row, "raw"), "string", 64),
            _is_prefailure(inner(row, "flags")),
            _when_failed(text(row, "when_failed"), value, worst, threshold),
        )


def unread(document: Json) -> Iterator[str]:
    """What stands in the table and cannot be read: the names of rows, of the table where not even that is known.

    A raw value that cannot be is left to :func:`counted`, which knows whether it matters.
    """
    table = inner(document, "ata_smart_attributes")
    if misshapen(table, "table"):
        yield TABLE
    for row in items(table, "table", 256):
        if number(row, "id", 1, 255) is None:
            yield TABLE
        elif (
            misread(row, "value", 0, 255) or misread(row, "thresh", 0, 255) or not isinstance(row.get("name", ""), str)
        ):
            yield text(row, "name", 48) or str(row["id"])


def _is_prefailure(flags: Json) -> bool:
    """Whether a value below its threshold is a failure to come, and not old age. Where it is not told, the worse."""
    said, value = flag(flags, "prefailure"), number(flags, "value", 0, 0xFFFF)
    return (value is None or bool(value & 1)) if said is None else said


def _when_failed(said: str, value: int | None, worst: int | None, threshold: int | None) -> WhenFailed:
    words = said.lower()
    if words in ("now", "failing_now"):
        return WhenFailed.NOW
    if words in ("past", "in_the_past"):
        return WhenFailed.PAST
    if threshold and value is not None and value <= threshold:
        return WhenFailed.NOW
    return WhenFailed.PAST if threshold and worst and worst <= threshold else WhenFailed.NEVER


def counted(attributes: Sequence[Attribute], model: str) -> Iterator[tuple[Counter, int | None]]:
    """What the attributes count; None for a counter whose value cannot be one."""
    for attribute in attributes:
        # A row without a name, as a bridge may give it, is what its number says.
        if attribute.id in _COUNTED and (not attribute.name or _NAMES[attribute.id].search(attribute.name)):
            counter = _COUNTED[attribute.id][0]
        elif _UNCORRECTABLE.search(attribute.name):
            counter = Counter.REPORTED_UNCORRECTABLE
        else:
            continue
        value = packed.count(attribute.id, attribute.raw, attribute.raw_text)
        if not (value == 1 and counter in flickering(attributes, model)):
            yield counter, value


def flickering(attributes: Sequence[Attribute], model: str) -> frozenset[Counter]:
    """Counters whose 1 may be the firmware's error: Crucial's MX500 and BX500, and others of their kind, put 1 into
    attribute 197 for a while and 0 again, with nothing amiss (smartmontools ticket 1227). More than 1 is meant."""
    named = any(one.id == 197 and one.name.lower() == _FLIPPING_NAME for one in attributes)
    return frozenset({Counter.PENDING}) if named or _FLIPPING_MODEL.match(model) else frozenset()


def wear(attributes: Sequence[Attribute]) -> int | None:
    """How much of a flash disk's endurance is used, in percent, by the attribute that says most; None where none does.

    Normalised values fall from 100 to 0 or 1, whatever the name counts. A disk of whose attributes none has a value
    above 0 does not normalise them, and says nothing by it.
    """
    if not any(attribute.value for attribute in attributes):
        return None
    return max((used for attribute in attributes if (used := _used(attribute)) is not None), default=None)


def _used(attribute: Attribute) -> int | None:
    value, raw = attribute.value, attribute.raw
    if attribute.id == _PERCENT_OF_ERASURES or value is None or value > 100:
        return None
    if _USED.search(attribute.name):
        # Some leave the normalised value at 100 and some let it rise; the raw value is this percentage, or none at all.
        if raw is None or raw > 255:
            return 100 - value
        return raw if value == raw else max(raw, 100 - value)
    if _LEFT.search(attribute.name):
        # Left at 100 by some (Kingston, Silicon Motion), which have what is left in the raw value.
        fixed = value == 100 and raw is not None and _UNFILLED <= raw < value
        return 100 - (raw if fixed and raw is not None else value)
    return 100 - value if _WORN.search(attribute.name) else None
