"""Bytes between threads and the loop: bounded, in order, and never a thread that waits for nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from vault.api import threads
from vault.errors import Corrupted, Interrupted


def test_bytes_come_in_order_and_no_more_ahead_than_is_allowed() -> None:
    written = 0
    gap = 0

    def produce(write: Callable[[bytes], None]) -> None:
        nonlocal written
        for number in range(64):
            write(bytes([number]) * 512 * 1024)
            written += 512 * 1024

    async def consume() -> list[int]:
        nonlocal gap
        taken, order = 0, []
        async for chunk in threads.Outflow("test", produce, 10):
            gap = max(gap, written - taken)
            taken += len(chunk)
            order.append(chunk[0])
        return order

    assert asyncio.run(consume()) == list(range(64))
    assert gap <= threads.BUFFERED_BYTES + 2 * 512 * 1024


def test_what_went_wrong_comes_after_what_came_before_it() -> None:
    def produce(write: Callable[[bytes], None]) -> None:
        write(b"before")
        raise Corrupted("then")

    async def consume() -> None:
        reading = aiter(threads.Outflow("test", produce, 10))
        assert await anext(reading) == b"before"
        with pytest.raises(Corrupted):
            await anext(reading)

    asyncio.run(consume())


def test_a_thread_that_reads_for_nobody_ends() -> None:
    ended = threading.Event()

    def produce(write: Callable[[bytes], None]) -> None:
        try:
            while True:
                write(bytes(1024 * 1024))
        except Interrupted:
            ended.set()
            raise

    async def leave() -> None:
        flow = threads.Outflow("test", produce, 10)
        async for _ in flow:
            break
        flow.close()

    asyncio.run(leave())
    assert ended.wait(10)


def test_a_volume_that_hangs_is_not_waited_for_longer_than_patience() -> None:
    let_go = threading.Event()

    async def consume() -> None:
        reading = aiter(threads.Outflow("test", lambda _write: let_go.wait(20) and None, 0.1))
        with pytest.raises(threads.Silent):
            await anext(reading)

    asyncio.run(consume())
    let_go.set()


def test_results_and_errors_come_back() -> None:
    async def both() -> None:
        assert await threads.run("test", lambda x: x + 1, 1) == 2
        with pytest.raises(ZeroDivisionError):
            await threads.run("test", lambda: 1 / 0)

    asyncio.run(both())
