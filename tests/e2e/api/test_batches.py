"""A delivery as one unit: opened with the depositor's list, deposited into, closed with a signed receipt."""

from __future__ import annotations

import contextlib
import hashlib
import json
import select
import socket
import threading
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.support.nodes import bag, eventually, tar_of
from tests.support.serving import Running
from vault.ledger import events
from vault.model import Event, EventType
from vault.signing import canonical_json, verify_document

PAYLOAD = {"tờ trình.pdf": b"%PDF one", "b/c.bin": b"two" * 1000}
BAG = tar_of(bag(PAYLOAD))
SIZE = sum(map(len, PAYLOAD.values()))


@pytest.fixture
def approver(running: Running) -> Iterator[httpx.Client]:
    with running.client("deposit", "read", "operate", "approve", "audit") as client:
        yield client


@pytest.fixture
def prefix() -> str:
    return f"lô/{uuid.uuid4()}/"


def assert_problem(response: httpx.Response, status: int, code: str) -> dict:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["remedy"]
    return response.json()


def told(running: Running, event_type: EventType, batch: str) -> list[Event]:
    with running.node.catalogue.read() as tx:
        found = events(tx, limit=1_000_000, type=event_type)
    return [event for event in found if event.detail["batch"] == batch]


@contextlib.contextmanager
def outage(running: Running) -> Iterator[None]:
    """One of the two volumes does not answer."""
    (running.root / "nas-b").rename(running.root / "away")
    try:
        yield
    finally:
        (running.root / "away").rename(running.root / "nas-b")


def line(identifier: str, body: bytes, **facts) -> dict:
    digests = {"sha256": hashlib.sha256(body).hexdigest()}
    return {"identifier": identifier, "digests": digests, "files": 1, "bytes": len(body), **facts}


def order(*items: dict, **facts) -> dict:
    return {
        "registration_code": f"SNV-{uuid.uuid4()}",
        "delivery_number": "1",
        "agency": "H49.61",
        "agency_name": "Sở Nội vụ",
        "items": list(items),
        **facts,
    }


def opened(client: httpx.Client, *items: dict, **facts) -> dict:
    answer = client.post("/v1/batches", json=order(*items, **facts))
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/batches/{answer.json()['id']}"
    return answer.json()


def put(client: httpx.Client, batch: str, identifier: str, body: bytes, status: int = 201, **query: str) -> dict:
    params = {"batch": batch, **query}
    answer = client.put(f"/v1/packages/{identifier}", params=params, content=body, headers={"Prefer": "wait=120"})
    assert answer.status_code == status, answer.text
    return answer.json()


def close(client: httpx.Client, batch: str, **closing) -> httpx.Response:
    return client.post(f"/v1/batches/{batch}/close", json=closing)


def shown(client: httpx.Client, batch: str, show: str) -> list[str]:
    items = client.get(f"/v1/batches/{batch}/items", params={"show": show}).json()["items"]
    return [item["identifier"].rpartition("/")[2] for item in items]


