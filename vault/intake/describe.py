"""What a depositor says of a package beside its bytes: read, bounded and checked.

One reader for every door: the query of a PUT, the metadata of a tus upload, and what a bag says of itself in
``bag-info.txt``. What is said at the door counts before what the bag says.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from vault.errors import Fault, Invalid
from vault.intake.plain import bare
from vault.model import Descriptive, Json
from vault.text import fits, normalised

Kind = Literal["auto", "bag", "file"]

MAX_VALUE_BYTES: Final = 4096
MAX_FILENAME_BYTES: Final = 255
MAX_FREE_KEYS: Final = 64
MAX_FREE_BYTES: Final = 32 * 1024

FIELDS: Final[Mapping[str, int]] = {
    "fonds": 512,
    "agency": 256,
    "agency_name": 1024,
    "batch": 64,
    "title": MAX_VALUE_BYTES,
    "file_code": 512,
    "date_from": 10,
    "date_to": 10,
    "retention": 256,
    "access": 512,
    "class": 64,
}
"""What has a meaning to the node, and how many bytes of UTF-8 it may have. Those that are indexed are short enough for
an index entry together with an identifier (PostgreSQL: a third of a page, 2,704 bytes)."""

_BAG_LABELS: Final[Mapping[str, str]] = {
    "fonds": "fonds", "phong": "fonds", "phong luu tru": "fonds", "ma phong": "fonds",
    "agency": "agency", "agency code": "agency", "ma co quan": "agency", "ma dinh danh co quan": "agency",
    "agency name": "agency_name", "ten co quan": "agency_name", "source organization": "agency_name",
    "title": "title", "tieu de": "title", "tieu de ho so": "title",
    "file code": "file_code", "ma ho so": "file_code",
    "date from": "date_from", "thoi gian bat dau": "date_from",
    "date to": "date_to", "thoi gian ket thuc": "date_to",
    "retention": "retention", "retention period": "retention",
    "thoi han luu tru": "retention", "thoi han bao quan": "retention",
    "access": "access", "access level": "access", "muc do tiep can": "access",
}  # fmt: skip
"""Labels of ``bag-info.txt`` (as :func:`vault.intake.plain.bare` writes them) that say one of the fields. Which
delivery a package belongs to, and its class, are never taken from within it: they decide what is done with it."""

_LONGEST_LABEL: Final = 128
_MOST_NOT_TAKEN: Final = 100
"""So many elements that cannot be taken over are told of; a bag may have ten thousand."""

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")
_DATE = re.compile(r"([0-9]{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12][0-9]|3[01]))?)?")
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def read_kind(text: str | None) -> Kind:
    """``auto``, ``bag`` or ``file``; raises Invalid (``bad-metadata``)."""
    if text is None:
        return "auto"
    if text not in ("auto", "bag", "file"):
        raise _refused([_fault("kind", f"{text[:40]!r} is no kind of deposit: write auto, bag or file")])
    return cast("Kind", text)


def read_filename(text: str) -> str:
    """A file's name for keeping; "" where none was given. It is a name and never a path: folders are cut off."""
    name = _composed(text.replace("\\", "/").rsplit("/", 1)[-1], MAX_FILENAME_BYTES)
    wrong = _text_fault(name, MAX_FILENAME_BYTES) or ("it is no name of a file" if name in (".", "..") else "")
    if wrong:
        raise _refused([_fault("filename", wrong)])
    return name


def read_descriptive(said: Mapping[str, str]) -> tuple[Descriptive, dict[str, Json]]:
    """Split what was said into the fields that the node knows and the rest, which is kept with the version as it is.

    Texts are brought into Unicode's NFC form. Raises Invalid (``bad-metadata``) with every fault, each with the field
    as its path: names that are none, texts that are too long or have control characters, dates that are none or the
    wrong way round, too much of everything.
    """
    fields: dict[str, str] = {}
    free: dict[str, Json] = {}
    faults: list[Fault] = []
    for key, value in said.items():
        text = _composed(value, FIELDS.get(key, MAX_VALUE_BYTES))
        if not _KEY.fullmatch(key):
            why = (
                "this is no name: ASCII letters, digits, dots, dashes, underscores, beginning with a letter; at most 64"
            )
            faults.append(_fault(key[:64], why))
        elif key in FIELDS:
            wrong = _field_fault(key, text)
            if wrong:
                faults.append(_fault(key, wrong))
            elif text:
                fields[key] = text
        elif wrong := _text_fault(text, MAX_VALUE_BYTES):
            faults.append(_fault(key, wrong))
        else:
            free[key] = text
    if len(free) > MAX_FREE_KEYS or sum(len(k) + len(str(v).encode()) for k, v in free.items()) > MAX_FREE_BYTES:
        faults.append(_fault("", f"more than {MAX_FREE_KEYS} names or {MAX_FREE_BYTES} bytes beside the known fields"))
    if not faults:
        faults += _order_faults(fields)
    if faults:
        raise _refused(faults)
    return _descriptive(fields), free


