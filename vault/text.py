"""Unicode normalisation (UAX #15) whose time grows with the text and not with its square.

``unicodedata.normalize`` puts combining marks in order by swapping neighbours, while it holds the interpreter's lock:
a "letter" of 60,000 marks holds the whole node for seconds. Nothing else of the product calls it.
"""

from __future__ import annotations

import unicodedata
from typing import Final, Literal

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

_SHORT: Final = 1024
"""Characters up to which the square does no harm: a millisecond or two at the worst."""


def normalised(form: Form, text: str) -> str:
    """Return ``text`` in that normalisation form, exactly as ``unicodedata.normalize`` would.

    It takes about 100 bytes of memory for each character of a long text, so the caller bounds the length first
    (:func:`fits`).
    """
    if len(text) <= _SHORT or text.isascii():
        return unicodedata.normalize(form, text)
    # Decomposed one by one, and each run of marks put in order by their classes (stable): Unicode 3.11, D108 and D109.
    decomposition: Form = "NFKD" if "K" in form else "NFD"
    done: list[str] = []
    marks: list[str] = []
    for letter in text:
        for part in unicodedata.normalize(decomposition, letter):
            if unicodedata.combining(part):
                marks.append(part)
                continue
            if marks:
                marks.sort(key=unicodedata.combining)
                done += marks
                marks.clear()
            done.append(part)
    marks.sort(key=unicodedata.combining)
    ordered = "".join([*done, *marks])
    return ordered if form in ("NFD", "NFKD") else unicodedata.normalize("NFC", ordered)


def fits(text: str, most: int) -> bool:
    """Whether NFC could still bring ``text`` to ``most`` bytes of UTF-8; judged by its length alone.

    Composing makes at best two bytes of three characters (U+01D5), so what is longer than twice ``most`` never fits.
    """
    return len(text) <= 2 * most
