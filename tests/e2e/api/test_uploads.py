"""Resumable deposits as a tus client sees them: offsets that hold, and refusals that say what is wrong."""

from __future__ import annotations

import hashlib
import os
import socket
from base64 import b64encode
from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.e2e.api.test_deposits import assert_problem
from tests.support.patience import PATIENCE
from tests.support.serving import Running, bag, eventually, make_token, repr_digest
from vault.catalog import uploads as catalog_uploads
from vault.signing import verify_document

VERSION = {"Tus-Resumable": "1.0.0"}
SEND = {**VERSION, "Content-Type": "application/offset+octet-stream"}


def metadata(**said: str) -> str:
    return ",".join(f"{key} {b64encode(value.encode()).decode()}".strip() for key, value in said.items())


def begin(client: httpx.Client, identifier: str, length: int | None, content: bytes = b"", headers=None, **said):
    head = {**VERSION, "Upload-Metadata": metadata(identifier=identifier, **said), **(headers or {})}
    head |= {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    if content:
        head["Content-Type"] = SEND["Content-Type"]
    return client.post("/v1/uploads", headers=head, content=content)


def created(client: httpx.Client, identifier: str, length: int | None, content: bytes = b"", **said) -> str:
    answer = begin(client, identifier, length, content, **said)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def send(client: httpx.Client, url: str, offset: int, data: bytes, headers=None) -> httpx.Response:
    return client.patch(url, headers={**SEND, "Upload-Offset": str(offset), **(headers or {})}, content=data)


def offset_of(client: httpx.Client, url: str) -> int:
    answer = client.head(url, headers=VERSION)
    assert answer.status_code == 200, answer.headers
    return int(answer.headers["upload-offset"])


def receipted(client: httpx.Client, ingest: str) -> dict:
    return eventually(lambda: (d := client.get(ingest).json())["state"] == "receipted" and d)["receipt"]


def spooled(running: Running) -> list[str]:
    return [p.name for v in ("nas-a", "nas-b", "nas-c") for p in (running.root / v / "uploads").glob("*")]


def test_what_this_node_can_is_said(depositor):
    answer = depositor.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) >= {
        "creation", "creation-with-upload", "checksum", "expiration", "termination", "creation-defer-length",
    }  # fmt: skip
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,sha512"
    assert answer.headers["tus-max-size"] == str(8_000_000)


def test_an_upload_in_pieces_becomes_a_package_with_its_receipt(running, depositor):
    body = bag({"Báo cáo.txt": os.urandom(300_000)})
    said = {"fonds": "UBND", "title": "Báo cáo", "repr_digest": repr_digest(body), "box": "12"}
    answer = begin(depositor, "H49/tải lên", len(body), **said)
    url, ingest = answer.headers["location"], answer.headers["khoso-ingest"]
    assert parsedate_to_datetime(answer.headers["upload-expires"])
    assert depositor.get(ingest).json()["state"] == "receiving"
    half = len(body) // 2
    first = send(depositor, url, 0, body[:half])
    assert (first.status_code, first.headers["upload-offset"]) == (204, str(half))
    seen = depositor.head(url, headers=VERSION)
    assert seen.headers["upload-offset"] == str(half)
    assert seen.headers["upload-length"] == str(len(body))
    assert seen.headers["cache-control"] == "no-store"
    assert seen.headers["upload-metadata"] == metadata(identifier="H49/tải lên", **said)
    last = send(depositor, url, half, body[half:])
    assert (last.status_code, last.headers["khoso-ingest"]) == (204, ingest)
    receipt = receipted(depositor, ingest)
    assert verify_document(receipt, [running.node.key.public_key]).ok
    assert receipt["ingest"] == ingest.rpartition("/")[2]
    assert receipt["digests"]["deposit"]["sha256"] == hashlib.sha256(body).hexdigest()
    package = depositor.get("/v1/packages/H49/t%E1%BA%A3i%20l%C3%AAn").json()
    assert package["descriptive"]["title"] == "Báo cáo"
    assert package["versions"][0]["metadata"]["box"] == "12"
    # Whoever lost the last answer asks, or sends the end again, and is told of the same ingest.
    assert offset_of(depositor, url) == len(body)
    assert send(depositor, url, len(body), b"").headers["khoso-ingest"] == ingest
    assert_problem(send(depositor, url, half, body[half:]), 409, "wrong-offset")
    eventually(lambda: not spooled(running))


