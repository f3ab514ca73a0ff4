"""The last byte of an upload and what comes after it: what was acknowledged is what is stored."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.api.test_deposits import assert_problem
from tests.e2e.api.test_uploads import begin, created, offset_of, receipted, send
from tests.support.serving import Running, served
from vault.depositing import Upload
from vault.errors import Full, Interrupted, Throttled, VaultError
from vault.intake import uploads


@pytest.fixture(autouse=True)
def _noted_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is of a large upload, or on a slow link."""
    monkeypatch.setattr(uploads, "NOTE_EVERY_BYTES", 1)
    monkeypatch.setattr(uploads, "NOTE_EVERY_SECONDS", 0.0)


def is_stored(client: httpx.Client, url: str, identifier: str, body: bytes) -> None:
    receipted(client, f"/v1/ingests/{url.rpartition('/')[2]}")
    assert client.get(f"/v1/content/{identifier}", params={"file": "x"}).content == body


def test_all_of_it_in_the_creation(depositor):
    body = b"all at once" * 100
    answer = begin(depositor, "tất cả", len(body), body, filename="x")
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(len(body)))
    is_stored(depositor, answer.headers["location"], "tất cả", body)


def test_the_end_of_it_in_a_piece_and_in_one_that_says_no_length(depositor):
    body = b"in pieces" * 100
    for identifier, rest in (("mảnh", body[10:]), ("không nói", iter([body[10:40], body[40:-1], body[-1:]]))):
        url = created(depositor, identifier, len(body), body[:10], filename="x")
        assert send(depositor, url, 10, rest).status_code == 204
        is_stored(depositor, url, identifier, body)


def test_what_comes_behind_the_end_takes_nothing_from_what_is_to_be_stored(depositor):
    body = b"0123456789" * 100
    url = created(depositor, "thừa", len(body), body[:10], filename="x")
    more = iter([body[10:-1], body[-1:], b"one more"])
    assert_problem(send(depositor, url, 10, more), 413, "upload-too-long")
    assert offset_of(depositor, url) == 10
    assert depositor.get(f"/v1/ingests/{url.rpartition('/')[2]}").json()["state"] == "receiving"
    assert send(depositor, url, 10, body[10:]).status_code == 204
    is_stored(depositor, url, "thừa", body)


def anybodys(_upload: Upload) -> bool:
    return True


class _Breaking:
    """A body of which something comes, and then its link breaks, or something else does, before its end is said."""

    def __init__(self, error: VaultError, *chunks: bytes) -> None:
        self._error = error
        self._chunks = list(chunks)

    def read(self, _size: int, /) -> bytes:
        if self._chunks:
            return self._chunks.pop(0)
        raise self._error


def _id(url: str) -> str:
    return url.rpartition("/")[2]


def test_a_creation_whose_link_breaks_behind_the_last_byte_is_stored(running: Running, depositor):
    """Its depositor heard of nothing; the package is there when it is sent again."""
    url = created(depositor, "dut", 9, filename="x")
    gone = Interrupted("The client went away before the body was complete.", remedy="Send it again.")
    begun = running.node.uploads.find(_id(url), anybodys)
    with pytest.raises(Interrupted):
        running.node.uploads.append(_id(url), anybodys, 0, _Breaking(gone, b"all ", b"of it"), lambda _error: None)
    running.node.uploads.give_up_unheard(begun, gone)
    is_stored(depositor, url, "dut", b"all of it")


@pytest.mark.parametrize(
    "error", [Throttled("The quota is used up."), Full("The volume is full.")], ids=["quota", "room"]
)
def test_what_came_before_the_quota_or_the_room_was_used_up_stays(running: Running, depositor, error):
    url = created(depositor, f"hết {type(error).__name__}", 2000, filename="x")
    with pytest.raises(type(error)):
        running.node.uploads.append(
            _id(url), anybodys, 0, _Breaking(error, b"x" * 400, b"x" * 300), lambda _error: None
        )
    assert offset_of(depositor, url) == 700


def test_a_length_that_is_said_later_counts_like_one_that_is_said_at_once(tmp_path):
    with served(tmp_path, intake='max_upload_bytes = "1 MB"') as running, running.client("deposit") as client:
        urls = [created(client, f"sau/{number}", None, filename="x") for number in range(3)]
        assert send(client, urls[0], 0, b"x", {"Upload-Length": "900000"}).status_code == 204
        assert_problem(send(client, urls[1], 0, b"x", {"Upload-Length": "900000"}), 503, "uploads-full")
        assert send(client, urls[1], 0, b"x", {"Upload-Length": "90000"}).status_code == 204
        # And one that is never said counts with what has come.
        assert_problem(send(client, urls[2], 0, b"x" * 200_000), 503, "uploads-full")