def test_a_delivery_from_list_to_receipt(running: Running, depositor: httpx.Client, prefix: str) -> None:
    a, b = prefix + "a", prefix + "b"
    listed = line(b, BAG, files=len(PAYLOAD), bytes=SIZE)
    batch = opened(depositor, line(a, b"one"), listed)
    assert (batch["state"], batch["packages"]["listed"], batch["packages"]["missing"]) == ("open", 2, 2)
    assert (batch["listed_files"], batch["listed_bytes"], batch["receipt"]) == (3, 3 + SIZE, None)
    put(depositor, batch["id"], a, b"one", filename="một.txt")
    put(depositor, batch["id"], b, BAG)
    now = depositor.get(f"/v1/batches/{batch['id']}").json()
    assert now["packages"] == {
        "listed": 2, "entered": 2, "receipted": 2, "not_ready": 0, "missing": 0, "extra": 0, "different": 0,
    }  # fmt: skip
    assert depositor.get(f"/v1/packages/{a}").json()["descriptive"]["agency_name"] == "Sở Nội vụ"
    answer = close(depositor, batch["id"])
    assert answer.status_code == 200, answer.text
    closed = answer.json()
    receipt = closed["receipt"]
    assert closed["state"] == "closed"
    assert verify_document(receipt, [running.node.key.public_key]).ok
    assert (receipt["format"], receipt["batch"]) == ("khoso-batch-receipt/1", batch["id"])
    assert receipt["registration_code"] == batch["registration_code"]
    assert (receipt["delivery_number"], receipt["agency"]) == ("1", {"code": "H49.61", "name": "Sở Nội vụ"})
    assert receipt["packages"] == {
        "registered": 2, "approved": 2, "entered": 2, "missing": 0, "extra": 0, "different": 0,
    }  # fmt: skip
    assert receipt["files"] == {"registered": 3, "approved": 3, "entered": 3}
    assert receipt["bytes"] == {"registered": 3 + SIZE, "approved": 3 + SIZE, "entered": 3 + SIZE}
    items = depositor.get(f"/v1/batches/{batch['id']}/items").json()["items"]
    entered = [[item["identifier"], item["version"], item["content_digest"]] for item in items]
    assert receipt["list"]["entered_sha256"] == hashlib.sha256(canonical_json(entered)).hexdigest()
    for item in items:
        version = depositor.get(f"/v1/packages/{item['identifier']}").json()["versions"][0]
        assert item["content_digest"] == f"{version['algorithm']}:{version['content_digest']}"
    assert depositor.get(f"/v1/batches/{batch['id']}/receipt").json() == receipt
    assert close(depositor, batch["id"]).json()["receipt"] == receipt, "closed twice: the same receipt"
    assert told(running, EventType.BATCH_OPENED, batch["id"])
    (event,) = told(running, EventType.BATCH_CLOSED, batch["id"])
    assert event.detail["packages"] == receipt["packages"]


def test_what_is_missing_extra_or_different_is_told_and_has_to_be_accepted(
    depositor: httpx.Client, approver: httpx.Client, prefix: str
) -> None:
    body = order(line(prefix + "come", b"1"), line(prefix + "gone", b"2"), line(prefix + "other", b"3"))
    batch = approver.post("/v1/batches", json=body).json()["id"]
    for name, content in (("come", b"1"), ("other", b"not 3"), ("beside", b"4")):
        put(approver, batch, prefix + name, content)
    assert shown(approver, batch, "missing") == ["gone"]
    assert shown(approver, batch, "extra") == ["beside"]
    assert shown(approver, batch, "different") == ["other"]
    assert shown(approver, batch, "entered") == ["beside", "come", "other"]
    refused = assert_problem(close(approver, batch), 409, "batch-differs")
    assert {(f["code"], f["path"].rpartition("/")[2]) for f in refused["faults"]} == {
        ("missing", "gone"), ("extra", "beside"), ("different", "other"),
    }  # fmt: skip
    assert any("digest" in fault["message"] for fault in refused["faults"])
    assert approver.get(f"/v1/batches/{batch}").json()["state"] == "open"
    closed = close(approver, batch, accept_differences=True, reason="Biên bản 12")
    receipt = closed.json()["receipt"]
    assert (receipt["differences_accepted"], receipt["reason"]) == (True, "Biên bản 12")
    assert receipt["packages"] == {
        "registered": 3, "approved": 1, "entered": 3, "missing": 1, "extra": 1, "different": 1,
    }  # fmt: skip
    assert receipt["bytes"] == {"registered": 3, "approved": 1, "entered": 1 + 5 + 1}
    assert_problem(close(approver, batch), 409, "batch-closed")
    assert_problem(
        approver.put(f"/v1/packages/{prefix}gone", params={"batch": batch}, content=b"2"), 409, "batch-closed"
    )
    assert_problem(depositor.get(f"/v1/packages/{prefix}gone"), 404, "no-such-package")


def test_accepting_differences_needs_the_scope_approve(depositor: httpx.Client, prefix: str) -> None:
    batch = opened(depositor, line(prefix + "a", b"1"))["id"]
    assert_problem(close(depositor, batch, accept_differences=True), 403, "wrong-scope")
    assert_problem(close(depositor, batch), 409, "batch-differs")


