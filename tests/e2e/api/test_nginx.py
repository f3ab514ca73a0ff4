"""Behind nginx, set up as docs/howto/tls.md says: what passes a proxy, and who is thought to come."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.support.serving import Running, eventually, served
from tests.support.tools import require
from vault.api import known_tokens
from vault.catalog import tokens
from vault.ledger import append
from vault.model import EventType, NewEvent, Outcome, Scope

HOWTO = Path(__file__).resolve().parents[3] / "docs/howto/tls.md"
BODY = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("node"), api='trusted_proxies = ["127.0.0.1", "::1"]') as found:
        yield found


@pytest.fixture(scope="module")
def proxy(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx with the how-to's own words, but for places and ports."""
    program = require("nginx", "nginx", ["/usr/sbin", "/usr/local/sbin"])
    folder = tmp_path_factory.mktemp("nginx")
    certificate, key = Authority(folder).sign("luutru.example.vn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (said,) = re.findall(r"nginx:\n\n```\n(server \{.*?\n\}\n)```", HOWTO.read_text(), re.DOTALL)
    for words, ours in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/fullchain.pem", str(certificate)),
        ("/etc/ssl/key.pem", str(key)),
        ("http://127.0.0.1:8420", running.base),
    ):
        assert words in said
        said = said.replace(words, ours)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}\n{said}}}\n"
    )
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        base = f"https://127.0.0.1:{port}"
        with httpx.Client(verify=False, trust_env=False) as client:
            eventually(lambda: _answers(client, base))
        yield base
    finally:
        process.terminate()
        process.wait(10)


def _answers(client: httpx.Client, base: str) -> bool:
    try:
        return client.get(f"{base}/v1/packages").status_code == 401
    except httpx.TransportError:
        return False


def through(proxy: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=proxy, headers=headers, timeout=30 * PATIENCE, trust_env=False, verify=False)


def test_a_deposit_and_its_bytes_pass(running: Running, proxy: str) -> None:
    """Names keep their escapes: what is signed for and what is asked for is one package."""
    digest = b64encode(hashlib.sha256(BODY).digest()).decode()
    path = "h%E1%BB%93%20s%C6%A1%2F1//2%2523"
    with through(proxy, running.tokens["deposit+read"]) as client:
        answer = client.put(
            f"/v1/packages/{path}?filename=b.bin",
            content=iter([BODY[:1_000_000], BODY[1_000_000:]]),
            headers={"Repr-Digest": f"sha-256=:{digest}:"},
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["identifier"] == "hồ sơ/1//2%23"
        found = client.get(f"/v1/content/{path}?file=b.bin", headers={"Range": "bytes=1000000-1999999"})
        assert (found.status_code, found.content) == (206, BODY[1_000_000:2_000_000])
        whole = client.get(f"/v1/content/{path}?format=zip")
        assert whole.status_code == 200
        tag = client.get(f"/v1/packages/{path}").headers["ETag"]
        assert client.get(f"/v1/packages/{path}", headers={"If-None-Match": tag}).status_code == 304


def test_an_upload_passes_and_its_address_is_the_proxys(running: Running, proxy: str) -> None:
    named = b64encode("tệp/proxy".encode()).decode()
    tus = {"Tus-Resumable": "1.0.0"}
    with through(proxy, running.tokens["deposit+read"]) as client:
        made = client.post(
            "/v1/uploads",
            headers={**tus, "Upload-Length": str(len(BODY)), "Upload-Metadata": f"identifier {named}"},
        )
        assert made.status_code == 201, made.text
        place = str(httpx.URL(f"{proxy}/v1/uploads").join(made.headers["Location"]))
        assert place.startswith(f"{proxy}/v1/uploads/"), "it must lead back through the proxy"
        patch = {**tus, "Content-Type": "application/offset+octet-stream"}
        first = client.patch(place, headers={**patch, "Upload-Offset": "0"}, content=BODY[:1_000_000])
        assert (first.status_code, first.headers["Upload-Offset"]) == (204, "1000000")
        assert client.head(place, headers=tus).headers["Upload-Offset"] == "1000000"
        rest = client.patch(place, headers={**patch, "Upload-Offset": "1000000"}, content=BODY[1_000_000:])
        assert rest.status_code == 204
        ingest = f"/v1/ingests/{place.rpartition('/')[2]}"
        eventually(lambda: client.get(ingest).json()["state"] == "receipted")


def test_events_come_as_they_happen(running: Running, proxy: str) -> None:
    with through(proxy, running.tokens["deposit+read"]) as client:
        ingest = client.put("/v1/packages/dòng", content=b"x", headers={"Prefer": "wait=0"}).json()["id"]
        with client.stream("GET", f"/v1/ingests/{ingest}/events") as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            told = "".join(response.iter_text())
    assert "receipted" in told


def test_who_comes_is_whom_the_proxy_saw(running: Running, proxy: str) -> None:
    """A token that is good from this machine alone is good through the proxy; what a client says of itself is not
    believed."""
    with running.node.catalogue.write() as tx:
        scopes = [Scope.READ]
        _, here = tokens.create(tx, "here", scopes, None, networks=["127.0.0.0/8"])
        _, elsewhere = tokens.create(tx, "elsewhere", scopes, None, networks=["192.0.2.0/24"])
        append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "node:test"))
    with through(proxy, here) as client:
        assert client.get("/v1/packages").status_code == 200
    lie = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
    with through(proxy, elsewhere) as client:
        assert client.get("/v1/packages", headers=lie).status_code == 401


def test_who_guesses_is_throttled_by_their_own_address(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a proxy would say it, for this machine itself is not throttled."""
    # Tokens are looked up with each request, as they are every few seconds.
    monkeypatch.setattr(known_tokens, "BELIEVED_SECONDS", 0.0)
    with httpx.Client(base_url=running.base, timeout=30 * PATIENCE, trust_env=False, verify=False) as client:

        def ask(token: str, address: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
            return client.get("/v1/packages", headers=headers)

        good = running.tokens["read"]
        assert ask(good, "198.51.100.9").status_code == 200
        answers = [ask(f"khoso_{number}", "198.51.100.9") for number in range(25)]
        assert [answer.status_code for answer in answers[:20]] == [401] * 20
        assert answers[-1].status_code == 429
        assert answers[-1].json()["code"] == "too-many-guesses"
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert ask(good, "198.51.100.10").status_code == 200
        assert ask(good, "198.51.100.9").status_code == 200, "a token that is in use is not throttled with others"