def test_an_upload_can_begin_with_bytes_and_say_its_length_later(depositor):
    body = os.urandom(70_000)
    url = created(depositor, "một lần", len(body), body, filename="a.bin")
    receipted(depositor, f"/v1/ingests/{url.rpartition('/')[2]}")
    later = created(depositor, "sau", None, body[:10], filename="a.bin")
    assert depositor.head(later, headers=VERSION).headers["upload-defer-length"] == "1"
    assert send(depositor, later, 10, body[10:50]).status_code == 204
    assert_problem(send(depositor, later, 50, b"", {"Upload-Length": "49"}), 400, "bad-upload-length")
    assert_problem(send(depositor, later, 50, body[50:110], {"Upload-Length": "100"}), 413, "upload-too-long")
    assert depositor.head(later, headers=VERSION).headers["upload-defer-length"] == "1", "a refused length was kept"
    assert send(depositor, later, 50, body[50:], {"Upload-Length": str(len(body))}).status_code == 204
    ingest = f"/v1/ingests/{later.rpartition('/')[2]}"
    assert receipted(depositor, ingest)["bytes"] == len(body)


def test_a_wrong_offset_changes_nothing(depositor):
    url = created(depositor, "sai chỗ", 10, b"01234")
    for offset in (0, 4, 6, 10):
        assert_problem(send(depositor, url, offset, b"xx"), 409, "wrong-offset")
    assert offset_of(depositor, url) == 5
    assert depositor.delete(url, headers=VERSION).status_code == 204


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_piece_that_was_altered_is_not_kept(depositor, algorithm):
    body = os.urandom(5000)
    url = created(depositor, f"tổng kiểm {algorithm}", len(body))
    right = {"Upload-Checksum": f"{algorithm} {b64encode(hashlib.new(algorithm, body[:2000]).digest()).decode()}"}
    assert_problem(send(depositor, url, 0, bytes([body[0] ^ 1]) + body[1:2000], right), 460, "checksum-mismatch")
    assert offset_of(depositor, url) == 0
    assert send(depositor, url, 0, body[:2000], right).status_code == 204
    assert send(depositor, url, 2000, body[2000:]).status_code == 204
    receipt = receipted(depositor, f"/v1/ingests/{url.rpartition('/')[2]}")
    assert receipt["bytes"] == 5000


def test_more_than_was_announced_is_refused_and_not_kept(depositor):
    url = created(depositor, "dài quá", 10, b"01234")
    assert_problem(send(depositor, url, 5, b"567890"), 413, "upload-too-long")
    chunks = depositor.patch(url, headers={**SEND, "Upload-Offset": "5"}, content=iter([b"567", b"890"]))
    assert_problem(chunks, 413, "upload-too-long")
    assert offset_of(depositor, url) == 5
    assert_problem(begin(depositor, "lớn quá", 8_000_001), 413, "package-too-large")
    assert_problem(begin(depositor, "rỗng", 0), 400, "empty-body")


def test_an_upload_that_is_refused_at_once_is_an_event(running, depositor):
    answer = begin(depositor, "chưa có", 10, if_match="v3")
    assert_problem(answer, 412, "precondition-failed")
    with running.local() as local:
        (event,) = local.get("/v1/events", params={"identifier": "chưa có"}).json()["items"]
    assert (event["type"], event["outcome"], event["agent"]) == ("ingestion", "failure", "token:deposit-read")
    assert event["detail"]["code"] == "precondition-failed"


