"""What the package tells people is made from the reference, and says all of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.tools import require
from tests.unit.test_config_reference import TABLES, expected
from vault.config import parse_settings

REPO = Path(__file__).parents[2]
sys.path.append(str(REPO / "packaging"))

import pages  # noqa: E402


@pytest.fixture(scope="module")
def uncommented() -> dict[str, object]:
    """The configuration of the package with every key taken out of its comment."""
    text = re.sub(r"(?m)^#(?=[a-z_\[])", "", pages.configuration())
    document = tomllib.loads(text)
    assert document
    return document


def keys_of(table: dict[str, object], prefix: str = "") -> set[str]:
    found = set()
    for key, value in table.items():
        found.add(prefix + key)
        if isinstance(value, dict):
            found |= keys_of(value, f"{prefix}{key}.")
    return found


@pytest.mark.parametrize("section", TABLES)
def test_the_configuration_of_the_package_has_every_key(uncommented, section):
    name = section.strip("[]")
    table = uncommented[name]
    written = keys_of(table[0] if isinstance(table, list) else table)
    assert set(expected(TABLES[section])) <= written


def test_it_is_a_comment_as_a_whole():
    assert tomllib.loads(pages.configuration()) == {}


def test_what_it_shows_as_defaults_are_values_that_can_be_read(uncommented):
    text = re.sub(r"(?m)^#(?=[a-z_\[])", "", pages.configuration())
    problems = ""
    try:
        parse_settings(text, Path("/etc/vault/vault.toml"))
    except Exception as error:  # noqa: BLE001 - looked at below
        problems = str(error)
    # Examples of different tables need not go together; but each key is known and each value of its kind.
    assert "no such setting" not in problems
    assert "it is no " not in problems.replace("it is no TOML", "")


@pytest.mark.parametrize("name", ["vaultd.8", "vaultctl.1", "vault.toml.5"])
def test_manual_pages_are_read_without_complaint(tmp_path, name):
    man = require("man", "man-db")
    page = tmp_path / name
    page.write_text(pages.manuals("1.2.3")[name])
    command = [man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", str(page)]
    shown = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100"},
    )
    assert shown.stderr == ""
    text = re.sub(r".\x08|\x1b\[[0-9;]*m", "", shown.stdout)
    assert "khoso 1.2.3" in text
    for said in {
        "vaultd.8": ("--new-catalogue", "78"),
        "vaultctl.1": ("vaultctl init", "--accept-shared-devices", "UNSOUND"),
        "vault.toml.5": ("planner_interval", "accept_shared_devices"),
    }[name]:
        assert said in text.replace("\u2010", "-").replace("\u2212", "-")
