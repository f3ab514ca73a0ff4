"""A delivery by vaultctl: from the depositor's list in a spreadsheet to the receipt that can be checked anywhere."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path

import pytest

from vault.cli import main
from vault.cli.batch_list import read_list
from vault.errors import Invalid

CODE = {"registration_code": "SNV"}


def write_list(folder: Path, identifiers: list[str], delimiter: str = ",") -> Path:
    lines = [delimiter.join(("identifier", "files", "bytes", "sha256"))]
    for identifier in identifiers:
        body = identifier.encode()
        (folder / identifier.replace("/", "_")).write_bytes(body)
        lines.append(delimiter.join((identifier, "1", str(len(body)), hashlib.sha256(body).hexdigest())))
    path = folder / "danh mục.csv"
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_delivery_by_hand(vaultctl, tmp_path, delimiter) -> None:
    delivery = uuid.uuid4()
    names = [f"{delivery}/hồ sơ {n}" for n in range(3)]
    said = ("--registration-code", f"SNV-{uuid.uuid4()}", "--delivery-number", "2", "--agency", "H49.61")
    command = ("batches", "open", write_list(tmp_path, names, delimiter), *said, "--agency-name", "Sở Nội vụ")
    opened = vaultctl(*command, "--json").json
    assert vaultctl(*command, "--json").json["id"] == opened["id"]
    batch = opened["id"]
    for name in names[:2]:
        body = tmp_path / name.replace("/", "_")
        vaultctl("deposit", body, "--identifier", name, "--batch", batch, "--wait", "receipt")
    shown = vaultctl("batches", "show", batch[:8])
    assert names[2] in shown.out
    assert names[0] not in shown.out
    assert vaultctl("batches", "show", batch, "--show", "entered").out.split("\n")[:2] == names[:2]
    assert batch in [item["id"] for item in vaultctl("batches", "--open", "--json").json["items"]]
    refused = vaultctl("batches", "close", batch, code=1)
    assert names[2] in refused.err
    receipt = tmp_path / "phiếu.json"
    closed = vaultctl(
        "batches", "close", batch, "--accept-differences", "--reason", "Biên bản 12", "--receipt", receipt
    )
    assert "SNV-" in closed.out
    assert "Biên bản 12" in closed.out
    assert vaultctl("receipt", "verify", receipt).out.count("✓") >= 2
    document = json.loads(receipt.read_text())
    assert document["packages"]["entered"] == 2
    assert batch not in [item["id"] for item in vaultctl("batches", "--open", "--json").json["items"]]
    document["packages"]["entered"] = 3
    receipt.write_text(json.dumps(document))
    vaultctl("receipt", "verify", receipt, code=1)
    listed = vaultctl("packages", "--batch", batch, "--created-since", "2020-01-01", "--json").json["items"]
    assert {item["identifier"] for item in listed} == set(names[:2])
    assert listed[0]["descriptive"]["agency_name"] == "Sở Nội vụ"


def test_the_receipt_of_a_delivery_in_vietnamese(vaultctl, tmp_path, monkeypatch, node) -> None:
    name = f"{uuid.uuid4()}"
    opened = vaultctl("batches", "open", write_list(tmp_path, [name]), "--registration-code", name, "--json").json
    vaultctl("deposit", tmp_path / name, "--identifier", name, "--batch", opened["id"])
    monkeypatch.setenv("KHOSO_LANG", "vi")
    out = vaultctl("batches", "close", opened["id"]).out
    assert "Phiếu tiếp nhận" in out
    assert "đã nhập kho" in out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "columns"),
        ("name,files\nx,1", "columns"),
        ("identifier,files,bytes\nx,one,1", "items.0.files"),
        ("identifier,files,bytes\nx,1", "items.0.bytes"),
        ("identifier,files,bytes\nx,1,1,9", "too many columns"),
        ("identifier,files,bytes,sha256\nx,1,1,9", "items.0.digests"),
        ('identifier,files,bytes\n"x,1,1', "no CSV"),
        ("{", "JSON"),
        ('[{"identifier": "x"}]', "items.0.files"),
    ],
)
def test_a_list_that_cannot_be_read_says_where(tmp_path, text: str, told: str) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    with pytest.raises(Invalid) as caught:
        read_list(str(path), CODE)
    assert caught.value.code == "bad-batch"
    assert told in str(caught.value.faults) + caught.value.message


def test_a_list_as_json_may_be_the_whole_order_or_its_items(tmp_path) -> None:
    items = [{"identifier": "x", "files": 1, "bytes": 2}]
    for document in (items, {"items": items, "registration_code": "other"}):
        (tmp_path / "list").write_text(json.dumps(document))
        order = read_list(str(tmp_path / "list"), CODE)
        assert (order.registration_code, order.items[0].bytes) == ("SNV", 2)


def test_a_time_that_is_none_is_a_usage_error(node) -> None:
    assert main(["--config", str(node.config), "packages", "--proved-before", "yesterday"]) == 2
