"""State secrets: what is marked *mật*, *tối mật* or *tuyệt mật* may not be stored on a device that is on a network.

(Law on the Protection of State Secrets 2018, article 8, has the three levels; TT 02/2019/TT-BNV, article 8, keeps them
off networked devices.) This looks at what is *said* of a package, at the door and in ``bag-info.txt``, and never at its
content. It is a net under honest mistakes, not a search: who means to hide a marking can.

Where a marking is looked for:

* in a field for it (``Security-Classification``, ``doMat``, ``Độ mật`` …; however its words are joined, with or without
  a namespace such as ``dcterms.`` before it) any of the three words, the English ones, and the letters A, B, C that
  stand for them on envelopes;
* in the access level the same words, but neither letters nor "confidential", which there means other things;
* in a title only where it stands like a stamp: alone, or in brackets or behind a dash at its beginning or end;
* anywhere else only where *tối mật* or *tuyệt mật* is all that is said: *Mật* alone may be a person.

A word is not yet a marking: *bảo mật*, *bí mật đời tư*, *mật độ*, *mật khẩu*, *giải mật* (declassified) are other
words, and *không mật* says that it is none.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from vault.errors import Fault, Secret
from vault.intake.plain import bare, folded, undressed
from vault.model import Descriptive, Json

CODE: Final = Secret.default_code


class Level(enum.StrEnum):
    """The three levels of the law, the lowest first."""

    MAT = "mật"
    TOI_MAT = "tối mật"
    TUYET_MAT = "tuyệt mật"


@dataclass(frozen=True, slots=True)
class Marking:
    """What was found, without what was said: the field as this program calls it, and the level."""

    field: str
    level: Level


def refusal(marking: Marking) -> Secret:
    """The error for a package that is marked so."""
    message = f"The package is marked as a state secret ({marking.level}, in {marking.field})"
    return Secret(
        f"{message}. State secrets may not be stored on a device that is on a network.",
        faults=[Fault(CODE, f"it is marked as a state secret: {marking.level}", marking.field)],
        remedy="Do not send it again. Tell the archive's sysadmin and the officer for state secrets at once: the"
        " spill procedure is in docs/howto/state-secrets.md (Vietnamese: state-secrets.vi.md). If it is not one,"
        " correct the marking.",
        field=marking.field,
        level=str(marking.level),
    )


_MARKING_LABELS: Final = frozenset(
    {
        "do mat", "muc do mat", "muc mat", "cap do mat", "dau do mat", "dau chi do mat", "dau chi muc do mat",
        "bi mat nha nuoc", "do bi mat", "muc do bi mat",
        "security classification", "security level", "security marking", "security", "classification",
        "classification level", "protective marking", "secrecy", "secrecy level", "state secret",
    }
)  # fmt: skip
_ACCESS_LABELS: Final = frozenset(
    {"access", "access level", "access condition", "access conditions", "access restriction", "access restrictions",
     "access rights", "rights", "muc do tiep can", "che do su dung", "tinh trang tiep can", "han che su dung",
     "confidentiality", "confidentiality level"}
)  # fmt: skip
_TITLE_LABELS: Final = frozenset(
    {"title", "tieu de", "tieu de ho so", "external description", "internal sender description", "mo ta", "trich yeu"}
)

_FIELDS: Final[Mapping[str, str]] = {
    label.replace(" ", ""): label for label in (*_MARKING_LABELS, *_ACCESS_LABELS, *_TITLE_LABELS)
}
"""Their labels by what is left of them in any spelling: ``do_mat``, ``doMat`` and ``DOMAT`` are one field."""
_NAMESPACE: Final = re.compile(r".*[.:/#]", re.DOTALL)

_SET_OFF: Final = re.compile(r"\s[-–—|/]\s|[:*]")
_SET_OFF_END: Final = re.compile(r"\s[-–—|/]\s")
_CLAUSE: Final = re.compile(r"[,;:.()\[\]{}|/\n–—]|\s-\s")
_WORD: Final = re.compile(r"[^\W_]+")
_LABEL_INSIDE: Final = re.compile(r"\s*(?:(?:mức|cấp|muc|cap)\s+)?(?:độ|do)\s+(?:mật|mat)\s*[:=–-]")
_BRACKETED: Final = re.compile(r"\s*[\[({<【（]([^\[({<【（\])}>】）]*)[\])}>】）]")
_BRACKETED_END: Final = re.compile(r"[\[({<【（]([^\[({<【（\])}>】）]*)[\])}>】）]\s*\Z")
_NOT: Final = frozenset({"không", "chưa", "phi", "hết", "chẳng", "khong", "het", "not", "non", "no", "none", "never"})
"""Without its accent *chưa* (not yet) is also *chứa* (contains), and denies nothing."""
_OTHER_BEFORE: Final = frozenset({"bảo", "giải", "cơ", "cẩn", "bổ"})
"""bảo mật, giải mật, cơ mật …: words of two syllables that end so."""
_OTHER_AFTER: Final = frozenset(
    {"độ", "mã", "khẩu", "thiết", "ong", "vụ", "thám", "thư", "danh", "ngữ", "nghị", "báo", "lệnh", "mía", "hoa"}
)
"""mật độ, mật mã, mật khẩu, mật thiết, mật ong …: words of two syllables that begin so."""
_OTHER_BEFORE_BARE: Final = frozenset(undressed(word) for word in _OTHER_BEFORE)
_OTHER_AFTER_BARE: Final = frozenset(undressed(word) for word in _OTHER_AFTER)
_ENGLISH: Final = {"top secret": Level.TUYET_MAT, "state secret": Level.MAT, "secret": Level.TOI_MAT}
_LETTERS: Final = {"a": Level.TUYET_MAT, "b": Level.TOI_MAT, "c": Level.MAT}
_REACH: Final = 8
"""So many words before a marking can say that it is none."""
_LOOKED_AT: Final = 1024
"""Characters of a value that are looked at."""
_MOST_FIELDS: Final = 200
"""Fields for markings and access levels that are looked at; a bag may have ten thousand elements."""
_LONGEST_STAMP: Final = 64


def check(descriptive: Descriptive, said: Mapping[str, Json]) -> None:
    """Raise Secret when what was said at the door marks the package as a state secret."""
    fields = {
        "access": descriptive.access,
        "title": descriptive.title,
        "retention": descriptive.retention,
        "fonds": descriptive.fonds,
        "file_code": descriptive.file_code,
        "class": descriptive.priority_class,
    }
    free = [(key, text) for key, text in said.items() if isinstance(text, str)]
    _raise_highest(find([*fields.items(), *free]))


def check_bag_info(bag_info: Iterable[tuple[str, str]]) -> None:
    """Raise Secret when a bag marks itself as a state secret."""
    found = find(bag_info)
    _raise_highest([Marking(f"bag-info.txt: {marking.field}", marking.level) for marking in found])


def _raise_highest(found: list[Marking]) -> None:
    if found:
        raise refusal(max(found, key=lambda marking: list(Level).index(marking.level)))


def find(said: Iterable[tuple[str, str]]) -> list[Marking]:
    """Return the markings among fields and what they say. A field that this module does not know is not named: its
    label may itself tell something."""
    found = []
    fields = 0
    for label, whole in said:
        name, value = _field(label[:_LONGEST_STAMP]), whole[:_LOOKED_AT]
        fields += name in _MARKING_LABELS or name in _ACCESS_LABELS
        if fields > _MOST_FIELDS:
            break
        if name in _MARKING_LABELS:
            level = _in_words(value) or _in_english(value, confidential=True) or _as_letter(name, value)
        elif name in _ACCESS_LABELS:
            level = _in_words(value) or _in_english(value, confidential=False)
        elif name in _TITLE_LABELS:
            level = _as_stamp(whole)
        else:
            level = _alone(whole)
            level = None if level is Level.MAT else level
            name = "another field"
        if level is not None:
            found.append(Marking(name if name == "another field" else name.replace(" ", "-"), level))
    return found


def _field(label: str) -> str:
    """The field that a label means, as the sets above write it; "" where it is none of them."""
    for spelling in (label, _NAMESPACE.sub("", label.rstrip(" .:/#"))):
        name = _FIELDS.get(bare(spelling).replace(" ", ""))
        if name:
            return name
    return ""


def _highest(levels: Iterable[Level]) -> Level | None:
    return max(levels, key=list(Level).index, default=None)


def _alone(text: str) -> Level | None:
    """The level that is all that is said, accents and case aside; a *mat* without its accent is none."""
    if len(text) > _LONGEST_STAMP:
        return None
    words = _WORD.findall(folded(text))
    plain = " ".join(undressed(word) for word in words).removeprefix("do ")
    if plain == "toi mat":
        return Level.TOI_MAT
    if plain == "tuyet mat":
        return Level.TUYET_MAT
    return Level.MAT if plain == "mat" and words[-1] == "mật" else None


def _as_stamp(title: str) -> Level | None:
    """A marking that stands before, behind or instead of a title, as a stamp on paper does."""
    first = _BRACKETED.match(title[:_LONGEST_STAMP])
    last = _BRACKETED_END.search(title[-_LONGEST_STAMP:])
    stamps = [title, *(found[1] for found in (first, last) if found)]
    levels = [level for level in map(_alone, stamps) if level is not None]
    # Set off by a dash or a colon only the two that are nothing else: "Mật - ..." may be about honey.
    head, tail = _SET_OFF.split(title[:_LONGEST_STAMP].lstrip(" *"))[0], _SET_OFF_END.split(title[-_LONGEST_STAMP:])[-1]
    levels += [level for level in map(_alone, (head, tail)) if level in (Level.TOI_MAT, Level.TUYET_MAT)]
    return _highest(levels)


def _as_letter(name: str, text: str) -> Level | None:
    return _LETTERS.get(bare(text)) if "mat" in name.split() or name.startswith("security") else None


def _in_words(text: str) -> Level | None:
    """The highest level that some clause names and does not deny."""
    levels = []
    said = folded(text)
    label = _LABEL_INSIDE.match(said)
    for clause in _CLAUSE.split(said[label.end() :] if label else said):
        words = _WORD.findall(clause)
        for at, word in enumerate(words):
            if word in ("mật", "mat") and not _is_other_word(words, at, bare_text=clause.isascii()):
                denied = any(each in _NOT for each in words[max(0, at - _REACH) : at])
                if not denied and words[at + 1 : at + 2] not in (["thường"], ["không"]):
                    before = undressed(words[at - 1]) if at else ""
                    levels.append({"toi": Level.TOI_MAT, "tuyet": Level.TUYET_MAT}.get(before, Level.MAT))
    return _highest(levels)


def _is_other_word(words: list[str], at: int, *, bare_text: bool) -> bool:
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if undressed(before) == "bi":  # bí mật: whose secret?
        return [undressed(word) for word in words[at + 1 : at + 3]] != ["nha", "nuoc"]
    if undressed(before) in ("toi", "tuyet"):
        return False
    if bare_text:
        return before in _OTHER_BEFORE_BARE or after in _OTHER_AFTER_BARE
    return before in _OTHER_BEFORE or after in _OTHER_AFTER


def _in_english(text: str, *, confidential: bool) -> Level | None:
    known = {**_ENGLISH, **({"confidential": Level.MAT} if confidential else {})}
    for clause in _CLAUSE.split(undressed(text)):
        words = _WORD.findall(clause)
        if any(word in _NOT or word in ("trade", "unclassified") for word in words):
            continue
        plain = f" {' '.join(words)} "
        for phrase, level in known.items():
            if f" {phrase} " in plain:
                return level
    return None
