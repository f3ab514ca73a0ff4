"""What comes from outside stays data: in the log, in headers, in paths, in messages. A token's secret stays one."""

from __future__ import annotations

import io
import json
import logging
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.serving import Running, eventually
from vault import logs
from vault.api.auth import admit
from vault.api.known_tokens import KnownTokens
from vault.errors import Forbidden


class Wanted:
    """As ``[log]`` would ask for it."""

    level = "info"

    def __init__(self, form: str) -> None:
        self.format = form


@contextmanager
def logged(form: str = "json") -> Iterator[io.StringIO]:
    """What the daemon writes down meanwhile."""
    import structlog

    stream = io.StringIO()
    before, level = structlog.get_config(), logging.getLogger().level
    logs.configure(Wanted(form), stream=stream)  # type: ignore[arg-type]
    try:
        yield stream
    finally:
        structlog.configure(**before)
        root = logging.getLogger()
        root.setLevel(level)
        for handler in [h for h in root.handlers if getattr(h, "stream", None) is stream]:
            root.removeHandler(handler)


def requests_in(stream: io.StringIO) -> list[dict]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "request"]


def test_every_request_is_in_the_log_with_who_what_and_how_it_ended(running: Running) -> None:
    with logged() as stream:
        with running.client("deposit", "read") as client:
            stored = client.put("/v1/packages/log/Đ 1", content=b"12345", headers={"Prefer": "wait=0"})
            client.get("/v1/packages/log/none")
            client.get("/v1/nothing/here")
        with running.client() as nobody:
            nobody.get("/v1/packages")
        with running.local() as local:
            local.get("/v1/status")
        eventually(lambda: len(requests_in(stream)) == 5)
    put, missing, nowhere, unknown, status = requests_in(stream)
    assert put["who"] == "token:deposit-read"
    assert put["address"] == "127.0.0.1"
    assert (put["method"], put["route"].split(":")[0], put["status"]) == ("PUT", "/v1/packages/{identifier", 202)
    assert put["subject"] == "log/%C4%90%201"
    assert put["received"] == 5
    assert put["sent"] == len(stored.content)
    assert put["seconds"] > 0
    assert put["instance"] == stored.headers["x-request-id"]
    assert (missing["status"], missing["note"]) == (404, "no-such-package")
    assert (nowhere["status"], nowhere["path"]) == (404, "/v1/nothing/here")
    assert (unknown["who"], unknown["status"], unknown["note"]) == ("", 401, "no-credentials")
    assert (status["who"].split(":")[0], status["address"], status["status"]) == ("user", "", 200)


@pytest.mark.parametrize("form", ["json", "console", "journal"])
def test_no_request_forges_a_line_or_leaks_a_secret(running: Running, form: str) -> None:
    secret = running.tokens["deposit+read"]
    evil = "x%0a2026-11-22 [info] request status=200 who=root%1b[2J%00%e2%80%ae"
    with logged(form) as stream:
        with running.client("deposit", "read") as client:
            client.get(f"/v1/packages/{evil.replace(' ', '%20')}")
            client.get("/v1/packages", params={"prefix": f"secret={secret}\n<3>forged"})
            client.put("/v1/packages/quiet", params={"title": "Mật khẩu là 1234"}, content=b"content of a record")
            client.get("/v1/packages", headers={"User-Agent": "evil\\n", "X-Forwarded-For": "1.2.3.4"})
            client.get(f"/v1/packages/{secret}")
        with running.client() as nobody:
            nobody.get("/v1/packages", headers={"Authorization": "Bearer khoso_tried-and-wrong-0123456789"})
        with running.local() as local:
            made = local.post("/v1/tokens", json={"name": f"log-{form}", "scopes": ["read"]}).json()["token"]
        eventually(lambda: stream.getvalue().count("status") >= 7)
    text = stream.getvalue()
    for hidden in (secret, made, "khoso_tried-and-wrong", "1234", "content of a record", "evil"):
        assert hidden not in text
    assert "\x1b" not in text
    assert "\x00" not in text
    for line in text.splitlines():
        assert not line.startswith(("2026-11-22 [info] request status=200 who=root", "<3>forged"))


