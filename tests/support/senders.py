"""Depositors who send to a node over the network without a pause, and note down what it promised them."""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx

from tests.support.nodes import bag, eventually, tar_of

SIZES = (1, 5_000, 60_000, 400_000)


@dataclass(frozen=True, slots=True)
class Promise:
    """A receipt that the depositor holds, and the sha512 of what was sent, by logical path."""

    identifier: str
    number: int
    receipt: Mapping[str, object]
    files: Mapping[str, str]


class Senders:
    """They send new packages (bags and single files), and later versions of what they hold a receipt for."""

    def __init__(self, address: str, token: str, chance: random.Random) -> None:
        self.promises: list[Promise] = []
        self.wrong: list[str] = []
        self._address, self._token, self._chance = address, token, chance
        self._lock = threading.Lock()
        self._number = 0

    @contextlib.contextmanager
    def sending(self, people: int = 3) -> Iterator[None]:
        """They send until this ends, whatever becomes of the node."""
        stop = threading.Event()
        seeds = [self._chance.randrange(2**31) for _ in range(people)]
        threads = [threading.Thread(target=self._send, args=(random.Random(seed), stop), daemon=True) for seed in seeds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive(), "a depositor still waits for an answer"

    def wait_for(self, more: int, seconds: float) -> None:
        """Wait until so many more promises were given."""
        goal = len(self.promises) + more
        eventually(lambda: len(self.promises) >= goal, seconds, lambda: (len(self.promises), self.wrong[-3:]))

    def _send(self, chance: random.Random, stop: threading.Event) -> None:
        mine: list[tuple[str, int]] = []
        headers = {"Authorization": f"Bearer {self._token}", "Prefer": "wait=30"}
        with httpx.Client(base_url=self._address, headers=headers, timeout=45) as client:
            while not stop.is_set():
                identifier, number = (
                    chance.choice(mine) if mine and chance.random() < 0.3 else (f"điện/{self._next()}", 0)
                )
                made = self._put(client, chance, identifier, number)
                # What had no receipt in time may have become a version all the same: no other follows it.
                mine = [*((i, n) for i, n in mine if i != identifier), *([made] if made else [])][-8:]

    def _put(self, client: httpx.Client, chance: random.Random, identifier: str, number: int) -> tuple[str, int] | None:
        """One deposit: which version it became, once that was promised."""
        content = chance.randbytes(chance.choice(SIZES))
        if chance.random() < 0.5:
            files = bag({"Tờ trình.pdf": content, "b/2": b"2"})
            body = tar_of(files)
        else:
            files, body = {"content": content}, content
        headers = {"If-Match": f'"v{number}"'} if number else {}
        try:
            answer = client.put(f"/v1/packages/{identifier}", content=body, headers=headers)
            told = answer.json()
        except (httpx.HTTPError, ValueError):
            return None  # the node went away in the midst: nothing was promised
        if answer.status_code == 201:
            digests = {name: hashlib.sha512(data).hexdigest() for name, data in files.items()}
            with self._lock:
                self.promises.append(Promise(identifier, number + 1, told, digests))
            return identifier, number + 1
        if answer.status_code not in (202, 503):
            self.wrong.append(f"{identifier}: {answer.status_code} {answer.text[:300]}")
        return None

    def _next(self) -> int:
        with self._lock:
            self._number += 1
            return self._number
