"""XML from strangers: the one door through which labels, indexes and cartridge descriptions are parsed.

No document type, no entities but the five of XML itself, UTF-8 only, bounded depth, text, tokens and size. Breaking
any of that raises ``Malformed``. Nothing here knows LTFS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn, Protocol
from xml.parsers import expat
from xml.sax.saxutils import escape as _escape

from hardware.errors import Malformed

_STEP: Final = 65536


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read before a document is refused. Sizes in bytes (``text``: in characters)."""

    size: int = 32 << 30
    depth: int = 1100
    text: int = 1 << 20
    token: int = 1 << 20


class Handler(Protocol):
    """Gets the events of a document. May raise ``Malformed``, which stops the parser."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        ...

    def end(self, name: str) -> None:
        """An element ends."""
        ...

    def text(self, data: str) -> None:
        """Text inside the innermost open element, in pieces."""
        ...


class Parser:
    """Feeds a handler with the events of one document, pushed in pieces."""

    def __init__(self, handler: Handler, what: str, limits: Limits | None = None) -> None:
        self._what = what
        self._limits = limits or Limits()
        self._on_start, self._on_end, self._on_text = handler.start, handler.end, handler.text
        self._max_depth, self._max_text = self._limits.depth, self._limits.text
        self._fed = 0
        self._depth = 0
        self._run = 0
        parser = expat.ParserCreate("UTF-8")
        parser.buffer_text = True
        parser.buffer_size = 16384
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.ExternalEntityRefHandler = self._doctype
        parser.SkippedEntityHandler = self._doctype
        self._parser = parser

    def feed(self, data: bytes | memoryview) -> None:
        """Parse on with ``data``. Raises ``Malformed``."""
        if self._fed == 0 and data and data[0] in {0xFE, 0xFF}:
            # A byte order mark would make expat read UTF-16, whatever it was told.
            self._refuse("is in UTF-16; only UTF-8 is read")
        for at in range(0, len(data), _STEP):
            piece = data[at : at + _STEP]
            self._fed += len(piece)
            if self._fed > self._limits.size:
                self._refuse(f"is larger than {self._limits.size} bytes")
            self._parse(piece, final=False)
            # Expat keeps an unfinished token in memory: one that does not end is a bomb.
            if self._fed - max(self._parser.CurrentByteIndex, 0) > self._limits.token + _STEP:
                self._refuse("holds a tag or comment that does not end")

    def close(self) -> None:
        """Say that the document has ended. Raises ``Malformed`` where it has not."""
        self._parse(b"", final=True)

    def _parse(self, data: bytes | memoryview, *, final: bool) -> None:
        try:
            self._parser.Parse(bytes(data), final)
        except expat.ExpatError as error:
            raise Malformed(f"The {self._what} is not well-formed XML: {error}.") from error
        except (UnicodeError, LookupError, ValueError) as error:
            raise Malformed(f"The {self._what} cannot be read as XML: {error}.") from error

    def _refuse(self, why: str) -> NoReturn:
        raise Malformed(f"The {self._what} {why}.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._run = 0
        if self._depth > self._max_depth:
            self._refuse("is nested too deeply")
        self._on_start(name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._run = 0
        self._on_end(name)

    def _text(self, data: str) -> None:
        self._run += len(data)
        if self._run > self._max_text:
            self._refuse("holds a text that is too long")
        self._on_text(data)

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() not in {"UTF-8", "UTF8"}:
            self._refuse(f"is in {encoding!r}; only UTF-8 is read")

    def _doctype(self, *_arguments: object) -> int:
        self._refuse("declares a document type or an entity, which is never read")


_WHITESPACE = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


def escape(text: str) -> str:
    """Text for element content. Carriage returns are kept as references, or a parser would change them."""
    return _escape(text, {"\r": "&#13;"})


def escape_attribute(text: str) -> str:
    """Text for an attribute value in double quotes."""
    return _escape(text, {'"': "&quot;"} | _WHITESPACE)


def element(name: str, text: str) -> str:
    """One element with text."""
    return f"<{name}>{escape(text)}</{name}>\n"


def parse_boolean(text: str) -> bool:
    """``true`` or ``false`` as XML Schema writes them."""
    if text in {"true", "1"}:
        return True
    if text in {"false", "0"}:
        return False
    raise Malformed(f"{text[:40]!r} is neither true nor false.")


def parse_integer(text: str) -> int:
    """A number without sign, below 2^64."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and (number := int(text)) < 1 << 64):
        raise Malformed(f"{text[:40]!r} is no number.")
    return number


def parse_version(text: str) -> tuple[int, int, int]:
    """A format version such as ``2.4.0``; ``1.0`` is also known."""
    if text == "1.0":
        return (1, 0, 0)
    parts = text.split(".")
    if len(parts) != 3 or any(not (part.isascii() and part.isdigit() and len(part) <= 4) for part in parts):
        raise Malformed(f"{text[:40]!r} is no format version.")
    return (int(parts[0]), int(parts[1]), int(parts[2]))
