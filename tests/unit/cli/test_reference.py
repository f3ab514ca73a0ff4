"""docs/reference/cli.md names every command, argument, option and exit code, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from vault.cli.app import app
from vault.cli.exits import ExitCode

DOCUMENTED = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def commands() -> dict[str, set[str]]:
    """By command: its arguments and options, as they are typed."""
    found: dict[str, set[str]] = {}

    def walk(name: str, command) -> None:
        found[name] = set()
        for parameter in command.params:
            if "--help" in parameter.opts:
                continue
            is_option = parameter.param_type_name == "option"
            found[name].update(parameter.opts if is_option else [parameter.metavar])
        for below in command.list_commands(None) if hasattr(command, "list_commands") else ():
            walk(f"{name} {below}", command.get_command(None, below))

    walk("vaultctl", typer.main.get_command(app))
    return found


def documented() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    section = ""
    for line in DOCUMENTED.read_text().splitlines():
        if line.startswith("## "):
            heading = re.fullmatch(r"## `(.+)`", line)
            section = heading[1] if heading else ""
            if section:
                found[section] = set()
        elif section and re.match(r"\| `.*\|", line):
            found[section].update(re.findall(r"`([^`]+)`", line.split(" | ")[0]))
    return found


def test_every_command_is_documented_and_no_other():
    assert documented().keys() == commands().keys()


@pytest.mark.parametrize("command", commands())
def test_every_option_is_documented_and_no_other(command):
    assert documented()[command] == commands()[command]


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_has_a_help(command):
    found = typer.main.get_command(app)
    for name in command.split()[1:]:
        found = found.get_command(None, name)
    assert found.help
    assert all(parameter.help for parameter in found.params)


def test_every_exit_code_is_documented_and_no_other():
    rows = re.findall(r"(?m)^\| (\d+) \| `([A-Z_]+)` \| .+ \|$", DOCUMENTED.read_text())
    assert {int(number): name for number, name in rows} == {code.value: code.name for code in ExitCode}


def test_every_command_of_the_documented_text_is_a_command():
    known = set(commands())
    for words in re.findall(r"`(vaultctl(?: [a-z-]+)*)", DOCUMENTED.read_text()):
        parts = words.split()
        assert any(" ".join(parts[:length]) in known for length in range(len(parts), 1, -1)) or parts == ["vaultctl"]
