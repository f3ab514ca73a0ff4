"""A package that is marked as a state secret is refused before it is stored, and nothing of it stays."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import unicodedata

import pytest

from tests.support.nodes import Bench, bag, eventually, tar_gz_of, tar_of, zip_of
from tests.support.refusals import refused
from tests.support.uploading import begin, mine, upload
from vault.errors import Secret
from vault.intake.request import request_of
from vault.model import Descriptive, EventType, IngestState, Outcome

CANARY = b"CANARY-of-a-secret-" * 4000
TITLE = "Phuong an phong thu khu vuc"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with Bench(tmp_path_factory.mktemp("node")) as made:
        yield made


def secret_bag(
    label: str = "Security-Classification", value: str = "Mật", *, info_last: bool = False
) -> dict[str, bytes]:
    files = bag({f"{n}.bin": CANARY for n in range(20)}, [("External-Description", TITLE), (label, value)])
    if info_last:
        files["bag-info.txt"] = files.pop("bag-info.txt")
    else:
        files = {"bag-info.txt": files["bag-info.txt"], **files}
    return files


def assert_no_trace(bench: Bench) -> None:
    """Nothing of content or title: not on a volume, not in the catalogue."""
    for file in bench.folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert CANARY[:40] not in data, file
            assert TITLE.encode() not in data, file


def the_spill(bench: Bench, after: int):
    (event,) = bench.events(EventType.SPILL_ATTEMPTED, after=after)
    assert event.outcome is Outcome.FAILURE
    return event


@pytest.mark.parametrize("packed", [tar_of, tar_gz_of, zip_of], ids=["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("info_last", [False, True], ids=["marked-first", "marked-last"])
def test_a_bag_that_is_marked_leaves_nothing_on_the_medium(bench, packed, info_last):
    before = bench.last_event()
    error = refused(bench, "H49/secret", packed(secret_bag(info_last=info_last), "top/"))
    assert isinstance(error, Secret)
    assert error.code == "state-secret"
    event = the_spill(bench, before)
    assert (event.identifier, event.volume in ("a", "b"), event.agent) == ("H49/secret", True, "token:test")
    assert (event.detail["field"], event.detail["level"]) == ("bag-info.txt: security-classification", "mật")
    assert event.detail["bytes_received"] > 0
    assert_no_trace(bench)
    bench.assert_ledger()


def test_a_tag_file_in_capitals_is_looked_at_too(bench):
    files = secret_bag("Độ mật", "Mật")
    body = tar_of({"Bag-Info.TXT" if name == "bag-info.txt" else name: data for name, data in files.items()})
    error = refused(bench, "H49/capitals", body)
    assert (error.code, isinstance(error, Secret)) == ("state-secret", True)
    assert_no_trace(bench)


def test_a_bag_that_says_so_first_is_not_received_to_its_end(bench):
    body = io.BytesIO(tar_of(secret_bag()) + b"\0" * 40_000_000)
    with pytest.raises(Secret):
        bench.receive("H49/first", body)
    assert body.tell() < 5_000_000


def test_a_marking_in_another_encoding_is_found_too(bench):
    files = secret_bag("Độ mật", "Tối mật", info_last=True)
    text = files["bag-info.txt"].decode()
    files["bagit.txt"] = files["bagit.txt"].replace(b"UTF-8", b"UTF-16")
    files["bag-info.txt"] = text.encode("utf-16")
    error = refused(bench, "H49/utf16", tar_of(files))
    assert error.code == "state-secret", "though the bag is not valid either"


@pytest.mark.parametrize(
    "said",
    [
        {"descriptive": Descriptive(access="Tối mật", title=TITLE)},
        {"descriptive": Descriptive(title=f"[MẬT] {TITLE}")},
        {"metadata": {"Do-mat": "mat", "note": TITLE}},
        {"metadata": {"security_classification": unicodedata.normalize("NFD", "TUYỆT MẬT"), "note": TITLE}},
    ],
)
def test_what_is_marked_at_the_door_never_comes_in(bench, said):
    before = bench.last_event()
    body = io.BytesIO(CANARY)
    with pytest.raises(Secret):
        bench.receive("H49/door", body, filename="x.pdf", **said)
    assert body.tell() == 0, "nothing of the body was read"
    event = the_spill(bench, before)
    assert (event.volume, event.detail["bytes_received"]) == ("", 0)
    assert_no_trace(bench)


def test_what_only_sounds_like_it_is_stored(bench):
    info = [("Source-Organization", "Phòng Bảo mật"), ("Contact-Name", "Nguyễn Thị Mật"), ("Do-mat", "Không mật")]
    files = bag({"a.txt": b"mat do dan so"}, info)
    said = Descriptive(title="Mật độ dân số", access="Bảo mật thông tin cá nhân")
    bench.deposit("H49/open", tar_of(files), files, descriptive=said)
    bench.settle()


def test_an_upload_that_is_marked_is_not_even_begun(bench):
    before = bench.last_event()
    with pytest.raises(Secret):
        begin(bench, "H49/tus", 10, descriptive=Descriptive(access="Mật", title=TITLE))
    assert the_spill(bench, before).identifier == "H49/tus"
    assert_no_trace(bench)


def test_of_an_uploaded_bag_that_is_marked_nothing_stays(bench):
    before = bench.last_event()
    said = Descriptive(title=TITLE, agency="H49")
    upload_id = upload(bench, "H49/tus bag", tar_of(secret_bag(info_last=True)), descriptive=said, filename=TITLE)
    eventually(lambda: bench.ingest(upload_id).state is IngestState.REFUSED, what=lambda: bench.ingest(upload_id))
    assert the_spill(bench, before).detail["ingest"] == upload_id
    eventually(lambda: not any(bench.folder.rglob(f"uploads/*{upload_id}*")))
    left = request_of(bench.running.uploads.find(upload_id, mine))
    assert (left.identifier, left.descriptive, left.filename) == ("H49/tus bag", Descriptive(agency="H49"), "")
    # SQLite's log has what was written before until it begins anew.
    with contextlib.closing(sqlite3.connect(bench.folder / "state" / "catalog.db")) as catalogue:
        eventually(lambda: catalogue.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    assert_no_trace(bench)