def test_what_is_sent_comes_back_in_no_header(running: Running) -> None:
    names = ["a%0d%0aSet-Cookie:%20x=1", 'quote"%22.pdf', "%0aLocation: evil"]
    with running.client("deposit", "read") as client:
        for name in names:
            refused = client.get(f"/v1/content/injected/{name}")
            assert "set-cookie" not in refused.headers
        assert (
            client.put("/v1/packages/injected/1", params={"filename": "a\r\nX: y.pdf"}, content=b"x").status_code == 400
        )
        kept = 'a"; filename=evil.exe; x=".pdf'
        assert client.put("/v1/packages/injected/2", params={"filename": kept}, content=b"x").status_code == 201
        answer = client.get("/v1/content/injected/2", params={"file": kept})
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].count('"') == 2


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "a/../../b",
        "%00",
        "a%00b",
        "a%ff",
        "a\\..\\b",
    ],
)
def test_no_path_leads_out_of_where_it_belongs(running: Running, path: str) -> None:
    """Sent as it stands: a client would tidy it up."""
    url = httpx.URL(running.base)
    for prefix in ("/v1/packages/", "/v1/content/", "/v1/receipts/"):
        with socket.create_connection((url.host, url.port), 10) as connection:
            head = f"GET {prefix}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            connection.sendall(f"{head}Authorization: Bearer {running.tokens['deposit+read']}\r\n\r\n".encode())
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        status = int(answer.split()[1])
        assert status in (400, 404), answer
        assert b"root:" not in answer
    with running.client("deposit", "read") as client:
        for bad in ("../x", "/etc/passwd", "a/../b"):
            answer = client.get("/v1/content/hidden", params={"file": bad})
            assert answer.status_code == 404


def test_problems_tell_nothing_of_where_things_lie(running: Running) -> None:
    """Errors are read by whoever caused them: no folder of this machine stands in them."""
    root = str(running.root)
    with running.client("deposit", "read", "operate", "approve", "audit") as client:
        answers = [
            client.post("/v1/volumes/nas-a/init"),
            client.post("/v1/volumes/nas-c/mode", json={"mode": "retired"}),
            client.put("/v1/packages/x", content=b""),
            client.get("/v1/content/x", params={"file": "y"}),
            client.post("/v1/repairs", json={"identifier": "../../x"}),
            client.get("/v1/events", params={"after": "x"}),
        ]
    for answer in answers:
        assert answer.status_code >= 400
        assert root not in answer.text
        assert "Traceback" not in answer.text
        assert "vault/" not in answer.text


def test_how_long_a_token_is_looked_at_tells_nothing_of_others(running: Running) -> None:
    """Medians of many, interleaved: a secret that shares its beginning with a good one takes as long as any other."""
    good = running.tokens["read"]
    last = "A" if good[-1] != "A" else "B"
    kinds = {
        "near": good[:-1] + last,
        "far": "khoso_" + "z" * (len(good) - 6),
    }

    known = KnownTokens(running.node.catalogue)
    assert known.find(good) is not None, "it is among those that are remembered"

    def ask(secret: str) -> Callable[[], None]:
        def once() -> None:
            with pytest.raises(Forbidden):
                admit(known.get(secret) or known.find(secret), "127.0.0.1")

        return once

    def compare() -> float:
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(300):
            for kind, secret in kinds.items():
                once = ask(secret)
                began = time.perf_counter()
                once()
                taken[kind].append(time.perf_counter() - began)
        near, far = (statistics.median(times) for times in taken.values())
        return abs(near - far) / far

    # A comparison that stops at the first difference would show in every round; noise does not.
    assert min(compare() for _ in range(3)) < 0.15


ABSURD = "9223372036854775808"


@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("POST", f"/v1/evidence/{ABSURD}/release", None),
        ("POST", f"/v1/libraries/none/drives/{ABSURD}/release", None),
        ("POST", "/v1/recalls", '{"identifier": "numbers", "version": ' + ABSURD + "}"),
        ("POST", "/v1/volumes/nas-a/replace", '{"give_up": ' + ABSURD + "}"),
        ("POST", "/v1/tokens", '{"name": "x", "scopes": ["read"], "limits": {"bytes_per_day": ' + ABSURD + "}}"),
        ("POST", "/v1/tokens", '{"name": "x", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59.999999-14:00"}'),
        ("POST", "/v1/tokens", '{"name": "x", "scopes": ["read"], "expires_at": "0001-01-01T00:00:00+14:00"}'),
        ("GET", f"/v1/events?after={ABSURD}", None),
        ("GET", f"/v1/receipts/numbers?version={ABSURD}", None),
        ("GET", "/v1/packages?created_since=9999-12-31T23:59:59-14:00", None),
    ],
)
def test_numbers_and_times_beyond_all_bounds_are_the_clients_fault(
    running: Running, method: str, address: str, body: str | None
) -> None:
    with running.local() as client:
        client.put("/v1/packages/numbers", content=b"12345", headers={"Prefer": "wait=0"})
        answer = client.request(method, address, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) in ((400, "bad-query"), (400, "invalid")), answer.text