@pytest.mark.parametrize(
    ("method", "headers", "status", "code"),
    [
        ("POST", {"Tus-Resumable": "0.2.2"}, 412, "unsupported-tus-version"),
        ("POST", {"Tus-Resumable": None}, 412, "unsupported-tus-version"),
        ("POST", {"Upload-Length": None}, 400, "bad-upload-length"),
        ("POST", {"Upload-Length": "-1"}, 400, "bad-upload-length"),
        ("POST", {"Upload-Length": "1e3"}, 400, "bad-upload-length"),
        ("POST", {"Upload-Defer-Length": "1"}, 400, "bad-upload-length"),
        ("POST", {"Upload-Length": None, "Upload-Defer-Length": "yes"}, 400, "bad-upload-length"),
        ("POST", {"Upload-Metadata": None}, 400, "bad-upload-metadata"),
        ("POST", {"Upload-Metadata": "filename YQ=="}, 400, "bad-upload-metadata"),
        ("POST", {"Upload-Metadata": "identifier YQ==,identifier YQ=="}, 400, "bad-upload-metadata"),
        ("POST", {"Upload-Metadata": "identifier ?"}, 400, "bad-upload-metadata"),
        ("POST", {"Upload-Metadata": "identifier /w=="}, 400, "bad-upload-metadata"),
        ("POST", {"Upload-Metadata": "identifier YQ==,,"}, 400, "bad-upload-metadata"),
        ("POST", {"Upload-Metadata": b"identifier \xe9"}, 400, "bad-upload-metadata"),
        ("POST", {"Upload-Metadata": "identifier IA=="}, 400, "bad-identifier"),
        ("POST", {"Upload-Metadata": metadata(identifier="a", kind="folder")}, 400, "bad-metadata"),
        ("POST", {"Upload-Metadata": metadata(identifier="a", repr_digest="sha-256=x")}, 400, "bad-repr-digest"),
        ("POST", {"Upload-Metadata": metadata(identifier="a", if_match="three")}, 400, "bad-if-match"),
        ("POST", {"Upload-Metadata": metadata(identifier="a", if_match="v3")}, 412, "precondition-failed"),
        ("PATCH", {"Upload-Offset": None}, 400, "bad-upload-offset"),
        ("PATCH", {"Upload-Offset": "five"}, 400, "bad-upload-offset"),
        ("PATCH", {"Content-Type": "application/octet-stream"}, 415, "bad-content-type"),
        ("PATCH", {"Content-Type": None}, 415, "bad-content-type"),
        ("PATCH", {"Upload-Checksum": "crc32 AAAAAA=="}, 400, "unsupported-checksum"),
        ("PATCH", {"Upload-Checksum": "sha1 AAAA"}, 400, "bad-upload-checksum"),
        ("PATCH", {"Upload-Checksum": "sha1 !"}, 400, "bad-upload-checksum"),
        ("PATCH", {"Upload-Checksum": b"sha1 \xe9"}, 400, "bad-upload-checksum"),
        ("PATCH", {"Tus-Resumable": "2.0.0"}, 412, "unsupported-tus-version"),
        ("DELETE", {"Tus-Resumable": None}, 412, "unsupported-tus-version"),
    ],
)
def test_each_header_that_cannot_be_read_has_its_own_sentence(depositor, method, headers, status, code):
    right = {
        "POST": {**VERSION, "Upload-Length": "10", "Upload-Metadata": metadata(identifier="a")},
        "PATCH": {**SEND, "Upload-Offset": "0"},
        "DELETE": VERSION,
    }[method]
    url = "/v1/uploads" if method == "POST" else created(depositor, "tiêu đề", 10)
    sent = {k: v for k, v in {**right, **headers}.items() if v is not None}
    answer = depositor.request(method, url, headers=sent, content=b"x" if method == "PATCH" else None)
    assert_problem(answer, status, code)
    assert answer.headers["tus-resumable"] == "1.0.0"
    if code == "unsupported-tus-version":
        assert answer.headers["tus-version"] == "1.0.0"
    if method != "POST":
        assert offset_of(depositor, url) == 0
        assert depositor.delete(url, headers=VERSION).status_code == 204


