"""Who may do what; and that nothing gets through that is not asked for in the right way."""

from __future__ import annotations

import getpass
import json
import os
import socket
import stat
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.serving import Running


def test_without_a_token_nothing_but_the_open_doors(running: Running) -> None:
    with running.client() as client:
        for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200, path
        refused = client.get("/v1/packages")
        assert (refused.status_code, refused.json()["code"]) == (401, "no-credentials")
        assert refused.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("value", ["Bearer wrong", "Basic YTpi", "Bearer", "Bearer a b", "khoso_x", "Bearer \u00e9"])
def test_a_wrong_token_is_no_token(running: Running, value: str) -> None:
    with running.client() as client:
        refused = client.get("/v1/packages", headers={"Authorization": value.encode("latin-1")})
        assert (refused.status_code, refused.json()["code"]) == (401, "bad-credentials")
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        assert client.get("/healthz", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_over_the_unix_socket_the_kernel_says_who_it_is(running: Running) -> None:
    with running.local() as client:
        made = client.post("/v1/tokens", json={"name": "by-me", "scopes": ["read"]})
        assert made.status_code == 201, made.text
        assert made.json()["token"].startswith("khoso_")
        event = client.get("/v1/events", params={"type": "token-created"}).json()["items"][-1]
    assert event["agent"] == f"user:{getpass.getuser()}"
    assert made.json()["token"] not in json.dumps(event)
    assert stat.S_IMODE(os.stat(running.socket).st_mode) == 0o660


def test_a_token_lives_until_it_is_revoked_or_expires(running: Running) -> None:
    with running.local() as client:
        secret = client.post("/v1/tokens", json={"name": "short", "scopes": ["read"]}).json()["token"]
        again = client.post("/v1/tokens", json={"name": "short", "scopes": ["read"]})
        assert (again.status_code, again.json()["code"]) == (409, "token-exists")
        past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        expired = client.post("/v1/tokens", json={"name": "past", "scopes": ["read"], "expires_at": past}).json()
        with running.client() as other:
            assert other.get("/v1/packages", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
            assert client.delete("/v1/tokens/short").json()["revoked_at"]
            assert other.get("/v1/packages", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
            late = {"Authorization": f"Bearer {expired['token']}"}
            assert other.get("/v1/packages", headers=late).status_code == 401
        listed = client.get("/v1/tokens").json()["items"]
        assert "short" not in {token["name"] for token in listed}
        assert secret not in json.dumps(listed)


@pytest.mark.parametrize(
    "order",
    [{"name": "x"}, {"name": "x", "scopes": []}, {"name": "a b", "scopes": ["read"]}, {"name": "x", "scopes": ["all"]},
     {"name": "x", "scopes": ["read"], "more": 1},
     {"name": "x", "scopes": ["read"], "expires_at": "2026-11-22T10:40:42"}],
)  # fmt: skip
def test_orders_that_are_not_right_name_what_is_wrong(running: Running, order: dict) -> None:
    with running.local() as client:
        refused = client.post("/v1/tokens", json=order)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert refused.json()["faults"][0]["path"]


def test_unknown_addresses_and_methods_are_problems_too(everyone: httpx.Client) -> None:
    missing = everyone.get("/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "no-such-route")
    wrong = everyone.delete("/v1/packages/x")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET, PUT"
    assert everyone.get("/v1/packages/").json()["code"] == "bad-identifier"
    assert everyone.post("/v1/repairs", content=b"{").json()["code"] == "invalid"


def test_every_answer_carries_what_keeps_browsers_honest(everyone: httpx.Client) -> None:
    for response in (everyone.get("/healthz"), everyone.get("/v1/nothing"), everyone.get("/docs")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-request-id"]
        assert "server" not in response.headers


def test_a_body_that_is_no_deposit_is_bounded(everyone: httpx.Client) -> None:
    large = b'{"identifier": "' + b"x" * 300_000 + b'"}'
    assert everyone.post("/v1/repairs", content=large).json()["code"] == "request-too-large"
    assert everyone.post("/v1/repairs", content=iter([large[:1000]] * 300)).json()["code"] == "request-too-large"


def raw(running: Running, data: bytes, *, hold: bool = False) -> bytes:
    url = httpx.URL(running.base)
    with socket.create_connection((url.host, url.port), 30) as connection:
        connection.sendall(data)
        if not hold:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


PUT = b"PUT /v1/packages/x HTTP/1.1\r\nHost: x\r\n"
CODING = "unsupported-transfer-encoding"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"nonsense\r\n\r\n", b"400", "bad-request"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400", "bad-request"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"431", "headers-too-large"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000, b"431", "headers-too-large"),
        (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, b"431", "headers-too-large"),
        (b"GET /" + b"a" * 200_000, b"431", "headers-too-large"),
        # RFC 9112, section 6.1: what is not undone would be stored as it came.
        (PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"501", CODING),
        (PUT + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", b"501", CODING),
    ],
)  # fmt: skip
def test_what_is_not_http_is_answered_once_and_cut(running: Running, data: bytes, status: bytes, code: str) -> None:
    answer = raw(running, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert json.loads(body)["code"] == code


def test_early_refusal_does_not_ask_for_the_body(running: Running) -> None:
    """With Expect: 100-continue nothing is sent for nothing (RFC 9110, section 10.1.1)."""
    head = b"PUT /v1/packages/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
    answer = raw(running, head, hold=True)
    assert answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()
