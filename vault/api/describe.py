"""What a depositor says of a package beside its bytes: the query of a deposit, read and bounded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal, cast

from vault.api.problems import bad_request
from vault.errors import Invalid
from vault.model import Descriptive, Json

Kind = Literal["auto", "bag", "file"]

DESCRIPTIVE: Final = ("fonds", "agency", "batch", "title", "retention", "access", "class")
"""What is indexed. Everything else that is said is kept with the version as its metadata."""

MAX_VALUE_BYTES: Final = 4096
MAX_FILENAME_BYTES: Final = 255
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")


def read_kind(text: str | None) -> Kind:
    """``auto``, ``bag`` or ``file``; raises Invalid (``bad-query``)."""
    if text is None:
        return "auto"
    if text not in ("auto", "bag", "file"):
        raise bad_request("bad-query", f"{text[:40]!r} is no kind of deposit.", "Write auto, bag or file.", "kind")
    return cast("Kind", text)


def read_filename(text: str) -> str:
    """A file's name for keeping; "" where none was given. It is a name and never a path: folders are cut off."""
    name = _text("filename", text.replace("\\", "/").rsplit("/", 1)[-1])
    if name in (".", "..") or len(name.encode()) > MAX_FILENAME_BYTES:
        raise bad_request(
            "bad-query",
            "The file's name cannot be used.",
            f"Send a name of at most {MAX_FILENAME_BYTES} bytes of UTF-8, without folders.",
            "filename",
        )
    return name


def read_descriptive(said: Mapping[str, str]) -> tuple[Descriptive, dict[str, Json]]:
    """Split what was said into what is indexed and the rest. Texts are brought into Unicode's NFC form.

    Raises Invalid (``bad-query``) for names that are none, texts over 4,096 bytes, and control characters.
    """
    indexed: dict[str, str] = {}
    rest: dict[str, Json] = {}
    for key, value in said.items():
        if not _KEY.fullmatch(key):
            raise bad_request(
                "bad-query",
                f"{key[:64]!r} is no name for something said of a package.",
                "Use ASCII letters, digits, dots, dashes and underscores, beginning with a letter; 64 at most.",
                key[:64],
            )
        text = _text(key, value)
        if key in DESCRIPTIVE:
            indexed["priority_class" if key == "class" else key] = text
        else:
            rest[key] = text
    if not indexed.get("priority_class", "x"):
        del indexed["priority_class"]
    return Descriptive(**indexed), rest


def _text(key: str, value: str) -> str:
    text = unicodedata.normalize("NFC", value)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_VALUE_BYTES:
        raise _bad(key, f"it is longer than {MAX_VALUE_BYTES} bytes")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text):
        raise _bad(key, "it has a control character")
    return text


def _bad(key: str, why: str) -> Invalid:
    return bad_request("bad-query", f"What the query says as {key} cannot be kept: {why}.", "Send it otherwise.", key)