def test_a_broken_request_keeps_what_came_unless_it_has_a_checksum(running, depositor):
    url = created(depositor, "đứt", 100_000)
    _half(running, url, 0, b"a" * 30_000).close()
    offset = eventually(lambda: offset_of(depositor, url))
    assert offset == 30_000
    checked = f"Upload-Checksum: sha1 {b64encode(bytes(20)).decode()}\r\n"
    _half(running, url, offset, b"b" * 20_000, checked).close()
    assert offset_of(depositor, url) == 30_000
    assert depositor.delete(url, headers=VERSION).status_code == 204


def test_who_comes_again_is_not_held_up_by_a_link_that_died(running, depositor):
    url = created(depositor, "chết lặng", 60_000)
    with _half(running, url, 0, b"a" * 20_000):
        assert offset_of(depositor, url) == 20_000
        assert send(depositor, url, 20_000, b"b" * 40_000).status_code == 204
    assert receipted(depositor, f"/v1/ingests/{url.rpartition('/')[2]}")["bytes"] == 60_000


def test_an_upload_is_its_tokens_own(running, depositor):
    url = created(depositor, "của tôi", 10, b"01")
    with running.client("deposit") as other, running.local() as local:
        for stranger in (other, local):
            assert stranger.head(url, headers=VERSION).status_code == 404
            assert_problem(send(stranger, url, 2, b"23456789"), 404, "no-such-upload")
            assert_problem(stranger.delete(url, headers=VERSION), 404, "no-such-upload")
    with running.client("read") as reader:
        assert_problem(begin(reader, "không được", 10), 403, "wrong-scope")
    assert_problem(depositor.delete("/v1/uploads/nobody", headers=VERSION), 404, "no-such-upload")
    assert offset_of(depositor, url) == 2
    assert depositor.delete(url, headers=VERSION).status_code == 204


def test_an_upload_that_is_ended_frees_its_space_and_says_so(running, depositor):
    url = created(depositor, "thôi", 10, b"01234")
    assert _files(running, url)
    assert depositor.delete(url, headers=VERSION).status_code == 204
    assert not _files(running, url)
    assert_problem(send(depositor, url, 5, b"5"), 410, "upload-terminated")
    assert depositor.head(url, headers=VERSION).status_code == 410
    assert depositor.get(f"/v1/ingests/{url.rpartition('/')[2]}").json()["problem"]["code"] == "upload-terminated"


def test_an_upload_that_nobody_touches_expires_and_is_forgotten(running, depositor):
    url = created(depositor, "bỏ quên", 10, b"01234")
    upload_id = url.rpartition("/")[2]
    running.node.uploads.expire()
    assert offset_of(depositor, url) == 5
    _age(running, upload_id)
    running.node.uploads.expire()
    assert not _files(running, url)
    assert_problem(send(depositor, url, 5, b"5"), 410, "upload-expired")
    assert depositor.get(f"/v1/ingests/{upload_id}").json()["problem"]["code"] == "upload-expired"
    _age(running, upload_id)
    running.node.uploads.expire()
    assert_problem(send(depositor, url, 5, b"5"), 404, "no-such-upload")


