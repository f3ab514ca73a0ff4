"""What came back from tape is kept for the configured time and within the configured size, as a reader meets it."""

import dataclasses
import os
from datetime import timedelta
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.support.nodes import eventually
from tests.support.patience import PATIENCE
from tests.support.prometheus import WatchedBench
from tests.support.serving import make_token
from tests.support.tapes import TapeBench
from vault.model import Condition

MOST = 5_000_000
BODIES = {f"Đ-{number}": os.urandom(2_000_000) for number in range(3)}


class TapeNode(WatchedBench, TapeBench):
    """A node with a tape library and a door for readers."""


class Reader:
    """Fetches over HTTP, and waits for the tape where only that has it."""

    def __init__(self, bench: TapeNode, *scopes: str) -> None:
        headers = {"Authorization": f"Bearer {make_token(bench.running, *scopes)}"}
        self._bench = bench
        self._client = httpx.Client(
            base_url=f"http://{bench.target}", headers=headers, timeout=30 * PATIENCE, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, identifier: str) -> httpx.Response:
        return self._client.get(f"/v1/content/{identifier}", params={"file": "tệp"})

    def fetch(self, identifier: str) -> bytes:
        answer = self.ask(identifier)
        assert answer.status_code == 202, "it was not on disk before"
        place = answer.headers["location"]
        came = eventually(
            lambda: (one := self._client.get(place).json())["state"] in ("ready", "failed") and one,
            60,
            self._bench.tape_problem,
        )
        assert came["state"] == "ready", came
        assert came["kept_until"] is not None
        return self.ask(identifier).content


def kept(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_came_back_goes_when_there_is_no_room_and_when_its_time_is_over(tmp_path):
    cache = tmp_path / "state" / "recall"
    with TapeNode(tmp_path, extra=f"[recall]\nmax_bytes = {MOST}") as bench:
        for identifier, body in BODIES.items():
            bench.deposit(identifier, body, filename="tệp")
            bench.wait_for_tape(identifier)
        bench.settle()
        for volume in ("a", "b"):
            bench.path(volume).rename(tmp_path / f"{volume}-away")
            bench.wait_for(volume, Condition.OFFLINE)
        bench.open_door()
        with Reader(bench, "read") as reader:
            for identifier, body in BODIES.items():
                assert reader.fetch(identifier) == body
                assert sum(kept(cache).values()) <= MOST
            # Two fit: what was asked for longest ago has gone, the others are read from disk.
            assert [reader.ask(identifier).status_code for identifier in reversed(BODIES)] == [200, 200, 202]
        bench.shut_door()
        recall = bench.settings.recall.model_copy(update={"keep": timedelta(seconds=1)})
        bench.restart(dataclasses.replace(bench.settings, recall=recall))
        eventually(lambda: not kept(cache), 60, lambda: kept(cache))
        bench.open_door()
        with Reader(bench, "read", "audit") as reader:
            assert reader.ask("Đ-2").status_code == 202
        bench.shut_door()
