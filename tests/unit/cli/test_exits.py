"""The numbers that scripts look at."""

from __future__ import annotations

import pytest

from vault import errors
from vault.cli.exits import ExitCode, exit_code_of

EXPECTED = {
    errors.VaultError: ExitCode.FAILED,
    errors.ConfigError: ExitCode.CONFIG,
    errors.NotFound: ExitCode.NOT_FOUND,
    errors.Refused: ExitCode.REFUSED,
    errors.Invalid: ExitCode.REFUSED,
    errors.Secret: ExitCode.REFUSED,
    errors.Conflict: ExitCode.CONFLICT,
    errors.Forbidden: ExitCode.REFUSED,
    errors.Full: ExitCode.FULL,
    errors.Unreachable: ExitCode.UNREACHABLE,
    errors.WrongVolume: ExitCode.UNREACHABLE,
    errors.Corrupted: ExitCode.UNSOUND,
    errors.Interrupted: ExitCode.FAILED,
    errors.Throttled: ExitCode.FAILED,
}


def every_class(root: type[errors.VaultError]) -> set[type[errors.VaultError]]:
    below = [every_class(kind) for kind in root.__subclasses__() if kind.__module__ == "vault.errors"]
    return {root}.union(*below)


def test_every_error_has_its_code():
    assert every_class(errors.VaultError) == set(EXPECTED)


@pytest.mark.parametrize(("kind", "code"), EXPECTED.items())
def test_an_error_ends_with_its_code(kind, code):
    assert exit_code_of(kind("what")) is code