def test_what_is_refused_in_the_end_says_all_that_is_wrong_in_its_ingest(running, depositor):
    broken = bag({"a.txt": b"right", "b.txt": b"right"}).replace(b"right", b"wrong")
    url = created(depositor, "hỏng", len(broken), broken, kind="bag")
    ingest = f"/v1/ingests/{url.rpartition('/')[2]}"
    found = eventually(lambda: (d := depositor.get(ingest).json())["state"] == "refused" and d)
    assert found["problem"]["code"] == "bag-invalid"
    assert {fault["path"] for fault in found["problem"]["faults"]} >= {"data/a.txt", "data/b.txt"}
    eventually(lambda: not _files(running, url))
    assert_problem(depositor.delete(url, headers=VERSION), 409, "upload-complete")


def test_of_a_state_secret_not_even_what_was_said_of_it_stays(depositor):
    body = bag({"a.txt": b"x"}, "Do-mat: Tuyệt mật")
    url = created(depositor, "mật", len(body), body, kind="bag", title="Phương án", filename="phuong-an.tar")
    ingest = f"/v1/ingests/{url.rpartition('/')[2]}"
    found = eventually(lambda: (d := depositor.get(ingest).json())["state"] == "refused" and d)
    assert (found["problem"]["code"], found["identifier"]) == ("state-secret", "mật")
    answer = depositor.head(url, headers=VERSION)
    assert (answer.status_code, answer.headers.get("upload-metadata")) == (200, None)


def test_uploads_are_bounded_for_each_token(running):
    secret = make_token(running.node, "deposit", "audit")
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=running.base, headers=headers, timeout=30 * PATIENCE, trust_env=False) as client:
        most = running.node.settings.intake.max_uploads_per_token
        urls = [created(client, f"nhiều/{number}", 10) for number in range(most)]
        assert_problem(begin(client, "thừa", 10), 429, "too-many-uploads")
        for url in urls:
            assert client.delete(url, headers=VERSION).status_code == 204
        client.delete(created(client, "lại được", 10), headers=VERSION)


def test_clients_that_may_not_patch_say_so_in_a_post(depositor):
    url = created(depositor, "ghi đè", 10, b"01234")
    override = {**SEND, "Upload-Offset": "5", "X-HTTP-Method-Override": "PATCH"}
    answer = depositor.post(url, headers=override, content=b"56789")
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "10")


@pytest.mark.parametrize("method", ["HEAD", "GET", "TRACE"])
def test_a_post_is_no_other_method_than_those_of_tus(depositor, method):
    """HEAD least of all: its answer has a length and no body, for which whoever has sent a POST would wait."""
    url = created(depositor, f"ghi đè {method}", 10, b"01234")
    answer = depositor.post(url, headers={**VERSION, "X-HTTP-Method-Override": method})
    assert_problem(answer, 405, "method-not-allowed")
    assert depositor.delete(url, headers=VERSION).status_code == 204


def _files(running: Running, url: str) -> list:
    name = url.rpartition("/")[2]
    return [p for v in ("nas-a", "nas-b", "nas-c") for p in (running.root / v / "uploads").glob(name)]


def _age(running: Running, upload_id: str) -> None:
    """As if its time were over."""
    from vault.catalog.schema import uploads

    with running.node.catalogue.write() as tx:
        found = catalog_uploads.get(tx, upload_id)
        assert found is not None
        past = tx.now - timedelta(seconds=1)
        tx.connection.execute(uploads.update().where(uploads.c.id == upload_id).values(expires_at=past))


def _half(running: Running, url: str, offset: int, data: bytes, more: str = "") -> socket.socket:
    """A PATCH that announces more than it sends; what it sends has been written when this returns."""
    token = running.tokens["deposit+read"]
    base = httpx.URL(running.base)
    connection = socket.create_connection((base.host, base.port), 10)
    head = (
        f"PATCH {url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTus-Resumable: 1.0.0\r\n"
        f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n{more}"
        f"Content-Length: {len(data) + 1000}\r\n\r\n"
    )
    try:
        connection.sendall(head.encode() + data)
        eventually(lambda: any(p.stat().st_size == offset + len(data) for p in _files(running, url)))
    except BaseException:
        connection.close()
        raise
    return connection
