"""A download over a link that drops: it goes on where it broke off, and is right at the end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.cli.conftest import Node
from vault.cli.commands import get

BIG = os.urandom(3_000_000)


class Link:
    """Between vaultctl and the node: every connection is cut when so much came from the node; 0 cuts none."""

    def __init__(self, node: str) -> None:
        url = urlsplit(node)
        self._node = (url.hostname, url.port)
        self.cut_after = 0
        self.ranges: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._node) as node, contextlib.suppress(OSError):
            threading.Thread(target=self._ask, args=(client, node), daemon=True).start()
            left = self.cut_after or 10**12
            while left > 0 and (data := node.recv(min(left, 65536))):
                client.sendall(data)
                left -= len(data)
            for end in (client, node):
                end.shutdown(socket.SHUT_RDWR)

    def _ask(self, client: socket.socket, node: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                lines = data.decode("latin-1").split("\r\n")
                self.ranges += [line[7:] for line in lines if line.lower().startswith("range:")]
                node.sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def link(node: Node, vaultctl, tmp_path: Path, monkeypatch) -> Iterator[tuple[Link, tuple[object, ...]]]:
    monkeypatch.setattr(get, "_PAUSE", 0.01)
    source = tmp_path / "big.bin"
    source.write_bytes(BIG)
    vaultctl("deposit", source, "--identifier", "lớn/1")
    name = f"get-{tmp_path.name}"
    token = tmp_path / "token"
    token.write_text(vaultctl("token", "create", name, "--scope", "read").out)
    token.chmod(0o600)
    made = Link(node.address())
    yield made, ("--url", made.url, "--token-file", token)
    made.close()


@pytest.mark.parametrize("archive", [None, "tar", "zip"])
def test_a_download_goes_on_by_itself_after_breaks(vaultctl, link, tmp_path, archive):
    made, remote = link
    made.cut_after = 700_000
    out = tmp_path / "out"
    vaultctl(*remote, "get", "lớn/1", "-o", out, *(["--format", archive] if archive else []))
    assert len(made.ranges) >= 4
    made.cut_after = 0
    vaultctl("get", "lớn/1", "-o", tmp_path / "again", *(["--format", archive] if archive else []))
    assert out.read_bytes() == (tmp_path / "again").read_bytes()
    assert archive or out.read_bytes() == BIG
    assert not list(tmp_path.glob("*.part*"))


def test_it_goes_on_when_it_is_typed_again(vaultctl, link, tmp_path, monkeypatch):
    made, remote = link
    out = tmp_path / "out"
    monkeypatch.setattr(get, "_ATTEMPTS", 0)
    made.cut_after = 1_000_000
    said = vaultctl(*remote, "get", "lớn/1", "-o", out, code=10)
    assert "out.part" in said.err
    assert not out.exists()
    came = (tmp_path / "out.part").stat().st_size
    assert 500_000 < came < 1_000_000
    made.cut_after = 0
    vaultctl(*remote, "get", "lớn/1", "-o", out)
    assert made.ranges[-1].strip() == f"bytes={came}-"
    assert out.read_bytes() == BIG


def test_a_beginning_that_is_wrong_is_fetched_anew(vaultctl, link, tmp_path):
    tag = f'"{_digest(vaultctl)}"'
    (tmp_path / "out.part").write_bytes(b"x" * 1_000_000)
    (tmp_path / "out.part.etag").write_text(tag)
    vaultctl("get", "lớn/1", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BIG
    # One that is longer than all of it, too.
    (tmp_path / "more.part").write_bytes(b"x" * 4_000_000)
    (tmp_path / "more.part.etag").write_text(tag)
    vaultctl("get", "lớn/1", "-o", tmp_path / "more")
    assert (tmp_path / "more").read_bytes() == BIG


def _digest(vaultctl) -> str:
    files = vaultctl("packages", "files", "lớn/1", "--json").json
    return files["items"][0]["digest"]
