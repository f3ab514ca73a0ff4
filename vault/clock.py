"""The time, and the one way in which it is written down.

Everything stored or signed carries UTC in the same fixed width, so that text sorts as time and a person can read
a catalogue with nothing but ``sqlite3``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""What gives the time; tests hand in their own."""

_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def utcnow() -> datetime:
    """Return the present time as an aware datetime in UTC."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Write ``moment`` as ``2026-11-22T10:40:42.123456Z`` (RFC 3339, always 27 characters, always UTC).

    Raises :class:`ValueError` for a datetime without a time zone: it names no moment.
    """
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone names no moment")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_text(text: str) -> datetime:
    """Read what :func:`to_text` wrote. Raises :class:`ValueError` for any other form."""
    if not _FORM.fullmatch(text):
        raise ValueError(f"not a time in the form 2026-11-22T10:40:42.123456Z: {text!r}")
    return datetime.fromisoformat(text)
