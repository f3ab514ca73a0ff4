"""In and out again: what was deposited is what is fetched, with the daemon and without."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import bagit
import pytest

from tests.support.nodes import VIETNAMESE

IDENTIFIER = "H49.61.8/2025/Đ-012"


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("in") / "hồ sơ", {**VIETNAMESE, "100%0A.txt": b"%"})


@pytest.fixture(scope="module")
def deposited(node, folder) -> str:
    from vault.cli import main

    command = ["--config", str(node.config), "deposit", str(folder), "--identifier", IDENTIFIER, "--wait", "policy"]
    assert main([*command, "--fonds", "UBND", "--title", "Hồ sơ đất", "--metadata", "dc.creator=Lò Văn Mây"]) == 0
    return IDENTIFIER


def files_of(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as archive:
        return {m.name: file.read() for m in archive if (file := archive.extractfile(m)) is not None}


def test_a_folder_comes_back_as_a_valid_bag(vaultctl, deposited, tmp_path, folder):
    said = vaultctl("get", deposited, "-o", tmp_path)
    tar = tmp_path / "Đ-012-v1.tar"
    assert str(tar) in said.err
    found = files_of(tar)
    payload = {name.removeprefix("data/"): data for name, data in found.items() if name.startswith("data/")}
    assert payload == {**VIETNAMESE, "100%0A.txt": b"%"}
    with tarfile.open(tar) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    assert bagit.Bag(str(tmp_path / "out")).info["External-Identifier"] == IDENTIFIER
    vaultctl("get", deposited, "-o", tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == found


def test_one_file_of_it_comes_alone(vaultctl, deposited, tmp_path):
    name = "Hồ sơ số 12/Quyết định Đ-012.txt"
    vaultctl("get", deposited, "--file", f"data/{name}", "--version", "v1", "-o", tmp_path)
    assert (tmp_path / "Quyết định Đ-012.txt").read_bytes() == VIETNAMESE[name]
    vaultctl("get", deposited, "--file", f"data/{name}", "-o", tmp_path, code=7)
    paths = vaultctl("packages", "files", deposited)
    assert f"data/{name}" in paths.out.splitlines()
    assert "under data/" in paths.err
    listed = vaultctl("packages", "files", deposited, "--version", "v1", "--json").json
    assert [file["path"] for file in listed["items"]] == paths.out.splitlines()
    refused = vaultctl("get", deposited, "--file", "data/none", "-o", tmp_path / "n", code=3)
    assert "vaultctl packages files" in refused.err
    vaultctl("get", "no such package", "-o", tmp_path / "n", code=3)
    assert not (tmp_path / "n").exists()


def test_the_same_again_is_known_and_other_content_is_refused(vaultctl, deposited, folder, tmp_path):
    again = vaultctl("deposit", folder, "--identifier", deposited, "--json").json
    assert (again["status"], again["version"]) == ("known", 1)
    assert again["receipt"]["identifier"] == IDENTIFIER
    other = make(tmp_path / "other", {"a.txt": b"other"})
    refused = vaultctl("deposit", other, "--identifier", deposited, code=7)
    assert "other content" in refused.err
    assert "--follows v1" in refused.err
    assert "was not recorded" in vaultctl("deposit", folder, "--identifier", deposited, "--title", "Khác").err
    assert "not recorded" not in vaultctl("deposit", folder, "--identifier", deposited).err
    vaultctl("deposit", other, "--identifier", "never", "--receipt", tmp_path / "none" / "r.json", code=1)
    vaultctl("packages", "show", "never", code=3)


def test_a_new_version_says_what_it_follows(vaultctl, tmp_path):
    first, second = make(tmp_path / "1", {"a.txt": b"1"}), make(tmp_path / "2", {"a.txt": b"2"})
    vaultctl("deposit", first, "--identifier", "versions")
    vaultctl("deposit", second, "--identifier", "versions", "--follows", "v7", code=7)
    made = vaultctl("deposit", second, "--identifier", "versions", "--follows", "v1", "--json").json
    assert (made["status"], made["version"]) == ("created", 2)
    for version, expected in (("v1", b"1"), ("v2", b"2")):
        vaultctl("get", "versions", "--version", version, "--file", "data/a.txt", "-o", tmp_path / version)
        assert (tmp_path / version).read_bytes() == expected
    vaultctl("get", "versions", "--version", "v3", "-o", tmp_path / "v3", code=3)


def test_a_single_file_comes_back_as_it_was(vaultctl, tmp_path):
    source = make(tmp_path, {"Tờ trình số 5.pdf": b"%PDF" + bytes(3_000_000)}) / "Tờ trình số 5.pdf"
    receipt = tmp_path / "receipt.json"
    vaultctl("deposit", source, "--identifier", "tệp/một", "--receipt", receipt)
    (tmp_path / "out").mkdir()
    vaultctl("get", "tệp/một", "-o", tmp_path / "out")
    assert (tmp_path / "out" / "Tờ trình số 5.pdf").read_bytes() == source.read_bytes()
    said = vaultctl("receipt", "verify", receipt).out
    assert "this node's key" in said
    assert vaultctl("receipt", "show", "tệp/một", "--json").json == json.loads(receipt.read_text())
    changed = receipt.read_text().replace("tệp/một", "tệp/hai")
    receipt.write_text(changed)
    vaultctl("receipt", "verify", receipt, code=1)


def test_a_bag_is_kept_as_the_bag_that_it_was(vaultctl, tmp_path):
    source = make(tmp_path / "bag", {"a.txt": b"a"})
    bagit.make_bag(str(source), {"Contact-Name": "Lò Văn Mây"}, checksums=["sha256"])
    vaultctl("deposit", source, "--identifier", "bag")
    vaultctl("get", "bag", "-o", tmp_path / "bag.tar")
    assert files_of(tmp_path / "bag.tar") == {
        path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()
    }
    (source / "data" / "a.txt").write_bytes(b"b")
    refused = vaultctl("deposit", source, "--identifier", "bag 2", code=1)
    assert "a.txt" in refused.err


def test_a_folder_that_cannot_be_kept_is_refused_before_anything_is_sent(vaultctl, tmp_path):
    source = make(tmp_path / "f", {"a.txt": b"a"})
    (source / "link").symlink_to("/etc/passwd")
    refused = vaultctl("deposit", source, "--identifier", "links", code=1)
    assert "link: it is a symbolic link" in refused.err
    vaultctl("packages", "show", "links", code=3)
    vaultctl("deposit", tmp_path / "none", "--identifier", "x", code=3)


def test_without_waiting_the_receipt_comes_later(vaultctl, tmp_path):
    source = make(tmp_path, {"f": b"later"}) / "f"
    said = vaultctl("deposit", source, "--identifier", "later", "--wait", "none", "--json").json
    assert said["status"] in ("pending", "created")
    assert vaultctl("deposit", source, "--identifier", "later", "--json").json["receipt"]["ingest"] == said["ingest"]


def test_from_a_volume_without_a_daemon_comes_the_same(vaultctl, deposited, node, tmp_path):
    vaultctl("get", deposited, "--format", "tar", "-o", tmp_path / "node.tar")
    node.kill()
    try:
        vaultctl("get", deposited, "-o", tmp_path / "x", code=4)
        for volume in ("a", "b"):
            vaultctl("get", deposited, "--from-volume", volume, "-o", tmp_path / f"{volume}.tar")
            assert (tmp_path / f"{volume}.tar").read_bytes() == (tmp_path / "node.tar").read_bytes()
        name = "biên bản.pdf"
        vaultctl("get", deposited, "--from-volume", "a", "--file", f"data/{name}", "-o", tmp_path)
        assert (tmp_path / name).read_bytes() == VIETNAMESE[name]
        vaultctl("get", "nothing", "--from-volume", "a", "-o", tmp_path / "x", code=3)
        vaultctl("get", deposited, "--from-volume", "z", "-o", tmp_path / "x", code=3)
        vaultctl("get", deposited, "--version", "9", "--from-volume", "a", "-o", tmp_path / "x", code=3)
        assert not (tmp_path / "x").exists()
    finally:
        node.start()


def test_vaultctl_is_a_program_of_its_own(node, deposited, tmp_path):
    program = "import sys; from vault.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "--config", str(node.config)]
    done = subprocess.run([*command, "packages", "--json"], capture_output=True, timeout=60, check=True)
    assert IDENTIFIER in [item["identifier"] for item in json.load(io.BytesIO(done.stdout))["items"]]
    assert (
        subprocess.run([*command, "packages", "show", "no"], capture_output=True, timeout=60, check=False).returncode
        == 3
    )
