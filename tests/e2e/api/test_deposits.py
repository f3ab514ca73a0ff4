"""A depositor's view: what is answered, and that nothing wrong is taken in."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.support.serving import Running, bag, eventually, repr_digest
from vault.custody import record
from vault.signing import verify_document


def put(
    client: httpx.Client, identifier: str, body: bytes, headers: dict[str, str] | None = None, **query
) -> httpx.Response:
    return client.put(f"/v1/packages/{identifier}", content=body, headers=headers, params=query)


def assert_problem(response: httpx.Response, status: int, code: str) -> dict:
    document = response.json()
    assert (response.status_code, document["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"urn:khoso:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"] == response.headers["x-request-id"]
    return document


def test_a_deposit_is_answered_with_its_signed_receipt(running: Running, depositor: httpx.Client) -> None:
    body = b"Bao cao nam 2025\n" * 1000
    identifier = "H49.61.8/2025/%C4%90-012%20b"
    response = put(depositor, identifier, body, {"Repr-Digest": repr_digest(body)}, fonds="UBND", title="Báo cáo")
    assert response.status_code == 201, response.text
    receipt = response.json()
    assert verify_document(receipt, [running.node.key.public_key]).ok
    assert receipt["identifier"] == "H49.61.8/2025/Đ-012 b"
    assert {copy["volume"] for copy in receipt["copies"]} == {"nas-a", "nas-b"}
    assert receipt["digests"]["deposit"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert response.headers["etag"] == '"v1"'

    package = depositor.get(response.headers["location"]).json()
    assert package["identifier"] == "H49.61.8/2025/Đ-012 b"
    assert package["descriptive"]["fonds"] == "UBND"
    assert package["descriptive"]["title"] == "Báo cáo"
    assert package["policy_held"] is True
    (version,) = package["versions"]
    assert {copy["state"] for copy in version["copies"]} == {"good"}
    assert all(copy["proved_at"] for copy in version["copies"])
    assert depositor.get(version["receipt"]).json() == receipt
    ingest = depositor.get(f"/v1/ingests/{version['ingest_id']}").json()
    assert (ingest["state"], ingest["receipt"]) == ("receipted", receipt)


def test_the_same_again_answers_the_first_receipt_and_stores_nothing(depositor: httpx.Client) -> None:
    first = put(depositor, "again", b"same")
    second = put(depositor, "again", b"same")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert depositor.get("/v1/packages/again").json()["head"] == 1


def test_other_content_needs_if_match_and_then_is_a_version(depositor: httpx.Client) -> None:
    assert put(depositor, "v", b"one").status_code == 201
    assert_problem(put(depositor, "v", b"two"), 409, "different-content")
    assert_problem(put(depositor, "v", b"two", {"If-Match": '"v2"'}), 412, "precondition-failed")
    assert_problem(put(depositor, "new", b"two", {"If-Match": '"v1"'}), 412, "precondition-failed")
    made = put(depositor, "v", b"two", {"If-Match": '"v1"'})
    assert made.status_code == 201
    assert made.headers["etag"] == '"v2"'
    assert_problem(put(depositor, "v", b"two", {"If-None-Match": "*"}), 412, "precondition-failed")
    for version, data in (("v1", b"one"), ("2", b"two")):
        (file,) = depositor.get("/v1/content/v", params={"version": version}).json()["items"]
        fetched = depositor.get("/v1/content/v", params={"version": version, "file": file["path"]})
        assert fetched.content == data


def test_nobody_is_made_to_wait_longer_than_asked(depositor: httpx.Client) -> None:
    response = put(depositor, "patience", b"later", {"Prefer": "wait=0"})
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "wait=0"
    assert response.json()["state"] in ("stored", "receipted")
    location = response.headers["location"]
    found = eventually(lambda: (d := depositor.get(location).json())["state"] == "receipted" and d)
    assert verify_document(found["receipt"]).ok


def test_a_wrong_digest_is_refused_and_nothing_is_kept(running: Running, depositor: httpx.Client) -> None:
    response = put(depositor, "altered", b"what came", {"Repr-Digest": repr_digest(b"what was sent")})
    document = assert_problem(response, 400, "digest-mismatch")
    assert document["faults"]
    assert_problem(depositor.get("/v1/packages/altered"), 404, "no-such-package")
    assert not [v for v in ("nas-a", "nas-b") if list((running.root / v / "staging").iterdir())]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Repr-Digest": "sha-256=deadbeef"}, 400, "bad-repr-digest"),
        ({"Repr-Digest": "md5=:AAAAAAAAAAAAAAAAAAAAAA==:"}, 400, "unsupported-digest"),
        ({"If-Match": "v1"}, 400, "bad-if-match"),
        ({"If-None-Match": '"v1"'}, 400, "bad-if-match"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported-encoding"),
        ({"Content-Disposition": "attachment; filename*=latin1''x"}, 400, "bad-content-disposition"),
    ],
)
def test_headers_that_cannot_be_understood_are_refused(depositor: httpx.Client, headers, status, code) -> None:
    assert_problem(put(depositor, "headers", b"body", headers), status, code)


@pytest.mark.parametrize("path", ["%FF", "a%00b", "%", "%2", "a%0Ab", "%20a", "", "x" * 1025, "%ED%A0%80"])
def test_addresses_that_name_no_identifier_are_refused(depositor: httpx.Client, path: str) -> None:
    assert_problem(put(depositor, path, b"body"), 400, "bad-identifier")


@pytest.mark.parametrize(
    ("path", "identifier"),
    [("a%252Fb", "a%2Fb"), ("a%2Fb", "a/b"), ("%2E%2E/x", "../x"), ("e%CC%81", "é"), ("a+b", "a+b"), ("/abs", "/abs")],
)
def test_an_identifier_is_decoded_exactly_once(depositor: httpx.Client, path: str, identifier: str) -> None:
    url = httpx.URL(str(depositor.base_url) + "/").copy_with(raw_path=f"/v1/packages/{path}".encode())
    assert depositor.request("PUT", url, content=b"x" + path.encode()).json()["identifier"] == identifier
    assert depositor.request("GET", url).json()["identifier"] == identifier


def test_everything_that_is_wrong_with_a_bag_is_listed(depositor: httpx.Client) -> None:
    broken = bag({"a.txt": b"right", "b.txt": b"right"}).replace(b"right", b"wrong")
    document = assert_problem(put(depositor, "bag", broken, kind="bag"), 400, "bag-invalid")
    assert {fault["path"] for fault in document["faults"]} >= {"data/a.txt", "data/b.txt"}


def test_what_is_not_said_in_a_known_word_is_kept_as_metadata(depositor: httpx.Client) -> None:
    assert put(depositor, "said", b"x", box="12", **{"class": "vinh-vien"}).status_code == 201
    package = depositor.get("/v1/packages/said").json()
    assert package["versions"][0]["metadata"]["box"] == "12"
    assert package["descriptive"]["class"] == "vinh-vien"
    assert_problem(depositor.put("/v1/packages/bad?title=%FF", content=b"x"), 400, "bad-query")
    assert_problem(depositor.put("/v1/packages/bad?title=a&title=b", content=b"x"), 400, "bad-query")
    assert_problem(depositor.put("/v1/packages/bad?kind=folder", content=b"x"), 400, "bad-metadata")
    assert_problem(depositor.put("/v1/packages/bad?date_from=x&date_to=y", content=b"x"), 400, "bad-metadata")


def test_too_large_is_refused_before_all_of_it_was_sent(depositor: httpx.Client) -> None:
    sent = 0

    def body():
        nonlocal sent
        for _ in range(256):
            sent += 256 * 1024
            yield bytes(256 * 1024)

    response = depositor.put("/v1/packages/large", content=body())
    assert_problem(response, 413, "package-too-large")
    assert response.headers["connection"] == "close"
    assert sent < 64 * 1024 * 1024


def test_who_vanishes_leaves_nothing(running: Running) -> None:
    token = running.tokens["deposit"]
    _raw(running, _head("vanished", token) + b"only some", read=False)
    eventually(lambda: _state_of(running, "vanished") == "failed")
    assert not [v for v in ("nas-a", "nas-b") if list((running.root / v / "staging").iterdir())]


def test_who_falls_silent_is_told_so(running: Running) -> None:
    token = running.tokens["deposit"]
    head = (
        f"PUT /v1/packages/silent HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n"
    )
    answer = _raw(running, head.encode() + b"only some")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"request-timeout"' in answer


def test_a_body_of_chunks_that_breaks_off_is_no_deposit(running: Running) -> None:
    token = running.tokens["deposit"]
    head = (
        "PUT /v1/packages/chunks HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    _raw(running, head.encode() + b"5\r\nhello\r\nnonsense\r\n")
    eventually(lambda: _state_of(running, "chunks") == "failed")


def test_more_deposits_than_allowed_are_asked_to_come_again(running: Running, depositor: httpx.Client) -> None:
    token = running.tokens["deposit"]
    door = (httpx.URL(running.base).host, httpx.URL(running.base).port)
    whole = 1_000_000
    with contextlib.ExitStack() as stack:
        open_ones = [stack.enter_context(socket.create_connection(door, 10)) for _ in range(3)]
        for number, one in enumerate(open_ones):
            head = f"PUT /v1/packages/slow{number} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            one.sendall(head.encode() + f"Content-Length: {whole}\r\n\r\n".encode())
        with _dripping(open_ones) as dripped:
            eventually(lambda: all(_state_of(running, f"slow{number}") == "receiving" for number in range(3)))
            refused = put(depositor, "one-too-many", b"x")
        assert_problem(refused, 503, "busy")
        assert int(refused.headers["retry-after"]) > 0
        for one in open_ones:
            one.sendall(bytes(whole - dripped[0]))
            assert one.recv(12).startswith(b"HTTP/1.1 20")
    assert put(depositor, "one-too-many", b"x").status_code == 201


@contextlib.contextmanager
def _dripping(open_ones: list[socket.socket]) -> Iterator[list[int]]:
    """For the block: none of the connections falls idle or slow. Yields how many bytes each has sent."""
    sent, over = [0], threading.Event()

    def drip() -> None:
        while not over.wait(0.1):
            for one in open_ones:
                one.sendall(bytes(1000))
            sent[0] += 1000

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


def test_two_who_deposit_the_same_at_once_both_succeed(running: Running) -> None:
    answers: list[int] = []

    def deposit() -> None:
        with running.client("deposit") as client:
            answers.append(put(client, "race", b"the same", {"Prefer": "wait=120"}).status_code)

    threads = [threading.Thread(target=deposit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 200, 201]


def _head(identifier: str, token: str) -> bytes:
    head = f"PUT /v1/packages/{identifier} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    return head.encode() + b"Content-Length: 1000\r\n\r\n"


def _state_of(running: Running, identifier: str) -> str:
    from vault.catalog.schema import ingests

    with running.node.catalogue.read() as tx:
        found = tx.connection.execute(ingests.select().where(ingests.c.identifier == identifier)).mappings().first()
    return str(found["state"]) if found else ""


def _raw(running: Running, data: bytes, *, read: bool = True) -> bytes:
    url = httpx.URL(running.base)
    with socket.create_connection((url.host, url.port), 10) as connection:
        connection.sendall(data)
        if not read:
            return b""
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def test_another_version_costs_no_more_than_the_one_before(
    depositor: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a deposit is entered nobody else can write; how many versions there are is the depositor's doing."""
    judged: list[int] = []
    judge = record.judge

    def counted(*args, **options):
        if threading.current_thread().name == "receiving":
            judged.append(1)
        return judge(*args, **options)

    monkeypatch.setattr(record, "judge", counted)
    numbers = []
    for number in range(6):
        judged.clear()
        after = {"If-Match": f'"v{number}"'} if number else {}
        answer = put(depositor, "nhiều phiên bản", b"%d" % number, {"Prefer": "wait=0", **after}, filename=f"{number}")
        assert answer.status_code in (201, 202), answer.text
        numbers.append(len(judged))
    assert numbers == [1] * 6
