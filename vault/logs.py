"""How the daemon writes down what it does: one line per happening, on standard error, in one of three forms.

``console`` is for people, ``json`` for programs, ``journal`` for systemd's journal, which keeps time and program
itself and takes the priority from a prefix ``<N>`` (sd-daemon(3)). When standard error is the journal, ``console``
becomes ``journal``, and the others get the prefix too. The libraries' own logs (logging: uvicorn, SQLAlchemy,
APScheduler) go the same way.

Two guards stand before every line. What has a name like a credential's is not printed, nor what looks like one inside
other text. And what is not printable is escaped, for identifiers and file names come from outside: no deposit can
forge a line or move a terminal's cursor.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import re
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, Protocol, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MOST_LINES: Final = 10_000
"""So many lines of the log may wait to be written."""

Format = Literal["console", "json", "journal"]
Level = Literal["debug", "info", "warning", "error"]

REDACTED: Final = "[redacted]"

_SECRET_WORDS: Final = frozenset({
    "authorization", "cookie", "credential", "credentials", "passphrase", "passwd", "password", "pwd", "secret",
    "secrets", "token", "tokens",
})  # fmt: skip
_SECRET_PAIRS: Final = frozenset({("api", "key"), ("private", "key")})
_SECRET_TEXT: Final = (
    (re.compile(r"\b((?:bearer|basic)\s+)[^\s\"',;]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"), rf"\1{REDACTED}"),
    (
        re.compile(r"\b((?:\w*[_-])?(?:token|secret|password|passwd|authorization)=)[^\s&\"',;]+", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"\bkhoso_[A-Za-z0-9_-]{16,}"), REDACTED),
)
_NAME_PARTS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_DEEPEST: Final = 8
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_QUIET: Final = {"alembic": "warning", "apscheduler": "warning", "httpx": "warning", "httpcore": "warning"}
"""Libraries that tell of every step; below this level they are heard only in ``debug``."""

_NEVER_BELOW_WARNING: Final = ("sqlalchemy", "asyncio")
"""SQLAlchemy would print every statement with its values."""

_OWN_HANDLERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "apscheduler", "sqlalchemy")


class Wanted(Protocol):
    """What is asked for; ``[log]`` of the configuration is one."""

    @property
    def format(self) -> Format:
        """The form of the lines."""

    @property
    def level(self) -> Level:
        """What is less urgent than this is left out."""


class Behind:
    """A stream that a thread of its own writes to another, so that nobody who logs waits for a disk or the journal.

    At most :data:`MOST_LINES` wait; then who logs waits too, for a line that is not written is worse. ``flush`` does
    nothing, for a handler of logging calls it after every line: before an end, call :meth:`drain`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.Queue[str | threading.Event] = queue.Queue(MOST_LINES)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        """Have it written."""
        self._lines.put(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def drain(self, patience: timedelta) -> bool:
        """Wait until all is written that came before; tell whether it was."""
        done, seconds = threading.Event(), patience.total_seconds()
        try:
            self._lines.put(done, timeout=seconds)
        except queue.Full:
            return False
        return done.wait(seconds)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            # Where the log cannot be written there is nowhere to say so.
            with contextlib.suppress(OSError, ValueError):
                if isinstance(line, str):
                    self._stream.write(line)
                if isinstance(line, threading.Event) or self._lines.empty():
                    self._stream.flush()
            if isinstance(line, threading.Event):
                line.set()


def configure(wanted: Wanted, *, stream: TextIO | None = None, behind: bool = False) -> Behind | None:
    """Let everything that is logged from now on go to ``stream`` (standard error), as wanted.

    May be called again. Start uvicorn with ``log_config=None``, or it takes its lines elsewhere. With ``behind`` the
    lines are written by a thread; drain what is returned before the process ends.
    """
    stream = sys.stderr if stream is None else stream
    form, level = wanted.format, wanted.level
    journal = is_journal(stream)
    if journal and form == "console":
        form = "journal"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    written = Behind(stream) if behind else None
    handler: logging.StreamHandler[TextIO | Behind] = logging.StreamHandler(written or stream)
    handler.setFormatter(
        _Formatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    redact,
                    *_renderers(form, stream),
                ],
            ),
            prefixed=journal or form == "journal",
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, _Formatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _OWN_HANDLERS:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else max(least, level, key=_rank).upper())
    for name in _NEVER_BELOW_WARNING:
        logging.getLogger(name).setLevel(max("warning", level, key=_rank).upper())
    return written


def catch_dying_threads() -> None:
    """Log what ends a thread that nobody waits for. For the daemon's start."""

    def died(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = args.thread.name if args.thread is not None else "?"
            structlog.get_logger(__name__).critical("thread-died", thread=name, exc_info=args.exc_value)

    threading.excepthook = died


def is_journal(stream: TextIO) -> bool:
    """Tell whether ``stream`` is what systemd connected to the journal (``JOURNAL_STREAM``, systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what names or looks like a credential, at any depth. A processor of structlog."""
    return {key: REDACTED if is_secret_name(key) else _clean(value, _DEEPEST) for key, value in event.items()}


def is_secret_name(name: str) -> bool:
    """Tell whether a value of that name is a credential: ``token``, ``client_secret``, ``X-Api-Key``, …"""
    parts = [part.lower() for part in _NAME_PARTS.findall(name)]
    return not _SECRET_WORDS.isdisjoint(parts) or not _SECRET_PAIRS.isdisjoint(itertools.pairwise(parts))


def _clean(value: object, depth: int) -> object:
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Mapping) and depth:
        return {
            _text(str(key)): REDACTED if is_secret_name(str(key)) else _clean(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_clean(item, depth - 1) for item in value]
    return _text(str(value))


def _text(text: str) -> str:
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what is not printable. Tracebacks keep their lines, indented, so that none looks like one of the log."""
    return {
        key: "\n".join(f"  {_printable(line)}" for line in str(value).split("\n"))
        if key in ("exception", "stack")
        else _printable(value)
        for key, value in event.items()
    }


def _printable(value: object) -> object:
    text = str(value)
    if text.isprintable():
        return value
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _renderers(form: Format, stream: TextIO) -> list[Processor]:
    if form == "json":
        return [
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.JSONRenderer(),
        ]
    if form == "journal":
        return [_escape, _journal_line]
    colours = stream.isatty() and not os.environ.get("NO_COLOR")
    return [
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False, key="timestamp"),
        _escape,
        structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback),
    ]


def _journal_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    event.pop("level", None)
    after = [str(event.pop(key)) for key in ("stack", "exception") if event.get(key)]
    logger, what = event.pop("logger", ""), event.pop("event", "")
    facts = " ".join(f"{key}={_quoted(value)}" for key, value in sorted(event.items()))
    return "\n".join([" ".join(part for part in (f"{what}", facts, f"[{logger}]" if logger else "") if part), *after])


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and not re.search(r'[\s"=]', text) else '"' + text.replace('"', '\\"') + '"'


def _rank(level: str) -> int:
    return -_PRIORITIES[level]


class _Formatter(logging.Formatter):
    """Puts the priority before each line, for the journal makes an entry of each."""

    def __init__(self, inner: logging.Formatter, *, prefixed: bool) -> None:
        super().__init__()
        self._inner = inner
        self._prefixed = prefixed

    def format(self, record: logging.LogRecord) -> str:
        text = self._inner.format(record)
        if not self._prefixed:
            return text
        prefix = f"<{_PRIORITIES.get(record.levelname.lower(), 6)}>"
        return "\n".join(prefix + line for line in text.split("\n"))
