"""Parts of files and archives, conditions and digests: what resuming a download rests on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.serving import Running, bag, eventually, repr_digest, tar_files
from vault.api.reading import CHUNK
from vault.cli.offline import find_version

ARCHIVED = "G09/hồ sơ 7"
FILES = {
    "Tờ trình.pdf": b"%PDF-1.7" + os.urandom(2000),
    "ảnh/lớn.tif": os.urandom(CHUNK * 2 + 513),
    "ảnh/nhỏ.tif": os.urandom(CHUNK),
    "trống": b"",
    "same as nhỏ": b"x" * 700,
    "again": b"x" * 700,
}
ADDRESS = f"/v1/content/{ARCHIVED}"
QUERIES = {
    "file": {"file": "data/ảnh/lớn.tif"},
    "small": {"file": "data/Tờ trình.pdf"},
    "tar": {"format": "tar"},
    "zip": {"format": "zip"},
}


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client("deposit", "read") as client:
        assert client.put(f"/v1/packages/{ARCHIVED}", content=bag(FILES)).status_code == 201
        yield client


@pytest.fixture(scope="module")
def wholes(client: httpx.Client) -> dict[str, httpx.Response]:
    return {name: client.get(ADDRESS, params=query) for name, query in QUERIES.items()}


@pytest.mark.parametrize("what", QUERIES)
def test_head_says_what_get_answers(client: httpx.Client, wholes: dict[str, httpx.Response], what: str) -> None:
    head = client.head(ADDRESS, params=QUERIES[what])
    changing = {"x-request-id", "date"}
    assert head.content == b""
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in wholes[what].headers.items() if k not in changing
    }
    assert int(head.headers["content-length"]) == len(wholes[what].content)
    assert head.headers["accept-ranges"] == "bytes"
    assert not head.headers["etag"].startswith("W/")


def test_any_part_is_the_slice_of_the_whole(client: httpx.Client, wholes: dict[str, httpx.Response]) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.data(), st.sampled_from(list(QUERIES)))
    def check(data: st.DataObject, what: str) -> None:
        whole = wholes[what].content
        start = data.draw(st.integers(0, len(whole) - 1))
        last = data.draw(st.integers(start, len(whole) + 5))
        form = data.draw(st.sampled_from(["bytes={}-{}", "bytes={}-", "bytes=-{1}"]))
        expected = {
            "bytes={}-{}": whole[start : last + 1],
            "bytes={}-": whole[start:],
            "bytes=-{1}": whole[-last:] if last else b"",
        }[form]
        headers = {"Range": form.format(start, last), "If-Range": wholes[what].headers["etag"]}
        part = client.get(ADDRESS, params=QUERIES[what], headers=headers)
        if not expected:
            assert part.status_code == 416
            return
        first = len(whole) - len(expected) if form == "bytes=-{1}" else start
        assert part.status_code == 206
        assert part.content == expected
        assert part.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(whole)}"

    check()


@pytest.mark.parametrize("what", QUERIES)
def test_the_end_of_an_archive_is_right_though_nothing_was_read_before(
    running: Running, client: httpx.Client, wholes: dict[str, httpx.Response], what: str
) -> None:
    """A node that was just started knows no checksum of what came before the break."""
    with running.app.state.inventories._lock:  # as after a restart
        running.app.state.inventories._kept.clear()
        running.app.state.inventories._files = 0
    whole = wholes[what].content
    half = client.get(ADDRESS, params=QUERIES[what], headers={"Range": f"bytes={len(whole) // 2}-"})
    assert whole[: len(whole) // 2] + half.content == whole


def test_archives_are_the_same_from_every_copy_and_from_the_volume_itself(
    running: Running, client: httpx.Client, wholes: dict[str, httpx.Response]
) -> None:
    for away in ("nas-a", "nas-b"):
        with taken_away(running, away):
            for what in ("tar", "zip"):
                assert client.get(ADDRESS, params=QUERIES[what]).content == wholes[what].content
    for volume in ("nas-a", "nas-b"):
        out = io.BytesIO()
        found = find_version(running.node.volumes[volume], ARCHIVED, 1)
        found.write_tar(out.write)
        assert out.getvalue() == wholes["tar"].content
    assert {name.removeprefix("data/") for name in tar_files(wholes["tar"].content)} > set(FILES)
    with zipfile.ZipFile(io.BytesIO(wholes["zip"].content)) as archive:
        assert {name: archive.read(f"data/{name}") for name in FILES} == FILES


@contextlib.contextmanager
def taken_away(running: Running, volume: str) -> Iterator[None]:
    """For the block the folder of a volume is not there."""
    folder = running.root / volume
    folder.rename(running.root / f"{volume}-away")
    try:
        yield
    finally:
        (running.root / f"{volume}-away").rename(folder)
        with running.client("read") as client:
            eventually(lambda: all(v["condition"] == "online" for v in client.get("/v1/volumes").json()["items"][:2]))


def test_an_outage_changes_no_copys_state(running: Running, client: httpx.Client) -> None:
    before = client.get(f"/v1/packages/{ARCHIVED}").json()["versions"][0]["copies"]
    with taken_away(running, "nas-a"):
        assert client.get(ADDRESS, params=QUERIES["file"]).content == FILES["ảnh/lớn.tif"]
    assert client.get(f"/v1/packages/{ARCHIVED}").json()["versions"][0]["copies"] == before


def test_two_versions_with_the_same_files_are_different_archives(client: httpx.Client) -> None:
    """Their times differ, so their bytes do; a resumed download must not join the one to the other."""
    bodies = [bag({"a": b"1"}), bag({"a": b"2"}), bag({"a": b"1"})]
    for number, body in enumerate(bodies):
        headers = {"If-Match": f'"v{number}"'} if number else {}
        assert client.put("/v1/packages/twice", content=body, headers=headers).status_code == 201
    tags = {
        client.head("/v1/content/twice", params={"format": form, "version": str(number)}).headers["etag"]
        for number in (1, 2, 3)
        for form in ("tar", "zip")
    }
    assert len(tags) == 6


@pytest.mark.parametrize("what", QUERIES)
def test_conditions(client: httpx.Client, wholes: dict[str, httpx.Response], what: str) -> None:
    tag = wholes[what].headers["etag"]

    def status(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.get(ADDRESS, params=QUERIES[what], headers=named).status_code

    assert status(If_None_Match=f'"x", {tag}') == 304
    assert status(If_None_Match='"x"') == 200
    assert status(If_Match=f'"x", {tag}') == 200
    assert status(If_Match="*") == 200
    assert status(If_Match='"x"') == 412
    assert status(If_Match='"x"', If_None_Match=tag) == 412
    assert status(Range="bytes=0-0", If_Range=tag) == 206
    assert status(Range="bytes=0-0", If_Range='"x"') == 200
    assert status(Range="bytes=0-0", If_Range=f"W/{tag}") == 200
    assert status(Range="bytes=0-0", If_Range="Sun, 22 Nov 2026 10:40:42 GMT") == 200
    assert status(Range="bytes=0-0, 5-6") == 200
    assert status(Range="lines=0-0") == 200
    assert status(Range="bytes=x", If_Range='"x"') == 200
    for bad, code in (("bytes=x", "bad-range"), (f"bytes={10**15}-", "range-not-satisfiable")):
        refused = client.get(ADDRESS, params=QUERIES[what], headers={"Range": bad})
        assert (refused.status_code, refused.json()["code"]) == (416, code)
        assert refused.headers["content-range"] == f"bytes */{len(wholes[what].content)}"


def test_digests_that_are_known_or_cheap_are_given(client: httpx.Client) -> None:
    small, large = FILES["Tờ trình.pdf"], FILES["ảnh/lớn.tif"]

    def digests(query: dict[str, str], wish: str, address: str = ADDRESS) -> str | None:
        return client.head(address, params=query, headers={"Want-Repr-Digest": wish}).headers.get("repr-digest")

    both = "sha-256=10, sha-512=5"
    assert digests(QUERIES["small"], both) == f"{repr_digest(small)}, {repr_digest(small, 'sha-512')}"
    assert digests(QUERIES["file"], both) == repr_digest(large, "sha-512")
    assert digests(QUERIES["file"], "sha-256=1, sha-512=0") is None
    assert digests(QUERIES["file"], "nonsense") == repr_digest(large, "sha-512")
    # What the depositor said of the one file is known, whatever its size.
    put = client.put("/v1/packages/one", content=large, params={"kind": "file", "filename": "l"},
                     headers={"Repr-Digest": repr_digest(large)})  # fmt: skip
    assert put.status_code == 201
    assert digests({"file": "l"}, "sha-256=1", "/v1/content/one") == repr_digest(large)
    note = client.get("/v1/content/one", params={"file": "khoso-deposit.json"}, headers={"Want-Repr-Digest": both})
    assert note.headers["repr-digest"].startswith(repr_digest(note.content))
    assert hashlib.sha256(note.content).digest() != hashlib.sha256(large).digest()


def test_a_file_that_is_too_short_is_found_before_the_archive_begins(running: Running, client: httpx.Client) -> None:
    files = {"a": os.urandom(3000), "b": os.urandom(CHUNK + 1)}
    client.put("/v1/packages/short", content=bag(files))
    first = client.get("/v1/packages/short").json()["versions"][0]["copies"][0]["volume"]
    (victim,) = (running.root / first).glob("ocfl/**/v1/content/data/b")
    victim.chmod(0o644)
    os.truncate(victim, CHUNK)
    for form in ("tar", "zip"):
        answer = client.get("/v1/content/short", params={"format": form})
        assert int(answer.headers["content-length"]) == len(answer.content)
    assert tar_files(client.get("/v1/content/short", params={"format": "tar"}).content)["data/b"] == files["b"]
    eventually(lambda: victim.read_bytes() == files["b"])
