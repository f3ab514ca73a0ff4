"""TLS in the daemon: what is spoken, who must show a certificate, and that a new one is taken while it is open."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Authority
from tests.support.serving import CONFIG, Running, eventually, served
from vault.api import door
from vault.config import parse_settings
from vault.errors import ConfigError
from vault.tls import TlsFiles


def lines(certificate: Path, key: Path, more: str = "") -> str:
    return f'tls = {{ certificate = "{certificate}", key = "{key}"{more} }}'


def trusting(authority: Authority, *, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def shown(running: Running, context: ssl.SSLContext) -> tuple[str, str]:
    """The name in the certificate that is shown, and the version of TLS."""
    url = httpx.URL(running.base)
    with (
        socket.create_connection((url.host, url.port), 10) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        subject = connection.getpeercert()["subject"]
        return dict(pair for part in subject for pair in part)["commonName"], connection.version()


def test_a_deposit_over_tls_and_a_new_certificate_while_connections_are_open(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.sign("first", file="server")
    with served(tmp_path, api=lines(*files)) as running:
        context = trusting(authority)
        assert shown(running, context) == ("first", "TLSv1.3")
        headers = {"Authorization": f"Bearer {running.tokens['deposit+read']}"}
        with httpx.Client(base_url=running.base, verify=context, headers=headers, trust_env=False) as client:
            assert client.put("/v1/packages/tls/1", content=b"x").status_code == 201
            authority.sign("second", file="server")
            asyncio.run_coroutine_threadsafe(running.server.door.renew(), running.loop).result(10)
            assert shown(running, trusting(authority)) == ("second", "TLSv1.3")
            # The connection of before goes on.
            assert client.get("/v1/packages/tls/1").status_code == 200
            files[1].write_text("not a key")
            asyncio.run_coroutine_threadsafe(running.server.door.renew(), running.loop).result(10)
            assert "cannot be used" in running.server.door.problem
            assert shown(running, trusting(authority))[0] == "second"
        with running.local() as local:
            assert local.get("/healthz").status_code == 200


def test_nothing_older_than_tls_1_2_and_no_plain_http(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with served(tmp_path, api=lines(*authority.sign("server"))) as running:
        two = trusting(authority)
        two.maximum_version = ssl.TLSVersion.TLSv1_2
        assert shown(running, two)[1] == "TLSv1.2"
        two.set_ciphers("AES128-SHA256:AES256-SHA256:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            shown(running, two)
        old = trusting(authority)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            shown(running, old)
        with pytest.raises(httpx.HTTPError):
            httpx.get(running.base.replace("https", "http") + "/healthz", trust_env=False)


def test_a_client_must_show_a_certificate_of_the_right_authority(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    mine, foreign = authority.sign("client"), other.sign("foreign")
    more = f', client_ca = "{authority.certificate}", client_auth = "required"'
    with served(tmp_path, api=lines(*authority.sign("server"), more)) as running:

        def status(certificate: tuple[Path, Path] | None) -> int:
            context = trusting(authority, certificate=certificate)
            return httpx.get(running.base + "/healthz", verify=context, trust_env=False).status_code

        assert status(mine) == 200
        for wrong in (None, foreign):
            with pytest.raises(httpx.HTTPError):
                status(wrong)
        with running.local() as local:
            assert local.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("api", "told"),
    [
        ('listen = "0.0.0.0:8420"', "api.listen.*would speak no TLS"),
        ('tls = { certificate = "/x" }', "api.tls.certificate.*no key"),
        ('tls = { key = "/x" }', "api.tls.key.*no certificate"),
        ('tls = { certificate = "/x", key = "/y", client_auth = "required" }', "whose certificates are good"),
        ('tls = { client_ca = "/x", client_auth = "required" }', "only show certificates over TLS"),
        ('trusted_proxies = ["10.0.0.1/8"]', "api.trusted_proxies.*no network"),
        ('operators = "root"', "api.operators.*no list"),
    ],
)
def test_a_configuration_that_cannot_be_meant_says_so(tmp_path: Path, api: str, told: str) -> None:
    text = CONFIG.format(root=tmp_path, socket=tmp_path / "s").replace('listen = "127.0.0.1:0"', api)
    with pytest.raises(ConfigError, match=told):
        parse_settings(text, tmp_path / "vault.toml")


def test_with_tls_other_machines_may_be_served(tmp_path: Path) -> None:
    text = CONFIG.format(root=tmp_path, socket=tmp_path / "s").replace(
        'listen = "127.0.0.1:0"', 'listen = "0.0.0.0:8420"\ntls = { certificate = "/x", key = "/y" }'
    )
    assert parse_settings(text, tmp_path / "vault.toml").api.listen.host == "0.0.0.0"


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    other_key = authority.sign("other")[1]
    encrypted = tmp_path / "encrypted.key"
    subprocess.run(["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", key, "-out", encrypted], check=True,
                   timeout=30)  # fmt: skip
    assert TlsFiles(certificate, key).context()
    for wrong in (other_key, encrypted, certificate, tmp_path / "none"):
        with pytest.raises(ConfigError, match=r"TLS key .* cannot be used"):
            TlsFiles(certificate, wrong).context()
    with pytest.raises(ConfigError, match="TLS certificate"):
        TlsFiles(key, key).context()
    with pytest.raises(ConfigError, match="TLS client_ca"):
        TlsFiles(certificate, key, key, "required").context()
    os.chmod(key, 0o644)
    with pytest.raises(ConfigError, match="read by everyone"):
        TlsFiles(certificate, key).context()


def test_those_who_never_shake_hands_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them holds a file descriptor, which a deposit then lacks."""
    monkeypatch.setattr(door, "MOST_HANDSHAKES", 40)
    authority = Authority(tmp_path)
    with served(tmp_path, api=lines(*authority.sign("server"))) as running, ExitStack() as stack:
        url = httpx.URL(running.base)
        silent = [stack.enter_context(socket.create_connection((url.host, url.port), 20)) for _ in range(100)]

        def gone() -> list[socket.socket]:
            return select.select(silent, [], [], 0)[0]

        eventually(lambda: len(gone()) >= 60, door.HANDSHAKE_SECONDS / 2)
        with httpx.Client(base_url=running.base, verify=trusting(authority), trust_env=False) as client:
            assert client.get("/healthz").status_code == 200


