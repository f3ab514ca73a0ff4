"""The drill: what the volumes alone give back, written down; and a catalogue whose file vanishes under the daemon."""

import io
import json
import os

import pytest

from tests.support.faults import flip
from tests.support.nodes import VIETNAMESE, Bench, bag, tar_of, write_config
from vault.cli.run import run as vaultctl
from vault.errors import Unreachable
from vault.model import EventType


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        (tmp_path / "vault.toml").write_text(write_config(tmp_path))
        files = bag(VIETNAMESE)
        made.deposit("Hồ sơ/Đ-012", tar_of({f"x/{name}": data for name, data in files.items()}), files)
        made.deposit("tệp", b"one", filename="một.pdf")
        made.settle()
        yield made


def held(bench, capsys, *options):
    scratch = bench.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    config = str(bench.folder / "vault.toml")
    code = vaultctl(["--config", config, "drill", "restore", "--scratch", str(scratch), *options])
    assert not list(scratch.iterdir()), "the scratch is emptied again"
    return code, capsys.readouterr().out


def test_the_volumes_give_back_the_catalogue_and_packages(bench, capsys):
    bench.running.backups.make()
    code, text = held(bench, capsys, "--json")
    minutes = json.loads(text)
    assert (code, minutes["ok"]) == (0, True)
    assert {one["identifier"] for one in minutes["packages"]} == {"Hồ sơ/Đ-012", "tệp"}
    assert all(one["files"] and one["bytes"] for one in minutes["packages"])
    (event,) = bench.events(EventType.DRILL)
    assert event.detail["ok"] is True
    code, text = held(bench, capsys)
    assert code == 0
    assert "RESTORE DRILL" in text or "BIÊN BẢN" in text
    bench.assert_ledger()


def test_what_cannot_be_restored_is_in_the_minutes(bench, capsys):
    code, text = held(bench, capsys, "--json")
    assert (code, "no volume" in json.loads(text)["catalogue"]["reason"]) == (5, True)
    bench.running.backups.make()
    for volume in "ab":
        flip(bench.object_path(volume, "tệp") / "v1/content/một.pdf")
    code, text = held(bench, capsys, "--json")
    reasons = {one["identifier"]: one["reason"] for one in json.loads(text)["packages"]}
    assert code == 5
    assert "damaged" in reasons["tệp"]
    assert reasons["Hồ sơ/Đ-012"] == ""


def test_a_drill_that_tried_nothing_is_no_success(tmp_path, capsys):
    with Bench(tmp_path) as bench:
        (tmp_path / "vault.toml").write_text(write_config(tmp_path))
        bench.running.backups.make()
        bench.deposit("after the backup", b"one", filename="x")
        bench.settle()
        capsys.readouterr()
        code, text = held(bench, capsys, "--json")
        minutes = json.loads(text)
        assert (code, minutes["ok"], minutes["asked"], minutes["packages"]) == (5, False, 5, [])
        code, text = held(bench, capsys)
        assert "vaultctl catalog backup" in " ".join(text.split())
        bench.running.backups.make()
        capsys.readouterr()
        code, text = held(bench, capsys, "--json")
        assert (code, len(json.loads(text)["packages"])) == (0, 1)


def test_a_scratch_folder_that_is_not_there_is_named(bench, capsys):
    missing = bench.folder / "nowhere"
    config = str(bench.folder / "vault.toml")
    assert vaultctl(["--config", config, "drill", "restore", "--scratch", str(missing)]) not in (0, 5)
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_catalogue_whose_file_vanishes_takes_nothing_in(bench, how):
    place = bench.folder / "state" / "catalog.db"
    kept = place.with_name("kept.db")
    os.rename(place, kept)
    if how == "replaced":
        place.write_bytes(kept.read_bytes())
    with pytest.raises(Unreachable) as refused:
        bench.receive("mới", io.BytesIO(b"new"), filename="x")
    assert refused.value.code == "catalogue-gone"
    assert "rebuild" in refused.value.remedy
    with pytest.raises(Unreachable):
        bench.running.ask_catalogue()
    os.rename(kept, place)
    bench.receive("mới", io.BytesIO(b"new"), filename="x")
    bench.settle()
