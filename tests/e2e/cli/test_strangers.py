"""An operator finds an object of another program on a volume, and makes it a package."""

from __future__ import annotations

from tests.unit.formats.ocfl.support import build_object


def test_an_object_of_others_is_found_and_adopted(vaultctl, node):
    (volume,) = [one for one in vaultctl("volumes", "--json").json["items"] if one["name"] == "a"]
    assert volume["condition"] == "online"
    assert "Volume and catalogue agree." in vaultctl("volumes", "scan", "a").out
    place = node.root / "a" / "kho cũ" / "một"
    for name, data in build_object([{"Đơn.txt": b"one"}], identifier="từ nơi khác").items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    found = vaultctl("volumes", "scan", "a", "--check", "--json").json
    assert [(each["kind"], each["path"], each["sound"]) for each in found["strangers"]] == [
        ("foreign-object", "kho cũ/một", True)
    ]
    assert "vaultctl volumes adopt a PATH" in vaultctl("volumes", "scan", "a", "--last").out
    said = vaultctl("volumes", "adopt", "a", "kho cũ/một", "--fonds", "F1").out
    assert "từ nơi khác" in said
    shown = vaultctl("packages", "show", "từ nơi khác", "--json").json
    assert shown["descriptive"]["fonds"] == "F1"
    content = next(path for path in (place / "v1" / "content").iterdir())
    content.write_bytes(b"0ne")
    refused = vaultctl("volumes", "adopt", "a", "kho cũ/một", "--identifier", "again", code=1)
    assert "E092" in refused.err
    assert "is not sound" in refused.err
    assert "no" in vaultctl("volumes", "scan", "a", "--check", code=5).out
    assert vaultctl("volumes", "scan", "nowhere", code=3).err