@pytest.mark.slow
def test_the_daemon_takes_a_new_certificate_on_sighup_and_tells_when_it_ends(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("first", days=90, file="server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = CONFIG.format(root=tmp_path, socket=tmp_path / "s")
    text = text.replace('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{port}"\n{lines(certificate, key)}')
    (tmp_path / "vault.toml").write_text(text)
    for name in ("state", "nas-a", "nas-b", "nas-c"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-c", "from vault.daemon import main; main()", "--config", str(tmp_path / "vault.toml")]
    with open(tmp_path / "log", "w") as log, subprocess.Popen(command, stderr=log, stdout=log) as daemon:
        try:
            at = Running(None, None, tmp_path, f"https://127.0.0.1:{port}", tmp_path / "s", {})  # type: ignore[arg-type]

            def name() -> str:
                try:
                    return shown(at, trusting(authority))[0]
                except OSError:
                    return ""

            eventually(lambda: name() == "first", 60)
            authority.sign("second", days=5, file="server")
            daemon.send_signal(signal.SIGHUP)
            eventually(lambda: name() == "second", 30)
            metrics = httpx.get(f"{at.base}/metrics", verify=trusting(authority), trust_env=False).text
            value = next(x for x in metrics.splitlines() if x.startswith("vault_api_certificate_expiry_timestamp"))
            assert abs(float(value.split()[1]) - (os.stat(certificate).st_mtime + 5 * 86_400)) < 3600
        finally:
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(60) == 0, (tmp_path / "log").read_text()
