"""Names and times as LTFS writes them (LTFS Format Specification 2.4, sections 7 and 9.2)."""

from __future__ import annotations

import datetime as dt
import functools
import re
import unicodedata
from typing import Final

from hardware.errors import Malformed, Refused

MAX_NAME: Final = 255
"""Characters in one name (the reference implementation refuses more)."""
MAX_PATH: Final = 16384
"""Characters in a whole path: our limit; the format has none."""
MAX_DIRECTORIES: Final = 512
"""How deep directories may be nested: our limit; the format has none."""

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
# What XML 1.0 cannot hold, what its parsers change (tab, line ends), and the colon, which the reference also encodes.
_ENCODED = re.compile("[\x00-\x1f\x7f:%\ufffe\uffff]")
_NEEDS_ENCODING = re.compile("[\x00-\x1f\x7f:\ufffe\uffff]")
_KEPT = (b"/", b"\x00")

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  -- all arithmetic here is UTC
_NS: Final = 1_000_000_000
MIN_TIME: Final = -62_135_596_800 * _NS
MAX_TIME: Final = 253_402_300_800 * _NS - 1


def decode_name(text: str, *, percent_encoded: bool) -> str:
    """A name as the index has it, decoded; ``Malformed`` where no file can be called so.

    A percent code that would yield ``/`` or NUL is left as it is written, as the reference implementation does.
    """
    name = text
    if percent_encoded:
        raw = _PERCENT.sub(_decode_one, text.encode())
        try:
            name = raw.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"The name {text!r} in the index is not UTF-8 when decoded.") from error
    if not name or name in {".", ".."} or "/" in name or "\x00" in name or len(name) > 4 * MAX_NAME:
        raise Malformed(f"The index holds a name that no file can have: {name[:80]!r}.")
    return name


def _decode_one(match: re.Match[bytes]) -> bytes:
    byte = bytes((int(match[1], 16),))
    return match[0] if byte in _KEPT else byte


def encode_name(name: str) -> tuple[str, bool]:
    """The text of a name for the index, and whether it is percent-encoded."""
    if not _NEEDS_ENCODING.search(name):
        return name, False
    return _ENCODED.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), name), True


def check_path(path: str) -> tuple[str, ...]:
    """The parts of a path for a new file, in NFC; ``Refused`` where LTFS cannot hold it."""
    raw = path.split("/") if len(path) <= MAX_PATH else []
    if not raw or len(raw) > MAX_DIRECTORIES:
        raise Refused(f"The path {path[:80]!r}… is too long or too deep for a tape.")
    # Judged before it is composed, which takes the square of the number of marks on one letter; composing makes at
    # best two bytes of three characters.
    if any(len(part) > 2 * MAX_NAME for part in raw):
        raise Refused(f"A name in {path[:80]!r} has more than {MAX_NAME} bytes.")
    parts = tuple(unicodedata.normalize("NFC", part) for part in raw)
    for part in parts:
        if not part or part in {".", ".."} or "\x00" in part or "\x1f" in part:
            raise Refused(f"{path!r} is no path for a file on tape: {part!r} cannot be a name.")
        # The reference counts characters, but a file system under FUSE counts bytes.
        if len(part) > MAX_NAME or len(_utf8(part)) > MAX_NAME:
            raise Refused(f"A name in {path[:80]!r} has more than {MAX_NAME} bytes.")
    return parts


def _utf8(part: str) -> bytes:
    try:
        return part.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"The name {part!r} is no Unicode text.") from error


# The five times of a file are seldom five different ones.
@functools.lru_cache(maxsize=1024)
def parse_time(text: str) -> int:
    """A time of a label or index, in nanoseconds since 1970 (UTC)."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise Malformed(f"{text[:40]!r} is no LTFS time.")
    try:
        moment = dt.datetime(*(int(group) for group in match.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError as error:
        raise Malformed(f"{text!r} is no time: {error}.") from error
    whole = moment - _EPOCH
    return (whole.days * 86400 + whole.seconds) * _NS + int((match[7] or "0").ljust(9, "0"))


def format_time(nanoseconds: int) -> str:
    """A time for a label or index: UTC, nine digits of nanoseconds. Times outside the years 1 to 9999 are clamped."""
    seconds, fraction = divmod(min(max(nanoseconds, MIN_TIME), MAX_TIME), _NS)
    moment = _EPOCH + dt.timedelta(seconds=seconds)
    return f"{moment.isoformat()}.{fraction:09d}Z"
