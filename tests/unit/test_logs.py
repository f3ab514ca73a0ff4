"""What is written down, in which form, and what never is."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
import structlog

from vault import logs
from vault.config import LogSettings
from vault.logs import REDACTED, is_secret_name

LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "sqlalchemy.engine", "apscheduler", "alembic",
             "asyncio", "httpx", "httpcore")  # fmt: skip


@pytest.fixture(autouse=True)
def leave_logging_as_it_was():
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    hook = threading.excepthook
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    threading.excepthook = hook
    structlog.reset_defaults()


def configured(form="console", level="info", stream=None):
    stream = io.StringIO() if stream is None else stream
    logs.configure(LogSettings(format=form, level=level), stream=stream)
    return stream


def log(name="vault.custody.verify"):
    return structlog.get_logger(name)


def in_json(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_console_is_a_line_for_people():
    stream = configured()
    log().info("volume-changed", volume="nas-a", reason="nó không trả lời")
    (line,) = stream.getvalue().splitlines()
    assert "volume-changed" in line
    assert "volume=nas-a" in line
    assert "nó không trả lời" in line
    assert "\x1b" not in line


def test_json_is_an_object_a_line_with_everything():
    stream = configured("json")
    log().warning("volume-changed", volume="nas-a", count=3, ok=True, none=None, several=["a", {"b": 1}])
    (line,) = in_json(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "volume-changed", "level": "warning", "logger": "vault.custody.verify", "volume": "nas-a", "count": 3,
        "ok": True, "none": None, "several": ["a", {"b": 1}],
    }  # fmt: skip


def test_what_was_bound_to_the_request_is_there_in_librarys_lines_too():
    stream = configured("json")
    with structlog.contextvars.bound_contextvars(ingest="i-1"):
        log().info("deposit")
        logging.getLogger("uvicorn.error").info("from a library: %s", "x")
    assert [line["ingest"] for line in in_json(stream)] == ["i-1", "i-1"]


@pytest.mark.parametrize("form", ["console", "json", "journal"])
def test_libraries_go_the_same_way(form):
    stream = io.StringIO()
    elsewhere = io.StringIO()
    own = logging.StreamHandler(elsewhere)
    logging.getLogger("uvicorn.access").addHandler(own)
    configured(form, stream=stream)
    logging.getLogger("uvicorn.access").info('%s - "%s %s" %d', "127.0.0.1", "GET", "/v1/volumes", 200)
    logging.getLogger("apscheduler.executors.default").warning("Run time of job %s was missed", "plan")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "/v1/volumes" in lines[0]
    assert "uvicorn.access" in lines[0]
    assert "Run time of job plan was missed" in lines[1]
    assert elsewhere.getvalue() == ""


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error", "apscheduler-info"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_level(level, heard):
    stream = configured("json", level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log(), name)(name)
    logging.getLogger("apscheduler.scheduler").info("apscheduler-info")
    logging.getLogger("sqlalchemy.engine.Engine").info("SELECT secret_hash FROM tokens")
    assert [line["event"] for line in in_json(stream)] == heard


def test_configuring_again_replaces_and_does_not_double():
    configured("console")
    stream = configured("json", "warning")
    log().info("unheard")
    log().warning("heard")
    assert [line["event"] for line in in_json(stream)] == ["heard"]


def test_the_journal_gets_a_priority_before_each_line():
    stream = configured("journal", "debug")
    log().debug("a")
    log().info("b", reason="two words", empty="", quoted='say "x"')
    log().warning("c")
    log().error("d")
    log().critical("e")
    assert stream.getvalue().splitlines() == [
        "<7>a [vault.custody.verify]",
        '<6>b empty="" quoted="say \\"x\\"" reason="two words" [vault.custody.verify]',
        "<4>c [vault.custody.verify]",
        "<3>d [vault.custody.verify]",
        "<2>e [vault.custody.verify]",
    ]


def connect():
    raise RuntimeError("postgresql://vault:geheim@db/khoso refused\n2026-11-22 [info] forged\x1b[2J")


@pytest.mark.parametrize("form", ["console", "json", "journal"])
def test_tracebacks_are_kept_without_what_is_secret(form):
    stream = configured(form)
    try:
        connect()
    except RuntimeError:
        log().exception("task-crashed")
    text = stream.getvalue()
    assert "RuntimeError" in text
    assert "test_logs.py" in text
    assert "geheim" not in text
    assert not [line for line in text.splitlines() if line.startswith("2026-11-22 [info]")]
    assert "\x1b" not in text
    if form == "journal":
        assert all(line.startswith("<3>") for line in text.splitlines())
        assert len(text.splitlines()) > 3


SECRET = "khoso_" + "Zm9vYmFy" * 5


@pytest.mark.parametrize("form", ["console", "json", "journal"])
@pytest.mark.parametrize(
    "facts",
    [
        {"token": SECRET},
        {"Authorization": f"Bearer {SECRET}"},
        {"headers": {"authorization": f"Bearer {SECRET}", "accept": "*/*"}},
        {"headers": [("x", {"X-Api-Key": SECRET})]},
        {"client_secret": SECRET},
        {"clientSecret": SECRET},
        {"db_password": "Zm9vYmFyZm9v"},
        {"url": "postgresql+psycopg://vault:Zm9vYmFyZm9v@db/khoso"},
        {"url": "https://archive/v1/volumes?access_token=Zm9vYmFyZm9v&x=1"},
        {"reason": f"refused: Authorization: Bearer {SECRET}"},
        {"reason": f"the token was {SECRET}, which is unknown"},
        {"reason": ValueError("password=Zm9vYmFyZm9v")},
        {"secret_hash": b"Zm9vYmFyZm9v"},
    ],
)
def test_credentials_are_never_printed(form, facts):
    stream = configured(form)
    log().info("request", **facts)
    logging.getLogger("uvicorn.error").info("Authorization: Bearer %s", SECRET)
    assert "Zm9vYmFy" not in stream.getvalue()
    assert stream.getvalue().count(REDACTED) >= 2


@pytest.mark.parametrize("name", ["token", "access_token", "X-Auth-Token", "clientSecret", "Set-Cookie", "apiKey"])
def test_names_of_secrets(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["identifier", "key", "tokenizer", "secretary", "digest", "version", "public_key"])
def test_names_of_what_may_be_read(name):
    assert not is_secret_name(name)


HOSTILE = "G09\n2026-11-22 [error] forged\x1b[2J\x9b\u202egnp\udc80"


@pytest.mark.parametrize("form", ["console", "json", "journal"])
def test_a_hostile_identifier_forges_no_line_and_moves_no_cursor(form):
    stream = configured(form)
    # Without pytest's own ears: what they hear goes into reports, which xdist cannot send with a surrogate in it.
    for handler in [h for h in logging.getLogger().handlers if "Capture" in type(h).__name__]:
        logging.getLogger().removeHandler(handler)
    log().info("deposit", identifier=HOSTILE)
    logging.getLogger("uvicorn.access").info("GET %s", HOSTILE)
    text = stream.getvalue()
    assert len(text.splitlines()) == 2
    assert all(line.isprintable() for line in text.splitlines())
    if form == "json":
        assert in_json(stream)[0]["identifier"] == HOSTILE


IN_A_PROCESS = """
import logging, sys, structlog
from vault import logs
from vault.config import LogSettings
logs.configure(LogSettings(format=sys.argv[1]))
structlog.get_logger("vault.x").warning("hello", volume="nas-a")
logging.getLogger("uvicorn.error").info("library")
"""


@pytest.mark.parametrize(("form", "start"), [("console", "<4>hello volume=nas-a"), ("json", '<4>{"')])
def test_when_standard_error_is_the_journal_the_prefix_is_there(tmp_path, form, start):
    """systemd says in JOURNAL_STREAM which device and inode the journal is."""
    path = tmp_path / "journal"
    with path.open("wb") as journal:
        status = os.fstat(journal.fileno())
        environ = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        subprocess.run([sys.executable, "-c", IN_A_PROCESS, form], stderr=journal, env=environ, check=True, timeout=60)
    first, second = path.read_text().splitlines()
    assert first.startswith(start)
    assert second.startswith("<6>")


def test_when_standard_error_is_not_the_journal_it_is_not():
    environ = {**os.environ, "JOURNAL_STREAM": "8:12345"}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, "console"], capture_output=True, env=environ, check=True, timeout=60
    )
    assert b"<4>" not in done.stderr
    assert b"hello" in done.stderr
    assert done.stdout == b""


def test_a_thread_that_dies_is_heard():
    stream = configured("json")
    logs.catch_dying_threads()

    def work():
        raise RuntimeError("lost")

    thread = threading.Thread(target=work, name="watch-nas-a")
    thread.start()
    thread.join(30)
    (line,) = in_json(stream)
    assert (line["event"], line["thread"], line["level"]) == ("thread-died", "watch-nas-a", "critical")
    assert "RuntimeError: lost" in line["exception"]


def test_nobody_who_logs_waits_for_who_does_not_read():
    """A journal that hangs on its disk, here a pipe that is full."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as read, open(writing, "w", encoding="utf-8") as stream:
        behind = logs.configure(LogSettings(format="json", level="info"), stream=stream, behind=True)
        for number in range(3000):
            log().info("volume-changed", number=number)
        assert not behind.drain(timedelta(milliseconds=1))
        assert [json.loads(read.readline())["number"] for _ in range(3000)] == list(range(3000))
        assert behind.drain(timedelta(seconds=30))
        stream.close()
        log().info("nowhere to write")
        assert behind.drain(timedelta(seconds=30))