@dataclass(frozen=True, slots=True)
class FromBag:
    """What is said of a package when the bag has been heard too. ``warnings`` name what could not be taken over."""

    descriptive: Descriptive
    warnings: tuple[str, ...]


def with_bag_info(said: Descriptive, bag_info: Sequence[tuple[str, str]]) -> FromBag:
    """Fill what was not said at the door from the bag's own metadata elements.

    The bag is valid whatever it says there, so what cannot be taken over is a warning, and stays where it stands: in
    the bag, and (up to 32 KiB, :func:`metadata_of`) in the version's metadata.
    """
    fields: dict[str, str] = {}
    warnings: list[str] = []
    if _too_much(bag_info):
        warnings.append(f"bag-info.txt: it has more than {MAX_FREE_BYTES} bytes, and stays in the bag alone")
    for label, value in bag_info:
        key = _BAG_LABELS.get(bare(label)) if len(label) <= _LONGEST_LABEL else None
        if key is None or key in fields or getattr(said, _attribute(key)) or not value.strip():
            continue
        text = _composed(" ".join(value.split()), FIELDS[key])
        wrong = _field_fault(key, text)
        if wrong:
            if len(warnings) >= _MOST_NOT_TAKEN:
                break
            warnings.append(f"bag-info.txt: {label[:64]} was not taken over as {key}: {wrong}")
        else:
            fields[key] = text
    dates = {name: fields.get(name) or getattr(said, name) for name in ("date_from", "date_to")}
    for fault in _order_faults({name: text for name, text in dates.items() if text}):
        warnings.append(f"bag-info.txt: the dates were not taken over: {fault.message}")
        fields.pop("date_from", None)
        fields.pop("date_to", None)
    return FromBag(dataclasses.replace(said, **fields), tuple(warnings))


def metadata_of(bag_info: Sequence[tuple[str, str]] | None) -> dict[str, Json]:
    """What the version's metadata have of a bag beside what was said at the door: its elements, under ``bag_info``.

    Nothing for no bag, and nothing of more than 32 KiB: each answer about the package would have it all. The bag has
    it in any case.
    """
    if bag_info is None or _too_much(bag_info):
        return {}
    return {"bag_info": [list(pair) for pair in bag_info]}


def _too_much(bag_info: Iterable[tuple[str, str]]) -> bool:
    return sum(len(label.encode()) + len(value.encode()) for label, value in bag_info) > MAX_FREE_BYTES


def note_of(said: Descriptive) -> dict[str, Json]:
    """The fields as the node's own note beside the files has them; see :func:`from_note`."""
    return {key: getattr(said, _attribute(key)) for key in FIELDS}


def from_note(note: Mapping[str, Json]) -> Descriptive:
    """The reverse of :func:`note_of`, for a note of any age: what is missing or odd there was not said."""
    found = {key: value for key in FIELDS if isinstance(value := note.get(key), str) and not _field_fault(key, value)}
    return _descriptive({key: text for key, text in found.items() if text})


def _descriptive(fields: Mapping[str, str]) -> Descriptive:
    return Descriptive(**{_attribute(key): text for key, text in fields.items()})


def _attribute(key: str) -> str:
    return "priority_class" if key == "class" else key


def _field_fault(key: str, text: str) -> str:
    wrong = _text_fault(text, FIELDS[key])
    if not wrong and text and key in ("date_from", "date_to") and not _is_date(text):
        return "it is no date: write 2019, 2019-05 or 2019-05-31"
    return wrong


def _composed(text: str, most: int) -> str:
    """The text in NFC, or as it is where that cannot bring it to ``most`` bytes: :func:`_text_fault` then says so."""
    return normalised("NFC", text) if fits(text, most) else text


def _text_fault(text: str, most: int) -> str:
    if len(text.encode("utf-8", "surrogatepass")) > most:
        return f"it is longer than {most} bytes"
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text):
        return "it has a control character"
    return ""


def _is_date(text: str) -> bool:
    """ISO 8601 (calendar date, reduced precision allowed): what a file's first and last document have at least."""
    found = _DATE.fullmatch(text)
    if found is None or found[1] == "0000":
        return False
    year, month, day = (int(part) if part else None for part in found.groups())
    if not month or not day or year is None:
        return True
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= _DAYS[month - 1] and (leap or (month, day) != (2, 29))


def _order_faults(fields: Mapping[str, str]) -> list[Fault]:
    begins, ends = fields.get("date_from", ""), fields.get("date_to", "")
    common = min(len(begins), len(ends))
    if begins[:common] > ends[:common]:
        return [_fault("date_to", f"{ends} lies before date_from, {begins}")]
    return []


def _fault(key: str, why: str) -> Fault:
    return Fault("bad-metadata", why, key)


def _refused(faults: list[Fault]) -> Invalid:
    first = f"{faults[0].path}: {faults[0].message}" if faults[0].path else faults[0].message
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Invalid(
        f"What is said of the package cannot be kept: {first}{more}.",
        faults=faults,
        remedy="Correct what faults names; docs/reference/api.md lists the fields.",
        code="bad-metadata",
    )
