"""Vietnamese text made comparable: case, composition, diacritics and punctuation taken away."""

from __future__ import annotations

import re
import unicodedata

from vault.text import normalised

_BETWEEN = re.compile(r"[\W_]+")
_D = {ord("đ"): "d", ord("ð"): "d"}  # the second is another letter, which old keyboards send for the first


def folded(text: str) -> str:
    """The text in small letters, composed (NFC), with compatibility forms (full-width letters) as ordinary ones.

    Characters that cannot be seen (soft hyphens, zero-width joiners) are left out: they must hide nothing.
    """
    plain = normalised("NFKC", text).casefold()
    return normalised("NFC", "".join(c for c in plain if unicodedata.category(c) != "Cf"))


def undressed(text: str) -> str:
    """:func:`folded`, without diacritics: ``Độ mật`` is ``do mat``."""
    letters = normalised("NFD", folded(text).translate(_D))
    return "".join(c for c in letters if not unicodedata.combining(c))


def bare(label: str) -> str:
    """A label for comparison: :func:`undressed`, its words with one space between: ``Độ-Mật`` is ``do mat``."""
    return _BETWEEN.sub(" ", undressed(label)).strip()