def test_the_same_opening_again_is_the_same_batch(depositor: httpx.Client, prefix: str) -> None:
    body = order(line(prefix + "a", b"1"), line(prefix + "b", b"2"))
    first = depositor.post("/v1/batches", json=body)
    again = depositor.post("/v1/batches", json={**body, "items": body["items"][::-1]})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = {**body, "items": body["items"][:1]}
    assert_problem(depositor.post("/v1/batches", json=other), 409, "batch-exists")
    assert depositor.post("/v1/batches", json={**other, "delivery_number": 2}).status_code == 201


def test_a_package_that_is_stored_already_is_of_the_batch_too(
    running: Running, depositor: httpx.Client, prefix: str
) -> None:
    depositor.put(f"/v1/packages/{prefix}a", content=b"1", headers={"Prefer": "wait=120"})
    batch = opened(depositor, line(prefix + "a", b"1"))["id"]
    for _ in range(2):
        put(depositor, batch, prefix + "a", b"1", 200)
    assert len(told(running, EventType.BATCH_ENTERED, batch)) == 1
    assert close(depositor, batch).status_code == 200


def test_counts_may_be_of_payload_bag_or_body(depositor: httpx.Client, prefix: str) -> None:
    files = bag(PAYLOAD)
    ways = [(len(PAYLOAD), SIZE), (len(files), sum(map(len, files.values()))), (len(files), len(BAG))]
    items = [line(f"{prefix}{n}", BAG, files=f, bytes=b) for n, (f, b) in enumerate(ways)]
    batch = opened(depositor, *items, line(prefix + "wrong", BAG, files=7, bytes=7))["id"]
    for name in ("0", "1", "2", "wrong"):
        put(depositor, batch, prefix + name, BAG)
    (wrong,) = depositor.get(f"/v1/batches/{batch}/items", params={"show": "different"}).json()["items"]
    assert (wrong["identifier"], wrong["differences"]) == (prefix + "wrong", ["files", "bytes"])


def test_a_batch_waits_for_its_receipts(running: Running, depositor: httpx.Client, prefix: str) -> None:
    batch = opened(depositor, line(prefix + "a", b"1"))["id"]
    with outage(running):
        url, params, headers = f"/v1/packages/{prefix}a", {"batch": batch}, {"Prefer": "wait=0"}
        # It may be meant for the volume that is away, until that is noticed.
        eventually(lambda: depositor.put(url, params=params, content=b"1", headers=headers).status_code == 202)
        document = assert_problem(close(depositor, batch), 409, "batch-not-ready")
        assert [(f["code"], f["path"]) for f in document["faults"]] == [("not-ready", prefix + "a")]
        assert depositor.get(f"/v1/batches/{batch}").json()["packages"]["not_ready"] == 1
    eventually(lambda: close(depositor, batch).status_code == 200)


def test_a_refused_deposit_leaves_its_package_missing(depositor: httpx.Client, prefix: str) -> None:
    broken = tar_of({**bag(PAYLOAD), "data/b/c.bin": b"altered"})
    batch = opened(depositor, line(prefix + "a", broken))["id"]
    put(depositor, batch, prefix + "a", broken, 400, kind="bag")
    put(depositor, batch, prefix + "beside", broken, 400, kind="bag")
    now = depositor.get(f"/v1/batches/{batch}").json()["packages"]
    assert (now["missing"], now["extra"], now["not_ready"]) == (1, 0, 0)


def test_nobody_else_deposits_into_a_batch_or_sees_it(running: Running, depositor: httpx.Client, prefix: str) -> None:
    batch = opened(depositor, line(prefix + "a", b"1"))["id"]
    with running.client("deposit") as other:
        for answer in (
            other.put(f"/v1/packages/{prefix}a", params={"batch": batch}, content=b"1"),
            other.get(f"/v1/batches/{batch}"),
            other.get(f"/v1/batches/{batch}/items"),
            close(other, batch),
        ):
            theirs = assert_problem(answer, 404, "no-such-batch")
            assert theirs["detail"].replace(batch, "X") == "There is no batch 'X'."
        assert batch not in [item["id"] for item in other.get("/v1/batches", params={"limit": 1000}).json()["items"]]
        unknown = other.put(f"/v1/packages/{prefix}a", params={"batch": "nowhere"}, content=b"1")
        assert_problem(unknown, 404, "no-such-batch")
    with running.client("read") as reader:
        assert reader.get(f"/v1/batches/{batch}").status_code == 200
        assert_problem(close(reader, batch), 403, "wrong-scope")


