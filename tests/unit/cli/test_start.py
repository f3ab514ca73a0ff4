"""What vaultctl loads before it can say anything: a terminal at the other end of the province waits for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"pydantic", "httpx", "rich", "sqlalchemy", "cryptography", "vault.config", "vault.client", "vault.wire"}


def loaded(*arguments: str) -> set[str]:
    program = (
        "import sys; from vault.cli import main; code = main(sys.argv[1:]);"
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", program, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stderr.split())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"]])
def test_what_needs_no_node_loads_nothing_heavy(arguments):
    assert not loaded(*arguments) & HEAVY


def test_the_version_needs_no_parser():
    assert "typer" not in loaded("--version")


def test_one_command_does_not_load_what_another_needs():
    found = loaded("volumes", "--help")
    assert "vault.cli.commands.volumes" in found
    assert not {"vault.cli.commands.doctor", "sqlalchemy"} & found
