"""What is sent in a deposit, and that it is never a wrong bag."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import unicodedata
from pathlib import Path

import bagit
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault.client import FileBody, FolderBody
from vault.client.folder import list_folder
from vault.errors import Interrupted, Invalid, NotFound, Unreachable

FILES = {
    "Hồ sơ số 12/Quyết định.txt": "Ủy ban nhân dân".encode(),
    "Hồ sơ số 12/ảnh/bản đồ.tif": bytes(range(256)) * 40,
    "rỗng": b"",
    "tên kỳ lạ.pdf": b"%PDF",
    "data/trong.txt": b"x" * 513,
    "x" * 120 + "/" + "y" * 120: b"long",
}


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def bagged(folder: Path, **options) -> FolderBody:
    return FolderBody.prepare(str(folder), list_folder(str(folder)), **options)


def sent(body: FileBody | FolderBody) -> bytes:
    return b"".join(body.chunks())


def unpacked(data: bytes, into: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(into, filter="data")
    return into


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "hồ sơ", FILES)


def test_a_folder_becomes_a_valid_bag_on_the_way(folder, tmp_path):
    body = bagged(folder, bag_info=[("External-Identifier", "H49/Đ-1")])
    data = sent(body)
    assert len(data) == body.size
    assert body.bagged
    assert body.filename == "hồ sơ.tar"
    found = unpacked(data, tmp_path / "out")
    bag = bagit.Bag(str(found))
    bag.validate()
    assert bag.info["External-Identifier"] == "H49/Đ-1"
    assert {name: (found / "data" / name).read_bytes() for name in FILES} == FILES


def test_the_manifests_come_first(folder):
    with tarfile.open(fileobj=io.BytesIO(sent(bagged(folder)))) as archive:
        names = archive.getnames()
    assert names[0] == "bagit.txt"
    assert set(names[:4]) == {"bagit.txt", "bag-info.txt", "manifest-sha512.txt", "tagmanifest-sha512.txt"}


def test_the_same_folder_is_the_same_bytes_each_time(folder, tmp_path):
    first = bagged(folder)
    again = make(tmp_path / "other" / "hồ sơ", dict(reversed(FILES.items())))
    os.utime(again / "rỗng", (1, 1))
    assert sent(first) == sent(bagged(again))
    assert first.sent_digest == hashlib.sha256(sent(bagged(folder))).hexdigest()


def test_a_bag_is_sent_as_the_bag_that_it_is(tmp_path):
    source = make(tmp_path / "bag", {"a.txt": b"a", "b/c.txt": b"c"})
    bag = bagit.make_bag(str(source), {"Contact-Name": "Lò Văn Mây"}, checksums=["sha256"])
    (source / "meta").mkdir()
    body = bagged(source, bag_info=[("External-Identifier", "ignored")])
    data = sent(body)
    assert not body.bagged
    assert body.digests == {"sha-256": hashlib.sha256(data).hexdigest()}
    assert len(data) == body.size
    found = bagit.Bag(str(unpacked(data, tmp_path / "out")))
    found.validate()
    assert found.info == bag.info
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames()[-1] == "meta"
        assert archive.getnames().index("manifest-sha256.txt") < archive.getnames().index("data/a.txt")


def test_one_file_is_sent_as_it_is(folder):
    body = FileBody.prepare(str(folder / "tên kỳ lạ.pdf"))
    assert (sent(body), body.size, body.filename) == (b"%PDF", 4, "tên kỳ lạ.pdf")
    assert body.digests == {"sha-256": hashlib.sha256(b"%PDF").hexdigest()}


def test_everything_that_cannot_be_kept_is_listed_at_once(folder):
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "folder-link").symlink_to(folder / "data")
    os.mkfifo(folder / "pipe")
    (folder / "RỖNG").write_bytes(b"alike")
    (folder / "a\nb").write_bytes(b"control")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).write_bytes(b"not utf-8")
    with pytest.raises(Invalid) as caught:
        list_folder(str(folder))
    found = {fault.path: fault.code for fault in caught.value.faults}
    assert found["link"] == found["folder-link"] == found["pipe"] == "not-a-file"
    assert found["a\\nb"] == "name-control-character"
    assert {"names-alike", "name-not-utf8"} <= set(found.values())
    assert len(found) == 6


def test_names_that_differ_in_how_accents_are_encoded_are_refused(tmp_path):
    make(tmp_path / "f", {unicodedata.normalize(form, "Đề án.txt"): b"x" for form in ("NFC", "NFD")})
    with pytest.raises(Invalid) as caught:
        list_folder(str(tmp_path / "f"))
    assert [fault.code for fault in caught.value.faults] == ["names-alike"]


def test_a_folder_without_files_is_refused(tmp_path):
    (tmp_path / "f" / "empty").mkdir(parents=True)
    with pytest.raises(Invalid, match="holds no file"):
        list_folder(str(tmp_path / "f"))


def test_what_is_not_there_or_may_not_be_read_is_told_apart(tmp_path):
    with pytest.raises(NotFound):
        FileBody.prepare(str(tmp_path / "nothing"))
    with pytest.raises(Invalid, match="neither a file"):
        FileBody.prepare(os.devnull)
    with pytest.raises(Invalid, match="is empty"):
        FileBody.prepare(str(make(tmp_path, {"e": b""}) / "e"))
    if os.geteuid() != 0:
        closed = make(tmp_path, {"closed": b"x"}) / "closed"
        closed.chmod(0)
        with pytest.raises(Unreachable):
            FileBody.prepare(str(closed))


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    facts = path.stat()
    path.write_bytes(bytes(facts.st_size))
    # As if nothing had happened: only the digest can tell.
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def swap(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def test_names_with_a_percent_sign_are_written_as_the_specification_has_it(tmp_path):
    # RFC 8493, section 2.1.3. The reference implementation does not read it back, so it is not asked.
    body = bagged(make(tmp_path / "f", {"100%0A.txt": b"x"}))
    manifest = unpacked(sent(body), tmp_path / "out") / "manifest-sha512.txt"
    assert manifest.read_text() == f"{hashlib.sha512(b'x').hexdigest()}  data/100%250A.txt\n"


@pytest.mark.parametrize("harm", [grow, rewrite, swap, Path.unlink])
@pytest.mark.parametrize("kind", ["file", "folder", "bag"])
def test_what_changes_between_the_passes_is_never_sent_whole(tmp_path, kind, harm):
    source = make(tmp_path / "f", {"a.txt": b"a" * 5000, "z.txt": b"z" * 5000})
    if kind == "bag":
        bagit.make_bag(str(source))
    victim = source / ("data/z.txt" if kind == "bag" else "z.txt")
    body = FileBody.prepare(str(victim)) if kind == "file" else bagged(source)
    harm(victim)
    received: list[bytes] = []
    with pytest.raises((Interrupted, NotFound)):
        received.extend(body.chunks())
    assert sum(map(len, received)) < body.size


names = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="/\\"), min_size=1, max_size=40
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=1500), min_size=1, max_size=5))
def test_any_folder_that_is_taken_makes_a_bag_of_the_announced_size(tmp_path_factory, files):
    folder = make(tmp_path_factory.mktemp("any"), files)
    try:
        listing = list_folder(str(folder))
    except Invalid:
        return
    if listing.is_bag:
        return
    body = FolderBody.prepare(str(folder), listing)
    data = sent(body)
    assert len(data) == body.size
    found = unpacked(data, tmp_path_factory.mktemp("out"))
    assert {path.name: path.read_bytes() for path in (found / "data").iterdir()} == files