def test_a_deposit_that_names_another_agency_than_its_batch_is_refused(depositor: httpx.Client, prefix: str) -> None:
    batch = opened(depositor, line(prefix + "a", b"1"))["id"]
    document = put(depositor, batch, prefix + "a", b"1", 400, agency="H49.62")
    assert (document["code"], document["faults"][0]["path"]) == ("bad-metadata", "agency")


GOOD = {"identifier": "x", "files": 1, "bytes": 1}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", ""),
        (b"[", ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (order(), "items"),
        (order(GOOD, registration_code=""), "registration_code"),
        (order(GOOD, registration_code="a\nb"), "registration_code"),
        (order(GOOD, delivery_number=1.5), "delivery_number"),
        (order(GOOD, nonsense=1), "nonsense"),
        (order({**GOOD, "identifier": "x\0"}), "items.0.identifier"),
        (order(GOOD, {**GOOD, "identifier": "\ud800"}), ""),
        (order({**GOOD, "files": -1}), "items.0.files"),
        (order({**GOOD, "bytes": 2**60}), "items.0.bytes"),
        (order({**GOOD, "bytes": 1.5}), "items.0.bytes"),
        (order({**GOOD, "digests": {"sha256": "00"}}), "items.0.digests"),
        (order({**GOOD, "digests": {"md5": "0" * 32}}), "items.0.digests"),
        (order({**GOOD, "identifier": "e\u0301"}, {**GOOD, "identifier": "\u00e9"}), "items.1.identifier"),
        (order({**GOOD, "bytes": 2**53 - 1}, {**GOOD, "identifier": "y"}), "items"),
    ],
)
def test_each_list_that_is_wrong_is_told_where(depositor: httpx.Client, body, path: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    document = assert_problem(depositor.post("/v1/batches", content=content), 400, "bad-batch")
    assert document["faults"][0]["path"] == path


@pytest.mark.parametrize("where", ["delivery", "package"])
def test_of_unknown_keys_only_the_first_are_told(depositor: httpx.Client, where: str) -> None:
    nonsense = {str(number): 0 for number in range(900)}
    body = order(GOOD, **nonsense) if where == "delivery" else order({**GOOD, **nonsense})
    document = assert_problem(depositor.post("/v1/batches", json=body), 400, "bad-batch")
    assert len(document["faults"]) == 20
    assert document["faults"][0]["path"] == ("0" if where == "delivery" else "items.0.0")


@pytest.mark.parametrize("part", [b'{"":0}', b"[]", b"0", b'"a"'])
def test_a_list_of_very_many_parts_is_refused_before_it_is_read(depositor: httpx.Client, part: bytes) -> None:
    parts = b",".join([part] * (7_000_000 // (len(part) + 1)))
    body = b'{"registration_code":"x","items":[{"identifier":[' + parts + b"]}]}"
    document = assert_problem(depositor.post("/v1/batches", content=body), 400, "bad-batch")
    assert document["faults"][0]["message"] == "It has more than a list of at most 20000 items can have"


def test_of_very_many_faults_the_first_are_told(depositor: httpx.Client) -> None:
    wrong = {"identifier": [], "files": "", "bytes": "", "digests": []}
    document = assert_problem(depositor.post("/v1/batches", json=order(GOOD, *[wrong] * 5000)), 400, "bad-batch")
    paths = [fault["path"] for fault in document["faults"]]
    assert len(paths) == 1000
    assert set(paths[:4]) == {f"items.1.{key}" for key in wrong}
    assert paths[-1].startswith("items.250.")


def test_the_longest_list_is_read_whatever_its_identifiers_are(depositor: httpx.Client) -> None:
    facts = {"digests": {"sha256": "0" * 64, "sha512": "0" * 128}, "files": 3, "bytes": 10}
    items = [{"identifier": f"urn:a:b,c,d:{{{n:05}}}[x]", **facts} for n in range(20_000)]
    # Refused for its last line alone, since entering them takes a while.
    items[-1]["identifier"] = items[0]["identifier"]
    document = assert_problem(depositor.post("/v1/batches", json=order(*items)), 400, "bad-batch")
    assert [fault["path"] for fault in document["faults"]] == ["items.19999.identifier"]


def test_one_sender_whose_lists_come_slowly_holds_up_nobody_else(running: Running, prefix: str) -> None:
    base = httpx.URL(running.base)
    head = (
        f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.tokens['deposit']}\r\n"
        "Content-Type: application/json\r\nContent-Length: 8000000\r\n\r\n "
    )
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(running.client("deposit", "read"))
        sending = [
            stack.enter_context(contextlib.closing(socket.create_connection((base.host, base.port), 10)))
            for _ in range(3)
        ]
        for connection in sending:
            connection.sendall(head.encode())
        ended = threading.Event()
        # Fast enough that they are not ended for their slowness.
        trickle = threading.Thread(target=_trickle, args=(sending, ended))
        stack.callback(trickle.join)
        stack.callback(ended.set)
        trickle.start()
        # The third finds the share of its sender taken, others do not.
        answered, _, _ = select.select(sending, [], [], 30)
        assert [connection.recv(12) for connection in answered] == [b"HTTP/1.1 503"]
        assert opened(other, line(prefix + "a", b"1"))["state"] == "open"


def _trickle(connections: list[socket.socket], ended: threading.Event) -> None:
    while not ended.wait(0.1):
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(b" " * 10_000)


@pytest.mark.parametrize(
    ("query", "code"),
    [({"show": "all of them"}, "bad-query"), ({"cursor": "!"}, "bad-cursor"), ({"limit": "0"}, "bad-query")],
)
def test_each_query_that_is_wrong(depositor: httpx.Client, prefix: str, query, code: str) -> None:
    batch = opened(depositor, line(prefix + "a", b"1"))["id"]
    assert_problem(depositor.get(f"/v1/batches/{batch}/items", params=query), 400, code)


def test_other_things_that_are_wrong(depositor: httpx.Client, prefix: str) -> None:
    batch = opened(depositor, line(prefix + "a", b"1"))["id"]
    assert_problem(depositor.get("/v1/batches", params={"cursor": "eA"}), 400, "bad-cursor")
    assert_problem(depositor.get("/v1/batches", params={"state": "ajar"}), 400, "bad-query")
    assert_problem(close(depositor, batch, reason="x" * 1001), 400, "invalid")
    assert_problem(close(depositor, batch, nonsense=1), 400, "invalid")
    assert_problem(depositor.get(f"/v1/batches/{batch}/receipt"), 404, "no-receipt-yet")
    assert_problem(depositor.get("/v1/batches/nowhere"), 404, "no-such-batch")
    assert_problem(depositor.post("/v1/batches", content=b" " * (8 * 1024 * 1024 + 1)), 413, "request-too-large")


def test_batches_are_listed_page_by_page(depositor: httpx.Client, prefix: str) -> None:
    ids = [opened(depositor, line(f"{prefix}{n}", b"1"))["id"] for n in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": "2", "state": "open", **({"cursor": cursor} if cursor else {})}
        page = depositor.get("/v1/batches", params=params).json()
        seen += [item["id"] for item in page["items"] if item["id"] in ids]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_five_thousand_packages_are_ordinary(depositor: httpx.Client, prefix: str) -> None:
    digests = {"sha256": "a" * 64, "sha512": "b" * 128}
    items = [{"identifier": f"{prefix}{n:05}", "digests": digests, "files": 30, "bytes": 10**8} for n in range(5000)]
    batch = opened(depositor, *items)
    assert (batch["packages"]["missing"], batch["listed_bytes"]) == (5000, 5 * 10**11)
    document = assert_problem(close(depositor, batch["id"]), 409, "batch-differs")
    assert len(document["faults"]) == 1000
    assert "5000 are missing" in document["detail"]
    names: list[str] = []
    cursor = ""
    while cursor is not None:
        params = {"limit": 1000, "show": "missing", "cursor": cursor}
        page = depositor.get(f"/v1/batches/{batch['id']}/items", params=params).json()
        names += [item["identifier"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert names == sorted(item["identifier"] for item in items)
