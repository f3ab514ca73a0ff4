"""Large deposits by vaultctl and its client: through links that drop, restarts, and a vaultctl that was stopped."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.nodes import bag
from tests.support.proxy import DroppingProxy
from vault import wire
from vault.client import Client, DepositStatus, Endpoint, FileBody, FolderBody, FolderMemory
from vault.client.folder import list_folder
from vault.errors import Conflict, Interrupted, Invalid, Unreachable
from vault.model import Descriptive, Scope

VERSION = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def token(node) -> str:
    with node.client() as own:
        return own.create_token(wire.TokenOrder(name="kho", scopes=[Scope.DEPOSIT, Scope.READ])).token


@pytest.fixture
def link(node):
    """A link to the node that carries one mebibyte a connection, and is then cut."""

    def target() -> tuple[str, int]:
        parts = urlsplit(node.address())
        return str(parts.hostname), int(parts.port or 0)

    proxy = DroppingProxy(target, lambda: 1024 * 1024)
    yield proxy
    proxy.close()


def remembered(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "state" / "khoso" / "uploads").glob("*"))


def test_a_deposit_arrives_over_a_link_that_drops(link, token, tmp_path):
    data = os.urandom(5_000_000)
    (tmp_path / "f").write_bytes(data)
    told: list[int] = []
    with Client(Endpoint(url=link.address, token=token)) as client:
        body = FileBody.prepare(str(tmp_path / "f"))
        said = Descriptive(fonds="UBND", title="Báo cáo")
        memory = FolderMemory.usual()
        made = client.upload("đứt/đoạn", body, descriptive=said, metadata={"box": "12"}, progress=told.append,
                             memory=memory)  # fmt: skip
        assert made.status in (DepositStatus.PENDING, DepositStatus.CREATED)
        last = list(client.follow(made.ingest_id))[-1]
    assert link.cut >= 3
    assert sum(told) == len(data), "progress goes forwards only"
    assert last.receipt["digests"]["deposit"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert last.receipt["fonds"] == "UBND"
    assert not remembered(tmp_path)


def test_what_was_stopped_goes_on_in_the_next_run(node, token, tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "f").write_bytes(data)

    class Stopped(Exception):
        pass

    def stop(count: int) -> None:
        sent.append(count)
        if sum(sent) > 2_000_000:
            raise Stopped

    sent: list[int] = []
    with Client(Endpoint(url=node.address(), token=token)) as client:
        body = FileBody.prepare(str(tmp_path / "f"))
        with pytest.raises(Stopped):
            client.upload("dừng", body, progress=stop, memory=FolderMemory.usual())
    (known,) = remembered(tmp_path)
    assert token not in known.read_text()
    assert known.stat().st_mode & 0o077 == 0
    node.kill()
    node.start()
    with Client(Endpoint(url=node.address(), token=token)) as client:
        sent.clear()
        # The node's port is another after the restart, and so is the node for the client's memory.
        assert client.upload("dừng", body, progress=sent.append, memory=FolderMemory.usual()).ingest_id


def test_vaultctl_goes_on_where_it_was_stopped(node, vaultctl, tmp_path, monkeypatch):
    data = os.urandom(2_000_000)
    (tmp_path / "f").write_bytes(data)
    from vault.client import sending

    real = sending.rest_of

    def half(body, offset, shown):
        for at, chunk in enumerate(real(body, offset, shown)):
            if at == 1:
                raise KeyboardInterrupt
            yield chunk

    with monkeypatch.context() as patched:
        patched.setattr(sending, "rest_of", half)
        vaultctl("deposit", tmp_path / "f", "--identifier", "tiếp tục", "--resume", "always", code=130)
    (known,) = remembered(tmp_path)
    url = known.read_text().partition('"url": "')[2].partition('"')[0]
    transport = httpx.HTTPTransport(uds=str(node.socket))
    with httpx.Client(transport=transport, base_url="http://vault") as raw:
        assert raw.head(url, headers=VERSION).headers["upload-offset"] != "0"
    said = vaultctl("deposit", tmp_path / "f", "--identifier", "tiếp tục", "--resume", "always", "--json").json
    assert (said["status"], said["version"], said["ingest"]) == ("created", 1, url.rpartition("/")[2])
    assert not remembered(tmp_path)
    again = vaultctl("deposit", tmp_path / "f", "--identifier", "tiếp tục", "--resume", "always", "--json").json
    assert (again["status"], again["version"]) == ("known", 1)
    (tmp_path / "g").write_bytes(b"other")
    refused = vaultctl("deposit", tmp_path / "g", "--identifier", "tiếp tục", "--resume", "always", code=7)
    assert "--follows v1" in refused.err


def test_a_folder_goes_by_tus_too_and_is_the_same_bag(node, vaultctl, tmp_path):
    for name, data in {"a.txt": b"a" * 1000, "b/ả.txt": b"b"}.items():
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_bytes(data)
    body = FolderBody.prepare(str(tmp_path / "f"), list_folder(str(tmp_path / "f")))
    assert body.fingerprint == FolderBody.prepare(str(tmp_path / "f"), list_folder(str(tmp_path / "f"))).fingerprint
    vaultctl("deposit", tmp_path / "f", "--identifier", "thư mục", "--resume", "always")
    assert vaultctl("deposit", tmp_path / "f", "--identifier", "thư mục", "--json").json["status"] == "known"
    (tmp_path / "f" / "a.txt").write_bytes(b"c" * 1000)
    assert body.fingerprint != FolderBody.prepare(str(tmp_path / "f"), list_folder(str(tmp_path / "f"))).fingerprint


def test_what_is_refused_is_not_tried_again(node, token, tmp_path):
    (tmp_path / "bag").write_bytes(b"".join(bag({"a": b"1"}).values()))
    with Client(Endpoint(url=node.address(), token=token)) as client:
        body = FileBody.prepare(str(tmp_path / "bag"))
        with pytest.raises(Invalid) as refused:
            client.upload("không phải gói", body, kind="bag")
        assert refused.value.code == "not-a-bag"
        with pytest.raises(Conflict):
            client.upload("chưa có", body, follows=3)


def test_patience_has_an_end(tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    with Client(Endpoint(url="http://127.0.0.1:9", token="x")) as client, pytest.raises(Unreachable):
        client.upload("gói", FileBody.prepare(str(tmp_path / "f")), patience=0)


def test_a_file_that_changes_is_never_taken_for_complete(node, token, tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 100)
    with Client(Endpoint(url=node.address(), token=token)) as client:
        body = FileBody.prepare(str(tmp_path / "f"))
        (tmp_path / "f").write_bytes(b"y" * 100)
        with pytest.raises(Interrupted) as refused:
            client.upload("thay đổi", body)
        assert refused.value.code == "source-changed"
