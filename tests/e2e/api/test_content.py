"""Whoever fetches gets the right bytes, or is told; never wrong bytes that look whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import socket
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Running, bag, eventually, repr_digest, tar_files, zip_files

FILES = {
    "a.txt": b"small",
    "folder/Báo cáo.pdf": b"%PDF-1.7" + bytes(range(256)) * 10,
    "empty": b"",
    "page.html": b"<b>",
}
BIG = os.urandom(5 * 1024 * 1024 + 77)


@pytest.fixture(scope="module")
def stored(running: Running) -> Running:
    with running.client("deposit") as client:
        assert client.put("/v1/packages/hồ/sơ", content=bag(FILES)).status_code == 201
        response = client.put("/v1/packages/big", content=BIG, params={"filename": "big.bin", "kind": "file"})
        assert response.status_code == 201, response.text
    return running


def get(client: httpx.Client, identifier: str, headers: dict[str, str] | None = None, **query) -> httpx.Response:
    return client.get(f"/v1/content/{identifier}", params=query, headers=headers)


def first_choice(running: Running, client: httpx.Client, identifier: str, name: str) -> Path:
    """The file of that name in the copy that is served first."""
    volume = client.get(f"/v1/packages/{identifier}").json()["versions"][0]["copies"][0]["volume"]
    (found,) = (running.root / volume).glob(f"ocfl/**/v1/content/**/{name}")
    return found


def test_the_list_has_the_depositors_files_page_by_page(stored: Running, depositor: httpx.Client) -> None:
    first = get(depositor, "hồ/sơ", limit=3).json()
    second = get(depositor, "hồ/sơ", limit=100, cursor=first["next_cursor"]).json()
    listed = {item["path"]: item["digest"] for item in first["items"] + second["items"]}
    assert second["next_cursor"] is None
    assert {path for path in listed if "data/" in path} == {f"data/{name}" for name in FILES}
    assert "khoso-deposit.json" not in listed
    assert listed["data/a.txt"] == hashlib.sha512(b"small").hexdigest()


def test_a_file_comes_with_what_proves_it(stored: Running, depositor: httpx.Client) -> None:
    response = get(depositor, "hồ/sơ", file="data/folder/Báo cáo.pdf")
    data = FILES["folder/Báo cáo.pdf"]
    assert (response.status_code, response.content) == (200, data)
    assert response.headers["repr-digest"] == repr_digest(data, "sha-512")
    assert response.headers["content-type"] == "application/pdf"
    assert "B%C3%A1o" in response.headers["content-disposition"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    again = get(depositor, "hồ/sơ", {"If-None-Match": response.headers["etag"]}, file="data/folder/Báo cáo.pdf")
    assert (again.status_code, again.content) == (304, b"")
    head = depositor.head("/v1/content/hồ/sơ", params={"file": "data/folder/Báo cáo.pdf"})
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")


def test_what_a_browser_would_run_is_not_called_so(stored: Running, depositor: httpx.Client) -> None:
    assert get(depositor, "hồ/sơ", file="data/page.html").headers["content-type"] == "application/octet-stream"


def test_an_empty_file_and_the_nodes_own_note(stored: Running, depositor: httpx.Client) -> None:
    assert get(depositor, "hồ/sơ", file="data/empty").content == b""
    assert get(depositor, "hồ/sơ", {"Range": "bytes=-5"}, file="data/empty").status_code == 416
    assert get(depositor, "hồ/sơ", file="khoso-deposit.json").json()["identifier"] == "hồ/sơ"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, None),
        ("bytes=-10", -10, None),
        ("bytes=3000000-5000000", 3000000, 5000001),
    ],
)
def test_a_part_of_a_file(stored: Running, depositor: httpx.Client, asked: str, start: int, end: int | None) -> None:
    response = get(depositor, "big", {"Range": asked}, file="big.bin")
    assert response.status_code == 206
    assert response.content == BIG[start:end]
    first = start % len(BIG)
    assert response.headers["content-range"] == f"bytes {first}-{first + len(response.content) - 1}/{len(BIG)}"
    assert response.headers["repr-digest"] == repr_digest(BIG, "sha-512")


def test_ranges_that_do_not_hold(stored: Running, depositor: httpx.Client) -> None:
    beyond = get(depositor, "big", {"Range": f"bytes={len(BIG)}-"}, file="big.bin")
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range-not-satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{len(BIG)}"
    assert get(depositor, "big", {"Range": "bytes=0-1,5-6"}, file="big.bin").status_code == 200
    assert get(depositor, "big", {"Range": "bytes=0-1", "If-Range": '"other"'}, file="big.bin").content == BIG
    tag = get(depositor, "big", {"Range": "bytes=0-1"}, file="big.bin").headers["etag"]
    assert get(depositor, "big", {"Range": "bytes=0-1", "If-Range": tag}, file="big.bin").status_code == 206


def test_a_tar_is_the_same_each_time_and_says_its_length(stored: Running, depositor: httpx.Client) -> None:
    first, second = (get(depositor, "hồ/sơ", format="tar") for _ in range(2))
    assert first.content == second.content
    assert int(first.headers["content-length"]) == len(first.content)
    files = tar_files(first.content)
    assert {name.removeprefix("data/"): data for name, data in files.items() if name.startswith("data/")} == FILES
    assert "bagit.txt" in files
    assert "khoso-deposit.json" not in files
    assert depositor.head("/v1/content/hồ/sơ", params={"format": "tar"}).headers["content-length"] == str(
        len(first.content)
    )


def test_a_tar_can_be_deposited_again_as_it_came(stored: Running, depositor: httpx.Client) -> None:
    packed = get(depositor, "hồ/sơ", format="tar").content
    assert depositor.put("/v1/packages/hồ/sơ", content=packed).status_code == 200


def test_a_zip(stored: Running, depositor: httpx.Client) -> None:
    response = get(depositor, "big", format="zip")
    assert zip_files(response.content) == {"big.bin": BIG}
    assert (
        depositor.put("/v1/packages/of-zip", content=get(depositor, "hồ/sơ", format="zip").content).status_code == 201
    )


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"file": "no"}, 404, "no-such-file"),
        ({"file": "../../x"}, 404, "no-such-file"),
        ({"version": "9"}, 404, "no-such-version"),
        ({"version": "x"}, 400, "bad-query"),
        ({"format": "rar"}, 400, "bad-query"),
        ({"format": "tar", "file": "a"}, 400, "bad-query"),
        ({"cursor": "?"}, 400, "bad-cursor"),
        ({"limit": "0"}, 400, "bad-query"),
    ],
)
def test_what_is_not_there(stored: Running, depositor: httpx.Client, query, status, code) -> None:
    response = get(depositor, "big", **query)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_small_damaged_file_is_served_from_another_copy(stored: Running, depositor: httpx.Client) -> None:
    depositor.put("/v1/packages/small", content=b"the right bytes", params={"filename": "s.txt"})
    victim = first_choice(stored, depositor, "small", "s.txt")
    _damage(victim, b"THE wrong bytes")
    for _ in range(3):
        assert get(depositor, "small", file="s.txt").content == b"the right bytes"
    eventually(lambda: victim.read_bytes() == b"the right bytes")
    eventually(lambda: _states(depositor, "small") == {"good"})


def test_wrong_bytes_never_look_complete_and_the_next_request_is_served(
    stored: Running, depositor: httpx.Client
) -> None:
    depositor.put("/v1/packages/large", content=BIG, params={"filename": "l.bin", "kind": "file"})
    victim = first_choice(stored, depositor, "large", "l.bin")
    _damage(victim, BIG[:-1] + bytes([BIG[-1] ^ 1]))
    with pytest.raises(httpx.HTTPError):
        get(depositor, "large", file="l.bin")
    assert get(depositor, "large", file="l.bin").content == BIG
    doubt = next(e for e in _events(stored, "large", "fixity-check") if e["outcome"] == "warning")
    assert doubt["volume"] == victim.relative_to(stored.root).parts[0]
    eventually(lambda: victim.read_bytes() == BIG)
    eventually(lambda: _states(depositor, "large") == {"good"})


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_an_archive_with_wrong_bytes_never_looks_complete(stored: Running, depositor: httpx.Client, form: str) -> None:
    name = f"{form}.bin"
    depositor.put(f"/v1/packages/packed-{form}", content=BIG, params={"filename": name, "kind": "file"})
    victim = first_choice(stored, depositor, f"packed-{form}", name)
    _damage(victim, bytes([BIG[0] ^ 1]) + BIG[1:])
    with pytest.raises(httpx.HTTPError):
        get(depositor, f"packed-{form}", format=form)
    unpack = tar_files if form == "tar" else zip_files
    assert unpack(get(depositor, f"packed-{form}", format=form).content) == {name: BIG}


def test_who_takes_nothing_is_hung_up_on(stored: Running) -> None:
    """The thread that reads for a client must not wait for it for ever."""
    url = httpx.URL(stored.base)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((url.host, url.port))
        head = (
            f"GET /v1/content/big?file=big.bin HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stored.tokens['read']}\r\n"
        )
        connection.sendall(head.encode() + b"\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        reset = select.poll()
        reset.register(connection, select.POLLRDHUP)
        assert reset.poll(20_000), "nobody hung up"
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += len(chunk)
    assert received < len(BIG)
    eventually(lambda: "content" not in {thread.name for thread in threading.enumerate()})


def test_who_goes_away_is_not_read_for_any_longer(stored: Running) -> None:
    with (
        stored.client("read") as client,
        client.stream("GET", "/v1/content/big", params={"file": "big.bin"}) as response,
    ):
        next(response.iter_raw(1000))
    eventually(lambda: "content" not in {thread.name for thread in threading.enumerate()})


def test_a_file_that_is_gone_is_served_from_another_copy(stored: Running, depositor: httpx.Client) -> None:
    depositor.put("/v1/packages/gone", content=b"gone on one", params={"filename": "g.txt"})
    victim = first_choice(stored, depositor, "gone", "g.txt")
    victim.chmod(0o644)
    victim.unlink()
    assert get(depositor, "gone", file="g.txt").content == b"gone on one"


def _damage(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def _states(client: httpx.Client, identifier: str) -> set[str]:
    package = client.get(f"/v1/packages/{identifier}").json()
    return {copy["state"] for copy in package["versions"][0]["copies"]}


def _events(running: Running, identifier: str, type_: str) -> list[dict]:
    with running.client("audit") as client:
        return client.get("/v1/events", params={"identifier": identifier, "type": type_}).json()["items"]
