"""What systemd hears, on a real socket, and when the watchdog is petted."""

import asyncio
import os
import socket
import threading
import time

import pytest
import structlog

from vault.errors import Unreachable
from vault.notify import Beat, Notifier, RoundTrip, Watchdog, keep_beating, watchdog_seconds


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A socket such as systemd listens on, with the address as NOTIFY_SOCKET has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        if request.param == "path":
            address = str(tmp_path / "notify")
            listener.bind(address)
        else:
            address = f"@khoso-test-{os.getpid()}-{id(listener)}"
            listener.bind("\0" + address[1:])
        listener.settimeout(10)
        yield listener, address


def heard(listener):
    return listener.recv(4096).decode().split("\n")


def assert_silent(listener):
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(4096)
    listener.settimeout(10)


def test_the_words_of_the_protocol(manager):
    listener, address = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    assert notifier.listening
    assert notifier.ready("serving on 127.0.0.1:8420")
    assert heard(listener) == ["READY=1", "STATUS=serving on 127.0.0.1:8420"]
    assert notifier.status("đang kiểm tra nas-a")
    assert heard(listener) == ["STATUS=đang kiểm tra nas-a"]
    assert notifier.watchdog()
    assert heard(listener) == ["WATCHDOG=1"]
    assert notifier.stopping()
    assert heard(listener) == ["STOPPING=1"]


def test_a_status_cannot_bring_in_other_words(manager):
    listener, address = manager
    assert Notifier(address).status("volume nas-a\nMAINPID=1\r\n  is away " + "x" * 500)
    (line,) = heard(listener)
    assert line.startswith("STATUS=volume nas-a MAINPID=1 is away x")
    assert len(line) < 300


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "@"}, {"NOTIFY_SOCKET": "run/x"}])
def test_where_nobody_listens_nothing_is_sent(environ):
    notifier = Notifier.from_environment(environ)
    assert not notifier.listening
    assert not notifier.ready()


def test_a_manager_that_is_gone_stops_nothing(tmp_path):
    with structlog.testing.capture_logs() as lines:
        assert not Notifier(str(tmp_path / "gone")).ready()
    assert [line["event"] for line in lines] == ["systemd-not-told"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "180000000"}, 180.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": str(os.getpid())}, 180.0),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_period_is_systemds(environ, seconds):
    assert watchdog_seconds(environ) == seconds


def test_no_watchdog_where_systemd_wants_none(monkeypatch):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert Watchdog.from_environment(Notifier("/run/x"), {}) is None
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert Watchdog.from_environment(Notifier(""), {}) is None
    assert Watchdog.from_environment(Notifier("/run/x"), {}) is not None


def test_it_is_petted_only_while_every_part_comes_round(manager):
    listener, address = manager
    ages = {"event loop": 1.0, "dispatcher": 9.9, "catalogue": 0.1}
    watchdog = Watchdog(Notifier(address), {name: lambda name=name: ages[name] for name in ages}, period=10)
    with structlog.testing.capture_logs() as lines:
        assert watchdog.turn() == set()
        assert heard(listener) == ["WATCHDOG=1"]
        assert lines == []
        ages["dispatcher"] = 10.1
        assert watchdog.turn() == {"dispatcher"}
        assert watchdog.turn() == {"dispatcher"}
        assert_silent(listener)
        assert [(line["event"], line["part"], line["log_level"]) for line in lines] == [
            ("watchdog-late", "dispatcher", "error")
        ]
        assert "10.1 s ago" in lines[0]["reason"]
        ages["dispatcher"] = 0.0
        assert watchdog.turn() == set()
    assert heard(listener) == ["WATCHDOG=1"]
    assert lines[-1]["event"] == "watchdog-recovered"


def test_a_part_that_has_not_begun_has_a_period_for_it(manager):
    listener, address = manager
    beat = Beat()
    assert Watchdog(Notifier(address), {"event loop": beat.age}, period=60).turn() == set()
    assert heard(listener) == ["WATCHDOG=1"]
    with structlog.testing.capture_logs() as lines:
        assert Watchdog(Notifier(address), {"event loop": beat.age}, period=0).turn() == {"event loop"}
    assert_silent(listener)
    assert "has not come round in" in lines[0]["reason"]


def test_a_part_that_cannot_answer_is_late_and_the_others_are_still_asked(manager):
    listener, address = manager

    def broken():
        raise Unreachable("The catalogue does not answer.")

    asked = []
    parts = {"a": broken, "b": lambda: asked.append(1) or 0.0}
    with structlog.testing.capture_logs() as lines:
        assert Watchdog(Notifier(address), parts, period=10).turn() == {"a"}
    assert asked == [1]
    assert "Unreachable: The catalogue does not answer." in lines[0]["reason"]
    assert_silent(listener)


def test_it_pets_twice_in_a_period_until_it_is_stopped(manager):
    listener, address = manager
    watchdog = Watchdog(Notifier(address), {}, period=0.02)
    watchdog.start()
    for _ in range(3):
        assert heard(listener) == ["WATCHDOG=1"]
    watchdog.stop()
    deadline = time.monotonic() + 10
    while watchdog.alive and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    assert not watchdog.alive


def test_a_blocked_event_loop_grows_old():
    beat = Beat()
    assert beat.age() is None

    async def blocked():
        beating = asyncio.create_task(keep_beating(beat, every=0.001))
        await asyncio.sleep(0.02)
        fresh = beat.age()
        time.sleep(0.3)  # noqa: ASYNC251 - what is tested is a loop that is blocked
        old = beat.age()
        beating.cancel()
        return fresh, old

    fresh, old = asyncio.run(blocked())
    assert fresh < 0.25
    assert old >= 0.3


def test_a_round_trip_that_hangs_is_not_begun_again_and_grows_old():
    answer, begun, came_back = threading.Event(), [], threading.Event()

    def call():
        begun.append(1)
        assert answer.wait(30)
        came_back.set()

    trip = RoundTrip(call, "catalogue")
    assert [trip.age() for _ in range(5)] == [None] * 5
    assert begun == [1]
    answer.set()
    assert came_back.wait(30)
    deadline = time.monotonic() + 30
    while trip.age() is None:
        assert time.monotonic() < deadline
    assert trip.age() < 30


def test_a_round_trip_that_fails_does_not_count():
    failed = threading.Semaphore(0)

    def call():
        failed.release()
        raise Unreachable("The catalogue does not answer.")

    trip = RoundTrip(call, "catalogue")
    with structlog.testing.capture_logs():
        for _ in range(3):
            while not failed.acquire(timeout=0.01):
                assert trip.age() is None
    assert trip.age() is None
