"""Who finds no place waits for one, in order, and nobody waits for ever or takes all of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from vault.api.places import MOST_WAITING, Places
from vault.errors import Unreachable

LONG = timedelta(seconds=60)


def test_places_go_to_those_who_wait_in_their_order_and_past_who_has_enough() -> None:
    async def run() -> list[str]:
        places = Places(4, 3, LONG)
        held = [places.take("a") for _ in range(3)] + [places.take("b")]
        got: list[str] = []

        async def one(agent: str, name: str) -> None:
            await places.wait(agent)
            got.append(name)

        tasks = []
        for agent, name in (("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1")):
            tasks.append(asyncio.create_task(one(agent, name)))
            await asyncio.sleep(0)
        held[3](None)  # b's: the first who may have it is b again, for a has its three
        await asyncio.gather(tasks[2])
        held[0](None)
        held[1](None)
        await asyncio.gather(*tasks[:2])
        assert not tasks[3].done()
        held[2](None)
        await asyncio.gather(*tasks)
        return got

    assert asyncio.run(run()) == ["b1", "a1", "a2", "c1"]


def test_nobody_waits_longer_than_patience_and_who_left_takes_no_place() -> None:
    async def run() -> None:
        places = Places(1, 1, timedelta(seconds=0.05))
        give_back = places.take("a")
        with pytest.raises(Unreachable) as caught:
            await places.wait("b")
        assert caught.value.code == "busy"
        leaving = asyncio.create_task(places.wait("b"))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        # It left in the moment in which it was given the place.
        late = asyncio.create_task(places.wait("b"))
        await asyncio.sleep(0)
        give_back(None)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        (await places.wait("c"))(None)

    asyncio.run(run())


def test_the_queue_has_an_end_and_room_for_others() -> None:
    async def run() -> None:
        places = Places(1, 1, LONG)
        places.take("a")
        waiting = [asyncio.create_task(places.wait("greedy")) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        refused = [task for task in waiting if task.done()]
        assert len(refused) == MOST_WAITING // 4
        assert all(isinstance(task.exception(), Unreachable) for task in refused)
        other = asyncio.create_task(places.wait("other"))
        await asyncio.sleep(0)
        assert not other.done()
        for task in [*waiting, other]:
            task.cancel()
        await asyncio.gather(*waiting, other, return_exceptions=True)

    asyncio.run(run())


def test_without_patience_it_is_said_at_once() -> None:
    async def run() -> None:
        places = Places(1)
        places.take("a")
        with pytest.raises(Unreachable):
            await places.wait("b")

    asyncio.run(run())
