"""What is typed about cartridges, at a node with a virtual library."""

import json
import signal

import pytest

from hardware.ltfs import VirtualMedium
from hardware.tape.virtual import STATE, VirtualChanger
from tests.support.daemon import Node
from tests.support.tape_faults import flip_bit
from vault.cli import main
from vault.cli.exits import ExitCode

ONE, TWO, THREE = "VLT001L8", "VLT002L8", "VLT003L8"
LIBRARY = """
[[library]]
name = "lib"
kind = "virtual"
path = "{path}"
mount_after_age = "0s"
inventory_interval = "1s"
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    root = tmp_path_factory.mktemp("node")
    with VirtualChanger.create(root / "library", drives=1, slots=4, import_export=3) as changer:
        changer.add_cartridge(ONE, capacity_mb=64)
    made = Node.make(root, LIBRARY.format(path=root / "library"))
    made.config.write_text(made.config.read_text().replace("disk = 2\n", "disk = 2\ntape = 1\n"))
    made.start()
    for name in ("a", "b"):
        assert main(["--config", str(made.config), "volumes", "init", name]) == 0
    try:
        yield made
    finally:
        made.kill(signal.SIGTERM)


def show(vaultctl, barcode=ONE):
    return vaultctl("tapes", "show", barcode, "--json").json


@pytest.fixture(scope="module")
def written(node):
    """The first cartridge has a package, which is good on it."""
    file = node.root / "tệp.bin"
    file.write_bytes(b"content " * 100_000)
    assert main(["--config", str(node.config), "deposit", str(file), "--identifier", "Đ-1", "--wait", "policy"]) == 0
    return node.root / "library" / ONE


def test_a_suspect_cartridge_is_read_through_and_the_exit_code_says_what_came_out(vaultctl, written):
    flip_bit(written, containing=b"content content", at=300_000)
    vaultctl("verify", "--volume", ONE, "--wait", code=ExitCode.UNSOUND)
    assert show(vaultctl)["state"] == "suspect"
    assert f"vaultctl tapes clear {ONE}" in " ".join(vaultctl("status").out.split())
    said = vaultctl("tapes", "clear", ONE, "--wait", code=ExitCode.UNSOUND)
    assert "1 of 6 files on it are not right" in " ".join(said.out.split())
    # As if the drive had read wrong: what is on the tape is right.
    flip_bit(written, containing=b"content content", at=300_000)
    cleared = vaultctl("tapes", "clear", ONE, "--wait", "--json").json
    assert (cleared["state"], cleared["reason"], cleared["clearing"]) == ("appendable", "", None)
    refused = vaultctl("tapes", "clear", ONE, code=ExitCode.CONFLICT)
    assert "not suspect" in refused.err


def test_a_checkin_takes_in_what_was_scanned_and_names_what_stands_beside_it(node, vaultctl):
    library = node.root / "library"
    state = json.loads((library / STATE).read_text())
    first = len(state["slots"]) - 3
    for number, name in enumerate((TWO, THREE, "nameless")):
        VirtualMedium.create(library / name, capacity_mb=64).close()
        state["slots"][first + number] = {"folder": name, "barcode": name[:8] if name[0] == "V" else "", "home": None}
    (library / "new").write_text(json.dumps(state))
    (library / "new").rename(library / STATE)
    vaultctl("tapes", "inventory")
    said = vaultctl("tapes", "checkin", TWO)
    assert f"Still in the import/export slots: {THREE}, one without a label." in said.err
    assert "Scan what was brought, and take out what was checked out." in said.err
    state = json.loads((library / STATE).read_text())
    where = {found["folder"]: number for number, found in enumerate(state["slots"]) if found}
    assert where[TWO] < first
    assert (where[THREE], where["nameless"]) == (first + 1, first + 2)
    again = vaultctl("tapes", "checkin", THREE, "--json").json
    assert again["left"] == [""]
    assert vaultctl("tapes", "checkin", ONE, "--json").json["state"] != "foreign"


def test_nothing_is_stopped_where_nothing_is_imported(vaultctl):
    said = vaultctl("tapes", "import", ONE, "--stop", code=ExitCode.NOT_FOUND)
    assert f"vaultctl tapes import {ONE}" in said.err
