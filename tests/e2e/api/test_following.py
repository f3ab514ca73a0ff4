"""Following a deposit from outside: asked, waited for, and told as it goes on."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.api.test_deposits import assert_problem, put
from tests.e2e.api.test_uploads import begin, created, send
from tests.support.serving import Running, bag, eventually, served

STEPS = ["receiving", "validating", "stored", "copying", "receipted"]


def events(client: httpx.Client, ingest: str, headers: dict[str, str] | None = None) -> Iterator[dict]:
    with client.stream("GET", f"{ingest}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in response.iter_lines():
            if line and not line.startswith(":"):
                key, _, value = line.partition(": ")
                event[key] = value
            elif event:
                yield {**event, "data": json.loads(event["data"])}
                event = {}


def test_an_upload_is_told_step_by_step(running: Running, depositor: httpx.Client) -> None:
    body = os.urandom(200_000)
    url = created(depositor, "theo dõi", len(body), filename="x")
    ingest = f"/v1/ingests/{url.rpartition('/')[2]}"
    seen: list[dict] = []
    begun = threading.Event()

    def follow() -> None:
        with running.client("deposit", "read") as client:
            for event in events(client, ingest):
                assert event["event"] == "ingest"
                seen.append(event)
                begun.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(10)
    send(depositor, url, 0, body[:100_000])
    eventually(lambda: seen[-1]["data"]["bytes_received"] == 100_000)
    assert seen[-1]["data"]["bytes_total"] == len(body)
    send(depositor, url, 100_000, body[100_000:])
    thread.join(30)
    assert not thread.is_alive(), "the stream did not end with the deposit"
    told = [event["data"]["step"] for event in seen]
    assert told == sorted(told, key=STEPS.index)
    assert (told[0], told[-1]) == ("receiving", "receipted")
    last = seen[-1]["data"]
    assert last["copies_good"] == last["copies_needed"] == 2
    assert last["receipt"]["signature"]
    assert len({event["id"] for event in seen}) == len(seen)
    # Whoever comes back is not told again what it knows.
    assert list(events(depositor, ingest, {"Last-Event-ID": seen[-1]["id"]})) == []
    assert [event["id"] for event in events(depositor, ingest)] == [seen[-1]["id"]]


def test_the_end_can_be_waited_for(depositor: httpx.Client) -> None:
    answer = put(depositor, "đợi", b"bytes", {"Prefer": "wait=0"})
    found = depositor.get(answer.headers["location"], params={"wait": "30"})
    assert (found.status_code, found.json()["state"], found.json()["step"]) == (200, "receipted", "receipted")
    tag = found.headers["etag"]
    same = depositor.get(answer.headers["location"], headers={"If-None-Match": tag}, params={"wait": "30"})
    assert same.status_code == 304
    assert same.headers["etag"] == tag


def test_a_change_can_be_waited_for(running: Running, depositor: httpx.Client) -> None:
    url = created(depositor, "thay đổi", 10, filename="x")
    ingest = f"/v1/ingests/{url.rpartition('/')[2]}"
    before = depositor.get(ingest)
    began = time.monotonic()
    waited = depositor.get(ingest, headers={"If-None-Match": before.headers["etag"]}, params={"wait": "1"})
    assert waited.status_code == 304
    assert time.monotonic() - began >= 1
    answers: list[httpx.Response] = []

    def wait() -> None:
        with running.client("deposit", "read") as client:
            headers = {"If-None-Match": before.headers["etag"]}
            answers.append(client.get(ingest, headers=headers, params={"wait": "20"}))

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: running.node.bell._listeners)
    send(depositor, url, 0, b"01234")
    thread.join(10)
    assert answers[0].json()["bytes_received"] == 5
    depositor.delete(url, headers={"Tus-Resumable": "1.0.0"})


def test_a_refusal_is_told_with_all_its_reasons(depositor: httpx.Client) -> None:
    broken = bag({"a.txt": b"right", "b.txt": b"right"}).replace(b"right", b"wrong")
    ingest = begin(depositor, "hỏng hết", len(broken), broken, kind="bag").headers["khoso-ingest"]
    last = list(events(depositor, ingest))[-1]["data"]
    assert (last["state"], last["step"]) == ("refused", "refused")
    assert {fault["path"] for fault in last["problem"]["faults"]} >= {"data/a.txt", "data/b.txt"}


@pytest.mark.parametrize("query", ["wait=-1", "wait=soon", "wait=1.5"])
def test_a_wait_that_is_no_number_is_refused(depositor: httpx.Client, query: str) -> None:
    assert_problem(depositor.get(f"/v1/ingests/x?{query}"), 400, "bad-query")


def test_nobody_follows_what_is_not_there(depositor: httpx.Client) -> None:
    for address in ("/v1/ingests/none", "/v1/ingests/none?wait=5", "/v1/ingests/none/events"):
        assert_problem(depositor.get(address), 404, "no-such-ingest")


def test_followers_are_bounded_and_end_with_the_daemon(tmp_path) -> None:
    with served(tmp_path, api="max_followers = 4") as running, running.client("deposit", "read") as client:
        url = created(client, "lâu", 10, filename="x")
        ingest = f"/v1/ingests/{url.rpartition('/')[2]}"
        ended: list[int] = []

        def follow() -> None:
            with running.client("deposit", "read") as own:
                ended.append(len(list(events(own, ingest))))

        threads = [threading.Thread(target=follow) for _ in range(2)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(running.node.bell._listeners.get(ingest.rpartition("/")[2], [])) == 2)
        assert_problem(client.get(f"{ingest}/events"), 503, "too-many-followers")
        assert_problem(client.get(ingest, params={"wait": "5"}), 503, "too-many-followers")
        assert client.get(ingest).status_code == 200
        with running.client("read") as other:
            assert other.get(ingest, params={"wait": "1"}).status_code == 200
        began = time.monotonic()
    for thread in threads:
        thread.join(10)
    assert ended == [1, 1]
    assert time.monotonic() - began < 10, "the daemon waited for those who only listen"
