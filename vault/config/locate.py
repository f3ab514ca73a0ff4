"""On which line a key of a TOML document is written.

``tomllib`` gives values without their places. This walks the text beside it: it knows just enough of the grammar
(TOML 1.0, https://toml.io/en/v1.0.0) to find keys, and relies on ``tomllib`` having accepted the text before.
"""

from __future__ import annotations

import re
import tomllib

from vault.config.problem import KeyPath

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^\s,\]}#][^,\]}#\n]*")
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line (from 1) of every key, table, and array element of ``text``, which is valid TOML."""
    return _Scanner(text.replace("\r\n", "\n")).document()


def syntax_error_line(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """Return the line that ``error`` is about, and its message without the place."""
    message = str(error)
    match = _SYNTAX_LINE.search(message)
    line = int(match[1]) if match else max(1, len(text.splitlines()))
    return line, re.sub(r" \(at (line \d+, column \d+|end of document)\)", "", message)


class _Scanner:
    """A cursor over the text. Every method leaves it behind what it has read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[KeyPath, int] = {}
        self._tables: dict[KeyPath, int] = {}

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._blank()
        while self._at < len(self._text):
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)
            self._blank()
        return self._lines

    def _header(self) -> KeyPath:
        """``[a.b]`` or ``[[a.b]]``; returns the path of the table that it opens."""
        line = self._line
        is_array = self._peek("[[")
        self._skip(2 if is_array else 1)
        path: KeyPath = ()
        parts = self._dotted()
        for index, part in enumerate(parts):
            path = (*path, part)
            if index == len(parts) - 1 and is_array:
                self._tables[path] = self._tables.get(path, -1) + 1
            self._lines.setdefault(path, line)
            if path in self._tables:
                path = (*path, self._tables[path])
                self._lines.setdefault(path, line)
        self._skip(2 if is_array else 1)
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line
        path = table
        for part in self._dotted():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._skip(1)
        self._spaces()
        self._value(path)

    def _dotted(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._spaces()
            parts.append(self._key())
            self._spaces()
            if not self._peek("."):
                return parts
            self._skip(1)

    def _key(self) -> str:
        if self._peek('"') or self._peek("'"):
            start = self._at
            self._string()
            (key,) = tomllib.loads(f"{self._text[start : self._at]} = 0")
            return key
        match = _BARE_KEY.match(self._text, self._at)
        if match is None:
            raise ValueError(f"line {self._line} of the TOML text is beyond the locator")
        self._skip(len(match[0]))
        return match[0]

    def _value(self, path: KeyPath) -> None:
        if self._peek("["):
            self._array(path)
        elif self._peek("{"):
            self._inline_table(path)
        elif self._peek('"') or self._peek("'"):
            self._string()
        elif (match := _SCALAR.match(self._text, self._at)) is not None:
            self._skip(len(match[0]))

    def _array(self, path: KeyPath) -> None:
        self._skip(1)
        self._blank()
        index = 0
        while not self._peek("]"):
            self._lines[(*path, index)] = self._line
            self._value((*path, index))
            index += 1
            self._separator()
        self._skip(1)

    def _inline_table(self, path: KeyPath) -> None:
        self._skip(1)
        self._blank()
        while not self._peek("}"):
            self._pair(path)
            self._separator()
        self._skip(1)

    def _separator(self) -> None:
        self._blank()
        if self._peek(","):
            self._skip(1)
            self._blank()

    def _string(self) -> None:
        quote = self._text[self._at]
        if self._peek(quote * 3):
            end = self._closing(quote * 3, self._at + 3)
            while self._text.startswith(quote, end):  # a multi-line string may end in quotes of its own
                end += 1
        else:
            end = self._closing(quote, self._at + 1)
        self._skip(end - self._at)

    def _closing(self, quotes: str, start: int) -> int:
        """The position behind the closing quotes."""
        at = start
        while not self._text.startswith(quotes, at):
            at += 2 if quotes[0] == '"' and self._text[at] == "\\" else 1
        return at + len(quotes)

    def _blank(self) -> None:
        """Skip white space, line ends and comments."""
        while self._at < len(self._text):
            if self._text[self._at] in " \t\r\n":
                self._skip(1)
            elif self._peek("#"):
                end = self._text.find("\n", self._at)
                self._skip((len(self._text) if end < 0 else end) - self._at)
            else:
                return

    def _spaces(self) -> None:
        while self._peek(" ") or self._peek("\t"):
            self._skip(1)

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _skip(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count
